"""Geodesic distance as a ground cost."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ot_gen.costs import Cost

from .latent import LatentGeometry


@final
class GeodesicCost(Cost):
    """c(x, y) = d(x, y)², the squared geodesic distance of two codes: transport in latent space follows the manifold.

    Its gradients are those of `LatentGeometry.distance`. The geometry is a fixed part of the cost: its decoder is not
    among the cost's parameters. Each pair is a boundary value problem, 10 ms or so; keep clouds small.

    Args:
        geometry: of the latent space.
        nodes: segments of each geodesic, even.

    Example:
        >>> c = GeodesicCost(LatentGeometry(lambda z: 2 * z))
        >>> c.matrix(torch.zeros(1, 2), torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[100.,   0.]])
    """

    def __init__(self, geometry: LatentGeometry, nodes: int = 16) -> None:
        super().__init__()
        self.geometry = geometry
        self.nodes = nodes

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = torch.broadcast_tensors(x, y)
        squared = self.geometry.squared_distance(x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1]), self.nodes)
        return squared.reshape(x.shape[:-1])

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return self(x[:, None], y[None])

    def extra_repr(self) -> str:
        return f"nodes={self.nodes}"
