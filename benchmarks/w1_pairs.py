"""Critics on pairs of laws whose Kantorovich potential is known: gradients, W₁ and slopes, as a markdown table.

    python benchmarks/w1_pairs.py [--dims 8 16 32 64] [--pieces 16] [--flat-dim 0] [--groups 1] [--order pq]
                                  [--methods anchors gp lp ...] [--seeds 0 1 2] [--threads 1]

Q is uniform on a box and P is Q moved along the rays of u = min_n dist(x, F_n) + b_n, with F_n points (--flat-dim 0:
the MinFunnel pairs of https://arxiv.org/abs/2206.07767) or random flats, or of a maximum of --groups such minima. In
the order pq the model is P and the truth h = −u; in the order qp the model is Q and the truth h = u. Each method has
one setting for all pairs.

cos, L2: mean cosine and squared distance of ∇h and the true gradient at 4,096 points of P (far: those farther than 0.1
from their flat); dev: 100 (Ŵ₁ − W₁) / W₁ with Ŵ₁ = E_P h − E_Q h over 65,536 fresh pairs; objective: the same
of E h + E h̃ in batches of 512, which differs from it only where h̃ is read off the batch; slope: the largest seen, of
secants and of gradients at P, Q and between; CPU: seconds of `fit`, the sampling of the pair included.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Adam

from ot_gen import (
    MLP,
    AnchorCritic,
    BatchCritic,
    Critic,
    DualSolver,
    Euclidean,
    GradientPenalty,
    OneSidedPenalty,
    Orthogonal,
    Potential,
    SpectralNorm,
    WeightClip,
    fit,
    linear_decay,
)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from problems import Rays


def net(dim: int) -> nn.Module:
    width = max(2 * dim, 128)
    return MLP(dim, 1, hidden=(width, width))


METHODS: dict[str, tuple[Callable[[int], Potential], int]] = {  # d -> potential, steps
    "clip": (lambda d: Critic(net(d), WeightClip(0.04)), 2500),
    "gp": (lambda d: Critic(net(d), GradientPenalty()), 2500),
    "lp": (lambda d: Critic(net(d), OneSidedPenalty()), 2500),
    "sn": (lambda d: Critic(net(d), SpectralNorm()), 2500),
    "orthogonal": (lambda d: Critic(net(d), Orthogonal()), 2500),
    "batch": (lambda d: BatchCritic(net(d)), 2500),
    "anchors": (lambda d: AnchorCritic(), 1500),
}


class Score(NamedTuple):
    cos: float
    far: float
    l2: float
    dev: float
    objective: float
    slope: float
    cpu: float


def train(pair: Rays, method: str, seed: int, reverse: bool) -> tuple[Potential, float]:
    torch.manual_seed(seed)
    build, steps = METHODS[method]
    potential = build(pair.dim)
    mu, nu = (pair.q, pair.p) if reverse else (pair.p, pair.q)
    solver = DualSolver(Euclidean(), potential, inner_steps=1)
    began = time.process_time()
    fit(mu, nu, solver, steps=steps, batch_size=512, optimizer=partial(Adam, lr=1e-3), schedule=linear_decay)
    return potential.eval(), time.process_time() - began


def score(pair: Rays, h: Potential, cpu: float, reverse: bool) -> Score:
    torch.manual_seed(12345)
    sign = 1 if reverse else -1
    p, q = (points.float() for points in pair.sample_pairs(4096))
    field, truth = gradient(h, p), sign * pair.gradient(p).float()
    cosines = torch.cosine_similarity(field, truth, dim=1)
    far = pair.look(p.double())[2] > 0.1
    estimate, objective, exact = 0.0, 0.0, 0.0
    for _ in range(16):
        a, b = pair.sample_pairs(4096)
        exact += float((a - b).norm(dim=1).mean())
        with torch.no_grad():
            estimate -= sign * float(h(a.float()).mean() - h(b.float()).mean())
            x, y = (b.float(), a.float()) if reverse else (a.float(), b.float())
            for i, j in zip(x.split(512), y.flip(0).split(512), strict=True):  # flipped, so that they are independent
                objective += float(h(i).mean() + h.conjugate_mean(i, j)) / 8
    between = torch.lerp(p, q[torch.randperm(len(q))], torch.rand(len(p), 1))
    slopes = [gradient(h, x).norm(dim=1) for x in (p, q, between)]
    everywhere = torch.cat([p, q, between])
    other = everywhere[torch.randperm(len(everywhere))]
    with torch.no_grad():
        apart = (everywhere - other).norm(dim=1)
        slopes.append(((h(everywhere) - h(other)).abs() / apart)[apart > 0.01])
    return Score(
        float(cosines.mean()),
        float(cosines[far].mean()),
        float((field - truth).square().sum(dim=1).mean()),
        100 * (estimate / exact - 1),
        100 * (objective / exact - 1),
        float(torch.cat(slopes).max()),
        cpu,
    )


def gradient(h: Potential, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(h(x).sum(), x)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dims", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--pieces", type=int, nargs="+", default=[16])
    parser.add_argument("--flat-dim", type=int, default=0)
    parser.add_argument("--groups", type=int, default=1)
    parser.add_argument("--order", choices=("pq", "qp"), default="pq")
    parser.add_argument("--methods", nargs="+", choices=tuple(METHODS), default=["gp", "lp", "orthogonal", "anchors"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    reverse = arguments.order == "qp"
    print(
        f"means over seeds {arguments.seeds}; slope: the largest; flats of dimension {arguments.flat_dim}, "
        f"{arguments.groups} group(s), order {arguments.order}\n"
    )
    print(
        "| D, N | method | cos | cos far | L2 | dev % | mean abs dev % | objective % | slope | CPU s |\n"
        + "|---" * 10
        + "|"
    )
    for dim in arguments.dims:
        for pieces in arguments.pieces:
            for method in arguments.methods:
                found = []
                for seed in arguments.seeds:
                    pair = Rays(dim, pieces, arguments.flat_dim, arguments.groups, seed)
                    potential, cpu = train(pair, method, seed, reverse)
                    found.append(score(pair, potential, cpu, reverse))
                mean = Score(*(statistics.fmean(column) for column in zip(*found, strict=True)))
                off = statistics.fmean(abs(one.dev) for one in found)
                print(
                    f"| {dim}, {pieces} | {method} | {mean.cos:.3f} | {mean.far:.3f} | {mean.l2:.3f} | {mean.dev:.1f} "
                    f"| {off:.1f} | {mean.objective:.1f} | {max(one.slope for one in found):.4f} | {mean.cpu:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
