"""What is certified of a barycentre: an upper bound by its own plans, lower bounds by potentials.

Every lower bound is the value of potentials that are feasible for the barycentre's dual (Agueh, Carlier, 2011,
https://arxiv.org/abs/1012.5407): Σ_k λ_k ∫ g_k dν_k with Σ_k λ_k h_k(x) >= 0 for all x and g_k(y) <= c(x, y) − h_k(x).
They are made from tables or samples and judged on tables or on other samples, so none is biased upwards.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import NamedTuple, final

import torch
from torch import Tensor

from ot_gen.barycentres.problem import BarycentreProblem, WeightedPoints, is_table
from ot_gen.costs import Cost, SquaredEuclidean
from ot_gen.couplings import weighted_moments
from ot_gen.measures import Measure
from ot_gen.semidual import c_transform
from ot_gen.transport import NotConverged, exact_plan, gaussian_barycentre

REPEATS = 4  # samples of which an upper bound is the mean
MOMENTS = 2**14  # samples from which moments are taken, and on which they are judged
MOST = 2**22  # coordinates of them; costs at a time
PAIRS = 64  # of measures whose distance is computed
JUDGES = 2**13  # samples that judge a table


@final
class Bound(NamedTuple):
    """A value and its standard error, 0 where nothing is sampled."""

    value: float
    se: float = 0.0

    @staticmethod
    def total(parts: list[tuple[float, Bound]]) -> Bound:
        """Σ s B of independent ones."""
        return Bound(sum(s * b.value for s, b in parts), math.hypot(*(s * b.se for s, b in parts)))

    @staticmethod
    def mean(values: Tensor, law: Measure, table: WeightedPoints) -> Bound:
        """The integral of values (m,) against a table, exact where the table is the law itself."""
        values, b = values.double(), table.b.double()
        mean = float(b @ values)
        exact = is_table(law, len(b))
        return Bound(mean, 0.0 if exact else float(values.std()) / len(values) ** 0.5)


def upper_bound(problem: BarycentreProblem, mu: Measure, n: int) -> Bound:
    """Σ_k λ_k W_c(μ, ν_k) by exact plans: of tables itself, else a mean over samples, which is above it."""
    parts = []
    for share, nu in zip(problem.weights, problem.measures, strict=True):
        whole = is_table(mu, n) and is_table(nu, n)
        values = [
            _plan_cost(problem.cost, WeightedPoints.of(mu, n), WeightedPoints.of(nu, n))
            for _ in range(1 if whole else REPEATS)
        ]
        mean = torch.tensor(values, dtype=torch.float64, device="cpu")
        parts.append((share, Bound(float(mean.mean()), 0.0 if whole else float(mean.std()) / len(mean) ** 0.5)))
    return Bound.total(parts)


def _plan_cost(cost: Cost, x: WeightedPoints, y: WeightedPoints) -> float:
    return float(exact_plan(cost.matrix(x.y, y.y), x.masses, y.masses).value)


def lower_bound_on(problem: BarycentreProblem, support: Tensor, h: list[Tensor], n: int) -> Bound:
    """That of potentials h_k (n,) on the points of a support, for all laws on them.

    min_i Σ_k λ_k h_k(i) + Σ_k λ_k E_{y ~ ν_k}[min_i c(x_i, y) − h_k(i)]
    """
    parts = [(1.0, Bound(float(problem.mean(h).min())))]
    for share, nu, table in zip(problem.weights, problem.measures, h, strict=True):
        judged = WeightedPoints.of(nu, n if is_table(nu, n) else JUDGES)
        tiles = judged.y.split(max(1, MOST // len(support)))
        values = [(problem.cost.matrix(support, y).double() - table[:, None]).amin(dim=0) for y in tiles]
        parts.append((share, Bound.mean(torch.cat(values), nu, judged)))
    return Bound.total(parts)


def lower_bound(problem: BarycentreProblem, n: int) -> Bound:
    """The best known one for all laws on the whole space.

    For ‖x − y‖² the larger of Σ_{k<l} λ_k λ_l W₂²(ν_k, ν_l) and of the value of the Gaussians of the same moments: the
    first is sharp for two measures, on the line and for translations, the second for elliptical laws of one kind.
    For a distance Σ_{k<l} w_kl W(ν_k, ν_l), by the triangle inequality, with the best w >= 0, Σ_l w_kl <= λ_k. For
    others 0.
    """
    if len(problem.measures) == 1:
        return Bound(0.0 if problem.cost.is_nonnegative else -math.inf)
    if isinstance(problem.cost, SquaredEuclidean):
        bounds = [_by_moments(problem), _by_pairs(problem, n, None)]
        return max(bounds, key=lambda bound: bound.value - 2 * bound.se)
    if problem.cost.is_metric:
        return _by_pairs(problem, n, problem.weights)
    return Bound(0.0 if problem.cost.is_nonnegative else -math.inf)


def _by_pairs(problem: BarycentreProblem, n: int, capacities: list[float] | None) -> Bound:
    # Any of them give a bound: of many measures those of the largest weights.
    order = sorted(range(len(problem.measures)), key=lambda k: -problem.weights[k])
    pairs = sorted(combinations(order, 2), key=lambda p: -problem.weights[p[0]] * problem.weights[p[1]])[:PAIRS]
    bounds = [_apart(problem.cost, problem.measures[k], problem.measures[m], n) for k, m in pairs]
    if capacities is not None:
        shares = _matching(pairs, [bound.value for bound in bounds], capacities)
    else:
        shares = [problem.weights[k] * problem.weights[m] for k, m in pairs]
    return Bound.total(list(zip(shares, bounds, strict=True)))


def _matching(pairs: list[tuple[int, int]], values: list[float], capacities: list[float]) -> list[float]:
    """max Σ w_p v_p over w >= 0 with Σ over the pairs of k of w_p <= capacity of k."""
    from scipy.optimize import linprog

    rows = [[float(k in pair) for pair in pairs] for k in range(len(capacities))]
    unit = max(values) or 1.0
    solved = linprog([-value / unit for value in values], A_ub=rows, b_ub=capacities, bounds=(0, None))
    return [float(w) for w in solved.x] if solved.status == 0 else [0.0] * len(pairs)


def _apart(cost: Cost, first: Measure, second: Measure, n: int) -> Bound:
    """A lower bound of W_c between two measures of which one at least is a table; 0 between two laws.

    The plan of a sample against a table is biased upwards. Its potentials are judged on another sample.
    """
    if not is_table(second, n):
        first, second = second, first
    if not is_table(second, n):
        return Bound(0.0)
    x, y = WeightedPoints.of(first, n), WeightedPoints.of(second, n)
    plan = exact_plan(cost.matrix(x.y, y.y), x.masses, y.masses)
    if is_table(first, n):
        return Bound(float(plan.dual_value))
    g, fresh = plan.potentials[1].to(y.y), WeightedPoints.of(first, JUDGES)
    part = Bound.mean(c_transform(cost, fresh.y, y.y, g)[0], first, fresh)
    return Bound(part.value + float(y.b.double() @ g.double()), part.se)


def _by_moments(problem: BarycentreProblem) -> Bound:
    """Σ_k λ_k E[‖y‖² − (y − m_k)ᵀA_k⁻¹(y − m_k) − 2⟨m, y − m_k⟩] − ‖m‖², m = Σ_k λ_k m_k, Σ_k λ_k A_k <= I.

    The potentials are ‖x‖² − 2φ_k(x) with φ_k(x) = ½(x − m)ᵀA_k(x − m) + ⟨m_k, x⟩; A_k are the maps of Gaussians.
    """
    size = max(2, min(MOMENTS, MOST // problem.dim))
    fitted = [WeightedPoints.of(law, size) for law in problem.measures]
    moments = [weighted_moments(*table) for table in fitted]
    try:
        maps = gaussian_barycentre([S for _, S in moments], torch.tensor(problem.weights, device="cpu")).maps
    except NotConverged:
        return Bound(0.0)
    m = problem.mean([mean for mean, _ in moments])
    most = float(torch.linalg.eigvalsh(problem.mean(maps)).max().clamp_min(1.0))
    parts = [(1.0, Bound(0.0))]
    for share, law, table, (mean, _), A in zip(problem.weights, problem.measures, fitted, moments, maps, strict=True):
        judged = table if is_table(law, size) else WeightedPoints.of(law, size)
        away = judged.y.double() - mean
        inverse = torch.linalg.pinv(A / most, hermitian=True)
        # ‖y‖² and ‖m‖² apart would cancel: ‖y − m‖² = ‖y‖² − 2⟨m, y⟩ + ‖m‖², and 2⟨m, m_k⟩ averages to 2‖m‖².
        values = (judged.y.double() - m).square().sum(dim=1) - ((away @ inverse) * away).sum(dim=1)
        parts.append((share, Bound.mean(values, law, judged)))
    return Bound.total(parts)
