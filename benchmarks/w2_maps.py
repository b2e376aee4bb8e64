"""Accuracy of neural W₂ maps on pairs whose optimal map is known.

    python benchmarks/w2_maps.py [--dims 2 8] [--pairs gaussian lse] [--methods linear maxmin icnn] [--seeds 0 1 2]
    python benchmarks/w2_maps.py --quick

Pairs (a seed draws everything): "gaussian", two Gaussians, whose map is Gelbrich's; "lse", P = N(0, I) and Q = T*#P
with T* the gradient of ½λ‖x‖² + log Σ_k exp(½(x − a_k)ᵀB_k(x − a_k) + o_k), which is convex, so that T* is optimal. One
setting serves all pairs and dimensions: networks, batch, steps and rates are the same. "linear" is the map between the
Gaussians of the same moments, near which both methods start.

L2-UVP = 100 E‖T̂ − T*‖² / Var(Q), in %; cos = ⟨T̂ − id, T* − id⟩ / norms in L²(P); W₂² error = |value / W₂² − 1|, in %,
both on fresh samples; inverse = L2-UVP of the inverse map, 100 E‖Ŝ(T*(x)) − x‖² / Var(P). CPU s are those of `fit`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ot_gen import (
    ICNN,
    MLP,
    BrenierPotential,
    Displacement,
    DualSolver,
    Measure,
    Paraboloid,
    Pushforward,
    SquaredEuclidean,
    fit,
    linear_decay,
    standard_gaussian,
)

STEPS, BATCH, TEST = 1000, 512, 2**15
QUADRATICS, STRONG_CONVEXITY = 20, 0.1


class Affine(nn.Module):
    """x -> (x − p)A + q with A symmetric."""

    def __init__(self, matrix: Tensor, p: Tensor, q: Tensor) -> None:
        super().__init__()
        for name, value in (("matrix", matrix), ("p", p), ("q", q)):
            self.register_buffer(name, value)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.p) @ self.matrix + self.q


class LogSumExpGradient(nn.Module):
    """T*(x) = λx + Σ_k w_k(x) B_k(x − a_k), w = softmax_k(½(x − a_k)ᵀB_k(x − a_k) + o_k).

    a_k ~ N(0, I), o_k ~ N(0, 1), B_k with uniform eigenvectors and eigenvalues ~ U[0.05, 1.55].
    """

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        axes = torch.linalg.qr(torch.randn(QUADRATICS, dim, dim, generator=generator)).Q
        curvatures = 0.05 + 1.5 * torch.rand(QUADRATICS, 1, dim, generator=generator)
        self.register_buffer("matrices", (axes * curvatures) @ axes.mT)
        self.register_buffer("centres", torch.randn(QUADRATICS, dim, generator=generator))
        self.register_buffer("offsets", torch.randn(QUADRATICS, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        away = x.unsqueeze(1) - self.centres
        slopes = torch.einsum("kij,nkj->nki", self.matrices, away)
        weights = (0.5 * (away * slopes).sum(dim=2) + self.offsets).softmax(dim=1)
        return STRONG_CONVEXITY * x + torch.einsum("nk,nki->ni", weights, slopes)


class Composed(nn.Module):
    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


class Pair(NamedTuple):
    """μ and ν = map#μ with map optimal for ‖x − y‖²."""

    mu: Measure
    nu: Measure
    map: nn.Module


def random_spd(dim: int, generator: torch.Generator) -> Tensor:
    """A random symmetric matrix with eigenvalues between 0.2 and 2."""
    axes = torch.linalg.qr(torch.randn(dim, dim, generator=generator)).Q
    return (axes * (0.2 + 1.8 * torch.rand(dim, generator=generator))) @ axes.T


def gaussian_pair(dim: int, seed: int) -> Pair:
    """N(p, L²) and its image under the symmetric positive A: every such A is optimal, and the image N(q, A L² A)."""
    generator = torch.Generator().manual_seed(seed)
    root, matrix = random_spd(dim, generator), random_spd(dim, generator)
    p, q = torch.randn(2, dim, generator=generator)
    base, zero = standard_gaussian(dim), torch.zeros(dim)
    first, second = Affine(root, zero, p), Affine(matrix, p, q)
    return Pair(Pushforward(first, base), Pushforward(Composed(first, second), base), second)


