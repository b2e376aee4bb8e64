"""Latent geometry against StochMan 0.3.0 and geomstats, in one run: CPU time on one thread, medians, errors.

    python benchmarks/geodesics.py [--parts speed metric surfaces matrix derivatives hole] [--scale 3] [--repeats 3]

StochMan and geomstats are no dependencies: install them beside this package in an environment of its own (`pip install
stochman==0.3.0 geomstats==2.8.0 "numpy<2.4"`); without them our rows are printed alone. StochMan's "default" is
`connecting_geodesic` (5 knots, Adam, 150 steps, 20 points), "careful" its own `geodesic_minimizing_energy` with 16
knots, 1000 steps and 64 points.

speed: pairs of N(0, I) codes of a random MLP 2-256-256-784, tanh and a sigmoid at the end, weights of torch's
initialisation times --scale (1 is nearly flat, 3 bends). Errors are relative excesses of the true length of the curve
returned, in float64, over that of our geodesic with 128 segments and tol = 1e-6. metric: M(z) of 1024 points, against
StochMan's layers with hand-written Jacobians, in turns; geomstats (an `ImmersedSet`, torch backend) goes point by
point, so that its time is that of 8 points times 128. surfaces: excess over closed forms, in float64. matrix: 1225
distances between 50 codes; StochMan's time is that of 100 of them times 12.25. derivatives: exp on the sphere, and
gradients of distances against differences. hole: a horseshoe of codes with an RBF precision, length over the best.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ot_gen import LatentGeometry, RBFPrecision
from ot_gen.geometry import Graph, Spline
from ot_gen.geometry.jets import directional

sys.path.append(str(Path(__file__).parent.parent / "tests" / "geometry"))
from surfaces import CLOSED_FORMS, SPHERE, sphere

STOCHMAN = importlib.util.find_spec("stochman") is not None
GEOMSTATS = importlib.util.find_spec("geomstats") is not None
PAIRS, CAREFUL_PAIRS = 100, 4


def cpu(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """The median CPU time in ms, and the last result."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        result = work()
        times.append(1e3 * (time.process_time() - start))
    return statistics.median(times), result


def row(*cells: object) -> None:
    print(" | ".join(str(cell) for cell in cells), flush=True)


def decoder(k: int, scale: float) -> nn.Sequential:
    """A random MLP k-256-256-784."""
    parts = (nn.Linear(k, 256), nn.Tanh(), nn.Linear(256, 256), nn.Tanh(), nn.Linear(256, 784), nn.Sigmoid())
    net = nn.Sequential(*parts).requires_grad_(False)
    for layer in net[::2]:
        layer.weight *= scale
    return net


def stochman_manifold(f: Callable[[Tensor], Tensor]) -> Any:
    """The map as StochMan wants it; geodesics need no Jacobian."""
    from stochman.manifold import EmbeddedManifold

    class Surface(EmbeddedManifold):
        def embed(self, points: Tensor, jacobian: bool = False) -> Tensor:
            return f(points.reshape(-1, points.shape[-1])).reshape(*points.shape[:-1], -1)

    return Surface()


def stochman_default(f: Callable[[Tensor], Tensor], a: Tensor, b: Tensor) -> Any:
    return stochman_manifold(f).connecting_geodesic(a, b)[0]


def stochman_careful(f: Callable[[Tensor], Tensor], a: Tensor, b: Tensor) -> Any:
    from stochman.curves import CubicSpline
    from stochman.geodesic import geodesic_minimizing_energy

    curve = CubicSpline(a, b, num_nodes=16)
    geodesic_minimizing_energy(curve, stochman_manifold(f), max_iter=1000, eval_grid=64)
    return curve


def geomstats_metric(f: Callable[[Tensor], Tensor], k: int) -> Callable[[Tensor], Tensor]:
    """M(z) of the map as an immersion."""
    os.environ["GEOMSTATS_BACKEND"] = "pytorch"
    from geomstats.geometry.base import ImmersedSet
    from geomstats.geometry.euclidean import Euclidean

    torch.set_default_dtype(torch.float32)  # its import makes it float64

    class Surface(ImmersedSet):
        def _define_embedding_space(self) -> Any:
            return Euclidean(784)

        def immersion(self, point: Tensor) -> Tensor:
            return f(point)

    return Surface(dim=k).metric.metric_matrix


