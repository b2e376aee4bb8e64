"""Optimal assignments: exact plans between equally many samples of equal mass, and the potentials that prove them.

Subtracting potentials from the cost moves no assignment. With those of annealed Sinkhorn, which are nearly optimal,
only pairs of small reduced cost are worth matching. The network simplex of POT solves the sparse problem of these
candidates. Its potentials are checked on all pairs, and pairs that violate them join the candidates, until none does.
So the result is certified to be optimal. Where few points or many ties make another way faster, SciPy searches all
reduced costs for augmenting paths, which is exact too, and fast as few of the paths are long.
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

Singles = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

TINY, SMALL = 96, 384  # below these potentials do not pay, and a dense search is the faster (benchmarks/exact_plan.py)
NEIGHBOURS = 16  # candidates per row, on average
ROWS = 16  # of the matrix, a sample that shows how its small entries are distributed
ROUNDS = 8  # of adding violated pairs
DEEP = 80.0  # reduced costs in units of ε whose kernel float32 holds
SWEEPS, HARD = 160, 12  # in all at most, and of a level where laws do not differ much


@checked
def assignment(C: Tensor) -> Tensor:
    """The optimal assignment: the permutation σ that minimises Σ_i C_{i σ(i)}.

    With uniform masses 1/n, P_ij = 1/n at j = σ(i) is an optimal plan (Birkhoff, von Neumann). The excess cost is 0
    up to the rounding of float64. `assignment_potentials` proves it: f_i + g_j <= C_ij, with equality at j = σ(i).

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
    if len(costs) < TINY:
        sigma = linear_sum_assignment(costs.double().numpy())[1]
    else:
        problem = _Reduced(_in_range(costs)[0])
        solution = _solved(problem, problem.near()) if len(costs) >= SMALL else None
        sigma = problem.search() if solution is None else solution[0]
    return torch.from_numpy(sigma).to(C.device)


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
    places = sigma.detach().to("cpu", torch.float64).sort().values
    if sigma.shape != (n,) or not torch.equal(places, torch.arange(n, dtype=torch.float64, device="cpu")):
        raise ValueError(f"sigma must be a permutation of 0..{n - 1}, as `assignment(C)` returns it, got {sigma}")
    columns = sigma.detach().cpu().long().numpy()
    f, g = _certified(costs, columns)
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


def _certified(costs: Tensor, sigma: Indices) -> tuple[Floats, Floats]:
    """Optimal potentials f and g, float64; the pairs of σ, a permutation, make the near pairs feasible."""
    costs, minimum, unit = _in_range(costs)
    problem = _Reduced(costs)
    _, p, q = _solved(problem, np.union1d(problem.near(), problem.pairs(sigma))) or problem.dense_solution()
    return (problem.f + p) * unit + minimum, (problem.g + q) * unit


def _in_range(costs: Tensor) -> tuple[Tensor, float, float]:
    """The costs less a constant and divided by another such that float32 holds them, and these constants."""
    minimum, maximum = float(costs.min()), float(costs.max())
    if costs.dtype == torch.float32 and 1e-25 < maximum - minimum < 1e25:
        return costs, 0.0, 1.0
    unit = maximum - minimum or 1.0
    return (costs.double() - minimum) / unit, minimum, unit


def _solved(problem: _Reduced, pairs: Indices) -> tuple[Indices, Floats, Floats] | None:
    """σ and optimal potentials of R, from these pairs and those that violate them; None if they hold no permutation.

    None also where ties make the dense problem the smaller one.
    """
    for _ in range(ROUNDS):
        if 8 * len(pairs) > problem.n**2:
            return None
        solution = problem.solution(pairs)
        if solution is None:
            return None
        violated = problem.violated(*solution[1:])
        if not len(violated):
            return solution
        more = np.union1d(pairs, violated)
        if len(more) == len(pairs):  # beyond the precision of the simplex on these pairs
            return None
        pairs = more
    return None


