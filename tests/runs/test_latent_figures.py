"""Pictures of the latent space: what is drawn where, read off the figures themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ot_gen.data import Dataset
from ot_gen.measures import Empirical, Pushforward, Reference, standard_gaussian, uniform_cube
from ot_gen.networks import DiracEncoder
from ot_gen.plot.frame import NAMED
from ot_gen.runs.draw import draw
from ot_gen.runs.latents import code_figure, interpolation_figure, manifold_figure


class Pixel(nn.Module):
    """An image of one grey pixel a latent coordinate, by its sigmoid."""

    def forward(self, z):
        return torch.sigmoid(z)


def pictures(figure, shape):
    """The images of a grid, row by row: (rows, columns, h, w)."""
    (image,) = figure.axes[0].get_images()
    height, width = shape[1] + 2, shape[2] + 2
    canvas = np.pad(image.get_array(), ((0, 2), (0, 2)))
    rows = canvas.reshape(canvas.shape[0] // height, height, -1, width).transpose(0, 2, 1, 3)
    return rows[:, :, : shape[1], : shape[2]]


def points(collection):
    return np.asarray(collection.get_offsets())


# --- codes -----------------------------------------------------------------------------------------------------------


def test_planar_codes_stand_where_they_are_in_the_colour_of_their_class():
    codes, labels, prior = torch.randn(90, 2), torch.arange(90) % 3, torch.randn(50, 2)
    figure = code_figure(codes, labels, prior)
    (axes,) = figure.axes
    reference, drawn, *_ = axes.collections
    np.testing.assert_allclose(points(reference), prior.numpy())
    places = {tuple(place): tuple(colour) for place, colour in zip(points(drawn), drawn.get_facecolors(), strict=True)}
    colours = [{places[tuple(place)] for place in codes[labels == c].double().numpy()} for c in range(3)]
    assert [len(colour) for colour in colours] == [1, 1, 1]
    assert len(set.union(*colours)) == 3
    assert [text.get_text() for text in axes.get_legend().get_texts()][1:] == ["0", "1", "2"]
    assert [text.get_text() for text in axes.texts] == ["0", "1", "2"]
    medians = np.array([text.get_position() for text in axes.texts])
    np.testing.assert_allclose(medians, [np.median(codes[labels == c].numpy(), axis=0) for c in range(3)], rtol=1e-6)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z₁ (latent units)", "z₂ (latent units)")


def test_other_codes_are_projected_on_their_principal_directions_and_the_axes_say_how_much_they_explain():
    scales = torch.tensor([0.1, 3.0, 0.2, 1.0])
    codes, prior = torch.randn(2000, 4) * scales, torch.randn(20, 4)
    figure = code_figure(codes, None, prior)
    (axes,) = figure.axes
    reference, drawn = axes.collections
    assert np.abs(np.corrcoef(points(drawn)[:, 0], codes[:, 1])[0, 1]) > 0.999
    assert np.abs(np.corrcoef(points(drawn)[:, 1], codes[:, 3])[0, 1]) > 0.999
    assert np.abs(np.corrcoef(points(reference)[:, 0], prior[:, 1])[0, 1]) > 0.99
    shares = codes.var(0) / codes.var(0).sum() * 100
    assert f"({shares[1]:.0f} %" in axes.get_xlabel() and f"({shares[3]:.0f} %" in axes.get_ylabel()


def test_codes_on_a_line_lie_in_one_strip_for_each_class():
    codes, labels = torch.randn(40, 1), torch.arange(40) % 2
    reference, drawn, *_ = code_figure(codes, labels, torch.randn(30, 1)).axes[0].collections
    assert set(np.round(points(drawn)[:, 1])) == {0, 1}
    assert set(np.round(points(reference)[:, 1])) == {-1}
    np.testing.assert_allclose(np.sort(points(drawn)[:, 0]), codes[:, 0].sort().values)


def test_a_legend_names_few_classes_only():
    codes, prior = torch.randn(120, 2), torch.randn(9, 2)
    few = code_figure(codes, torch.arange(120) % NAMED, prior)
    assert len(few.axes[0].get_legend().get_texts()) == 1 + NAMED
    many = code_figure(codes, torch.arange(120) % (NAMED + 1), prior)
    assert not many.axes[0].texts


# --- the manifold ----------------------------------------------------------------------------------------------------


def test_the_grid_of_images_lies_at_the_references_quantiles_z1_to_the_right_z2_upwards():
    zeta = standard_gaussian(2)
    images = pictures(manifold_figure(Pushforward(Pixel(), zeta), torch.rand(9, 2), (1, 1, 2)), (1, 1, 2))
    assert images.shape == (20, 20, 1, 2)
    quantiles = torch.sigmoid(torch.distributions.Normal(0, 1).icdf((torch.arange(20) + 0.5) / 20))
    np.testing.assert_allclose(images[:, :, 0, 0], quantiles.expand(20, 20), atol=1e-6)
    np.testing.assert_allclose(images[::-1, :, 0, 1], quantiles[:, None].expand(20, 20), atol=1e-6)


def test_a_linear_model_of_the_cube_has_a_straight_mesh():
    mu = Pushforward(nn.Linear(2, 2), uniform_cube(2))
    lines = manifold_figure(mu, torch.randn(30, 2), None).axes[0].get_lines()
    assert len(lines) == 40
    for line in lines:
        steps = np.diff(np.asarray(line.get_xydata()), axis=0)
        np.testing.assert_allclose(steps, steps.mean(axis=0, keepdims=True).repeat(len(steps), 0), atol=1e-5)
    u, v = (torch.tensor(np.asarray(lines[i].get_xydata())[0]).float() for i in (0, 20))
    corner = mu(torch.tensor([[-0.95, -0.95]]))[0].detach()
    torch.testing.assert_close(u, corner)
    torch.testing.assert_close(v, corner)


def test_a_law_without_quantiles_is_spread_by_those_of_its_draws():
    covariance = torch.tensor([[1.0, 0.5], [0.5, 1.0]])
    zeta = Reference(torch.distributions.MultivariateNormal(torch.tensor([5.0, 0.0]), covariance))
    images = pictures(manifold_figure(Pushforward(Pixel(), zeta), torch.rand(9, 2), (1, 1, 2)), (1, 1, 2))
    expected = torch.sigmoid(torch.distributions.Normal(5, 1).icdf((torch.arange(20) + 0.5) / 20))
    np.testing.assert_allclose(images[0, :, 0, 0], expected, atol=0.02)


class Circle(torch.distributions.Distribution):
    arg_constraints = {}
    support = torch.distributions.constraints.real_vector

    class _Unit(torch.distributions.constraints.Constraint):
        event_dim = 1

        def check(self, value):
            return (value.norm(dim=-1) - 1).abs() < 1e-4

    support = _Unit()

    def __init__(self):
        super().__init__(event_shape=torch.Size([2]))

    mean = torch.zeros(2)

    def sample(self, shape=()):
        return nn.functional.normalize(torch.randn(*shape, 2), dim=-1)


def test_there_is_no_grid_but_in_the_plane_and_inside_the_support():
    data = torch.randn(9, 2)
    assert manifold_figure(Pushforward(nn.Linear(3, 2), standard_gaussian(3)), data, None) is None
    assert manifold_figure(Pushforward(nn.Linear(2, 2), Reference(Circle())), data, None) is None


# --- interpolations --------------------------------------------------------------------------------------------------


def test_interpolations_are_linear_and_end_at_the_images_of_their_ends():
    ends = torch.randn(8, 2, 2)
    mu = Pushforward(Pixel(), standard_gaussian(2))
    images = pictures(interpolation_figure(mu, ends, torch.rand(9, 2), (1, 1, 2)), (1, 1, 2))
    assert images.shape == (8, 10, 1, 2)
    z = torch.logit(torch.from_numpy(images[:, :, 0].copy()).double())
    t = torch.linspace(0, 1, 10)[None, :, None]
    torch.testing.assert_close(z, ((1 - t) * ends[:, :1] + t * ends[:, 1:]).double(), atol=1e-4, rtol=0)


def test_planar_interpolations_are_paths_with_their_ends_marked():
    ends = torch.randn(3, 2, 2)
    lines = interpolation_figure(Pushforward(nn.Identity(), standard_gaussian(2)), ends, torch.randn(9, 2), None)
    paths = lines.axes[0].get_lines()
    assert len(paths) == 6
    for pair, path, mark in zip(ends, paths[::2], paths[1::2], strict=True):
        np.testing.assert_allclose(np.asarray(path.get_xydata())[[0, -1]], pair, atol=1e-6)
        np.testing.assert_allclose(mark.get_xydata(), pair, atol=1e-6)


# --- the folder -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("shape", [None, (1, 2, 2)])
@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("has_encoder", [True, False])
def test_a_run_folder_gets_its_pictures_and_nothing_is_disturbed(tmp_path, shape, k, has_encoder):
    data = Dataset(Empirical(torch.rand(9, 4)), Empirical(torch.rand(9, 4)), shape, test_labels=torch.arange(9) % 3)
    mu = Pushforward(nn.Sequential(nn.Linear(k, 4), nn.Dropout()), standard_gaussian(k))
    encoder = DiracEncoder(nn.Linear(4, k)) if has_encoder else None
    before = torch.get_rng_state()
    draw(tmp_path, mu, encoder, data)
    assert torch.equal(torch.get_rng_state(), before) and mu.training
    expected = {"samples", "interpolations"} | ({"reconstructions", "codes"} if has_encoder else set())
    expected |= {"manifold"} if k == 2 else set()
    expected |= {"data"} if shape else set()
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.png" for name in expected}
