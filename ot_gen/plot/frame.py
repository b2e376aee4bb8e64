"""What all drawings share: axes to draw into, the plane that points are seen in, colours, legends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ot_gen.display import tiled
from ot_gen.geometry.curves import check_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGEST = 14  # letters of the name of a class
FURTHEST = 1e30  # beyond it coordinates have no picture
NAMED = 25  # classes that a legend can name
DOTS: dict[str, Any] = {"s": 6, "linewidths": 0}
LATENT = ("z₁ (latent units)", "z₂ (latent units)")
FEW = (  # matplotlib's ten, but for their grey, which is the reference's
    *("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#1a1a1a", "#bcbd22", "#17becf"),
)


def axes_or_new(ax: Axes | None, width: float = 4.6, height: float = 4.9) -> Axes:
    """The axes given, or those of a new figure of `matplotlib.pyplot`, sizes in inches.

    Raises:
        ValueError: these are no axes.
    """
    if ax is not None:
        check_axes(ax)
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]


def canvas(images: Tensor, shape: Sequence[int], columns: int) -> np.ndarray:
    """Images (n, c·h·w) row by row on white, two pixels apart, as matplotlib shows them: (h, w) or (h, w, 3)."""
    grid = tiled(images.detach().cpu().nan_to_num(nan=0.5), shape, columns).numpy()
    return grid.squeeze(-1) if shape[0] == 1 else grid


def planar(points: Tensor, data: Tensor) -> tuple[np.ndarray, np.ndarray, tuple[str, str]]:
    """Points and data in the plane, (n, 2) and (m, 2), with its axes' names: the one in which the data vary most."""
    data_array, points_array = as_array(data), as_array(points)
    if data_array.shape[1] == 2:
        return points_array, data_array, ("x₁ (data units)", "x₂ (data units)")
    centre = data_array.mean(axis=0)
    if data_array.shape[1] == 1:
        pad = ((0, 0), (0, 1))
        return np.pad(points_array, pad), np.pad(data_array, pad), ("x (data units)", "")
    _, _, directions = np.linalg.svd(data_array - centre, full_matrices=False)
    plane = directions[:2].T
    names = ("1st principal direction (data units)", "2nd (data units)")
    return (points_array - centre) @ plane, (data_array - centre) @ plane, names


def as_array(points: Tensor) -> np.ndarray:
    """For matplotlib: float64, on the CPU, without a graph.

    Raises:
        ValueError: NaN, Inf, or numbers that no picture holds.
    """
    array: np.ndarray = points.detach().cpu().double().numpy()
    if not (np.abs(array) <= FURTHEST).all():
        raise ValueError(f"points must be finite and within ±{FURTHEST:g} to be drawn; remove others, or rescale them")
    return array


def legend(ax: Axes, **style: Any) -> None:
    """What the artists are called, above the axes; none without names."""
    names = ax.get_legend_handles_labels()[1]
    if not names:
        return
    style = {"columnspacing": 0.9, "handletextpad": 0.3, "fontsize": 8, "markerscale": 2.5, "frameon": False} | style
    columns = max(1, min(10, len(names), 66 // (max(map(len, names)) + 4)))
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, **style)


def class_title(number: int, names: Sequence[str] | None) -> str:
    """A class by its name, cut to a length that a figure has room for, or by its number.

    Example:
        >>> class_title(1, ("cat", "a very long name of a class")), class_title(1, None)
        ('a very long n…', '1')
    """
    title = str(number) if names is None or number >= len(names) else names[number]
    return title if len(title) <= LONGEST else f"{title[: LONGEST - 1]}…"


def scatter_classes(ax: Axes, points: np.ndarray, labels: np.ndarray, names: Sequence[str] | None = None) -> None:
    """Points by class; up to 25 classes have an entry of the legend, and their numbers stand at their medians."""
    from matplotlib import colormaps
    from matplotlib.patheffects import withStroke

    classes = np.unique(labels)
    levels = np.linspace(0.02, 0.98, len(classes))
    colours = np.array(FEW) if len(classes) <= len(FEW) else colormaps["turbo"](levels)
    order = np.random.default_rng(0).permutation(len(points))  # no class hides the others
    x, y = points[order].T
    ax.scatter(x, y, c=colours[np.searchsorted(classes, labels)[order]], alpha=0.8, **DOTS)
    if len(classes) > NAMED:
        return
    halo = [withStroke(linewidth=2.5, foreground="white")]
    for number, colour in zip(classes, colours, strict=False):
        ax.scatter([], [], color=colour, label=class_title(int(number), names), **DOTS)
        if names is not None:  # names would cover the points: they stand in the legend
            continue
        x, y = np.median(points[labels == number], axis=0)
        ax.text(x, y, str(number), ha="center", va="center", fontsize=9, weight="bold", path_effects=halo)
