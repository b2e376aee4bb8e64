"""The locally adaptive normal: its constant, its draws and its fit where the truth is known."""

import math

import pytest
import torch
from scipy.integrate import quad
from surfaces import arc, cylinder, sphere, stereographic
from torch import nn
from torch.distributions import MultivariateNormal

from ot_gen import LatentGeometry
from ot_gen.geometry import LocallyAdaptiveNormal, WrappedNormal, conformal, fit_adaptive_normal

pytestmark = pytest.mark.usefixtures("float64")

SKEW = torch.tensor([[0.5, 0.2], [0.2, 0.3]], dtype=torch.float64)


def half_plane():
    return LatentGeometry(conformal(lambda z: z[:, 1] ** -2))


def hyperbolic_distance(z, m):
    return torch.acosh(1 + (z - m).square().sum(dim=1) / (2 * z[:, 1] * m[1]))


def radial(area, sigma, power, top):
    """∫ r^power exp(−r²/2σ²) area(r) dr."""
    return quad(lambda r: r**power * math.exp(-(r**2) / (2 * sigma**2)) * area(r), 0, top)[0]


def test_under_a_flat_metric_it_is_the_normal():
    net, mean = nn.Linear(2, 5).requires_grad_(False), torch.tensor([0.4, -1.0])
    geo, z = LatentGeometry(net), torch.randn(9, 2)
    law = LocallyAdaptiveNormal(geo, mean, SKEW, samples=16)
    plain = MultivariateNormal(mean, SKEW)
    torch.testing.assert_close(law.log_prob(z) + geo.log_volume(z), plain.log_prob(z), rtol=1e-5, atol=1e-5)
    drawn = law.sample(1000)
    assert drawn.shape == (1000, 2) and law.dim == 2 and law.log_constant_se <= 1e-6
    assert torch.allclose(drawn.mean(dim=0), mean, atol=0.08)
    assert torch.allclose(torch.cov(drawn.T), SKEW, atol=0.08)


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.3, 0.7])
def test_the_constant_on_the_sphere(sigma):
    law = LocallyAdaptiveNormal(LatentGeometry(stereographic), torch.zeros(2), sigma**2 / 4 * torch.eye(2))  # M(0) = 4I
    assert math.exp(law.log_constant) == pytest.approx(2 * math.pi * radial(math.sin, sigma, 0, math.pi), rel=3e-3)


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_the_constant_of_the_hyperbolic_plane(sigma):
    law = LocallyAdaptiveNormal(half_plane(), torch.tensor([0.0, 1.0]), sigma**2 * torch.eye(2), samples=512)
    truth = 2 * math.pi * math.sqrt(math.pi / 2) * sigma * math.exp(sigma**2 / 2) * math.erf(sigma / math.sqrt(2))
    assert math.exp(law.log_constant) == pytest.approx(truth, rel=2e-2)


def test_the_constant_knows_no_chart():
    plane = half_plane()
    disk = LatentGeometry(conformal(lambda z: 4 / (1 - z.square().sum(dim=1)) ** 2))
    first = LocallyAdaptiveNormal(plane, torch.tensor([0.0, 2.0]), 4 * 0.25 * torch.eye(2))  # Σ = σ² M⁻¹, σ = ½
    second = LocallyAdaptiveNormal(disk, torch.zeros(2), 0.25 * 0.25 * torch.eye(2))
    assert first.log_constant == pytest.approx(second.log_constant, abs=1e-3)


