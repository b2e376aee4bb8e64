"""The volume map: how much a latent plane is magnified, and where it is drawn."""

import math

import pytest
import torch
from matplotlib.figure import Figure
from surfaces import SPHERE, sphere
from torch import nn

from ot_gen import LatentGeometry
from ot_gen.geometry import conformal, volume_map

pytestmark = pytest.mark.usefixtures("float64")
BOX = torch.tensor([[0.2, -1.0], [2.9, 3.0]], dtype=torch.float64)


def test_an_affine_decoder_has_one_volume():
    net = nn.Linear(2, 7).requires_grad_(False)
    values = volume_map(LatentGeometry(net), BOX, 12).values
    truth = (net.weight.T @ net.weight).det().log() / 2
    assert values.shape == (12, 12)
    torch.testing.assert_close(values, truth.expand(12, 12))


@pytest.mark.parametrize("size", [1, 9])
def test_the_sphere_in_polar_coordinates_has_volume_sine_of_the_polar_angle(size):
    found = volume_map(LatentGeometry(sphere), BOX, size)
    theta = 0.2 + (torch.arange(size) + 0.5) * 2.7 / size  # z₁, along the columns
    torch.testing.assert_close(found.values, theta.sin().log().expand(size, size))


def test_rows_go_up_with_the_second_coordinate():
    values = volume_map(LatentGeometry(conformal(lambda z: z[:, 1] ** -2)), torch.tensor([[0.0, 1.0], [1.0, 3.0]]), 2)
    torch.testing.assert_close(values.values, -2 * torch.tensor([1.5, 2.5]).log()[:, None].expand(2, 2))


def test_the_integral_over_the_sphere_is_its_area():
    bounds = torch.tensor([[0.0, 0.0], [math.pi, 2 * math.pi]])
    values = volume_map(LatentGeometry(sphere), bounds, 200).values
    assert float(values.exp().mean()) * 2 * math.pi**2 == pytest.approx(4 * math.pi, rel=1e-4)


def test_the_picture_lies_where_the_codes_are_and_curves_lie_over_it():
    axes = Figure().add_subplot()
    geo, (a, b) = LatentGeometry(SPHERE.map), SPHERE.pairs(2)
    image = volume_map(geo, BOX, 10).plot(axes, cmap="viridis")
    geo.geodesic(a, b).plot(axes, color="white")
    assert image.get_extent() == [0.2, 2.9, -1.0, 3.0] and image.origin == "lower"
    assert image.get_cmap().name == "viridis" and len(axes.lines) == 2
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z₁", "z₂")


def test_cells_without_volume_stay_blank():
    found = volume_map(LatentGeometry(lambda z: torch.cat([z[:, :1], 0 * z], dim=1)), BOX, 3)
    assert bool(found.values.isneginf().all())
    assert found.plot(Figure().add_subplot()).get_array().mask.all()


@pytest.mark.parametrize(
    "bounds, size, message",
    [
        (BOX.flip(0), 5, "upper right"),
        (torch.rand(2, 3), 5, "k > 2"),
        (BOX * torch.inf, 5, "rectangle"),
        (BOX, 0, "size must be a whole number >= 1"),
    ],
)
def test_what_is_no_rectangle_is_refused(bounds, size, message):
    with pytest.raises(ValueError, match=message):
        volume_map(LatentGeometry(sphere), bounds, size)


def test_a_metric_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="of 25 cells"):
        volume_map(LatentGeometry(lambda z: z.sqrt()), BOX, 5)
