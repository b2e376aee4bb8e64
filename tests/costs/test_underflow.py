"""Points so close that squares of their distances underflow: distances keep their unit, or are refused."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal

from ot_gen import Empirical, Euclidean, Reference, SquaredEuclidean, c_transform, certify
from ot_gen.costs import squared_distances

COSTS = [SquaredEuclidean(), Euclidean()]
SIZES = [(30, 1), (30, 2), (700, 3), (400, 20)]  # the line, double precision, and products without and with a search


def points(n, d, scale=1.0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    x, y = (scale * torch.randn(2, n, d, generator=generator, dtype=torch.float64)).to(dtype)
    return x, y


FACES = {
    "matrix": lambda cost, x, y: cost.matrix(x, y),
    "paired": lambda cost, x, y: cost(x, y),
    "hard": lambda cost, x, y: c_transform(cost, x, y, x.new_zeros(len(y)))[0],
    "soft": lambda cost, x, y: c_transform(cost, x, y, x.new_zeros(len(y)), epsilon=1e-300)[0],
}


@pytest.mark.parametrize("cost", COSTS, ids=str)
@pytest.mark.parametrize("n, d", SIZES)
@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("dtype, least", [(torch.float32, 1e-19), (torch.float64, 1e-154)])
def test_what_underflows_is_refused_with_the_remedy(cost, n, d, face, dtype, least):
    for scale in (0.1 * least, 1e-5 * least, 1e-8 * least):
        with pytest.raises(ValueError, match=r"squares underflow .*; rescale the points"):
            FACES[face](cost, *points(n, d, scale, dtype))


@pytest.mark.parametrize("cost", COSTS, ids=str)
@pytest.mark.parametrize("n, d", SIZES)
@pytest.mark.parametrize("face", ["matrix", "paired", "hard"])
@pytest.mark.parametrize("scale", [1e-12, 1e-17, 1e-18, 1e-19, 1e-20, 1e-22])
def test_a_small_unit_changes_nothing_or_is_refused(cost, n, d, face, scale):
    one = FACES[face](cost, *points(n, d)).double()
    try:
        other = FACES[face](cost, *points(n, d, scale)).double() / scale**cost.degree
    except ValueError:
        assert scale < 5e-19
        return
    assert float((other - one).abs().max()) < 1e-4 * float(one.abs().max())


@pytest.mark.parametrize("cost", COSTS, ids=str)
@pytest.mark.parametrize("d", [1, 2, 20])
@pytest.mark.parametrize("place", [0.0, 0.1, 1e-20, 1e-30])
def test_points_that_are_all_equal_have_distance_zero(cost, d, place):
    x = torch.full((600, d), place)
    assert float(cost.matrix(x, x).max()) < 1e-20 and float(cost(x, x).max()) == 0
    assert float(c_transform(cost, x, x[:3], torch.zeros(3))[0].max()) == 0


@pytest.mark.parametrize("cost", COSTS, ids=str)
@pytest.mark.parametrize("n", [20, 3000])
def test_points_close_to_one_of_atoms_that_lie_apart_are_taken(cost, n):
    x, y = 1e-22 * torch.randn(n, 3), torch.cat([torch.zeros(1, 3), torch.eye(3).repeat(40, 1)])
    values, argmin = c_transform(cost, x, y, torch.zeros(len(y)))
    assert int(argmin.max()) == 0 and float(values.max()) < 1e-20


def test_the_squares_of_a_batch_under_vmap_are_not_looked_at():
    x, y = points(5, 2)
    alone = torch.func.vmap(lambda a, b: squared_distances(a[None], b[None])[0, 0])(x, y)
    assert torch.allclose(alone, torch.func.vmap(SquaredEuclidean())(x, y))


@pytest.mark.slow
@pytest.mark.parametrize("cost", COSTS, ids=str)
def test_a_certificate_of_a_small_problem_is_that_of_the_large_one_or_refused(cost):
    atoms = points(20, 2)[0]

    def interval(scale):
        torch.manual_seed(0)
        mu = Reference(Independent(Normal(torch.zeros(2), torch.full((2,), scale)), 1))
        result = certify(mu, Empirical(scale * atoms), cost, max_samples=2**11)
        return result.lower / scale**cost.degree, result.upper / scale**cost.degree

    assert interval(1e-18) == pytest.approx(interval(1.0), rel=1e-4)
    for scale in (1e-19, 1e-20, 1e-25):
        with pytest.raises(ValueError, match="underflow"):
            interval(scale)
    assert math.isfinite(interval(1e-17)[0])
