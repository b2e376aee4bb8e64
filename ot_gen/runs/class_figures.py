"""Figures of a model that generates by class. Each function returns a matplotlib `Figure`, as in `figures`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ot_gen.data import Dataset
from ot_gen.display import COLOURS
from ot_gen.measures import Pushforward, undisturbed
from ot_gen.plot.frame import canvas, class_title, planar
from ot_gen.runs.figures import blank, inches

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

A_CLASS = 10  # images of each class
SHOWN = 2000  # points
ROWS = 25  # classes that a figure has room for


def class_figure(mu: Pushforward, data: Dataset, seed: int) -> Figure:
    """Images by class, one column from the same draw of the reference; or points, as many of each as are held out.

    Args:
        mu: a model with classes, in the data's own units.
        data: with labels, in their own units.
        seed: of the draws.

    Raises:
        ValueError: data without labels.
    """
    points, labels = data.test.rows[:SHOWN], data.labels[1][:SHOWN]
    classes = mu.classes or 0

    def of_class(k: int, n: int) -> Tensor:
        torch.manual_seed(seed)
        return mu.given(k).sample(n)

    with undisturbed(mu):
        if data.shape is not None:
            return class_grid([of_class(k, A_CLASS) for k in range(classes)], data.shape, data.class_names)
        counts = torch.bincount(labels.cpu(), minlength=classes)
        samples = torch.cat([of_class(k, n) for k, n in enumerate(counts.tolist()) if n])
    asked = torch.arange(classes, device="cpu").repeat_interleave(counts)
    return class_scatter(samples, asked, points, labels, data.class_names)


def class_grid(samples: Sequence[Tensor], shape: Sequence[int], of: Sequence[str] | None = None) -> Figure:
    """Images by class, one row for each, its name or number at the left; of many classes the first 25.

    Args:
        samples: of each class, (m, c·h·w).
        shape: (channels, height, width), channels 1 or 3.
        of: the names of the classes; None shows their numbers.
    """
    shown = samples[:ROWS]
    columns, height = len(shown[0]), shape[1]
    grid = canvas(torch.cat(list(shown)), shape, columns)
    titles = [class_title(k, of) for k in range(len(shown))]
    wide = 0.42 if of is None else 0.32 + 0.085 * max(map(len, titles))
    left, right, top, bottom = wide, 0.02, 0.3 if len(samples) > ROWS else 0.02, 0.02  # inches
    across, high = inches(grid.shape)
    width, total = across + left + right, high + top + bottom
    figure = blank(width, total, layout=None)
    axes = figure.add_axes((left / width, bottom / total, across / width, high / total))
    axes.imshow(grid, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    middles = [row * (height + 2) + (height - 1) / 2 for row in range(len(shown))]
    axes.set_yticks(middles, titles, fontsize=9 if len(shown) <= 12 else 7)
    axes.set_xticks([])
    axes.tick_params(length=0, pad=2)
    axes.spines[:].set_visible(False)
    if of is None:
        axes.set_ylabel("class", fontsize=9, labelpad=2)
    if len(samples) > ROWS:
        axes.set_title(f"the first {ROWS} of {len(samples)} classes", fontsize=9)
    return figure


def class_scatter(
    samples: Tensor, asked: Tensor, data: Tensor, labels: Tensor, of: Sequence[str] | None = None
) -> Figure:
    """Held-out data, coloured by class, beside samples, coloured by the class that they were drawn for.

    Points of more than two dimensions are shown by the two directions in which the data vary most. Up to nine classes
    have a legend; up to 25 have their names or numbers in the picture of the data.

    Args:
        samples: of the model, (n, d).
        asked: their classes, (n,).
        data: held-out data, (m, d).
        labels: their classes, (m,).
        of: the names of the classes; None shows their numbers.
    """
    made, real, names = planar(samples, data)
    classes = np.union1d(labels.cpu().numpy(), asked.cpu().numpy())
    low, high = real.min(axis=0), real.max(axis=0)
    margin = 0.15 * (high - low).max()
    low, high = low - margin, high + margin
    across, up = high - low
    words = 0.85 if len(classes) > len(COLOURS) else 1.15  # inches, without or with a legend
    figure = blank(7.6, words + min(4.5, max(1.2, 3.4 * up / across)))
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, points, numbers in ((left, real, labels), (right, made, asked)):
        _scatter(axes, points, numbers.cpu().numpy(), classes)
        axes.set_xlabel(names[0])
        axes.set_aspect("equal")
        axes.locator_params(nbins=6)
    left.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), ylabel=names[1])
    left.set_title(f"{len(real)} held-out points by class", fontsize=10)
    right.set_title(f"{len(made)} samples by the class asked for", fontsize=10)
    if outside := int(((made < low) | (made > high)).any(axis=1).sum()):
        right.set_xlabel(f"{names[0]}      ({outside} outside the frame)")
    if len(classes) <= len(COLOURS):
        for number, colour in zip(classes, COLOURS, strict=False):
            left.scatter([], [], color=colour, s=8, linewidths=0, label=class_title(int(number), of))
        close: dict[str, Any] = {"columnspacing": 0.9, "handletextpad": 0.1, "fontsize": 10, "markerscale": 3}
        longest = max(len(class_title(int(number), of)) for number in classes)
        columns = max(1, min(len(COLOURS), 70 // (4 + longest)))
        figure.legend(loc="outside upper center", ncols=columns, frameon=False, **close)
    elif len(classes) <= ROWS:
        _number(left, real, labels.cpu().numpy(), classes, of)
    return figure


def _scatter(axes: Axes, points: np.ndarray, labels: np.ndarray, classes: np.ndarray) -> None:
    from matplotlib import colormaps

    few = len(classes) <= len(COLOURS)
    colours = list(COLOURS) if few else list(colormaps["viridis"](np.linspace(0, 1, len(classes))))
    order = np.random.default_rng(0).permutation(len(points))  # no class hides the others
    colour_of = [colours[place] for place in np.searchsorted(classes, labels[order])]
    x, y = points[order].T
    axes.scatter(x, y, c=colour_of, s=8, linewidths=0, alpha=0.85)


def _number(axes: Axes, points: np.ndarray, labels: np.ndarray, classes: np.ndarray, of: Sequence[str] | None) -> None:
    """The name or number of each class, beside a point near its middle."""
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2.8, foreground="white")]
    for number in classes:
        own = points[labels == number]
        if len(own):
            middle = own[np.square(own - np.median(own, axis=0)).sum(axis=1).argmin()]
            title = class_title(int(number), of)
            axes.annotate(
                title, middle, (6, 6), textcoords="offset points", fontsize=9, weight="bold", path_effects=halo
            )
