"""The Cramér-Wold distance of CWAE."""

from __future__ import annotations

import math

from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from ot_gen.costs import squared_distances
from ot_gen.measures import Reference

from .divergence import Divergence, codes_and_prior


class CramerWold(Divergence):
    """The squared Cramér-Wold distance: L² between smoothed one-dimensional projections, averaged over directions.

        d²(q̄, ζ) = 1/(2√π) [ 1/n² Σ_ij κ(γ, ‖z_i − z_j‖²) + κ(1 + γ, 0) − 2/n Σ_i κ(½ + γ, ‖z_i‖²) ],   ζ = N(0, I)
        κ(c, s) = (c + s / (2k − 3))^(−½),    γ = (4 / (3n))^(2/5)

    The square root stands for the confluent hypergeometric function ₁F₁(½; k/2; ·) of the exact average, from which
    it differs by a few per cent at small k (the paper's approximation, made for k >= 20). Nothing is sampled from a
    standard Gaussian ζ; another reference is compared by as many draws as there are codes. V-statistics: biased.

    Raises:
        ValueError: a latent dimension below 2, or fewer than two codes.

    Source: Knop et al., 2020, https://jmlr.org/papers/v21/19-560.html

    Example:
        >>> import torch
        >>> from ot_gen.measures import standard_gaussian
        >>> zeta = standard_gaussian(8)
        >>> near, far = zeta.law.expand((64,)), Independent(Normal(torch.full((64, 8), 2.0), torch.ones(64, 8)), 1)
        >>> bool(CramerWold()(near, zeta) < 0.1 * CramerWold()(far, zeta))
        True
    """

    unbiased = False

    def forward(self, q: Distribution, zeta: Reference) -> Tensor:
        if zeta.dim < 2:
            raise ValueError(f"CramerWold needs a latent dimension of at least 2, got {zeta.dim}")
        codes, prior = codes_and_prior(q, zeta, "CramerWold")
        n, k = codes.shape
        gamma = (4 / (3 * n)) ** 0.4

        def kappa(constant: float, squared: Tensor) -> Tensor:
            return (constant + squared / (2 * k - 3)).rsqrt().mean()

        within = kappa(gamma, squared_distances(codes, codes))
        if _is_standard_gaussian(zeta.law):
            rest = (1 + gamma) ** -0.5 - 2 * kappa(0.5 + gamma, codes.square().sum(dim=1))
        else:
            rest = kappa(gamma, squared_distances(prior, prior)) - 2 * kappa(gamma, squared_distances(codes, prior))
        return (within + rest) / (2 * math.sqrt(math.pi))


def _is_standard_gaussian(law: Distribution) -> bool:
    if not (isinstance(law, Independent) and isinstance(law.base_dist, Normal)):
        return False
    return bool((law.mean == 0).all() and (law.variance == 1).all())
