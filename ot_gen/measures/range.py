"""Numbers kept within a range by a clamp that does not hold them outside."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor


def within(x: Tensor, low: float, high: float) -> Tensor:
    """x clamped to [low, high], elementwise, with a gradient that leads back.

    A plain clamp has gradient 0 outside, so that a parameter which left the range never returns. Here a gradient whose
    descent leads inwards passes as it is, and one that leads further out is 0. Inside nothing changes. In forward mode
    the derivative is the clamp's own.

    Source: the straight-through estimator of Bengio, Léonard, Courville, 2013, https://arxiv.org/abs/1308.3432

    Example:
        >>> x = torch.tensor([-3.0, 0.5, 3.0], requires_grad=True)
        >>> y = within(x, -1.0, 1.0)
        >>> y.tolist(), torch.autograd.grad(y.sum(), x)[0].tolist()  # descent lowers x: back from 3, further from -3
        ([-1.0, 0.5, 1.0], [0.0, 1.0, 1.0])
    """
    clamped: Tensor = _Within.apply(x, low, high)
    return clamped


@final
class _Within(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, low: float, high: float) -> Tensor:
        return x.clamp(low, high)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float, float], output: Tensor) -> None:
        x, low, high = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)
        ctx.range = low, high

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        low, high = ctx.range
        outwards = ((x < low) & (gradient > 0)) | ((x > high) & (gradient < 0))
        return gradient.masked_fill(outwards, 0.0), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:
        (x,) = ctx.saved_tensors
        low, high = ctx.range
        return tangent * ((x >= low) & (x <= high))
