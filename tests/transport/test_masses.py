"""Masses are what was given: relaxed plans of totals that are not 1, against minimisers that know no transport."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

from ot_gen import exact_plan, partial_plan, unbalanced_plan

pytestmark = pytest.mark.usefixtures("float64")

SCALES = st.sampled_from([1e-6, 0.3, 1.0, 5.0, 1e6])


def drawn(n, m, seed):
    generator = torch.Generator().manual_seed(seed)
    C, a, b = (torch.rand(*shape, generator=generator) for shape in ((n, m), (n,), (m,)))
    return C, a + 0.3, b + 0.3


def objective(P, C, a, b, penalty):
    """⟨P, C⟩ + λ KL(P 1 | a) + λ KL(Pᵀ 1 | b), by its definition."""
    kl = sum(float((torch.xlogy(p, p / w) - p + w).sum()) for p, w in ((P.sum(1), a), (P.sum(0), b)))
    return float((P * C).sum()) + penalty * kl


def least(C, a, b, penalty):
    """The least objective, by a quasi-Newton method on P = exp(u), from several starts."""

    def loss(u):
        u = torch.from_numpy(u).reshape(C.shape).requires_grad_()
        P = u.exp()
        kl = sum((torch.xlogy(p, p / w) - p + w).sum() for p, w in ((P.sum(1), a), (P.sum(0), b)))
        value = (P * C).sum() + penalty * kl
        (gradient,) = torch.autograd.grad(value, u)
        return float(value.detach()), gradient.numpy().ravel()

    options = {"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-10}
    starts = ((a[:, None] * b / a.sum()).log().numpy().ravel() - shift for shift in (0.0, 2.0))
    return min(minimize(loss, start, jac=True, method="L-BFGS-B", options=options).fun for start in starts)


def test_two_points_with_five_times_the_mass_on_one_side():
    """All rows pay alike, so P = √5 diag(½, ½), and the objective is λ (√1 − √5)²."""
    C = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    plan = unbalanced_plan(C, torch.tensor([0.5, 0.5]), torch.tensor([2.5, 2.5]), penalty=1.0)
    assert torch.allclose(plan.matrix, torch.eye(2) * 5**0.5 / 2)
    assert float(plan.value + plan.penalty) == pytest.approx((1 - 5**0.5) ** 2) == pytest.approx(1.528, abs=1e-3)
    assert float(plan.dual_value) == pytest.approx((1 - 5**0.5) ** 2)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(n=st.integers(1, 3), m=st.integers(1, 3), seed=st.integers(0, 99), penalty=st.sampled_from([0.2, 1.0, 5.0]))
def test_an_unbalanced_plan_has_the_least_objective(n, m, seed, penalty):
    C, a, b = drawn(n, m, seed)
    b = 3 * b
    plan = unbalanced_plan(C, a, b, penalty=penalty, tol=1e-5)
    own = objective(plan.matrix, C, a, b, penalty)
    assert float(plan.value + plan.penalty) == pytest.approx(own, rel=1e-9)
    assert 0.99 * least(C, a, b, penalty) <= own <= least(C, a, b, penalty) * (1 + 1e-4)
    (f, g), dual = plan.potentials, float(plan.dual_value)
    assert bool((f[:, None] + g <= C + 1e-12).all())
    assert dual == pytest.approx(sum(penalty * float(w @ (1 - (-h / penalty).exp())) for w, h in ((a, f), (b, g))))
    assert dual <= own * (1 + 1e-12)
    assert own == pytest.approx(penalty * float(a.sum() + b.sum() - 2 * plan.mass), rel=1e-6)


@settings(max_examples=12, deadline=None)
@given(n=st.integers(1, 5), m=st.integers(1, 5), seed=st.integers(0, 99), share=st.floats(0.05, 1), left=SCALES)
def test_a_partial_plan_is_the_optimum_of_its_linear_programme(n, m, seed, share, left):
    C, a, b = drawn(n, m, seed)
    a = left * a
    mass = share * float(min(a.sum(), b.sum()))
    plan = partial_plan(C, a, b, mass=mass)
    unit = mass  # HiGHS knows absolute tolerances
    rows, columns = (torch.eye(k).numpy() for k in (n, m))
    at_most = np.vstack([np.kron(rows, np.ones(m)), np.kron(np.ones(n), columns)])
    best = linprog(
        C.numpy().ravel(), at_most, np.concatenate([a.numpy(), b.numpy()]) / unit, np.ones((1, n * m)), [1.0]
    )
    assert float(plan.value) == pytest.approx(unit * best.fun, rel=1e-6, abs=1e-9 * unit)
    assert float(plan.dual_value) == pytest.approx(float(plan.value), rel=1e-8, abs=1e-9 * unit)
    p, q = plan.marginals
    assert float(plan.mass) == pytest.approx(mass) and bool((p <= a * (1 + 1e-9)).all() and (q <= b * (1 + 1e-9)).all())


RELAXED = {
    "unbalanced": lambda C, a, b, s: unbalanced_plan(C, a, b, penalty=0.7),
    "partial": lambda C, a, b, s: partial_plan(C, a, b, mass=0.3 * s),
}


@pytest.mark.parametrize("kind", RELAXED)
@settings(max_examples=8, deadline=None)
@given(n=st.integers(1, 6), m=st.integers(1, 6), seed=st.integers(0, 99), scale=SCALES)
def test_masses_in_another_unit_give_the_same_plan_in_that_unit(kind, n, m, seed, scale):
    C, a, b = drawn(n, m, seed)
    one, other = RELAXED[kind](C, a, b, 1.0), RELAXED[kind](C, scale * a, scale * b, scale)
    assert torch.allclose(other.matrix, scale * one.matrix, rtol=1e-6, atol=1e-9 * scale)
    for name in ("value", "penalty", "dual_value"):
        assert float(getattr(other, name)) == pytest.approx(
            scale * float(getattr(one, name)), rel=1e-6, abs=1e-9 * scale
        )


@pytest.mark.parametrize("kind", RELAXED)
def test_no_masses_are_uniform_ones_of_total_one(kind):
    C, _, _ = drawn(4, 5, 0)
    free, said = RELAXED[kind](C, None, None, 1.0), RELAXED[kind](C, torch.full((4,), 0.25), torch.full((5,), 0.2), 1.0)
    assert torch.allclose(free.matrix, said.matrix)


def test_all_of_equal_masses_is_the_exact_plan_of_that_mass():
    C, a, _ = drawn(4, 4, 1)
    plan, exact = partial_plan(C, a, a.flip(0), mass=float(a.sum())), exact_plan(C, a, a.flip(0))
    assert torch.allclose(plan.matrix, float(a.sum()) * exact.matrix) and plan.bound == "upper"
    assert float(plan.dual_value) == pytest.approx(float(plan.value))
    thirds = torch.full((3,), 1 / 3, dtype=torch.float32)  # of total 1 + 3e-8
    assert partial_plan(torch.rand(3, 3), thirds, thirds, mass=1.0).bound == "upper"


@pytest.mark.parametrize("mass", [1.01, 5.0])
def test_a_partial_plan_cannot_carry_more_than_there_is(mass):
    with pytest.raises(ValueError, match=r"\(0, min\(Σ a, Σ b\)\] = \(0, 1\], got"):
        partial(partial_plan, mass=mass)(torch.rand(2, 2), torch.tensor([0.5, 0.5]), torch.tensor([2.5, 2.5]))