def sampled(curve: Any, count: int, like: Tensor) -> Tensor:
    """Nodes of a curve of StochMan, (B, 513, k), in float64."""
    with torch.no_grad():
        points = curve(torch.linspace(0, 1, 513, dtype=like.dtype))
    return points.reshape(count, 513, -1).double()


def errors(geo: LatentGeometry, curve: Spline | Tensor, truth: Tensor) -> str:
    over = (geo.length(curve) / truth - 1).abs()
    return f"{float(over.median()):.1e} | {float(over.max()):.1e}"


def speed(scale: float, repeats: int) -> None:
    net = decoder(2, scale)
    exact = LatentGeometry(copy.deepcopy(net).double())
    geo, (a, b) = LatentGeometry(net), torch.randn(2, PAIRS, 2)
    truth = exact.geodesic(a.double(), b.double(), segments=128, tol=1e-6).length
    t = torch.linspace(0, 1, 65, dtype=torch.float64)[:, None]
    straight = torch.lerp(a.double()[:, None], b.double()[:, None], t)
    row("geodesics, 2 -> 784", "CPU ms a curve", "one curve, ms", "error, median", "worst")
    row("straight segments", "", "", errors(exact, straight, truth))
    for segments in (8, 16, 32):
        each, found = cpu(lambda segments=segments: geo.geodesic(a, b, segments=segments), repeats)
        one = statistics.median(
            cpu(lambda i=i, segments=segments: geo.geodesic(a[i : i + 1], b[i : i + 1], segments=segments), 1)[0]
            for i in range(9)
        )
        told = f"{errors(exact, Spline(found.nodes.double()), truth)} | converged {int(found.converged.sum())}"
        row(f"ot_gen segments={segments}", f"{each / PAIRS:.2f}", f"{one:.1f}", told)
    if STOCHMAN:
        each, curve = cpu(lambda: stochman_default(net, a, b), 1)
        one = statistics.median(
            cpu(lambda i=i: stochman_default(net, a[i : i + 1], b[i : i + 1]), 1)[0] for i in range(3)
        )
        row("StochMan default", f"{each / PAIRS:.2f}", f"{one:.0f}", errors(exact, sampled(curve, PAIRS, a), truth))
        few = a[:CAREFUL_PAIRS], b[:CAREFUL_PAIRS]
        each, curve = cpu(lambda: stochman_careful(net, *few), 1)
        told = errors(exact, sampled(curve, CAREFUL_PAIRS, a), truth[:CAREFUL_PAIRS])
        row(f"StochMan careful, batch of {CAREFUL_PAIRS}", f"{each / CAREFUL_PAIRS:.0f}", "", told)
        each, found = cpu(lambda: geo.geodesic(*few, segments=32), repeats)
        told = errors(exact, Spline(found.nodes.double()), truth[:CAREFUL_PAIRS])
        row(f"ot_gen segments=32, batch of {CAREFUL_PAIRS}", f"{each / CAREFUL_PAIRS:.1f}", "", told)


def metric(scale: float, repeats: int) -> None:
    row(
        "M(z), 1024 points",
        "ot_gen ms",
        "StochMan's layers ms",
        "ot_gen / StochMan points a second",
        "largest difference",
        "geomstats s",
        "ot_gen / geomstats points a second",
    )
    for k in (2, 8, 32):
        net, z = decoder(k, scale), torch.randn(1024, k)
        geo = LatentGeometry(net)
        hand = None
        if STOCHMAN:
            from stochman import nnj

            kinds = {nn.Linear: lambda p: nnj.Linear(p.in_features, p.out_features), nn.Tanh: lambda p: nnj.Tanh()}
            layers = [kinds.get(type(part), lambda p: nnj.Sigmoid())(part) for part in net]
            hand = nnj.Sequential(*layers).requires_grad_(False)
            hand.load_state_dict({f"_modules_list.{key}": v for key, v in net.state_dict().items()}, strict=False)
            for mine, theirs in zip(net, layers, strict=True):
                theirs.load_state_dict(mine.state_dict())

        def theirs(hand: Any = hand, z: Tensor = z) -> Tensor:
            jacobian = hand(z, jacobian=True)[1]
            return jacobian.mT @ jacobian

        with torch.no_grad():
            geo.metric(z)
            ratios, ours_ms, theirs_ms, gap = [], [], [], math.nan
            for _ in range(max(3 * repeats, 5)):  # in turns, as the machine's speed drifts
                mine, m = cpu(lambda geo=geo, z=z: geo.metric(z), 1)
                ours_ms.append(mine)
                if hand is not None:
                    other, m_hand = cpu(theirs, 1)
                    theirs_ms.append(other)
                    ratios.append(other / mine)
                    gap = float((m - m_hand).abs().max() / m.abs().max())
        told = (
            (f"{statistics.median(theirs_ms):.1f}", f"{statistics.median(ratios):.2f}", f"{gap:.0e}") if ratios else ()
        )
        if GEOMSTATS:
            told = told or ("", "", "")
            slow = geomstats_metric(net, k)
            spent, m_slow = cpu(lambda slow=slow, z=z: slow(z[:8]), repeats)
            assert torch.allclose(m_slow, m[:8], rtol=1e-3, atol=1e-3 * float(m.abs().max()))
            told = (*told, f"{128 * spent / 1e3:.0f}", f"{128 * spent / statistics.median(ours_ms):.0f}")
        row(f"k = {k}", f"{statistics.median(ours_ms):.1f}", *told)


