"""Figures of a run. Each function returns a matplotlib `Figure`, made without the global pyplot state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from ot_gen import plot
from ot_gen.display import DATA, MODEL
from ot_gen.execution import written
from ot_gen.plot.frame import legend, planar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI, WIDE = 110, 506  # dots an inch of what is saved; the least width of a grid of images, in dots


def sample_figure(samples: Tensor, data: Tensor, shape: Sequence[int] | None) -> Figure:
    """Model samples: an image grid where the data are images, else a scatter over the held-out data.

    Points of more than two dimensions are shown by the two directions in which the data vary most.

    Args:
        samples: model samples, (n, d).
        data: held-out data, (m, d).
        shape: (channels, height, width), or None for point clouds.
    """
    if shape is not None:
        return image_grid(samples[:100], shape)
    figure = blank(4.6, 4.9)
    plot.samples(samples, data, ax=figure.add_subplot())
    return figure


def image_grid(images: Tensor, shape: Sequence[int], columns: int = 10) -> Figure:
    """A grid of images in [0, 1], row by row; a pixel is a whole number of dots, so that none is lost or doubled.

    Args:
        images: (n, c·h·w).
        shape: (channels, height, width), channels 1 or 3.
        columns: images a row.
    """
    pixels = (-(-len(images) // columns) * (shape[1] + 2) - 2, columns * (shape[2] + 2) - 2)
    figure = blank(*inches(pixels), layout=None)
    plot.samples(
        images, shape=(shape[0], shape[1], shape[2]), columns=columns, ax=figure.add_axes((0.0, 0.0, 1.0, 1.0))
    )
    return figure


def inches(pixels: Sequence[int]) -> tuple[float, float]:
    """The width and height of a grid of (height, width) pixels as it is saved: a pixel is a whole number of dots.

    Example:
        >>> [round(DPI * side) for pixels in ((64, 98), (64, 658)) for side in inches(pixels)]
        [588, 384, 658, 64]
    """
    height, width = pixels[:2]
    dots = math.ceil(WIDE / width)
    return dots * width / DPI, dots * height / DPI


def reconstruction_figure(data: Tensor, decoded: Tensor, shape: Sequence[int] | None) -> Figure:
    """Held-out points above their reconstructions g(f(y)); for point clouds each pair joined by a line.

    Args:
        data: held-out points y, (n, d).
        decoded: g(f(y)), (n, d).
        shape: (channels, height, width), or None.
    """
    if shape is not None:
        rows = [half for i in range(0, min(len(data), 40), 10) for half in (data[i : i + 10], decoded[i : i + 10])]
        return image_grid(torch.cat(rows), shape)
    figure = blank(4.6, 4.6)
    axes = figure.add_subplot()
    decoded_points, data_points, labels = planar(decoded, data)
    segments = np.stack([data_points, decoded_points], axis=1)
    for segment in segments:
        axes.plot(*segment.T, color=MODEL, lw=0.5, alpha=0.5)
    axes.scatter(data_points[:, 0], data_points[:, 1], s=6, color=DATA, linewidths=0, label="held-out y")
    axes.scatter(
        decoded_points[:, 0], decoded_points[:, 1], s=6, color=MODEL, linewidths=0, label="reconstruction g(f(y))"
    )
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.set_aspect("equal")
    legend(axes)
    return figure


def curve_figure(rows: Sequence[Mapping[str, float]]) -> Figure:
    """Training curves: one panel for each logged figure against the step, raw in grey and a running median over it.

    A "floor", the value of a perfect model, has no panel of its own: it stands in the value's panel.
    """
    names = [name for name in rows[0] if name not in ("step", "seconds", "images", "floor")]
    names = [name for name in names if any(row[name] for row in rows)]
    figure = blank(4.6, 1.0 + 1.5 * len(names))
    for index, name in enumerate(names):
        axes = plot.curve(rows, name, ax=figure.add_subplot(len(names), 1, index + 1))
        axes.set_xlabel("step (of θ)" if name == names[-1] else "")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure to `path` as PNG, as `written` does."""
    with written(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)


def blank(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """An empty figure, sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout)
