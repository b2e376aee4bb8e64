"""Which coupling trains a flow: eight toys, four pairings, and what a sample costs.

    python experiments/flow_couplings/run.py [--toys NAME ...] [--seeds 0 1 2] [--steps 4000]

A velocity of 3 x 64 units learns by the same regression, from the same seeds and in as many steps of 256 pairs each;
only the coupling of N(0, I₂) with the 2,000 training points differs. Each flow then samples at 1, 2, 4, 8 and 32
evaluations. W₂² is exact, between 1,000 samples and 1,000 held-out points, the mean over DRAWS of both; beside it
stands the floor, the same between real points. The path energy E∫‖v‖² dt along the flow's own paths stands against the
bracket of W₂²(ζ, ν), which the table's solve certifies: no flow from ζ to ν has less.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, stdev

import matplotlib
import matplotlib.pyplot as plt
import torch
from torch import Tensor

from ot_gen import (
    DenseVelocity,
    Empirical,
    FlowMap,
    IndependentPairing,
    Pairing,
    PlanPairing,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    TablePairing,
    VelocityRegression,
    adam,
    data,
    exact_plan,
    fit,
    linear_decay,
    sinkhorn_plan,
    standard_gaussian,
    wasserstein,
)
from ot_gen.networks import evaluations

matplotlib.use("Agg")
sys.path.insert(0, str(Path(__file__).parents[1]))  # for the modules that the experiments share, imported below
from results import conclude, options

TOYS = (
    *("eight_gaussians", "two_moons", "pinwheel", "swiss_roll", "checkerboard", "rings", "twenty_five_gaussians"),
    "parallel_lines",
)
COST = SquaredEuclidean()
PAIRINGS: dict[str, Callable[[float], Pairing]] = {  # by the variance of the data
    "independent": lambda variance: IndependentPairing(),
    "Sinkhorn": lambda variance: PlanPairing(partial(sinkhorn_plan, epsilon=0.05 * variance, tol=1e-3)),
    "exact": lambda variance: PlanPairing(exact_plan),
    "table": lambda variance: TablePairing(),
}
EVALUATIONS = (1, 2, 4, 8, 32)
N, DRAWS = 1000, 6
COLOURS = dict(zip(PAIRINGS, ("#8d99ae", "#e09f3e", "#d1495b", "#00798c"), strict=True))


def trained(nu: Empirical, pairing: Pairing, seed: int, steps: int) -> tuple[Pushforward, float]:
    """The flow of a pairing, and the CPU seconds that it took, a table's solve included."""
    torch.manual_seed(seed)
    mu = Pushforward(FlowMap(DenseVelocity(2, width=64)), standard_gaussian(2))
    began = time.process_time()
    optimizer = partial(adam, lr=2e-3)
    solver = PrimalSolver(COST, VelocityRegression(pairing))
    fit(mu, nu, solver, steps=steps, batch_size=256, optimizer=optimizer, schedule=linear_decay)
    return mu.eval(), time.process_time() - began


def distance(points: Callable[[int], Tensor], toy: data.Dataset) -> float:
    """W₂² of N points of each of DRAWS seeds to held-out points, the mean."""
    values = []
    for draw in range(DRAWS):
        torch.manual_seed(100 + draw)
        values.append(wasserstein(points(N), toy.test.sample(N)))
    return fmean(values)


def judged(mu: Pushforward, toy: data.Dataset) -> dict[str, float]:
    """W₂² at each number of evaluations, and the path energy."""
    row = {}
    for number in EVALUATIONS:
        with evaluations(mu, number):
            row[f"W2^2 at {number}"] = distance(mu.sample, toy)
    with torch.no_grad():
        torch.manual_seed(0)
        row["energy"] = float(mu.map.path_energy(mu.base.sample(20_000)).mean())
    return row


