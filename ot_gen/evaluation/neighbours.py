"""Metrics of nearest neighbours: precision, recall, density, coverage, and memorisation."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, final

import torch
from torch import Tensor

from ot_gen.arguments import Count, checked
from ot_gen.costs import Euclidean, squared_distances
from ot_gen.evaluation.metric import Cloud, Metric, MetricValue, first_order, points
from ot_gen.execution import without_meaning
from ot_gen.measures import Pixels

CHUNK = 2**25  # distances at a time
ROUNDING = 1e-6  # of distances that are made of products, relative to the sizes of the points


@final
class Balls(NamedTuple):
    """Which points z_i, (n,), lie in the balls of a sample y_j, (m,), that reach to the k-th neighbour of y_j in it.

    Attributes:
        inside: z_i lies in the ball of y_j, (n, m).
        wider: the same for the balls that reach to the neighbour k + 1, (n, m).
        near: y_l is among the k neighbours of y_j, (m, m); without y_l, the ball of y_j is the wider one.
        k: the neighbour.
    """

    inside: Tensor
    wider: Tensor
    near: Tensor
    k: int


@final
class LeftOut(NamedTuple):
    """A share of balls, (), and what it is without each z_i, (n,), and without each y_j, (m,)."""

    share: Tensor
    of_z: Tensor
    of_y: Tensor


@checked
class NeighbourShare(Metric, ABC):
    """A share that balls count: each reaches from a point to its k-th neighbour in its own sample.

    Distances that differ by less than a millionth of a point's own distance from the middle of the data count as equal:
    rounding must not decide which of several copies lies in a ball of radius 0.

    The error is the jackknife, se² = (n − 1)/n Σ_i (T_i − T̄)² for either sample, where T_i is the share without point i
    and neighbours are sought anew. It does not depend on the order of the points, and is too large rather than too
    small. A share of 1 or 0 has no jackknife error, so the error is at least the binomial one of a share of n points by
    Laplace's rule.

    Args:
        k: the neighbour.
        groups, seed: of a grouped jackknife, in earlier versions; they mean nothing now.

    Raises:
        ValueError: k < 1; in use, fewer than k + 3 points on either side.

    Source: of the error, Efron, Stein, 1981, https://doi.org/10.1214/aos/1176345462
    """

    def __init__(self, k: Count = 5, groups: int | None = None, seed: int | None = None) -> None:
        if groups is not None or seed is not None:
            without_meaning(f"{type(self).__name__}: groups and seed")
        self.k = k
        self.least = k + 3

    @abstractmethod
    def left_out(self, x: Tensor, y: Tensor) -> LeftOut:
        """The share of the model's samples x (n, d) and the data y (m, d), and the shares with one point less."""

    @final
    def estimate(self, x: Cloud, y: Cloud) -> MetricValue:
        x, y = points(x, y, self.least)
        middle = y.median(dim=0).values  # of the data, as a model that diverged is far from them
        share, *without = self.left_out(x - middle, y - middle)
        variance = sum(float(T.var(correction=0)) * (len(T) - 1) for T in without)
        n = min(len(x), len(y))
        p = (n * min(float(share), 1.0) + 1) / (n + 2)
        return MetricValue(float(share), math.sqrt(max(variance, p * (1 - p) / n)))

    @final
    def balls(self, z: Tensor, y: Tensor) -> Balls:
        """The balls of y (m, d), and the points z (n, d) in them."""
        if len(z) < 2 or len(y) < self.least:
            raise ValueError(f"balls of {self.k} neighbours need {self.least} points, got {len(y)} for {len(z)} others")
        rounding = ROUNDING * y.norm(dim=1)
        own, distances = Euclidean().matrix(y, y).fill_diagonal_(0.0), Euclidean().matrix(z, y)
        # The point itself is first in its row, or level with a twin: the radius is the same.
        reach, wider = (own.kthvalue(k, dim=1).values + rounding for k in (self.k + 1, self.k + 2))
        near = (own <= reach[:, None]).fill_diagonal_(False)
        return Balls(distances <= reach, distances <= wider, near, self.k)


def _mean_of_counts(balls: Balls, of_count: Callable[[Tensor], Tensor]) -> LeftOut:
    """The mean over z_i of a function of the number of balls that hold z_i."""
    inside, grown = balls.inside.double(), (balls.wider & ~balls.inside).double()
    counts = inside.sum(dim=1)
    values = of_count(counts)
    share, n = values.mean(), len(values)
    return LeftOut(
        share,
        (n * share - values) / (n - 1),
        of_count(counts[:, None] - inside + grown @ balls.near.double()).mean(dim=0),
    )


def _held(counts: Tensor) -> Tensor:
    return (counts > 0).double()


