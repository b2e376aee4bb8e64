"""Explicit Runge–Kutta methods: one step of x' = f(t, x)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, final

from torch import Tensor

from ot_gen.arguments import Finite, checked

Field = Callable[[float, Tensor], Tensor]  # (t, x (n, d)) -> x' (n, d)


@final
class RungeKutta(NamedTuple):
    """An explicit method by its tableau: k_i = f(t + c_i h, x + h Σ_{j<i} a_ij k_j), x(t + h) ≈ x + h Σ_i b_i k_i.

    Attributes:
        a: the rows a_i1, ..., a_i,i−1 of the stages; c_i is the sum of row i.
        b: the weights of the stages, of sum 1.

    Source: Butcher, "Numerical Methods for Ordinary Differential Equations", 2016, chapter 3.

    Example:
        >>> import torch
        >>> METHODS["rk4"].step(lambda t, x: x, 0.0, torch.ones(1, 1), 1.0)  # 1 + 1 + 1/2 + 1/6 + 1/24
        tensor([[2.7083]])
    """

    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]

    @property
    def stages(self) -> int:
        """Evaluations of f in a step."""
        return len(self.b)

    @checked
    def step(self, f: Field, t: Finite, x: Tensor, h: Finite) -> Tensor:
        """x(t + h) of the solution through x at t, (n, d), to the method's order in h, which may be negative."""
        slopes: list[Tensor] = []
        for row in self.a:
            at = x
            for weight, slope in zip(row, slopes, strict=True):
                at = at + (h * weight) * slope if weight else at
            slopes.append(f(t + h * sum(row), at))
        for weight, slope in zip(self.b, slopes, strict=True):
            x = x + (h * weight) * slope if weight else x
        return x


METHODS = {
    "euler": RungeKutta(((),), (1.0,)),
    "midpoint": RungeKutta(((), (0.5,)), (0.0, 1.0)),
    "heun": RungeKutta(((), (1.0,)), (0.5, 0.5)),
    "rk4": RungeKutta(((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
}
