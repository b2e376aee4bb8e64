import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import bures, discrete
from scipy.optimize import linear_sum_assignment

import ot_gen.laguerre.transform
from ot_gen import (
    BernoulliNLL,
    Euclidean,
    Lp,
    SquaredEuclidean,
    c_transform,
    exact_plan,
    sinkhorn_plan,
    wasserstein,
)

COSTS = [SquaredEuclidean(), Euclidean(), Lp(1.0), BernoulliNLL()]
METRIC_OR_ANY = pytest.mark.parametrize("cost", COSTS[:3], ids=str)


def dual_value(cost, problem, h_tilde):
    h, _ = c_transform(cost, problem.x, problem.y, h_tilde)
    return float(problem.a @ h + problem.b @ h_tilde)


# --- the c-transform is a min, and duality


@METRIC_OR_ANY
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 30))
def test_weak_duality_holds_for_every_table(cost, seed, scale):
    problem = discrete(cost)
    h_tilde = scale * torch.randn(9, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert dual_value(cost, problem, h_tilde) <= problem.value + 1e-9


@METRIC_OR_ANY
@pytest.mark.parametrize("seed", range(3))
def test_the_duals_of_the_linear_programme_attain_the_value(cost, seed):
    problem = discrete(cost, seed=seed)
    assert dual_value(cost, problem, problem.h_tilde) == pytest.approx(problem.value, abs=1e-10)


def test_a_max_in_place_of_the_min_would_exceed_the_value():
    problem = discrete(SquaredEuclidean())
    wrong = (problem.C - problem.h_tilde).max(dim=1).values
    assert float(problem.a @ wrong + problem.b @ problem.h_tilde) > problem.value + 0.1


@METRIC_OR_ANY
def test_the_pair_is_feasible_on_a_grid(cost):
    axis = torch.linspace(-1, 2, 21, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis)
    y, h_tilde = torch.rand(13, 2, dtype=torch.float64), torch.randn(13, dtype=torch.float64)
    for epsilon in (0.0, 0.3):
        h, _ = c_transform(cost, x, y, h_tilde, epsilon)
        assert bool((h[:, None] + h_tilde <= cost.matrix(x, y) + 1e-9).all())


@METRIC_OR_ANY
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_transforming_twice_never_lowers_the_dual_value(cost, seed):
    problem = discrete(cost)
    h_tilde = torch.randn(9, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    h, _ = c_transform(cost, problem.x, problem.y, h_tilde)
    better, _ = c_transform(cost, problem.y, problem.x, h)  # symmetric costs: h^c(y) = min_x c(x, y) − h(x)
    assert bool((better >= h_tilde - 1e-9).all())
    assert dual_value(cost, problem, better) >= dual_value(cost, problem, h_tilde) - 1e-9


# --- streamed equals dense


def dense(cost, x, y, h_tilde, epsilon):
    scores = cost.matrix(x, y) - h_tilde
    return scores.min(dim=1).values if epsilon == 0 else -epsilon * torch.logsumexp(-scores / epsilon, dim=1)


@pytest.mark.parametrize("cost", COSTS, ids=str)
@pytest.mark.parametrize("epsilon", [0.0, 0.05, 2.0])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 127), (5, 128), (7, 129), (11, 1000), (200, 513)])
def test_streamed_equals_dense(monkeypatch, cost, epsilon, n, m):
    monkeypatch.setattr(ot_gen.laguerre.panels.NarrowPanel, "tile", 1)  # the smallest tile: 128 atoms
    x = torch.rand(n, 4, dtype=torch.float64, requires_grad=True)
    y = torch.rand(m, 4, dtype=torch.float64)
    h_tilde = torch.randn(m, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(n, dtype=torch.float64)
    value, argmin = c_transform(cost, x, y, h_tilde, epsilon)
    expected = dense(cost, x, y, h_tilde, epsilon)
    assert torch.allclose(value, expected, atol=1e-9)
    assert torch.equal(argmin, (cost.matrix(x, y) - h_tilde).argmin(dim=1))
    gradients = torch.autograd.grad((weights * value).sum(), (x, h_tilde))
    dense_gradients = torch.autograd.grad((weights * expected).sum(), (x, h_tilde))
    for one, other in zip(gradients, dense_gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-8)


def test_the_soft_transform_lies_between_min_less_eps_log_m_and_min():
    x, y, h_tilde = torch.rand(20, 3), torch.rand(50, 3), torch.randn(50)
    hard, _ = c_transform(SquaredEuclidean(), x, y, h_tilde)
    for epsilon in (1.0, 0.1, 1e-4):
        soft, _ = c_transform(SquaredEuclidean(), x, y, h_tilde, epsilon)
        assert bool((soft <= hard + 1e-5).all())
        assert bool((soft >= hard - epsilon * math.log(50) - 1e-5).all())


def test_a_c_transform_of_nothing_that_needs_a_graph_makes_none():
    value, _ = c_transform(SquaredEuclidean(), torch.rand(3, 2), torch.rand(4, 2), torch.zeros(4))
    assert not value.requires_grad


@pytest.mark.parametrize(
    ("h_tilde", "epsilon", "message"),
    [
        (torch.zeros(3), 0.0, r"shape \(4,\)"),
        (torch.tensor([0.0, 0.0, float("nan"), 0.0]), 0.0, "NaN or Inf"),
        (torch.zeros(4), -1.0, "epsilon must be >= 0"),
    ],
)
def test_bad_potentials_are_named(h_tilde, epsilon, message):
    with pytest.raises(ValueError, match=message):
        c_transform(SquaredEuclidean(), torch.rand(3, 2), torch.rand(4, 2), h_tilde, epsilon)


# --- plans


@settings(max_examples=15, deadline=None)
@given(n=st.integers(1, 20), m=st.integers(1, 20), seed=st.integers(0, 999))
def test_exact_plans_are_feasible_and_optimal(n, m, seed):
    problem = discrete(Euclidean(), n=n, m=m, seed=seed)
    P = exact_plan(problem.C, problem.a, problem.b)
    assert torch.allclose(P.sum(1), problem.a) and torch.allclose(P.sum(0), problem.b) and bool((P >= 0).all())
    assert float((P * problem.C).sum()) == pytest.approx(problem.value, abs=1e-12)


def test_uniform_exact_plans_solve_the_assignment():
    C = torch.rand(40, 40, dtype=torch.float64)
    rows, columns = linear_sum_assignment(C.numpy())
    assert float((exact_plan(C) * C).sum()) == pytest.approx(C.numpy()[rows, columns].mean())


def test_entropic_plans_are_feasible_and_tend_to_the_exact_and_the_independent_plan():
    problem = discrete(SquaredEuclidean())
    values = []
    for epsilon in (100.0, 1.0, 0.1, 0.01, 0.002):
        P = sinkhorn_plan(problem.C, problem.a, problem.b, epsilon=epsilon, tol=1e-8, max_iterations=100_000)
        assert torch.allclose(P.sum(1), problem.a, atol=1e-7) and torch.allclose(P.sum(0), problem.b, atol=1e-7)
        values.append(float((P * problem.C).sum()))
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(float(problem.a @ problem.C @ problem.b), rel=1e-2)
    assert values[-1] == pytest.approx(problem.value, abs=2e-3)
    assert min(values) >= problem.value - 1e-7


def test_an_entropic_plan_that_does_not_converge_fails_loudly():
    C = torch.rand(30, 30, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="marginal error"):
        sinkhorn_plan(C, epsilon=1e-4, tol=1e-9, max_iterations=5)


@pytest.mark.parametrize("plan", [exact_plan, partial(sinkhorn_plan, epsilon=0.1)])
@pytest.mark.parametrize("C", [torch.tensor([[float("nan")]]), torch.empty(0, 3), torch.zeros(3)])
def test_bad_cost_matrices_are_refused(plan, C):
    with pytest.raises(ValueError, match="cost matrix"):
        plan(C)


def test_entropic_plans_need_a_positive_epsilon():
    with pytest.raises(ValueError, match="use exact_plan"):
        sinkhorn_plan(torch.zeros(2, 2), epsilon=0.0)


# --- W of samples


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(2, 30))
def test_a_translation_shifts_w2_squared_by_its_squared_length(seed, n):
    generator = torch.Generator().manual_seed(seed)
    x, t = (torch.randn(size, 3, generator=generator, dtype=torch.float64) for size in (n, 1))
    assert wasserstein(x, x + t) == pytest.approx(float(t.square().sum()), rel=1e-9)
    y = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    shift = t + y.mean(0) - x.mean(0)
    centred = wasserstein(x - x.mean(0), y - y.mean(0))
    assert wasserstein(x - x.mean(0), y - y.mean(0) + shift) == pytest.approx(centred + float(shift.square().sum()))


