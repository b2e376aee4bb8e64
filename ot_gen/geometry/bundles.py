"""Points with all their tangents, carried through dense networks at once: the short way of `pushforward`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional as F


@final
class UnknownFunction(Exception):
    """A map calls a function that has no rule here."""


@final
class Bundle(Tensor):
    """A value (n, d) with k tangents, (k, n, d).

    Linear layers and the usual smooth activations act on it by rules. Any other function raises `UnknownFunction`,
    so that no tangent is lost unnoticed.

    Example:
        >>> z = torch.tensor([[0.0, 1.0]])
        >>> torch.tanh(Bundle.over(z, torch.ones(1, 1, 2))).tangents
        tensor([[[1.0000, 0.4200]]])
    """

    value: Tensor
    tangents: Tensor

    @classmethod
    def over(cls, value: Tensor, tangents: Tensor) -> Bundle:
        """The value with tangents."""
        bundle = value.as_subclass(cls)
        bundle.value, bundle.tangents = value, tangents
        return bundle

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not isinstance(args[0], cls) or any(isinstance(other, cls) for other in args[1:]):
            raise UnknownFunction
        bundle, rest, named = args[0], args[1:], kwargs or {}
        if func in SHAPES:
            return func(bundle.value, *rest, **named)
        if func is F.linear:
            weight = rest[0] if rest else named["weight"]
            return cls.over(F.linear(bundle.value, *rest, **named), F.linear(bundle.tangents, weight))
        if func not in SLOPES:
            raise UnknownFunction
        value, slope = SLOPES[func](bundle.value, *rest, **named)
        return cls.over(value, bundle.tangents * slope)


def _tanh(x: Tensor) -> tuple[Tensor, Tensor]:
    y = torch.tanh(x)
    return y, 1 - y * y


def _sigmoid(x: Tensor) -> tuple[Tensor, Tensor]:
    y = torch.sigmoid(x)
    return y, y * (1 - y)


def _silu(x: Tensor, inplace: bool = False) -> tuple[Tensor, Tensor]:
    if inplace:
        raise UnknownFunction
    share = torch.sigmoid(x)
    y = x * share
    return y, share + y * (1 - share)


def _softplus(x: Tensor, beta: float = 1, threshold: float = 20) -> tuple[Tensor, Tensor]:
    return F.softplus(x, beta, threshold), torch.sigmoid(beta * x)


_PROPERTIES: tuple[Any, ...] = (Tensor.ndim, Tensor.shape, Tensor.dtype, Tensor.device)
SHAPES: set[Any] = {*(part.__get__ for part in _PROPERTIES), Tensor.__len__, Tensor.size, Tensor.dim}
# Functions of each number alone, with their values and derivatives.
SLOPES: dict[Any, Callable[..., tuple[Tensor, Tensor]]] = {
    torch.tanh: _tanh,
    Tensor.tanh: _tanh,
    torch.sigmoid: _sigmoid,
    Tensor.sigmoid: _sigmoid,
    F.silu: _silu,
    F.softplus: _softplus,
}
