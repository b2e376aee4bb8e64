"""What numbers, points and their weights are."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import Tensor

from ot_gen.arguments import described, floating


def check_tensor(numbers: object, name: str, shape: str = "(n, d)") -> None:
    """Raise a `ValueError` unless this is a tensor of real numbers; `shape` is in the text alone.

    Example:
        >>> check_tensor([1.0, 2.0], "h_tilde", "(m,)")
        Traceback (most recent call last):
        ValueError: h_tilde must be a torch tensor (m,), got a list; use torch.as_tensor
    """
    if not isinstance(numbers, Tensor):
        is_law = hasattr(numbers, "sample")
        remedy = "draw its points: sample(n)" if is_law else "use torch.as_tensor"
        raise ValueError(f"{name} must be a torch tensor {shape}, got {described(numbers)}; {remedy}")
    if numbers.is_complex():
        refuse_complex(numbers, name)


def check_cloud(points: Tensor, name: str) -> None:
    """Raise a `ValueError` unless `points` is a non-empty, finite, floating (n, d) cloud.

    Example:
        >>> check_cloud(torch.zeros(3, 2), "x")
    """
    check_tensor(points, name)
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


def widened(numbers: Tensor, name: str = "points") -> Tensor:
    """Real numbers to compute with: whole ones as `floating` makes them, half precision in float32, others as they are.

    Differences of unsigned integers wrap around. In half precision sums of squares overflow, and near atoms become
    equal.

    Raises:
        ValueError: complex numbers, whose imaginary part would be lost.

    Example:
        >>> widened(torch.tensor([3], dtype=torch.uint8)), widened(torch.ones(1).half()).dtype
        (tensor([3.]), torch.float32)
    """
    if numbers.is_complex():
        refuse_complex(numbers, name)
    if not numbers.is_floating_point():
        return floating(numbers, name)
    return numbers.float() if numbers.itemsize < 4 else numbers


def widened_pair(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Both `widened`, and in one dtype: the wider of the two.

    Example:
        >>> [points.dtype for points in widened_pair(torch.tensor([3]), torch.zeros(1).double())]
        [torch.float64, torch.float64]
    """
    x, y = widened(x), widened(y)
    if x.dtype == y.dtype:
        return x, y
    dtype = torch.promote_types(x.dtype, y.dtype)
    return x.to(dtype), y.to(dtype)


def comparable(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Points of one space, as `widened_pair` makes them.

    Raises:
        ValueError: points (..., d) and (..., d') of two dimensions, or on two devices.

    Example:
        >>> [points.dtype for points in comparable(torch.zeros(3, 2).half(), torch.zeros(4, 2))]
        [torch.float32, torch.float32]
    """
    if not (x.ndim and y.ndim) or x.shape[-1] != y.shape[-1]:
        raise ValueError(
            f"x and y must be points of one dimension d, (..., d) each, got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    if x.device != y.device:
        raise ValueError(f"x is on {x.device} and y on {y.device}; move one of them, e.g. x.to(y)")
    return widened_pair(x, y)


def check_defined(values: Tensor, what: str, *points: Tensor) -> None:
    """Raise a `ValueError` where values of finite points are NaN: differences of numbers that are too large.

    Example:
        >>> check_defined(torch.zeros(3), "the cost", torch.ones(3, 2))
    """
    if bool(values.isnan().any()) and all(bool(p.isfinite().all()) for p in points):
        size = max(float(p.abs().max()) for p in points if p.numel())
        raise ValueError(
            f"{what} overflows at points of size {size:.3g} in {values.dtype}; rescale the points, or use float64"
        )


def refuse_complex(numbers: Tensor, name: str) -> NoReturn:
    """Raise the `ValueError` about complex numbers."""
    raise ValueError(
        f"{name} must be real, got {numbers.dtype}: the imaginary part would be lost; make coordinates of both parts, "
        "torch.view_as_real(z).flatten(1)"
    )


def check_weights(weights: Tensor, m: int) -> None:
    """Raise a `ValueError` unless `weights` is a probability vector of m masses.

    Their sum may be off by 1e-4, or by the rounding of their own dtype where that is more.

    Example:
        >>> check_weights(torch.tensor([0.25, 0.75]), 2)
    """
    check_tensor(weights, "weights", f"({m},)")
    if weights.shape != (m,):
        raise ValueError(f"weights must have shape ({m},), one for each of them, got {tuple(weights.shape)}")
    if not torch.isfinite(weights).all() or bool((weights < 0).any()):
        raise ValueError(f"weights must be finite and non-negative, got a minimum of {float(weights.min()):g}")
    total = float(weights.double().sum())
    rounding = torch.finfo(weights.dtype).eps if weights.is_floating_point() else 0.0
    if abs(total - 1) > max(1e-4, rounding):
        raise ValueError(f"weights must sum to 1, got {total:g}; divide them by their sum")
