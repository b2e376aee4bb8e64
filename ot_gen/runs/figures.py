"""Figures of a run. Each function returns a matplotlib `Figure`, made without the global pyplot state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from ot_gen.execution import written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LONGEST = 14  # letters of the name of a class
MODEL, DATA = "#d1495b", "#8d99ae"  # model samples over data, distinguishable without red-green


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
    figure = blank(4.6, 4.6)
    axes = figure.add_subplot()
    model_points, data_points, labels = planar(samples, data)
    style: dict[str, Any] = {"s": 6, "linewidths": 0}
    axes.scatter(*data_points.T, color=DATA, alpha=0.55, label=f"held-out data ({len(data)})", **style)
    axes.scatter(*model_points.T, color=MODEL, alpha=0.6, label=f"model samples ({len(samples)})", **style)
    # The data define the frame, so samples far outside cannot shrink the picture.
    low, high = data_points.min(axis=0), data_points.max(axis=0)
    margin = 0.15 * (high - low).max()
    axes.set_xlim(low[0] - margin, high[0] + margin)
    axes.set_ylim(low[1] - margin, high[1] + margin)
    outside = int(((model_points < low - margin) | (model_points > high + margin)).any(axis=1).sum())
    axes.set_xlabel(labels[0] + (f"      ({outside} samples outside the frame)" if outside else ""))
    axes.set_ylabel(labels[1])
    axes.set_aspect("equal")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.1), ncols=2, frameon=False, markerscale=2.5)
    return figure


def image_grid(images: Tensor, shape: Sequence[int], columns: int = 10) -> Figure:
    """A grid of images in [0, 1], row by row.

    Args:
        images: (n, c·h·w).
        shape: (channels, height, width), channels 1 or 3.
        columns: images a row.
    """
    grid = canvas(images, shape, columns)
    figure = blank(4.6, 4.6 * grid.shape[0] / grid.shape[1], layout=None)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.imshow(grid, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    return figure


def canvas(images: Tensor, shape: Sequence[int], columns: int) -> np.ndarray:
    """Images (n, c·h·w) row by row on white, two pixels apart, as matplotlib shows them: (h, w) or (h, w, 3)."""
    channels, height, width = shape
    rows = math.ceil(len(images) / columns)
    grid = np.ones((rows * (height + 2) - 2, columns * (width + 2) - 2, channels))
    for index, image in enumerate(images.detach().cpu().reshape(-1, channels, height, width).numpy()):
        top, left = (index // columns) * (height + 2), (index % columns) * (width + 2)
        grid[top : top + height, left : left + width] = image.transpose(1, 2, 0).clip(0, 1)
    return grid.squeeze(-1) if channels == 1 else grid


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
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.1), ncols=2, frameon=False, markerscale=2.5)
    return figure


def curve_figure(rows: Sequence[Mapping[str, float]]) -> Figure:
    """Training curves: one panel for each logged figure against the step, raw in grey and a running median over it.

    A "floor", the value of a perfect model, has no panel of its own: it stands in the value's panel.
    """
    names = [name for name in rows[0] if name not in ("step", "seconds", "images", "floor")]
    names = [name for name in names if any(row[name] for row in rows)]
    steps = np.array([row["step"] for row in rows])
    figure = blank(4.6, 1.0 + 1.5 * len(names))
    for index, name in enumerate(names):
        axes = figure.add_subplot(len(names), 1, index + 1)
        values = np.array([row[name] for row in rows])
        axes.plot(steps, values, color=DATA, lw=0.6, alpha=0.7)
        axes.plot(steps, _running_median(values), color=MODEL, lw=1.4)
        floor = rows[-1].get("floor") if name == "value" else None
        if floor is not None:
            axes.axhline(floor, color="black", lw=0.8, ls="--", label="floor: two real samples")
            axes.legend(loc="upper right", frameon=False)
        _limits(axes, values, floor)
        axes.set_ylabel(name.replace("_", " "))
        axes.grid(alpha=0.25)
    axes.set_xlabel("step (of θ)")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure to `path` as PNG, as `written` does."""
    with written(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def blank(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """An empty figure, sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout)


def class_title(number: int, names: Sequence[str] | None) -> str:
    """A class by its name, cut to a length that a figure has room for, or by its number.

    Example:
        >>> class_title(1, ("cat", "a very long name of a class")), class_title(1, None)
        ('a very long n…', '1')
    """
    title = str(number) if names is None else names[number]
    return title if len(title) <= LONGEST else f"{title[: LONGEST - 1]}…"


def planar(points: Tensor, data: Tensor) -> tuple[np.ndarray, np.ndarray, tuple[str, str]]:
    """Points and data in the plane, (n, 2) and (m, 2), with its axes' names: the one in which the data vary most."""
    data_array, points_array = data.detach().cpu().double().numpy(), points.detach().cpu().double().numpy()
    if data_array.shape[1] == 2:
        return points_array, data_array, ("x₁", "x₂")
    centre = data_array.mean(axis=0)
    if data_array.shape[1] == 1:
        pad = ((0, 0), (0, 1))
        return np.pad(points_array, pad), np.pad(data_array, pad), ("x", "")
    _, _, directions = np.linalg.svd(data_array - centre, full_matrices=False)
    plane = directions[:2].T
    return (points_array - centre) @ plane, (data_array - centre) @ plane, ("1st principal direction", "2nd")


def _running_median(values: np.ndarray) -> np.ndarray:
    window = max(1, len(values) // 40) | 1
    padded = np.pad(values, window // 2, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, window), axis=1)


def _limits(axes: Axes, values: np.ndarray, mark: float | None) -> None:
    low, high = np.quantile(values, [0.005, 0.995])
    if mark is not None:
        low, high = min(low, mark), max(high, mark)
    if high > low:
        margin = 0.08 * (high - low)
        axes.set_ylim(low - margin, high + margin)
