"""Clamps lead back, penalties take points of any shape, and codes that cannot learn are refused."""

import math

import pytest
import torch
from torch import nn

from ot_gen import GaussianEncoder, GradientPenalty, OneSidedPenalty, SpectralNorm, SphereEncoder
from ot_gen.divergences import KL
from ot_gen.geometry.jets import directional
from ot_gen.measures import LearnedMixture, standard_gaussian, within
from ot_gen.networks import MLP, FullGaussianEncoder, PixelwiseStd, RBFPrecision


class Constant(nn.Module):
    """A net that returns the same values for each row."""

    def __init__(self, *values):
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values))

    def forward(self, y):
        return self.values.expand(len(y), -1)


@pytest.mark.parametrize("start", [-100.0, -30.0, 8.0, 30.0, 100.0])
@pytest.mark.parametrize("encoder, values", [(GaussianEncoder, 2), (FullGaussianEncoder, 2)])
def test_an_encoder_returns_from_outside_its_range(start, encoder, values):
    q, zeta, y = encoder(Constant(0.0, start)), standard_gaussian(1), torch.zeros(4, 1)
    adam = torch.optim.Adam(q.parameters(), lr=1.0, betas=(0.5, 0.9))
    for _ in range(200):
        loss = KL()(q(y), zeta)
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert float(loss.detach()) < 1.0


def test_a_decoder_and_a_precision_return_from_outside_their_ranges():
    sigma, rbf = PixelwiseStd(Constant(40.0)), RBFPrecision(1, 1, centres=2)
    with torch.no_grad():
        rbf.log_weights.fill_(50.0)
    for module, z in ((sigma, torch.zeros(1, 1)), (rbf, rbf.centres[:1])):
        out = module(z)
        assert bool(torch.isfinite(out).all())
        sign = 1 if module is sigma else -1  # descent is to lower the deviation, and to raise it
        gradients = torch.autograd.grad(sign * out.log().sum(), list(module.parameters()))
        assert sum(float(g.abs().sum()) for g in gradients) > 0


def test_a_learned_mixture_returns_from_outside_its_range():
    family = LearnedMixture(torch.zeros(1, 2), 1.0)
    with torch.no_grad():
        family.log_std.fill_(30.0)
    loss = -family().log_prob(torch.zeros(4, 2)).mean()
    (gradient,) = torch.autograd.grad(loss, family.log_std)
    assert bool((gradient > 0.5).all())


def test_within_is_the_clamp_in_value_and_in_forward_mode():
    x = torch.tensor([-3.0, -1.0, 0.5, 3.0])
    value, tangent = directional(lambda x: within(x, -1.0, 1.0), x, torch.ones(4))
    assert value.tolist() == [-1.0, -1.0, 0.5, 1.0] and tangent.tolist() == [0.0, 1.0, 1.0, 0.0]
    for sign, passed in ((1.0, [0.0, 1.0, 1.0, 1.0]), (-1.0, [-1.0, -1.0, -1.0, 0.0])):
        gradient = torch.func.grad(lambda x, sign=sign: sign * within(x, -1.0, 1.0).sum())(x)
        assert gradient.tolist() == passed
    batched = torch.func.vmap(lambda x: within(x, -1.0, 1.0))(x.expand(2, 4))
    assert torch.equal(batched, x.clamp(-1, 1).expand(2, 4))


@pytest.mark.parametrize("shape", [(6,), (2, 3), (1, 2, 3)])
@pytest.mark.parametrize("penalty", [GradientPenalty(10.0), OneSidedPenalty(10.0)])
def test_a_penalty_is_that_of_the_flattened_points(penalty, shape):
    """h = 6 / √6 Σ x has a gradient of norm 6, so each penalty is 10 · 5² = 250."""
    x, y = torch.rand(5, *shape), torch.rand(5, *shape)
    value = penalty.penalty(lambda x: 6 / math.sqrt(6) * x.flatten(1).sum(dim=1), x, y)
    assert float(value) == pytest.approx(250.0, rel=1e-4)


@pytest.mark.parametrize("x, y", [((5,), (5,)), ((5, 2), (4, 2)), ((5, 2), (5, 3)), ((5, 1, 2), (5, 2))])
def test_a_penalty_refuses_points_that_do_not_pair(x, y):
    with pytest.raises(ValueError, match="of one shape"):
        GradientPenalty().penalty(lambda x: x.flatten(1).sum(dim=1), torch.rand(*x), torch.rand(*y))


@pytest.mark.parametrize("layer", [nn.Conv1d(2, 3, 3), nn.Conv3d(2, 3, 1), nn.ConvTranspose1d(2, 3, 3)])
def test_spectral_norm_normalises_every_kind_of_convolution(layer):
    net = SpectralNorm(power_iterations=30).attach(nn.Sequential(layer))
    axis = 1 if isinstance(layer, nn.ConvTranspose1d) else 0
    weight = net[0].weight.detach().movedim(axis, 0).flatten(1)
    assert float(torch.linalg.matrix_norm(weight, 2)) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("net", [nn.Linear(3, 1), MLP(3, 1), nn.Sequential(MLP(3, 8), nn.Linear(8, 1))])
def test_codes_on_two_points_are_refused_at_construction(net):
    with pytest.raises(ValueError, match="latent dimension >= 2"):
        SphereEncoder(net)
