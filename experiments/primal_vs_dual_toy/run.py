"""Every solver on every toy, three seeds, 1,000 steps each: W₁ on held-out data over its real-vs-real floor.

    python experiments/primal_vs_dual_toy/run.py                     # trains (about an hour on two cores), then judges
    python experiments/primal_vs_dual_toy/run.py --runs FOLDER       # judges runs that are there

It runs `ot-gen -m sweep=primal_vs_dual_toy`, which goes on where it was stopped, writes results.csv and figure.png
into runs/experiments/primal_vs_dual_toy and the comparison page beside the runs, and compares with expected.json.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections import defaultdict
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.colors import LogNorm

from ot_gen.report.compare import write_comparison
from ot_gen.report.runs import Run, find_runs

matplotlib.use("Agg")
sys.path.insert(0, str(Path(__file__).parents[1]))  # for the modules that the experiments share, imported below
from results import conclude, options
from swept import sweep, write_table

DATA = (
    *("eight_gaussians", "twenty_five_gaussians", "two_moons", "swiss_roll"),
    *("pinwheel", "checkerboard", "rings", "parallel_lines"),
)
COLUMNS = ("data", "solver", "seed", "status", "w1", "w1_floor", "w2_squared", "w2_squared_floor", "seconds")

Ratios = dict[tuple[str, str], list[float]]


def row_of(run: Run) -> list[object]:
    """A run's line of results.csv."""
    own, judged = run.record, run.record.judgement
    figures = (
        (None,) * 4 if judged is None else (judged.w1, judged.w1_floor, judged.w2_squared, judged.w2_squared_floor)
    )
    return [own.data, own.solver, own.seed, run.status, *figures, own.seconds]


def ratios(runs: list[Run]) -> Ratios:
    """{(solver, data): W₁ over its floor, for each seed}."""
    found: Ratios = defaultdict(list)
    for run in runs:
        judged = run.record.judgement
        if judged is not None and judged.w1_floor:
            found[str(run.record.solver), str(run.record.data)].append(judged.w1 / judged.w1_floor)
    return found


def figures_of(found: Ratios, runs: list[Run]) -> dict[str, float]:
    """What expected.json speaks of: each solver's geometric mean over toys and seeds, and how many runs finished."""
    told = {"runs finished": float(sum(run.is_finished for run in runs))}
    for solver in sorted({solver for solver, _ in found}):
        logs = [math.log(value) for (own, _), values in found.items() if own == solver for value in values]
        told[solver] = math.exp(statistics.fmean(logs))
    return told


def draw(found: Ratios, file: Path) -> None:
    """One cell for each solver and toy: the mean ratio, and the spread of the seeds."""
    means = {key: statistics.fmean(values) for key, values in found.items()}
    solvers = sorted({solver for solver, _ in found}, key=lambda s: (not s.startswith("primal"), s))
    grid = [[means.get((solver, data), math.nan) for data in DATA] for solver in solvers]
    figure, axes = plt.subplots(figsize=(11, 0.36 * len(solvers) + 1.8), layout="constrained")
    image = axes.imshow(grid, norm=LogNorm(1, 12), cmap="viridis_r", aspect="auto")
    for i, solver in enumerate(solvers):
        for j, data in enumerate(DATA):
            values = found.get((solver, data), [])
            if values:
                mean, half = statistics.fmean(values), (max(values) - min(values)) / 2
                shade = "white" if mean > 3.5 else "black"
                axes.text(j, i, f"{mean:.2f} ± {half:.2f}", ha="center", va="center", color=shade, fontsize=8)
    axes.set_xticks(range(len(DATA)), [name.replace("_", "\n") for name in DATA])
    axes.set_yticks(range(len(solvers)), solvers)
    axes.axhline(sum(s.startswith("primal") for s in solvers) - 0.5, color="white", lw=3)
    axes.set_title("W₁ on 1,000 held-out points over its real-vs-real floor: mean of three seeds ± half their range")
    figure.colorbar(image, ax=axes, label="W₁ / floor (1 is a perfect model)", ticks=[1, 2, 4, 8], format="%g")
    figure.savefig(file, dpi=110)


def main() -> int:
    """Train if asked, then table, figure, page and tolerances."""
    parser = options(__file__, __doc__)
    parser.add_argument("--runs", type=Path, help="runs that are there already; nothing is trained")
    arguments = parser.parse_args()
    folder = arguments.runs or arguments.output / "runs"
    if arguments.runs is None:
        sweep("primal_vs_dual_toy", folder)
    runs = find_runs(folder)
    write_table(arguments.output / "results.csv", COLUMNS, map(row_of, runs))
    found = ratios(runs)
    draw(found, arguments.output / "figure.png")
    print(f"{write_comparison(folder, folder)}")
    return conclude(arguments, figures_of(found, runs))


if __name__ == "__main__":
    sys.exit(main())
