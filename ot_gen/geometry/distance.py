"""Distances that can be differentiated."""

from __future__ import annotations

import torch
from torch import Tensor

from ot_gen.geometry.geodesics import Geodesics
from ot_gen.geometry.metrics import RiemannianMetric


def squared_distance(metric: RiemannianMetric, geodesics: Geodesics, z0: Tensor, z1: Tensor) -> Tensor:
    """length², (B,), with the derivative of the discrete energy at fixed inner nodes (envelope theorem).

    The discrete energy is stationary in the inner nodes. The value is the extrapolated one; its derivative differs by
    O(T⁻²).

    Example:
        >>> from .fields import euclidean
        >>> from .geodesics import Effort, connect
        >>> from .starts import Line
        >>> z0, z1 = torch.zeros(1, 1, requires_grad=True), torch.ones(1, 1)
        >>> geodesics = connect(euclidean(), z0.detach(), z1, [Line()], Effort(4, 1e-3, 5, 1e-4, 0))
        >>> torch.autograd.grad(squared_distance(euclidean(), geodesics, z0, z1).sum(), z0)[0]
        tensor([[-2.]])
    """
    nodes = torch.cat([z0.unsqueeze(1), geodesics.nodes[:, 1:-1], z1.unsqueeze(1)], dim=1)
    energy = metric.squares(nodes).fine.sum(dim=1) * (nodes.shape[1] - 1)
    return energy + (geodesics.length.square() - energy).detach()