def test_w_between_gaussian_samples_approaches_the_bures_formula():
    rng = np.random.default_rng(0)
    mean, cov = np.array([1.0, -0.5]), np.array([[2.0, 0.6], [0.6, 0.5]])
    expected = bures(np.zeros(2), np.eye(2), mean, cov)
    errors = []
    for n in (50, 1500):
        x, y = rng.standard_normal((n, 2)), rng.multivariate_normal(mean, cov, n)
        errors.append(abs(wasserstein(torch.from_numpy(x), torch.from_numpy(y)) - expected))
    assert errors[1] < 0.08 * expected
    assert errors[1] < errors[0]


def test_clouds_of_different_dimension_are_not_compared():
    with pytest.raises(ValueError, match="compares"):
        wasserstein(torch.zeros(3, 2), torch.zeros(3, 4))


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_many_queries_are_streamed_too(monkeypatch, epsilon):
    monkeypatch.setattr(ot_gen.laguerre.transform, "MAX_ROWS", 7)
    x, y = torch.rand(23, 2, requires_grad=True), torch.rand(5, 2)
    h_tilde = torch.rand(5, requires_grad=True)
    value, argmin = c_transform(SquaredEuclidean(), x, y, h_tilde, epsilon)
    expected = dense(SquaredEuclidean(), x, y, h_tilde, epsilon)
    assert torch.allclose(value, expected, atol=1e-5)
    assert torch.equal(argmin, (SquaredEuclidean().matrix(x, y) - h_tilde).argmin(dim=1))
    for one, other in zip(
        torch.autograd.grad(value.sum(), (x, h_tilde)), torch.autograd.grad(expected.sum(), (x, h_tilde)), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-4)
