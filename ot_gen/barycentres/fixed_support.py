"""Masses on given points: the barycentre's linear programme, solved by few of its columns.

    min { Σ_k λ_k ⟨P_k, C_k⟩ : P_k 1 = a, P_kᵀ 1 = b_k, P_k >= 0 }
        = max over g of min_i Σ_k λ_k f_k(i) + Σ_k λ_k ⟨b_k, g_k⟩,      f_k(i) = min_j C_k,ij − g_k,j

The minimum runs over the masses a of the points as well. Every g gives a lower bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, final

import numpy as np
import torch
from torch import Tensor

from ot_gen.transport import NotConverged

SMOOTHEST = 1 / 400  # of the mean cost: ε at which the choice of columns begins
SWEEPS = 100  # at each ε on the way
LAST_SWEEPS = 5000  # at an ε that was asked for
MARGIN = 6, 12  # pairs that each support point, and each atom, enters with
ROUNDS = 40
LEAST = 1e-3  # of the largest cost: smaller values count as if they were as large
COLUMNS = 2_000_000  # of the programme at most


@final
class Discrete(NamedTuple):
    """Costs C_k (n, m_k), masses b_k (m_k,) and weights λ_k, in float64 on the CPU."""

    costs: list[Tensor]
    masses: list[Tensor]
    weights: list[float]

    def mean(self, values: Sequence[Tensor]) -> Tensor:
        """Σ_k λ_k v_k of tensors of one shape."""
        return torch.stack([share * value for share, value in zip(self.weights, values, strict=True)]).sum(dim=0)

    def lower(self, g: list[Tensor]) -> float:
        """The dual's value, with the best constant: a lower bound for every g."""
        f = self.mean([(C - h).amin(dim=1) for C, h in zip(self.costs, g, strict=True)])
        return float(f.min()) + sum(
            share * float(b @ h) for share, b, h in zip(self.weights, self.masses, g, strict=True)
        )


@final
class Masses(NamedTuple):
    """a (n,), the potentials g_k (m_k,) that go with it, and whether what was asked for is reached."""

    a: Tensor
    g: list[Tensor]
    converged: bool
    message: str


def masses_on(given: Discrete, epsilon: float, tol: float) -> Masses:
    """The best masses, or for ε > 0 those of the entropic problem.

        min over a of Σ_k λ_k min { ⟨P, C_k⟩ + ε KL(P | 1 ⊗ b_k) : P 1 = a, Pᵀ 1 = b_k }

    It is solved by projections, from large ε to small. Its potentials price the pairs of the exact programme. HiGHS
    solves that for the cheapest pairs, and pairs of negative reduced cost join until there are none that matter.

    Source: Benamou et al., 2015, https://arxiv.org/abs/1412.5154 (projections)

    Example:
        >>> C = torch.tensor([[0.0, 4.0], [1.0, 1.0], [4.0, 0.0]]).double()
        >>> one = torch.ones(1).double()
        >>> masses_on(Discrete([C[:, :1], C[:, 1:]], [one, one], [0.5, 0.5]), 0.0, 1e-6).a
        tensor([0., 1., 0.], dtype=torch.float64)
    """
    mean = sum(share * float(C.mean()) for share, C in zip(given.weights, given.costs, strict=True))
    if mean == 0:
        C = given.costs[0]
        return Masses(C.new_full((len(C),), 1 / len(C)), [0 * b for b in given.masses], True, "all costs are 0")
    g, a, error = [0 * b for b in given.masses], None, math.inf
    level, last = max(mean / 4, epsilon), epsilon or mean * SMOOTHEST
    while True:
        final = level <= last
        limit, wanted = (LAST_SWEEPS, tol) if final and epsilon else (SWEEPS, max(tol, 1e-2))
        a, g, error = _projected(given, g, level, wanted, limit)
        if final:
            break
        level = max(level / 3, last)
    if not epsilon:
        return _by_columns(given, g, a, tol)
    message = f"a marginal error of {error:.2g} after the projections at epsilon = {epsilon:g}"
    return Masses(a, g, error <= tol, message)


