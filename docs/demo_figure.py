"""The figure of the README: the samples of `make demo`, and the digits of its latent flow at few evaluations.

python docs/demo_figure.py [runs/demo]      writes docs/demo.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.image as mpimg
from matplotlib.figure import Figure

from ot_gen.report.runs import find_runs

TOY, DIGITS = "eight_gaussians", "mnist"
PICTURES = {  # row by row: a picture of the run of a solver on some data, and the metric above it
    TOY: (
        ("primal/flow_semidiscrete", "samples", "w1"),
        ("primal/vae", "samples", "w1"),
        ("primal/exact_plan", "samples", "w1"),
        ("dual/semidiscrete", "samples", "w1"),
        ("dual/wgan_gp", "samples", "w1"),
    ),
    DIGITS: (
        ("primal/latent_flow", "evaluations", None),
        ("primal/latent_flow", "samples", "frechet"),
        ("primal/sinkhorn_divergence", "samples", "frechet"),
        ("dual/semidiscrete", "samples", "frechet"),
        ("dual/wgan_gp", "samples", "frechet"),
    ),
}
WORDS = {"w1": "W₁", "frechet": "Fréchet distance"}


def main(folder: str = "runs/demo") -> None:
    """Lay the pictures of the runs out in a grid, each under its solver, one metric and the metric's floor."""
    runs = {(run.record.data, run.record.solver): run for run in find_runs(Path(folder))}
    figure = Figure(figsize=(15.5, 6.6), layout="constrained")
    axes = iter(figure.subplots(len(PICTURES), len(PICTURES[TOY])).flat)
    for data, row in PICTURES.items():
        for solver, picture, name in row:
            run, panel = runs[data, solver], next(axes)
            panel.imshow(mpimg.imread(run.folder / f"{picture}.png"), cmap="gray")
            panel.set_axis_off()
            says = "1, 2, 4, 8 and all evaluations"
            if name is not None:
                measured = run.record.measured(name)
                says = f"{WORDS[name]} {measured.value:.2g}, floor {measured.floor:.2g}"
            panel.set_title(f"{solver}, {data}\n{says}", fontsize=10)
    figure.savefig(Path(__file__).with_name("demo.png"), dpi=80, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main(*sys.argv[1:])
