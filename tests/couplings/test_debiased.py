"""A debiased plan draws a model to the data and no further: value and gradient vanish where they agree."""

import math
import pickle
from functools import partial

import pytest
import torch
from torch import nn

from ot_gen import (
    DebiasedPlanCoupling,
    Empirical,
    Euclidean,
    FeatureCost,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    exact_plan,
    fit,
    linear_decay,
    partial_plan,
    sinkhorn_plan,
    standard_gaussian,
    unbalanced_plan,
)

ENTROPIC = partial(sinkhorn_plan, epsilon=0.5)
PLANS = [exact_plan, ENTROPIC, partial(unbalanced_plan, penalty=5.0), partial(partial_plan, mass=0.8)]


class Scale(nn.Module):
    """z -> σ z, with one parameter."""

    out_dim = 2

    def __init__(self, sigma=1.0):
        super().__init__()
        self.sigma = nn.Parameter(torch.tensor(sigma))

    def forward(self, z):
        return self.sigma * z


def drawn(coupling, cost, n, repeats, sigma=1.0):
    """Values and gradients in σ of the model N(0, σ² I) against the data N(0, I), (repeats, 2)."""
    zeta = standard_gaussian(2)
    mu = Pushforward(Scale(sigma), zeta)
    rows = []
    for _ in range(repeats):
        value = coupling(mu, zeta, cost, n).value
        (slope,) = torch.autograd.grad(value, mu.map.sigma)
        rows.append(torch.stack([value.detach(), slope]))
    return torch.stack(rows)


def off(rows):
    """How many standard errors the mean of each column is from 0."""
    return rows.mean(0) / rows.std(0) * math.sqrt(len(rows))


@pytest.mark.slow
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("cost", [SquaredEuclidean(), Euclidean(), FeatureCost(nn.Linear(2, 3), SquaredEuclidean())])
@pytest.mark.parametrize("n", [2, 12])
def test_value_and_gradient_are_zero_in_expectation_where_model_and_data_agree(plan, cost, n):
    torch.manual_seed(0)
    repeats = 200 if plan in PLANS[:2] else 40  # an unbalanced plan takes long
    assert off(drawn(DebiasedPlanCoupling(plan), cost, n, repeats)).abs().max() < 4


@pytest.mark.slow
def test_the_biased_plan_shrinks_the_model_that_the_debiased_one_keeps():
    torch.manual_seed(0)
    biased = off(drawn(PlanCoupling(ENTROPIC), SquaredEuclidean(), 12, 300))
    assert biased.min() > 20  # its value is above 0, and descending it lessens σ
    wide, narrow = (drawn(DebiasedPlanCoupling(ENTROPIC), SquaredEuclidean(), 12, 300, s) for s in (1.5, 0.6))
    assert off(wide)[1] > 4 and off(narrow)[1] < -4  # the debiased one draws σ to 1 from both sides
    assert off(wide)[0] > 4 and off(narrow)[0] > 4


@pytest.mark.parametrize("plan", PLANS)
def test_the_gradient_is_to_ones_own_barycentre_minus_to_that_of_the_data(plan):
    torch.manual_seed(0)
    zeta, nu = standard_gaussian(2), Empirical(torch.randn(40, 2) + 1)
    mu = Pushforward(Scale(), zeta)
    state = torch.get_rng_state()
    (slope,) = torch.autograd.grad(DebiasedPlanCoupling(plan)(mu, nu, SquaredEuclidean(), 16).value, mu.map.sigma)
    torch.set_rng_state(state)
    x, y, own = zeta.sample(16), nu.sample(16), zeta.sample(16)
    P, Q = (plan(SquaredEuclidean().matrix(x, points)).matrix for points in (y, own))
    way = P.sum(1, keepdim=True) * x - P @ y - Q.sum(1, keepdim=True) * x + Q @ own
    assert torch.allclose(slope, 2 * (way * x).sum(), rtol=1e-4, atol=1e-5)


def test_the_value_is_that_of_three_plans():
    torch.manual_seed(0)
    zeta, nu, cost = standard_gaussian(2), Empirical(torch.randn(400, 2) * 2), SquaredEuclidean()
    coupling = DebiasedPlanCoupling(exact_plan)
    state = torch.get_rng_state()
    value = coupling(zeta, nu, cost, 16).value
    torch.set_rng_state(state)
    x, y, own = zeta.sample(16), nu.sample(16), zeta.sample(16)
    real = torch.stack([exact_plan(cost.matrix(nu.sample(16), nu.sample(16))).value for _ in range(400)])
    there, here = (exact_plan(cost.matrix(x, points)).value for points in (y, own))
    error = real.std() * (1 / 400 + 1 / 32) ** 0.5
    assert abs(value - (there - here / 2 - real.mean() / 2)) < 4 * error / 2
    assert coupling.diagnostics()["spread"] == pytest.approx(float(here / real.mean()), rel=0.2)
    assert coupling.diagnostics()["floor"] == 0


def test_data_of_one_point_have_no_spread_to_compare_with():
    coupling = DebiasedPlanCoupling(exact_plan)
    one = Empirical(torch.zeros(3, 2))
    assert float(coupling(one, one, SquaredEuclidean(), 3).value) == 0
    assert coupling.diagnostics() == {"floor": 0.0}


def test_it_is_copied_and_pickled_with_its_plan():
    copied = pickle.loads(pickle.dumps(DebiasedPlanCoupling(ENTROPIC)))
    value, penalty = copied(standard_gaussian(2), standard_gaussian(2), SquaredEuclidean(), 4)
    assert torch.isfinite(value) and penalty == 0 and not copied.state_dict()


def test_what_is_no_plan_is_refused_in_its_own_name():
    with pytest.raises(ValueError, match="DebiasedPlanCoupling needs a function of the costs that returns a Plan"):
        DebiasedPlanCoupling(lambda C: C)


@pytest.mark.slow
@pytest.mark.parametrize("plan", [exact_plan, partial(sinkhorn_plan, epsilon=0.4, tol=1e-2)])
def test_the_variance_of_gaussian_samples_in_eight_dimensions_is_that_of_the_data(plan):
    def variance(coupling):
        torch.manual_seed(0)
        nu = Empirical(torch.randn(4000, 8))
        mu = Pushforward(nn.Linear(8, 8), standard_gaussian(8))
        optimizer = partial(torch.optim.Adam, lr=1e-2)
        fit(mu, nu, PrimalSolver(SquaredEuclidean(), coupling), steps=500, optimizer=optimizer, schedule=linear_decay)
        with torch.no_grad():
            return float(mu.sample(20_000).var(0).sum() / nu.atoms.var(0).sum())

    assert abs(variance(DebiasedPlanCoupling(plan)) - 1) < 0.05
    assert variance(PlanCoupling(plan)) < 0.8
