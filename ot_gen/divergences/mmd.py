"""The maximum mean discrepancy: the one U-statistic of kernels, and the divergence that it makes of codes."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch.distributions import Distribution

from ot_gen.arguments import checked
from ot_gen.divergences.divergence import Divergence, codes_and_prior
from ot_gen.divergences.kernels import Kernel
from ot_gen.measures import Measure


@checked
def witnesses(within_x: Tensor, within_y: Tensor, across: Tensor) -> tuple[Tensor, Tensor]:
    """The witness at each point, φ (n,) and ψ (m,); their means add up to the U-statistic of MMD².

        φ_i = Σ_{j≠i} k(x_i, x_j) / (n−1) − Σ_j k(x_i, y_j) / m,   ψ likewise,   MMD² ≈ mean φ + mean ψ

    The mean is unbiased and may therefore be negative. 2φ and 2ψ are its first variation.

    Args:
        within_x: k(x_i, x_j), (n, n), n >= 2.
        within_y: k(y_i, y_j), (m, m), m >= 2.
        across: k(x_i, y_j), (n, m).

    Source: Gretton et al., 2012, https://jmlr.org/papers/v13/gretton12a.html

    Example:
        >>> within, across = torch.ones(2, 2), torch.zeros(2, 3)
        >>> witnesses(within, torch.ones(3, 3), across)
        (tensor([1., 1.]), tensor([1., 1., 1.]))
    """
    n, m = within_x.shape[:1], within_y.shape[:1]
    if min(within_x.numel(), within_y.numel()) < 4 or not (
        within_x.shape == n * 2 and within_y.shape == m * 2 and across.shape == n + m
    ):
        shapes = ", ".join(str(tuple(k.shape)) for k in (within_x, within_y, across))
        raise ValueError(f"witnesses need kernels (n, n), (m, m) and (n, m) with n, m >= 2, got {shapes}")
    of_x, of_y = ((k.sum(dim=1) - k.diagonal()) / (len(k) - 1) for k in (within_x, within_y))
    return of_x - across.mean(dim=1), of_y - across.mean(dim=0)


@final
@checked
class MMD(Divergence):
    """The squared maximum mean discrepancy between the codes z_i and as many draws ζ_i ~ ζ, U-statistic.

        Σ_{i≠j} [k(z_i, z_j) + k(ζ_i, ζ_j)] / (n(n−1))  −  2 Σ_{ij} k(z_i, ζ_j) / n²

    The estimator is unbiased and may therefore be negative.

    Args:
        kernel: k, x (n, k) and y (m, k) -> (n, m), e.g. `InverseMultiquadric()` or `GaussianKernel()`.

    Source: Gretton et al., 2012, https://jmlr.org/papers/v13/gretton12a.html; in this role Tolstikhin et al., 2018,
    https://arxiv.org/abs/1711.01558

    Example:
        >>> from ot_gen import InverseMultiquadric, standard_gaussian
        >>> zeta = standard_gaussian(2)
        >>> MMD(InverseMultiquadric())(zeta.law.expand((64,)), zeta).shape
        torch.Size([])
    """

    unbiased = True

    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, q: Distribution, zeta: Measure) -> Tensor:
        codes, prior = codes_and_prior(q, zeta, "MMD")
        # Two calls for three blocks; that of the prior alone mostly has no graph.
        of_codes, across = self.kernel(codes, torch.cat([codes, prior])).chunk(2, dim=1)
        phi, psi = witnesses(of_codes, self.kernel(prior, prior), across)
        return phi.mean() + psi.mean()
