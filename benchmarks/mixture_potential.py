"""Accuracy of entropic plans on pairs whose plan is known: `MixturePotential` beside Sinkhorn's plan between samples.

    python benchmarks/mixture_potential.py [--dims 2 16 64] [--epsilons 0.1 1 10] [--kinds round rotated]
                                           [--methods diagonal full] [--seeds 0 1 2]
    python benchmarks/mixture_potential.py --quick

Pairs, as in Gushchin et al., 2023, https://arxiv.org/abs/2306.10161: μ = N(0, I), and ν the law of y for x ~ μ and y
drawn from a random mixture's plan, which then is the entropic plan of μ and ν. Five components, centres r_k uniform on
the sphere of radius 5. "round": S_k = I. "rotated": S_k with uniform eigenvectors and eigenvalues ~ U[0.2, 2]. ε is
that of the cost ‖x − y‖², without ½: the ε of the cost ½‖x − y‖² is half of it. ν is given as 100,000 samples.

cBW₂²-UVP = 100 E_x BW₂²(π̂(·|x), π(·|x)) / (½ Var ν), in %: the Bures-Wasserstein distance of the conditional moments.
"independent" has π̂(·|x) = ν. With --peer, "OTT-JAX" is the entropic plan between 2,000 samples of each law, whose
conditional law at a new x is Σ_j p_j(x) δ_{y_j}, p ∝ exp((h̃_j − ‖x − y_j‖²) / ε), on seed 0 (pip install
ott-jax==0.6.0). CPU s are those of `fit`, or of the second solve, which compiles nothing. Each
method has one setting for all rows but the number of steps.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import NamedTuple

import torch
from torch import Tensor

from ot_gen import (
    DiagonalMatrices,
    DualSolver,
    Empirical,
    FullMatrices,
    Measure,
    MixturePotential,
    Pushforward,
    SchrodingerBridge,
    SquaredEuclidean,
    fit,
    linear_decay,
    standard_gaussian,
)

BATCH, SAMPLES, TEST, DISCRETE, COMPONENTS, RADIUS = 512, 100_000, 500, 2000, 5, 5.0
KINDS = ("round", "rotated")


class Pair(NamedTuple):
    """μ, samples of ν and the plan between both."""

    mu: Measure
    nu: Empirical
    plan: SchrodingerBridge


def random_plan(kind: str, dim: int, epsilon: float, seed: int) -> SchrodingerBridge:
    """A plan whose potential is a random mixture."""
    generator = torch.Generator().manual_seed(1000 * dim + seed)
    centres = torch.nn.functional.normalize(torch.randn(COMPONENTS, dim, generator=generator), dim=1)
    axes = torch.linalg.qr(torch.randn(COMPONENTS, dim, dim, generator=generator)).Q
    spectra = 0.2 + 1.8 * torch.rand(COMPONENTS, 1, dim, generator=generator)
    matrices = (axes * spectra) @ axes.mT if kind == "rotated" else torch.eye(dim).expand(COMPONENTS, dim, dim)
    return SchrodingerBridge(torch.zeros(COMPONENTS), RADIUS * centres, matrices, epsilon)


def pair(kind: str, dim: int, epsilon: float, seed: int, samples: int = SAMPLES) -> Pair:
    mu, plan = standard_gaussian(dim), random_plan(kind, dim, epsilon, seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Pair(mu, Empirical(Pushforward(plan, mu).sample(samples)), plan)


def moments(weights: Tensor, means: Tensor, covariances: Tensor | float) -> tuple[Tensor, Tensor]:
    """Mean (n, d) and covariance (n, d, d) of mixtures with weights (n, K) and means (n, K, d) or (K, d)."""
    mean = weights @ means if means.ndim == 2 else torch.einsum("nk,nki->ni", weights, means)
    away = means - mean.unsqueeze(1)
    between = (weights.unsqueeze(2) * away).mT @ away
    return mean, between + (torch.einsum("nk,kij->nij", weights, covariances) if isinstance(covariances, Tensor) else 0)


def plan_moments(plan: SchrodingerBridge, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of π(·|x), in closed form."""
    law = plan(x)
    return moments(law.mixture_distribution.probs, law.component_distribution.mean, plan.factors @ plan.factors.mT)


def root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(0).sqrt().unsqueeze(-2)) @ vectors.mT


def uvp(estimate: tuple[Tensor, Tensor], truth: tuple[Tensor, Tensor], nu: Empirical) -> float:
    """cBW₂²-UVP, in %, of conditional moments (n, d) and (n, d, d)."""
    (mean, covariance), (target, true) = ([part.double() for part in side] for side in (estimate, truth))
    half = root(true)
    traces = (covariance + true - 2 * root(half @ covariance @ half)).diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    distance = (mean - target).square().sum(dim=-1) + traces
    return 100 * float(distance.mean() / (0.5 * nu.atoms.var(dim=0).sum()))


