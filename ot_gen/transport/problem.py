"""The data of a discrete transport problem, checked, and how its solvers fail."""

from __future__ import annotations

import math
from typing import NamedTuple, final

import torch
from torch import Tensor


@final
class NotConverged(RuntimeError):
    """A solver did not reach its tolerance; it never returns less than was asked for.

    Example:
        >>> import torch
        >>> from ot_gen import NotConverged, sinkhorn_plan
        >>> try:
        ...     sinkhorn_plan(torch.rand(20, 20), epsilon=1e-4, max_iterations=2)
        ... except NotConverged as error:
        ...     print(type(error).__name__)
        NotConverged
    """


@final
class Problem(NamedTuple):
    """Costs C (n, m) and masses a (n,), b (m,) of total 1, in float64 on the CPU."""

    C: Tensor
    a: Tensor
    b: Tensor


def problem(C: Tensor, a: Tensor | None = None, b: Tensor | None = None) -> Problem:
    """The problem in float64 on the CPU, without a graph; masses None are uniform, others are divided by their total.

    Raises:
        ValueError: C is not a finite matrix, or a mass vector has the wrong shape, a negative entry or no total.

    Example:
        >>> problem(torch.zeros(2, 3)).a
        tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    if C.ndim != 2 or C.numel() == 0:
        raise ValueError(f"a plan needs a non-empty cost matrix (n, m), got shape {tuple(C.shape)}")
    if not torch.isfinite(C).all():
        raise ValueError("the cost matrix holds NaN or Inf; check the generator's output and the data")
    C64 = C.detach().to("cpu", torch.float64)
    low, high = float(C64.min()), float(C64.max())
    if high - low == math.inf:
        raise ValueError(f"costs from {low:.3g} to {high:.3g} differ by more than float64 holds; use a larger unit")
    return Problem(C64, _masses("a", a, C64.shape[0], C64), _masses("b", b, C64.shape[1], C64))


def totals(a: Tensor | None, b: Tensor | None) -> tuple[float, float]:
    """Σ a and Σ b of masses as they were given, 1 for None.

    Example:
        >>> totals(None, torch.tensor([2.0, 3.0]))
        (1.0, 5.0)
    """
    left, right = (1.0 if mass is None else float(mass.detach().double().sum()) for mass in (a, b))
    if max(left, right) == math.inf:
        raise ValueError(
            f"the totals of the masses, {left:g} and {right:g}, overflow float64; give them in a larger unit"
        )
    return left, right


def normalised(name: str, mass: Tensor) -> Tensor:
    """Masses >= 0 divided by their total, in float64; the total itself may leave the range of any dtype.

    Raises:
        ValueError: a mass that is negative or not finite, or no positive one.

    Example:
        >>> normalised("a", torch.tensor([60000.0, 60000.0]).half())
        tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    mass = mass.detach().double()
    largest = float(mass.max())
    if not (torch.isfinite(mass).all() and bool((mass >= 0).all()) and largest > 0):
        raise ValueError(
            f"{name} must be finite masses >= 0 with a positive total, got masses from {float(mass.min()):g} to "
            f"{largest:g}"
        )
    mass = mass / largest
    return mass / mass.sum()  # equal totals to the last bit, as the simplex requires


def _masses(name: str, mass: Tensor | None, size: int, C: Tensor) -> Tensor:
    if mass is None:
        return C.new_full((size,), 1.0 / size)
    if mass.shape != (size,):
        raise ValueError(
            f"{name} must have shape ({size},) for a cost matrix {tuple(C.shape)}, got {tuple(mass.shape)}"
        )
    return normalised(name, mass.cpu())
