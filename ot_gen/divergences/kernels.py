"""Kernels: how alike two points are. Each is called on clouds, x (n, d) and y (m, d) -> k(x_i, y_j), (n, m).

They serve divergences of codes (`MMD`) and metrics of samples (`ot_gen.evaluation.MeanDiscrepancy`) alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from ot_gen.arguments import Cloud, Positive, checked
from ot_gen.costs import Euclidean, squared_distances
from ot_gen.measures.points import comparable

Kernel = Callable[[Tensor, Tensor], Tensor]


@final
@checked
class InverseMultiquadric(nn.Module):
    """k(x, y) = mean_s  C_s / (C_s + ‖x − y‖²), with C_s = 2 d s for the dimension d and scales s.

    Its heavy tails give far codes a gradient. Averaged over scales, so that k(x, x) = 1.

    Args:
        scales: s > 0, wide and narrow.

    Raises:
        ValueError: no scale, or one that is not positive.

    Source: Tolstikhin et al., 2018, https://arxiv.org/abs/1711.01558, appendix C

    Example:
        >>> InverseMultiquadric()(torch.zeros(1, 8), torch.zeros(2, 8))
        tensor([[1., 1.]])
    """

    def __init__(self, scales: tuple[Positive, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)) -> None:
        super().__init__()
        self.scales = _some(scales)

    def forward(self, x: Cloud, y: Cloud) -> Tensor:
        x, y = comparable(x, y)
        constants = [2.0 * x.shape[1] * s for s in self.scales]
        values: Tensor = _MeanOfFractions.apply(squared_distances(x, y), constants)
        return values


class _MeanOfFractions(torch.autograd.Function):
    """mean over c of c / (c + s), with its derivative made on the way: half of autograd's passes over memory."""

    @staticmethod
    def forward(ctx: Any, squared: Tensor, constants: Sequence[float]) -> Tensor:
        value, slope = torch.zeros_like(squared), torch.zeros_like(squared)
        for c in constants:
            fraction = (squared + c).reciprocal_()
            value.add_(fraction, alpha=c / len(constants))
            slope.addcmul_(fraction, fraction, value=-c / len(constants))
        ctx.save_for_backward(slope)
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return gradients[0] * slope, None


@final
@checked
class GaussianKernel(nn.Module):
    """k(x, y) = mean_s  exp(−‖x − y‖² / (2 v s)), for scales s in units of a variance v.

    Args:
        scales: s > 0, wide and narrow.
        variance: v > 0, in units of ‖x − y‖²; None is the dimension d, the total variance of a standard Gaussian.

    Raises:
        ValueError: no scale, or a scale or a variance that is not positive.

    Example:
        >>> GaussianKernel()(torch.zeros(1, 8), torch.zeros(2, 8))
        tensor([[1., 1.]])
    """

    def __init__(self, scales: tuple[Positive, ...] = (0.25, 1.0, 4.0), variance: Positive | None = None) -> None:
        super().__init__()
        self.scales = _some(scales)
        self.variance = variance

    def forward(self, x: Cloud, y: Cloud) -> Tensor:
        x, y = comparable(x, y)
        v = x.shape[1] if self.variance is None else self.variance
        squared = squared_distances(x, y)
        values = torch.zeros_like(squared)
        for s in self.scales:
            values = values + torch.exp(squared / (-2.0 * v * s))
        return values / len(self.scales)


@final
@checked
class GaussianScales:
    """`GaussianKernel` at scales that suit samples: k(x, y) = mean over s of exp(−‖x − y‖² / (2 s v)).

    Args:
        variance: v, the total variance E‖y − ȳ‖² of the data (`Dataset.variance`).
        scales: s, wide and narrow.

    Raises:
        ValueError: v or a scale is not positive.

    Example:
        >>> GaussianScales(1.0)(torch.zeros(1, 2), torch.zeros(1, 2))
        tensor([[1.]])
    """

    def __init__(self, variance: Positive, scales: tuple[Positive, ...] = (0.05, 0.25, 1.0)) -> None:
        self.kernel = GaussianKernel(scales, variance)

    def __call__(self, x: Cloud, y: Cloud) -> Tensor:
        values: Tensor = self.kernel(x, y)
        return values


@final
@checked
class EnergyKernel:
    """k(x, y) = −‖x − y‖, conditionally positive definite: its discrepancy is the energy distance.

    Source: Székely, Rizzo, 2013, https://doi.org/10.1016/j.jspi.2013.03.018

    Example:
        >>> EnergyKernel()(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
        tensor([[-5.]])
    """

    def __call__(self, x: Cloud, y: Cloud) -> Tensor:
        return -Euclidean().matrix(x, y)


@final
@checked
class CubicKernel:
    """k(x, y) = (⟨x, y⟩ / d + 1)³, which compares three moments: the kernel of the kernel distance.

    Source: Bińkowski et al., 2018, https://arxiv.org/abs/1801.01401

    Example:
        >>> CubicKernel()(torch.ones(1, 2), torch.ones(1, 2))
        tensor([[8.]])
    """

    def __call__(self, x: Cloud, y: Cloud) -> Tensor:
        x, y = comparable(x, y)
        return (x @ y.T / x.shape[1] + 1) ** 3


def _some(scales: tuple[float, ...]) -> tuple[float, ...]:
    if not scales:
        raise ValueError("a kernel needs positive scales, got none; leave them out for the default")
    return tuple(scales)
