"""Metrics of kernels: each an unbiased U-statistic of a mean discrepancy, which a kernel names."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from ot_gen.costs import squared_distances
from ot_gen.evaluation.metric import Cloud, Estimate, Metric, first_order, points

Kernel = Callable[[Tensor, Tensor], Tensor]


@final
class MeanDiscrepancy(Metric):
    """The squared mean discrepancy of a kernel k, as an unbiased U-statistic, which may be negative.

        Σ_{i≠j} k(x_i, x_j) / (n(n−1)) + Σ_{i≠j} k(y_i, y_j) / (m(m−1)) − 2 Σ_ij k(x_i, y_j) / (nm)

    With `GaussianScales` this is MMD², with `EnergyKernel` the energy distance 2E‖x − y‖ − E‖x − x'‖ − E‖y − y'‖, and
    with `CubicKernel` on features the kernel distance ("KID"). Its mean at equal laws is 0 at every n; the error is
    √2 too large there.

    Args:
        kernel: k as a function of x (n, d) and y (m, d) -> (n, m).

    Source: Gretton et al., 2012, https://jmlr.org/papers/v13/gretton12a.html

    Example:
        >>> x, y = torch.zeros(2, 1), torch.full((2, 1), 3.0)
        >>> MeanDiscrepancy(EnergyKernel())(x, y)  # 2 E‖x − y‖
        6.0
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def estimate(self, x: Cloud, y: Cloud) -> Estimate:
        x, y = points(x, y)
        across = self.kernel(x, y)
        of_x, of_y = (self._others(x) - across.mean(dim=1), self._others(y) - across.mean(dim=0))
        return first_order(of_x.mean() + of_y.mean(), 2 * of_x, 2 * of_y)

    def _others(self, x: Tensor) -> Tensor:
        """The mean of k(x_i, x_j) over j ≠ i, (n,)."""
        k = self.kernel(x, x)
        return (k.sum(dim=1) - k.diagonal()) / (len(x) - 1)


@final
class GaussianScales:
    """k(x, y) = mean over s of exp(−‖x − y‖² / (2 s v)).

    Args:
        variance: v, the total variance E‖y − ȳ‖² of the data (`Dataset.variance`).
        scales: s, wide and narrow.

    Raises:
        ValueError: v or a scale is not positive.

    Example:
        >>> GaussianScales(1.0)(torch.zeros(1, 2), torch.zeros(1, 2))
        tensor([[1.]])
    """

    def __init__(self, variance: float, scales: tuple[float, ...] = (0.05, 0.25, 1.0)) -> None:
        if not variance > 0 or not scales or not min(scales) > 0:
            raise ValueError(f"a kernel needs a positive variance and positive scales, got {variance} and {scales}")
        self.variance = variance
        self.scales = tuple(scales)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        squared = squared_distances(x, y)
        total = torch.zeros_like(squared)
        for s in self.scales:
            total += torch.exp(squared / (-2 * s * self.variance))
        return total / len(self.scales)


@final
class EnergyKernel:
    """k(x, y) = −‖x − y‖, conditionally positive definite: its discrepancy is the energy distance.

    Source: Székely, Rizzo, 2013, https://doi.org/10.1016/j.jspi.2013.03.018

    Example:
        >>> EnergyKernel()(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
        tensor([[-5.]])
    """

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return -torch.cdist(x, y)


@final
class CubicKernel:
    """k(x, y) = (⟨x, y⟩ / d + 1)³, which compares three moments: the kernel of the kernel distance.

    Source: Bińkowski et al., 2018, https://arxiv.org/abs/1801.01401

    Example:
        >>> CubicKernel()(torch.ones(1, 2), torch.ones(1, 2))
        tensor([[8.]])
    """

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3
