import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ot_gen import NotConverged, SinkhornDivergence, SquaredEuclidean, exact_plan, standard_gaussian, wasserstein
from ot_gen.transport import sinkhorn_divergence, sinkhorn_potentials

F64 = torch.float64
CASES = [(30, 30, 2, 0.3), (20, 50, 2, 0.05), (40, 25, 8, 2.0), (300, 200, 2, 0.5)]


def clouds(n, m, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(size, d, generator=generator, dtype=F64) for size in (n, m))
    return x, 0.7 * y + 0.4


def masses(n, seed=1):
    a = torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=F64) + 0.1
    return a / a.sum()


# --- potentials


@pytest.mark.parametrize(("n", "m", "d", "epsilon"), CASES)
def test_the_plan_of_the_potentials_has_its_marginals(n, m, d, epsilon):
    x, y = clouds(n, m, d)
    a, b, C = masses(n), masses(m, 2), SquaredEuclidean().matrix(x, y)
    f, g = sinkhorn_potentials(C, a, b, epsilon=epsilon, tol=1e-7)
    P = ((f[:, None] + g - C) / epsilon).exp() * a[:, None] * b
    assert float((P.sum(1) - a).abs().sum()) <= 1e-12
    assert float((P.sum(0) - b).abs().sum()) <= 2e-7
    primal = (P * C).sum() + epsilon * (P * (P / (a[:, None] * b)).log()).sum()
    assert float(primal) == pytest.approx(float(a @ f + b @ g), abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 12), m=st.integers(1, 12), seed=st.integers(0, 999), epsilon=st.sampled_from([0.2, 1.0, 50.0]))
def test_the_dual_value_lies_between_the_exact_and_the_independent_cost(n, m, seed, epsilon):
    x, y = clouds(n, m, 2, seed)
    C = SquaredEuclidean().matrix(x, y)
    f, g = sinkhorn_potentials(C, epsilon=epsilon, tol=1e-3)
    value = float(f.mean() + g.mean())
    assert float(exact_plan(C).value) - 1e-2 <= value <= float(C.mean()) + 1e-2


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("shift", [0.0, -30.0])
def test_potentials_follow_the_scale_and_the_offsets_of_the_costs(scale, shift):
    x, y = clouds(30, 40, 3)
    C = SquaredEuclidean().matrix(x, y)
    offsets = shift * torch.rand(30, 1, dtype=F64) + 10 * shift
    plans = [
        ((f[:, None] + g - costs) / epsilon).exp()
        for costs, epsilon in ((C, 0.5), (scale * (C + offsets), 0.5 * scale))
        for f, g in [sinkhorn_potentials(costs, epsilon=epsilon, tol=1e-8)]
    ]
    assert torch.allclose(*plans, atol=1e-6)


def test_potentials_are_defined_where_a_mass_is_zero():
    x, y = clouds(20, 30, 2)
    a = masses(20)
    a[3] = 0
    f, g = sinkhorn_potentials(SquaredEuclidean().matrix(x, y), a, epsilon=0.5, tol=1e-6)
    assert bool(f.isfinite().all()) and bool(g.isfinite().all())


def test_far_clusters_and_small_epsilon_are_solved():
    x, y = clouds(40, 40, 2)
    x[:20] += 100
    y[20:] += 100
    C = SquaredEuclidean().matrix(x, y)
    f, g = sinkhorn_potentials(C, epsilon=0.1, tol=1e-4)
    assert float(f.mean() + g.mean()) == pytest.approx(float(exact_plan(C).value), abs=0.4)


def test_an_unfinished_solve_fails_loudly():
    x, y = clouds(30, 30, 2)
    with pytest.raises(NotConverged, match=r"marginal error.*raise epsilon"):
        sinkhorn_potentials(SquaredEuclidean().matrix(x, y), epsilon=1e-4, tol=1e-9, max_iterations=5)
    with pytest.raises(NotConverged, match="marginal error"):
        sinkhorn_divergence(x, y, epsilon=0.1, tol=1e-12, max_iterations=3)


# --- the divergence


@pytest.mark.parametrize(("n", "m", "d", "epsilon"), CASES)
def test_the_divergence_is_that_of_its_three_problems(n, m, d, epsilon):
    x, y = clouds(n, m, d)
    a, b, cost = masses(n), masses(m, 2), SquaredEuclidean()

    def entropic(x, y, a, b):
        f, g = sinkhorn_potentials(cost.matrix(x, y), a, b, epsilon=epsilon, tol=1e-5)
        return a @ f + b @ g

    expected = entropic(x, y, a, b) - entropic(x, x, a, a) / 2 - entropic(y, y, b, b) / 2
    value = sinkhorn_divergence(x, y, epsilon=epsilon, a=a, b=b, tol=1e-7)
    assert float(value) == pytest.approx(float(expected), abs=1e-6)
    assert float(sinkhorn_divergence(y, x, epsilon=epsilon, a=b, b=a, tol=1e-7)) == pytest.approx(
        float(value), abs=1e-6
    )


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 20), m=st.integers(1, 20), seed=st.integers(0, 999), epsilon=st.sampled_from([1.0, 4.0, 100.0]))
def test_it_is_positive_and_zero_at_equality(n, m, seed, epsilon):
    x, y = clouds(n, m, 3, seed)
    assert float(sinkhorn_divergence(x, y, epsilon=epsilon, tol=1e-4)) >= -1e-6
    x.requires_grad_()
    zero = sinkhorn_divergence(x, x.detach().flip(0), epsilon=epsilon, tol=1e-4)
    (gradient,) = torch.autograd.grad(zero, x)
    assert float(zero.detach()) == pytest.approx(0, abs=1e-5)
    assert float(gradient.abs().max()) < 1e-2


