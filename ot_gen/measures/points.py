"""What a point cloud and its weights are."""

from __future__ import annotations

import torch
from torch import Tensor


def check_cloud(points: Tensor, name: str) -> None:
    """Raise a `ValueError` unless `points` is a non-empty, finite, floating (n, d) cloud.

    Example:
        >>> check_cloud(torch.zeros(3, 2), "x")
    """
    if not isinstance(points, Tensor):
        raise ValueError(f"{name} must be a torch tensor (n, d), got {type(points).__name__}; use torch.as_tensor")
    if points.ndim != 2 or points.numel() == 0:
        raise ValueError(
            f"{name} must be a non-empty point cloud of shape (n, d), got {tuple(points.shape)}; "
            "flatten images to one row a point"
        )
    if not points.is_floating_point():
        raise ValueError(f"{name} must be floating point, got {points.dtype}; convert them, e.g. {name}.float()")
    bad = ~torch.isfinite(points.sum(dim=1))  # a sum is finite only if (overflow aside) each entry is
    if bad.any():
        bad = ~torch.isfinite(points).all(dim=1)
    if bad.any():
        raise ValueError(
            f"{name} hold NaN or Inf in {int(bad.sum())} of {len(points)} rows (first: row {int(bad.nonzero()[0])}); "
            "remove or repair these rows"
        )


def check_weights(weights: Tensor, m: int) -> None:
    """Raise a `ValueError` unless `weights` is a probability vector of m masses.

    Example:
        >>> check_weights(torch.tensor([0.25, 0.75]), 2)
    """
    if weights.shape != (m,):
        raise ValueError(f"weights must have shape ({m},), one for each of them, got {tuple(weights.shape)}")
    if not torch.isfinite(weights).all() or bool((weights < 0).any()):
        raise ValueError(f"weights must be finite and non-negative, got a minimum of {float(weights.min()):g}")
    total = float(weights.double().sum())
    if abs(total - 1) > 1e-4:
        raise ValueError(f"weights must sum to 1, got {total:g}; divide them by their sum")
