"""Metrics of classes: what share of the samples each class receives, and which classes receive none."""

from __future__ import annotations

import math
from typing import Annotated, final

import torch
from torch import Tensor
from torch.distributions import Independent, MixtureSameFamily, Normal

from ot_gen.arguments import Interval, checked
from ot_gen.data.law import Law
from ot_gen.evaluation.metric import Cloud, Metric, MetricValue, first_order
from ot_gen.measures import Measure, Reference, check_cloud

MOST_CLASSES = 10**6


@final
@checked
class ClassError(Metric):
    """The total variation ½ Σ_c |p_c − q_c| between the class shares of two label vectors, in [0, 1].

    Labels are whole numbers, (n,) and (m,); those below 0 are one more class, "none". At equal laws the error is too
    large rather than too small.

    Example:
        >>> ClassError()(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1, 0, 1]))
        0.25
    """

    of_labels = True

    def estimate(self, x: Cloud, y: Cloud) -> MetricValue:
        a, b = labels(x, y)
        p, q = shares(a, b)
        sign = (p - q).sign() / 2
        return first_order((p - q).abs().sum() / 2, sign[a + 1], sign[b + 1])


@final
@checked
class ModeCoverage(Metric):
    """The share of the classes c >= 0 of the data that the model covers, p_c >= share · q_c; 1 is best.

    The error takes each p_c − share · q_c as Gaussian: se² = Σ_c P_c (1 − P_c) / K². P_c is the probability that class
    c is covered in another pair of samples.

    Args:
        share: the part of its mass that makes a class covered, in (0, 1].

    Raises:
        ValueError: a share outside (0, 1]; in use, real samples without a class.

    Example:
        >>> ModeCoverage()(torch.tensor([0, 0, 0, 0]), torch.tensor([0, 1, 0, 1]))
        0.5
    """

    of_labels = True

    def __init__(self, share: Annotated[float, Interval(0, 1, "(")] = 0.25) -> None:
        self.share = share

    def estimate(self, x: Cloud, y: Cloud) -> MetricValue:
        a, b = labels(x, y)
        p, q = (part[1:] for part in shares(a, b))
        is_real = q > 0
        if not bool(is_real.any()):
            raise ValueError("no real sample belongs to a class, so there is nothing to cover")
        p, q = p[is_real], q[is_real]
        slack = p - self.share * q
        variance = _variance(p, len(a)) + self.share**2 * _variance(q, len(b))
        chance = torch.special.ndtr(slack / variance.sqrt())
        return MetricValue(
            float((slack >= 0).double().mean()), math.sqrt(float((chance * (1 - chance)).sum())) / len(p)
        )


@final
@checked
class Components:
    """Labels of the parts of a law: y (n, 2) -> (n,), the likeliest component, or −1 far from all of them.

    For Gaussian components, far means further than `reach` standard deviations from the mean. In other laws (moons,
    rings, arms, lines) every point has its nearest part.

    Args:
        law: a mixture of Gaussians, or a `Law` that knows its parts.
        reach: standard deviations; a part e^(−reach²/2) of a planar component lies beyond.

    Raises:
        ValueError: a law without parts, or a reach that is not positive.

    Example:
        >>> from ot_gen.data import eight_gaussians
        >>> Components(eight_gaussians())(torch.tensor([[2.0, 0.0], [0.0, 2.1], [0.0, 0.0]]))
        tensor([ 0,  2, -1])
    """

    def __init__(self, law: Measure, reach: Annotated[float, Interval(0, math.inf, "(")] = 4.0) -> None:
        self.dim = law.dim
        self.mixture = law.law if isinstance(law, Reference) else None
        self.component = law.component if isinstance(law, Law) else None
        if self.component is None and not _is_gaussian_mixture(self.mixture):
            raise ValueError(
                f"{law} has no parts that can be counted; use a mixture (eight_gaussians(), two_moons(), ...), or "
                "metrics of points"
            )
        self.reach = reach

    def __call__(self, y: Tensor) -> Tensor:
        check_cloud(y, "y")
        if y.shape[1] != self.dim:
            raise ValueError(f"y must be points (n, {self.dim}) like those of the law, got {tuple(y.shape)}")
        if self.component is not None:
            return self.component(y)
        mixture = self.mixture
        assert isinstance(mixture, MixtureSameFamily)
        parts = mixture.component_distribution
        nearest = (parts.log_prob(y[:, None]) + mixture.mixture_distribution.logits).argmax(dim=1)
        squared = ((y - parts.mean[nearest]).square() / parts.variance[nearest]).sum(dim=1)
        return torch.where(squared <= self.reach**2, nearest, -1)


def labels(x: Cloud, y: Cloud) -> tuple[Tensor, Tensor]:
    """Both label vectors as int64; ValueError unless they are non-empty vectors of whole numbers >= −1.

    Example:
        >>> labels(torch.tensor([0, 1]), torch.tensor([2, -1]))
        (tensor([0, 1]), tensor([ 2, -1]))
    """
    vectors = []
    for name, given in (("the model's classes", x), ("the real classes", y)):
        label = given.detach().cpu()
        whole = label.double()  # a list of whole numbers comes in torch's default dtype
        if label.ndim != 1 or not len(label) or not bool(((whole == whole.round()) & (whole >= -1)).all()):
            raise ValueError(
                f"{name} must be whole numbers >= 0, (n,), or −1 for none, got {label.dtype} {tuple(label.shape)}"
            )
        if float(whole.max()) > MOST_CLASSES:
            raise ValueError(f"{name} reach {float(whole.max()):g}; number them 0, 1, ..., at most {MOST_CLASSES}")
        vectors.append(label.long())
    if len(vectors[0]) < 2 or len(vectors[1]) < 2:
        raise ValueError(f"classes of at least two samples on each side are compared, got {len(x)} and {len(y)}")
    return vectors[0], vectors[1]


def shares(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The share of each class −1, 0, 1, ... in two label vectors, (K + 1,) each.

    Example:
        >>> shares(torch.tensor([0, 0]), torch.tensor([0, 1]))[1]
        tensor([0.0000, 0.5000, 0.5000], dtype=torch.float64)
    """
    size = int(torch.cat([a, b]).max()) + 2
    p, q = (torch.bincount(label + 1, minlength=size).double() / len(label) for label in (a, b))
    return p, q


def _variance(share: Tensor, n: int) -> Tensor:
    """Of a share of n samples. Without Laplace's rule a class without samples would have no error at all."""
    p = (share * n + 1) / (n + 2)
    return p * (1 - p) / n


def _is_gaussian_mixture(law: object) -> bool:
    if not isinstance(law, MixtureSameFamily):
        return False
    parts = law.component_distribution
    return isinstance(parts, Independent) and isinstance(parts.base_dist, Normal)
