"""Accuracy of entropic plans on pairs whose plan is known: `MixturePotential` beside Sinkhorn's plan between samples.

    python benchmarks/mixture_potential.py [--dims 2 16 64] [--epsilons 0.1 1 10] [--kinds round rotated]
                                           [--seeds 0 1 2]
    python benchmarks/mixture_potential.py --quick

Pairs, as in Gushchin et al., 2023, https://arxiv.org/abs/2306.10161: μ = N(0, I), and ν the law of y for x ~ μ and y
drawn from a random mixture's plan, which then is the entropic plan of μ and ν. Five components, centres r_k uniform on
the sphere of radius 5. "round": S_k = I. "rotated": S_k with uniform eigenvectors and eigenvalues ~ U[0.2, 2]. ε is that
of the cost ‖x − y‖², without ½: the ε of the cost ½‖x − y‖² is half of it. ν is given as 100,000 samples.

cBW₂²-UVP = 100 E_x BW₂²(π̂(·|x), π(·|x)) / (½ Var ν), in %: the Bures-Wasserstein distance of the conditional moments.
"independent" has π̂(·|x) = ν. "Sinkhorn" is the entropic plan between samples of each law, `sinkhorn_plan` of this
package, and OTT-JAX's where it is installed. Its conditional law at a new x is Σ_j p_j(x) δ_{y_j} with
p ∝ exp((h̃_j − ‖x − y_j‖²) / ε). CPU s are those of `fit`, or of the plan. One setting serves all rows.
"""

from __future__ import annotations

import statistics
import time
from typing import NamedTuple

import torch
from torch import Tensor

from ot_gen import (
    DualSolver,
    Empirical,
    Measure,
    MixturePotential,
    Pushforward,
    SchrodingerBridge,
    SquaredEuclidean,
    fit,
    linear_decay,
    standard_gaussian,
)

STEPS, BATCH, SAMPLES, TEST, COMPONENTS, RADIUS = 1200, 512, 100_000, 500, 5, 5.0
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


def train(
    truth: Pair, epsilon: float, seed: int, steps: int = STEPS, batch: int = BATCH, **options: float
) -> tuple[SchrodingerBridge, float]:
    """The learned plan and its CPU seconds."""
    torch.manual_seed(seed)
    potential = MixturePotential(epsilon, **options)
    began = time.process_time()
    solver = DualSolver(SquaredEuclidean(), potential, inner_steps=1)
    fit(truth.mu, truth.nu, solver, steps=steps, batch_size=batch, schedule=linear_decay)
    return potential.bridge(), time.process_time() - began