def score(plan: SchrodingerBridge, truth: Pair, points: int = TEST) -> float:
    """cBW₂²-UVP of a plan, in %, at fresh samples of μ."""
    with torch.random.fork_rng():
        torch.manual_seed(12345)
        parts = truth.mu.sample(points).split(100)
    values = [uvp(plan_moments(plan, x), plan_moments(truth.plan, x), truth.nu) for x in parts]
    return statistics.mean(values)


METHODS = {"diagonal": (DiagonalMatrices, 50), "full": (FullMatrices, 10)}


def train(truth: Pair, method: str, epsilon: float, seed: int, steps: int | None) -> tuple[SchrodingerBridge, float]:
    """The learned plan and its CPU seconds."""
    torch.manual_seed(seed)
    family, components = METHODS[method]
    steps = steps or (1200 if method == "full" and truth.mu.dim > 32 else 2000)  # about ten seconds at most
    potential = MixturePotential(epsilon, components, family())
    began = time.process_time()
    solver = DualSolver(SquaredEuclidean(), potential, inner_steps=1)
    fit(truth.mu, truth.nu, solver, steps=steps, batch_size=BATCH, schedule=linear_decay)
    return potential.bridge(), time.process_time() - began


def independent(truth: Pair, points: int = TEST) -> float:
    """cBW₂²-UVP, in %, of the plan that draws y without a look at x."""
    with torch.random.fork_rng():
        torch.manual_seed(12345)
        x = truth.mu.sample(points)
    y = truth.nu.atoms
    law = y.mean(dim=0).expand(len(x), -1), torch.cov(y.T).expand(len(x), -1, -1)
    return uvp(law, plan_moments(truth.plan, x), truth.nu)


def ott(truth: Pair, epsilon: float, points: int = TEST) -> tuple[float, float]:
    """cBW₂²-UVP, in %, of the plan between samples by OTT-JAX, and its CPU seconds."""
    from ott.geometry import pointcloud
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn

    x, y = truth.mu.sample(DISCRETE), truth.nu.atoms[:DISCRETE]
    for _ in range(2):
        began = time.process_time()
        geometry = pointcloud.PointCloud(x.numpy(), y.numpy(), epsilon=epsilon)
        solve = sinkhorn.Sinkhorn(threshold=1e-2, max_iterations=1000)
        h_tilde = torch.tensor(solve(linear_problem.LinearProblem(geometry)).g.tolist())
        seconds = time.process_time() - began
    with torch.random.fork_rng():
        torch.manual_seed(12345)
        x = truth.mu.sample(points)
    weights = ((h_tilde - SquaredEuclidean().matrix(x, y)) / epsilon).softmax(dim=1)
    values = [
        uvp(discrete_moments(part, y), plan_moments(truth.plan, at), truth.nu)
        for part, at in zip(weights.split(100), x.split(100), strict=True)
    ]
    return statistics.mean(values), seconds


def discrete_moments(weights: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (n, d) and covariance (n, d, d) of Σ_j p_j δ_{y_j}, weights p (n, m)."""
    mean = weights @ y
    second = torch.stack([(one[:, None] * y).T @ y for one in weights])
    return mean, second - mean.unsqueeze(2) * mean.unsqueeze(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dims", type=int, nargs="+", default=[2, 16, 64])
    parser.add_argument("--epsilons", type=float, nargs="+", default=[0.1, 1.0, 10.0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--steps", type=int, help="of fit; None: 2000, and 1200 for full matrices in d > 32")
    parser.add_argument("--peer", action="store_true", help="OTT-JAX's plan between samples in the same run")
    parser.add_argument("--quick", action="store_true", help="one short run, to see that all works")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.dims, arguments.seeds, arguments.epsilons, arguments.steps = [2], [0], [1.0], 20
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, 1 thread, batches of {BATCH}, seeds {arguments.seeds}")
    print(
        "\n| pair | d | ε | matrices | cBW₂²-UVP %, mean (min to max) | CPU s, worst | independent | OTT-JAX (CPU s) |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for kind in arguments.kinds:
        for dim in arguments.dims:
            for epsilon in arguments.epsilons:
                pairs = [pair(kind, dim, epsilon, seed) for seed in arguments.seeds]
                alone = independent(pairs[0])
                peer = "{:.2f} ({:.1f})".format(*ott(pairs[0], epsilon)) if arguments.peer else ""
                for method in arguments.methods:
                    runs = [
                        train(truth, method, epsilon, seed, arguments.steps)
                        for truth, seed in zip(pairs, arguments.seeds, strict=True)
                    ]
                    scores = [score(plan, truth) for truth, (plan, _) in zip(pairs, runs, strict=True)]
                    print(
                        f"| {kind} | {dim} | {epsilon:g} | {method} | {statistics.mean(scores):.3f} "
                        f"({min(scores):.3f} to {max(scores):.3f}) | {max(seconds for _, seconds in runs):.1f} "
                        f"| {alone:.0f} | {peer} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
