"""Semi-discrete transport: known answers, invariances, honest errors, and every way to stop and go on."""

import math

import numpy as np
import ot
import pytest
import torch
from scipy.stats import norm
from torch import nn
from torch.distributions import Independent, Normal

from ot_gen import Empirical, Euclidean, SquaredEuclidean, standard_gaussian
from ot_gen.costs import FeatureCost, InnerProduct, Lp
from ot_gen.execution import Ending
from ot_gen.semidual import semidiscrete
from ot_gen.semidual.scores import Scores


def cloud(m, d, seed=0, dtype=torch.float32):
    return torch.randn(m, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def masses_for(m, seed=0):
    b = torch.rand(m, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1
    return (b / b.sum()).float()


def solved(*arguments, seed=0, **keywords):
    """A solve from a seed of its own."""
    torch.manual_seed(seed)
    return semidiscrete(*arguments, **keywords)


def line(y, b):
    """The monotone coupling of N(0, 1) with atoms: order, ends of the cells, barycentres, W₂²."""
    order = np.argsort(y)
    y, b = y[order], b[order] / b.sum()
    ends = norm.ppf(np.concatenate([[0.0], np.cumsum(b)[:-1], [1.0]]))
    density = norm.pdf(ends)
    first = density[:-1] - density[1:]  # ∫ x over the cell
    return order, ends, first / b, 1 + float(b @ y**2) - 2 * float(first @ y)


PLANE = Empirical(cloud(30, 2))
GAUSS = standard_gaussian(2)


# Known answers


@pytest.mark.parametrize("weights", [None, masses_for(12)], ids=["uniform", "weighted"])
def test_on_the_line_the_plan_is_the_monotone_one(weights):
    nu = Empirical(2 * cloud(12, 1), weights)
    order, ends, barycentres, value = line(nu.atoms[:, 0].double().numpy(), nu.weights.double().numpy())
    solution = solved(standard_gaussian(1), nu, SquaredEuclidean(), tol=0.01)
    assert solution.converged
    assert solution.lower - 3 * solution.lower_se <= value <= solution.upper + 3 * solution.upper_se
    assert solution.lower == pytest.approx(value, abs=1e-3)  # low-discrepancy points do far better than lower_se
    assert np.allclose(solution.masses[order], nu.weights[order], atol=2e-3)
    assert np.allclose(solution.barycentres[order, 0], barycentres, atol=0.02)
    middle = torch.tensor((ends[:-1].clip(-4) + ends[1:].clip(max=4)) / 2, dtype=torch.float32)
    assert torch.equal(solution.map(middle[:, None]), nu.atoms[order])


def test_two_symmetric_atoms_share_a_gaussian():
    nu = Empirical(torch.tensor([[-1.0], [1.0]]))
    solution = solved(standard_gaussian(1), nu, SquaredEuclidean(), tol=0.005)
    assert solution.lower == pytest.approx(2 * (1 - math.sqrt(2 / math.pi)), abs=2e-3)
    assert float(solution.h_tilde.diff()) == pytest.approx(0, abs=0.02)
    assert np.allclose(solution.barycentres.flatten(), [-math.sqrt(2 / math.pi), math.sqrt(2 / math.pi)], atol=0.01)


@pytest.mark.slow
def test_a_data_set_resampled_has_the_value_of_the_linear_programme():
    mu, nu = Empirical(cloud(200, 2, seed=1), masses_for(200)), Empirical(cloud(20, 2), masses_for(20, seed=1))
    C = SquaredEuclidean().matrix(mu.atoms, nu.atoms).double().numpy()
    a, b = (measure.weights.double().numpy() for measure in (mu, nu))
    value = ot.emd2(a / a.sum(), b / b.sum(), C)
    solution = solved(mu, nu, SquaredEuclidean(), tol=0.001, max_samples=2**18)
    assert solution.lower - 3 * solution.lower_se <= value <= solution.upper + 3 * solution.upper_se
    table = solution.h_tilde.double().numpy()
    exact = (C - table).min(axis=1) @ (a / a.sum()) + table @ (b / b.sum())
    assert value * 0.995 < exact <= value * (1 + 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "cost",
    [
        SquaredEuclidean(),
        Euclidean(),
        Lp(1.5),
        InnerProduct(),
        FeatureCost(nn.Linear(2, 3), SquaredEuclidean()),
    ],
    ids=lambda cost: type(cost).__name__,
)
def test_every_cost_is_bracketed(cost):
    solution = solved(GAUSS, PLANE, cost, tol=0.05)
    assert solution.converged
    x = GAUSS.sample(400)
    value = ot.emd2([], [], cost.matrix(x, PLANE.atoms).double().numpy())
    assert solution.lower <= solution.upper
    spread = float(cost(x, solution.map(x)).std()) / 20
    assert solution.lower - 4 * spread <= value
    assert solution.gap < 0.05
    fresh = torch.bincount(
        cost.matrix(GAUSS.sample(100_000), PLANE.atoms).sub_(solution.h_tilde).argmin(1), minlength=30
    )
    assert float((fresh / 100_000 - PLANE.weights).abs().sum()) < 0.05 + math.sqrt(2 * 30 / (math.pi * 100_000))


def test_inner_products_and_squares_have_one_plan():
    squares, products = (solved(GAUSS, PLANE, cost, tol=0.02) for cost in (SquaredEuclidean(), InnerProduct()))
    moments = 2 + float(PLANE.atoms.square().sum(dim=1).mean())
    assert squares.lower == pytest.approx(moments + 2 * products.lower, abs=0.01)
    x = GAUSS.sample(1000)
    assert (squares.map(x) == products.map(x)).all(dim=1).float().mean() > 0.97


# Honest figures


class Sampled:
    """N(0, I_2) by its samples alone."""

    def sample(self, n):
        return GAUSS.sample(n)


@pytest.mark.parametrize(("mu", "tol"), [(GAUSS, 0.2), (GAUSS, 0.02), (Sampled(), 0.2), (Sampled(), 0.05)])
def test_the_marginal_error_is_that_of_fresh_samples(mu, tol):
    solution = solved(mu, PLANE, SquaredEuclidean(), tol=tol)
    assert solution.converged
    assert solution.marginal_error + 2 * solution.marginal_error_se <= tol
    x = GAUSS.sample(400_000)
    fresh = torch.bincount(Scores(SquaredEuclidean(), PLANE.atoms).hard(x, solution.h_tilde)[1], minlength=30)
    observed = float((fresh / len(x) - PLANE.weights).abs().sum())
    noise = math.sqrt(2 * 30 / (math.pi * len(x)))
    assert abs(math.sqrt(max(0.0, observed**2 - noise**2)) - solution.marginal_error) < (
        4 * solution.marginal_error_se + noise
    )


def test_a_tighter_tolerance_takes_more_samples_and_has_a_higher_lower_value():
    loose, tight = (solved(GAUSS, PLANE, SquaredEuclidean(), tol=tol) for tol in (0.3, 0.01))
    assert loose.samples < tight.samples
    assert loose.lower <= tight.lower + 3 * (loose.lower_se + tight.lower_se)


@pytest.mark.slow
def test_a_gap_is_certified():
    solution = solved(GAUSS, PLANE, SquaredEuclidean(), gap_tol=0.05)
    assert solution.converged
    assert 0 <= solution.gap <= 0.05
    assert solution.gap == pytest.approx((solution.upper - solution.lower) / solution.upper)


def test_repr_is_short_and_solves_nothing():
    solution = solved(GAUSS, PLANE, SquaredEuclidean(), tol=0.1)
    assert len(repr(solution)) < 250
    assert solution.ending is Ending.REACHED and "converged=True" in repr(solution)
    assert "bracket" not in solution.__dict__
    assert solution.upper == solution.bracket.upper


# Entropic


@pytest.mark.parametrize("epsilon", [0.05, 1.0])
def test_soft_masses_are_those_of_the_atoms(epsilon):
    nu = Empirical(cloud(10, 2), masses_for(10))
    solution = solved(GAUSS, nu, SquaredEuclidean(), tol=0.01, epsilon=epsilon)
    x = GAUSS.sample(100_000)
    shares = torch.softmax((solution.h_tilde - SquaredEuclidean().matrix(x, nu.atoms)) / epsilon, dim=1)
    assert solution.converged
    assert float((shares.mean(dim=0) - nu.weights).abs().sum()) < 0.02
    assert torch.allclose(solution.masses, nu.weights, atol=0.01)
    assert torch.allclose(solution.map(x[:50]), shares[:50] @ nu.atoms, atol=1e-4)
    assert solution.lower <= solution.upper


def test_a_small_softness_approaches_the_unregularised_problem():
    hard, soft = (solved(GAUSS, PLANE, SquaredEuclidean(), tol=0.02, epsilon=epsilon) for epsilon in (0.0, 1e-3))
    assert soft.lower == pytest.approx(hard.lower, abs=2e-3)
    assert torch.allclose(soft.h_tilde, hard.h_tilde, atol=0.1)
    x = GAUSS.sample(500)
    assert (hard.map(x) - soft.map(x)).norm(dim=1).median() < 1e-3


# Invariances


def test_scaling_space_scales_the_table_by_the_square():
    first = solved(GAUSS, PLANE, SquaredEuclidean(), tol=0.05)
    wide = Independent(Normal(torch.zeros(2), torch.full((2,), 4.0)), 1)
    second = solved(wide, Empirical(4 * PLANE.atoms), SquaredEuclidean(), tol=0.05)
    assert second.samples == first.samples
    assert torch.allclose(second.h_tilde, 16 * first.h_tilde, rtol=1e-3, atol=1e-2)
    assert second.lower == pytest.approx(16 * first.lower, rel=1e-3)


@pytest.mark.parametrize("shift", [1.0, 1000.0])
def test_translating_both_laws_changes_nothing(shift, float64):
    nu, mu = Empirical(cloud(30, 2, dtype=torch.float64)), standard_gaussian(2)
    moved = Independent(Normal(torch.full((2,), shift), torch.ones(2)), 1)
    first = solved(mu, nu, SquaredEuclidean(), tol=0.05)
    second = solved(moved, Empirical(nu.atoms + shift), SquaredEuclidean(), tol=0.05)
    assert torch.allclose(first.h_tilde, second.h_tilde, atol=1e-5)
    assert second.lower == pytest.approx(first.lower, abs=1e-6)


def test_the_order_of_the_atoms_does_not_matter(float64):
    order = torch.randperm(30)
    b = masses_for(30).double()
    mu, y = standard_gaussian(2), cloud(30, 2, dtype=torch.float64)
    first = solved(mu, Empirical(y, b), SquaredEuclidean(), tol=0.05)
    second = solved(mu, Empirical(y[order], b[order]), SquaredEuclidean(), tol=0.05)
    assert torch.allclose(first.h_tilde[order], second.h_tilde, atol=1e-5)
    assert torch.allclose(first.masses[order], second.masses, atol=1e-4)
