"""Heads: what makes a critic or an encoder of features."""

from __future__ import annotations

from torch import nn

from ot_gen.arguments import Count, checked
from ot_gen.networks.convolutional import ConvFeatures
from ot_gen.networks.dense import MLP


@checked
def add_head(body: MLP | ConvFeatures, out_dim: Count) -> nn.Sequential:
    """`body` followed by a linear layer to out_dim: a critic (out_dim = 1) or an encoder's parameters.

    Example:
        >>> import torch
        >>> add_head(MLP(2, hidden=(16,)), 1)(torch.zeros(3, 2)).shape
        torch.Size([3, 1])
    """
    return nn.Sequential(body, nn.Linear(body.out_dim, out_dim))
