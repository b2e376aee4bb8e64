"""Batches of symmetric block tridiagonal systems: cyclic reduction, on all blocks at once, until they are small."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor
from torch.nn.functional import pad

DENSE = 64  # rows of a system that one dense factorisation solves faster than a step of reduction


@final
class Solved(NamedTuple):
    """x of Hx = b, (B, N, k), and whether H is positive definite, (B,); where it is not, x means nothing."""

    x: Tensor
    definite: Tensor


def solve(diagonal: Tensor, upper: Tensor, b: Tensor) -> Solved:
    """Solve Hx = b for H with H_ii = diagonal[:, i], H_i,i+1 = upper[:, i], H_i+1,i = upper[:, i]ᵀ.

    Blocks of even index are eliminated by their Cholesky factors. The Schur complement on the odd ones is block
    tridiagonal again. A small system is factorised as a whole.

    Args:
        diagonal: (B, N, k, k), symmetric.
        upper: (B, N−1, k, k).
        b: (B, N, k).

    Source: Gander, Golub, 1997, https://people.inf.ethz.ch/gander/papers/cyclic.pdf

    Example:
        >>> second_difference = 2 * torch.ones(1, 3, 1, 1), -torch.ones(1, 2, 1, 1)
        >>> solve(*second_difference, torch.tensor([[[1.0], [0.0], [1.0]]])).x.flatten()
        tensor([1.0000, 1.0000, 1.0000])
    """
    n, k = b.shape[1:]
    if n == 1 or n * k <= DENSE:
        return _dense(diagonal, upper, b)
    if n % 2 == 0:  # an own block at the end, so that every odd block has two even neighbours
        own = torch.eye(k, dtype=b.dtype, device=b.device).expand(len(b), 1, k, k)
        ends = (torch.cat([diagonal, own], dim=1), pad(upper, (0, 0, 0, 0, 0, 1)), pad(b, (0, 0, 0, 1)))
        x, definite = solve(*ends)
        return Solved(x[:, :n], definite)
    factor, info = torch.linalg.cholesky_ex(diagonal[:, ::2])
    definite = (info == 0).all(dim=1)
    # Rows of an even block, towards the odd block after it and the one before it.
    after, before = upper[:, ::2], upper[:, 1::2].mT
    rows = (pad(after, (0, 0, 0, 0, 0, 1)), pad(before, (0, 0, 0, 0, 1, 0)), b[:, ::2].unsqueeze(-1))
    to_after, to_before, y = torch.cholesky_solve(torch.cat(rows, dim=3), factor).split([k, k, 1], dim=3)
    odd = diagonal[:, 1::2] - after.mT @ to_after[:, :-1] - before.mT @ to_before[:, 1:]
    between = -before[:, :-1].mT @ to_after[:, 1:-1]
    rest = b[:, 1::2].unsqueeze(-1) - after.mT @ y[:, :-1] - before.mT @ y[:, 1:]
    inner = solve(odd, between, rest.squeeze(-1))
    x_odd = inner.x.unsqueeze(-1)
    even = y.clone()
    even[:, :-1] -= to_after[:, :-1] @ x_odd
    even[:, 1:] -= to_before[:, 1:] @ x_odd
    x = torch.empty_like(b)
    x[:, ::2], x[:, 1::2] = even.squeeze(-1), inner.x
    return Solved(x, definite & inner.definite)


def _dense(diagonal: Tensor, upper: Tensor, b: Tensor) -> Solved:
    n, k = b.shape[1:]
    h = b.new_zeros(len(b), n, k, n, k)
    # The lower half, which is all that Cholesky reads.
    h.diagonal(0, 1, 3).copy_(diagonal.permute(0, 2, 3, 1))
    h.diagonal(-1, 1, 3).copy_(upper.permute(0, 3, 2, 1))
    factor, info = torch.linalg.cholesky_ex(h.view(len(b), n * k, n * k))
    return Solved(torch.cholesky_solve(b.reshape(len(b), n * k, 1), factor).view_as(b), info == 0)
