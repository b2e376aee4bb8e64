"""The inverse of a map near the identity."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from ot_gen.arguments import checked
from ot_gen.networks.change_of_volume import EXACT, jacobians, tolerance

FIXED_POINT, NEWTON = 60, 20  # iterations at most
HALVINGS = 8

Map = Callable[[Tensor], Tensor]


@checked
def inverted(step: Map, x: Tensor, start: Tensor) -> tuple[Tensor, float]:
    """z with f(z) = x, (n, d), and the largest relative error ‖f(z) − x‖_∞ / max(1, ‖x‖_∞).

    Fixed-point iterations z <- z + x − f(z) contract where f is near the identity. Up to d = 64 Newton's method goes on
    where they do not arrive. The moves of either are halved until they lead nearer.

    Args:
        step: f, a map of rows.
        x: its values, (n, d).
        start: where to begin, (n, d).

    Example:
        >>> z, error = inverted(lambda z: z + 0.5 * z.sin(), torch.tensor([[1.0]]), torch.tensor([[1.0]]))
        >>> (z + 0.5 * z.sin()).allclose(torch.tensor([[1.0]])), error < 1e-5
        (True, True)
    """
    search = _Search(step, x, start)
    search.go(lambda z: search.miss, FIXED_POINT)
    if x.shape[1] <= EXACT:
        search.go(search.newton, NEWTON)
    return search.z, float(search.errors().max()) if len(x) else 0.0


@final
class _Search:
    """Rows z that come nearer to f(z) = x, and what they miss, x − f(z)."""

    def __init__(self, f: Map, x: Tensor, start: Tensor) -> None:
        self.f, self.x, self.z = f, x, start
        self.miss = x - f(start)
        self.size = x.abs().amax(dim=1).clamp_min(1)
        self.enough = tolerance(x)

    def errors(self) -> Tensor:
        return (self.miss.abs().amax(dim=1) / self.size).nan_to_num(math.inf, math.inf)

    def go(self, direction: Map, most: int) -> None:
        """Until all rows have arrived, with some to spare, or none comes nearer."""
        for _ in range(most):
            is_open = ~(self.errors() <= self.enough / 4)
            if not bool(is_open.any()) or not self._nearer(direction(self.z), is_open):
                return

    def newton(self, z: Tensor) -> Tensor:
        # By least squares a singular Jacobian has a move all the same; rows that overflowed have none.
        jacobian, miss = (tensor.nan_to_num(0, 0, 0) for tensor in (jacobians(self.f, z)[1], self.miss))
        return torch.linalg.lstsq(jacobian, miss[:, :, None]).solution[:, :, 0]

    def _nearer(self, move: Tensor, is_open: Tensor) -> bool:
        """Go along the moves of open rows, each by the largest part that leads nearer; whether there was any."""
        part, some = 1.0, False
        for _ in range(HALVINGS):
            z = self.z + part * move
            miss = self.x - self.f(z)
            nearer = is_open & (miss.norm(dim=1) < self.miss.norm(dim=1))
            self.z = torch.where(nearer[:, None], z, self.z)
            self.miss = torch.where(nearer[:, None], miss, self.miss)
            is_open = is_open & ~nearer
            some = some or bool(nearer.any())
            if not bool(is_open.any()):
                break
            part /= 2
        return some
