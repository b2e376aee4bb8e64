"""Plans that need not carry all mass, for data with outliers: their values bound no transport cost."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ot_gen.arguments import Count, Positive, checked
from ot_gen.measures import widened
from ot_gen.transport.plan import Dual, Pairs, SparsePlan
from ot_gen.transport.plans import exact_plan, relative_entropy
from ot_gen.transport.problem import NotConverged, Problem, problem, totals
from ot_gen.transport.simplex import vertex

EXACT = 1e13  # largest costs from which on a penalty leaves no more mass than rounding
_SMALLEST_MASS = 1e-9  # below it the constant by which POT keeps its divisions finite changes the result


@checked
def unbalanced_plan(
    C: Tensor,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    penalty: Positive,
    tol: Positive = 1e-3,
    max_iterations: Count = 20_000,
) -> SparsePlan:
    """The plan P >= 0 whose marginals may leave a and b at a price λ, without entropic blur.

        min over P >= 0 of ⟨P, C⟩ + λ KL(P 1 | a) + λ KL(Pᵀ 1 | b)
            = max { λ Σ_i a_i (1 − exp(−f_i / λ)) + λ Σ_j b_j (1 − exp(−g_j / λ)) : f_i + g_j <= C_ij }
            = λ (A + B − 2 mass),    A = Σ_i a_i,  B = Σ_j b_j

    with KL(p | q) = Σ p log(p / q) − p + q. The masses are what was given, and A and B may differ. At the optimum P 1
    = a exp(−f / λ) and Pᵀ 1 = b exp(−g / λ). A point with a potential of many λ, an outlier, carries almost no mass;
    every other one carries about what it was given. `value` is ⟨P, C⟩, the cost of the mass that moves. It falls to 0
    with that mass, and is no bound of W_c. As λ grows the plan becomes exact.

    The multiplicative updates of POT (Chapel et al., 2021, https://arxiv.org/abs/2106.04145) give the marginals. The
    plan is the exact one between these. It has few pairs, and an error in the marginals enters its objective squared.
    The potentials are the best on the way from those of the updates to those of the exact plan. Both sides of duality
    are feasible, so the gap between them proves the accuracy. Totals are no difficulty: √(AB) Q is optimal for a and b
    if Q is so for a / A and b / B, and its objective is √(AB) times as large, plus λ (√A − √B)². (Entropic iterations
    solve another problem: their blur draws a generator to barycentres.)

    Args:
        C: costs >= 0, (n, m), finite.
        a, b: masses >= 0 of any totals A, B > 0; None means 1/n and 1/m each.
        penalty: λ > 0, in the units of the cost: about the cost from which on a point should be given up.
        tol: largest gap between both sides of duality, as a fraction of what the better of two trivial plans pays
            beyond λ (√A − √B)², the price of unequal totals: min(⟨a ⊗ b, C⟩ / √(AB), 2 λ √(AB)).
        max_iterations: after these without reaching `tol` the solve fails, loudly.

    Returns:
        The plan, in C's dtype, float32 at least, and on its device; `bound` None, `penalty` the two λ KL.

    Raises:
        ValueError: λ is not positive or so small that no mass moves, C is not a finite matrix of costs >= 0, or a or b
            no masses for it.
        NotConverged: `tol` was not reached.

    Example:
        >>> plan = unbalanced_plan(torch.tensor([[0.0, 9.0], [1.0, 9.0]]), penalty=1.0)
        >>> [round(float(q), 2) for q in plan.marginals[1]]  # the second point is far from both rows
        [0.58, 0.0]
    """
    import ot

    given = problem(C, a, b)
    C = widened(C.detach(), "costs")
    if bool((given.C < 0).any()):
        raise ValueError(
            f"an unbalanced plan needs costs >= 0, got {float(given.C.min()):g}: a negative cost creates mass; add a "
            "constant to the cost or use exact_plan"
        )
    P = given.a[:, None] * given.b
    # The other terms are rounding, all that there is where the costs are 0.
    rounding = 1e-12 * min(float(given.C.max()), penalty) + 1e-24 * penalty
    allowed = tol * min(float((P * given.C).sum()), 2 * penalty) + rounding
    done, steps = 0, min(30, max_iterations)
    while True:
        P = ot.unbalanced.mm_unbalanced(
            given.a, given.b, given.C, penalty, div="kl", G0=P, numItermax=steps, stopThr=0.0
        )
        if not float(P.sum()) > _SMALLEST_MASS:
            raise ValueError(
                f"an unbalanced plan moves no mass at penalty = {penalty:g}, far below the smallest cost, "
                f"{float(given.C.min()):.3g}; raise the penalty"
            )
        plan = _finished(given, P.sum(dim=0), penalty)
        gap = float(plan.value + plan.penalty - plan.dual_value)
        done += steps
        if gap <= allowed:
            return _of_totals(plan, *totals(a, b), penalty, C)
        if done >= max_iterations:
            raise NotConverged(
                f"the unbalanced plan left a gap of {gap:.2g} > {allowed:.2g} to its dual after {done} iterations at "
                f"penalty = {penalty:g}; raise tol or max_iterations, or lower the penalty"
            )
        steps = min(done, max_iterations - done)


def _of_totals(plan: SparsePlan, left: float, right: float, penalty: float, C: Tensor) -> SparsePlan:
    """The plan and potentials for masses of totals A, B from those for totals 1; their sum f + g stays."""
    size = math.sqrt(left) * math.sqrt(right)
    shift = penalty / 2 * (math.log(left) - math.log(right))
    rest = penalty * (math.sqrt(left) - math.sqrt(right)) ** 2

    def dual() -> Dual:
        f, g, value, paid = plan.solve_dual()
        return Dual(f + shift, g - shift, size * value + rest, size * paid + rest)

    return SparsePlan(C, None, dual, plan.pairs._replace(mass=size * plan.pairs.mass).like(C))


@checked
def partial_plan(C: Tensor, a: Tensor | None = None, b: Tensor | None = None, *, mass: float) -> SparsePlan:
    """The cheapest plan that carries a given mass: what is far from everything stays behind.

        min { ⟨P, C⟩ : P 1 <= a, Pᵀ 1 <= b, Σ P = s, P >= 0 }
            = max { Σ_i a_i f_i + Σ_j b_j g_j − (½ (A + B) − s) t : f_i + g_j <= C_ij, f_i <= t / 2, g_j <= t / 2 }

    with A = Σ a and B = Σ b. The masses are what was given, and A and B may differ. t is the price of the last unit of
    mass. Only points at f_i = t / 2 (or g_j = t / 2) leave mass behind. `value` is ⟨P, C⟩, the cost of the mass s that
    moves. For A = B = 1 it is at most the exact cost, so it is no bound of W_c. It does not grow as outliers move
    away, as long as their mass is less than A − s and B − s.

    POT solves a linear programme with one more point on each side, which takes what is left behind (Chapel et al.,
    2020, https://arxiv.org/abs/2002.08276).

    Args:
        C: costs, (n, m), finite.
        a, b: masses >= 0 of any totals A, B > 0; None means 1/n and 1/m each.
        mass: s, the mass to carry, in the units of a and b, 0 < s <= min(A, B); s = A = B is `exact_plan`. It may
            exceed the totals by the rounding of their dtype.

    Returns:
        The plan, in C's dtype, float32 at least, and on its device; `bound` None unless s = A = B, `penalty` 0.

    Raises:
        ValueError: s is not in (0, min(A, B)], C is not a finite matrix, or a or b no masses for it.
        NotConverged: the simplex did not finish.

    Example:
        >>> plan = partial_plan(torch.tensor([[0.0, 4.0], [1.0, 99.0]]), mass=0.5)
        >>> plan.matrix
        tensor([[0.5000, 0.0000],
                [0.0000, 0.0000]])
    """
    given = problem(C, a, b)
    left, right = totals(a, b)
    rounding = max(
        (16 * torch.finfo(w.dtype).eps for w in (a, b) if w is not None and w.is_floating_point()), default=0
    )
    if not 0 < mass <= min(left, right) * (1 + rounding):
        raise ValueError(
            f"a partial plan carries a mass in (0, min(Σ a, Σ b)] = (0, {min(left, right):g}], got {mass}; masses "
            "count as they are given, and None as 1/n each"
        )
    if mass >= max(left, right) * (1 - rounding):
        return _times(exact_plan(C, a, b), mass)
    C = widened(C.detach(), "costs")
    # No point carries more than s, so what it has beyond 2 s, out of all proportion perhaps, stays behind for certain.
    a, b = (left * given.a).clamp_max(2 * mass), (right * given.b).clamp_max(2 * mass)
    P, u, v = vertex(_with_rest(given.C, a, b, mass))
    total = a.sum() + b.sum() - mass

    def dual() -> Dual:
        f, g = u[:-1], v[:-1]
        # The added points' potentials are −max f and −max g: shared out evenly, both sides have the ceiling t / 2.
        ceiling = (f.max() + g.max() + given.C.min()) / 2
        f = f - f.max() + ceiling
        g = (given.C - f[:, None]).amin(dim=0).clamp_max(ceiling)
        f = (given.C - g).amin(dim=1).clamp_max(ceiling)
        value = a @ (f - ceiling) + b @ (g - ceiling) + 2 * mass * ceiling
        return Dual(f, g, value, torch.zeros_like(value))

    return SparsePlan(C, None, dual, Pairs.of(total * P[:-1, :-1]).like(C))


def _times(plan: SparsePlan, mass: float) -> SparsePlan:
    """The plan of `mass` times the masses: its values are that many times as large, its potentials the same."""

    def dual() -> Dual:
        f, g, value, penalty = plan.solve_dual()
        return Dual(f, g, mass * value, mass * penalty)

    if mass == 1:
        return plan
    return SparsePlan(plan.C, plan.bound, dual, plan.pairs._replace(mass=mass * plan.pairs.mass))


def _with_rest(C: Tensor, a: Tensor, b: Tensor, mass: float) -> Problem:
    """The problem with one more point on each side, which takes what is left behind, at no cost but from each other."""
    costs = torch.nn.functional.pad(C - C.min(), (0, 1, 0, 1))
    costs[-1, -1] = 3 * costs.max() or 1.0
    # What stays behind on one side comes to the point that is added to the other.
    a, b = (torch.cat([own, (other.sum() - mass).clamp_min(0)[None]]) for own, other in ((a, b), (b, a)))
    return Problem(costs, a / a.sum(), b / b.sum())


def _finished(given: Problem, q: Tensor, penalty: float) -> SparsePlan:
    """A plan and potentials, feasible both, from a guess of the plan's second marginal."""
    C, a, b = given
    # Columns with almost no mass determine no potential: the c-transforms give them theirs.
    f = (C - torch.where(q > _SMALLEST_MASS * b, -penalty * (q / b).log(), -torch.inf)).amin(dim=1)
    g = (C - f[:, None]).amin(dim=0)
    f = (C - g).amin(dim=1)
    p, q = (_softmax(-f / penalty, a), _softmax(-g / penalty, b))
    if is_exact := bool(penalty > EXACT * C.max()):  # what the updates say is rounding
        p, q = a, b
    exact = exact_plan(C, p, q)
    # Of all multiples s of the exact plan the best; with it ⟨P, C⟩ + λ KL + λ KL is 2 λ (1 − s). For a large λ, 1 − s
    # and all like it are far below 1: they are computed without it.
    logarithm = -(exact.value / penalty + relative_entropy(p, a) + relative_entropy(q, b)) / 2
    s = logarithm.exp()
    # Of all (f + t, g − t) the best has the value 2 λ (1 − √(left · right)), its two sides keeping one mass.
    u, v = exact.potentials
    if is_exact:
        f, g = u, v
    way = torch.linspace(0, 1, 33, dtype=C.dtype, device=C.device).square()[:, None]
    left = _log_mean_exp(-(f + way * (u - f)) / penalty, a)
    right = _log_mean_exp(-(g + way * (v - g)) / penalty, b)
    best = (left + right).argmin()
    shift = penalty / 2 * (left - right)[best]
    f, g = f + way[best] * (u - f) + shift, g + way[best] * (v - g) - shift
    value = -2 * penalty * torch.expm1((left + right)[best] / 2)
    dual = Dual(f, g, value, -2 * penalty * torch.expm1(logarithm) - s * exact.value)
    return SparsePlan(C, None, lambda: dual, exact.pairs._replace(mass=s * exact.pairs.mass))


def _log_mean_exp(h: Tensor, weights: Tensor) -> Tensor:
    """log Σ_i w_i exp(h_i) along rows (k, n), for weights of total 1, to all digits also where h is near 0."""
    if float(h.abs().max()) < 0.1:
        return (torch.expm1(h) @ weights).log1p()
    return torch.logsumexp(h + weights.log(), dim=1)


def _softmax(h: Tensor, weights: Tensor) -> Tensor:
    p = torch.softmax(h + weights.log(), dim=0)
    p = torch.where(p > 1e-15, p, 0.0)  # less is rounding to the simplex
    return p / p.sum()
