"""Plots: what is drawn where, read off the axes themselves."""

import matplotlib
import numpy as np
import pytest
import torch

import ot_gen as og
from ot_gen import geometry, plot
from ot_gen.plot.transport import cell_colours, owners

matplotlib.use("agg")
from matplotlib import pyplot as plt


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def words(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def labels(ax):
    return ax.get_xlabel(), ax.get_ylabel()


def lines():
    return og.LatentGeometry(lambda z: 2 * z).geodesic(torch.zeros(2, 2), torch.tensor([[1.0, 0], [0, 1]]), segments=4)


def squares():
    return og.LaguerreCells(og.SquaredEuclidean(), torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([0.0, 2.0]))


CALLS = {
    "samples": lambda ax: plot.samples(torch.rand(9, 2), torch.rand(8, 2), ax=ax),
    "images": lambda ax: plot.samples(torch.rand(9, 12), shape=(3, 2, 2), ax=ax),
    "codes": lambda ax: plot.codes(torch.rand(9, 2), torch.arange(9) % 3, torch.rand(5, 2), ax=ax),
    "trajectories": lambda ax: plot.trajectories(torch.rand(4, 5, 3), torch.rand(9, 3), ax=ax),
    "cells": lambda ax: plot.cells(squares(), size=20, ax=ax),
    "plan": lambda ax: plot.plan(og.exact_plan(torch.rand(4, 5)), torch.rand(4, 2), torch.rand(5, 2), ax=ax),
    "matrix": lambda ax: plot.plan(og.exact_plan(torch.rand(4, 5)), ax=ax),
    "geodesics": lambda ax: plot.geodesics(lines(), ax=ax),
    "intervals": lambda ax: plot.intervals({"a": (1.0, 2.0)}, floor=(0.0, 0.5), ax=ax),
    "curve": lambda ax: plot.curve([{"step": 1, "value": 2.0}], ax=ax),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_plot_draws_into_the_axes_given_and_returns_them_or_makes_its_own(name):
    figure = matplotlib.figure.Figure()
    ax = figure.add_subplot()
    assert CALLS[name](ax) is ax
    assert plt.get_fignums() == []
    own = CALLS[name](None)
    assert own is not ax and plt.get_fignums() == [own.figure.number]
    own.figure.canvas.draw()
    assert name == "images" or all(labels(own)) or name == "intervals"
    with pytest.raises(ValueError, match="axes"):
        CALLS[name]("ax")


def test_samples_stand_where_they_are_and_the_data_make_the_frame():
    points, data = torch.tensor([[0.5, 0.5], [99.0, 0.0]]), torch.rand(50, 2)
    ax = plot.samples(points, data)
    real, model = ax.collections
    np.testing.assert_allclose(np.asarray(model.get_offsets()), points.numpy())
    assert len(real.get_offsets()) == 50
    assert ax.get_xlim()[1] < 2 and "(1 samples outside the frame)" in ax.get_xlabel()
    assert words(ax) == ["data (50)", "samples (2)"]
    assert labels(plot.samples(torch.rand(9, 4))) == ("1st principal direction (data units)", "2nd (data units)")


def test_images_are_laid_out_row_by_row():
    ax = plot.samples(torch.arange(6.0)[:, None] / 10, shape=(1, 1, 1), columns=3)
    (image,) = ax.get_images()
    np.testing.assert_allclose(image.get_array()[::3, ::3], [[0.0, 0.1, 0.2], [0.3, 0.4, 0.5]], atol=1e-6)


def test_codes_are_named_by_class():
    z, classes = torch.randn(90, 2), torch.arange(90) % 3
    ax = plot.codes(z, classes, torch.randn(50, 2))
    assert words(ax) == ["reference (50)", "0", "1", "2"]
    assert [text.get_text() for text in ax.texts] == ["0", "1", "2"]
    assert labels(ax) == ("z₁ (latent units)", "z₂ (latent units)")
    assert words(plot.codes(z, classes, names=["a", "b", "c"])) == ["a", "b", "c"]


def test_trajectories_begin_dark_and_end_in_the_colour_of_samples():
    paths = torch.rand(4, 5, 2)
    ax = plot.trajectories(paths, torch.rand(7, 2))
    assert len(ax.get_lines()) == 5
    np.testing.assert_allclose(ax.get_lines()[2].get_xydata(), paths[:, 2].numpy(), rtol=1e-6)
    _, start, end = ax.collections
    np.testing.assert_allclose(np.asarray(start.get_offsets()), paths[0].numpy())
    np.testing.assert_allclose(np.asarray(end.get_offsets()), paths[-1].numpy())


def test_cells_meet_where_costs_less_potentials_are_equal():
    corners = torch.tensor([[0.0, -1.0], [2.0, 1.0]])
    owner = owners(squares(), corners, 100)
    assert float((owner == 0).double().mean()) == 0.25  # x² = (x − 2)² − 2 at x = 1/2
    ax = plot.cells(squares(), corners, size=100)
    assert ax.get_images()[0].get_extent() == [0.0, 2.0, -1.0, 1.0]
    assert len(ax.collections[0].get_offsets()) == 2


def test_touching_cells_have_other_colours():
    cells = og.LaguerreCells(og.SquaredEuclidean(), torch.randn(40, 2), torch.zeros(40))
    owner = owners(cells, torch.tensor([[-2.0, -2.0], [2.0, 2.0]]), 120)
    colours = torch.tensor(cell_colours([owner], 40))
    for one, other in ((owner[1:], owner[:-1]), (owner[:, 1:], owner[:, :-1])):
        assert bool((colours[one] != colours[other])[one != other].all())


def test_a_plan_joins_its_pairs_the_heaviest_first():
    x, y = torch.rand(4, 2), torch.rand(4, 2)
    exact = og.exact_plan(og.SquaredEuclidean().matrix(x, y))
    ax = plot.plan(exact, x, y)
    drawn = ax.collections[0].get_segments()
    expected = {(int(i), int(j)) for i, j, _ in zip(*exact.pairs, strict=True)}
    ends = {
        (int((x - torch.tensor(a)).norm(dim=1).argmin()), int((y - torch.tensor(b)).norm(dim=1).argmin()))
        for a, b in drawn
    }
    assert ends == expected
    assert len(plot.plan(exact, x, y, lines=2).collections[0].get_segments()) == 2
    np.testing.assert_allclose(plot.plan(exact).get_images()[0].get_array(), exact.matrix.numpy())


def test_geodesics_stand_over_the_volume_with_their_segments_dashed():
    geo = og.LatentGeometry(lambda z: torch.cat([z, z.square()], dim=1))
    curves = geo.geodesic(torch.zeros(1, 2), torch.ones(1, 2), segments=4)
    volume = geometry.volume_map(geo, torch.tensor([[-1.0, -1.0], [2.0, 2.0]]), 9)
    ax = plot.geodesics(curves, volume, torch.rand(6, 2), torch.arange(6) % 2)
    assert len(ax.get_images()) == 1 and ax.get_xlim() == (-1.0, 2.0)
    assert words(ax) == ["0", "1", "straight", "geodesic"]
    assert [axes.get_ylabel() for axes in ax.figure.axes][1] == "log √det M(z), magnification of areas"


def test_intervals_are_bars_over_those_of_real_data():
    zero = torch.zeros(2)
    real = og.Certificate(og.Euclidean(), 0.1, 0.0, 0.2, 0.0, 0.95, (0.1, 0.2), 0.0, zero)
    own = og.Certificate(og.Euclidean(), 1.0, 0.0, 1.2, 0.0, 0.95, (1.0, 1.2), 0.0, zero, reference=real)
    ax = plot.intervals({"vae": own, "flow": og.transport.Bracket(lower=0.5, upper=0.75)}, floor=(0.0, 0.3))
    bars = [(bar.get_x(), round(bar.get_x() + bar.get_width(), 6)) for bar in ax.patches]
    assert bars == [(0.1, 0.2), (1.0, 1.2), (0.0, 0.3), (0.5, 0.75)]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["vae", "flow"]
    assert words(ax) == ["real data"]


def test_a_curve_has_its_floor():
    progress = og.Progress(3, rows=[{"step": i, "value": 3.0 - i, "floor": 0.25} for i in range(3)])
    ax = plot.curve(progress)
    assert len(ax.get_lines()) == 3 and words(ax) == ["floor: two real samples"]
    assert labels(ax) == ("step (of θ)", "value (units of the cost)")


BAD = {
    "samples": (lambda: plot.samples(torch.rand(3, 4), shape=(2, 2, 1)), "1 or 3 channels"),
    "spaces": (lambda: plot.samples(torch.rand(3, 4), torch.rand(3, 2)), "one space"),
    "codes": (lambda: plot.codes(torch.rand(3, 2), torch.arange(2)), "one for each of 3"),
    "names": (lambda: plot.codes(torch.rand(3, 2), torch.arange(3), names=["a"]), "1 names for 3 classes"),
    "paths": (lambda: plot.trajectories(torch.rand(1, 3, 2)), "two times"),
    "cells": (lambda: plot.cells(og.LaguerreCells(og.Euclidean(), torch.rand(4, 3), torch.zeros(4))), "dimension 3"),
    "bounds": (lambda: plot.cells(squares(), torch.zeros(2, 2)), "lower left"),
    "plan": (lambda: plot.plan(og.exact_plan(torch.rand(2, 2)), torch.rand(2, 2)), "give both"),
    "points": (lambda: plot.plan(og.exact_plan(torch.rand(2, 2)), torch.rand(3, 2), torch.rand(2, 2)), "joins"),
    "none": (lambda: plot.intervals({}), "no intervals"),
    "ends": (lambda: plot.intervals({"a": (2.0, 1.0)}), "low <= high"),
    "curve": (lambda: plot.curve([{"step": 1, "value": 1.0}], "penalty"), "named 'penalty'"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_has_no_picture_is_refused_before_a_figure_is_made(name):
    call, words = BAD[name]
    with pytest.raises(ValueError, match=words):
        call()
    assert plt.get_fignums() == []
