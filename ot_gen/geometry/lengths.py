"""Lengths and energies of curves, by quadrature."""

from __future__ import annotations

import torch
from torch import Tensor

from ot_gen.geometry.curves import Curve, Spline
from ot_gen.geometry.metrics import RiemannianMetric

# Gauss-Legendre with 4 points: exact to degree 7 on each piece of a curve.
PLACES = (0.06943184420297371, 0.33000947820757187, 0.6699905217924281, 0.9305681557970263)
WEIGHTS = (0.17392742256872693, 0.32607257743127307, 0.32607257743127307, 0.17392742256872693)


def curve_length(metric: RiemannianMetric, curve: Curve) -> Tensor:
    """∫ ‖γ'‖_M dt, (B,).

    Example:
        >>> from .curves import Polyline
        >>> from .fields import euclidean
        >>> curve_length(euclidean(), Polyline(torch.tensor([[[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]]])))
        tensor([3.])
    """
    return _integral(curve, squared_speed(metric, curve, _times(curve)).sqrt())


def curve_energy(metric: RiemannianMetric, curve: Curve) -> Tensor:
    """∫ ‖γ'‖²_M dt, (B,), at least length². It is the curve's own: more nodes on the same curve change nothing.

    Example:
        >>> from .curves import Polyline
        >>> from .fields import euclidean
        >>> curve_energy(euclidean(), Polyline(torch.tensor([[[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]]])))
        tensor([10.])
    """
    return _integral(curve, squared_speed(metric, curve, _times(curve)))


def squared_speed(metric: RiemannianMetric, curve: Curve, t: Tensor) -> Tensor:
    """‖γ'(t)‖²_M, (S,) -> (B, S)."""
    z, v = curve(t), curve.velocity(t).flatten(0, 1)
    return metric.inner(z.flatten(0, 1), v, v).clamp_min(0).unflatten(0, z.shape[:2])


def constant_speed(metric: RiemannianMetric, curve: Curve, segments: int) -> Spline:
    """The same points at constant speed: a spline through segments + 1 of them.

    Example:
        >>> from .curves import Polyline
        >>> from .fields import euclidean
        >>> uneven = Polyline(torch.tensor([[[0.0], [3.0], [4.0]]]))
        >>> constant_speed(euclidean(), uneven, 4).nodes.flatten().round(decimals=5)
        tensor([0., 1., 2., 3., 4.])
    """
    fine = max(16 // curve.segments + 1, 2) * 32 * curve.segments
    t = torch.linspace(0, 1, fine + 1, dtype=curve.nodes.dtype, device=curve.nodes.device)
    reached = squared_speed(metric, curve, (t[1:] + t[:-1]) / 2).sqrt().cumsum(dim=1)
    reached = torch.cat([torch.zeros_like(reached[:, :1]), reached], dim=1)
    share = torch.linspace(0, 1, segments + 1, dtype=t.dtype, device=t.device)
    wanted = reached[:, -1:] * share
    piece = (torch.searchsorted(reached, wanted.contiguous(), right=True) - 1).clamp(0, fine - 1)
    low, high = reached.gather(1, piece), reached.gather(1, piece + 1)
    fraction = ((wanted - low) / (high - low).clamp_min(torch.finfo(t.dtype).tiny)).clamp(0, 1)
    times = torch.where(reached[:, -1:] > 0, (piece + fraction) / fine, share)
    points = torch.stack([curve(row)[b] for b, row in enumerate(times)])
    points[:, 0], points[:, -1] = curve.nodes[:, 0], curve.nodes[:, -1]
    return Spline(points)


def _times(curve: Curve) -> Tensor:
    places = curve.nodes.new_tensor(PLACES)
    pieces = torch.arange(curve.segments, dtype=places.dtype, device=places.device)
    return ((pieces[:, None] + places) / curve.segments).flatten()


def _integral(curve: Curve, values: Tensor) -> Tensor:
    weights = values.new_tensor(WEIGHTS) / curve.segments
    return values.unflatten(1, (curve.segments, len(WEIGHTS))).sum(dim=1) @ weights
