"""Eight solvers, one generator, one minute of training each, on the embedded MNIST: three seeds, one judge.

    python experiments/primal_vs_dual_mnist/run.py                   # trains (about forty minutes on two cores), judges
    python experiments/primal_vs_dual_mnist/run.py --runs FOLDER     # judges runs that are there

It runs `ot-gen -m sweep=primal_vs_dual_mnist` and `sweep=primal_vs_dual_mnist_flow`, which go on where they were
stopped, writes results.csv, table.md and figure.png into runs/experiments/primal_vs_dual_mnist and the comparison
page beside the runs, and compares with expected.json.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt

from ot_gen.report.compare import write_comparison
from ot_gen.report.runs import Run, find_runs
from ot_gen.runs.parts import CertifiedInterval

matplotlib.use("Agg")
sys.path.insert(0, str(Path(__file__).parents[1]))  # for the modules that the experiments share, imported below
from results import conclude, options
from swept import sweep, write_table

SOLVERS = (
    *("primal/vae", "primal/wae_mmd", "primal/latent_flow", "primal/exact_plan", "primal/sinkhorn_divergence"),
    *("dual/semidiscrete", "dual/wgan_gp", "dual/wgan_sn"),
)
METRICS = ("w1", "w2_squared", "frechet", "precision", "recall", "density", "coverage", "class_error", "memorisation")
COLUMNS = ("solver", "seed", "status", "seconds", "steps", "certified_low", "certified_high", *METRICS)
DRAWN = (  # metric, words, direction
    ("w1", "exact W₁, 2,000 points", "below the grey line: blur"),
    ("frechet", "Fréchet distance", "lower is better"),
    ("precision", "precision", "higher is better"),
    ("coverage", "coverage", "higher is better"),
)
COLOURS = {"primal": "#3b6fb6", "dual": "#c2571a"}


def row_of(run: Run) -> list[object]:
    """A run's line of results.csv."""
    own = run.record
    low, high = own.certificate.interval if own.certificate else (None, None)
    rows = [own.measured(name) for name in METRICS]
    values = [None if row is None else row.value for row in rows]
    return [own.solver, own.seed, run.status, own.seconds, own.steps_done, low, high, *values]


def of_solver(runs: list[Run], solver: str, figure: Callable[[Run], float]) -> list[float]:
    """A figure of each finished run of a solver."""
    return [figure(run) for run in runs if run.record.solver == solver and run.is_finished]


def metric(name: str) -> Callable[[Run], float]:
    """The figure that is a metric's value."""
    return lambda run: row.value if (row := run.record.measured(name)) is not None else math.nan


def certificates(runs: Iterable[Run]) -> list[CertifiedInterval]:
    """Those of the runs that have one."""
    return [run.record.certificate for run in runs if run.record.certificate]


def floor(runs: list[Run], name: str) -> float:
    """What real data score, the same for all runs."""
    rows = [row for run in runs if (row := run.record.measured(name)) is not None]
    return statistics.fmean(row.floor or 0.0 for row in rows)


def table(runs: list[Run]) -> str:
    """Markdown: means over seeds, with half the range of the seeds."""
    heads = ["solver", "steps", "certified W₁ (hull)", *METRICS]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for solver in SOLVERS:
        steps = statistics.fmean(of_solver(runs, solver, lambda run: run.record.steps_done or 0))
        intervals = [found.interval for found in certificates(run for run in runs if run.record.solver == solver)]
        hull = (
            f"[{min(low for low, _ in intervals):.3f}, {max(high for _, high in intervals):.3f}]" if intervals else ""
        )
        cells = [solver, f"{steps:,.0f}", hull]
        for name in METRICS:
            values = of_solver(runs, solver, metric(name))
            cells.append(f"{statistics.fmean(values):.3g} ± {(max(values) - min(values)) / 2:.2g}")
        lines.append("| " + " | ".join(cells) + " |")
    floors = [f"{floor(runs, name):.3g}" for name in METRICS]
    reference = next((found.reference for found in certificates(runs)), None)
    bar = f"[{reference[0]:.3f}, {reference[1]:.3f}]" if reference else ""
    lines.append("| " + " | ".join(["real data", "", bar, *floors]) + " |")
    return "\n".join(lines) + "\n"


def figures_of(runs: list[Run]) -> dict[str, float]:
    """What expected.json speaks of: means over the seeds."""
    told = {"runs finished": float(sum(run.is_finished for run in runs))}
    told["runs certified"] = float(len(certificates(runs)))
    for solver in SOLVERS:
        for name in ("w1", "frechet", "precision", "coverage"):
            values = of_solver(runs, solver, metric(name))
            if values:
                told[f"{solver} {name}"] = statistics.fmean(values)
    return told


def draw(runs: list[Run], file: Path) -> None:
    """A row for each solver: the certified interval of each seed, then metrics next to what real data score."""
    figure, axes = plt.subplots(
        1, 1 + len(DRAWN), figsize=(15, 4.4), sharey=True, layout="constrained", width_ratios=[1.7, 1, 1, 1, 1]
    )
    for place, solver in enumerate(SOLVERS):
        colour = COLOURS[solver.split("/")[0]]
        own = [run for run in runs if run.record.solver == solver and run.is_finished]
        for offset, run in enumerate(own):
            height = place + 0.2 * (offset - (len(own) - 1) / 2)
            if run.record.certificate:
                axes[0].plot(
                    run.record.certificate.interval, [height, height], color=colour, lw=4, solid_capstyle="butt"
                )
            for axis, (name, _, _) in zip(axes[1:], DRAWN, strict=True):
                axis.plot(metric(name)(run), height, "o", color=colour, ms=6)
    reference = next((found.reference for found in certificates(runs)), None)
    if reference:
        axes[0].axvspan(*reference, color="#888", alpha=0.35, lw=0)
    axes[0].set_title("certified W₁ to the held-out digits,\n95 % interval of each seed", fontsize=10)
    for axis, (name, words, better) in zip(axes[1:], DRAWN, strict=True):
        axis.axvline(floor(runs, name), color="#888", lw=2)
        axis.set_title(f"{words}\n{better}", fontsize=10)
        if name == "frechet":
            axis.set_xscale("log")
    axes[0].set_yticks(range(len(SOLVERS)), SOLVERS)
    axes[0].invert_yaxis()
    for axis in axes:
        axis.margins(x=0.08)
        axis.grid(axis="x", color="#ddd")
        axis.set_axisbelow(True)
        axis.axhline(4.5, color="#bbb", lw=1)
    figure.suptitle(
        "One generator, one minute of training on one core; three seeds. Grey: real digits by the same judge."
    )
    figure.savefig(file, dpi=100)


def main() -> int:
    """Train if asked, then table, figure, page and tolerances."""
    parser = options(__file__, __doc__)
    parser.add_argument("--runs", type=Path, help="runs that are there already; nothing is trained")
    arguments = parser.parse_args()
    folder = arguments.runs or arguments.output / "runs"
    if arguments.runs is None:
        sweep("primal_vs_dual_mnist", folder)
        sweep("primal_vs_dual_mnist_flow", folder)
    runs = find_runs(folder)
    write_table(arguments.output / "results.csv", COLUMNS, map(row_of, runs))
    (arguments.output / "table.md").write_text(table(runs), encoding="utf-8")
    draw(runs, arguments.output / "figure.png")
    print(table(runs))
    print(f"{write_comparison(folder, folder)}")
    return conclude(arguments, figures_of(runs))


if __name__ == "__main__":
    sys.exit(main())
