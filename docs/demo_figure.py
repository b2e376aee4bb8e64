"""The figure of the README: the samples of `make demo`, one column for each solver.

python docs/demo_figure.py [runs/demo]      writes docs/demo.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.image as mpimg
from matplotlib.figure import Figure

from ot_gen.report.runs import find_runs

COLUMNS = ("primal/exact_plan", "primal/vae", "dual/semidiscrete", "dual/wgan_gp")
ROWS = ("eight_gaussians", "mnist")


def main(folder: str = "runs/demo") -> None:
    """Lay the samples of the runs out in a grid, each under its exact W₁ and floor."""
    runs = {(run.record.data, run.record.solver): run for run in find_runs(Path(folder))}
    figure = Figure(figsize=(12.4, 6.8), layout="constrained")
    for i, data in enumerate(ROWS):
        for j, solver in enumerate(COLUMNS):
            run = runs[data, solver]
            axes = figure.add_subplot(len(ROWS), len(COLUMNS), i * len(COLUMNS) + j + 1)
            axes.imshow(mpimg.imread(run.folder / "samples.png"))
            axes.set_axis_off()
            w1 = run.record.measured("w1")
            axes.set_title(f"{solver}, {data}\nW₁ {w1.value:.3g}, floor {w1.floor:.3g}", fontsize=10)
    figure.savefig(Path(__file__).with_name("demo.png"), dpi=80, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main(*sys.argv[1:])
