"""Plans that need not carry all mass, for data with outliers: their values bound no transport cost."""

from __future__ import annotations

import torch
from torch import Tensor

from ot_gen.arguments import Count, Positive, checked
from ot_gen.measures import widened
from ot_gen.transport.plan import Dual, Pairs, SparsePlan
from ot_gen.transport.plans import exact_plan
from ot_gen.transport.problem import NotConverged, Problem, problem
from ot_gen.transport.simplex import vertex

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
            = 2 λ (1 − mass)

    with KL(p | q) = Σ p log(p / q) − p + q. At the optimum P 1 = a exp(−f / λ) and Pᵀ 1 = b exp(−g / λ). A point with
    a potential of many λ, an outlier, carries almost no mass; every other one carries about what it was given. `value`
    is ⟨P, C⟩, the cost of the mass that moves. It falls to 0 with that mass, and is no bound of W_c. As λ grows the
    plan becomes exact.

    The multiplicative updates of POT (Chapel et al., 2021, https://arxiv.org/abs/2106.04145) give the marginals. The
    plan is the exact one between these. It has few pairs, and an error in the marginals enters its objective squared.
    The potentials are the best on the way from those of the updates to those of the exact plan. Both sides of duality
    are feasible, so the gap between them proves the accuracy. (Entropic iterations solve another problem: their blur
    draws a generator to barycentres.)

    Args:
        C: costs >= 0, (n, m), finite.
        a, b: masses; None means uniform.
        penalty: λ > 0, in the units of the cost: about the cost from which on a point should be given up.
        tol: largest gap between both sides of duality, as a fraction of min(⟨a ⊗ b, C⟩, 2 λ), the objective of the
            better of the two trivial plans a ⊗ b and 0.
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
    # The second term is rounding, all that there is where the costs are 0.
    allowed = tol * min(float((P * given.C).sum()), 2 * penalty) + 1e-12 * penalty
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
            return SparsePlan(C, None, plan.solve_dual, plan.pairs.like(C))
        if done >= max_iterations:
            raise NotConverged(
                f"the unbalanced plan left a gap of {gap:.2g} > {allowed:.2g} to its dual after {done} iterations at "
                f"penalty = {penalty:g}; raise tol or max_iterations, or lower the penalty"
            )
        steps = min(done, max_iterations - done)


@checked
def partial_plan(C: Tensor, a: Tensor | None = None, b: Tensor | None = None, *, mass: float) -> SparsePlan:
    """The cheapest plan that carries a given part of the mass: what is far from everything stays behind.

        min { ⟨P, C⟩ : P 1 <= a, Pᵀ 1 <= b, Σ P = s, P >= 0 }
            = max { Σ_i a_i f_i + Σ_j b_j g_j − (1 − s) t : f_i + g_j <= C_ij, f_i <= t / 2, g_j <= t / 2 }

    t is the price of the last unit of mass. Only points at f_i = t / 2 (or g_j = t / 2) leave mass behind. `value` is
    ⟨P, C⟩, the cost of the mass s that moves. It is at most the exact cost, so it is no bound of W_c. It does not grow
    as outliers move away, as long as their mass is less than 1 − s on each side.

    POT solves a linear programme with one more point on each side, which takes what is left behind (Chapel et al.,
    2020, https://arxiv.org/abs/2002.08276).

    Args:
        C: costs, (n, m), finite.
        a, b: masses; None means uniform.
        mass: s, the part of the total mass 1 to carry, 0 < s <= 1; s = 1 is `exact_plan`.

    Returns:
        The plan, in C's dtype, float32 at least, and on its device; `bound` None for s < 1, `penalty` 0.

    Raises:
        ValueError: s is not in (0, 1], C is not a finite matrix, or a or b no masses for it.
        NotConverged: the simplex did not finish.

    Example:
        >>> plan = partial_plan(torch.tensor([[0.0, 4.0], [1.0, 99.0]]), mass=0.5)
        >>> plan.matrix
        tensor([[0.5000, 0.0000],
                [0.0000, 0.0000]])
    """
    if not 0 < mass <= 1:
        raise ValueError(f"a partial plan carries a mass in (0, 1], got {mass}")
    if mass == 1:
        return exact_plan(C, a, b)
    given = problem(C, a, b)
    C = widened(C.detach(), "costs")
    P, u, v = vertex(_with_rest(given, mass))

    def dual() -> Dual:
        f, g = u[:-1], v[:-1]
        # The added points' potentials are −max f and −max g: shared out evenly, both sides have the ceiling t / 2.
        ceiling = (f.max() + g.max() + given.C.min()) / 2
        f = f - f.max() + ceiling
        g = (given.C - f[:, None]).amin(dim=0).clamp_max(ceiling)
        f = (given.C - g).amin(dim=1).clamp_max(ceiling)
        value = given.a @ f + given.b @ g - 2 * (1 - mass) * ceiling
        return Dual(f, g, value, torch.zeros_like(value))

    return SparsePlan(C, None, dual, Pairs.of((2 - mass) * P[:-1, :-1]).like(C))


def _with_rest(given: Problem, mass: float) -> Problem:
    """The problem with one more point on each side, which takes what is left behind, at no cost but from each other."""
    C, a, b = given
    rest = a.new_full((1,), 1 - mass)
    costs = torch.nn.functional.pad(C - C.min(), (0, 1, 0, 1))
    costs[-1, -1] = 3 * costs.max() or 1.0
    return Problem(costs, torch.cat([a, rest]) / (2 - mass), torch.cat([b, rest]) / (2 - mass))


def _finished(given: Problem, q: Tensor, penalty: float) -> SparsePlan:
    """A plan and potentials, feasible both, from a guess of the plan's second marginal."""
    C, a, b = given
    # Columns with almost no mass determine no potential: the c-transforms give them theirs.
    f = (C - torch.where(q > _SMALLEST_MASS * b, -penalty * (q / b).log(), -torch.inf)).amin(dim=1)
    g = (C - f[:, None]).amin(dim=0)
    f = (C - g).amin(dim=1)
    p, q = (_softmax(-f / penalty, a), _softmax(-g / penalty, b))
    exact = exact_plan(C, p, q)
    # Of all multiples s of the exact plan the best; with it ⟨P, C⟩ + λ KL + λ KL is 2 λ (1 − s).
    divergence = torch.xlogy(p, p / a).nansum() + torch.xlogy(q, q / b).nansum()
    s = (-(exact.value / penalty + divergence) / 2).exp()
    # Of all (f + t, g − t) the best has the value 2 λ (1 − √(left · right)), its two sides keeping one mass.
    way = torch.linspace(0, 1, 33, dtype=C.dtype).square()[:, None]
    u, v = exact.potentials
    left = torch.logsumexp(-(f + way * (u - f)) / penalty + a.log(), dim=1)
    right = torch.logsumexp(-(g + way * (v - g)) / penalty + b.log(), dim=1)
    best = (left + right).argmin()
    shift = penalty / 2 * (left - right)[best]
    f, g = f + way[best] * (u - f) + shift, g + way[best] * (v - g) - shift
    value = 2 * penalty * (1 - ((left + right)[best] / 2).exp())
    dual = Dual(f, g, value, 2 * penalty * (1 - s) - s * exact.value)
    return SparsePlan(C, None, lambda: dual, exact.pairs._replace(mass=s * exact.pairs.mass))


def _softmax(h: Tensor, weights: Tensor) -> Tensor:
    p = torch.softmax(h + weights.log(), dim=0)
    p = torch.where(p > 1e-15, p, 0.0)  # less is rounding to the simplex
    return p / p.sum()
