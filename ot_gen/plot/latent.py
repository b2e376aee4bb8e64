"""A latent space: codes by class, and geodesics over the volume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ot_gen.arguments import Cloud, Labels, checked
from ot_gen.display import DATA, MODEL
from ot_gen.geometry import Geodesics, VolumeMap
from ot_gen.plot.frame import DOTS, LATENT, as_array, axes_or_new, legend, scatter_classes
from ot_gen.plot.points import principal, strips, titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@checked
def codes(
    z: Cloud,
    labels: Labels | None = None,
    reference: Cloud | None = None,
    *,
    names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Codes of data, coloured by class, over draws of the reference in grey; a class's number stands at its median.

    Codes of more than two dimensions are projected on their own two principal directions, and the draws with them.
    Codes on a line are spread over one strip for each class, the draws below them.

    Args:
        z: codes, (n, k).
        labels: their classes, (n,) whole numbers >= 0, or None.
        reference: draws of the reference, (m, k), or None.
        names: of the classes, which stand in the legend; None shows their numbers.
        ax: matplotlib axes to draw into; None makes a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: labels or draws that do not fit the codes, or classes without a name where others have one.

    Example:
        >>> import matplotlib, torch
        >>> matplotlib.use("agg")
        >>> from ot_gen import plot
        >>> plot.codes(torch.rand(9, 2), torch.arange(9) % 3).get_xlabel()
        'z₁ (latent units)'
    """
    of = _of_codes(z, labels, names)
    if reference is not None and reference.shape[1] != z.shape[1]:
        raise ValueError(f"codes have dimension {z.shape[1]} and the reference {reference.shape[1]}; give one space")
    if not len(z):
        raise ValueError("there are no codes to draw; give one or more")
    draws = z[:0] if reference is None else reference
    if z.shape[1] == 1:
        grey, words = strips(draws, None, level=-1.0), ("z (latent units)", "class (−1: the reference)")
        points, words = strips(z, of), (words if of is not None else (words[0], ""))
    elif z.shape[1] == 2:
        points, grey, words = as_array(z), as_array(draws), LATENT
    else:
        points, grey, words = principal(z, draws)
    ax = axes_or_new(ax, 4.6, 5.2)
    if reference is not None:
        ax.scatter(*grey.T, color=DATA, alpha=0.45, label=f"reference ({len(grey)})", **DOTS)
    _scatter(ax, points, of, names)
    ax.set(xlabel=words[0], ylabel=words[1])
    ax.locator_params(nbins=6)
    if z.shape[1] > 1:
        ax.set_aspect("equal", adjustable="datalim")
    legend(ax, handletextpad=0.0)
    return ax


@checked
def geodesics(
    curves: Geodesics,
    volume: VolumeMap | None = None,
    codes: Cloud | None = None,
    labels: Labels | None = None,
    *,
    names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Geodesics of a latent plane over the volume, with the straight segments between their ends dashed.

    Args:
        curves: of `LatentGeometry.geodesic`, in k = 2.
        volume: of `volume_map`, as the background; it gets a colour bar.
        codes: (n, 2), or None.
        labels: their classes, (n,) whole numbers >= 0, or None.
        names: of the classes; None shows their numbers.
        ax: matplotlib axes to draw into; None makes a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: a latent space of another dimension, or labels that do not fit the codes.

    Example:
        >>> import matplotlib, torch
        >>> matplotlib.use("agg")
        >>> from ot_gen import LatentGeometry, plot
        >>> line = LatentGeometry(lambda z: 2 * z).geodesic(torch.zeros(1, 2), torch.ones(1, 2), segments=4)
        >>> [text.get_text() for text in plot.geodesics(line).get_legend().get_texts()]
        ['straight', 'geodesic']
    """
    from matplotlib.patheffects import withStroke

    for what, given in (("geodesics", curves.nodes[:, 0]), ("codes", codes)):
        if given is not None and given.shape[1] != 2:
            raise ValueError(f"the plane, k = 2, can be drawn; these {what} are in dimension {given.shape[1]}")
    of = None if codes is None else _of_codes(codes, labels, names)
    nodes, points = as_array(curves.nodes), None if codes is None else as_array(codes)
    ax = axes_or_new(ax, 6.2, 5.2)
    if volume is not None:
        shown = volume.plot(ax, cmap="Greys", aspect="equal")
        ax.figure.colorbar(shown, ax=ax, label="log √det M(z), magnification of areas", extend="both", shrink=0.85)
    if points is not None:
        _scatter(ax, points, of, names)
    frame = ax.get_xlim(), ax.get_ylim()
    for number, (a, *_, b) in enumerate(nodes):
        line = np.stack([a, b]).T
        ax.plot(*line, color="white", lw=2.2, alpha=0.7)
        ax.plot(*line, color="black", lw=1.0, ls=(0, (4, 3)), label=None if number else "straight")
    curves.plot(ax, color="black", lw=1.6, path_effects=[withStroke(linewidth=3.2, foreground="white")])
    ax.plot([], [], color="black", lw=1.6, label="geodesic" if len(curves.nodes) == 1 else "geodesics")
    ax.plot(*nodes[:, [0, -1]].reshape(-1, 2).T, ls="", marker="o", ms=4.5, mec="black", mfc="white")
    if volume is not None:
        ax.set(xlim=frame[0], ylim=frame[1])  # where M is nearly singular, a curve may stray
    else:
        ax.set_aspect("equal", adjustable="datalim")
    ax.set(xlabel=LATENT[0], ylabel=LATENT[1])
    legend(ax)
    return ax


def _of_codes(z: Tensor, labels: Tensor | None, names: Sequence[str] | None) -> np.ndarray | None:
    """The classes, checked."""
    if labels is None:
        return None
    if len(labels) != len(z):
        raise ValueError(f"labels must be one for each of {len(z)} codes, got {len(labels)}")
    titles(names, int(labels.max()) + 1 if len(labels) else 0)
    array: np.ndarray = labels.cpu().numpy()
    return array


def _scatter(ax: Axes, points: np.ndarray, labels: np.ndarray | None, names: Sequence[str] | None) -> None:
    if labels is None:
        ax.scatter(*points.T, color=MODEL, alpha=0.7, label=f"codes ({len(points)})", **DOTS)
    else:
        scatter_classes(ax, points, labels, names)
