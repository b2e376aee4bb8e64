"""What a metric is: a number that compares two samples, with a standard error."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple, final

import torch
from torch import Tensor

from ot_gen.arguments import checked
from ot_gen.measures import check_cloud

Cloud = Tensor  # or an array: the door makes a tensor of it


@final
class MetricValue(NamedTuple):
    """A metric between two samples, and its standard error: that of the number itself, from sample to sample.

    All metrics but the kernel metrics are biased at finite n. The error is around the mean at this n, not around the
    limit: the floor shows the bias.
    """

    value: float
    se: float


@checked
class Metric(ABC):
    """A function of two samples, x of a model and y of the data; smaller is nearer unless its docstring says otherwise.

    Calling it gives the number, `estimate` the number with its standard error. Nothing is drawn at random from the
    global generator, and equal samples give equal numbers.

    `least` is the minimum number of points on each side. `of_labels` says that the points are class labels, (n,).
    """

    least: int = 2
    of_labels: bool = False

    @abstractmethod
    def estimate(self, x: Cloud, y: Cloud) -> MetricValue:
        """The metric between x (n, d) and y (m, d), tensors or arrays, with its standard error."""

    def __call__(self, x: Cloud, y: Cloud) -> float:
        """The metric alone."""
        return self.estimate(x, y).value


def points(x: Cloud, y: Cloud, least: int = 2) -> tuple[Tensor, Tensor]:
    """Both samples as float64 tensors on the CPU, without a graph.

    Args:
        x, y: points, (n, d) and (m, d), tensors or arrays.
        least: the minimum number of points on each side.

    Raises:
        ValueError: no finite clouds of real numbers of one dimension with at least `least` points each.

    Example:
        >>> points(torch.zeros(3, 2), torch.zeros(4, 2))[0].dtype
        torch.float64
    """
    sides = []
    for name, given in (("the model's samples", x), ("the real samples", y)):
        cloud = given.detach().to("cpu", torch.float64)
        check_cloud(cloud, name)
        if len(cloud) < least:
            raise ValueError(f"this metric needs at least {least} points on each side, got {len(cloud)} of {name}")
        sides.append(cloud)
    if sides[0].shape[1] != sides[1].shape[1]:
        raise ValueError(
            f"a metric compares (n, d) with (m, d), got {tuple(sides[0].shape)} and {tuple(sides[1].shape)}; give both "
            "samples the same dimension"
        )
    return sides[0], sides[1]


def first_order(value: Tensor | float, of_x: Tensor, of_y: Tensor, extra: float = 0.0) -> MetricValue:
    """The estimate of a function of two empirical measures from its first variation φ at x_i and ψ at y_j.

        se² = Var φ / n + Var ψ / m + extra

    This is the infinitesimal jackknife. At equal laws the variation vanishes in the limit. The one measured on the
    sample itself is then of the size of the fluctuations, and the error is too large (by √2 for a U-statistic), not
    too small.

    Args:
        value: the number, ().
        of_x, of_y: φ (n,) and ψ (m,), up to constants.
        extra: variance that does not come from the samples.

    Source: Efron, Stein, 1981, https://doi.org/10.1214/aos/1176345462

    Example:
        >>> first_order(2.0, torch.tensor([0.0, 2.0]), torch.tensor([1.0, 1.0]))
        MetricValue(value=2.0, se=1.0)
    """
    variance = float(of_x.var()) / len(of_x) + float(of_y.var()) / len(of_y) + extra
    if math.isnan(value) or math.isnan(variance):
        raise ValueError("the metric overflows float64: the samples are too large; divide both by a common number")
    return MetricValue(float(value), math.sqrt(variance))
