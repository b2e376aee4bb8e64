"""What the geometry says of input that it cannot use."""

import pytest
import torch
from surfaces import SPHERE, sphere
from torch import nn
from torch.distributions import Normal

from ot_gen import GaussianDecoder, LatentGeometry
from ot_gen.geometry import Graph, MatrixMetric, Polyline, Spline, euclidean

A, B = torch.tensor([[0.0, 0.1]]), torch.tensor([[1.0, 0.3]])


@pytest.mark.parametrize(
    "decoder, message",
    [
        (lambda z: z.sum(), "got \\(1, 2\\) -> \\(\\)"),
        (lambda z: z.unsqueeze(1), "flatten images"),
        (lambda z: z[:0], "\\(0, 2\\)"),
        (lambda z: Normal(z, 1.0), "decoder.mean"),
        (GaussianDecoder(nn.Linear(2, 3), std=0.1), "std=decoder.std"),
        (lambda z: z / 0, "NaN or Inf"),
        (lambda z: z.sqrt(), "NaN or Inf"),
        (lambda z: z[:, :1], "rank-deficient at 2 of 2"),
        (lambda z: 0 * z, "rank-deficient"),
        (lambda z: torch.sigmoid(z + 200), "ridge="),
    ],
)
def test_a_decoder_that_gives_no_metric(decoder, message):
    with pytest.raises(ValueError, match=message):
        LatentGeometry(decoder).geodesic(A, B)


def test_a_decoder_that_is_not_finite_between_the_ends():
    with pytest.raises(ValueError, match="starting curves"):
        LatentGeometry(lambda z: 1 / (z - 0.5)).geodesic(torch.tensor([[0.0]]), torch.tensor([[1.0]]))


def test_a_ridge_on_request_makes_geodesics_of_a_deficient_decoder():
    found = LatentGeometry(lambda z: z[:, :1], ridge=1e-4).geodesic(A, B)
    assert bool(found.converged.all()) and float(found.length) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    "a, b, message",
    [
        (A[0], B[0], "point cloud"),
        (A, B[:, :1], "same shape"),
        (A.expand(3, 2), B.expand(2, 2), "pairwise"),
        (A * float("nan"), B, "NaN"),
        (A.long(), B, "floating point"),
        ("A", B, "z0 must be a torch tensor"),
        (A.half(), B, "float32 or float64"),
    ],
)
def test_ends_of_wrong_shapes_or_values(a, b, message):
    with pytest.raises(ValueError, match=message):
        LatentGeometry(sphere).geodesic(a, b)


def test_lists_and_arrays_are_points():
    geo = LatentGeometry(sphere)
    assert torch.equal(geo.geodesic((A + 0.3).tolist(), B.numpy()).length, geo.geodesic(A + 0.3, B).length)


def test_one_end_serves_many():
    many = torch.rand(4, 2) + 0.5
    assert LatentGeometry(sphere).geodesic(B, many).length.shape == (4,)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"segments": 7}, "even"),
        ({"segments": 2}, "segments must be a whole number >= 4, got 2"),
        ({"tol": 0.0}, "tol must be a number in \\(0, 1\\]"),
        ({"rounds": 0}, "rounds must be a whole number >= 1"),
        ({"accuracy": -1.0}, "accuracy must be a number in"),
        ({"refinements": -1}, "refinements must be a whole number in"),
        ({"start": torch.zeros(2, 5, 2)}, "a start must be curves"),
        ({"start": []}, "at least one start"),
        ({"start": "line"}, "Graph"),
        ({"segments": 16.0}, "segments must be a whole number"),
    ],
)
def test_settings_of_the_solver(settings, message):
    with pytest.raises(ValueError, match=message):
        LatentGeometry(sphere).geodesic(A + 0.3, B, **settings)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"map": []}, "a decoder must be a map"),
        ({"map": [sphere, 3]}, "map must be a function or a list"),
        ({"map": sphere, "std": 0.1}, "std must be a function"),
        ({"map": sphere, "ridge": -1.0}, "ridge"),
        ({"map": [sphere, sphere], "std": sphere}, "2 decoders and 1"),
        ({"map": sphere, "std": sphere, "features": sphere}, "no expected metric"),
        ({"map": euclidean(), "std": sphere}, "belong to decoders"),
    ],
)
def test_geometries_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        LatentGeometry(**settings)


