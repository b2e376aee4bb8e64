"""Laws and units at the ends of a dtype: right, or refused where they are made."""

import pytest
import torch

from ot_gen import Empirical, uniform_cube, uniform_sphere
from ot_gen.measures import Units


@pytest.mark.parametrize("radius", [1e39, 1e300, 1e-300])
def test_a_sphere_that_single_precision_cannot_hold_is_refused(radius):
    with pytest.raises(ValueError, match="cannot be held by"):
        uniform_sphere(2, radius)


@pytest.mark.parametrize("ends", [(-3e38, 3e38), (1.0, 1 + 1e-12), (-1e300, 1e300)])
def test_a_cube_that_single_precision_cannot_hold_is_refused(ends):
    with pytest.raises(ValueError, match="holds no cube"):
        uniform_cube(2, *ends)


@pytest.mark.parametrize("size", [1e-300, 1e-170, 1.0, 1e170])
def test_units_of_points_whose_squares_leave_the_dtype(size):
    points = torch.randn(200, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for make in (Units.shared, Units.columns):
        one, other = make(Empirical(points)).scale, make(Empirical(size * points)).scale
        assert torch.allclose(other / size, one, rtol=1e-12)
