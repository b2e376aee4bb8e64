"""Pictures of classes: what is drawn where, read off the figures themselves."""

import numpy as np
import pytest
import torch
from test_classes import data, perfect

from ot_gen.runs.class_figures import COLOURS, ROWS, class_figure, class_grid, class_scatter
from ot_gen.runs.draw import draw


def texts(labels):
    return [label.get_text() for label in labels]


def shown(figure):
    """A figure whose texts have their places."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).draw()
    return figure


def is_inside(figure):
    """Whether all of its words lie in it."""
    box = figure.get_tightbbox()
    return box.x0 >= 0 and box.y0 >= 0 and (box.p1 <= figure.get_size_inches()).all()


@pytest.mark.parametrize("classes", [1, 3, 10, 40])
def test_a_grid_has_a_row_for_each_class_with_its_number_at_the_left(classes):
    samples = [torch.full((10, 6), k / classes) for k in range(classes)]
    figure = shown(class_grid(samples, (1, 3, 2)))
    (axes,) = figure.axes
    assert texts(axes.get_yticklabels()) == [str(k) for k in range(min(classes, ROWS))]
    pixels = axes.get_images()[0].get_array()
    assert pixels.shape == (5 * min(classes, ROWS) - 2, 38)
    for k, middle in enumerate(axes.get_yticks()):
        assert pixels[int(middle), 0] == pytest.approx(k / classes)
    assert axes.get_title() == ("the first 25 of 40 classes" if classes == 40 else "")
    assert is_inside(figure)


@pytest.mark.parametrize(("classes", "dim"), [(2, 2), (9, 3), (12, 2), (30, 1)])
def test_a_scatter_shows_data_and_samples_of_a_class_in_one_colour(classes, dim):
    labels = torch.arange(200) % classes
    real, made = torch.randn(200, dim), torch.randn(200, dim)
    figure = shown(class_scatter(made, labels, real, labels))
    left, right = figure.axes
    colours = [{tuple(colour) for colour in axes.collections[0].get_facecolors()} for axes in (left, right)]
    assert colours[0] == colours[1] and len(colours[0]) == classes
    few = classes <= len(COLOURS)
    assert [texts(legend.get_texts()) for legend in figure.legends] == (
        [[str(k) for k in range(classes)]] if few else []
    )
    assert len(left.texts) == (classes if len(COLOURS) < classes <= ROWS else 0)
    assert left.get_xlim() == right.get_xlim() and is_inside(figure)


def test_samples_outside_the_frame_are_counted():
    labels = torch.tensor([0, 1])
    figure = class_scatter(torch.tensor([[99.0, 0.0], [0.5, 0.0]]), labels, torch.eye(2), labels)
    assert figure.axes[1].get_xlabel().endswith("(1 outside the frame)")


def test_a_run_shows_as_many_samples_of_a_class_as_held_out_points():
    given = data(60)
    figure = class_figure(perfect(given), given, seed=0)
    for axes in figure.axes:
        assert len(axes.collections[0].get_offsets()) == len(given.test)
    colours = np.unique(figure.axes[1].collections[0].get_facecolors(), axis=0, return_counts=True)[1]
    assert sorted(colours.tolist()) == sorted(given.test_labels.bincount().tolist())


@pytest.mark.slow
def test_classes_are_among_the_pictures_of_a_run_that_has_them(tmp_path):
    given = data(60)
    draw(tmp_path, perfect(given), None, given)
    assert (tmp_path / "classes.png").is_file()
