"""The figure of a learned Schrödinger bridge in the plane, from a Gaussian to two moons, for two ε.

python docs/bridge_figure.py      trains for some ten seconds each and writes docs/bridge.png
"""

from __future__ import annotations

from pathlib import Path

import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ot_gen import (
    DualSolver,
    MixturePotential,
    SchrodingerBridge,
    SquaredEuclidean,
    data,
    fit,
    linear_decay,
    standard_gaussian,
)

EPSILONS, TIMES, POINTS, PATHS, STEPS = (0.2, 2.0), (0.0, 0.25, 0.5, 0.75, 1.0), 1500, 12, 200
COLOURS = "twilight_shifted"


def learned(epsilon: float) -> SchrodingerBridge:
    """The bridge from N(0, I) to two moons."""
    torch.manual_seed(0)
    h = MixturePotential(epsilon, components=40)
    solver = DualSolver(SquaredEuclidean(), h, inner_steps=1)
    fit(standard_gaussian(2), moons, solver, steps=2000, batch_size=256, schedule=linear_decay)
    return h.bridge()


def panel(axes: Axes, points: Tensor, hue: Tensor) -> None:
    """A cloud, coloured by where it started."""
    axes.scatter(*points.T, s=4, c=hue, cmap=COLOURS, alpha=0.7, linewidths=0, rasterized=True)
    axes.set(xlim=(-3.3, 3.3), ylim=(-3.3, 3.3), xticks=[], yticks=[], aspect="equal")


def figure() -> Figure:
    """A row of panels for each ε."""
    drawn = Figure(figsize=(12.4, 4.5), layout="constrained")
    grid = drawn.subplots(len(EPSILONS), len(TIMES) + 1)
    for axes, title in zip(grid[0], [*(f"t = {t:g}" for t in TIMES), "paths, over the data"], strict=True):
        axes.set_title(title, fontsize=11)
    for row, epsilon in zip(grid, EPSILONS, strict=True):
        bridge = learned(epsilon)
        torch.manual_seed(1)
        x = torch.randn(POINTS, 2)
        path = bridge.path(x, STEPS)
        hue = torch.atan2(x[:, 1], x[:, 0])
        for axes, t in zip(row, TIMES, strict=False):
            panel(axes, path[round(t * STEPS)], hue)
        row[0].set_ylabel(f"ε = {epsilon:g}", fontsize=12)
        few = torch.linspace(0, POINTS - 1, PATHS).long()
        row[-1].scatter(*moons.sample(POINTS).T, s=4, c="#d8d8d8", linewidths=0)
        row[-1].set(xlim=(-3.3, 3.3), ylim=(-3.3, 3.3), xticks=[], yticks=[], aspect="equal")
        for i in hue.argsort()[few]:
            colour = colour_of(float(hue[i]))
            row[-1].plot(*path[:, i].T, color=colour, linewidth=0.9)
            row[-1].scatter(*path[0, i], s=14, color=colour, edgecolors="black", linewidths=0.5, zorder=3)
    return drawn


def colour_of(angle: float) -> tuple[float, ...]:
    """That of a start in this direction."""
    return colormaps[COLOURS](angle / (2 * torch.pi) + 0.5)


moons = data.two_moons()

if __name__ == "__main__":
    torch.set_num_threads(1)
    target = Path(__file__).with_name("bridge.png")
    figure().savefig(target, dpi=110)
