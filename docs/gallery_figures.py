"""Draws the figures of docs/gallery.md, docs/gallery_*.png, and prints the numbers beside them.

python docs/gallery_figures.py [surfaces hole digits centres normal walks]      some minutes on one core
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import torch
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from torch import Tensor, nn

from ot_gen import (
    KL,
    MLP,
    EncoderCoupling,
    GaussianEncoder,
    LatentGeometry,
    PrimalSolver,
    Pushforward,
    RBFPrecision,
    SquaredEuclidean,
    data,
    fit,
    linear_decay,
    plot,
    standard_gaussian,
)
from ot_gen.geometry import (
    BrownianMotion,
    Graph,
    Line,
    VolumeMap,
    conformal,
    fit_adaptive_normal,
    frechet_mean,
    k_medoids,
    volume_map,
)

DOCS = Path(__file__).parent
BLUE, RED, GREY = "#2f4b7c", "#d1495b", "#8d99ae"
HALO = [withStroke(linewidth=3.0, foreground="white")]
TAU = 2 * math.pi


def save(figure: Figure, name: str) -> None:
    """A small PNG."""
    if (layout := figure.get_layout_engine()) is not None:
        layout.set(h_pad=0.1)
    path = DOCS / f"gallery_{name}.png"
    figure.savefig(path, dpi=100, pil_kwargs={"optimize": True})
    print(f"{path.name}: {path.stat().st_size // 1000} kB", flush=True)


# --- surfaces --------------------------------------------------------------------------------------------------------


def sphere(z: Tensor) -> Tensor:
    """(θ, φ)."""
    return torch.stack([z[:, 0].sin() * z[:, 1].cos(), z[:, 0].sin() * z[:, 1].sin(), z[:, 0].cos()], dim=1)


def torus(z: Tensor) -> Tensor:
    """(θ, φ)."""
    ring = 2 + z[:, 0].cos()
    return torch.stack([ring * z[:, 1].cos(), ring * z[:, 1].sin(), z[:, 0].sin()], dim=1)


def paraboloid(z: Tensor) -> Tensor:
    """(x, y)."""
    return torch.cat([z, z.square().sum(dim=1, keepdim=True)], dim=1)


def pseudosphere(z: Tensor) -> Tensor:
    """(x, log y), y >= 1: K = −1."""
    x, y = z[:, 0], z[:, 1].exp()
    return torch.stack([x.cos() / y, x.sin() / y, y.acosh() - (1 - y**-2).clamp_min(1e-12).sqrt()], dim=1)


def surfaces() -> None:
    """Geodesics from one point on four surfaces, red, over images of straight segments, grey."""
    shown: dict[str, tuple[Any, list[list[float]], list[float], list[list[float]]]] = {
        "sphere": (sphere, [[0.01, math.pi - 0.01], [0, TAU]], [1.0, 0.0], [[0.5, 2.6], [1.3, 2.2], [2.3, 1.2]]),
        "torus": (torus, [[0, TAU], [0, TAU]], [0.2, -2.3], [[1.5, -0.4], [0.2, 0.2], [-0.9, -0.6]]),
        "paraboloid": (paraboloid, [[-1, 1], [-1, 1]], [-0.9, -0.5], [[0.9, -0.5], [0.8, 0.3], [0.2, 0.9]]),
        "pseudosphere": (pseudosphere, [[0, TAU], [0.02, 2.0]], [-2.6, 0.3], [[-0.4, 0.3], [-0.7, 1.0], [-1.4, 1.6]]),
    }
    figure = Figure(figsize=(10, 3.0))
    figure.subplots_adjust(left=0, right=1, bottom=0, top=0.92, wspace=0)
    t = torch.linspace(0, 1, 100, dtype=torch.float64)
    for index, (name, (chart, box, start, ends)) in enumerate(shown.items()):
        axes: Any = figure.add_subplot(1, 4, index + 1, projection="3d", computed_zorder=False)
        sides = [torch.linspace(*side, 60, dtype=torch.float64) for side in box]
        mesh = chart(torch.cartesian_prod(*sides)).reshape(60, 60, 3)
        axes.plot_surface(*mesh.movedim(2, 0).numpy(), color="#dfe5ee", rstride=2, cstride=2, lw=0.15, ec="#b9c3d3")
        geo = LatentGeometry(chart)
        b = torch.tensor(ends, dtype=torch.float64)
        a = torch.tensor([start], dtype=torch.float64).expand_as(b)
        found = geo.geodesic(a, b, segments=32)
        straight = torch.lerp(a[:, None], b[:, None], t[None, :, None])
        for curves, colour in ((straight, "0.45"), (found(t), RED)):
            for curve in curves:
                axes.plot(*chart(curve).T.numpy(), color=colour, lw=1.8, ls="-" if colour == RED else (0, (3, 2)))
        points = chart(torch.cat([a[:1], b]))
        axes.scatter(*points.T.numpy(), color="black", s=12, depthshade=False)
        axes.set_box_aspect(
            (points.new_ones(3) * (mesh.amax((0, 1)) - mesh.amin((0, 1)))).tolist(),
            zoom=0.98 if name == "paraboloid" else 1.4,
        )
        view = {"sphere": (25, 65), "torus": (50, -65), "paraboloid": (35, -70), "pseudosphere": (20, -85)}[name]
        axes.view_init(*view)
        axes.set_axis_off()
        gain = float((1 - found.length / geo.length(straight)).max())
        axes.set_title(f"{name}: up to {100 * gain:.0f} % shorter", fontsize=10, y=0.98)
        print(f"{name}: shorter by {[round(v, 3) for v in (1 - found.length / geo.length(straight)).tolist()]}")
    save(figure, "surfaces")


# --- a hole in the data ----------------------------------------------------------------------------------------------


def hole() -> None:
    """A horseshoe of codes under an RBF precision: from the segment and from the graph."""
    angle = torch.linspace(0.25 * math.pi, 1.75 * math.pi, 600)
    codes = torch.stack([angle.cos(), angle.sin()], dim=1) + 0.05 * torch.randn(600, 2)
    std = RBFPrecision(2, 32, centres=48, initial=0.05, floor=0.02)
    std.fit_centres(codes, spread=2.0)
    std.requires_grad_(False)
    geo = LatentGeometry(nn.Linear(2, 32).requires_grad_(False), std=std)
    places = angle.new_tensor([30, 90, 160]).long()
    a, b = codes[places], codes[599 - places]
    straight, graph = geo.geodesic(a, b, segments=32), geo.geodesic(a, b, segments=32, start=Graph(codes))
    volume = volume_map(geo, torch.tensor([[-1.5, -1.5], [1.5, 1.5]]), 120)
    figure = Figure(figsize=(10.4, 4.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, found, title in zip(panels, (straight, graph), ("from the segment", "from Graph(codes)"), strict=True):
        plot.geodesics(found, volume, codes, ax=axes)
        lengths = ", ".join(f"{value:.1f}" for value in found.length.tolist())
        axes.set_xlabel(f"{axes.get_xlabel()}\n{title}: lengths {lengths}")
    save(figure, "hole")


# --- digits ----------------------------------------------------------------------------------------------------------


class Model(NamedTuple):
    """A VAE of the embedded digits with two latent dimensions."""

    digits: data.Dataset
    decoder: MLP
    codes: Tensor
    labels: Tensor
    geometry: LatentGeometry


def trained(steps: int = 3000) -> Model:
    """The VAE, as in experiments/pixel_vs_geodesic."""
    digits = data.mnist()
    decoder = MLP(2, 784, hidden=(256, 256), activation=nn.Tanh, output=nn.Sigmoid())
    encoder = GaussianEncoder(MLP(784, 4, hidden=(256, 256)))
    solver = PrimalSolver(SquaredEuclidean(), EncoderCoupling(encoder, KL(), 0.4))
    fit(Pushforward(decoder, standard_gaussian(2)), digits.train, solver, steps=steps, schedule=linear_decay)
    decoder.requires_grad_(False).eval()
    assert digits.test_labels is not None
    with torch.no_grad():
        codes = encoder.eval()(digits.test.atoms).mean
    return Model(digits, decoder, codes, digits.test_labels, LatentGeometry(decoder))


def plane(model: Model) -> VolumeMap:
    """The volume over the inner codes' bounding box."""
    corners = torch.quantile(model.codes, torch.tensor([0.002, 0.998]), dim=0)
    return volume_map(model.geometry, corners + torch.tensor([[-0.1], [0.1]]), 150)


