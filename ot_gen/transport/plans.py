"""Exact and entropic plans, which join their two masses."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.special import xlog1py

from ot_gen.arguments import Count, Nonnegative, Positive, checked
from ot_gen.measures import widened
from ot_gen.transport.assignment import assignment, assignment_potentials
from ot_gen.transport.entropic import sinkhorn_potentials
from ot_gen.transport.plan import DensePlan, Dual, Pairs, SparsePlan
from ot_gen.transport.problem import NotConverged, Problem, problem
from ot_gen.transport.simplex import vertex


@checked
def exact_plan(C: Tensor, a: Tensor | None = None, b: Tensor | None = None) -> SparsePlan:
    """An optimal plan P of the linear programme, and the potentials of its dual.

        min { ⟨P, C⟩ : P 1 = a, Pᵀ 1 = b, P >= 0 }  =  max { Σ_i a_i f_i + Σ_j b_j g_j : f_i + g_j <= C_ij }

    Complementary slackness: f_i + g_j = C_ij where P_ij > 0. The potentials are defined up to a constant, f + t and
    g − t, chosen such that Σ a f = Σ b g.

    Solved in float64 on the CPU. Uniform masses of equal sizes are an `assignment`, whose potentials follow when asked
    for. Others go to the network simplex (`transport.simplex.vertex`), and are checked by their duality gap.

    Args:
        C: costs, (n, m), finite.
        a, b: masses, (n,) and (m,), non-negative, divided by their total; None means uniform.

    Returns:
        The plan, with at most n + m − 1 pairs, in C's dtype, float32 at least, and on its device. Its `bound` is
        "upper", its `penalty` 0.

    Raises:
        ValueError: C is not a finite matrix, or a or b no masses for it.
        NotConverged: the simplex did not finish, or left a gap between both sides of duality.

    Example:
        >>> plan = exact_plan(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
        >>> plan.matrix
        tensor([[0.5000, 0.0000],
                [0.0000, 0.5000]])
        >>> f, g = plan.potentials
        >>> bool((f[:, None] + g <= plan.C).all()), float(plan.dual_value)
        (True, 0.0)
    """
    given = problem(C, a, b)
    C = widened(C.detach(), "costs")
    n, m = C.shape
    if a is None and b is None and n == m:
        sigma = assignment(given.C)
        pairs = Pairs(torch.arange(n, device=sigma.device), sigma, given.a).like(C)
        return SparsePlan(
            C.detach(), "upper", lambda: _linear_dual(given, *assignment_potentials(given.C, sigma)), pairs
        )
    P, u, v = vertex(given)
    return SparsePlan(C, "upper", lambda: _linear_dual(given, u, v), Pairs.of(P).like(C))


@checked
def sinkhorn_plan(
    C: Tensor,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    epsilon: Nonnegative,
    tol: Positive = 1e-4,
    max_iterations: Count = 10_000,
) -> DensePlan:
    """The entropic plan P ≈ exp((f + g − C) / ε) a ⊗ b, and its Schrödinger potentials f, g.

        min { ⟨P, C⟩ + ε KL(P | a ⊗ b) : P 1 = a, Pᵀ 1 = b }
            = max over (f, g) of Σ_i a_i f_i + Σ_j b_j g_j + ε − ε Σ_ij a_i b_j exp((f_i + g_j − C_ij) / ε)

    with KL(P | Q) = Σ P log(P / Q) − P + Q. The iterations stop at the marginal error `tol`. What they leave is rounded
    to a plan that joins a and b exactly (`rounded`). So `value`, ⟨P, C⟩ alone, is never below the exact cost, and
    `value` + `penalty`, with `penalty` = ε KL, never below `dual_value`. The potentials are defined up to a constant,
    chosen such that Σ a f = Σ b g.

    Args:
        C: costs, (n, m), finite.
        a, b: masses, divided by their total; None means uniform.
        epsilon: ε > 0, in the units of the cost.
        tol: largest marginal error accepted, ‖P 1 − a‖₂ and ‖Pᵀ 1 − b‖₂.
        max_iterations: after these without reaching `tol` the solve fails, loudly.

    Returns:
        The plan, in C's dtype, float32 at least, and on its device; `bound` "upper".

    Raises:
        ValueError: ε is not positive, C is not a finite matrix, or a or b no masses for it.
        NotConverged: `tol` was not reached.

    Source: Cuturi, 2013, https://arxiv.org/abs/1306.0895

    Example:
        >>> plan = sinkhorn_plan(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), epsilon=0.1)
        >>> bool((plan.marginals[1] - 0.5).abs().max() < 1e-6)
        True
        >>> bool((plan.value + plan.penalty - plan.dual_value).abs() < 1e-4)
        True
    """
    if epsilon == 0:
        raise ValueError("an entropic plan needs epsilon > 0, got 0; for epsilon = 0 use exact_plan")
    given = problem(C, a, b)
    C = widened(C.detach(), "costs")
    f, g = sinkhorn_potentials(*given, epsilon=epsilon, tol=tol, max_iterations=max_iterations)
    f, g = centred(f, g, given)
    z = (f[:, None] + g - given.C) / epsilon
    product = given.a[:, None] * given.b
    P = z.exp() * product
    p, q = P.sum(dim=1), P.sum(dim=0)
    error = max(float((p - given.a).norm()), float((q - given.b).norm()))
    if not error <= tol:
        raise NotConverged(
            f"Sinkhorn left a marginal error of {error:.2g} > tol = {tol:g} after {max_iterations} iterations at "
            f"epsilon = {epsilon:g}; raise epsilon (mean cost: {float(given.C.mean()):.3g}), tol or max_iterations"
        )

    P = rounded(P, given.a, given.b)

    def dual() -> Dual:
        # Σ ab (f + g) + ε − ε Σ P, entry by entry: for a large ε its terms are far above their sum.
        each = torch.where(
            z.abs() < 1e-3, given.C - epsilon * (torch.expm1(z) - z), f[:, None] + g - epsilon * torch.expm1(z)
        )
        return Dual(f, g, (product * each).sum(), epsilon * relative_entropy(P, product))

    return DensePlan(C, "upper", dual, P.to(C))


def rounded(P: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The plan P >= 0, (n, m), scaled down where it carries too much, and completed by a product to join a and b.

    It is at most 2 (‖P 1 − a‖₁ + ‖Pᵀ 1 − b‖₁) from P in ‖·‖₁.

    Source: Altschuler, Weed, Rigollet, 2017, https://arxiv.org/abs/1705.09634

    Example:
        >>> half = torch.tensor([0.5, 0.5])
        >>> rounded(torch.tensor([[0.5, 0.1], [0.0, 0.3]]), half, half)
        tensor([[0.4167, 0.0833],
                [0.0833, 0.4167]])
    """
    rows = _scaled_down(P.sum(dim=1), a)
    held = rows @ P
    columns = _scaled_down(held, b)
    # No rounding may make a mass negative.
    short, wanted = (a - rows * (P @ columns)).clamp_min_(0), (b - held * columns).clamp_min_(0)
    P = (P * rows[:, None]).mul_(columns)
    lacking = wanted.sum()
    return P.addr_(short, wanted / lacking) if lacking > 0 else P


