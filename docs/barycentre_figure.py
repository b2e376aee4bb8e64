"""Draws the figures of docs/solvers.md and docs/gallery.md about barycentres, docs/barycentre_*.png.

python docs/barycentre_figure.py [digits flow]      two minutes on one core
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ot_gen import Empirical, SquaredEuclidean, barycentre, data, gradient_flow, plot

matplotlib.use("agg")
from matplotlib import pyplot as plt

DOCS = Path(__file__).parent
SIDE = 28
PIXELS = torch.cartesian_prod(torch.arange(float(SIDE)), torch.arange(float(SIDE)))
COST = SquaredEuclidean()
EPSILON = 0.6  # square pixels
CORNERS = ((0, 7), (3, 7), (4, 10), (8, 10))  # a class, and which of its digits
PAIRS = (((3, 7), (8, 10)), ((4, 10), (0, 7)), ((0, 7), (3, 5)))
STEPS = 6
TIMES = (0, 2, 5, 10, 20, 60)  # of 60 steps


def save(figure: Figure, name: str) -> None:
    """A small PNG."""
    path = DOCS / f"barycentre_{name}.png"
    figure.savefig(path, dpi=100, bbox_inches="tight", pad_inches=0.05, pil_kwargs={"optimize": True})
    print(f"{path.name}: {path.stat().st_size // 1000} kB", flush=True)


# --- digits ----------------------------------------------------------------------------------------------------------


def histogram(label: int, number: int) -> Empirical:
    """A digit as masses on the pixels that it covers."""
    mnist = data.mnist()
    assert mnist.train_labels is not None
    image = mnist.train.atoms[(mnist.train_labels == label).nonzero()[number, 0]]
    on = image > 0.05
    return Empirical(PIXELS[on], image[on] / image[on].sum())


def between(digits: list[Empirical], weights: Tensor, epsilon: float = EPSILON) -> Tensor:
    """The barycentre on the pixels, (28, 28)."""
    result = barycentre(digits, weights, COST, support=PIXELS, epsilon=epsilon, tol=1e-2 if epsilon else None)
    assert result.masses is not None
    return result.masses.reshape(SIDE, SIDE)


def digits() -> None:
    """Four digits at the corners of a square; three pairs; one pair exactly."""
    figure, axes = plt.subplots(1, 2, figsize=(13.0, 6.4), layout="constrained", width_ratios=[1, 1])
    corners, shares = [histogram(*corner) for corner in CORNERS], torch.linspace(0, 1, STEPS)
    rows = []
    for down in shares:
        weights = [
            torch.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right])
            for right in shares
        ]
        rows.append([between(corners, w) for w in weights])
    lines = []
    for epsilon in (EPSILON, 0.0):
        for first, second in PAIRS[: len(PAIRS) if epsilon else 1]:
            ends = [histogram(*first), histogram(*second)]
            lines.append([between(ends, torch.stack([1 - share, share]), epsilon) for share in shares])
    titles = "bilinear weights of four digits", "three pairs; below, the first of them with epsilon = 0"
    for ax, images, title in zip(axes.flat, (rows, lines), titles, strict=True):
        shown = torch.stack([1 - one.flatten() / one.max() for row in images for one in row])
        plot.samples(shown, shape=(1, SIDE, SIDE), columns=STEPS, ax=ax)
        ax.set_title(title, fontsize=11)
    save(figure, "digits")


# --- the flow --------------------------------------------------------------------------------------------------------


def flow() -> None:
    """A Gaussian cloud on its way to two moons, and to the barycentre of the moons and a ring."""
    torch.manual_seed(0)
    moons, rings = (Empirical(law.sample(800)) for law in (data.two_moons(), data.rings((1.5,))))
    start = 0.6 * torch.randn(800, 2) + moons.atoms.mean(dim=0)
    figure, axes = plt.subplots(2, len(TIMES), figsize=(13.0, 4.1), layout="constrained", sharex=True, sharey=True)
    for row, measures in zip(axes, ([moons], [moons, rings]), strict=True):
        path = gradient_flow(measures, None, COST, start, time=3.0, steps=TIMES[-1])
        for ax, step in zip(row, TIMES, strict=True):
            for nu in measures:
                ax.scatter(*nu.atoms.T, s=1.5, color="#d9dde3", linewidths=0)
            ax.scatter(*path[step].T, s=3, c=start[:, 0], cmap="viridis", linewidths=0)
            ax.set(title=f"t = {3.0 * step / TIMES[-1]:g}", aspect="equal", xticks=[], yticks=[])
    axes[0, 0].set_ylabel("to two moons")
    axes[1, 0].set_ylabel("to moons and a ring")
    save(figure, "flow")


FIGURES = {"digits": digits, "flow": flow}

if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or FIGURES:
        FIGURES[name]()
