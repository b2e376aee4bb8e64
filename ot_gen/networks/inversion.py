"""The inverse of a map near the identity."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ot_gen.arguments import checked
from ot_gen.networks.change_of_volume import EXACT, jacobians, tolerance

FIXED_POINT, NEWTON = 60, 20  # iterations at most


@checked
def inverted(step: Callable[[Tensor], Tensor], x: Tensor, start: Tensor) -> tuple[Tensor, float]:
    """z with f(z) = x, (n, d), and the largest relative error ‖f(z) − x‖_∞ / max(1, ‖x‖_∞).

    Fixed-point iterations z <- z + x − f(z) contract where f is near the identity. Up to d = 64 Newton's method goes on
    with the rows at which they do not arrive.

    Args:
        step: f, a map of rows.
        x: its values, (n, d).
        start: where to begin, (n, d).

    Example:
        >>> z, error = inverted(lambda z: z + 0.5 * z.sin(), torch.tensor([[1.0]]), torch.tensor([[1.0]]))
        >>> (z + 0.5 * z.sin()).allclose(torch.tensor([[1.0]])), error < 1e-5
        (True, True)
    """
    size = x.abs().amax(dim=1).clamp_min(1)
    z = start
    miss = x - step(z)
    for _ in range(FIXED_POINT):
        error = miss.abs().amax(dim=1) / size
        if bool((error <= tolerance(x) / 4).all()):
            break
        moved = z + miss
        further = x - step(moved)
        better = further.abs().amax(dim=1) < miss.abs().amax(dim=1)
        if not bool(better.any()):
            break
        z, miss = torch.where(better[:, None], moved, z), torch.where(better[:, None], further, miss)
    error = miss.abs().amax(dim=1) / size
    open_rows = (error > tolerance(x)).nonzero()[:, 0]
    if len(open_rows) and x.shape[1] <= EXACT:
        z = z.index_copy(0, open_rows, _newton(step, x[open_rows], z[open_rows]))
        error = (x - step(z)).abs().amax(dim=1) / size
    return z, float(error.max())


def _newton(step: Callable[[Tensor], Tensor], x: Tensor, z: Tensor) -> Tensor:
    """Newton's method with steps halved until they lead nearer."""
    for _ in range(NEWTON):
        value, jacobian = jacobians(step, z)
        miss = x - value
        before = miss.norm(dim=1)
        # A singular Jacobian has a step of least squares all the same.
        move = torch.linalg.lstsq(jacobian, miss[:, :, None]).solution[:, :, 0]
        part = torch.ones_like(before)
        for _ in range(8):
            worse = ((x - step(z + part[:, None] * move)).norm(dim=1) > before) & (before > 0)
            if not bool(worse.any()):
                break
            part = torch.where(worse, part / 2, part)
        z = z + part[:, None] * move
    return z
