"""Two parallel lines at distance t: what W₁, KL and JS and their gradients in t say.

    python experiments/disjoint_supports/run.py

P_t is the law of (t, U) and Q that of (0, U), U uniform on [-1, 1] (Arjovsky, Chintala, Bottou, "Wasserstein GAN",
2017, example 1). For t ≠ 0 their supports are disjoint: W₁ = |t| with gradient sign(t), KL = ∞ and JS = log 2 with
gradient 0. Lines of thickness σ, (t + σ ε, U) with ε ~ N(0, 1), make KL and JS finite and show the limit:
KL = t²/(2σ²), JS by quadrature; W₁ stays |t|, since a translation is optimal for its own length.

W₁ of the thin lines is found by both solvers: by an exact plan between samples with its envelope gradient, next to the
real-vs-real floor, and by a table of potentials against the midpoints of ATOMS equal pieces of Q. Two generators of one
parameter t are then trained from t = 2.
"""

from __future__ import annotations

import csv
import math
import sys
from functools import partial
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn

from ot_gen import (
    DiscretePotential,
    DualSolver,
    Empirical,
    Euclidean,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    exact_plan,
    fit,
    linear_decay,
    semidiscrete,
    uniform_cube,
)

matplotlib.use("Agg")
sys.path.insert(0, str(Path(__file__).parents[1]))  # for the modules that the experiments share, imported below
from results import conclude, options

DISTANCES = (-1.0, -0.5, -0.2, -0.1, 0.1, 0.2, 0.5, 1.0, 1.5, 2.0)
THICKNESS = (0.3, 0.1, 0.03)
N = 1000  # samples on each side of a plan
ATOMS = 60


class Line(nn.Module):
    """u ↦ (t, u): the generator with the one parameter t."""

    def __init__(self, t: float) -> None:
        super().__init__()
        self.t = nn.Parameter(torch.tensor(t))

    def forward(self, u: Tensor) -> Tensor:
        """(n, 1) -> (n, 2)."""
        return torch.cat([self.t.expand_as(u), u], dim=1)


def line(t: float) -> Pushforward:
    """P_t as a model."""
    return Pushforward(Line(t), uniform_cube(1))


def by_plan(t: float, y: Tensor) -> tuple[float, float]:
    """W₁ between N samples of P_t and y by an exact plan, and dW₁/dt = Σ_ij P_ij ∂_t c(g_t(z_i), y_j)."""
    mu = line(t)
    x = mu.rsample(len(y))
    value = exact_plan(Euclidean().matrix(x.detach(), y)).cost_of(Euclidean(), x, y)
    (gradient,) = torch.autograd.grad(value, mu.map.t)
    return value.item(), gradient.item()


def by_potential(t: float, nu: Empirical) -> tuple[float, float]:
    """A certified lower bound of W₁(P_t, ν) by a table of potentials, and dW₁/dt = E ∂_t h(g_t(z))."""
    mu = line(t)
    solution = semidiscrete(mu, nu, Euclidean(), tol=0.02)
    x = mu.rsample(20_000)
    (gradient,) = torch.autograd.grad(solution.potential(x).mean(), mu.map.t)
    return solution.lower, gradient.item()


def jensen_shannon(t: Tensor, sigma: float) -> Tensor:
    """JS between N(t, σ²) and N(0, σ²) by the trapezoidal rule, which is spectrally accurate here."""
    grid = torch.linspace(-4.0, 4.0, 40_001, dtype=torch.float64)
    log_p, log_q = (-(((grid - m) / sigma) ** 2) / 2 - math.log(sigma * math.sqrt(2 * math.pi)) for m in (t, 0 * t))
    log_mean = torch.logaddexp(log_p, log_q) - math.log(2)
    terms = log_p.exp() * (log_p - log_mean) + log_q.exp() * (log_q - log_mean)
    return torch.trapezoid(terms, grid) / 2


def with_gradient(t: float, sigma: float) -> tuple[float, float]:
    """JS and its derivative in t."""
    at = torch.tensor(t, dtype=torch.float64, requires_grad=True)
    value = jensen_shannon(at, sigma)
    (gradient,) = torch.autograd.grad(value, at)
    return value.item(), gradient.item()


def trained(solver: PrimalSolver | DualSolver, nu: Empirical, steps: int) -> list[float]:
    """The path of t from 2 under `fit`."""
    mu, path = line(2.0), [2.0]

    def note(_: object) -> None:
        path.append(mu.map.t.item())

    adam = partial(torch.optim.Adam, lr=0.05)
    fit(mu, nu, solver, steps=steps, optimizer=adam, schedule=linear_decay, callbacks=[note])
    return path


