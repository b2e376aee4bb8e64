"""Geodesic distance as a ground cost."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

from ot_gen.arguments import checked
from ot_gen.costs import Cost
from ot_gen.execution import keyword_only, renamed
from ot_gen.geometry.geodesics import Segments
from ot_gen.geometry.latent import LatentGeometry
from ot_gen.geometry.pairs import BATCH
from ot_gen.geometry.starts import Start


@final
@checked
class GeodesicCost(Cost):
    """c(x, y) = d(x, y)², the squared geodesic distance of two codes: transport in latent space follows the manifold.

    Its gradients are those of `LatentGeometry.distance`. The geometry is a fixed part of the cost: its decoder is not
    among the cost's parameters. Each pair is a boundary value problem, 10 ms or so; keep clouds small.

    Args:
        geometry: of the latent space.
        segments: of each geodesic, even.
        start: where searches begin, None for the geometry's own `starts`. With uncertainty in the metric give the
            geometry its codes: then it walks around holes.

    Example:
        >>> c = GeodesicCost(LatentGeometry(lambda z: 2 * z))
        >>> c.matrix(torch.zeros(1, 2), torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[100.,   0.]])
    """

    @renamed(nodes="segments")
    @keyword_only
    @checked
    def __init__(self, geometry: LatentGeometry, *, segments: Segments = 16, start: Start | None = None) -> None:
        super().__init__()
        self.geometry = geometry
        self.segments = segments
        self.start = start

    @property
    def is_nonnegative(self) -> bool:
        return True

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        if not x.ndim or not y.ndim:
            raise ValueError(f"x and y must be points (..., k), got {tuple(x.shape)} and {tuple(y.shape)}")
        x, y = torch.broadcast_tensors(x, y)
        ends = (side.reshape(-1, side.shape[-1]).split(BATCH) for side in (x, y))
        options: dict[str, Any] = {"segments": self.segments, "start": self.start}
        squared = [self.geometry.squared_distance(a, b, **options) for a, b in zip(*ends, strict=True)]
        return torch.cat(squared).reshape(x.shape[:-1])

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return self(x[:, None], y[None])

    def extra_repr(self) -> str:
        return f"segments={self.segments}"