def most_bent(model: Model, count: int) -> tuple[Tensor, Tensor]:
    """Of 400 random pairs of classes, those whose geodesics are shortest beside their segments."""
    first, second = torch.randint(len(model.codes), (2, 400))
    a, b = model.codes[first], model.codes[second]
    found = model.geometry.geodesic(a, b)
    ratio = found.length / model.geometry.length(Line()(model.geometry.metric_field, a, b, 16))
    gains = 1 - ratio
    print(f"400 random pairs of codes: shorter by {float(gains.median()):.3f} in the median, {float(gains.max()):.3f}")
    best = ratio.argsort()[:count]
    return a[best], b[best]


def digits(model: Model) -> None:
    """The volume map of the plane with geodesics, and images along one of them."""
    a, b = most_bent(model, 7)
    found = model.geometry.geodesic(a, b, segments=32)
    figure = Figure(figsize=(10.4, 4.9), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(5, 5.2))
    axes = left.subplots()
    volume = plane(model)
    image = volume.plot(axes)
    colours = matplotlib.colormaps["tab10"]
    axes.scatter(*model.codes.T, s=4, c=colours(model.labels.numpy()), linewidths=0, alpha=0.8)
    for digit in range(10):
        x, y = model.codes[model.labels == digit].median(dim=0).values.tolist()
        axes.text(x, y, str(digit), ha="center", va="center", weight="bold", path_effects=HALO)
    for p, q in zip(a, b, strict=True):
        axes.plot(*torch.stack([p, q]).T, color="white", lw=2.2, alpha=0.8)
        axes.plot(*torch.stack([p, q]).T, color="black", lw=1, ls=(0, (4, 3)))
    found.plot(axes, color="black", lw=1.8, path_effects=HALO)
    axes.plot(*torch.cat([a, b]).T, "o", ms=4, mfc="white", mec="black")
    (left_edge, bottom), (right_edge, top) = volume.bounds.tolist()
    axes.set(xlim=(left_edge, right_edge), ylim=(bottom, top))
    left.colorbar(image, label="log √det M(z), magnification of areas", extend="both", shrink=0.85)
    axes.set_title("a VAE's plane of digits: geodesics, and dashed segments", fontsize=10)
    panels = right.subplots(4, 1)
    t = torch.linspace(0, 1, 10)
    for panel, start, end, curve in zip(panels, a, b, found(t), strict=False):
        ends = torch.stack([start, end])
        straight = torch.lerp(ends[:1], ends[1:], t[:, None])
        rows = model.decoder(torch.cat([straight, curve]))
        plot.samples(1 - rows, shape=(1, 28, 28), ax=panel)
        panel.set_axis_on()
        panel.set_yticks([14, 44], ["segment", "geodesic"], fontsize=8)
        panel.set_xticks([])
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
    right.suptitle("what the decoder shows along four of them", fontsize=10)
    save(figure, "digits")