def test_it_tends_to_the_exact_cost_and_to_the_distance_of_the_means():
    x, y = clouds(40, 40, 2)
    exact, means = wasserstein(x, y), float((x.mean(0) - y.mean(0)).square().sum())
    assert float(sinkhorn_divergence(x, y, epsilon=0.003, tol=1e-3)) == pytest.approx(exact, abs=0.02)
    assert float(sinkhorn_divergence(x, y, epsilon=1e5, tol=1e-9)) == pytest.approx(means, rel=1e-3)


def test_a_translation_moves_it_by_its_squared_length():
    x, _ = clouds(50, 50, 3)
    t = torch.tensor([1.0, -2.0, 0.5], dtype=F64, requires_grad=True)
    value = sinkhorn_divergence(x + t, x, epsilon=0.5, tol=1e-6)
    assert float(value.detach()) == pytest.approx(float(t.detach().square().sum()), abs=1e-6)
    (gradient,) = torch.autograd.grad(value, t)
    assert torch.allclose(gradient, 2 * t.detach(), atol=1e-5)


def test_a_mass_of_two_is_two_points():
    x, y = clouds(10, 15, 2)
    a = torch.ones(10, dtype=F64)
    a[0] = 2
    value = sinkhorn_divergence(x, y, epsilon=0.5, a=a, tol=1e-7)
    assert float(value) == pytest.approx(
        float(sinkhorn_divergence(torch.cat([x[:1], x]), y, epsilon=0.5, tol=1e-7)), abs=1e-7
    )


@pytest.mark.parametrize(("n", "m", "d", "epsilon"), CASES[:3])
def test_its_gradient_is_that_of_finite_differences(n, m, d, epsilon):
    x, y = (p.requires_grad_() for p in clouds(n, m, d))
    a, b = masses(n), masses(m, 2)
    gradients = torch.autograd.grad(3 * sinkhorn_divergence(x, y, epsilon=epsilon, a=a, b=b, tol=1e-8), (x, y))
    for point, gradient in zip((x, y), gradients, strict=True):
        direction = torch.randn_like(point)
        step = 1e-4 * direction

        def moved(p, s, point=point, step=step):
            return (p + s * step if p is point else p).detach()

        values = [
            3 * float(sinkhorn_divergence(*(moved(p, s) for p in (x, y)), epsilon=epsilon, a=a, b=b, tol=1e-8))
            for s in (1, -1)
        ]
        difference = (values[0] - values[1]) / 2e-4
        assert difference == pytest.approx(float((gradient * direction).sum()), abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_it_agrees_with_geomloss(dtype):
    from geomloss import SamplesLoss

    x, y = (p.to(dtype).requires_grad_() for p in clouds(60, 80, 4))
    ours = sinkhorn_divergence(x, y, epsilon=0.8, tol=1e-5)
    peer = 2 * SamplesLoss("sinkhorn", p=2, blur=math.sqrt(0.4), scaling=0.99, backend="tensorized")(x, y)
    assert ours.dtype == dtype
    assert float(ours.detach()) == pytest.approx(float(peer.detach()), rel=1e-3)
    for mine, other in zip(*(torch.autograd.grad(value, (x, y)) for value in (ours, peer)), strict=True):
        assert float((mine - other).norm() / other.norm()) < 0.02


def test_the_default_tolerance_costs_the_value_less_than_its_square_root():
    x, y = (p.float() for p in clouds(100, 100, 8))
    loose, tight = (float(sinkhorn_divergence(x, y, epsilon=0.5, tol=tol)) for tol in (1e-2, 1e-6))
    assert loose == pytest.approx(tight, rel=1e-3)


def test_clouds_far_from_the_origin_lose_no_precision():
    x, y = (p.float() for p in clouds(50, 50, 2))
    near, far = (float(sinkhorn_divergence(x + t, y + t, epsilon=0.5)) for t in (0, 1000))
    assert near == pytest.approx(far, rel=1e-3)


def test_bad_clouds_are_refused():
    x = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="use wasserstein"):
        sinkhorn_divergence(x, x, epsilon=0.0)
    with pytest.raises(ValueError, match="compares points"):
        sinkhorn_divergence(x, torch.zeros(3, 4), epsilon=0.1)
    with pytest.raises(ValueError, match="masses"):
        sinkhorn_divergence(x, x, epsilon=0.1, a=torch.ones(5))
    with pytest.raises(ValueError, match="NaN or Inf"):
        sinkhorn_divergence(torch.full((3, 2), torch.nan), x, epsilon=0.1)
    with pytest.raises(ValueError, match="max_iterations must be a whole number >= 1, got 0"):
        sinkhorn_divergence(x, x, epsilon=0.1, max_iterations=0)
    with pytest.raises(ValueError, match="use exact_plan"):
        sinkhorn_potentials(torch.zeros(2, 2), epsilon=0.0)


def test_a_divergence_of_codes_has_their_gradient():
    codes = (0.3 * torch.randn(50, 4)).requires_grad_()
    posterior = torch.distributions.Independent(torch.distributions.Normal(codes, 1e-3), 1)
    value = SinkhornDivergence(epsilon=0.5)(posterior, standard_gaussian(4))
    (gradient,) = torch.autograd.grad(value, codes)
    assert float(value.detach()) > 0
    assert float((gradient * codes.detach()).sum()) < 0  # too narrow codes spread
    with pytest.raises(ValueError, match="tol"):
        SinkhornDivergence(tol=0.0)
