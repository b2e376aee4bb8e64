"""Residual networks: generators of images, and features of them. Images are rows (n, c·h·w) outside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import final

from torch import Tensor, nn

from ot_gen.arguments import Count, checked
from ot_gen.display import Network
from ot_gen.networks.convolutional import WIDEST, Halvings, check_codes, check_images, image_shape, resolutions
from ot_gen.networks.dense import made


@final
@checked
class ResNetGenerator(Network):
    """A residual generator z -> image, (n, in_dim) -> (n, c·h·w), that of WGAN-GP without batch statistics.

    A linear layer to the coarsest image. Then each block doubles its sides and halves its channels, which are at most
    8 · width. A block is x -> S U x + C φ N C U φ N x: C are 3 x 3 convolutions, S is a 1 x 1 convolution, φ the
    activation, N group normalisation and U the nearest pixels. A normalised convolution and `output` end it.

    Args:
        in_dim: latent dimension.
        shape: (channels, height, width), e.g. (3, 64, 64); any size.
        width: channels at full size; 64 in the paper.
        activation: the module class φ; a smooth one gives a smooth latent geometry.
        output: the module class at the end, for the range of the pixels, as of `ConvGenerator`.
        halvings: the number of blocks; None: as of `ConvGenerator`.

    Raises:
        ValueError: a shape that is no image's; when it is called, points that are not (n, in_dim).

    Source: Gulrajani et al., 2017, https://arxiv.org/abs/1704.00028

    Example:
        >>> import torch
        >>> ResNetGenerator(8, (3, 32, 32), width=8)(torch.zeros(2, 8)).shape
        torch.Size([2, 3072])
    """

    by_rows = True

    def __init__(
        self,
        in_dim: Count,
        shape: Sequence[Count] | None,
        width: Count = 32,
        activation: type[nn.Module] = nn.ReLU,
        output: type[nn.Module] = nn.Sigmoid,
        halvings: Halvings | None = None,
    ) -> None:
        super().__init__()
        self.in_dim = in_dim
        self.shape = image_shape(shape)
        self.out_dim = math.prod(self.shape)
        sizes = resolutions(self.shape, halvings)
        widths = [width * min(2**level, WIDEST) for level in range(len(sizes))]
        start = (widths[-1], *sizes[-1])
        layers: list[nn.Module] = [nn.Linear(in_dim, math.prod(start)), nn.Unflatten(1, start)]
        for level in range(len(sizes) - 1, 0, -1):
            before, after, grow = widths[level], widths[level - 1], nn.Upsample(size=sizes[level - 1])
            branch = [_norm(before), made(activation), grow, _convolution(before, after)]
            branch += [_norm(after), made(activation), _convolution(after, after)]
            layers.append(_Sum(branch, [grow, _convolution(before, after, 1)]))
        layers += [_norm(width), made(activation), nn.Conv2d(width, self.shape[0], 3, padding=1)]
        self.layers = nn.Sequential(*layers, made(output), nn.Flatten())

    def forward(self, z: Tensor) -> Tensor:
        check_codes(z, self.in_dim)
        out: Tensor = self.layers(z)
        return out


@final
@checked
class ResNetFeatures(Network):
    """Residual features of an image, (n, c·h·w) -> (n, out_dim), for critics and encoders: those of WGAN-GP's critic.

    A convolution at full size. Then each block halves the sides, rounded up, and doubles the channels, which are at
    most 8 · width. A block is x -> S P x + P C φ C φ x: C are 3 x 3 convolutions, S is a 1 x 1 convolution, φ the
    activation and P averages 2 x 2 pixels. φ ends it. Nothing is normalised: each row is by itself, as a gradient
    penalty needs it. With `SpectralNorm` a block is a sum of two paths, so its constant may reach 2.

    Args:
        shape: (channels, height, width); any size.
        width: channels at full size; 64 in the paper.
        activation: the module class φ.
        halvings: the number of blocks; None: as of `ConvGenerator`.

    Raises:
        ValueError: a shape that is no image's; when it is called, points that are not (n, c·h·w).

    Source: Gulrajani et al., 2017, https://arxiv.org/abs/1704.00028; Miyato et al., 2018,
    https://arxiv.org/abs/1802.05957

    Example:
        >>> import torch
        >>> features = ResNetFeatures((3, 32, 32), width=8)
        >>> features(torch.zeros(2, 3072)).shape == (2, features.out_dim)
        True
    """

    by_rows = True

    def __init__(
        self,
        shape: Sequence[Count] | None,
        width: Count = 32,
        activation: type[nn.Module] = nn.ReLU,
        halvings: Halvings | None = None,
    ) -> None:
        super().__init__()
        self.shape = image_shape(shape)
        sizes = resolutions(self.shape, halvings)
        widths = [width * min(2**level, WIDEST) for level in range(len(sizes))]
        layers = [nn.Unflatten(1, self.shape), nn.Conv2d(self.shape[0], width, 3, padding=1)]
        for before, after in pairwise(widths):
            shrink = nn.AvgPool2d(2, ceil_mode=True)
            branch = [made(activation), _convolution(before, before), made(activation), _convolution(before, after)]
            layers.append(_Sum([*branch, shrink], [shrink, _convolution(before, after, 1)]))
        self.out_dim = widths[-1] * math.prod(sizes[-1])
        self.layers = nn.Sequential(*layers, made(activation), nn.Flatten())

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.shape)
        out: Tensor = self.layers(x)
        return out


@final
class _Sum(nn.Module):
    """The sum of two paths: a residual block."""

    by_rows = True

    def __init__(self, branch: Sequence[nn.Module], short: Sequence[nn.Module]) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)
        self.short = nn.Sequential(*short)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.short(x) + self.branch(x)
        return out


def _convolution(before: int, after: int, side: int = 3) -> nn.Conv2d:
    """A convolution that keeps the size, and at the start the variance: He's on the branch, which begins with φ."""
    layer = nn.Conv2d(before, after, side, padding=side // 2)
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="linear" if side == 1 else "relu")
    return layer


def _norm(channels: int) -> nn.Module:
    return nn.GroupNorm(math.gcd(8, channels), channels)
