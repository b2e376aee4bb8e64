"""Optimal assignments: exact plans between equally many samples of equal mass, and the potentials that prove them.

Subtracting potentials from the cost moves no assignment. Those of annealed Sinkhorn are nearly optimal, so only pairs
of small reduced cost are worth matching. The network simplex of POT solves the sparse problem of these candidates. Its
potentials are checked on all pairs, and pairs that violate them join the candidates, until none does. So the result is
certified to be optimal.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ot_gen.arguments import checked
from ot_gen.transport.problem import NotConverged

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

SMALL = 224  # below this a dense solver is the faster (benchmarks/exact_plan.py)
NEIGHBOURS = (16, 64)  # candidates per row, on average: at first, and if they hold no perfect matching
ROWS = 16  # of the matrix, a sample that shows how its small entries are distributed
ROUNDS = 8  # of adding violated pairs


@checked
def assignment(C: Tensor) -> Tensor:
    """The optimal assignment: the permutation σ that minimises Σ_i C_{i σ(i)}.

    With uniform masses 1/n, P_ij = 1/n at j = σ(i) is an optimal plan (Birkhoff, von Neumann). The excess cost is 0
    up to the rounding of float64: the solve also yields potentials f_i + g_j <= C_ij, with equality at j = σ(i).

    Args:
        C: costs, (n, n), finite.

    Returns:
        σ, (n,), int64, on C's device: row i is matched with column σ(i).

    Raises:
        ValueError: C is not a finite square matrix.

    Source: reduced costs and shortest augmenting paths as in Jonker, Volgenant, 1987,
    https://doi.org/10.1007/BF02278710

    Example:
        >>> assignment(torch.tensor([[4.0, 1.0, 3.0], [2.0, 0.0, 5.0], [3.0, 2.0, 2.0]]))
        tensor([1, 0, 2])
    """
    from scipy.optimize import linear_sum_assignment

    costs = _checked(C)
    if len(costs) < SMALL:
        return torch.from_numpy(linear_sum_assignment(costs.double().numpy())[1]).to(C.device)
    return torch.from_numpy(_certified(costs)[0]).to(C.device)


@checked
def assignment_potentials(C: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Potentials (f, g) of the optimal assignment σ: f_i + g_j <= C_ij, with equality at j = σ(i).

    They solve the dual problem max { Σ f_i + Σ g_j : f_i + g_j <= C_ij } and prove that σ is optimal. Any optimal
    potentials are tight on every optimal assignment (complementary slackness). Both hold to 1e-9 of the largest cost.

    Args:
        C: costs, (n, n), finite.
        sigma: σ, (n,), an optimal assignment, e.g. `assignment(C)`.

    Returns:
        f, g: (n,) and (n,), float64, on C's device; unique up to a constant at best.

    Raises:
        ValueError: C is not a finite square matrix, σ is no permutation, or σ is not optimal.

    Source: Peyré, Cuturi, 2019, https://arxiv.org/abs/1803.00567, section 3

    Example:
        >>> C = torch.tensor([[4.0, 1.0, 3.0], [2.0, 0.0, 5.0], [3.0, 2.0, 2.0]])
        >>> f, g = assignment_potentials(C, assignment(C))
        >>> float(f.sum() + g.sum())
        5.0
    """
    costs = _checked(C)
    n = len(costs)
    if sigma.shape != (n,) or not torch.equal(sigma.detach().cpu().double().sort().values, torch.arange(n).double()):
        raise ValueError(f"sigma must be a permutation of 0..{n - 1}, as `assignment(C)` returns it, got {sigma}")
    columns = sigma.detach().cpu().long().numpy()
    _, f, g = _certified(costs)
    own = costs.numpy()[np.arange(n), columns].astype(np.float64)
    slack = own - f - g[columns]
    if slack.max() > 1e-9 * float(costs.abs().max()):
        raise ValueError(
            f"sigma costs {own.sum():.9g}, and an optimal assignment {f.sum() + g.sum():.9g}; use assignment(C)"
        )
    return torch.from_numpy(f).to(C.device), torch.from_numpy(g).to(C.device)


