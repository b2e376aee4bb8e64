"""Explicit Runge–Kutta methods: one step of x' = f(t, x)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

from torch import Tensor

from ot_gen.arguments import Finite, checked

Field = Callable[[float, Tensor], Tensor]  # (t, x (n, d)) -> x' (n, d)
ROUNDING = 1e-6  # of the sum of weights that were given as decimals


@final
@checked
class RungeKutta:
    """An explicit method by its tableau: k_i = f(t + c_i h, x + h Σ_{j<i} a_ij k_j), x(t + h) ≈ x + h Σ_i b_i k_i.

    Args:
        a: the rows a_i1, ..., a_i,i−1 of the stages i = 1, 2, ..., the first of them empty; c_i is the sum of row i.
        b: the weights of the stages, of sum 1.

    Raises:
        ValueError: row i has not i − 1 entries, there is not one weight for each row, or their sum is not 1.

    Source: Butcher, "Numerical Methods for Ordinary Differential Equations", 2016, chapter 3.

    Example:
        >>> import torch
        >>> METHODS["rk4"].step(lambda t, x: x, 0.0, torch.ones(1, 1), 1.0)  # 1 + 1 + 1/2 + 1/6 + 1/24
        tensor([[2.7083]])
    """

    def __init__(self, a: Sequence[Sequence[Finite]], b: Sequence[Finite]) -> None:
        self.a = tuple(tuple(map(float, row)) for row in a)
        self.b = tuple(map(float, b))
        lengths = [len(row) for row in self.a]
        if lengths != list(range(len(self.b))) or not self.b:
            raise ValueError(
                f"the rows of an explicit method with {len(self.b)} weights have 0, 1, ..., {len(self.b) - 1} entries, "
                f"got {lengths}; Heun's method is RungeKutta([[], [1]], [0.5, 0.5])"
            )
        if abs(sum(self.b) - 1) > ROUNDING:
            raise ValueError(f"the weights of a Runge–Kutta method have the sum 1, got {sum(self.b):g}; divide by it")

    @property
    def stages(self) -> int:
        """Evaluations of f in a step."""
        return len(self.b)

    def step(self, f: Field, t: Finite, x: Tensor, h: Finite) -> Tensor:
        """x(t + h) of the solution through x at t, (n, d), to the method's order in h, which may be negative."""
        slopes: list[Tensor] = []
        for row in self.a:
            slopes.append(f(t + h * sum(row), _moved(x, h, row, slopes)))
        return _moved(x, h, self.b, slopes)

    def __repr__(self) -> str:
        return f"RungeKutta({self.a}, {self.b})"


def _moved(x: Tensor, h: float, weights: Sequence[float], slopes: Sequence[Tensor]) -> Tensor:
    """x + h Σ_i w_i k_i."""
    for weight, slope in zip(weights, slopes, strict=True):
        x = x + (h * weight) * slope if weight else x
    return x


METHODS = {
    "euler": RungeKutta([[]], [1]),
    "midpoint": RungeKutta([[], [0.5]], [0, 1]),
    "heun": RungeKutta([[], [1]], [0.5, 0.5]),
    "rk4": RungeKutta([[], [0.5], [0, 0.5], [0, 0, 1]], [1 / 6, 1 / 3, 1 / 3, 1 / 6]),
}