def centres(model: Model) -> None:
    """Fréchet means of three classes, and medoids of points by their distances."""
    figure = Figure(figsize=(10.4, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    volume, frames = plane(model), []
    for axes in (left, right):
        volume.plot(axes, alpha=0.5)
        frames.append((axes.get_xlim(), axes.get_ylim()))
    for digit, colour in ((0, BLUE), (1, RED), (6, "#2a7f62")):
        z = model.codes[model.labels == digit][:40]
        mean = frechet_mean(model.geometry, z)
        spokes = model.geometry.geodesic(mean.point[None], z)
        spokes.plot(left, color=colour, lw=0.6, alpha=0.7)
        left.scatter(*z.T, s=8, color=colour, linewidths=0)
        left.plot(*mean.point, "*", ms=15, color=colour, mec="white", label=f"{digit}: Fréchet mean")
        left.plot(*z.mean(dim=0), "X", ms=8, color=colour, mec="white")
        print(f"digit {digit}: mean converged {mean.converged}, variance {mean.variance:.2f}")
    left.legend(fontsize=8, framealpha=0.9)
    left.set_title("geodesics to the Fréchet mean (star); cross: average of codes", fontsize=10)
    z, labels = model.codes[:50], model.labels[:50]
    clusters = k_medoids(model.geometry.pairwise(z, segments=8), 6)
    colours = matplotlib.colormaps["tab10"]
    for number, medoid in enumerate(clusters.medoids.tolist()):
        for index in (clusters.labels == number).nonzero().flatten().tolist():
            right.plot(*z[[medoid, index]].T, color=colours(number), lw=0.6, alpha=0.6)
            right.text(
                *z[index],
                str(int(labels[index])),
                color=colours(number),
                fontsize=9,
                ha="center",
                va="center",
                clip_on=True,
            )
        right.plot(*z[medoid], "o", ms=14, mec=colours(number), mfc="none", mew=2)
    right.set_title("six medoids of 50 held-out digits by geodesic distance", fontsize=10)
    for axes, (across, up) in zip((left, right), frames, strict=True):
        axes.set(xlim=across, ylim=up)
    save(figure, "centres")


# --- laws ------------------------------------------------------------------------------------------------------------


def normal() -> None:
    """A locally adaptive normal beside the plain one, on a ring of codes."""
    centre = torch.tensor([0.0, 0.0], dtype=torch.float64)
    angle = 0.9 * torch.randn(200, dtype=torch.float64) + math.pi / 2
    z = torch.stack([angle.cos(), angle.sin()], dim=1) * (1 + 0.06 * torch.randn(200, 1, dtype=torch.float64))

    def factor(point: Tensor) -> Tensor:
        return 1 / (0.02 + torch.exp(-((torch.linalg.vector_norm(point - centre, dim=1) - 1) ** 2) / 0.08))

    geo = LatentGeometry(conformal(factor))
    found = fit_adaptive_normal(geo, z, samples=128)
    law = found.law
    print(f"fit: loss {found.loss:.3f}, converged {found.converged}, error of log C {law.log_constant_se:.3f}")
    side = torch.linspace(-1.6, 1.6, 55, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    plain = torch.distributions.MultivariateNormal(z.mean(dim=0), torch.cov(z.T))
    scores = [float(plain.log_prob(z).mean()), float((law.log_prob(z) + geo.log_volume(z)).mean())]
    squares = (2 * (plain.log_prob(plain.mean) - plain.log_prob(grid)), -2 * (law.log_prob(grid) + law.log_constant))
    figure = Figure(figsize=(8.6, 4.3), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    titles = ("the plain normal", "the locally adaptive normal")
    parts = zip(panels, squares, titles, scores, (plain.mean, law.mean), strict=True)
    for axes, square, title, score, mean in parts:
        distance = square.clamp_min(0).sqrt().reshape(55, 55).T
        axes.contourf(side, side, distance, levels=[0, 1, 2, 3], colors=["#6baed6", "#a6cbe8", "#dbe9f6"])
        axes.scatter(*z.T, s=7, color=RED, linewidths=0)
        axes.plot(*mean, "*", ms=14, color="black", mec="white")
        axes.set_aspect("equal")
        axes.set_title(f"{title}\nmean log-density of the points {score:.2f}", fontsize=10)
        axes.set_xlabel("z₁")
    panels[0].set_ylabel("z₂")
    save(figure, "normal")


def walks() -> None:
    """Brownian motion and the heat kernel it draws, on a metric that is large off a ring."""

    def factor(point: Tensor) -> Tensor:
        return 1 / (0.1 + torch.exp(-((torch.linalg.vector_norm(point, dim=1) - 1) ** 2) / 0.1))

    geo = LatentGeometry(conformal(factor))
    motion = BrownianMotion(geo, torch.tensor([0.0, 1.0], dtype=torch.float64), time=0.8, steps=400)
    paths = motion.paths(600)
    bounds = torch.tensor([[-1.6, -1.6], [1.6, 1.6]], dtype=torch.float64)
    volume = volume_map(geo, bounds, 120)
    figure = Figure(figsize=(8.6, 4.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes in panels:
        image = volume.plot(axes, aspect="equal")
        axes.plot(*motion.start, "*", ms=13, color="black", mec="white", zorder=5)
    for path, colour in zip(paths, (RED, BLUE, "#2a7f62", "#e09f3e", "#7b5ea7", "#1a1a1a"), strict=False):
        panels[0].plot(*path.T, lw=0.7, color=colour)
    panels[1].scatter(*paths[:, -1].T, s=4, color=RED, linewidths=0)
    panels[0].set_title("six Brownian paths up to the time 0.8", fontsize=10)
    panels[1].set_title("600 walkers at that time", fontsize=10)
    panels[1].set_ylabel("")
    for axes in panels:
        axes.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6))
    figure.colorbar(image, ax=panels, label="log √det M(z)", extend="both", shrink=0.9)
    save(figure, "walks")


def main() -> None:
    """Draw those that are named, or all."""
    torch.set_num_threads(1)
    chosen = sys.argv[1:] or ["surfaces", "hole", "digits", "centres", "normal", "walks"]
    of_digits = {"digits": digits, "centres": centres}
    torch.manual_seed(2)
    model = trained() if set(chosen) & set(of_digits) else None
    for name in chosen:
        torch.manual_seed(0)
        if name in of_digits and model is not None:
            of_digits[name](model)
        else:
            {"surfaces": surfaces, "hole": hole, "normal": normal, "walks": walks}[name]()


if __name__ == "__main__":
    main()
