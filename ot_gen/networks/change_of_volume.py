"""How maps and velocities change volume: determinants of steps, divergences of fields."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import jvp, vmap

from ot_gen.arguments import checked
from ot_gen.execution import load_forward_mode

EXACT = 64  # dimensions up to which derivatives are taken in all directions
HELD = 2**16  # points times directions at a time


@checked
def tolerance(x: Tensor) -> float:
    """The relative error at which an inverse in the dtype of x has arrived.

    Example:
        >>> tolerance(torch.zeros(1).double()) < 1e-12 < tolerance(torch.zeros(1))
        True
    """
    return 64 * torch.finfo(x.dtype).eps


@checked
def jacobians(map: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """f(x) (n, d) and the Jacobians ∂f/∂x (n, d, d) of a map of rows, in forward mode.

    Example:
        >>> jacobians(lambda x: 3 * x, torch.ones(1, 2))[1]
        tensor([[[3., 0.],
                 [0., 3.]]])
    """
    load_forward_mode()
    basis = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    # The value comes along: each direction computes it, and the first one's is kept.
    values, columns = vmap(lambda e: jvp(map, (x,), (e.expand_as(x),))[:2])(basis)
    return values[0], columns.permute(1, 2, 0)


@checked
def log_determinant(step: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """f(x) (n, d) and log |det ∂f/∂x| (n,) of a map of rows.

    Example:
        >>> log_determinant(lambda x: 3 * x, torch.ones(1, 2))[1]  # 2 log 3
        tensor([2.1972])
    """
    values, jacobian = jacobians(step, x)
    return values, torch.linalg.slogdet(jacobian).logabsdet


@checked
def with_divergence(field: Callable[[float, Tensor], Tensor], signs: Tensor | None, t: float, state: Tensor) -> Tensor:
    """(v, div v), (n, d + 1), at the points of a state (n, d + 1); what the last column holds plays no part.

    Args:
        field: v.
        signs: ε (n, d) of ±1 for Hutchinson's estimate εᵀ (∂v/∂x) ε; None: the trace itself.
        t: the time.
        state: points and one column more.

    Example:
        >>> with_divergence(lambda t, x: 3 * x, None, 0.0, torch.ones(1, 3))  # d = 2
        tensor([[3., 3., 6.]])
    """
    x = state[:, :-1]
    if signs is None:
        v, jacobian = jacobians(lambda at: field(t, at), x)
        divergence = jacobian.diagonal(dim1=1, dim2=2).sum(dim=1)
    else:
        load_forward_mode()
        v, moved = jvp(lambda at: field(t, at), (x,), (signs,))[:2]
        divergence = (signs * moved).sum(dim=1)
    return torch.cat([v, divergence[:, None]], dim=1)
