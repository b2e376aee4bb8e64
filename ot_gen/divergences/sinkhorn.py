"""The debiased Sinkhorn divergence."""

from __future__ import annotations

import math

from torch import Tensor
from torch.distributions import Distribution

from ot_gen.measures import Reference

from .divergence import Divergence, codes_and_prior


class SinkhornDivergence(Divergence):
    """The debiased Sinkhorn divergence S_ε(q̄, ζ) with cost ‖z − z'‖² (no ½), through GeomLoss.

        S_ε(α, β) = OT_ε(α, β) − ½ OT_ε(α, α) − ½ OT_ε(β, β) >= 0

    Args:
        epsilon: ε, in the units of ‖z − z'‖². GeomLoss halves the cost, so its blur is √(ε/2) and its value doubled.
        scaling: ratio of successive scales of its annealing, in (0, 1); nearer 1 is slower and more accurate.

    Source: Feydy et al., 2019, https://arxiv.org/abs/1810.08278; in this role Patrini et al., 2020,
    https://arxiv.org/abs/1810.01118

    Example:
        >>> from ot_gen.measures import standard_gaussian
        >>> zeta = standard_gaussian(2)
        >>> bool(SinkhornDivergence(epsilon=0.1)(zeta.law.expand((32,)), zeta) >= 0)
        True
    """

    unbiased = False

    def __init__(self, epsilon: float = 0.1, scaling: float = 0.5) -> None:
        super().__init__()
        if not epsilon > 0 or not 0 < scaling < 1:
            raise ValueError(f"SinkhornDivergence needs epsilon > 0 and 0 < scaling < 1, got {epsilon} and {scaling}")
        self.epsilon = epsilon
        self.scaling = scaling

    def forward(self, q: Distribution, zeta: Reference) -> Tensor:
        from geomloss import SamplesLoss

        codes, prior = codes_and_prior(q, zeta, "SinkhornDivergence")
        loss = SamplesLoss(
            "sinkhorn", p=2, blur=math.sqrt(self.epsilon / 2), scaling=self.scaling, backend="tensorized"
        )
        value: Tensor = 2 * loss(codes, prior)
        return value

    def extra_repr(self) -> str:
        return f"epsilon={self.epsilon:g}, scaling={self.scaling:g}"
