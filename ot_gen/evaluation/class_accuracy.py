"""The judge of a model that generates by class: a classifier tells whether a sample is of the class asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from ot_gen.arguments import Count, Labels, checked
from ot_gen.costs import squared_distances
from ot_gen.evaluation.metric import Cloud, MetricValue
from ot_gen.measures import Pixels, check_cloud

CHUNK = 2**24  # distances at a time


@final
@checked
class NearestLabels:
    """The classifier of the k nearest training points: y (n, d) -> (n,), the commonest class among them.

    Of classes that are equally common among the k, the one of the nearest point is taken.

    Args:
        points: the training points, (m, d).
        labels: their classes, (m,).
        k: the number of neighbours; at most m are there.

    Raises:
        ValueError: labels that are not one for each point; in use, points of another dimension.

    Source: Cover, Hart, 1967, https://doi.org/10.1109/TIT.1967.1053964

    Example:
        >>> classifier = NearestLabels(torch.tensor([[0.0], [1.0], [9.0]]), torch.tensor([4, 4, 7]), k=1)
        >>> classifier(torch.tensor([[0.4], [8.0]]))
        tensor([4, 7])
    """

    def __init__(self, points: Cloud | Pixels, labels: Labels, k: Count = 5) -> None:
        if isinstance(points, Tensor):
            check_cloud(points, "the training points")
        if labels.shape != (len(points),):
            raise ValueError(f"labels must be one for each of {len(points)} points, got shape {tuple(labels.shape)}")
        self.points, self.labels = points.detach(), labels.cpu()
        self.k = min(k, len(points))

    def __call__(self, y: Cloud) -> Tensor:
        check_cloud(y, "y")
        if y.shape[1] != self.points.shape[1]:
            raise ValueError(f"y must be points (n, {self.points.shape[1]}), got {tuple(y.shape)}")
        return torch.cat([self._classes(part) for part in y.detach().cpu().split(max(1, CHUNK // len(self.points)))])

    def __str__(self) -> str:
        return f"{self.k} nearest training point{'s' if self.k > 1 else ''}"

    def _classes(self, y: Tensor) -> Tensor:
        parts = self.points.split(max(1, CHUNK // y.shape[1]))
        distances = torch.cat([squared_distances(y, part.cpu()) for part in parts], dim=1)
        nearest = distances.topk(self.k, dim=1, largest=False).indices
        classes = self.labels[nearest]
        votes = (classes[:, :, None] == classes[:, None]).sum(dim=2).double()
        # So that of equal votes the nearest point's are most.
        first = votes - torch.arange(self.k, device="cpu") / self.k
        return classes.gather(1, first.argmax(dim=1, keepdim=True))[:, 0]


@checked
def class_accuracy(found: Labels, asked: Labels) -> MetricValue:
    """The share of samples whose class, as a classifier finds it, (n,), is the one that was asked for, (n,).

    1 is best. A model that ignores its class scores the chance that two labels agree, 1/K for K equal classes. The
    error is the binomial one by Laplace's rule, so that a share of 0 or 1 has one too.

    Example:
        >>> class_accuracy(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 0, 1])).value
        0.75
    """
    if found.shape != asked.shape or not len(found):
        raise ValueError(f"classes are compared one by one, got {tuple(found.shape)} and {tuple(asked.shape)}")
    hits, n = int((found.cpu() == asked.cpu()).sum()), len(found)
    p = (hits + 1) / (n + 2)
    return MetricValue(hits / n, math.sqrt(p * (1 - p) / n))


def pooled_accuracy(parts: Sequence[MetricValue], n: Sequence[int], shares: Sequence[float]) -> MetricValue:
    """The accuracy Σ_k p_k a_k of all classes from that of each one.

    Args:
        parts: a_k with their errors, by `class_accuracy`.
        n: samples of each class.
        shares: p_k, of total 1.

    Example:
        >>> parts = [MetricValue(1.0, 0.1), MetricValue(0.5, 0.1)]
        >>> pooled_accuracy(parts, [50, 50], [0.5, 0.5]).value
        0.75
    """
    value = min(1.0, math.fsum(p * part.value for part, p in zip(parts, shares, strict=True)))
    variance = sum(p**2 * a.value * (1 - a.value) / size for a, size, p in zip(parts, n, shares, strict=True))
    total = sum(n)
    laplace = (total * value + 1) / (total + 2)
    return MetricValue(value, math.sqrt(max(variance, laplace * (1 - laplace) / total)))
