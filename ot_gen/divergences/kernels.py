"""The maximum mean discrepancy and its kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ot_gen.costs import squared_distances
from ot_gen.divergences.divergence import Divergence, codes_and_prior
from ot_gen.measures import Measure


@final
class MMD(Divergence):
    """The squared maximum mean discrepancy between the codes z_i and as many draws ζ_i ~ ζ, U-statistic.

        Σ_{i≠j} [k(z_i, z_j) + k(ζ_i, ζ_j)] / (n(n−1))  −  2 Σ_{ij} k(z_i, ζ_j) / n²

    The estimator is unbiased and may therefore be negative.

    Args:
        kernel: k as a function of squared distances, e.g. `InverseMultiquadric()` or `GaussianKernel()`.

    Source: Gretton et al., 2012, https://jmlr.org/papers/v13/gretton12a.html; in this role Tolstikhin et al., 2018,
    https://arxiv.org/abs/1711.01558

    Example:
        >>> from ot_gen import standard_gaussian
        >>> zeta = standard_gaussian(2)
        >>> MMD(InverseMultiquadric())(zeta.law.expand((64,)), zeta).shape
        torch.Size([])
    """

    unbiased = True

    def __init__(self, kernel: nn.Module) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, q: Distribution, zeta: Measure) -> Tensor:
        codes, prior = codes_and_prior(q, zeta, "MMD")
        n, k = codes.shape
        pairs = ((codes, codes), (prior, prior), (codes, prior))
        values = self.kernel(torch.stack([squared_distances(u, v) for u, v in pairs]), k)
        of_codes, of_prior, across = values.sum(dim=(1, 2))
        on_diagonal = values[:2].diagonal(dim1=1, dim2=2).sum()
        return (of_codes + of_prior - on_diagonal) / (n * (n - 1)) - 2 * across / n**2


@final
class InverseMultiquadric(nn.Module):
    """k(z, z') = mean_s  C_s / (C_s + ‖z − z'‖²), with C_s = 2 k s for the latent dimension k and scales s.

    Its heavy tails give far codes a gradient. Averaged over scales, so that k(z, z) = 1.

    Source: Tolstikhin et al., 2018, https://arxiv.org/abs/1711.01558, appendix C

    Example:
        >>> float(InverseMultiquadric()(torch.zeros(()), 8))
        1.0
    """

    def __init__(self, scales: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)) -> None:
        super().__init__()
        self.scales = _positive(scales)

    def forward(self, squared: Tensor, k: int) -> Tensor:
        values: Tensor = _MeanOfFractions.apply(squared, [2.0 * k * s for s in self.scales])
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
class GaussianKernel(nn.Module):
    """k(z, z') = mean_s  exp(−‖z − z'‖² / (2 k s)), for the latent dimension k and scales s.

    Example:
        >>> float(GaussianKernel()(torch.zeros(()), 8))
        1.0
    """

    def __init__(self, scales: tuple[float, ...] = (0.25, 1.0, 4.0)) -> None:
        super().__init__()
        self.scales = _positive(scales)

    def forward(self, squared: Tensor, k: int) -> Tensor:
        return torch.stack([torch.exp(squared / (-2.0 * k * s)) for s in self.scales]).mean(dim=0)


def _positive(scales: tuple[float, ...]) -> tuple[float, ...]:
    if not scales or min(scales) <= 0:
        raise ValueError(f"kernel scales must be positive, got {tuple(scales)}")
    return tuple(scales)