class _Reduced:
    """The costs less potentials, R_ij = C_ij − f_i − g_j. Pairs are numbered i n + j.

    R is held in float32 to select the pairs that may be matched. Decisions are computed in float64.
    """

    def __init__(self, costs: Tensor) -> None:
        self.costs = costs.numpy()
        self.n = len(costs)
        sample = self.costs[:: -(-self.n // ROWS)]
        minimum = self.costs.min()
        # A typical cost: unlike the mean, the median ignores a few huge costs, such as those that forbid a pair.
        self.unit = float(np.median(sample) - minimum) or float(self.costs.mean() - minimum) or 1.0
        f, g, self.screen = _annealed(self.costs.astype(np.float32, copy=False), self.unit)
        self.f, self.g = f.astype(np.float64), g.astype(np.float64)
        size = float(np.abs(self.f).max() + np.abs(self.g).max()) + self.unit
        self.tol, self.rounding = 1e-12 * size, 1e-6 * size
        self.bound = -np.inf  # pairs that are not among the near ones have a reduced cost above it

    def near(self) -> Indices:
        """The pairs of smallest reduced cost, about `NEIGHBOURS` a row."""
        sample = self.screen[:: -(-self.n // ROWS)].flatten()
        rank = min(NEIGHBOURS * len(sample) // self.n, len(sample) - 1)
        threshold = np.partition(sample, rank)[rank]
        self.bound = float(threshold) - self.rounding
        return np.flatnonzero(self.screen <= threshold)

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

    def matrix(self) -> Floats:
        """R, in float64."""
        reduced: Floats = self.costs - self.f[:, None]
        reduced -= self.g
        return reduced

    def pairs(self, sigma: Indices) -> Indices:
        """The pairs (i, σ(i))."""
        pairs: Indices = np.arange(self.n) * self.n + sigma
        return pairs

    def search(self) -> Indices:
        """σ by shortest augmenting paths among all pairs: few are long, as the potentials are nearly optimal."""
        from scipy.optimize import linear_sum_assignment

        sigma: Indices = linear_sum_assignment(self.matrix())[1]
        return sigma

    def dense_solution(self) -> tuple[Indices, Floats, Floats]:
        """σ among all pairs, with optimal potentials of R."""
        reduced = self.matrix()
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
        """The pairs with p_i + q_j > R_ij."""
        if p.max() + q.max() <= self.bound:
            return np.empty(0, dtype=np.int64)
        left = self.screen - p.astype(np.float32)[:, None]
        left -= q.astype(np.float32)
        margin = np.float32(self.rounding + 1e-6 * float(np.abs(p).max() + np.abs(q).max()))
        pairs = np.flatnonzero(left <= margin)
        i, j = np.divmod(pairs, self.n)
        return pairs[self.values(pairs) - p[i] - q[j] < -self.tol]


@np.errstate(all="ignore")  # scalings beyond float32 are seen
def _annealed(C: Singles, unit: float) -> tuple[Singles, Singles, Singles]:
    """Potentials near the optimal ones by Sinkhorn sweeps while ε falls, for costs (n, n) in float32.

    Each level starts from c-transforms, which leave every row and column a pair of reduced cost 0. It absorbs its
    scalings, u = e^{Δf/ε}, so its sweeps are products with one kernel. They are over-relaxed (Thibault et al., 2017,
    https://arxiv.org/abs/1711.01851), and go on until the masses are about right. Where laws differ that takes many
    sweeps, and ε falls slowly, since mass that has far to go moves while ε is large. ε falls until it is well below the
    reduced cost of a row's twelve nearest columns: then the potentials no longer blur it.

    Returns:
        f, g: (n,), and the reduced costs C − f − g, (n, n).
    """
    n = len(C)
    some = slice(None, None, -(-n // ROWS))
    f, g = C.min(axis=1), np.zeros(n, dtype=np.float32)
    kernel, epsilon, left = np.empty_like(C), 0.0, min(n // 6, SWEEPS)
    product = torch.from_numpy(kernel)  # by torch, which has the threads that it was given
    while True:
        np.subtract(C, f[:, None], out=kernel)
        columns = kernel.min(axis=0)
        kernel -= columns
        rows = kernel.min(axis=1)
        kernel -= rows[:, None]
        epsilon = epsilon or min(max(float(kernel.max()) / DEEP, 0.1 * unit), 100 * unit)
        kernel *= np.float32(-1 / epsilon)
        # Clamped so that no product underflows to slow subnormal numbers. A clamped pair carries mass it should not.
        np.maximum(kernel, np.float32(-DEEP), out=kernel)
        np.exp(kernel, out=kernel)
        u, v, sweeps, error = 1 / kernel.sum(axis=1), np.ones_like(g), 0, np.inf
        while sweeps < left and (sweeps < 4 or error > 0.05):
            masses = v * torch.mv(product.T, torch.from_numpy(u)).numpy()
            v *= masses**-1.7
            u *= (u * torch.mv(product, torch.from_numpy(v)).numpy()) ** -1.7
            sweeps, error = sweeps + 1, np.abs(masses - 1).mean()
        finer = f + rows + np.float32(epsilon) * np.log(u), columns + np.float32(epsilon) * np.log(v)
        if not all(np.isfinite(potential).all() for potential in finer):
            break  # a few costs are many times the typical one; coarser potentials serve as well
        f, g = finer
        nearest = (C[some] - g - f[some, None]).ravel()
        rank = min(12 * len(nearest) // n, len(nearest) - 1)
        left -= sweeps
        if np.partition(nearest, rank)[rank] >= 8 * epsilon or epsilon < 1e-5 * unit or left == 0:
            break
        epsilon /= 4 if sweeps <= HARD else 2
    np.subtract(C, g, out=kernel)
    kernel -= f[:, None]
    return f, g, kernel
