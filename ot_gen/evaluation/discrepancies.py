"""Metrics of kernels: unbiased U-statistics of mean discrepancies, one for each kernel."""

from __future__ import annotations

from typing import final

from ot_gen.arguments import checked
from ot_gen.divergences import Kernel, witnesses
from ot_gen.evaluation.metric import Cloud, Metric, MetricValue, first_order, points


@final
@checked
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
        >>> import torch
        >>> from ot_gen.evaluation import EnergyKernel
        >>> x, y = torch.zeros(2, 1), torch.full((2, 1), 3.0)
        >>> MeanDiscrepancy(EnergyKernel())(x, y)  # 2 E‖x − y‖
        6.0
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def estimate(self, x: Cloud, y: Cloud) -> MetricValue:
        x, y = points(x, y)
        of_x, of_y = witnesses(self.kernel(x, x), self.kernel(y, y), self.kernel(x, y))
        return first_order(of_x.mean() + of_y.mean(), 2 * of_x, 2 * of_y)