def draw(rows: Sequence[dict[str, float | str]], flows: dict[str, Pushforward], toy: str, file: Path) -> None:
    """Paths of each pairing on one toy above; below, W₂² over its floor against evaluations, and path energies."""
    figure = plt.figure(figsize=(13, 7.4), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 0.9))
    real = data.toy(getattr(data, toy)()).test.atoms[:1000]
    for axes, (name, mu) in zip(upper.subplots(1, len(flows), sharex=True, sharey=True), flows.items(), strict=True):
        torch.manual_seed(1)
        with torch.no_grad():
            paths = mu.map.trajectory(mu.base.sample(250))
        axes.scatter(*real.T, s=3, color="0.75", linewidths=0)
        axes.plot(*paths.permute(2, 0, 1), color=COLOURS[name], lw=0.5, alpha=0.6)
        axes.scatter(*paths[0].T, s=4, color="black", linewidths=0, label="t = 0")
        axes.scatter(*paths[-1].T, s=5, color=COLOURS[name], linewidths=0, label="t = 1")
        axes.set(title=f"{name} pairs", aspect="equal", xlabel="x₁")
        axes.label_outer()
        axes.legend(loc="upper right", fontsize=8, frameon=False, markerscale=2)
    left, right = lower.subplots(1, 2, width_ratios=(1.1, 1))
    toys = list(dict.fromkeys(row["toy"] for row in rows))
    for name in PAIRINGS:
        own = [row for row in rows if row["pairing"] == name]
        ratios = [fmean(row[f"W2^2 at {number}"] / row["floor"] for row in own) for number in EVALUATIONS]
        left.plot(EVALUATIONS, ratios, "o-", color=COLOURS[name], label=name)
        energies = [fmean(row["excess"] for row in own if row["toy"] == one) for one in toys]
        right.plot(range(len(toys)), energies, "o", color=COLOURS[name], label=name)
    left.axhline(1, color="black", lw=0.8, ls="--", label="real points")
    left.set(xscale="log", yscale="log", xlabel="evaluations of the velocity for a sample")
    left.set(ylabel="W₂² to held-out points / floor", title=f"Mean over {len(toys)} toys")
    left.set_xticks(EVALUATIONS, EVALUATIONS)
    left.legend(frameon=False, fontsize=9)
    right.set(yscale="log", ylabel="|path energy − W₂²| / W₂²", title="Path energy against the certified W₂²(ζ, ν)")
    right.set_xticks(range(len(toys)), [one.replace("_", "\n") for one in toys], fontsize=8)
    figure.savefig(file, dpi=120)


def main() -> int:
    """Train and judge all, write results.csv, table.md and figure.png, and compare with expected.json."""
    parser = options(__file__, __doc__)
    parser.add_argument("--toys", nargs="+", choices=TOYS, default=list(TOYS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=4000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows, flows = [], {}
    for toy in arguments.toys:
        torch.manual_seed(0)
        given = data.toy(getattr(data, toy)())
        floor = distance(given.train.sample, given)
        brackets = {}
        for name, pairing in PAIRINGS.items():
            for seed in arguments.seeds:
                made = pairing(given.variance)
                mu, seconds = trained(given.train, made, seed, arguments.steps)
                brackets |= {seed: made.bracket} if name == "table" else {}
                rows.append({"toy": toy, "pairing": name, "seed": seed, "floor": floor, "CPU s": seconds})
                rows[-1] |= judged(mu, given)
                if toy == arguments.toys[0] and seed == arguments.seeds[0]:
                    flows[name] = mu
                print(", ".join(f"{key} {shown(value)}" for key, value in rows[-1].items()), flush=True)
        lower = fmean(bracket.lower for bracket in brackets.values())
        for row in (row for row in rows if row["toy"] == toy):
            row |= {"W2^2": lower, "excess": abs(row["energy"] - lower) / lower}
    with (arguments.output / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({key: shown(value) for key, value in row.items()} for row in rows)
    (arguments.output / "table.md").write_text(table(rows), encoding="utf-8")
    draw(rows, flows, arguments.toys[0], arguments.output / "figure.png")
    return conclude(arguments, expected(rows), [f"{toy}:" for toy in arguments.toys])


def expected(rows: Sequence[dict[str, float | str]]) -> dict[str, float]:
    """The figures that expected.json holds, means over seeds."""
    figures = {}
    for toy, name in dict.fromkeys((row["toy"], row["pairing"]) for row in rows):
        own = [row for row in rows if (row["toy"], row["pairing"]) == (toy, name)]
        for number in EVALUATIONS:
            figures[f"{toy}: {name}, W2^2 at {number} / floor"] = fmean(
                r[f"W2^2 at {number}"] / r["floor"] for r in own
            )
        figures[f"{toy}: {name}, normalised path energy"] = fmean(row["excess"] for row in own)
    return figures


def table(rows: Sequence[dict[str, float | str]]) -> str:
    """Means over seeds, and their standard deviations, as Markdown."""
    columns = [f"W2^2 at {number}" for number in EVALUATIONS]
    heads = ["toy", "pairing", "floor", *(f"W₂² at {number}" for number in EVALUATIONS), "path energy", "W₂²(ζ, ν)"]
    heads += ["normalised", "CPU s"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for toy, name in dict.fromkeys((row["toy"], row["pairing"]) for row in rows):
        own = [row for row in rows if (row["toy"], row["pairing"]) == (toy, name)]
        cells = [toy, name, shown(own[0]["floor"]), *(_mean(own, column) for column in columns)]
        cells += [_mean(own, "energy"), shown(own[0]["W2^2"]), _mean(own, "excess"), _mean(own, "CPU s")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _mean(rows: Sequence[dict[str, float | str]], column: str) -> str:
    values = [float(row[column]) for row in rows]
    return shown(fmean(values)) + (f" ± {stdev(values):.1g}" if len(values) > 1 else "")


def shown(value: float | str) -> str:
    """A figure with four digits; a text as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
