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
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor

import ot_gen as og
from ot_gen.plot.transport import cell_colours, owners
from ot_gen.semidual.ascent import Ascent
from ot_gen.semidual.scores import Scores
from ot_gen.semidual.stream import Stream

SNAPSHOTS, TOL = (512, 2048), 0.01
CORNERS, PIXELS = torch.tensor([[-2.9, -2.9], [2.9, 2.9]]), 720


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
    """The cells of one table, their barycentres, ‖P − b‖₁ and the lower value."""

    title: str
    cells: og.LaguerreCells
    barycentres: Tensor
    error: float
    lower: float


def measured(title: str, nu: og.Empirical, h_tilde: Tensor, x: Tensor) -> Panel:
    """The panel of h̃, its figures from the points x of μ."""
    cells = og.LaguerreCells(og.SquaredEuclidean(), nu.atoms, h_tilde)
    values, argmin = cells(x)
    counts = torch.bincount(argmin, minlength=len(nu))
    barycentres = torch.zeros_like(nu.atoms).index_add_(0, argmin, x) / counts.unsqueeze(1)
    error = float((counts / len(x) - nu.weights).abs().sum())
    lower = float(values.mean() + nu.weights @ h_tilde)
    return Panel(title, cells, barycentres, error, lower)


def draw(axes: Axes, panel: Panel, nu: og.Empirical, colours: list[int]) -> None:
    """Cells, level circles of μ, and each atom tied to the barycentre of its cell."""
    og.plot.cells(panel.cells, CORNERS, size=PIXELS, colours=colours, ax=axes)
    axes.collections[0].set_sizes(1200 * nu.weights)
    for radius in (1, 2):
        axes.add_patch(Circle((0, 0), radius, fill=False, color="0.25", linewidth=0.8, linestyle=(0, (4, 3))))
    for atom, barycentre in zip(nu.atoms, panel.barycentres, strict=True):
        axes.plot(*torch.stack([atom, barycentre]).T, color="black", linewidth=0.8)
    axes.set_title(f"{panel.title}\n‖P − b‖₁ = {panel.error:.3f}   lower = {panel.lower:.4f}", fontsize=11)
    axes.set(xticks=(-2, 0, 2), yticks=(-2, 0, 2))
    axes.label_outer()
    axes.tick_params(labelsize=9)


def main() -> None:
    """Solve, measure and draw."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    mu, nu = problem()
    x = Stream(mu, seed=1).draw(2**20)
    panels = [measured(title, nu, h_tilde, x) for title, h_tilde in tables(mu, nu).items()]
    colours = cell_colours([owners(panel.cells, CORNERS, PIXELS) for panel in panels], len(nu))
    figure = Figure(figsize=(13, 4.1), layout="constrained")
    for axes, panel in zip(figure.subplots(1, 4, sharey=True), panels, strict=True):
        draw(axes, panel, nu, colours)
    figure.supxlabel(
        "dots: atoms, area in proportion to b   lines: to the barycentre of the cell, if it has mass   "
        "dashed: ‖x‖ = 1 and 2 under μ = N(0, I)",
        fontsize=10,
    )
    figure.savefig(Path(__file__).with_name("laguerre.png"), dpi=100, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()
