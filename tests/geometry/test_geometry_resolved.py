"""A geodesic is called converged only where its chords can show it."""

import math

import pytest
import torch

from ot_gen import LatentGeometry
from ot_gen.geometry import k_medoids


def sphere(z):
    """The inverse stereographic projection; the origin goes to the south pole."""
    r = z.square().sum(dim=1, keepdim=True)
    return torch.cat([2 * z, r - 1], dim=1) / (1 + r)


@pytest.mark.slow
@pytest.mark.parametrize("size", [0.5, 1.0, 3.0, 1e3, 1e4, 1e5, 1e6, 1e8])
def test_a_converged_geodesic_of_the_sphere_has_the_length_of_a_great_circle(size):
    z = torch.full((1, 2), size, dtype=torch.float64)
    geodesic = LatentGeometry(sphere).geodesic(torch.zeros_like(z), z)
    exact = 2 * math.atan(size * math.sqrt(2))
    assert not bool(geodesic.converged) or float(geodesic.length) == pytest.approx(exact, rel=1e-3)
    assert bool(geodesic.converged) or size > 3


def test_codes_whose_squares_the_dtype_does_not_hold_are_not_called_converged():
    A = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    z, w = torch.randn(2, 3, 2, generator=torch.Generator().manual_seed(1))
    for size in (1.0, 1e-10, 1e-17, 1e-19, 1e-20):
        geodesic = LatentGeometry(lambda points: points @ A.T).geodesic(size * z, size * w)
        error = geodesic.length / (size * ((z - w) @ A.T).double().norm(dim=1)) - 1
        assert not bool((geodesic.converged & (error.abs() > 1e-4)).any())
        assert bool(geodesic.converged.all()) or size < 1e-17


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("power", [-2, -4, -5, -6, -8, -10, -15, -20, -30])
def test_a_distance_that_rounding_hides_is_not_called_converged(power, dtype):
    A, b = (torch.randn(5, k, generator=torch.Generator().manual_seed(0)).to(dtype) for k in (2, 1))
    geometry, z = LatentGeometry(lambda points: points @ A.T + b.T), torch.zeros(1, 2, dtype=dtype)
    w = torch.full((1, 2), 10.0**power, dtype=dtype)
    geodesic, exact = geometry.geodesic(z, w), float((w @ A.T).norm())
    assert not bool(geodesic.converged) or float(geodesic.length) == pytest.approx(exact, rel=1e-3)
    assert bool(geodesic.converged) or 10.0**power < 1e5 * torch.finfo(dtype).eps
    both = geometry.geodesic(torch.cat([z, w]), torch.cat([w, w]))  # from a point to itself all is known
    assert both.converged.tolist() == [bool(geodesic.converged), True] and float(both.length[1]) == 0


def test_medoids_of_distances_that_are_not_symmetric_are_refused():
    with pytest.raises(ValueError, match="symmetric"):
        k_medoids(torch.tensor([[0.0, 1.0], [5.0, 0.0]]), 1)
