"""Networks: generators, and features for critics and encoders.

A point cloud is always (n, d). Networks that work on images reshape at their own door.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class MLP(nn.Module):
    """A multilayer perceptron (n, in_dim) -> (n, out_dim).

    Args:
        in_dim: input dimension.
        out_dim: output dimension; None ends after the last hidden activation, as a feature extractor.
        hidden: widths of the hidden layers.
        activation: the module class between layers.
        output: a module applied at the end, e.g. `nn.Sigmoid()` for pixels in [0, 1].

    Example:
        >>> MLP(2, 784, hidden=(64, 64), output=nn.Sigmoid())(torch.zeros(3, 2)).shape
        torch.Size([3, 784])
    """

    by_rows = True

    def __init__(
        self,
        in_dim: int,
        out_dim: int | None = None,
        hidden: Sequence[int] = (128, 128),
        activation: type[nn.Module] = nn.ReLU,
        output: nn.Module | None = None,
    ) -> None:
        super().__init__()
        widths = [in_dim, *hidden]
        if min(widths) < 1 or (out_dim is not None and out_dim < 1):
            raise ValueError(f"layer widths must be positive, got in {in_dim}, hidden {list(hidden)}, out {out_dim}")
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), activation()]
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


class GroupSort(nn.Module):
    """Sort the features within groups of neighbours, (n, w) -> (n, w); `group` = 2 is MaxMin.

    A permutation at every x, so 1-Lipschitz in every p-norm and gradient-norm preserving: with orthogonal layers it
    makes networks that come as near as wanted to every 1-Lipschitz function, which ReLU does not.

    Args:
        group: the size of a group, >= 2; None sorts all features.

    Raises:
        ValueError: group < 2, or a width that is no multiple of `group`.

    Source: Anil, Lucas, Grosse, 2019, https://arxiv.org/abs/1811.05381

    Example:
        >>> GroupSort(2)(torch.tensor([[3.0, 1.0, 0.0, 2.0]]))
        tensor([[1., 3., 0., 2.]])
    """

    by_rows = True

    def __init__(self, group: int | None = 2) -> None:
        super().__init__()
        if group is not None and group < 2:
            raise ValueError(f"GroupSort needs groups of at least 2 features, got {group}; None sorts all of them")
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        width = x.shape[-1]
        group = width if self.group is None else self.group
        if width % group:
            raise ValueError(f"GroupSort({group}) needs a width that is a multiple of {group}, got {width} features")
        groups = x.unflatten(-1, (-1, group))
        if group == 2:  # many times faster than a sort
            low, high = groups.unbind(-1)
            return torch.stack([torch.minimum(low, high), torch.maximum(low, high)], dim=-1).flatten(-2)
        return groups.sort(dim=-1).values.flatten(-2)

    def extra_repr(self) -> str:
        return f"group={self.group}"


class ConvGenerator(nn.Module):
    """A convolutional generator z -> image, (n, in_dim) -> (n, c·h·w) with pixels in [0, 1].

    A linear layer to (2·width, h/4, w/4), then two transposed convolutions of stride 2 with batch-free group
    normalisation, then a sigmoid.

    Args:
        in_dim: latent dimension.
        shape: (channels, height, width); height and width divisible by 4, e.g. (1, 28, 28).
        width: channels of the last hidden layer.
        activation: the module class between layers; a smooth one gives a smooth latent geometry.

    Example:
        >>> ConvGenerator(8, (1, 28, 28))(torch.zeros(2, 8)).shape
        torch.Size([2, 784])
    """

    by_rows = True

    def __init__(
        self, in_dim: int, shape: Sequence[int] | None, width: int = 32, activation: type[nn.Module] = nn.ReLU
    ) -> None:
        super().__init__()
        channels, height, width_px = _image_shape(shape)
        self.out_dim = channels * height * width_px
        start = (2 * width, height // 4, width_px // 4)
        self.layers = nn.Sequential(
            nn.Linear(in_dim, math.prod(start)),
            activation(),
            nn.Unflatten(1, start),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
            nn.GroupNorm(8, width) if width % 8 == 0 else nn.Identity(),
            activation(),
            nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1),
            nn.Sigmoid(),
            nn.Flatten(),
        )

    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = self.layers(z)
        return out


class ConvFeatures(nn.Module):
    """Convolutional features of an image, (n, c·h·w) -> (n, out_dim), for critics and encoders.

    Two convolutions of stride 2 with LeakyReLU(0.2), which is 1-Lipschitz, and no normalisation across the batch,
    which would couple the samples that a gradient penalty needs apart.

    Args:
        shape: (channels, height, width); height and width divisible by 4.
        width: channels of the first layer; the second has twice as many.

    Example:
        >>> features = ConvFeatures((1, 28, 28))
        >>> features(torch.zeros(2, 784)).shape == (2, features.out_dim)
        True
    """

    by_rows = True

    def __init__(self, shape: Sequence[int] | None, width: int = 32) -> None:
        super().__init__()
        channels, height, width_px = _image_shape(shape)
        self.out_dim = 2 * width * (height // 4) * (width_px // 4)
        self.layers = nn.Sequential(
            nn.Unflatten(1, (channels, height, width_px)),
            nn.Conv2d(channels, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


def add_head(body: MLP | ConvFeatures, out_dim: int) -> nn.Sequential:
    """`body` followed by a linear layer to out_dim: a critic (out_dim = 1) or an encoder's parameters.

    Example:
        >>> add_head(MLP(2, hidden=(16,)), 1)(torch.zeros(3, 2)).shape
        torch.Size([3, 1])
    """
    return nn.Sequential(body, nn.Linear(body.out_dim, out_dim))


def _image_shape(shape: Sequence[int] | None) -> tuple[int, int, int]:
    if shape is None or len(shape) != 3 or min(shape) < 1 or shape[1] % 4 or shape[2] % 4:
        raise ValueError(
            "convolutional networks need an image shape (channels, height, width) with height and width divisible by "
            f"4, got {None if shape is None else tuple(shape)}; use fully connected ones for other data (generator=mlp)"
        )
    return shape[0], shape[1], shape[2]