def surfaces(scale: float, repeats: int) -> None:
    row("surface", "solver", "CPU ms a curve", "excess, median", "worst", "reported length, worst error")
    for name, surface in CLOSED_FORMS.items():
        geo, (a, b) = LatentGeometry(surface.map), surface.pairs(24)
        truth = surface.distance(a, b)
        for segments in (16, 32):
            each, found = cpu(
                lambda geo=geo, a=a, b=b, segments=segments: geo.geodesic(a, b, segments=segments), repeats
            )
            told = f"{float((found.length / truth - 1).abs().max()):.1e}"
            row(name, f"ot_gen segments={segments}", f"{each / len(a):.1f}", errors(geo, found.curve, truth), told)
        if STOCHMAN:
            f = surface.map
            each, curve = cpu(lambda f=f, a=a, b=b: stochman_default(f, a.float(), b.float()), 1)
            nodes = sampled(curve, len(a), a.float())
            nodes[:, 0], nodes[:, -1] = a, b
            row(name, "StochMan default", f"{each / len(a):.1f}", errors(geo, nodes, truth))


def matrix(scale: float, repeats: int) -> None:
    net, z = decoder(2, scale), torch.randn(50, 2)
    geo = LatentGeometry(net)
    upper = torch.triu_indices(50, 50, 1)
    exact = LatentGeometry(copy.deepcopy(net).double())
    ends = z.double()[upper[0]], z.double()[upper[1]]
    truth = exact.geodesic(*ends, segments=64, tol=1e-5).length
    row("1225 distances", "CPU s", "error, median", "worst")

    def told(lengths: Tensor) -> str:
        gap = (lengths[upper[0], upper[1]].double() / truth - 1).abs()
        return f"{float(gap.median()):.1e} | {float(gap.max()):.1e}"

    for segments in (8, 16):
        spent, found = cpu(lambda segments=segments: geo.pairwise(z, segments=segments), 1)
        row(f"ot_gen segments={segments}", f"{spent / 1e3:.2f}", told(found))
    codes = torch.randn(2000, 2)
    spent, found = cpu(lambda: geo.graph_pairwise(z, Graph(codes)), 1)
    row("ot_gen graph of 2000 codes", f"{spent / 1e3:.2f}", told(found))
    if STOCHMAN:
        spent, _ = cpu(lambda: stochman_default(net, z[upper[0][:PAIRS]], z[upper[1][:PAIRS]]), 1)
        row("StochMan default, 100 of them x 12.25", f"{spent * 12.25 / 1e3:.1f}")


