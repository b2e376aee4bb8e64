"""Pictures of a model's latent space. Each function returns a matplotlib `Figure`, as in `figures`.

They decode through `mu`, a `Pushforward`, and draw in the data space: images as images, points in the plane of the
largest variance of the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ot_gen import plot
from ot_gen.display import DATA, MODEL
from ot_gen.geometry import Geodesics, VolumeMap
from ot_gen.measures import Measure, Pushforward, Reference
from ot_gen.plot.frame import DOTS, canvas, planar
from ot_gen.runs.figures import blank, image_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NODES, _LINES = 200, 20


def code_figure(codes: Tensor, labels: Tensor | None, prior: Tensor, of: Sequence[str] | None = None) -> Figure:
    """Codes of data, coloured by class, over draws of the reference in grey; a class's number stands at its median.

    Codes of more than two dimensions are projected on their own two principal directions, and the draws with them.
    Codes on a line are spread over one strip for each class, the draws below them.

    Args:
        codes: (n, k).
        labels: the classes, (n,) int64 >= 0, or None.
        prior: draws of the reference, (m, k).
        of: the names of the classes, which stand in the legend; None shows their numbers.
    """
    figure = blank(4.6, 5.2)
    plot.codes(codes, labels, prior, names=of, ax=figure.add_subplot())
    return figure


def manifold_figure(mu: Pushforward, data: Tensor, shape: Sequence[int] | None) -> Figure | None:
    """The image of a grid of the latent plane, spaced by the reference's quantiles; None where there is no such grid.

    There is none unless k = 2, nor where the grid leaves the reference's support (a circle). Images: 20 x 20 of them,
    z₁ to the right and z₂ upwards. Points: the images of the grid's lines, over the data.

    Args:
        mu: the model.
        data: held-out data, (m, d).
        shape: (channels, height, width), or None.
    """
    levels = (torch.arange(_LINES, device=data.device) + 0.5) / _LINES
    if mu.base.dim != 2:
        return None
    if shape is not None:
        u = torch.cartesian_prod(levels.flip(0), levels).flip(1)  # rows from the top: z₂ falls, z₁ rises
    else:
        fine = torch.linspace(float(levels[0]), float(levels[-1]), _NODES, device=data.device)
        across = torch.cartesian_prod(levels, fine)
        u = torch.cat([across, across.flip(1)])
    z = _quantiles(mu.base, u)
    support = mu.base.law.support if isinstance(mu.base, Reference) else None
    if support is not None and not support.check(z).all():
        return None
    decoded = mu(z.to(data))
    if shape is not None:
        return image_grid(decoded, shape, columns=_LINES)
    return _curves(decoded.reshape(2 * _LINES, _NODES, -1), data, ["image of a line z₂ = const", "z₁ = const"], _LINES)


def interpolation_figure(mu: Pushforward, ends: Tensor, data: Tensor, shape: Sequence[int] | None) -> Figure:
    """The images of straight segments between pairs of latent points: linear interpolation, ends included.

    Args:
        mu: the model.
        ends: the pairs, (p, 2, k): held-out codes, whose images are reconstructions, or draws of the reference.
        data: held-out data, (m, d).
        shape: (channels, height, width), with a row of ten images for each pair; or None, with a path over the data.
    """
    steps = 10 if shape is not None else _NODES
    t = torch.linspace(0, 1, steps, dtype=ends.dtype, device=ends.device)[:, None]
    z = (1 - t) * ends[:, None, 0] + t * ends[:, None, 1]
    decoded = mu(z.flatten(0, 1))
    if shape is not None:
        return image_grid(decoded, shape, columns=steps)
    paths = decoded.reshape(len(ends), steps, -1)
    return _curves(paths, data, ["image of a straight segment of codes"], len(ends), marked=True)


def volume_figure(volume: VolumeMap, codes: Tensor, labels: Tensor | None, geodesics: Geodesics, metric: str) -> Figure:
    """How much the decoder magnifies the latent plane, with codes and geodesics over it.

    Args:
        volume: log √det M over the plane.
        codes: (n, 2).
        labels: the codes' classes, (n,) int64 >= 0, or None.
        geodesics: between some of the codes; the straight segments are dashed.
        metric: its name.
    """
    figure = blank(6.2, 5.2)
    plot.geodesics(geodesics, volume, codes, labels, ax=figure.add_subplot())
    figure.suptitle(f"{len(geodesics.nodes)} geodesics of the {metric}", fontsize=9)
    return figure


def geodesic_figure(
    mu: Pushforward, geodesics: Geodesics, lengths: Tensor, data: Tensor, shape: Sequence[int] | None
) -> Figure:
    """What the decoder shows along geodesics, beside straight segments of codes between the same ends.

    Images: for up to six geodesics a row along the segment above one along the geodesic, ten images each. Points: the
    images of both in the data space.

    Args:
        mu: the model.
        geodesics: in its latent space.
        lengths: of the straight segments, (B,).
        data: held-out data, (m, d).
        shape: (channels, height, width), or None.
    """
    steps = 10 if shape is not None else _NODES
    shown = geodesics.nodes[: 6 if shape is not None else len(geodesics.nodes)]
    t = torch.linspace(0, 1, steps, dtype=shown.dtype, device=shown.device)
    straight = torch.lerp(shown[:, :1], shown[:, -1:], t[None, :, None])
    both = torch.stack([straight, geodesics(t)[: len(shown)]], dim=1)
    decoded = mu(both.flatten(0, 2)).unflatten(0, both.shape[:3])
    if shape is None:
        paths = decoded.transpose(0, 1).flatten(0, 1)
        return _curves(paths, data, ["image of a straight segment", "of a geodesic"], len(shown), marked=True)
    _, height, width = shape
    aspect = 2 * (height + 2) / (steps * (width + 2))
    inches = 5.2 * aspect * len(shown) * 1.08 + 0.4
    figure = blank(6.6, inches, layout=None)
    figure.subplots_adjust(left=0.2, right=0.99, bottom=0.01, top=1 - 0.4 / inches, hspace=0.08)
    axes = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
    both_lengths = torch.stack([lengths, geodesics.length], dim=1)[: len(shown)].tolist()
    for panel, pair, (line, geodesic) in zip(axes, decoded, both_lengths, strict=True):
        panel.imshow(canvas(pair.flatten(0, 1), shape, steps), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        panel.set_yticks([height / 2, height * 1.5 + 2], [f"straight {line:.3g}", f"geodesic {geodesic:.3g}"])
        panel.set_xticks([])
        panel.tick_params(length=0, labelsize=8)
        panel.spines[:].set_visible(False)
    figure.suptitle(
        "Along straight segments of codes and along geodesics, with their lengths in data units", fontsize=9
    )
    return figure


def _curves(paths: Tensor, data: Tensor, names: Sequence[str], group: int, marked: bool = False) -> Figure:
    """Paths (p, nodes, d) over the data; each `group` of them has a style and a name."""
    flat, cloud, labels = planar(paths.flatten(0, 1), data)
    figure = blank(4.6, 4.9)
    axes = figure.add_subplot()
    axes.scatter(*cloud.T, color=DATA, alpha=0.5, **DOTS, label=f"held-out data ({len(cloud)})")
    for index, path in enumerate(np.split(flat, len(paths))):
        colour = (MODEL, "#2f4b7c")[index // group]
        axes.plot(*path.T, color=colour, lw=0.8, alpha=0.85, label=None if index % group else names[index // group])
        if marked:
            axes.plot(*path[[0, -1]].T, ls="", marker="o", ms=4, mec=colour, mfc="white")
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.set_aspect("equal", adjustable="datalim")
    figure.legend(loc="outside upper center", ncols=2, frameon=False, markerscale=2, fontsize=8)
    return figure


def _quantiles(zeta: Measure, u: Tensor) -> Tensor:
    """The latent points at the levels u (n, 2): by coordinate, of a sample where the law has no known quantiles."""
    if zeta.cube_dim == 2:
        return zeta.from_cube(u)
    draws = zeta.sample(10_000)
    return torch.stack([torch.quantile(draws[:, i], u[:, i].to(draws)) for i in range(2)], dim=1)