def test_beyond_a_conjugate_point_nothing_counts():
    """On the sphere exp covers all points a second time beyond r = π; here it goes along the equator."""
    law = LocallyAdaptiveNormal(
        LatentGeometry(sphere), torch.tensor([math.pi / 2, 0.0]), 0.01 * torch.eye(2), samples=8
    )
    r = torch.tensor([0.5, 2.0, 2.9, 3.6, 4.5])
    volume, _ = law.volume(torch.stack([0 * r, r], dim=1))
    torch.testing.assert_close(volume, torch.where(r < math.pi, r.sin() / r, 0), rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_draws_have_the_moments_of_the_density_and_those_of_the_wrapped_normal_do_not():
    m, sigma = torch.tensor([0.0, 1.0]), 1.0
    law = LocallyAdaptiveNormal(half_plane(), m, sigma**2 * torch.eye(2))
    truth = radial(math.sinh, sigma, 2, 12) / radial(math.sinh, sigma, 0, 12)
    squared = hyperbolic_distance(law.sample(500), m).square()
    error = float(squared.std()) / math.sqrt(500)
    assert abs(float(squared.mean()) - truth) <= 5 * error
    assert float(law.moments()[1].trace()) == pytest.approx(truth, rel=0.05)
    wrapped = hyperbolic_distance(WrappedNormal(half_plane(), m, sigma).sample(2000), m).square()
    assert abs(float(wrapped.mean()) - 2 * sigma**2) <= 5 * float(wrapped.std()) / math.sqrt(2000)
    assert truth > 2.5 * sigma**2


@pytest.mark.slow
def test_the_density_integrates_to_one():
    law = LocallyAdaptiveNormal(half_plane(), torch.tensor([0.0, 1.0]), 0.16 * torch.eye(2))
    x, y = torch.linspace(-2.5, 2.5, 50), torch.linspace(0.15, 4, 50)
    z = torch.cartesian_prod(x, y)
    density = (law.log_prob(z) + law.geometry.log_volume(z)).exp()
    assert float(density.sum() * (x[1] - x[0]) * (y[1] - y[0])) == pytest.approx(1, abs=5e-3)


@pytest.mark.slow
def test_a_fit_on_a_flat_surface_is_mean_and_covariance():
    z = torch.randn(40, 2) @ torch.linalg.cholesky(SKEW).T
    found = fit_adaptive_normal(LatentGeometry(cylinder), z)
    assert found.converged
    assert torch.allclose(found.law.mean, z.mean(dim=0), atol=1e-3)
    assert torch.allclose(found.law.covariance, torch.cov(z.T, correction=0), atol=0.01)


@pytest.mark.slow
def test_a_fit_in_the_hyperbolic_plane_finds_the_law_of_its_draws():
    m, sigma = torch.tensor([0.0, 1.0]), 0.8
    truth = LocallyAdaptiveNormal(half_plane(), m, sigma**2 * torch.eye(2))
    z = truth.sample(400)
    found = fit_adaptive_normal(half_plane(), z)
    assert found.converged and found.loss <= -float(truth.log_prob(z).mean()) + 1e-3
    assert float(hyperbolic_distance(found.law.mean[None], m)) <= 4 * sigma / math.sqrt(400)
    spread = found.law.covariance / found.law.mean[1] ** 2
    assert torch.allclose(spread, sigma**2 * torch.eye(2), atol=0.15)
    assert found.loss == pytest.approx(-float(found.law.log_prob(z).mean()), abs=1e-6)


@pytest.mark.slow
def test_a_fit_on_the_sphere_is_the_mean_of_symmetric_points():
    geo = LatentGeometry(stereographic)
    z = torch.tensor([[0.3, 0.0], [-0.3, 0.0], [0.0, 0.3], [0.0, -0.3]])
    found = fit_adaptive_normal(geo, z)
    squared = float(arc(stereographic)(z[:1], torch.zeros(1, 2)).square())
    assert found.converged and torch.allclose(found.law.mean, torch.zeros(2), atol=1e-2)
    second = found.law.moments()[1] * 4
    assert torch.allclose(second, squared / 2 * torch.eye(2), atol=0.02)


@pytest.mark.parametrize(
    "mean, covariance, samples, message",
    [
        (torch.zeros(1, 2), torch.eye(2), 8, "mean must be one point \\(k,\\)"),
        (torch.zeros(2), torch.eye(3), 8, "covariance must be \\(k, k\\)"),
        (torch.zeros(2), torch.eye(2), 1, "samples must be a whole number >= 2"),
        (torch.zeros(2), -torch.eye(2), 8, "positive definite"),
        (torch.zeros(2), torch.tensor([[1.0, 0.5], [0.0, 1.0]]), 8, "symmetric"),
    ],
)
def test_laws_that_are_none(mean, covariance, samples, message):
    with pytest.raises(ValueError, match=message):
        LocallyAdaptiveNormal(LatentGeometry(cylinder), mean, covariance, samples=samples)


def test_weights_of_a_fit_are_a_probability_vector():
    with pytest.raises(ValueError, match="sum to 1"):
        fit_adaptive_normal(LatentGeometry(cylinder), torch.randn(3, 2), torch.ones(3))
