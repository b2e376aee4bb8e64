"""Lower and upper value approach each other while h̃ is solved for; primal and dual gradient are one. See README.md.

python experiments/duality/run.py [--samples 262144] [--steps 400]
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from scipy.sparse.csgraph import floyd_warshall
from torch import Tensor

from ot_gen import (
    MLP,
    Empirical,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    c_transform,
    data,
    exact_plan,
    fit,
    semidiscrete,
    standard_gaussian,
)
from ot_gen.semidual import SolveProgress
from ot_gen.semidual.scores import Scores
from ot_gen.semidual.tally import Slack, Tally

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the modules that the experiments share, imported below
from results import conclude, options

COST = SquaredEuclidean()


def closing(samples: int, atoms: int = 500, fresh: int = 8192) -> list[dict[str, float]]:
    """N(0, I) to two moons: the bracket of the averaged table, at sample counts that double."""
    torch.manual_seed(0)
    nu, mu = Empirical(data.two_moons().sample(atoms)), standard_gaussian(2)
    costs = Scores(COST, nu.atoms)
    tables: list[tuple[SolveProgress, Tensor]] = []

    def keep(progress: SolveProgress) -> None:
        if not tables or progress.samples >= 2 * tables[-1][0].samples:
            tables.append((progress, progress.h_tilde))

    # By its samples alone: the cells of a Gaussian in the plane are known exactly, and geometry would end the steps.
    sampled = Pushforward(torch.nn.Identity(), mu)
    semidiscrete(sampled, nu, COST, tol=1e-3, max_samples=samples, callbacks=[keep])
    x, judge = mu.sample(fresh), mu.sample(fresh)
    rows = []
    for progress, table in tables:
        tally = Tally(costs, nu.weights, table)
        tally.add(0, judge[: fresh // 2])
        tally.add(1, judge[fresh // 2 :])
        slack = Slack.of(tally, x, progress.epsilon / 8)
        bracket = slack.above(*tally.lower())
        rows.append(
            {
                "samples": progress.samples,
                "lower": bracket.lower,
                "upper": bracket.upper,
                "lower_se": bracket.lower_se,
                "slack_se": slack.se,
            }
        )
    return rows


def interior_potential(C: Tensor, partner: Tensor) -> Tensor:
    """g, (n,), with C_ij − g_j least at j = partner_i and nowhere else: a mean of extreme dual solutions.

    g is dual feasible if and only if g_j − g_σ(i) <= C_ij − C_iσ(i), so that shortest distances from each node are
    solutions. A vertex of the dual, as the simplex gives, has ties, where the gradient of a minimum is any of several.
    """
    arcs = torch.empty_like(C)
    arcs[partner] = C - C.gather(1, partner[:, None])
    return torch.from_numpy(floyd_warshall(arcs.numpy())).mean(dim=0)


def gradients(mu: Pushforward, y: Tensor) -> tuple[float, float, float]:
    """Of a sample of μ against as many atoms: the value, the norm of the primal gradient, and ‖primal − dual‖."""
    x = mu.rsample(len(y))
    parameters = list(mu.parameters())
    C = COST.matrix(x.detach(), y)
    plan = exact_plan(C)
    primal = torch.autograd.grad(plan.cost_of(COST, x, y), parameters, retain_graph=True)
    partner = plan.pairs.j[plan.pairs.i.argsort()]
    h = c_transform(COST, x, y, interior_potential(C, partner))[0]
    dual = torch.autograd.grad(h.mean(), parameters)
    flat, other = (torch.cat([part.flatten() for part in parts]) for parts in (primal, dual))
    return float(plan.value), float(flat.norm()), float((flat - other).norm())


def training_path(steps: int, points: int = 9, n: int = 128) -> Iterator[dict[str, float]]:
    """A generator on eight Gaussians, trained on exact plans; both gradients at `points` moments, in float64."""
    torch.manual_seed(0)
    nu = data.eight_gaussians().sample(2000).double()
    mu = Pushforward(MLP(2, 2, hidden=(64, 64)), standard_gaussian(2)).double()
    for point in range(points):
        value, size, difference = gradients(mu, nu[torch.randperm(len(nu))[:n]])
        step = point * steps // (points - 1)
        yield {"step": step, "value": value, "gradient": size, "difference": difference / size}
        if point < points - 1:
            more = (point + 1) * steps // (points - 1) - step
            fit(mu, Empirical(nu), PrimalSolver(COST, PlanCoupling(exact_plan)), steps=more, batch_size=n)


def figures(bracket: Sequence[Mapping[str, float]], path: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The numbers of expected.json."""
    first, last = bracket[0], bracket[-1]
    return {
        "first_gap": (first["upper"] - first["lower"]) / first["upper"],
        "last_gap": (last["upper"] - last["lower"]) / last["upper"],
        "last_lower": last["lower"],
        "largest_relative_difference": max(row["difference"] for row in path),
    }


def draw(bracket: Sequence[Mapping[str, float]], path: Sequence[Mapping[str, float]], file: Path) -> None:
    """Both experiments side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    samples = [row["samples"] for row in bracket]
    lower, upper = ([row[side] for row in bracket] for side in ("lower", "upper"))
    left.fill_between(samples, lower, upper, alpha=0.2, color="tab:blue", label="holds W₂²")
    left.plot(samples, upper, "o-", color="tab:orange", label="upper: a coupling (primal)")
    left.plot(samples, lower, "s-", color="tab:blue", label="lower: a potential (dual)")
    left.set(xscale="log", xlabel="samples of μ used by the solve", ylabel="W₂²(μ, ν)", title="Two sides of one number")
    left.legend()
    steps = [row["step"] for row in path]
    right.plot(steps, [row["gradient"] for row in path], "o-", color="tab:green", label="‖primal gradient‖")
    right.plot(
        steps,
        [max(row["difference"], 1e-17) * row["gradient"] for row in path],
        "s-",
        color="tab:red",
        label="‖primal − dual‖, 0 drawn as 1e-17 of it",
    )
    right.set(yscale="log", xlabel="training step", ylabel="norm over θ", title="Two ways to one gradient")
    right.legend()
    figure.savefig(file, dpi=120)


def main(output: Path, samples: int, steps: int) -> dict[str, float]:
    """Run both, write the CSV files and the figure."""
    output.mkdir(parents=True, exist_ok=True)
    bracket, path = closing(samples), list(training_path(steps))
    for name, rows in (("bracket.csv", bracket), ("gradients.csv", path)):
        with (output / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows({key: f"{value:.9g}" for key, value in row.items()} for row in rows)
    draw(bracket, path, output / "figure.png")
    return figures(bracket, path)


if __name__ == "__main__":
    parser = options(__file__, __doc__)
    parser.add_argument("--samples", type=int, default=2**18)
    parser.add_argument("--steps", type=int, default=400)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    sys.exit(conclude(chosen, main(chosen.output, chosen.samples, chosen.steps)))
