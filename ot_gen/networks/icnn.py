"""Input-convex networks: functions that are convex for every value of their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import register_parametrization

from ot_gen.arguments import Count, checked
from ot_gen.display import Network


@final
@checked
class ICNN(Network):
    """An input-convex network, (n, d) -> (n,), convex for every parameter value, with a smooth maximum at its end.

        a_1 = σ(A_1 u + α_1),  a_l = σ(W_l a_(l−1) + A_l u + α_l),  φ(u) = log Σ_k exp(W a_L + A u + α)_k + ½δ‖u‖²

    with σ = softplus, W >= 0 entry by entry and δ > 0: non-negative sums and increasing convex functions of convex
    functions are convex. ∇φ is monotone, strongly so by δ.

    Args:
        in_dim: d.
        hidden: widths of the hidden layers a_l.
        pieces: the number of functions under the smooth maximum.

    Raises:
        ValueError: no hidden layer, or a width below 1.

    Source: Amos, Xu, Kolter, 2017, https://arxiv.org/abs/1609.07152

    Example:
        >>> phi = ICNN(2)
        >>> u, v = torch.randn(2, 100, 2)
        >>> bool((phi((u + v) / 2) <= (phi(u) + phi(v)) / 2 + 1e-5).all())
        True
    """

    by_rows = True

    def __init__(self, in_dim: Count, hidden: Sequence[Count] = (128,), pieces: Count = 64) -> None:
        super().__init__()
        if not hidden:
            raise ValueError("an ICNN needs at least one hidden layer, got none; the default is hidden=(128,)")
        widths = [*hidden, pieces]
        self.affine = nn.ModuleList([_gaussian_linear(in_dim, width) for width in widths])
        self.positive = nn.ModuleList([_positive_linear(*pair) for pair in pairwise(widths)])
        self.curvature = nn.Parameter(torch.tensor(0.5))

    def forward(self, u: Tensor) -> Tensor:
        a: Tensor = self.affine[0](u)
        for positive, affine in zip(self.positive, self.affine[1:], strict=True):
            a = positive(F.softplus(a)) + affine(u)
        return a.logsumexp(dim=1) + 0.5 * F.softplus(self.curvature) * u.square().sum(dim=1)


class _Positive(nn.Module):
    """V -> softplus(V)/√k > 0 for a weight (w, k): steps of one size move entries of all sizes."""

    def forward(self, weight: Tensor) -> Tensor:
        return F.softplus(weight) / weight.shape[1] ** 0.5


def _positive_linear(before: int, after: int) -> nn.Module:
    layer = nn.Linear(before, after, bias=False)
    nn.init.normal_(layer.weight)
    return register_parametrization(layer, "weight", _Positive())


def _gaussian_linear(before: int, after: int) -> nn.Module:
    layer = nn.Linear(before, after)
    nn.init.normal_(layer.weight, std=before**-0.5)
    nn.init.normal_(layer.bias)
    return layer
