"""Points that a cost cannot compare: of two dimensions, no clouds, or so large that squares overflow."""

import pytest
import torch

from ot_gen import Euclidean, InnerProduct, InverseMultiquadric, Lp, SquaredEuclidean
from ot_gen.costs import BernoulliNLL, squared_distances

COSTS = [SquaredEuclidean(), Euclidean(), Lp(1.0), InnerProduct(), BernoulliNLL()]


@pytest.mark.parametrize("cost", COSTS, ids=str)
@pytest.mark.parametrize("dims", [(1, 2), (2, 1), (3, 2)])
def test_points_of_two_dimensions_are_refused_and_not_broadcast(cost, dims):
    x, y = (torch.rand(5, d) for d in dims)
    for face in (cost, cost.matrix):
        with pytest.raises(ValueError, match=r"points of one dimension d, .*\(5, \d\) and \(5, \d\)"):
            face(x, y)


@pytest.mark.parametrize("cost", COSTS, ids=str)
@pytest.mark.parametrize("shape", [(2,), (), (2, 3, 2)])
def test_all_pairs_are_of_clouds(cost, shape):
    with pytest.raises(ValueError, match=r"x must be a tensor \(n, d\), got shape"):
        cost.matrix(torch.rand(shape), torch.rand(3, 2))


@pytest.mark.parametrize("cost", COSTS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.bool])
def test_short_and_whole_numbers_are_computed_in_float32(cost, dtype):
    x, y = torch.zeros(4, 3).to(dtype), torch.ones(5, 3).to(dtype)
    assert cost.matrix(x, y).dtype == cost(x, y[:4]).dtype == torch.float32
    assert torch.equal(cost.matrix(x, y), cost.matrix(x.float(), y.float()))


@pytest.mark.parametrize("function", [SquaredEuclidean().matrix, Euclidean().matrix, InnerProduct().matrix])
@pytest.mark.parametrize("size", [1e20, 3e38])
def test_values_of_finite_points_are_numbers_or_refused_with_the_remedy(function, size):
    generator = torch.Generator().manual_seed(0)
    x, y = (size * torch.randn(2, 6, 3, generator=generator)).clamp(-3e38, 3e38)
    try:
        assert not function(x, y).isnan().any()
    except ValueError as error:
        assert "overflow" in str(error) and "rescale the points, or use float64" in str(error)
    assert torch.isfinite(function(x.double(), y.double())).all()


@pytest.mark.parametrize("function", [squared_distances, InverseMultiquadric()])
def test_what_is_made_of_squared_distances_never_is_nan(function):
    x = torch.full((3, 4), 1e20)
    try:
        assert not function(x, -x).isnan().any()
    except ValueError as error:
        assert "overflow" in str(error)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensors_are_refused_by_name():
    nested = torch.nested.nested_tensor([torch.zeros(2, 2), torch.zeros(3, 2)])
    for function in (SquaredEuclidean().matrix, Euclidean(), squared_distances):
        with pytest.raises(ValueError, match="got a nested one"):
            function(nested, nested)
