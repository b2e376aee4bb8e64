"""A ground cost between features."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn

from ot_gen.arguments import Cloud, checked, described
from ot_gen.costs.cost import Bilinear, Cost, typical
from ot_gen.measures.points import comparable


@final
@checked
class FeatureCost(Cost):
    """c(x, y) = c₀(φ(x), φ(y)): a ground cost between features of any module φ.

    φ is a fixed part of the cost: a frozen copy in evaluation mode. Gradients flow through it to x. The composition is
    a distance only where φ is injective, so `is_metric` is False unless the caller vouches for it.

    Args:
        features: φ, (n, d) -> (n, p).
        cost: c₀ on features.
        is_metric: True where φ is known to be injective and c₀ is a distance.

    Example:
        >>> from ot_gen import SquaredEuclidean
        >>> c = FeatureCost(nn.Flatten(), SquaredEuclidean())
        >>> c.matrix(torch.zeros(3, 2), torch.ones(4, 2)).shape
        torch.Size([3, 4])
    """

    def __init__(self, features: nn.Module, cost: Cost, is_metric: bool = False) -> None:
        super().__init__()
        if is_metric and not cost.is_metric:
            raise ValueError(f"FeatureCost over {cost} cannot be a distance, since {cost} is none; use Euclidean()")
        self.features = copy.deepcopy(features).requires_grad_(False)
        self.cost = cost
        self.is_metric = is_metric
        self.features.eval()

    @property
    def is_nonnegative(self) -> bool:
        return self.cost.is_nonnegative

    def train(self, mode: bool = True) -> FeatureCost:
        super().train(mode)
        self.features.eval()
        return self

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = comparable(x, y)
        phi_x, phi_y = (self._map(p.reshape(-1, p.shape[-1])).reshape(*p.shape[:-1], -1) for p in (x, y))
        return self.cost(phi_x, phi_y)

    def matrix(self, x: Cloud, y: Cloud) -> Tensor:
        x, y = comparable(x, y)
        return self.cost.matrix(self._map(x), self._map(y))

    def against(self, y: Cloud) -> Callable[[Tensor], Tensor]:
        inner = self.cost.against(self._map(y))
        return lambda x: inner(self._map(x))

    def bilinear(self, y: Cloud) -> Bilinear | None:
        with torch.no_grad():
            inner = self.cost.bilinear(self._map(typical(y)))
        if inner is None:
            return None
        left, right, nonnegative = inner
        return Bilinear(lambda x: left(self._map(x)), lambda y: right(self._map(y)), nonnegative)

    def _map(self, points: Tensor) -> Tensor:
        """φ at points (n, d) in its own precision, (n, p) in that of the points: exact solvers ask in float64."""
        own = next((weight.dtype for weight in self.features.parameters()), points.dtype)
        phi = self.features(points.to(own))
        if not isinstance(phi, Tensor) or phi.ndim != 2 or len(phi) != len(points):
            got = described(phi)
            raise ValueError(f"features must map points {tuple(points.shape)} to one row each, (n, p), got {got}")
        return phi.to(points.dtype)
