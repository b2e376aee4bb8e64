"""Critics in the plane: level sets and gradient field of h under each constraint, next to the true potential.

python docs/critic_figure.py [steps]      writes docs/critics.png; about a minute on one core

P is the uniform law Q moved towards four centres a_n along rays of u(x) = min_n ‖x − a_n‖ + b_n, so that −u is the
potential and W₁(P, Q) is known (`tests/problems.py`). Every panel has the same axes, levels and scale of arrows. The
steepest slope is that of ∇h on the grid of the level sets.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn
from torch.optim import Adam

import ot_gen as og

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from problems import BOX, Rays

LEVELS = torch.arange(-3.0, 0.51, 0.25).tolist()


def net() -> nn.Module:
    """The network of every neural panel."""
    return og.MLP(2, 1, hidden=(128, 128))


PANELS: dict[str, Callable[[], og.Potential]] = {
    "weight clipping": lambda: og.Critic(net(), og.WeightClip(0.04)),
    "gradient penalty": lambda: og.Critic(net(), og.GradientPenalty()),
    "one-sided penalty": lambda: og.Critic(net(), og.OneSidedPenalty()),
    "spectral norm": lambda: og.Critic(net(), og.SpectralNorm()),
    "orthogonal and sorts": lambda: og.Critic(net(), og.Orthogonal()),
    "anchors": og.AnchorCritic,
    "batch c-transform": lambda: og.BatchCritic(net()),
}


def trained(pair: Rays, potential: og.Potential, steps: int) -> og.Potential:
    """The potential after `fit` with the fixed laws of the pair."""
    torch.manual_seed(0)
    solver = og.DualSolver(og.Euclidean(), potential, inner_steps=1)
    adam = partial(Adam, lr=1e-3)
    og.fit(pair.p, pair.q, solver, steps=steps, batch_size=512, optimizer=adam, schedule=og.linear_decay)
    return potential.eval()


def draw(axes: Axes, h: Callable[[Tensor], Tensor], shift: float, title: str) -> ContourSet:
    """Level sets of h + shift and ∇h on a coarse grid, under the title and the steepest slope."""
    fine, coarse = grid(160), grid(15)
    values, slopes = field(h, fine)
    x, y = fine.reshape(160, 160, 2).unbind(dim=2)
    filled = axes.contourf(x, y, values.reshape(160, 160) + shift, levels=LEVELS, cmap="Blues", extend="both")
    axes.contour(x, y, values.reshape(160, 160) + shift, levels=LEVELS, colors="white", linewidths=0.4)
    axes.quiver(*coarse.T, *field(h, coarse)[1].T, color="black", scale=18, width=0.005)
    axes.set_title(f"{title}, steepest slope {float(slopes.norm(dim=1).max()):.2f}", fontsize=11)
    axes.set(xlim=(-BOX, BOX), ylim=(-BOX, BOX), xticks=(), yticks=(), aspect="equal")
    return filled


def field(h: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """(h(x) (n,), ∇h(x) (n, d))."""
    x = x.clone().requires_grad_()
    values = h(x)
    return values.detach(), torch.autograd.grad(values.sum(), x)[0]


def grid(n: int) -> Tensor:
    """n² points of the box, (n², 2)."""
    side = torch.linspace(-0.98 * BOX, 0.98 * BOX, n)
    return torch.cartesian_prod(side, side)


def main(steps: str = "2000") -> None:
    """Train every critic on one pair and lay the panels out."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    pair = Rays(2, 4, seed=1)
    p, q = pair.sample_pairs(20_000)
    w1, p, q = float((p - q).norm(dim=1).mean()), p.float(), q.float()
    figure = Figure(figsize=(12, 7.0), layout="constrained")
    panels = figure.subplots(2, 4).flatten()

    def truth(x: Tensor) -> Tensor:
        arms = x.unsqueeze(1) - pair.centres.float()
        return -(arms.norm(dim=2) + pair.offsets.float()).amin(dim=1)

    level = float(truth(q).mean())
    filled = draw(panels[0], truth, 0.0, f"true potential −u\nW₁ = {w1:.2f}")
    panels[0].plot(*p[:400].T, "o", color="tab:orange", markersize=1.5)
    for axes, (name, build) in zip(panels[1:], PANELS.items(), strict=True):
        h = trained(pair, build(), int(steps))
        with torch.no_grad():
            value = float(h(p).mean() - h(q).mean())
            shift = level - float(h(q).mean())  # potentials are known up to a constant
        bound = "lower bound" if h.bound else "no bound"
        draw(axes, h, shift, f"{name} ({bound})\nvalue {value:.2f}")
    bar = figure.colorbar(filled, ax=panels, shrink=0.6, aspect=30, pad=0.01, ticks=[-3, -2, -1, 0])
    bar.set_label("h, moved to the true mean under Q", fontsize=11)
    figure.supxlabel("value: E_P h − E_Q h   arrows: ∇h, one scale   dots: P; Q is uniform on the square", fontsize=11)
    path = Path(__file__).with_name("critics.png")
    figure.savefig(path, dpi=100)
    Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)  # smooth colours would make a large file


if __name__ == "__main__":
    main(*sys.argv[1:])
