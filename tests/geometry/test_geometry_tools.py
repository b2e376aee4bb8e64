"""Means, medoids and random points on a manifold."""

import math

import pytest
import torch
from surfaces import SPHERE, cylinder, sphere

from ot_gen import LatentGeometry
from ot_gen.geometry import BrownianMotion, Graph, WrappedNormal, conformal, frechet_mean, k_medoids

pytestmark = pytest.mark.usefixtures("float64")


def test_the_mean_on_a_flat_surface_is_the_average():
    z, weights = torch.randn(6, 2), torch.tensor([0.3, 0.1, 0.1, 0.2, 0.2, 0.1])
    found = frechet_mean(LatentGeometry(cylinder), z, weights)
    assert found.converged and torch.allclose(found.point, weights @ z, atol=1e-5)
    assert found.variance == pytest.approx(float(weights @ (z - weights @ z).square().sum(dim=1)), rel=1e-5)


@pytest.mark.slow
def test_the_mean_on_the_sphere_is_a_stationary_point_and_knows_no_chart():
    geo, (z, _) = LatentGeometry(sphere), SPHERE.pairs(7)
    found = frechet_mean(geo, z, tol=1e-5)
    m = found.point.expand_as(z).contiguous()
    assert found.converged
    assert torch.allclose(geo.log(m, z).mean(dim=0), torch.zeros(2), atol=1e-4)
    assert found.variance <= float(geo.distance(z[:1], z).square().mean())
    pair = frechet_mean(geo, z[:2], tol=1e-5).point
    assert torch.allclose(
        sphere(pair[None])[0], torch.nn.functional.normalize(sphere(z[:2]).sum(dim=0), dim=0), atol=1e-4
    )


def test_medoids_find_clusters_that_the_distances_show():
    x = torch.cat([torch.randn(20, 2) * 0.2 + centre for centre in torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])])
    order = torch.randperm(60)
    found = k_medoids(torch.cdist(x, x)[order][:, order], 3)
    assert torch.equal(torch.bincount(found.labels), torch.tensor([20, 20, 20]))
    truth = torch.arange(3).repeat_interleave(20)[order]
    assert len({(int(a), int(b)) for a, b in zip(found.labels, truth, strict=True)}) == 3
    assert k_medoids(torch.cdist(x, x), 60).cost <= 1e-5
    costs = [k_medoids(torch.cdist(x, x), count).cost for count in (1, 2, 3, 4)]
    assert costs == sorted(costs, reverse=True)


@pytest.mark.parametrize("shape, count", [((3, 2), 1), ((3, 3), 0), ((3, 3), 4)])
def test_medoids_need_a_square_matrix_and_a_fitting_number(shape, count):
    with pytest.raises(ValueError, match=r"medoids|count must be a whole number >= 1"):
        k_medoids(torch.zeros(shape), count)


def test_brownian_motion_on_the_sphere_forgets_at_the_rate_of_the_laplacian():
    walk = BrownianMotion(LatentGeometry(sphere), torch.tensor([1.4, 0.3]), time=0.15, steps=15)
    z = walk.sample(4000)
    x, start = sphere(z), sphere(walk.start[None])
    error = x.std(dim=0) / math.sqrt(len(x))
    assert bool(((x.mean(dim=0) - math.exp(-0.15) * start[0]).abs() <= 5 * error + 0.01).all())
    assert walk.paths(2).shape == (2, 16, 2) and walk.dim == 2


def test_brownian_motion_in_the_hyperbolic_plane_drifts_from_the_boundary():
    walk = BrownianMotion(LatentGeometry(conformal(lambda z: z[:, 1] ** -2)), torch.tensor([0.0, 1.0]), time=0.5)
    height = walk.sample(4000)[:, 1].log()  # d log y = −½ dt + dW
    assert abs(float(height.mean()) + 0.25) <= 5 * math.sqrt(0.5 / 4000) + 0.01
    assert abs(float(height.var()) - 0.5) <= 0.1


@pytest.mark.slow
def test_a_normal_on_a_flat_surface_is_one_and_on_the_sphere_has_its_radius():
    z = WrappedNormal(LatentGeometry(lambda z: 2 * z), torch.tensor([1.0, -1.0]), 0.5).sample(4000)
    assert torch.allclose(z.mean(dim=0), torch.tensor([1.0, -1.0]), atol=0.03)
    assert torch.allclose(torch.cov(z.T), 0.0625 * torch.eye(2), atol=0.01)
    geo, mean = LatentGeometry(sphere), torch.tensor([1.2, 0.3])
    drawn = WrappedNormal(geo, mean, 0.3).sample(400)
    squared = SPHERE.distance(drawn, mean.expand_as(drawn)).square()
    assert float(squared.mean()) == pytest.approx(2 * 0.09, rel=0.25)


def test_laws_of_no_spread_or_at_singular_points_are_refused():
    geo = LatentGeometry(sphere)
    with pytest.raises(ValueError, match="scale must be a number > 0"):
        WrappedNormal(geo, torch.zeros(2), 0.0)
    with pytest.raises(ValueError, match="rank-deficient"):
        WrappedNormal(geo, torch.zeros(2), 1.0)
    with pytest.raises(ValueError, match="time must be a number > 0"):
        BrownianMotion(geo, torch.zeros(2), time=-1.0)


def test_a_mean_may_start_its_geodesics_from_a_graph():
    geo, (z, _) = LatentGeometry(sphere), SPHERE.pairs(4)
    one = frechet_mean(geo, z, start=Graph(SPHERE.pairs(200)[0]))
    assert torch.allclose(one.point, frechet_mean(geo, z).point, atol=2e-2)
