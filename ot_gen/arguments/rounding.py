"""What rounding to a dtype takes from numbers: whole ones that it does not hold, points that become equal."""

from __future__ import annotations

import math

import torch
from torch import Tensor

PART = 2**22  # numbers looked at together
EXACT = {torch.bool, torch.uint8, torch.int8, torch.int16}  # whole numbers that float32 holds


def floating(numbers: Tensor, name: str = "the numbers") -> Tensor:
    """Whole numbers as floats: in torch's default dtype where it holds each of them, else in float64.

    Raises:
        ValueError: different points that are equal in float64.

    Example:
        >>> floating(torch.tensor([3])), floating(torch.tensor([2**24 + 1]))
        (tensor([3.]), tensor([16777217.], dtype=torch.float64))
    """
    default = torch.get_default_dtype()
    if numbers.dtype in EXACT or is_held(numbers, default):
        return numbers.to(default)
    if not is_held(numbers, torch.float64):
        check_distinct(numbers, torch.float64, name)
    return numbers.double()


def is_held(numbers: Tensor, dtype: torch.dtype) -> bool:
    """Whether a dtype holds each of these numbers exactly."""
    return torch.equal(numbers.to(dtype).to(numbers.dtype), numbers)


def is_blurred(numbers: Tensor, dtype: torch.dtype) -> bool:
    """Whether a dtype moves points (n, ...) by more than √eps of their spread, so that half of the digits are lost.

    Example:
        >>> is_blurred(torch.tensor([[0.1], [0.3]], dtype=torch.float64), torch.float32)
        False
        >>> is_blurred(torch.tensor([[1e9], [1e9 + 2]], dtype=torch.float64), torch.float32)
        True
    """
    if numbers.dtype in EXACT or numbers.dtype == dtype or numbers.ndim == 0 or not numbers.numel():
        return False
    rows = max(1, PART // numbers[0].numel())
    off = max(float((part.to(dtype).to(part.dtype) - part).abs().max()) for part in numbers.split(rows))
    spread = float((numbers.amax(dim=0) - numbers.amin(dim=0)).max())
    return 0 < spread < off / torch.finfo(dtype).eps ** 0.5 < math.inf


def check_distinct(numbers: Tensor, dtype: torch.dtype, name: str, remedy: str = "give a torch.float64 tensor") -> None:
    """Raise a `ValueError` where a dtype loses half of the digits of points, and makes different ones equal.

    Example:
        >>> check_distinct(torch.tensor([[1e9], [1e9 + 100]], dtype=torch.float64), torch.float32, "x")
        >>> check_distinct(torch.tensor([[2**24], [2**24 + 1]]), torch.float32, "x")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: different rows of x are equal in torch.float32; center or rescale them, or ...
    """
    if not is_blurred(numbers, dtype):
        return
    rounded = numbers.to(dtype)
    if len(rounded.unique(dim=0)) < len(numbers.unique(dim=0)):
        other = "" if dtype == torch.float64 else f", or {remedy}"
        raise ValueError(f"different rows of {name} are equal in {dtype}; center or rescale them{other}")
