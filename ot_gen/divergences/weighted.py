"""A weighted sum of divergences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ot_gen.arguments import Nonnegative, checked
from ot_gen.divergences.divergence import Divergence
from ot_gen.measures import Measure


@final
@checked
class WeightedSum(Divergence):
    """Σ_l w_l D_l(q, ζ): e.g. InfoVAE's (1 − α) KL + (α + λ − 1) MMD.

    Args:
        terms: the D_l.
        weights: the w_l >= 0, one for each.

    Raises:
        ValueError: not as many weights as terms, none, or a negative one.

    Source: Zhao, Song, Ermon, 2019, https://arxiv.org/abs/1706.02262

    Example:
        >>> from ot_gen import KL, MMD, InverseMultiquadric
        >>> from ot_gen import standard_gaussian
        >>> zeta = standard_gaussian(2)
        >>> WeightedSum([KL(), MMD(InverseMultiquadric())], [1.0, 10.0])(zeta.law.expand((8,)), zeta).shape
        torch.Size([])
    """

    def __init__(self, terms: Sequence[Divergence], weights: Sequence[Nonnegative]) -> None:
        super().__init__()
        if not terms or len(terms) != len(weights):
            raise ValueError(
                f"WeightedSum needs one weight >= 0 for each of at least one term, got {len(terms)} terms and weights "
                f"{list(weights)}"
            )
        self.terms = nn.ModuleList(terms)
        self.weights = tuple(float(weight) for weight in weights)
        self.unbiased = all(term.unbiased for term in terms)

    def forward(self, q: Distribution, zeta: Measure) -> Tensor:
        return torch.stack([w * term(q, zeta) for w, term in zip(self.weights, self.terms, strict=True)]).sum()

    def extra_repr(self) -> str:
        return f"weights={self.weights}"