def _checked(C: Tensor) -> Tensor:
    if C.ndim != 2 or C.shape[0] != C.shape[1] or C.numel() == 0:
        raise ValueError(
            f"an assignment needs a square cost matrix (n, n), n >= 1, got shape {tuple(C.shape)}; use exact_plan for "
            "samples of different sizes"
        )
    costs = C.detach().to("cpu")
    costs = (costs if costs.dtype in (torch.float32, torch.float64) else costs.double()).contiguous()
    # One pass: a sum is finite only if no term is NaN or infinite. The slow test is for sums that overflow.
    if not costs.sum().isfinite() and not costs.isfinite().all():
        raise ValueError("the cost matrix holds NaN or Inf; check the generator's output and the data")
    return costs


def _certified(costs: Tensor) -> tuple[Indices, Floats, Floats]:
    """σ with optimal potentials f and g, float64."""
    minimum, maximum = float(costs.min()), float(costs.max())
    if minimum == maximum:
        return np.arange(len(costs)), np.full(len(costs), minimum), np.zeros(len(costs))
    if costs.dtype == torch.float32 and 1e-25 < maximum - minimum < 1e25:
        return _solved(costs)
    sigma, f, g = _solved((costs.double() - minimum) / (maximum - minimum))
    return sigma, f * (maximum - minimum) + minimum, g * (maximum - minimum)


def _solved(costs: Tensor) -> tuple[Indices, Floats, Floats]:
    problem = _Reduced(costs)
    for neighbours in NEIGHBOURS:
        pairs = problem.near(neighbours)
        for _ in range(ROUNDS):
            if 8 * len(pairs) > problem.n**2:  # ties: the dense problem is the smaller one
                break
            solution = problem.solution(pairs)
            if solution is None:
                break
            sigma, p, q = solution
            violated = problem.violated(p, q)
            if not len(violated):
                return sigma, problem.f + p, problem.g + q
            more = np.union1d(pairs, violated)
            if len(more) == len(pairs):  # beyond the precision of the simplex on these pairs
                break
            pairs = more
    sigma, p, q = problem.dense_solution()
    return sigma, problem.f + p, problem.g + q


