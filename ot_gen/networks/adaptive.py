"""Adaptive steps of x' = f(t, x), by torchdiffeq."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ot_gen.arguments import checked
from ot_gen.networks.runge_kutta import Field

ADAPTIVE = "dopri5"


@checked
def adaptive(f: Field, x: Tensor, times: Sequence[float], rtol: float, atol: float) -> Tensor:
    """x at these times, (len(times), n, d), of the solution through x (n, d) at the first of them.

    Args:
        f: the field, (t, x) -> x'.
        x: where it begins.
        times: rising or falling.
        rtol, atol: the error of a step, relative and absolute.

    Raises:
        ValueError: torchdiffeq is not installed, or no step is short enough.

    Source: Dormand, Prince, 1980, https://doi.org/10.1016/0771-050X(80)90013-3

    Example:
        >>> adaptive(lambda t, x: x, torch.ones(1, 1), [0.0, 1.0], 1e-6, 1e-6)[-1]
        tensor([[2.7183]])
    """
    if not len(x):
        return x.new_empty(len(times), *x.shape)
    places = torch.tensor(times, dtype=x.dtype, device=x.device)
    try:
        return torchdiffeq()(lambda t, at: f(float(t), at), x, places, method=ADAPTIVE, rtol=rtol, atol=atol)
    except AssertionError as error:  # so torchdiffeq says that no step is short enough
        raise ValueError(
            f"{ADAPTIVE} does not reach rtol={rtol:g}, atol={atol:g} in {x.dtype} ({error}); allow larger errors, or "
            'take fixed steps, method="rk4"'
        ) from error


def torchdiffeq() -> Callable[..., Tensor]:
    """The library's function, or a `ValueError` that says how to install it.

    Example:
        >>> torchdiffeq().__name__
        'odeint'
    """
    try:
        from torchdiffeq import odeint
    except ImportError as error:
        raise ValueError(
            f'method="{ADAPTIVE}" needs the library torchdiffeq; install it, pip install ot_gen[ode], or take "rk4"'
        ) from error
    solver: Callable[..., Tensor] = odeint
    return solver
