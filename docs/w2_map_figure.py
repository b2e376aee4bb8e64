"""The figure of a neural W₂ map beside the true one: a 2-D pair whose optimal map is known.

python docs/w2_map_figure.py      trains both entries for some ten seconds each and writes docs/w2_maps.png
"""

from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from ot_gen import (
    ICNN,
    MLP,
    BrenierPotential,
    Displacement,
    DualSolver,
    Paraboloid,
    Pushforward,
    SquaredEuclidean,
    fit,
    linear_decay,
    standard_gaussian,
)

STEPS, BATCH, POINTS, ARROWS = 1000, 512, 1500, 45


class Star(nn.Module):
    """T*(x) = x/4 + Σ_k w_k(x) a_k, w = softmax_k(4⟨a_k, x⟩): the gradient of a smooth maximum and a paraboloid."""

    def __init__(self, rays: int = 5) -> None:
        super().__init__()
        angles = torch.arange(rays) * 2 * torch.pi / rays + torch.pi / 2
        self.register_buffer("tips", 2 * torch.stack([angles.cos(), angles.sin()], dim=1))

    def forward(self, x: Tensor) -> Tensor:
        return 0.25 * x + (4 * x @ self.tips.T).softmax(dim=1) @ self.tips


def mover() -> Displacement:
    """S for points in the plane."""
    return Displacement(MLP(2, 2, (128, 128, 128), activation=nn.SiLU))


def scatter(axes: Axes, points: Tensor, colour: str, title: str) -> None:
    """A cloud in one panel."""
    axes.scatter(*points.T, s=5, c=colour, alpha=0.5, linewidths=0)
    axes.set_title(title, fontsize=11)


def displacements(axes: Axes, x: Tensor, image: Tensor, colour: str, width: float) -> None:
    """Arrows from x to its image."""
    axes.quiver(
        *x.T, *(image - x).T, angles="xy", scale_units="xy", scale=1, color=colour, width=width, headwidth=4, zorder=3
    )


def main() -> None:
    """Train, score and draw."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    mu, optimal = standard_gaussian(2), Star()
    nu = Pushforward(optimal, mu)
    potentials = {
        "max-min": BrenierPotential(Paraboloid(MLP(2, 1, (128, 128, 128), activation=nn.SiLU)), mover()),
        "input-convex": BrenierPotential(ICNN(2), mover(), lr=5e-2),
    }
    for potential in potentials.values():
        solver = DualSolver(SquaredEuclidean(), potential, inner_steps=1)
        fit(mu, nu, solver, steps=STEPS, batch_size=BATCH, schedule=linear_decay)
    x = mu.sample(POINTS)
    truth = optimal(x)
    figure = Figure(figsize=(13, 4.4), layout="constrained")
    panels = figure.subplots(1, 4, sharex=True, sharey=True)
    scatter(panels[0], x, "tab:blue", "model μ = N(0, I)\n")
    scatter(panels[1], nu.sample(POINTS), "tab:orange", "data ν = T*#μ\n")
    for axes, (name, potential) in zip(panels[2:], potentials.items(), strict=True):
        image = potential.map(x)
        uvp = 100 * float((image - truth).square().sum(1).mean() / truth.var(0).sum())
        scatter(axes, image, "tab:green", f"T#μ, {name}\nerror of the map (L2-UVP) {uvp:.2g} %")
        displacements(axes, x[:ARROWS], truth[:ARROWS], "0.6", 0.011)
        displacements(axes, x[:ARROWS], image[:ARROWS], "black", 0.003)
    for axes in panels:
        axes.set_aspect("equal")
        axes.tick_params(labelsize=9)
    figure.supxlabel("arrows: x → T(x) learned (black) over x → T*(x) true (grey, wide)", fontsize=11)
    figure.savefig(Path(__file__).with_name("w2_maps.png"), dpi=90, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()