def relative_entropy(p: Tensor, q: Tensor) -> Tensor:
    """KL(p | q) = Σ p log(p / q) − p + q, (), to all digits also where p is near q; entries with q = 0 have p = 0.

    Example:
        >>> q = torch.tensor([0.25, 0.75], dtype=torch.float64)
        >>> p = q + torch.tensor([1e-9, -1e-9], dtype=torch.float64)
        >>> round(float(relative_entropy(p, q)) / (1e-18 / 2 * (4 + 4 / 3)), 3)  # half of χ²(p | q)
        1.0
    """
    excess = torch.where(q > 0, (p - q) / q, 0.0)
    return (q * (xlog1py(1 + excess, excess) - excess)).sum()


def _scaled_down(held: Tensor, mass: Tensor) -> Tensor:
    return torch.where(held > mass, mass / held, 1.0)


def centred(f: Tensor, g: Tensor, given: Problem) -> tuple[Tensor, Tensor]:
    """The potentials (f + t, g − t) with Σ a f = Σ b g.

    Example:
        >>> centred(torch.tensor([3.0]).double(), torch.tensor([1.0]).double(), problem(torch.zeros(1, 1)))
        (tensor([2.], dtype=torch.float64), tensor([2.], dtype=torch.float64))
    """
    shift = (given.b @ g - given.a @ f) / 2
    return f + shift, g - shift


def _linear_dual(given: Problem, f: Tensor, g: Tensor) -> Dual:
    f, g = centred(f, g, given)
    return Dual(f, g, given.a @ f + given.b @ g, given.C.new_zeros(()))
