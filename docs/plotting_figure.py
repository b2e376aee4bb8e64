"""The figure of docs/plotting.md: each helper of `ot_gen.plot` once.

python docs/plotting_figure.py      writes docs/plotting.png; half a minute on one core
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.optim import Adam

import ot_gen as og
from ot_gen import data, plot
from ot_gen.geometry import volume_map

STEPS, COUNT = 1500, 100


def flow(moons: og.Empirical) -> og.Pushforward:
    """A flow from N(0, I) to two moons."""
    mu = og.Pushforward(og.FlowMap(og.DenseVelocity(2, 64), 8), og.standard_gaussian(2))
    pairing = og.PlanPairing(og.exact_plan, 128)
    solver = og.PrimalSolver(og.SquaredEuclidean(), og.VelocityRegression(pairing))
    og.fit(mu, moons, solver, steps=STEPS, optimizer=partial(Adam, lr=4e-3), schedule=og.linear_decay)
    return mu.eval()


def bowl(z: Tensor) -> Tensor:
    """A surface whose middle is steep."""
    return torch.cat([z, 2 * torch.exp(-2 * z.square().sum(dim=1, keepdim=True))], dim=1)


def main() -> None:
    """Train, solve, and draw."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    given = data.toy(data.two_moons(), size=2000, test_size=400)
    moons = given.train
    assert isinstance(moons, og.Empirical) and isinstance(moons.atoms, Tensor)
    figure = Figure(figsize=(15, 7.6), layout="constrained")
    panels = figure.subplots(2, 4).flatten()

    mu = flow(moons)
    plot.samples(mu.sample(400), given.test.atoms, ax=panels[0]).set_title("plot.samples", pad=22)
    z = torch.randn(COUNT, 2)
    assert isinstance(mu.map, og.FlowMap)
    with torch.no_grad():
        paths = mu.map.trajectory(z)
    plot.trajectories(paths, given.test.atoms, ax=panels[1]).set_title("plot.trajectories", pad=22)

    few = og.Empirical(given.test.atoms[:24])
    solution = og.semidiscrete(og.standard_gaussian(2), few, og.SquaredEuclidean(), tol=0.01)
    plot.cells(solution, ax=panels[2]).set_title("plot.cells", pad=22)

    x, y = z[:60], given.test.atoms[:60]
    best = og.exact_plan(og.SquaredEuclidean().matrix(x, y))
    plot.plan(best, x, y, ax=panels[3]).set_title("plot.plan", pad=22)

    encoder = nn.Linear(2, 2)
    assert given.test_labels is not None
    with torch.no_grad():
        codes = encoder(given.test.atoms)
    plot.codes(codes, given.test_labels, torch.randn(300, 2), ax=panels[4]).set_title("plot.codes", pad=22)

    geo = og.LatentGeometry(bowl)
    a, b = torch.tensor([[-1.2, -0.3], [-1.1, 0.6]]), torch.tensor([[1.2, 0.1], [0.9, -1.0]])
    volume = volume_map(geo, torch.tensor([[-1.6, -1.6], [1.6, 1.6]]), 120)
    plot.geodesics(geo.geodesic(a, b, segments=32), volume, ax=panels[5]).set_title("plot.geodesics", pad=22)

    real = og.Empirical(moons.atoms[:60])
    blurred = og.Empirical(moons.atoms[60:] + 0.3 * torch.randn(1940, 2))
    models = {"flow": mu, "blurred data": blurred}
    floor = og.certify(og.Empirical(moons.atoms), real, og.SquaredEuclidean(), max_seconds=4.0)
    rows = {name: og.certify(model, real, og.SquaredEuclidean(), max_seconds=4.0) for name, model in models.items()}
    plot.intervals(rows, floor=floor, ax=panels[6]).set_title("plot.intervals", pad=22)

    line = og.Pushforward(og.MLP(2, 2, (64, 64)), og.standard_gaussian(2))
    solver = og.PrimalSolver(og.SquaredEuclidean(), og.PlanCoupling(og.exact_plan))
    progress = og.fit(line, moons, solver, steps=300)
    plot.curve(progress, ax=panels[7]).set_title("plot.curve", pad=22)
    figure.savefig(Path(__file__).with_name("plotting.png"), dpi=80, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()
