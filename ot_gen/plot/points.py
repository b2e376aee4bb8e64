"""Clouds of points: samples, and the paths of a flow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
from torch import Tensor

from ot_gen.arguments import Cloud, Count, Shape, checked
from ot_gen.display import DATA, MODEL
from ot_gen.plot.frame import DOTS, as_array, axes_or_new, canvas, legend, planar

if TYPE_CHECKING:
    from matplotlib.axes import Axes

START = "#22333b"  # points of the reference
Paths = Annotated[Tensor, Shape("(T + 1, n, d)")]


@checked
def samples(
    points: Cloud,
    data: Cloud | None = None,
    *,
    shape: tuple[Count, Count, Count] | None = None,
    columns: Count = 10,
    ax: Axes | None = None,
) -> Axes:
    """Samples of a model: a grid of images, or points over the data.

    Points of more than two dimensions are shown in the two directions in which the data vary most. The data define the
    frame, so that samples far outside cannot shrink the picture; the axis says how many there are.

    Args:
        points: (n, d).
        data: to compare with, (m, d); None shows the points alone.
        shape: (channels, height, width) of images in [0, 1], with 1 or 3 channels; None for points.
        columns: images a row.
        ax: matplotlib axes to draw into; None makes a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: points and data of different dimensions, or rows that are no images of this shape.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("agg")
        >>> from ot_gen import plot
        >>> plot.samples([[0.0, 0.0], [1.0, 2.0]]).get_xlabel()
        'x₁ (data units)'
    """
    if not len(points):
        raise ValueError("there are no points to draw; give one or more")
    if shape is not None:
        if shape[0] not in (1, 3) or math.prod(shape) != points.shape[1]:
            raise ValueError(
                f"rows of {points.shape[1]} numbers are no images of {tuple(shape)}; give shape=(channels, height, "
                f"width) with 1 or 3 channels and channels * height * width = {points.shape[1]}"
            )
        ax = axes_or_new(ax, 4.6, 4.6)
        ax.imshow(
            canvas(points, shape, min(columns, len(points))), cmap="gray", vmin=0, vmax=1, interpolation="nearest"
        )
        ax.set_axis_off()
        return ax
    _check_space(points, data)
    model, real, names = planar(points, points if data is None else data)
    ax = axes_or_new(ax)
    if data is not None:
        ax.scatter(*real.T, color=DATA, alpha=0.55, label=f"data ({len(real)})", **DOTS)
    ax.scatter(*model.T, color=MODEL, alpha=0.6, label=f"samples ({len(model)})", **DOTS)
    low, high = real.min(axis=0), real.max(axis=0)
    margin = 0.15 * ((high - low).max() or 1.0)
    ax.set(xlim=(low[0] - margin, high[0] + margin), ylim=(low[1] - margin, high[1] + margin), aspect="equal")
    outside = int(((model < low - margin) | (model > high + margin)).any(axis=1).sum())
    ax.set_xlabel(names[0] + (f"      ({outside} samples outside the frame)" if outside else ""))
    ax.set_ylabel(names[1])
    legend(ax)
    return ax


@checked
def trajectories(paths: Paths, data: Cloud | None = None, *, ax: Axes | None = None) -> Axes:
    """Paths of points, from those of the reference to the samples, over the data.

    Args:
        paths: places at equal steps of time, (T + 1, n, d), as `FlowMap.trajectory`, `gradient_flow` and
            `SchrodingerBridge.path` give them.
        data: (m, d), or None.
        ax: matplotlib axes to draw into; None makes a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: paths of another shape, or data of another dimension.

    Example:
        >>> import matplotlib, torch
        >>> matplotlib.use("agg")
        >>> from ot_gen import plot
        >>> len(plot.trajectories(torch.rand(4, 5, 2)).get_lines())
        5
    """
    if paths.shape[0] < 2 or paths.shape[1] < 1:
        raise ValueError(f"paths need two times or more, and a point, (T + 1, n, d); got {tuple(paths.shape)}")
    ends = paths[-1]
    _check_space(ends, data)
    flat, real, names = planar(paths.flatten(0, 1), ends if data is None else data)
    ax = axes_or_new(ax)
    lines = flat.reshape(*paths.shape[:2], 2)
    if data is not None:
        ax.scatter(*real.T, color=DATA, alpha=0.4, label="data", **DOTS)
    for line in np.swapaxes(lines, 0, 1):
        ax.plot(*line.T, color=MODEL, lw=0.5, alpha=0.45)
    ax.scatter(*lines[0].T, color=START, label="reference, t = 0", **DOTS)
    ax.scatter(*lines[-1].T, color=MODEL, label="samples, t = 1", **DOTS)
    ax.set(xlabel=names[0], ylabel=names[1], aspect="equal")
    legend(ax)
    return ax


def _check_space(points: Tensor, data: Tensor | None) -> None:
    if data is not None and not len(data):
        raise ValueError("there are no data to draw; give one point or more, or None")
    if data is not None and data.shape[1] != points.shape[1]:
        raise ValueError(
            f"points in dimension {points.shape[1]} and data in dimension {data.shape[1]} have no picture together; "
            "give points of one space"
        )


def strips(codes: Tensor, labels: np.ndarray | None, level: float = 0.0) -> np.ndarray:
    """Codes on a line, (n, 1), spread over one strip for each class, or over one strip at a level: (n, 2)."""
    heights = np.full(len(codes), level) if labels is None else labels.astype(float)
    spread = heights + np.random.default_rng(0).uniform(-0.35, 0.35, len(codes))
    return np.stack([as_array(codes)[:, 0], spread], axis=1)


def principal(codes: Tensor, others: Tensor) -> tuple[np.ndarray, np.ndarray, tuple[str, str]]:
    """Codes and other points in the plane of the codes' largest variance, with the names of its axes."""
    points, draws = as_array(codes), as_array(others)
    centre = points.mean(axis=0)
    _, scales, directions = np.linalg.svd(points - centre, full_matrices=False)
    shares = 100 * scales**2 / max((scales**2).sum(), np.finfo(float).tiny)
    plane = directions[:2].T
    names = (
        f"1st principal direction ({shares[0]:.0f} % of the codes' variance)",
        f"2nd ({shares[1] if len(shares) > 1 else 0:.0f} %)",
    )
    return (points - centre) @ plane, (draws - centre) @ plane, names


def titles(names: Sequence[str] | None, count: int) -> Sequence[str] | None:
    """The names of classes, which must be as many as there are.

    Raises:
        ValueError: fewer names than classes.
    """
    if names is not None and len(names) < count:
        raise ValueError(f"there are {len(names)} names for {count} classes; name each, or leave names out")
    return names