def derivatives(scale: float, repeats: int) -> None:
    geo, (z, _) = LatentGeometry(sphere), SPHERE.pairs(16)
    v = torch.randn(16, 2, dtype=torch.float64)
    x, along = sphere(z), directional(sphere, z, v)[1]
    size = torch.linalg.vector_norm(along, dim=1, keepdim=True)
    spent, end = cpu(lambda: geo.exp(z, v), repeats)
    gap = float((sphere(end) - (x * size.cos() + along / size * size.sin())).abs().max())
    row("exp on the sphere, 16 vectors", f"{spent / 16:.1f} ms a vector", f"error {gap:.1e}")
    net = decoder(2, scale).double()
    geo = LatentGeometry(net)
    a, b = torch.randn(2, 16, 2, dtype=torch.float64)
    a.requires_grad_()
    (ours,) = torch.autograd.grad(geo.distance(a, b, segments=32).sum(), a)
    a = a.detach()
    columns = [
        (geo.distance(a + e, b, segments=32) - geo.distance(a - e, b, segments=32)) / 2e-3
        for e in 1e-3 * torch.eye(2, dtype=torch.float64)
    ]
    cosine = torch.cosine_similarity(ours, torch.stack(columns, dim=1))
    row("gradient of 16 distances in z0, 2 -> 784", f"least cosine with differences {float(cosine.min()):.6f}")
    net.requires_grad_()
    ours = torch.cat(
        [g.flatten() for g in torch.autograd.grad(geo.distance(a, b, segments=32).sum(), net.parameters())]
    )
    weights = nn.utils.parameters_to_vector(net.parameters()).detach()
    told, wanted = [], []
    with torch.no_grad():
        for _ in range(8):
            # Along random mixtures of the gradient and noise, so that the products vary in sign and size.
            way = torch.randn(()) * ours / ours.norm() + torch.randn_like(ours) / math.sqrt(len(ours))
            values = []
            for step in (1e-4, -1e-4):
                nn.utils.vector_to_parameters(weights + step * way, net.parameters())
                values.append(float(geo.distance(a, b, segments=32).sum()))
            wanted.append((values[0] - values[1]) / 2e-4)
            told.append(float(way @ ours))
    cosine = torch.cosine_similarity(torch.tensor(told), torch.tensor(wanted), dim=0)
    row("gradient in the weights, 8 directions", f"cosine with differences {float(cosine):.6f}")


def hole(scale: float, repeats: int) -> None:
    """Codes on three quarters of a circle, a linear mean into R^32, σ² = 1/β far from them: gaps cost a toll."""
    angle = 2 * math.pi * (0.125 + 0.75 * torch.rand(600, dtype=torch.float64))
    codes = torch.stack([angle.cos(), angle.sin()], dim=1) + 0.03 * torch.randn(600, 2, dtype=torch.float64)
    std = RBFPrecision(2, 32, centres=48, initial=0.1, background=0.02).double().requires_grad_(False)
    std.fit_centres(codes, spread=2.0)
    geo = LatentGeometry(nn.Linear(2, 32).double().requires_grad_(False), std=std)
    ends = 2 * math.pi * (0.125 + torch.tensor([0.02, 0.73])) + 0.1 * torch.rand(8, 2)
    a, b = (torch.stack([e.cos(), e.sin()], dim=1).double() for e in ends.T)
    along = ends[:, :1] + torch.linspace(0, 1, 257) * (ends[:, 1:] - ends[:, :1])
    arc = torch.stack([along.cos(), along.sin()], dim=2).double()
    arc[:, 0], arc[:, -1] = a, b
    starts = {"straight": None, "graph": Graph(codes), "the arc itself, 128 segments": arc}
    found = {}
    for name, start in starts.items():
        settings: dict[str, Any] = {} if start is None else {"start": start}
        segments = 128 if isinstance(start, Tensor) else 32
        found[name] = cpu(
            lambda segments=segments, settings=settings: geo.geodesic(a, b, segments=segments, **settings), 1
        )
    knowing = LatentGeometry(geo.metric_field, codes=codes)
    found["codes known, nothing told"] = cpu(lambda: knowing.geodesic(a, b, segments=32), 1)
    lengths = {name: geo.length(curves) for name, (_, curves) in found.items()}
    if STOCHMAN:
        spent, curve = cpu(lambda: stochman_default(geo.metric_field.f, a, b), 1)
        lengths["StochMan default"] = geo.length(sampled(curve, 8, a))
        found["StochMan default"] = spent, None
    best = torch.stack(list(lengths.values())).amin(dim=0)
    row("a hole in the data, 8 pairs: start", "CPU ms a curve", "length / best, median", "worst")
    for name, value in lengths.items():
        over = value / best
        row(name, f"{found[name][0] / 8:.1f}", f"{float(over.median()):.4f} | {float(over.max()):.4f}")


PARTS = {part.__name__: part for part in (speed, metric, surfaces, matrix, derivatives, hole)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--scale", type=float, default=3.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.parts:
        torch.manual_seed(arguments.seed)
        PARTS[name](arguments.scale, arguments.repeats)
        print()


if __name__ == "__main__":
    main()
