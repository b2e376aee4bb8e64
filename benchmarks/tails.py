"""Heavy tails and the certificate: how often its interval holds a known W, how often it doubts its level.

    python benchmarks/tails.py [--trials 100] [--threads 1] [--only doubt known]

ν has 20 atoms. On the line W is an integral over the cells of the monotone coupling, taken by quadrature. In the plane
μ and ν are products, and W₂² is the sum of the two lines'. A certificate has 2¹³ samples of a sampler, or
1,000 rows. In the plane a quarter of the trials is run.

doubt: nothing is known of μ. "missed, not doubted" is what must be rare.
known: the same laws, or the same cut off, with a true bound of the support or of a moment. "held" must reach the level.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats
from scipy.optimize import brentq
from torch import Tensor

from ot_gen import Ball, Box, Empirical, Euclidean, MomentBound, SquaredEuclidean, certify

ATOMS = 20
POWERS = {"W₁": 1, "W₂²": 2}
COSTS = {"W₁": Euclidean(), "W₂²": SquaredEuclidean()}
LEVEL = 0.95


class Mixture:
    """A law on the line, Σ_k w_k F_k with F_k of scipy.stats."""

    def __init__(self, *parts: tuple[float, object]) -> None:
        self.parts = parts

    def quantile(self, u: float) -> float:
        if len(self.parts) == 1:
            return float(self.parts[0][1].ppf(u))
        ends = [part.ppf(q) for _, part in self.parts for q in (1e-12, 1 - 1e-12)]
        return brentq(lambda x: sum(w * part.cdf(x) for w, part in self.parts) - u, min(ends), max(ends), xtol=1e-12)

    def sample(self, n: int) -> Tensor:
        u = torch.rand(n, dtype=torch.float64).numpy()
        which = torch.rand(n, dtype=torch.float64).numpy()
        ends = np.cumsum([w for w, _ in self.parts])
        chosen = np.minimum(np.searchsorted(ends, which), len(self.parts) - 1)
        x = np.empty(n)
        for number, (_, part) in enumerate(self.parts):
            x[chosen == number] = part.ppf(u[chosen == number])
        return torch.from_numpy(x).float()[:, None]

    def value(self, y: np.ndarray, power: int) -> float:
        """W of the law and equal masses at the atoms y."""
        y = np.sort(y)
        cuts = [-np.inf, *(self.quantile(j / len(y)) for j in range(1, len(y))), np.inf]
        total = 0.0
        for (low, high), a in zip(pairwise(cuts), y, strict=True):
            for left, right in pairwise([low, min(max(a, low), high), high]):
                for weight, part in self.parts:
                    inside = max(left, part.support()[0]), min(right, part.support()[1])
                    if inside[0] < inside[1]:
                        cost = partial(_cost, atom=a, power=power)
                        total += weight * part.expect(cost, lb=inside[0], ub=inside[1])
        return total


def _cost(x: float, atom: float, power: int) -> float:
    return abs(x - atom) ** power


class Product:
    """Two independent coordinates of one law."""

    def __init__(self, law: Mixture) -> None:
        self.law = law

    def sample(self, n: int) -> Tensor:
        return torch.cat([self.law.sample(n), self.law.sample(n)], dim=1)


def one(part: object) -> Mixture:
    return Mixture((1.0, part))


class Cut(stats.rv_continuous):
    """A law of scipy.stats, given that it lies in an interval."""

    def __init__(self, part: object, low: float, high: float) -> None:
        self.part, self.below, self.mass = part, part.cdf(low), part.cdf(high) - part.cdf(low)
        super().__init__(a=low, b=high)

    def _pdf(self, x: np.ndarray) -> np.ndarray:
        return self.part.pdf(x) / self.mass

    def _cdf(self, x: np.ndarray) -> np.ndarray:
        return (self.part.cdf(x) - self.below) / self.mass

    def _ppf(self, u: np.ndarray) -> np.ndarray:
        return self.part.ppf(self.below + self.mass * u)


LIGHT = {
    "normal": one(stats.norm()),
    "uniform": one(stats.uniform(-2, 4)),
    "two normals": Mixture((0.5, stats.norm(-3)), (0.5, stats.norm(3))),
    "exponential": one(stats.expon()),
    "log-normal(.5)": one(stats.lognorm(0.5)),
    "t(10)": one(stats.t(10)),
}
HEAVY = {
    "t(3)": one(stats.t(3)),
    "t(2.5)": one(stats.t(2.5)),
    "log-normal(1.5)": one(stats.lognorm(1.5)),
    "Pareto(1.5)": one(stats.pareto(1.5)),
    "rare: 5e-4 at 1,000": Mixture((1 - 5e-4, stats.norm()), (5e-4, stats.norm(1000))),
}
IN_THE_PLANE = ("normal", "t(2.5)", "log-normal(1.5)")
INFINITE = {("Pareto(1.5)", "W₂²")}  # W itself


class Problem(NamedTuple):
    name: str
    dim: int
    law: Mixture
    cost: str
    assuming: Ball | Box | MomentBound | None = None


def unknown() -> Iterator[Problem]:
    """Laws of which nothing is said."""
    for name, law in (LIGHT | HEAVY).items():
        for cost in COSTS:
            if (name, cost) not in INFINITE:
                yield Problem(name, 1, law, cost)
        if name in IN_THE_PLANE:
            yield Problem(name, 2, law, "W₂²")


def known() -> Iterator[Problem]:
    """Laws with a true bound."""
    rare = Mixture((1 - 5e-4, Cut(stats.norm(), -5, 5)), (5e-4, stats.uniform(999, 2)))
    for cost in COSTS:
        yield Problem("uniform", 1, LIGHT["uniform"], cost, Box(-2.0, 2.0))
        yield Problem("t(2.5) on [−50, 50]", 1, one(Cut(stats.t(2.5), -50, 50)), cost, Ball(50.0))
        yield Problem("log-normal(1.5) on [0, 200]", 1, one(Cut(stats.lognorm(1.5), 0, 200)), cost, Box(0.0, 200.0))
        yield Problem("rare: 5e-4 at 1,000", 1, rare, cost, Box(-5.0, 1001.0))
    yield Problem("Pareto(1.5) on [1, 1000]", 1, one(Cut(stats.pareto(1.5), 1, 1000)), "W₁", Box(1.0, 1000.0))
    yield Problem("uniform", 2, LIGHT["uniform"], "W₂²", Box(-2.0, 2.0))
    yield Problem("t(2.5) on [−50, 50]", 2, one(Cut(stats.t(2.5), -50, 50)), "W₂²", Box(-50.0, 50.0))
    yield Problem("t(3)", 1, HEAVY["t(3)"], "W₁", MomentBound(2.0, 3.0))
    yield Problem("t(2.5)", 1, HEAVY["t(2.5)"], "W₁", MomentBound(2.0, 5.0))
    yield Problem("Pareto(1.5)", 1, HEAVY["Pareto(1.5)"], "W₁", MomentBound(1.4, 15.0))
    yield Problem("log-normal(1.5)", 1, HEAVY["log-normal(1.5)"], "W₁", MomentBound(2.0, float(np.exp(4.5))))
    yield Problem("t(10)", 1, LIGHT["t(10)"], "W₂²", MomentBound(6.0, float(stats.t(10).moment(6))))
    yield Problem(
        "t(2.5)", 1, HEAVY["t(2.5)"], "W₂²", MomentBound(2.4, float(stats.t(2.5).expect(lambda x: abs(x) ** 2.4)))
    )


def measured(problem: Problem, kind: str, trials: int) -> dict[str, float]:
    torch.manual_seed(0)
    y = torch.randn(ATOMS, 1)
    value = problem.law.value(y[:, 0].double().numpy(), POWERS[problem.cost])
    nu, mu = Empirical(y), problem.law
    if problem.dim == 2:
        nu, mu, value = Empirical(torch.cartesian_prod(y[:, 0], y[:, 0])), Product(problem.law), 2 * value
    counts = dict.fromkeys(("held", "above", "below", "doubted", "silent"), 0)
    widths, began = [], time.process_time()
    for seed in range(trials):
        torch.manual_seed(10_000 + seed)
        given = mu if kind == "sampler" else mu.sample(1000)
        certificate = certify(
            given, nu, COSTS[problem.cost], seed=seed, width=0.05, max_samples=2**13, assuming=problem.assuming
        )
        low, high = certificate.interval
        held = low <= value <= high
        counts["held"] += held
        counts["above"] += low > value
        counts["below"] += high < value
        counts["doubted"] += not certificate.warranted
        counts["silent"] += certificate.warranted and not held
        widths.append(certificate.width)
    return counts | {
        "value": value,
        "width": sorted(widths)[trials // 2],
        "seconds": (time.process_time() - began) / trials,
    }


def table(problems: Callable[[], Iterator[Problem]], trials: int, doubt: bool) -> None:
    last = "doubted | missed, not doubted" if doubt else "assuming"
    print(f"\n| μ | d | | μ given as | W | held | low > W | high < W | {last} | median width | CPU s each |")
    print("|" + " --- |" * (11 if doubt else 10))
    for problem in problems():
        count = trials if problem.dim == 1 else max(1, trials // 4)  # a hundred times the work
        for kind in ("sampler", "rows"):
            told = measured(problem, kind, count)
            words = f"{told['doubted']} | {told['silent']}" if doubt else f"`{problem.assuming}`"
            print(
                f"| {problem.name} | {problem.dim} | {problem.cost} | {kind} | {told['value']:.5g} "
                f"| {told['held']} of {count} | {told['above']} | {told['below']} | {words} "
                f"| {100 * told['width']:.0f} % | {told['seconds']:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=("doubt", "known"), default=("doubt", "known"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if "doubt" in options.only:
        table(unknown, options.trials, doubt=True)
    if "known" in options.only:
        table(known, options.trials, doubt=False)