def lse_pair(dim: int, seed: int) -> Pair:
    """N(0, I) and its image under `LogSumExpGradient`."""
    optimal = LogSumExpGradient(dim, torch.Generator().manual_seed(seed))
    base = standard_gaussian(dim)
    return Pair(Pushforward(nn.Identity(), base), Pushforward(optimal, base), optimal)


PAIRS = {"gaussian": gaussian_pair, "lse": lse_pair}


def maxmin(dim: int) -> BrenierPotential:
    hidden = (128, 128, 128)
    mover = Displacement(MLP(dim, dim, hidden, activation=nn.SiLU))
    return BrenierPotential(Paraboloid(MLP(dim, 1, hidden, activation=nn.SiLU)), mover)


def icnn(dim: int) -> BrenierPotential:
    mover = Displacement(MLP(dim, dim, (128, 128, 128), activation=nn.SiLU))
    return BrenierPotential(ICNN(dim), mover, lr=5e-2)


def linear(dim: int) -> BrenierPotential:
    return BrenierPotential(Paraboloid(Zero(1)), Displacement(Zero(dim)))


class Zero(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        return 0 * x[:, :1].expand(-1, self.width)


METHODS = {"linear": linear, "maxmin": maxmin, "icnn": icnn}


class Score(NamedTuple):
    uvp: float
    cos: float
    error: float
    inverse: float
    seconds: float


def score(potential: BrenierPotential, pair: Pair, seconds: float) -> Score:
    with torch.random.fork_rng():
        torch.manual_seed(12345)
        x, y = pair.mu.sample(TEST), pair.nu.sample(TEST)
    image = pair.map(x)
    found, back = potential.map(x), potential.inverse_map(image)

    def share(error: Tensor, law: Tensor) -> float:
        return 100 * float(error.square().sum(dim=1).mean() / law.var(dim=0).sum())

    moved, truly = found - x, image - x
    with torch.no_grad():
        value = float(potential(x).mean() + potential.conjugate_mean(x, y))
    return Score(
        share(found - image, image),
        float((moved * truly).sum() / (moved.norm() * truly.norm())),
        100 * abs(value / float(truly.square().sum(dim=1).mean()) - 1),
        share(back - x, x),
        seconds,
    )


def run(pair: Pair, method: str, seed: int, steps: int) -> Score:
    torch.manual_seed(seed)
    potential = METHODS[method](pair.mu.dim)
    solver = DualSolver(SquaredEuclidean(), potential, inner_steps=1)
    began = time.process_time()
    fit(pair.mu, pair.nu, solver, steps=0 if method == "linear" else steps, batch_size=BATCH, schedule=linear_decay)
    return score(potential, pair, time.process_time() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dims", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=list(PAIRS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--quick", action="store_true", help="one short run of each, to see that all works")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.dims, arguments.seeds, arguments.steps = [2], [0], 50
    torch.set_num_threads(1)
    print(
        f"torch {torch.__version__}, 1 thread, {arguments.steps} steps of batch {BATCH}, seeds {arguments.seeds}; means"
    )
    print("\n| pair | D | method | L2-UVP % (worst) | cos | W₂² error % | inverse % | CPU s |")
    print("|---|---|---|---|---|---|---|---|")
    for name in arguments.pairs:
        for dim in arguments.dims:
            for method in arguments.methods:
                runs = [run(PAIRS[name](dim, seed), method, seed, arguments.steps) for seed in arguments.seeds]
                mean = Score(*(statistics.mean(column) for column in zip(*runs, strict=True)))
                worst = max(one.uvp for one in runs)
                print(
                    f"| {name} | {dim} | {method} | {mean.uvp:.3f} ({worst:.3f}) | {mean.cos:.4f} | {mean.error:.2f} "
                    f"| {mean.inverse:.3f} | {mean.seconds:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