def _projected(
    given: Discrete, g: list[Tensor], epsilon: float, tol: float, limit: int
) -> tuple[Tensor, list[Tensor], float]:
    """a = Π_k (K_k v_k)^λ_k and the potentials, by projections in turn; the error is that of the masses b_k."""
    logs = [b.clamp_min(torch.finfo(b.dtype).tiny).log() for b in given.masses]
    for _ in range(limit):
        rows = [
            torch.logsumexp((h - C) / epsilon + log_b, dim=1) for C, h, log_b in zip(given.costs, g, logs, strict=True)
        ]
        log_a = given.mean(rows)
        new = [
            -epsilon * torch.logsumexp((log_a - row)[:, None] - C / epsilon, dim=0)
            for C, row in zip(given.costs, rows, strict=True)
        ]
        error = max(
            float(b @ torch.expm1((before - after) / epsilon).abs())
            for b, before, after in zip(given.masses, g, new, strict=True)
        )
        g = new
        if error <= tol:
            break
    return torch.softmax(log_a, dim=0), g, error


def _by_columns(given: Discrete, g: list[Tensor], a: Tensor, tol: float) -> Masses:
    f = [(C - h).amin(dim=1) for C, h in zip(given.costs, g, strict=True)]
    mean = given.mean(f)
    chosen = []
    for share, C, h, one in zip(given.weights, given.costs, g, f, strict=True):
        slack = C - h - one[:, None]
        keep = torch.zeros_like(C, dtype=torch.bool)
        keep.scatter_(1, slack.topk(min(MARGIN[0], C.shape[1]), dim=1, largest=False).indices, True)
        priced = share * slack + (mean - mean.min())[:, None]
        keep.scatter_(0, priced.topk(min(MARGIN[1], len(C)), dim=0, largest=False).indices, True)
        chosen.append(keep)
    lower, best = given.lower(g), g
    scale = max(float(C.abs().max()) for C in given.costs)
    for _ in range(ROUNDS):
        columns = sum(int(keep.sum()) for keep in chosen)
        if columns > COLUMNS:
            return Masses(a, best, False, f"the programme has more than {COLUMNS} columns; give epsilon > 0")
        a, f, g, value = _programme(given, chosen)
        if (bound := given.lower(g)) >= lower:
            lower, best = bound, g
        gap = value - lower
        size = max(abs(value), LEAST * scale)
        if gap <= tol * size:
            return Masses(a, best, True, f"a gap of {max(gap, 0) / size:.2g} between both sides of the programme")
        for keep, C, one, h in zip(chosen, given.costs, f, g, strict=True):
            reduced = (C - one[:, None] - h).flatten()
            enters = min(4 * len(C), int((reduced < 0).sum()))
            keep.view(-1)[reduced.topk(enters, largest=False).indices] = True
    return Masses(a, best, False, f"a gap of {gap / size:.2g} after {ROUNDS} rounds; raise tol, or give epsilon > 0")


def _programme(given: Discrete, chosen: list[Tensor]) -> tuple[Tensor, list[Tensor], list[Tensor], float]:
    """The programme with the chosen pairs alone: masses a, potentials f_k, g_k and the value."""
    from scipy.optimize import linprog
    from scipy.sparse import bmat, csr_array, eye_array

    n = len(given.costs[0])
    prices, blocks, sums = [], [], []
    for k, (share, C, b, keep) in enumerate(zip(given.weights, given.costs, given.masses, chosen, strict=True)):
        i, j = (index.numpy() for index in keep.nonzero(as_tuple=True))
        ones, at = np.ones(len(i)), np.arange(len(i))
        left = csr_array((ones, (i, at)), shape=(n, len(i)))
        right = csr_array((ones, (j, at)), shape=(len(b), len(i)))
        blanks = [None] * len(chosen)
        blocks.append([*blanks[:k], left, *blanks[k + 1 :], -eye_array(n)])
        blocks.append([*blanks[:k], right, *blanks[k + 1 :], None])
        sums += [np.zeros(n), b.numpy()]
        prices.append(share * C[keep].numpy())
    # The tolerances of HiGHS are absolute.
    unit = max(float(np.abs(np.concatenate(prices)).max()), np.finfo(float).tiny)
    solved = linprog(
        np.concatenate([*prices, np.zeros(n)]) / unit,
        A_eq=bmat(blocks, format="csr"),
        b_eq=np.concatenate(sums),
        bounds=(0, None),
        method="highs-ds",
    )
    if solved.status != 0:
        raise NotConverged(f"the linear programme of the barycentre was not solved: {solved.message}")
    y, f, g, place = torch.from_numpy(unit * solved.eqlin.marginals), [], [], 0
    for share, b in zip(given.weights, given.masses, strict=True):
        f.append(y[place : place + n] / share)
        g.append(y[place + n : place + n + len(b)] / share)
        place += n + len(b)
    a = torch.from_numpy(solved.x[-n:].copy()).clamp_min(0)
    return a / a.sum(), f, g, unit * float(solved.fun)
