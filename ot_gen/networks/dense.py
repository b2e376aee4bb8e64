"""Dense networks: generators, and features for critics and encoders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import final

from torch import Tensor, nn

from ot_gen.arguments import Count, checked, described
from ot_gen.display import Network


def made(activation: Callable[[], nn.Module]) -> nn.Module:
    """A new module of a class; a `ValueError` where it makes something else."""
    layer = activation()
    if not isinstance(layer, nn.Module):
        raise ValueError(f"activation must be a class of modules, e.g. nn.ReLU; it made {described(layer)}")
    return layer


@final
@checked
class MLP(Network):
    """A multilayer perceptron (n, in_dim) -> (n, out_dim).

    Args:
        in_dim: input dimension.
        out_dim: output dimension; None ends after the last hidden activation, as a feature extractor.
        hidden: widths of the hidden layers.
        activation: the module class between layers.
        output: a module applied at the end, e.g. `nn.Sigmoid()` for pixels in [0, 1].

    Example:
        >>> import torch
        >>> MLP(2, 784, hidden=(64, 64), output=nn.Sigmoid())(torch.zeros(3, 2)).shape
        torch.Size([3, 784])
    """

    by_rows = True

    def __init__(
        self,
        in_dim: Count,
        out_dim: Count | None = None,
        hidden: Sequence[Count] = (128, 128),
        activation: type[nn.Module] = nn.ReLU,
        output: nn.Module | None = None,
    ) -> None:
        super().__init__()
        widths = [in_dim, *hidden]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), made(activation)]
        if out_dim is not None:
            layers.append(nn.Linear(widths[-1], out_dim))
        if output is not None:
            layers.append(output)
        self.in_dim = in_dim
        self.out_dim = out_dim if out_dim is not None else widths[-1]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out