def test_other_shapes():
    geo = LatentGeometry(sphere)
    with pytest.raises(ValueError, match="std must return"):
        LatentGeometry(sphere, std=lambda z: z).metric(A)
    with pytest.raises(ValueError, match=r"axes must be matplotlib axes.*got None"):
        Polyline(torch.zeros(1, 5, 2)).plot(None)
    with pytest.raises(ValueError, match="times t must be finite"):
        Polyline(torch.zeros(1, 5, 2))(torch.tensor([torch.inf]))
    with pytest.raises(ValueError, match="NaN or Inf"):
        LatentGeometry(lambda z: z.exp()).metric(A * 1e4)
    with pytest.raises(ValueError, match="metric field"):
        LatentGeometry(MatrixMetric(lambda z: z)).metric(A)
    with pytest.raises(ValueError, match="v must be finite, of shape"):
        geo.exp(A + 0.5, torch.zeros(1, 3))
    with pytest.raises(ValueError, match="nodes"):
        geo.length(torch.zeros(4, 2))
    with pytest.raises(ValueError, match="NaN"):
        Spline(torch.full((1, 5, 2), float("nan")))
    with pytest.raises(ValueError, match="drawn"):
        Polyline(torch.zeros(1, 5, 3)).plot(None)
    with pytest.raises(ValueError, match="more codes"):
        Graph(torch.rand(5, 2), neighbours=5)
    with pytest.raises(ValueError, match="dimension 2, the codes of the graph 3"):
        geo.geodesic(A + 0.5, B, start=Graph(torch.rand(20, 3)))


@pytest.mark.parametrize(
    "decoder, points, message",
    [
        (nn.Linear(3, 5), A, "fails on points \\(1, 2\\)"),
        (nn.Linear(2, 5), A.double(), "torch.float64"),
        (lambda z: torch.from_numpy(z.numpy() ** 2), A, "functions of torch"),
        (nn.Sequential(nn.Linear(2, 5), nn.Dropout(0.5), nn.Tanh()), A, "evaluation mode"),
    ],
)
def test_a_decoder_that_fails_on_the_points(decoder, points, message):
    with pytest.raises(ValueError, match=message):
        LatentGeometry(decoder).metric(points)


def test_an_exponential_from_a_singular_point_is_refused():
    with pytest.raises(ValueError, match="rank-deficient"):
        LatentGeometry(lambda z: z**2).exp(torch.tensor([[0.0]]), torch.tensor([[1.0]]))


def test_ends_far_outside_of_the_codes_give_a_curve_or_say_why_not():
    net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 8)).requires_grad_(False)
    found = LatentGeometry(net).geodesic(torch.tensor([[-8.0, 3.0]]), torch.tensor([[9.0, 5.0]]))
    assert bool(torch.isfinite(found.length).all())
    with pytest.raises(ValueError, match="closer to the codes"):
        LatentGeometry(net).geodesic(torch.tensor([[-1e4, 3.0]]), torch.tensor([[1e4, 5.0]]))


def test_geodesics_are_drawn_into_given_axes():
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    geo, (a, b) = LatentGeometry(SPHERE.map), SPHERE.pairs(3)
    geo.geodesic(a, b).plot(axes, color="black")
    assert len(axes.lines) == 3


@pytest.mark.parametrize("dtype, faint", [(torch.float32, 3e-3), (torch.float64, 1e-6)])
def test_a_direction_that_moves_the_output_faintly_is_no_deficiency(dtype, faint):
    turn, _ = torch.linalg.qr(torch.randn(10, 10, dtype=dtype))

    def decoder(scale):
        return lambda z: z @ turn * torch.tensor([1.0] * 9 + [scale], dtype=dtype)

    a, b = torch.randn(2, 3, 10, dtype=dtype)
    found = LatentGeometry(decoder(faint)).geodesic(a, b)
    assert torch.allclose(found.length, (decoder(faint)(a) - decoder(faint)(b)).norm(dim=1), rtol=1e-3)
    with pytest.raises(ValueError, match="rank-deficient"):
        LatentGeometry(decoder(0.0)).geodesic(a, b)