def main() -> int:
    """Run all, write results.csv and figure.png, and compare with expected.json."""
    arguments = options(__file__, __doc__).parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    target = line(0.0)
    y = target.sample(N)
    nu = Empirical(y)
    middles = Empirical(target.map((2 * torch.arange(ATOMS) + 1).unsqueeze(1) / ATOMS - 1).detach())
    rows, found = [], {}
    for t in DISTANCES:
        plan, potential = by_plan(t, y), by_potential(t, middles)
        rows.append({"t": t, "plan": plan[0], "plan_gradient": plan[1]})
        rows[-1] |= {"dual": potential[0], "dual_gradient": potential[1]}
        for sigma in THICKNESS:
            js = with_gradient(t, sigma)
            rows[-1] |= {f"js_{sigma}": js[0], f"js_{sigma}_gradient": js[1]}
            rows[-1] |= {f"kl_{sigma}": t**2 / (2 * sigma**2), f"kl_{sigma}_gradient": t / sigma**2}
    found["w1_floor"] = by_plan(0.0, y)[0]
    found["worst |plan - |t||"] = max(abs(row["plan"] - abs(row["t"])) for row in rows)
    found["worst |dual - |t||"] = max(abs(row["dual"] - abs(row["t"])) for row in rows)
    found["worst plan gradient error, |t| >= .5"] = _worst(rows, "plan_gradient")
    found["worst dual gradient error, |t| >= .5"] = _worst(rows, "dual_gradient")
    last = rows[-1]
    found["js at t = 2, thickness .1, over log 2"] = last["js_0.1"] / math.log(2)
    found["js gradient at t = 2, thickness .3"] = abs(last["js_0.3_gradient"])
    found["kl at t = 2, thickness .03"] = last["kl_0.03"]
    paths = {
        "primal: exact plan": trained(PrimalSolver(Euclidean(), PlanCoupling(exact_plan)), nu, 200),
        "dual: semi-discrete": trained(DualSolver(Euclidean(), DiscretePotential(), inner_steps=5), nu, 200),
    }
    for name, path in paths.items():
        found[f"|t| after training, {name.split(':')[0]}"] = abs(path[-1])
    with (arguments.output / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in rows)
    draw(rows, paths, arguments.output / "figure.png")
    return conclude(arguments, found)


def _worst(rows: list[dict[str, float]], name: str) -> float:
    return max(abs(row[name] - math.copysign(1, row["t"])) for row in rows if abs(row["t"]) >= 0.5)


def draw(rows: list[dict[str, float]], paths: dict[str, list[float]], file: Path) -> None:
    """Values, sizes of gradients, and the training of t."""
    t = [row["t"] for row in rows if row["t"] > 0]
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.8), layout="constrained")
    fine = torch.linspace(0.01, 2, 200, dtype=torch.float64)
    left.plot(fine, fine, color="0.6", label="W₁ = |t|")
    middle.plot(fine, torch.ones_like(fine), color="0.6", label="W₁: 1")
    for marker, name, label in (("o", "plan", "exact plan"), ("x", "dual", "semi-discrete")):
        left.plot(t, [row[name] for row in rows if row["t"] > 0], marker, color="C0", label=f"W₁, {label}")
        middle.plot(t, [abs(row[f"{name}_gradient"]) for row in rows if row["t"] > 0], marker, color="C0")
    for sigma, style in zip(THICKNESS, ("-", "--", ":"), strict=True):
        js = [with_gradient(float(x), sigma) for x in fine]
        left.plot(fine, [value for value, _ in js], style, color="C1", label=f"JS, σ = {sigma}")
        middle.plot(fine, [abs(slope) for _, slope in js], style, color="C1", label=f"JS, σ = {sigma}")
        left.plot(fine, fine**2 / (2 * sigma**2), style, color="C3", label=f"KL, σ = {sigma}")
        middle.plot(fine, fine / sigma**2, style, color="C3", label=f"KL, σ = {sigma}")
    left.axhline(math.log(2), color="C1", lw=0.6)
    left.annotate("log 2", (1.75, math.log(2) + 0.04), color="C1")
    left.set(xlabel="distance t of the lines", ylabel="divergence", ylim=(0, 2.2), title="Value")
    middle.set(xlabel="distance t of the lines", yscale="log", ylim=(1e-8, 1e4), title="Size of the gradient in t")
    figure.legend(*left.get_legend_handles_labels(), fontsize=9, loc="outside lower center", ncols=5)
    for name, path in paths.items():
        right.plot(path, label=name)
    right.axhline(0, color="0.6", lw=0.8)
    right.set(xlabel="step of the generator", ylabel="t", title="Training t from 2 under W₁")
    right.legend()
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
