"""Points that coincide, work that ends, and decoders that a geometry must leave as they are."""

import copy

import pytest
import torch
from torch import nn

from ot_gen import LatentGeometry
from ot_gen.geometry import WrappedNormal, conformal, frechet_mean, k_medoids


@pytest.fixture
def decoder():
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 5)).requires_grad_(False)


def geometries(decoder):
    yield LatentGeometry(decoder)
    yield LatentGeometry(conformal(lambda z: 1 + z.square().sum(dim=1)))


@pytest.mark.slow
def test_a_point_is_at_distance_0_from_itself_alone_and_among_others(decoder):
    z = torch.randn(3, 2)
    for w in (z, torch.stack([z[0], z[1] + 0.3, z[2]])):
        still = (z == w).all(dim=1)
        for geo in geometries(decoder):
            curves = geo.geodesic(z, w)
            assert bool(curves.converged.all())
            assert torch.equal(curves.length == 0, still) and torch.equal(curves.residual() == 0, still)
            log = geo.log(z, w)
            assert torch.equal((log == 0).all(dim=1), still) and torch.allclose(geo.exp(z, log), w, atol=1e-4)
            z0, z1 = z.clone().requires_grad_(), w.clone().requires_grad_()
            d = geo.distance(z0, z1)
            gradients = torch.autograd.grad(d.sum(), (z0, z1))
            assert torch.equal(d.detach() == 0, still)
            assert all(bool(torch.isfinite(g).all()) and bool((g[still] == 0).all()) for g in gradients)


def test_starts_that_are_curves_belong_to_the_pairs_that_move(decoder):
    geo, z = LatentGeometry(decoder), torch.randn(3, 2)
    w = torch.stack([z[0], z[1] + 0.3, z[2] - 0.3])
    start = torch.stack([torch.lerp(z, w, t) for t in torch.linspace(0, 1, 5)], dim=1)
    assert torch.allclose(geo.geodesic(z, w, start=start).length, geo.geodesic(z, w).length, rtol=1e-3)


@pytest.mark.parametrize("count", [1, 3])
def test_the_mean_of_one_point_is_that_point(decoder, count):
    z = torch.randn(1, 2)
    mean = frechet_mean(LatentGeometry(decoder), z.repeat(count, 1))
    assert torch.equal(mean.point, z[0]) and mean.variance == 0 and mean.converged


@pytest.mark.slow
def test_a_geodesic_that_leaves_for_infinity_ends_with_a_line():
    geo = LatentGeometry(lambda z: z.tanh())  # γ = atanh(vt) from 0: beyond every bound at t = 1/v
    for v in (1.5, 3.0):
        with pytest.raises(ValueError, match=r"geodesic equation|singular|rank-deficient"):
            geo.exp(torch.zeros(1, 2), torch.tensor([[v, v / 2]]))
    with pytest.raises(ValueError, match=r"geodesic equation|singular|rank-deficient"):
        WrappedNormal(geo, torch.zeros(2), 5.0).sample(3)


def test_negative_distances_are_refused():
    with pytest.raises(ValueError, match="distances >= 0"):
        k_medoids(-torch.rand(6, 6), 2)


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(8), nn.Dropout(0.5)])
def test_a_decoder_in_training_mode_is_refused_and_left_as_it_is(layer):
    net = nn.Sequential(nn.Linear(2, 8), layer, nn.Tanh(), nn.Linear(8, 3))
    before, geo = copy.deepcopy(net.state_dict()), LatentGeometry(net)
    for call in (geo.metric, lambda z: geo.geodesic(z, z + 1), geo.pairwise):
        with pytest.raises(ValueError, match=r"call decoder.eval\(\)"):
            call(torch.randn(4, 2))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    net.eval()
    assert bool(torch.isfinite(geo.metric(torch.randn(4, 2))).all())
