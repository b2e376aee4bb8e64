"""Heads: what makes a critic or an encoder of features."""

from __future__ import annotations

from torch import nn

from ot_gen.arguments import Count, checked, described


@checked
def add_head(body: nn.Module, out_dim: Count) -> nn.Sequential:
    """`body` followed by a linear layer to out_dim: a critic (out_dim = 1) or an encoder's parameters.

    Args:
        body: features, (n, d) -> (n, body.out_dim).
        out_dim: what the head returns.

    Raises:
        ValueError: a body that does not say how many features it returns.

    Example:
        >>> import torch
        >>> from ot_gen import MLP
        >>> add_head(MLP(2, hidden=(16,)), 1)(torch.zeros(3, 2)).shape
        torch.Size([3, 1])
    """
    return nn.Sequential(body, nn.Linear(number_of_features(body), out_dim))


def number_of_features(features: nn.Module) -> int:
    """What features return for a row, or a `ValueError` where they do not say it.

    Example:
        >>> number_of_features(nn.Sequential(nn.Linear(2, 3), nn.ReLU()))
        3
    """
    number = width_of(features)
    if number is None:
        raise ValueError(
            f"{described(features)} does not say how many features it returns; give it an attribute out_dim, the "
            "number of columns of what it returns"
        )
    return number


def width_of(net: nn.Module) -> int | None:
    """The numbers that a network returns for a row: its `out_dim`, or that of a chain's last linear layer, or None.

    Example:
        >>> width_of(nn.Linear(2, 3)), width_of(nn.ReLU())
        (3, None)
    """
    if isinstance(net, nn.Linear):
        return net.out_features
    if isinstance(net, nn.Sequential):
        last = [layer for layer in net.modules() if isinstance(layer, nn.Linear)][-1:]
        return last[0].out_features if last else None
    number = getattr(net, "out_dim", None)
    return number if isinstance(number, int) else None