class _Reduced:
    """The costs less potentials, R_ij = C_ij − f_i − g_j. Pairs are numbered i n + j.

    R is held in float32 to select the pairs that may be matched. Decisions are computed in float64.
    """

    def __init__(self, costs: Tensor) -> None:
        self.costs = costs.numpy()
        self.n = len(costs)
        minimum, sample = costs.min(), costs[:: -(-self.n // ROWS)]
        # A typical cost: unlike the mean, the median ignores a few huge costs, such as those that forbid a pair.
        self.unit = float(sample.median() - minimum) or float(costs.mean() - minimum)
        f, g, self.screen = _annealed(costs.float(), self.unit)
        self.f, self.g = f.double().numpy(), g.double().numpy()
        size = float(np.abs(self.f).max() + np.abs(self.g).max()) + self.unit
        self.tol, self.rounding = 1e-12 * size, 1e-6 * size
        self.bound = -np.inf  # pairs that are not among the near ones have a reduced cost above it

    def near(self, neighbours: int) -> Indices:
        """The pairs of smallest reduced cost, about `neighbours` a row, numbered i n + j."""
        sample = self.screen[:: -(-self.n // ROWS)].flatten().numpy()
        rank = min(neighbours * len(sample) // self.n, len(sample) - 1)
        threshold = np.partition(sample, rank)[rank]
        self.bound = float(threshold) - self.rounding
        return np.flatnonzero(self.screen.numpy() <= threshold)

    def values(self, pairs: Indices) -> Floats:
        """R at these pairs, in float64."""
        i, j = np.divmod(pairs, self.n)
        reduced: Floats = self.costs.ravel().take(pairs).astype(np.float64) - self.f[i] - self.g[j]
        return reduced

    def solution(self, pairs: Indices) -> tuple[Indices, Floats, Floats] | None:
        """σ among these pairs, with potentials of R that are optimal on them; None if they hold no permutation."""
        from scipy.sparse import coo_matrix

        reduced = self.values(pairs)
        minimum = reduced.min()
        problem = coo_matrix(((reduced - minimum) / self.unit, np.divmod(pairs, self.n)), shape=(self.n, self.n))
        plan, p, q = self._simplex(problem)
        if plan is None:
            return None
        sigma = np.empty(self.n, dtype=np.int64)
        sigma[plan.row] = plan.col
        return sigma, p + minimum, q

    def dense_solution(self) -> tuple[Indices, Floats, Floats]:
        """σ among all pairs, with optimal potentials of R."""
        reduced = self.costs - self.f[:, None] - self.g
        minimum = reduced.min()
        plan, p, q = self._simplex((reduced - minimum) / self.unit)
        if plan is None:
            raise NotConverged(f"the network simplex found no assignment for {self.n} x {self.n} costs")
        return plan.argmax(axis=1), p + minimum, q

    def _simplex(self, problem: Any) -> tuple[Any, Floats, Floats]:
        """POT's plan, None where it failed; its costs must be >= 0 and of order 1, as its tolerances are absolute."""
        import ot

        ones = np.ones(self.n)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a failure is named by the log
            plan, log = ot.emd(ones, ones, problem, numItermax=20_000_000, log=True, center_dual=False)
        return plan if log["warning"] is None else None, log["u"] * self.unit, log["v"] * self.unit

    def violated(self, p: Floats, q: Floats) -> Indices:
        """The pairs with p_i + q_j > R_ij, numbered i n + j."""
        if p.max() + q.max() <= self.bound:
            return np.empty(0, dtype=np.int64)
        left = self.screen - torch.from_numpy(p).float()[:, None]
        left -= torch.from_numpy(q).float()
        margin = self.rounding + 1e-6 * float(np.abs(p).max() + np.abs(q).max())
        pairs = np.flatnonzero(left.numpy() <= margin)
        i, j = np.divmod(pairs, self.n)
        return pairs[self.values(pairs) - p[i] - q[j] < -self.tol]


def _annealed(C: Tensor, unit: float) -> tuple[Tensor, Tensor, Tensor]:
    """Potentials near the optimal ones by Sinkhorn sweeps while ε falls, for costs (n, n) in float32.

    Each level absorbs its scalings, u = e^{Δf/ε}, so its sweeps are products with one kernel. They are over-relaxed
    (Thibault et al., 2017, https://arxiv.org/abs/1711.01851). ε falls until it is well below the reduced cost of a
    row's twelve nearest columns: then the potentials no longer blur it.

    Returns:
        f, g: (n,), and the reduced costs C − f − g, (n, n).
    """
    n = len(C)
    sample = slice(None, None, -(-n // ROWS))
    f = C.amin(dim=1)
    kernel = C - f[:, None]
    g = kernel.amin(dim=0)
    sweeps, epsilon = 6, 0.03 * unit
    while True:
        torch.sub(C, g, out=kernel)
        # Clamped so that no product underflows to slow subnormal numbers.
        kernel.sub_(f[:, None]).mul_(-1 / epsilon).clamp_(-40.0, 40.0).exp_()
        u, v = torch.mv(kernel, torch.ones_like(f)).reciprocal_(), torch.ones_like(f)
        for _ in range(sweeps):
            v.mul_(torch.mv(kernel.T, u).mul_(v).pow_(-1.7))
            u.mul_(torch.mv(kernel, v).mul_(u).pow_(-1.7))
        finer = f + epsilon * u.log_(), g + epsilon * v.log_()
        if not all(bool(potential.isfinite().all()) for potential in finer):
            # Scalings beyond float32: a few costs are many times the typical one. Coarser potentials serve as well.
            return f, g, torch.sub(C, g, out=kernel).sub_(f[:, None])
        f, g = finer
        nearest = (C[sample] - g).sub_(f[sample, None]).flatten().numpy()
        rank = min(12 * len(nearest) // n, len(nearest) - 1)
        if np.partition(nearest, rank)[rank] >= 8 * epsilon or epsilon < 1e-6 * unit:
            return f, g, torch.sub(C, g, out=kernel).sub_(f[:, None])
        sweeps, epsilon = sweeps + 2, epsilon / 4