@final
@checked
class Precision(NeighbourShare):
    """The share of the model's samples that lie in a real point's ball; 1 is best. The mean digit alone scores 1.

    Source: Kynkäänniemi et al., 2019, https://arxiv.org/abs/1904.06991

    Example:
        >>> x = torch.randn(40, 2)
        >>> Precision()(x, x), Precision()(x + 100.0, x)
        (1.0, 0.0)
    """

    def left_out(self, x: Tensor, y: Tensor) -> LeftOut:
        return _mean_of_counts(self.balls(x, y), _held)


@final
@checked
class Recall(NeighbourShare):
    """The share of the real points that lie in the ball of one of the model's samples; 1 is best. Outliers inflate it.

    Source: Kynkäänniemi et al., 2019, https://arxiv.org/abs/1904.06991

    Example:
        >>> x = torch.randn(40, 2)
        >>> Recall()(x, x), Recall()(x + 100.0, x)
        (1.0, 0.0)
    """

    def left_out(self, x: Tensor, y: Tensor) -> LeftOut:
        return _mean_of_counts(self.balls(y, x), _held)  # precision with the roles exchanged


@final
@checked
class Density(NeighbourShare):
    """The mean number of real balls that hold a sample of the model, over k; about 1 for the data, may exceed it.

    Source: Naeem et al., 2020, https://arxiv.org/abs/2002.09797

    Example:
        >>> x = torch.randn(400, 2)
        >>> 0.8 < Density()(torch.randn(400, 2), x) < 1.2
        True
    """

    def left_out(self, x: Tensor, y: Tensor) -> LeftOut:
        return _mean_of_counts(self.balls(x, y), lambda counts: counts / self.k)


@final
@checked
class Coverage(NeighbourShare):
    """The share of the real balls that hold a sample of the model; 1 is best, and equal laws score about 1 − 2^−k.

    Source: Naeem et al., 2020, https://arxiv.org/abs/2002.09797

    Example:
        >>> x = torch.randn(40, 2)
        >>> Coverage()(x, x), Coverage()(x + 100.0, x)
        (1.0, 0.0)
    """

    def left_out(self, x: Tensor, y: Tensor) -> LeftOut:
        balls = self.balls(x, y)
        counts, m = balls.inside.sum(dim=0), len(y)
        held, wider = _held(counts), _held(balls.wider.sum(dim=0))
        alone = (balls.inside & (counts == 1)).double().sum(dim=1)  # balls that hold no other x
        of_y = (held.sum() - held + (wider - held) @ balls.near.double()) / (m - 1)
        return LeftOut(held.mean(), held.mean() - alone / m, of_y)


@final
@checked
class Memorisation:
    """How near samples come to training points, against held-out points: E_x d(x, T) / E_y d(y, T), T the training set.

    d(x, T) is the distance to the nearest training point. The ratio is near 1 for new points of the same law, 0 for
    copies. Blurred images are somewhat below 1 and bad samples above, so it means nothing without a distance beside
    it. The error is the delta method's for fixed T, se² = Var(d_x / d̄_y) / n + Var(ρ d_y / d̄_y) / m.

    Example:
        >>> train = torch.randn(500, 2)
        >>> float(Memorisation()(train[:50], torch.randn(50, 2), train))
        0.0
    """

    def __call__(self, x: Cloud, y: Cloud, train: Cloud | Pixels) -> float:
        """The ratio alone."""
        return self.estimate(x, y, train).value

    def estimate(self, x: Cloud, y: Cloud, train: Cloud | Pixels) -> MetricValue:
        """The ratio of samples x (n, d) to held-out y (m, d), with its standard error; train is (k, d).

        Raises:
            ValueError: clouds that are no points of one space, or held-out points that are all training points.
        """
        x, y = points(x, y)
        train = points(x, train)[1] if isinstance(train, Tensor) else train
        if train.shape[1] != x.shape[1]:
            raise ValueError(f"the training images have {train.shape[1]} numbers each, and the samples {x.shape[1]}")
        of_x, of_y = nearest_distances(x, train), nearest_distances(y, train)
        if not of_y.mean() > 0:
            raise ValueError("all held-out points are training points; hold out others to tell copies from new samples")
        ratio = of_x.mean() / of_y.mean()
        return first_order(ratio, of_x / of_y.mean(), ratio * of_y / of_y.mean())


def nearest_distances(x: Tensor, train: Tensor | Pixels) -> Tensor:
    """The distance of each x (n, d) to the nearest of the training points (k, d), (n,).

    Example:
        >>> nearest_distances(torch.tensor([[3.0, 4.0]]), torch.zeros(2, 2))
        tensor([5.])
    """
    nearest = x.new_full((len(x),), math.inf)
    for part in train.split(max(1, CHUNK // max(len(x), x.shape[1]))):
        part = part.to(x)  # of pixels: others are so already
        index = squared_distances(x, part).argmin(dim=1)
        # Measured again: the product of matrices keeps copies off distance 0.
        nearest = torch.minimum(nearest, (x - part[index]).norm(dim=1))
    return nearest
