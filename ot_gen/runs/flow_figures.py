"""Figures of a flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ot_gen.runs.figures import DATA, MODEL, blank, canvas, planar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PATHS = 300  # of a picture of trajectories
START = "#22333b"  # points of the reference


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
    width = 4.6
    figure = blank(width + margin, width * grid.shape[0] / grid.shape[1], layout=None)
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
    frame = planar(data, data)[0]
    low, high = frame.min(axis=0), frame.max(axis=0)
    margin = 0.15 * (high - low).max()
    for index, (words, made) in enumerate(samples.items()):
        axes = figure.add_subplot(1, len(samples), index + 1)
        points, real, labels = planar(made, data)
        axes.scatter(real[:, 0], real[:, 1], s=3, color=DATA, alpha=0.5, linewidths=0)
        axes.scatter(points[:, 0], points[:, 1], s=3, color=MODEL, alpha=0.7, linewidths=0)
        axes.set_title(words, fontsize=9)
        axes.set(xlim=(low[0] - margin, high[0] + margin), ylim=(low[1] - margin, high[1] + margin), aspect="equal")
        axes.tick_params(labelsize=7, labelleft=index == 0)
        axes.set_xlabel(labels[0], fontsize=8)
        if index == 0:
            axes.set_ylabel(labels[1], fontsize=8)
    return figure


def trajectory_figure(paths: Tensor, data: Tensor) -> Figure:
    """Paths of a flow of the plane over the data, from the reference's points to the samples.

    Args:
        paths: (steps + 1, n, 2).
        data: held-out data, (m, 2).
    """
    figure = blank(4.6, 4.6)
    axes = figure.add_subplot()
    lines = paths.detach().cpu().double().numpy()
    real = data.detach().cpu().double().numpy()
    axes.scatter(real[:, 0], real[:, 1], s=6, color=DATA, alpha=0.4, linewidths=0, label="held-out data")
    for line in np.swapaxes(lines, 0, 1):
        axes.plot(*line.T, color=MODEL, lw=0.5, alpha=0.45)
    axes.scatter(lines[0, :, 0], lines[0, :, 1], s=7, color=START, linewidths=0, label="reference, t = 0")
    axes.scatter(lines[-1, :, 0], lines[-1, :, 1], s=7, color=MODEL, linewidths=0, label="samples, t = 1")
    axes.set(xlabel="x₁", ylabel="x₂", aspect="equal")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.1), ncols=3, frameon=False, markerscale=2, fontsize=8)
    return figure
