"""Transport on lines: the sliced Wasserstein distance."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ot_gen.measures import Reference

from .divergence import Divergence, codes_and_prior


class SlicedWasserstein(Divergence):
    """SW₂²(q̄, ζ) = E_u W₂²(⟨u, ·⟩#q̄, ⟨u, ·⟩#ζ), u uniform on the unit sphere, by sorting; no factor k.

    Args:
        projections: number of random directions, drawn afresh at every call.

    Source: Bonneel et al., 2015, https://doi.org/10.1007/s10851-014-0506-3; in this role Kolouri et al., 2019,
    https://arxiv.org/abs/1804.01947

    Example:
        >>> from ot_gen.measures import standard_gaussian
        >>> zeta = standard_gaussian(2)
        >>> bool(SlicedWasserstein()(zeta.law.expand((32,)), zeta) >= 0)
        True
    """

    def __init__(self, projections: int = 50) -> None:
        super().__init__()
        if projections < 1:
            raise ValueError(f"SlicedWasserstein needs projections >= 1, got {projections}")
        self.projections = projections

    def forward(self, q: Distribution, zeta: Reference) -> Tensor:
        codes, prior = codes_and_prior(q, zeta, "SlicedWasserstein")
        directions = nn.functional.normalize(torch.randn_like(codes[:1].expand(self.projections, -1)), dim=1)
        on_lines = [(points @ directions.T).sort(dim=0).values for points in (codes, prior)]
        return (on_lines[0] - on_lines[1]).square().mean()

    def extra_repr(self) -> str:
        return f"projections={self.projections}"
