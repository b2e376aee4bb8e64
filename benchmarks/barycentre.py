"""Barycentres against known answers and POT, in one run.

    python benchmarks/barycentre.py [--dims 2 16 64] [--seeds 0 1 2] [--parts gaussian clouds grid]

One thread, CPU seconds, medians over seeds with their range; ratios are of POT's seconds to ours.

    gaussian   three Gaussian laws N(m_k, R_k²), given as samplers; R_k has random axes and logarithms of eigenvalues
               ~ U[-1, 1], λ = (.5, .3, .2). error = (‖m − m*‖² + W₂²(N(0, S), N(0, S*))) / tr S*, in %: W₂² between the
               Gaussians with the moments of the result, on 200,000 of its samples or on its particles, and the closed
               form, relative to the variance of that. "default" is barycentre(laws, λ, cost): it begins at the
               Gaussian barycentre of sampled moments, and training must not leave it. "linear" is trained from N(0, I)
               with nothing but `MatchedPlanCoupling`, "plain" the same with `PlanCoupling`, whose plans between
               batches are biased. POT: `free_support_barycenter`, 10 iterations, from 1,000 samples of each law to as
               many particles.
    clouds     three clouds of 500 points in the plane. value = Σ λ_k W₂²(μ, ν_k), by exact plans; gap = the bracket's.
    grid       three histograms on a 16 x 16 grid: the linear programme, against `ot.lp.barycenter` (HiGHS on all of its
               columns), and at epsilon = 1e-2 of the largest cost against `ot.bregman.barycenter`. excess = value over
               the least one, in %.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import ot
import torch
from torch import Tensor, nn

from ot_gen import (
    Empirical,
    MatchedPlanCoupling,
    Measures,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    SumSolver,
    barycentre,
    exact_plan,
    fit,
    linear_decay,
    standard_gaussian,
)
from ot_gen.execution import adam
from ot_gen.transport import gaussian_barycentre, gaussian_maps

WEIGHTS = torch.tensor([0.5, 0.3, 0.2])
COST = SquaredEuclidean()
PARTICLES = 1000


class Affine(nn.Module):
    def __init__(self, shift: Tensor, root: Tensor) -> None:
        super().__init__()
        self.register_buffer("shift", shift)
        self.register_buffer("root", root)

    def forward(self, z: Tensor) -> Tensor:
        return self.shift + z @ self.root


def random_root(dim: int, generator: torch.Generator) -> Tensor:
    axes = torch.linalg.qr(torch.randn(dim, dim, generator=generator)).Q
    root = (axes * (2 * torch.rand(dim, generator=generator) - 1).exp()) @ axes.T
    return (root + root.T) / 2


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = run()
    return result, time.process_time() - began


def told(name: str, seconds: list[float], peer: list[float] | None = None, **figures: list[float]) -> None:
    """One row: medians, with the range."""
    parts = [f"{key} {statistics.median(v):.4g} [{min(v):.4g}, {max(v):.4g}]" for key, v in figures.items()]
    row = f"{name:28} {'   '.join(parts)}   CPU s {statistics.median(seconds):.3g}"
    if peer is not None:
        ratios = [p / s for p, s in zip(peer, seconds, strict=True)]
        row += f"   POT/ours {statistics.median(ratios):.3g} [{min(ratios):.3g}, {max(ratios):.3g}]"
    print(row, flush=True)


def trained(laws: Sequence[Pushforward], coupling: type, dim: int, steps: int) -> Pushforward:
    """A linear generator from N(0, I), by `fit` alone."""
    mu = Pushforward(nn.Linear(dim, dim), standard_gaussian(dim))
    nn.init.eye_(mu.map.weight)
    nn.init.zeros_(mu.map.bias)
    solver = SumSolver([PrimalSolver(COST, coupling(exact_plan)) for _ in laws])
    rate = partial(adam, lr=2e-2)
    fit(mu, Measures(laws, WEIGHTS), solver, steps=steps, batch_size=256, schedule=linear_decay, optimizer=rate)
    return mu


def gaussian(dim: int, seeds: Sequence[int]) -> None:
    rows: dict[str, tuple[list[float], list[float]]] = {}
    converged = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        roots = [random_root(dim, generator) for _ in WEIGHTS]
        shifts = [torch.randn(dim, generator=generator) for _ in WEIGHTS]
        laws = [Pushforward(Affine(m, R), standard_gaussian(dim)) for m, R in zip(shifts, roots, strict=True)]
        squares = [R.double() @ R.double() for R in roots]
        S = gaussian_barycentre(squares, WEIGHTS).covariance
        mean = sum(w * m.double() for w, m in zip(WEIGHTS, shifts, strict=True))

        def error(x: Tensor, S: Tensor = S, mean: Any = mean) -> float:
            x = x.double()
            C = torch.cov(x.T)
            distance = (x.mean(dim=0) - mean).square().sum() + S.trace() + C.trace() - 2 * gaussian_maps(S, C).overlap
            return 100 * float(distance / S.trace())

        def note(name: str, x: Tensor, seconds: float) -> None:
            errors, spent = rows.setdefault(name, ([], []))
            errors.append(error(x))
            spent.append(seconds)

        torch.manual_seed(seed)
        result, seconds = timed(lambda laws=laws: barycentre(laws, WEIGHTS, COST))
        converged.append(result.converged)
        note("default", result.mu.sample(200_000), seconds)
        for name, coupling in (("linear", MatchedPlanCoupling), ("plain", PlanCoupling)):
            mu, seconds = timed(lambda laws=laws, coupling=coupling: trained(laws, coupling, dim, 150))
            note(name, mu.sample(200_000), seconds)
        samples = [law.sample(PARTICLES).double().numpy() for law in laws]
        start = torch.randn(PARTICLES, dim).double().numpy()
        equal = [np.full(PARTICLES, 1 / PARTICLES)] * len(laws)
        x, seconds = timed(
            lambda samples=samples, start=start, equal=equal: ot.lp.free_support_barycenter(
                samples, equal, start, weights=WEIGHTS.double().numpy(), numItermax=10
            )
        )
        note("POT", torch.from_numpy(x), seconds)
    for name, (errors, spent) in rows.items():
        told(f"gaussian d={dim} {name}", spent, rows["POT"][1] if name != "POT" else None, error=errors)
    print(f"gaussian d={dim} default converged: {sum(converged)} of {len(converged)}", flush=True)


def clouds(seeds: Sequence[int]) -> None:
    n, ours, peers, values, others, gaps = 500, [], [], [], [], []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        points = [torch.randn(n, 2, generator=generator).double() @ random_root(2, generator).double() for _ in WEIGHTS]
        points = [y + torch.randn(1, 2, generator=generator) + 0.5 * (3 * y).sin() for y in points]
        result, seconds = timed(lambda points=points: barycentre([Empirical(y) for y in points], WEIGHTS, COST))
        ours.append(seconds)
        values.append(result.upper)
        gaps.append(100 * result.gap)
        equal, start = [np.full(n, 1 / n)] * len(points), points[0].numpy()
        x, seconds = timed(
            lambda points=points, equal=equal, start=start, steps=result.steps: ot.lp.free_support_barycenter(
                [y.numpy() for y in points], equal, start, weights=WEIGHTS.double().numpy(), numItermax=steps
            )
        )
        peers.append(seconds)
        plans = [exact_plan(COST.matrix(torch.from_numpy(x), y)).value for y in points]
        others.append(float(sum(w * v for w, v in zip(WEIGHTS, plans, strict=True))))
    told("clouds ours", ours, peers, value=values, gap=gaps)
    told("clouds POT", peers, value=others)


def grid(seeds: Sequence[int], size: int = 16) -> None:
    axis = torch.arange(size).double()
    support = torch.cartesian_prod(axis, axis)
    C = COST.matrix(support, support)
    rows: dict[str, tuple[list[float], list[float]]] = {}
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        histograms = []
        for _ in WEIGHTS:
            centres = size * torch.rand(3, 2, generator=generator).double()
            h = (-COST.matrix(support, centres) / 4).exp().sum(dim=1)
            histograms.append(h.where(h > 0.02, 0.0) / h.where(h > 0.02, 0.0).sum())
        laws = [Empirical(support[h > 0], h[h > 0]) for h in histograms]
        A, M, w, epsilon = (
            torch.stack(histograms, 1).numpy(),
            C.numpy(),
            WEIGHTS.double().numpy(),
            0.01 * float(C.max()),
        )

        def value(a: Tensor, histograms: list[Tensor] = histograms) -> float:
            plans = [exact_plan(C, a.clamp_min(0) / a.clamp_min(0).sum(), h).value for h in histograms]
            return float(sum(w * v for w, v in zip(WEIGHTS, plans, strict=True)))

        runs: dict[str, Callable[[], Any]] = {
            "exact, ours": lambda laws=laws: barycentre(laws, WEIGHTS, COST, support=support).masses,
            "exact, POT": lambda A=A, M=M, w=w: torch.from_numpy(ot.lp.barycenter(A, M, w, solver="highs-ds")),
            "smooth, ours": lambda laws=laws, e=epsilon: (
                barycentre(laws, WEIGHTS, COST, support=support, epsilon=e, tol=1e-4).masses
            ),
            "smooth, POT": lambda A=A, M=M, w=w, e=epsilon: torch.from_numpy(
                ot.bregman.barycenter(A, M, e, weights=w, stopThr=1e-4)
            ),
        }
        for name, run in runs.items():
            a, seconds = timed(run)
            values, spent = rows.setdefault(name, ([], []))
            values.append(value(a))
            spent.append(seconds)
    least = rows["exact, POT"][0]
    for name, (values, spent) in rows.items():
        excess = [100 * (v / best - 1) for v, best in zip(values, least, strict=True)]
        peer = rows[name.replace("ours", "POT")][1] if "ours" in name else None
        told(f"grid {name}", spent, peer, excess=excess)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dims", nargs="*", type=int, default=[2, 16, 64])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--parts", nargs="*", default=["gaussian", "clouds", "grid"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if "gaussian" in arguments.parts:
        for dim in arguments.dims:
            gaussian(dim, arguments.seeds)
    if "clouds" in arguments.parts:
        clouds(arguments.seeds)
    if "grid" in arguments.parts:
        grid(arguments.seeds)


if __name__ == "__main__":
    main()
