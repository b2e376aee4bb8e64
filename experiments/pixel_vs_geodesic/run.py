"""Which distance says that two images of one digit are closer than images of two: pixels, codes, or geodesics?

    python experiments/pixel_vs_geodesic/run.py [--dims 2 10] [--triples 2000] [--points 60] [--steps 4000]

A VAE (decoder 256-256, tanh, sigmoid at the end) learns the 8,000 embedded MNIST digits; then an RBF precision learns
σ(z) on its frozen codes, with its floor chosen from the toll of a gap: 2√d (floor^(−½) − σ of the data) = twice the
median geodesic distance. For random triples of held-out digits, A and B of one class and C of another, each distance
says whether d(A, B) < d(B, C). Geodesics have 8 segments, 16 where these miss the length by 1 %, and at most 60 rounds;
those of the expected metric J_μᵀJ_μ + J_σᵀJ_σ start from shortest paths among 2,000 training codes. Intervals are
Wilson's, of 95 %.

On `points` held-out digits: the leave-one-out accuracy of the nearest neighbour, and the purity of 10 medoids.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import matplotlib.pyplot as plt
import torch
from matplotlib.patheffects import withStroke
from torch import Tensor, nn

from ot_gen import (
    KL,
    MLP,
    EncoderCoupling,
    GaussianDecoder,
    GaussianEncoder,
    LatentGeometry,
    NegativeLogLikelihood,
    PrimalSolver,
    Pushforward,
    RBFPrecision,
    SquaredEuclidean,
    data,
    fit,
    linear_decay,
    standard_gaussian,
)
from ot_gen.geometry import Graph, Line, Start, k_medoids, volume_map

matplotlib.use("Agg")
sys.path.insert(0, str(Path(__file__).parents[1]))  # for the modules that the experiments share, imported below
from results import conclude, options

WEIGHT = 0.4  # λ = 2σ²: about the price that the VAE of conf/ has
SEGMENTS = 8
EFFORT: dict[str, Any] = {"tol": 3e-3, "rounds": 60, "accuracy": 1e-2, "refinements": 1}
COLOURS = {"geodesic": "darkorange", "expected": "crimson"}
METRICS = {"geodesic": "JᵀJ", "expected": "expected metric"}


class Model(NamedTuple):
    """A decoder with and without its σ, and the codes of the data."""

    decoder: GaussianDecoder
    train: Tensor
    test: Tensor
    graph: Graph
    mean_geometry: LatentGeometry
    expected_geometry: LatentGeometry


def trained(digits: data.Dataset, dim: int, steps: int) -> Model:
    """The VAE, then the σ of its decoder."""
    torch.manual_seed(dim)
    net = MLP(dim, digits.dim, hidden=(256, 256), activation=nn.Tanh, output=nn.Sigmoid())
    encoder = GaussianEncoder(MLP(digits.dim, 2 * dim, hidden=(256, 256)))
    coupling = EncoderCoupling(encoder, KL(), WEIGHT)
    nu = digits.train
    fit(
        Pushforward(net, standard_gaussian(dim)),
        nu,
        PrimalSolver(SquaredEuclidean(), coupling),
        steps=steps,
        schedule=linear_decay,
    )
    net.requires_grad_(False).eval()
    encoder.requires_grad_(False).eval()
    train, test = (encoder(part.atoms).mean for part in (digits.train, digits.test))
    geometry = LatentGeometry(net)
    noise = float((net(train) - nu.atoms).square().mean().sqrt())
    some = torch.randperm(len(test))[:400].chunk(2)
    typical = float(geometry.geodesic(test[some[0]], test[some[1]], segments=SEGMENTS, **EFFORT).length.median())
    floor = (noise + 2 * typical / (2 * math.sqrt(digits.dim))) ** -2
    std = RBFPrecision(dim, digits.dim, centres=128, initial=noise, floor=floor)
    std.fit_centres(train, spread=2.0)
    decoder = GaussianDecoder(net, std)
    solver = PrimalSolver(NegativeLogLikelihood(), EncoderCoupling(encoder, KL(), 1.0))
    fit(Pushforward(decoder, standard_gaussian(dim)), nu, solver, steps=steps // 4)
    decoder.requires_grad_(False).eval()
    print(f"k = {dim}: σ of the data {noise:.3f}, median geodesic {typical:.2f}, floor {floor:.3f}", flush=True)
    graph = Graph(train[torch.randperm(len(train))[:2000]])
    return Model(decoder, train, test, graph, geometry, LatentGeometry(decoder.mean, std=decoder.std))


def triples(labels: Tensor, count: int) -> Tensor:
    """Indices (count, 3): A ≠ B of one class, C of another."""
    chosen = []
    while len(chosen) < count:
        a, b, c = torch.randint(len(labels), (3,)).tolist()
        if a != b and labels[a] == labels[b] != labels[c]:
            chosen.append((a, b, c))
    return torch.tensor(chosen)


def lengths(geometry: LatentGeometry, a: Tensor, b: Tensor, start: Start) -> tuple[Tensor, float]:
    """Geodesic distances of pairs, and the share that converged."""
    found = [
        geometry.geodesic(p, q, segments=SEGMENTS, start=start, **EFFORT)
        for p, q in zip(a.split(500), b.split(500), strict=True)
    ]
    return torch.cat([f.length for f in found]), float(torch.cat([f.converged for f in found]).double().mean())


def distances(model: Model, y: Tensor, first: Tensor, second: Tensor) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Each distance between the held-out points of two lists of indices."""
    z = model.test
    start = time.process_time()
    mean, mean_share = lengths(model.mean_geometry, z[first], z[second], Line())
    between = time.process_time()
    expected, expected_share = lengths(model.expected_geometry, z[first], z[second], model.graph)
    spent = (between - start, time.process_time() - between)
    print(f"{len(first)} pairs: {spent[0]:.0f} s of CPU on geodesics, {spent[1]:.0f} s expected", flush=True)
    found = {
        "pixels": (y[first] - y[second]).norm(dim=1),
        "codes": (z[first] - z[second]).norm(dim=1),
        "geodesic": mean,
        "expected": expected,
    }
    return found, {"geodesic": mean_share, "expected": expected_share}


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share of n."""
    q = 1.96
    middle, half = share + q * q / (2 * n), q * math.sqrt(share * (1 - share) / n + (q / (2 * n)) ** 2)
    return (middle - half) / (1 + q * q / n), (middle + half) / (1 + q * q / n)


def purity(labels: Tensor, found: Tensor) -> float:
    """The share of points that belong to the commonest class of their cluster."""
    table = torch.zeros(int(found.max()) + 1, int(labels.max()) + 1)
    table.index_put_((found, labels), torch.ones(len(labels)), accumulate=True)
    return float(table.amax(dim=1).sum() / len(labels))


def study(digits: data.Dataset, dim: int, arguments: argparse.Namespace) -> tuple[list[dict[str, object]], Model]:
    """All figures of one latent dimension, and the model."""
    model = trained(digits, dim, arguments.steps)
    y, labels = digits.test.atoms, digits.test_labels
    assert labels is not None
    torch.manual_seed(1)
    a, b, c = triples(labels, arguments.triples).T
    near, shares = distances(model, y, a, b)
    far, _ = distances(model, y, b, c)
    right = {name: near[name] < far[name] for name in near}
    rows: list[dict[str, object]] = []
    points = torch.randperm(len(y))[: arguments.points]
    i, j = torch.triu_indices(len(points), len(points), 1)
    pairs, _ = distances(model, y, points[i], points[j])
    for name in near:
        share = float(right[name].double().mean())
        matrix = torch.zeros(len(points), len(points))
        matrix[i, j] = matrix[j, i] = pairs[name].float()
        nearest = (matrix + torch.diag(torch.full((len(points),), math.inf))).argmin(dim=1)
        low, high = wilson(share, arguments.triples)
        repaired = float(right[name][~right["pixels"]].double().mean())
        rows.append(
            {
                "k": dim,
                "distance": name,
                "ordered": share,
                "low": low,
                "high": high,
                "pixel errors put right": repaired,
                "nearest neighbour": float((labels[points][nearest] == labels[points]).double().mean()),
                "medoid purity": purity(labels[points], k_medoids(matrix, 10).labels),
                "converged": shares.get(name, 1.0),
            }
        )
        print({key: round(v, 4) if isinstance(v, float) else v for key, v in rows[-1].items()}, flush=True)
    return rows, model


def misordered(digits: data.Dataset, model: Model, count: int = 200) -> Tensor:
    """Indices of a triple 0, 0, 1 whose zeros are farther apart in pixels, and nearer on geodesics, than 0 and 1.

    Among `count` random triples that pixels misorder, it is the one for which the expected metric's d(B, C)/d(A, B) is
    largest.
    """
    y, labels = digits.test.atoms, digits.test_labels
    assert labels is not None
    zeros, ones = ((labels == digit).nonzero().flatten() for digit in (0, 1))
    torch.manual_seed(2)
    found: list[Tensor] = []
    for _ in range(100 * count):
        a, b = zeros[torch.randperm(len(zeros))[:2]]
        c = ones[torch.randint(len(ones), ())]
        if (y[a] - y[b]).norm() > (y[b] - y[c]).norm():
            found.append(torch.stack([a, b, c]))
        if len(found) == count:
            break
    a, b, c = torch.stack(found).T
    near, far = (distances(model, y, *ends)[0] for ends in ((a, b), (b, c)))
    for name in ("geodesic", "expected"):
        share = float((near[name] < far[name]).double().mean())
        print(f"of {len(a)} triples 0, 0, 1 that pixels misorder, {name} puts right {share:.3f}", flush=True)
    return torch.stack([a, b, c], dim=1)[int((far["expected"] / near["expected"]).argmax())]


def compared(name: str, near: Tensor, far: Tensor) -> str:
    """The two distances of a triple in words."""
    return f"{name}: d(A, B) = {float(near):.2f} {'<' if near < far else '>'} d(B, C) = {float(far):.2f}"


def draw(digits: data.Dataset, model: Model, triple: Tensor, file: Path) -> None:
    """The volume of a planar latent space with geodesics over it, and images along them."""
    y, labels = digits.test.atoms, digits.test_labels
    assert labels is not None
    z = model.test
    halo = [withStroke(linewidth=3, foreground="white")]
    figure = plt.figure(figsize=(13, 7), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(7, 6))
    axes = left.subplots()
    volume = volume_map(model.expected_geometry, torch.stack([z.amin(dim=0) - 0.5, z.amax(dim=0) + 0.5]), 150)
    left.colorbar(volume.plot(axes), ax=axes, label="log √det M(z), expected metric", extend="both", shrink=0.7)
    axes.scatter(*z.T, c=labels, s=5, cmap="tab10", linewidths=0)
    for digit in labels.unique():
        place = z[labels == digit].median(dim=0).values.tolist()
        axes.text(*place, str(int(digit)), color=f"C{int(digit)}", fontsize=13, weight="bold", path_effects=halo)
    ends = z[triple[:2]], z[triple[1:]]
    t = torch.linspace(0, 1, 9)
    straight = torch.lerp(ends[0][:, None], ends[1][:, None], t[:, None])
    strips = [(compared("codes, straight segments", *(ends[0] - ends[1]).norm(dim=1)), straight)]
    for name, geometry, start in (
        ("geodesic", model.mean_geometry, Line()),
        ("expected", model.expected_geometry, model.graph),
    ):
        found = geometry.geodesic(*ends, start=start)
        found.plot(axes, color=COLOURS[name], linewidth=2.5, path_effects=halo)
        axes.plot([], [], color=COLOURS[name], linewidth=2.5, label=f"geodesics, {METRICS[name]}")
        strips.append((compared(f"geodesics, {METRICS[name]}", *found.length), found(t)))
    for letter, place in zip("ABC", z[triple].tolist(), strict=True):
        axes.plot(*place, "o", color="black", markersize=6)
        axes.annotate(letter, place, (5, 6), textcoords="offset points", weight="bold", path_effects=halo)
    axes.legend(loc="upper left")
    height, width = digits.shape[1:] if digits.shape is not None else (28, 28)

    def tiled(rows: Tensor) -> Tensor:
        """Images (r, c, d) side by side."""
        return rows.unflatten(2, (height, width)).permute(0, 2, 1, 3).flatten(2).flatten(0, 1)

    pixels = (y[triple[:2]] - y[triple[1:]]).norm(dim=1)
    pictures = [(compared("A, B and C; in pixels", *pixels), tiled(y[triple][None]))]
    pictures += [
        (title, tiled(model.decoder.mean(curves.flatten(0, 1)).unflatten(0, (2, -1)))) for title, curves in strips
    ]
    panels = right.subplots(4, 1)
    for panel, (title, picture) in zip(panels, pictures, strict=True):
        panel.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
        panel.set_title(title, fontsize=10)
        panel.axis("off")
    right.supxlabel("of each pair of rows: from A to B above, from B to C below", fontsize=9)
    figure.savefig(file, dpi=100)


def main() -> int:
    """Run all, write results.csv and figure.png, and compare with expected.json."""
    parser = options(__file__, __doc__)
    parser.add_argument("--dims", type=int, nargs="+", default=[2, 10])
    parser.add_argument("--triples", type=int, default=2000)
    parser.add_argument("--points", type=int, default=60)
    parser.add_argument("--steps", type=int, default=4000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    digits = data.mnist()
    rows, found = [], {}
    for dim in arguments.dims:
        some, model = study(digits, dim, arguments)
        rows += some
        if dim == 2:
            draw(digits, model, misordered(digits, model), arguments.output / "figure.png")
        for row in some:
            for figure in ("ordered", "pixel errors put right"):
                found[f"k = {dim}, {row['distance']}: {figure}"] = float(str(row[figure]))
        with (arguments.output / "results.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows({key: f"{v:.4f}" if isinstance(v, float) else v for key, v in row.items()} for row in rows)
    return conclude(arguments, found, [f"k = {dim}," for dim in arguments.dims])


if __name__ == "__main__":
    sys.exit(main())
