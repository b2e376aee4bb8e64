from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import bures, discrete
from scipy.optimize import linear_sum_assignment

from ot_gen import (
    Euclidean,
    SquaredEuclidean,
    exact_plan,
    sinkhorn_plan,
    wasserstein,
)

# --- plans


@settings(max_examples=15, deadline=None)
@given(n=st.integers(1, 20), m=st.integers(1, 20), seed=st.integers(0, 999))
def test_exact_plans_are_feasible_and_optimal(n, m, seed):
    problem = discrete(Euclidean(), n=n, m=m, seed=seed)
    P = exact_plan(problem.C, problem.a, problem.b).matrix
    assert torch.allclose(P.sum(1), problem.a) and torch.allclose(P.sum(0), problem.b) and bool((P >= 0).all())
    assert float((P * problem.C).sum()) == pytest.approx(problem.value, abs=1e-12)


def test_uniform_exact_plans_solve_the_assignment():
    C = torch.rand(40, 40, dtype=torch.float64)
    rows, columns = linear_sum_assignment(C.numpy())
    assert float(exact_plan(C).value) == pytest.approx(C.numpy()[rows, columns].mean())


def test_entropic_plans_are_feasible_and_tend_to_the_exact_and_the_independent_plan():
    problem = discrete(SquaredEuclidean())
    values = []
    for epsilon in (100.0, 1.0, 0.1, 0.01, 0.002):
        P = sinkhorn_plan(problem.C, problem.a, problem.b, epsilon=epsilon, tol=1e-8, max_iterations=100_000).matrix
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
