"""Laguerre cells in the plane as h̃ moves: from the nearest atom to cells of the right masses.

python docs/laguerre_figure.py      writes docs/laguerre.png; about fifteen seconds on one core

μ = N(0, I), ν = 30 atoms in three clusters with unequal masses, c(x, y) = ‖x − y‖². The tables on the way are those of
the solver's ascent, started at h̃ = 0; the last one is what `semidiscrete` returns. Errors and lower values of all
panels are measured on one set of 2²⁰ low-discrepancy points of μ.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor

import ot_gen as og
from ot_gen.semidual.ascent import Ascent
from ot_gen.semidual.scores import Scores
from ot_gen.semidual.stream import Stream

SNAPSHOTS, TOL = (512, 2048), 0.01
BOX, PIXELS = 2.9, 720
# Nine light colours that stay apart for colour-blind readers: https://personal.sron.nl/~pault/
PALETTE = ["#77AADD", "#EE8866", "#EEDD88", "#FFAABB", "#99DDFF", "#44BB99", "#BBCC33", "#AAAA00", "#DDDDDD"]


def problem() -> tuple[og.Reference, og.Empirical]:
    """(μ, ν)."""
    centres = torch.tensor([[1.3, 1.1], [-1.5, 0.4], [0.4, -1.4]])
    atoms = (centres.unsqueeze(1) + 0.42 * torch.randn(3, 10, 2)).flatten(0, 1)
    masses = torch.rand(30) + 0.15
    return og.standard_gaussian(2), og.Empirical(atoms, masses / masses.sum())


def tables(mu: og.Reference, nu: og.Empirical) -> dict[str, Tensor]:
    """The tables of the panels, by title."""
    cost = og.SquaredEuclidean()
    zero = torch.zeros(len(nu))
    found = {"h̃ = 0: Voronoi cells": zero}
    ascent = Ascent(Scores(cost, nu.atoms), nu.weights)
    ascent.start(mu.sample(512), zero)
    for samples in SNAPSHOTS:
        while ascent.samples < samples:
            ascent.step(mu.sample(ascent.batch))
        found[f"after {ascent.samples:,} samples"] = ascent.average.clone()
    solution = og.semidiscrete(mu, nu, cost, tol=TOL)
    found[f"solved, {solution.samples:,} samples"] = solution.h_tilde
    return found


class Panel(NamedTuple):
    """The cells of one table: the atom of each pixel, their barycentres, ‖P − b‖₁ and the lower value."""

    title: str
    owner: Tensor
    barycentres: Tensor
    error: float
    lower: float


def measured(title: str, nu: og.Empirical, h_tilde: Tensor, pixels: Tensor, x: Tensor) -> Panel:
    """The panel of h̃, its figures from the points x of μ."""
    cells = og.LaguerreCells(og.SquaredEuclidean(), nu.atoms, h_tilde)
    values, argmin = cells(x)
    counts = torch.bincount(argmin, minlength=len(nu))
    barycentres = torch.zeros_like(nu.atoms).index_add_(0, argmin, x) / counts.unsqueeze(1)
    error = float((counts / len(x) - nu.weights).abs().sum())
    lower = float(values.mean() + nu.weights @ h_tilde)
    return Panel(title, cells(pixels)[1].reshape(PIXELS, PIXELS), barycentres, error, lower)


def colours(panels: list[Panel], atoms: int) -> list[int]:
    """A colour of each atom, by number: no two cells that touch in any panel share one, if nine are enough."""
    touching = torch.zeros(atoms, atoms, dtype=torch.bool)
    for panel in panels:
        for axis in (0, 1):
            one, other = panel.owner.unfold(axis, 2, 1).flatten(0, 1).unbind(dim=1)
            touching[one, other] = touching[other, one] = True
    touching.fill_diagonal_(False)
    chosen = [-1] * atoms
    for j in touching.sum(dim=1).argsort(descending=True).tolist():
        near = [chosen[i] for i in touching[j].nonzero().flatten().tolist()]
        # The colour that is rarest nearby, and among those the rarest of all.
        chosen[j] = min(range(len(PALETTE)), key=lambda k: (near.count(k), chosen.count(k)))
    return chosen


def draw(axes: Axes, panel: Panel, nu: og.Empirical, colour: Tensor) -> None:
    """Cells, level circles of μ, and each atom tied to the barycentre of its cell."""
    image = colour[panel.owner]
    across = panel.owner[1:, :-1] != panel.owner[:-1, :-1]
    along = panel.owner[:-1, 1:] != panel.owner[:-1, :-1]
    image[:-1, :-1][across | along] = 1.0
    axes.imshow(image, extent=(-BOX, BOX, -BOX, BOX), origin="lower", interpolation="antialiased")
    for radius in (1, 2):
        axes.add_patch(Circle((0, 0), radius, fill=False, color="0.25", linewidth=0.8, linestyle=(0, (4, 3))))
    for atom, barycentre in zip(nu.atoms, panel.barycentres, strict=True):
        axes.plot(*torch.stack([atom, barycentre]).T, color="black", linewidth=0.8)
    axes.scatter(*nu.atoms.T, s=1200 * nu.weights, c=colour, edgecolors="black", linewidths=1.0, zorder=3)
    axes.set_title(f"{panel.title}\n‖P − b‖₁ = {panel.error:.3f}   lower = {panel.lower:.4f}", fontsize=11)
    axes.set(xlim=(-BOX, BOX), ylim=(-BOX, BOX), xticks=(-2, 0, 2), yticks=(-2, 0, 2), aspect="equal")
    axes.tick_params(labelsize=9)


def main() -> None:
    """Solve, measure and draw."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    mu, nu = problem()
    side = torch.linspace(-BOX, BOX, PIXELS)
    pixels = torch.cartesian_prod(side, side).flip(1)  # rows of the image are y
    x = Stream(mu, seed=1).draw(2**20)
    panels = [measured(title, nu, h_tilde, pixels, x) for title, h_tilde in tables(mu, nu).items()]
    colour = torch.tensor([to_rgb(PALETTE[k]) for k in colours(panels, len(nu))])
    figure = Figure(figsize=(13, 4.1), layout="constrained")
    for axes, panel in zip(figure.subplots(1, 4, sharey=True), panels, strict=True):
        draw(axes, panel, nu, colour)
    figure.supxlabel(
        "dots: atoms, area in proportion to b   lines: to the barycentre of the cell, if it has mass   "
        "dashed: ‖x‖ = 1 and 2 under μ = N(0, I)",
        fontsize=10,
    )
    figure.savefig(Path(__file__).with_name("laguerre.png"), dpi=100, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()
