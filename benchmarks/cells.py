"""The four cells of the picture on digits, each by the entry that makes its best samples, with the entry's defaults.

    python benchmarks/cells.py [--cells primal-table ...] [--seeds 0 1 2] [--overrides condition=label] [--output OUT]

Each entry trains on the 6,000 digits that `digit_judge` sets apart, on one CPU thread; 2,000 generated digits are
judged against 2,000 that nobody saw. Metrics, floor and ceiling are those of `digit_judge.py`. `memo` is the median
distance from a sample to its nearest training digit over that of held-out digits: below 1 the model copies. `class` is
the share of samples that the judge takes for the class they were drawn for, with condition=label. Rows "at 1" are the
same flows with one evaluation of the velocity. With --output the folder gets the first samples of each cell, and a
picture of all cells whose samples are there, also from earlier calls.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from digit_judge import COLUMNS, TRAIN, A, ceiling, classifier, digits, floor, judge
from primal_quality import protocol_data

from ot_gen import FlowMap, Pushforward, SquaredEuclidean, fit, unlabelled
from ot_gen.cli import parts
from ot_gen.cli.building import build
from ot_gen.measures import undisturbed
from ot_gen.networks import evaluations

SAMPLES, SHOWN = 2000, 16
CELLS = {
    "vae": ("primal/vae",),
    "primal-table": ("primal/sinkhorn_divergence",),
    "primal-network": ("primal/latent_flow",),
    "dual-table": ("dual/semidiscrete",),
    "dual-network": ("dual/wgan_gp",),
}


def trained(overrides: Sequence[str], seed: int) -> tuple[Pushforward, float]:
    """The model of an entry with its defaults, as it is judged, and the CPU seconds of its training."""
    made = parts("data=mnist", *overrides, data=protocol_data(), seed=seed)
    began = time.process_time()
    fit(made.mu, made.data.train, made.solver, **made.trainer)
    mu, ex_post = made.mu.in_own_units(), build(made.config.get("ex_post"))
    if ex_post is not None and made.encoder is not None:
        own = made.data.own
        mu = Pushforward(mu.map, ex_post(made.encoder, own.train if mu.classes is None else own.by_label().train))
    return mu, time.process_time() - began


def drawn(mu: Pushforward, seed: int) -> tuple[torch.Tensor, float]:
    """Samples, and the share of them that the judge takes for their class, where they have one."""
    with undisturbed(mu):
        torch.manual_seed(seed)
        z = mu.base.sample(SAMPLES)
        points = mu(z)
    if mu.classes is None:
        return points, math.nan
    return points, float((classifier().classes(points) == unlabelled(z)[1]).float().mean())


def nearest(points: torch.Tensor, training: torch.Tensor) -> float:
    """The median distance to the nearest training digit."""
    squares = [SquaredEuclidean().matrix(part, training).amin(dim=1) for part in points.split(500)]
    return float(torch.cat(squares).clamp_min(0).sqrt().median())


def row(name: str, values: dict[str, float]) -> str:
    return f"{name:28s}" + "".join(f"{values[column]:9.3f}" for column in values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--overrides", nargs="*", default=[], help="of each entry, in the words of ot-gen")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    images, _ = digits()
    training, real = images[TRAIN], nearest(images[A], images[TRAIN])
    print(f"torch {torch.__version__}, one thread; overrides: {' '.join(arguments.overrides) or 'none'}")
    print(f"{'':28s}" + "".join(f"{column:>9s}" for column in (*COLUMNS, "memo", "class", "CPU s")))
    print(row("floor", floor()), row("ceiling", ceiling()), sep="\n", flush=True)
    for cell in arguments.cells:
        rows: dict[str, list[dict[str, float]]] = defaultdict(list)
        for seed in arguments.seeds:
            mu, seconds = trained((f"solver={CELLS[cell][0]}", *CELLS[cell][1:], *arguments.overrides), seed)
            ways = {cell: nullcontext()}
            if any(isinstance(part, FlowMap) for part in mu.modules()):
                ways[f"{cell} at 1"] = evaluations(mu, 1)
            for name, context in ways.items():
                with context:
                    points, accuracy = drawn(mu, seed)
                if name == cell and seed == arguments.seeds[0] and arguments.output is not None:
                    arguments.output.mkdir(parents=True, exist_ok=True)
                    np.save(arguments.output / f"{cell}.npy", points[:SHOWN].numpy())
                    draw(images[A][:SHOWN], arguments.output)
                extras = {"memo": nearest(points, training) / real, "class": accuracy, "CPU s": seconds}
                rows[name].append(judge(points) | extras)
                print(row(f"{name}, {seed}", rows[name][-1]), flush=True)
        for name, found in rows.items():
            print(row(f"{name}, mean", {key: statistics.fmean(r[key] for r in found) for key in found[0]}), flush=True)


def draw(real: torch.Tensor, folder: Path) -> None:
    """A row of samples for each cell that has some in the folder."""
    import matplotlib.pyplot as plt

    strips = [("real digits", real)]
    for cell, (solver, *_) in CELLS.items():
        if (file := folder / f"{cell}.npy").exists():
            strips.append((f"{cell.replace('-', ', ')}: {solver}", torch.from_numpy(np.load(file))))
    figure, axes = plt.subplots(len(strips), 1, figsize=(10, 0.95 * len(strips)))
    for axis, (name, points) in zip(axes, strips, strict=True):
        axis.imshow(points.view(-1, 28, 28).permute(1, 0, 2).reshape(28, -1).clamp(0, 1), cmap="gray_r", vmin=0, vmax=1)
        axis.set_title(name, loc="left", fontsize=9, pad=2)
        axis.axis("off")
    figure.savefig(folder / "cells.png", dpi=120, bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    main()
