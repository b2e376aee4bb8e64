"""Laws on a latent manifold are measures: bases of models, data to fit, and modules that move."""

import pytest
import torch
from torch import nn

from ot_gen import (
    MMD,
    Empirical,
    InverseMultiquadric,
    LatentGeometry,
    Measure,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    exact_plan,
    fit,
    standard_gaussian,
)
from ot_gen.geometry import BrownianMotion, LocallyAdaptiveNormal, WrappedNormal

FLAT = LatentGeometry(lambda z: 2 * z)
LAWS = {
    "wrapped": lambda: WrappedNormal(FLAT, torch.tensor([1.0, -1.0]), 0.4),
    "brownian": lambda: BrownianMotion(FLAT, torch.tensor([1.0, -1.0]), time=0.16, steps=3),
    "adaptive": lambda: LocallyAdaptiveNormal(FLAT, torch.tensor([1.0, -1.0]), 0.04 * torch.eye(2), samples=16),
}


@pytest.fixture(params=LAWS)
def law(request):
    return LAWS[request.param]()


def test_on_a_flat_manifold_they_are_the_same_gaussian(law):
    z = law.sample(4000)  # M = 4 I: a spread of 0.4 in units of the metric is one of 0.2
    assert torch.allclose(z.mean(dim=0), torch.tensor([1.0, -1.0]), atol=0.02)
    assert torch.allclose(z.std(dim=0), torch.full((2,), 0.2), atol=0.01)


@pytest.mark.slow
def test_they_are_the_base_of_a_model_and_the_data_of_a_fit(law):
    assert isinstance(law, Measure) and law.dim == 2
    mu = Pushforward(nn.Linear(2, 3), law)
    assert mu.sample(5).shape == (5, 3) and mu.rsample(5).requires_grad and mu.cube_dim is None
    solver = PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan))
    assert fit(mu, Empirical(torch.randn(8, 3)), solver, steps=2, batch_size=4).step == 2
    start = Pushforward(nn.Linear(2, 2), standard_gaussian(2))
    assert fit(start, law, solver, steps=2, batch_size=4).step == 2
    assert torch.isfinite(MMD(InverseMultiquadric())(standard_gaussian(2).law.expand((8,)), law))


def test_they_move_and_keep_out_of_checkpoints(law):
    assert law.state_dict() == {} and not list(law.parameters())
    assert law.double().sample(3).dtype == torch.float64
