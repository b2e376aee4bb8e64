"""Metrics of nearest neighbours: precision, recall, density, coverage, and memorisation."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Annotated, NamedTuple, final

import torch
from torch import Tensor

from ot_gen.arguments import Count, Interval, checked
from ot_gen.evaluation.metric import Cloud, Metric, MetricValue, first_order, points

CHUNK = 2**25  # distances at a time


@final
class Balls(NamedTuple):
    """Distances ‖x_i − y_j‖, (n, m), and each point's distance to its k-th neighbour in its own sample, (n,), (m,)."""

    distances: Tensor
    of_x: Tensor
    of_y: Tensor
    k: int


@checked
class NeighbourShare(Metric, ABC):
    """A share that balls count: each reaches from a point to its k-th neighbour in its own sample.

    The error is a grouped jackknife: se² = (G − 1)/G Σ_g (T_g − T̄)². T_g leaves out the g-th of G random groups of
    points of both samples, and neighbours are sought anew. A share of 1 or 0 has no jackknife error, so the error is
    at least the binomial one of a share of n points by Laplace's rule.

    Args:
        k: the neighbour.
        groups: G; fewer where there are fewer points.
        seed: of the groups.

    Raises:
        ValueError: k < 1 or fewer than two groups; in use, fewer than k + 2 points left without a group.

    Source: of the error, Efron, Stein, 1981, https://doi.org/10.1214/aos/1176345462
    """

    def __init__(self, k: Count = 5, groups: Annotated[int, Interval(2, 10**9)] = 20, seed: int = 0) -> None:
        self.k = k
        self.groups = groups
        self.seed = seed
        self.least = k + 3

    @abstractmethod
    def share(self, balls: Balls) -> Tensor:
        """The share, ()."""

    @final
    def estimate(self, x: Cloud, y: Cloud) -> MetricValue:
        x, y = points(x, y, self.least)
        distances = torch.cdist(x, y)
        members = [self._groups(len(cloud)) for cloud in (x, y)]
        sides = [_Neighbours(cloud, self.k, groups) for cloud, groups in zip((x, y), members, strict=True)]
        value = self.share(Balls(distances, sides[0].radii(None), sides[1].radii(None), self.k))
        without = []
        for g in range(min(self.groups, len(x), len(y))):
            rows, columns = (torch.nonzero(groups != g).squeeze(1) for groups in members)
            of_x, of_y = sides[0].radii(g)[rows], sides[1].radii(g)[columns]
            without.append(self.share(Balls(distances[rows[:, None], columns], of_x, of_y, self.k)))
        T = torch.stack(without)
        variance = float((T - T.mean()).square().mean()) * (len(T) - 1)
        n = min(len(x), len(y))
        p = (n * min(float(value), 1.0) + 1) / (n + 2)
        return MetricValue(float(value), math.sqrt(max(variance, p * (1 - p) / n)))

    def _groups(self, n: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randperm(n, generator=generator) % min(self.groups, n)


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

    def share(self, balls: Balls) -> Tensor:
        return (balls.distances <= balls.of_y).any(dim=1).double().mean()


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

    def share(self, balls: Balls) -> Tensor:
        return (balls.distances <= balls.of_x[:, None]).any(dim=0).double().mean()


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

    def share(self, balls: Balls) -> Tensor:
        return (balls.distances <= balls.of_y).double().sum(dim=1).mean() / balls.k


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

    def share(self, balls: Balls) -> Tensor:
        return (balls.distances <= balls.of_y).any(dim=0).double().mean()


class _Neighbours:
    """The nearest neighbours of each point: enough to know the k-th even after a whole group is left out."""

    def __init__(self, x: Tensor, k: int, groups: Tensor) -> None:
        n, largest = len(x), int(torch.bincount(groups).max())
        if n - largest < k + 2:
            raise ValueError(
                f"{n} points without one of {int(groups.max()) + 1} groups leave fewer than k + 2 = {k + 2}; "
                "give more points or groups"
            )
        distances = torch.cdist(x, x).fill_diagonal_(
            0.0
        )  # first in its row, or level with a twin: the radius is the same
        self.near, index = distances.topk(min(k + 1 + largest, n), dim=1, largest=False)
        self.near, self.group, self.k = self.near[:, 1:], groups[index[:, 1:]], k

    def radii(self, without: int | None) -> Tensor:
        """The distance to the k-th neighbour that is not in the group, (n,)."""
        if without is None:
            return self.near[:, self.k - 1]
        rank = (self.group != without).cumsum(dim=1)
        return self.near.gather(1, (rank >= self.k).int().argmax(dim=1, keepdim=True)).squeeze(1)


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

    def __call__(self, x: Cloud, y: Cloud, train: Cloud) -> float:
        """The ratio alone."""
        return self.estimate(x, y, train).value

    def estimate(self, x: Cloud, y: Cloud, train: Cloud) -> MetricValue:
        """The ratio of samples x (n, d) to held-out y (m, d), with its standard error; train is (k, d).

        Raises:
            ValueError: clouds that are no points of one space, or held-out points that are all training points.
        """
        x, y = points(x, y)
        _, train = points(x, train)
        of_x, of_y = nearest_distances(x, train), nearest_distances(y, train)
        if not of_y.mean() > 0:
            raise ValueError("all held-out points are training points; hold out others to tell copies from new samples")
        ratio = of_x.mean() / of_y.mean()
        return first_order(ratio, of_x / of_y.mean(), ratio * of_y / of_y.mean())


def nearest_distances(x: Tensor, train: Tensor) -> Tensor:
    """The distance of each x (n, d) to the nearest of the training points (k, d), (n,).

    Example:
        >>> nearest_distances(torch.tensor([[3.0, 4.0]]), torch.zeros(2, 2))
        tensor([5.])
    """
    nearest = torch.full((len(x),), math.inf, dtype=x.dtype)
    for part in train.split(max(1, CHUNK // max(len(x), x.shape[1]))):
        index = torch.cdist(x, part).argmin(dim=1)
        # Measured again: cdist multiplies matrices, and rounding there keeps copies off distance 0.
        nearest = torch.minimum(nearest, (x - part[index]).norm(dim=1))
    return nearest
