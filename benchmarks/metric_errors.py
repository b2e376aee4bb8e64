"""How honest the standard errors of the metrics are: over many resamples, their size and what ±2 of them cover.

    python benchmarks/metric_errors.py [--n 100] [--repeats 150]      # about a minute of one core

Each row draws `repeats` independent pairs of samples of size n: equal Gaussians, or a model N(t, 0.64 I) against
N(0, I), with t = 1/2 in d = 2 and 3/10 in d = 20; for the metrics of classes, uneven shares of ten classes.

    spread   the standard deviation of the metric over the pairs
    error    the mean of the stated standard errors; error / spread is 1 where they are exact
    covers   the share of pairs whose value lies within two stated errors of the mean over all pairs
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor

from ot_gen import Euclidean, SquaredEuclidean
from ot_gen.evaluation import (
    ClassError,
    Coverage,
    CubicKernel,
    Density,
    EnergyKernel,
    ExactTransport,
    FrechetDistance,
    GaussianScales,
    MeanDiscrepancy,
    Metric,
    ModeCoverage,
    Precision,
    Recall,
    SinkhornDistance,
    SlicedTransport,
)

Draw = Callable[[], Tensor]


def metrics(d: int) -> dict[str, Metric]:
    """The standard set, with scales for data of variance d."""
    return {
        "w1": ExactTransport(Euclidean()),
        "w2_squared": ExactTransport(SquaredEuclidean()),
        "sinkhorn": SinkhornDistance(0.05 * d),
        "sliced_w2": SlicedTransport(),
        "mmd": MeanDiscrepancy(GaussianScales(float(d))),
        "energy": MeanDiscrepancy(EnergyKernel()),
        "frechet": FrechetDistance(),
        "kernel_distance": MeanDiscrepancy(CubicKernel()),
        "precision": Precision(),
        "recall": Recall(),
        "density": Density(),
        "coverage": Coverage(),
    }


def row(label: str, metric: Metric, x: Draw, y: Draw, repeats: int) -> tuple[str, float]:
    """One line of the table, and what it covers."""
    torch.manual_seed(0)
    value, se = torch.tensor([metric.estimate(x(), y()) for _ in range(repeats)]).T
    covers = float(((value - value.mean()).abs() <= 2 * se).double().mean())
    ratio = float(se.mean() / value.std())
    return f"{label:36s}{value.mean():10.4g}{value.std():10.3g}{se.mean():10.3g}{ratio:8.2f}{covers:9.1%}", covers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=150)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    n, repeats = arguments.n, arguments.repeats
    print(f"{'':36s}{'mean':>10s}{'spread':>10s}{'error':>10s}{'ratio':>8s}{'covers':>9s}")
    covered = []
    for d, t in ((2, 0.5), (20, 0.3)):
        for name, metric in metrics(d).items():
            for case, scale, shift in (("equal", 1.0, 0.0), ("different", 0.8, t)):
                line, covers = row(
                    f"{name}, d = {d}, {case}",
                    metric,
                    lambda d=d, scale=scale, shift=shift: scale * torch.randn(n, d) + shift,
                    lambda d=d: torch.randn(n, d),
                    repeats,
                )
                covered.append(covers)
                print(line)
    even = torch.full((10,), 0.1)
    uneven = torch.tensor([0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.025, 0.025])
    for name, metric in (("class_error", ClassError()), ("mode_coverage", ModeCoverage())):
        for case, shares in (("equal", even), ("different", uneven)):
            line, covers = row(
                f"{name}, {case}",
                metric,
                lambda shares=shares: torch.multinomial(shares, n, replacement=True),
                lambda: torch.multinomial(even, n, replacement=True),
                repeats,
            )
            covered.append(covers)
            print(line)
    print(f"{len(covered)} rows: least {min(covered):.1%} covered, {sum(covered) / len(covered):.1%} in the mean")


if __name__ == "__main__":
    main()
