"""Figures of a flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ot_gen import plot
from ot_gen.plot.frame import canvas
from ot_gen.runs.figures import blank, inches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PATHS = 300  # of a picture of trajectories


def evaluation_figure(samples: Mapping[str, Tensor], data: Tensor, shape: Sequence[int] | None) -> Figure:
    """The same latent points at several numbers of evaluations: a row of images each, or a panel of points each.

    Args:
        samples: by the words for the number, (n, d) each.
        data: held-out data, (m, d).
        shape: (channels, height, width), or None for point clouds.
    """
    return _strips(samples, shape) if shape is not None else _panels(samples, data)


def _strips(samples: Mapping[str, Tensor], shape: Sequence[int]) -> Figure:
    columns = min(map(len, samples.values()))
    grid = canvas(torch.cat([made[:columns] for made in samples.values()]), shape, columns)
    margin = 1.2  # inches for the words
    width, height = inches(grid.shape)
    figure = blank(width + margin, height, layout=None)
    axes = figure.add_axes((margin / (width + margin), 0.0, width / (width + margin), 1.0))
    axes.imshow(grid, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    for row, words in enumerate(samples):
        axes.text(
            *(-6, (row + 0.5) * grid.shape[0] / len(samples), words), ha="right", va="center", fontsize=9, clip_on=False
        )
    return figure


def _panels(samples: Mapping[str, Tensor], data: Tensor) -> Figure:
    figure = blank(2.3 * len(samples), 2.9)
    for index, (words, made) in enumerate(samples.items()):
        axes = figure.add_subplot(1, len(samples), index + 1)
        plot.samples(made, data, ax=axes)
        if (legend := axes.get_legend()) is not None:
            legend.remove()
        axes.set_title(words, fontsize=9)
        axes.tick_params(labelsize=7, labelleft=index == 0)
        axes.xaxis.label.set_fontsize(8)
        axes.yaxis.label.set_fontsize(8)
        axes.yaxis.label.set_visible(index == 0)
    return figure


def trajectory_figure(paths: Tensor, data: Tensor) -> Figure:
    """Paths of a flow of the plane over the data, from the reference's points to the samples.

    Args:
        paths: (steps + 1, n, 2).
        data: held-out data, (m, 2).
    """
    figure = blank(4.6, 4.9)
    plot.trajectories(paths, data, ax=figure.add_subplot())
    return figure
