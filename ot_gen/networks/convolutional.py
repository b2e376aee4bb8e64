"""Convolutional networks: generators of images, and features of them. Images are rows (n, c·h·w) outside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, final

from torch import Tensor, nn

from ot_gen.arguments import Count, Interval, checked
from ot_gen.display import Network
from ot_gen.networks.dense import made

COARSEST = 7  # pixels of the larger side where halving ends
WIDEST = 8  # times the channels at full size
Halvings = Annotated[int, Interval(1, 16)]


@final
@checked
class ConvGenerator(Network):
    """A convolutional generator z -> image, (n, in_dim) -> (n, c·h·w), that of DCGAN without batch statistics.

    A linear layer to the coarsest image, then transposed convolutions of stride 2 with group normalisation, then
    `output`. Each halves the channels, which are at most 8 · width. A side that is odd is met exactly.

    Args:
        in_dim: latent dimension.
        shape: (channels, height, width), e.g. (3, 64, 64); any size.
        width: channels of the last hidden layer.
        activation: the module class between layers; a smooth one gives a smooth latent geometry.
        output: the module class at the end, for the range of the pixels: `nn.Sigmoid` for [0, 1], `nn.Tanh` for
            [−1, 1], `nn.Identity` for any.
        halvings: how often the coarsest image has been halved. None: until its larger side has at most 7 pixels, and
            at least twice; 2 at 28 pixels, 3 at 32, 4 at 64, 5 at 128.

    Raises:
        ValueError: a shape that is no image's; when it is called, points that are not (n, in_dim).

    Source: Radford, Metz, Chintala, 2016, https://arxiv.org/abs/1511.06434

    Example:
        >>> import torch
        >>> ConvGenerator(8, (1, 28, 28))(torch.zeros(2, 8)).shape
        torch.Size([2, 784])
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
        widths = [width * min(2**level, WIDEST) for level in range(len(sizes) - 1)]
        start = (widths[-1], *sizes[-1])
        layers: list[nn.Module] = [nn.Linear(in_dim, math.prod(start)), made(activation), nn.Unflatten(1, start)]
        for level in range(len(widths) - 1, 0, -1):
            before, after = widths[level], widths[level - 1]
            layers.append(nn.ConvTranspose2d(before, after, kernel(sizes[level]), stride=2, padding=1))
            layers += [nn.GroupNorm(8, after) if after % 8 == 0 else nn.Identity(), made(activation)]
        layers.append(nn.ConvTranspose2d(width, self.shape[0], kernel(sizes[0]), stride=2, padding=1))
        self.layers = nn.Sequential(*layers, made(output), nn.Flatten())

    def forward(self, z: Tensor) -> Tensor:
        check_codes(z, self.in_dim)
        out: Tensor = self.layers(z)
        return out


@final
@checked
class ConvFeatures(Network):
    """Convolutional features of an image, (n, c·h·w) -> (n, out_dim), for critics and encoders.

    Convolutions of stride 2 with LeakyReLU(0.2), which is 1-Lipschitz; each doubles the channels, which are at most
    8 · width. There is no normalisation across the batch: it would couple samples, and a gradient penalty needs them
    apart.

    Args:
        shape: (channels, height, width); any size.
        width: channels of the first layer.
        halvings: the number of layers; None: as of `ConvGenerator`.

    Raises:
        ValueError: a shape that is no image's; when it is called, points that are not (n, c·h·w).

    Source: Radford, Metz, Chintala, 2016, https://arxiv.org/abs/1511.06434

    Example:
        >>> import torch
        >>> features = ConvFeatures((1, 28, 28))
        >>> features(torch.zeros(2, 784)).shape == (2, features.out_dim)
        True
    """

    by_rows = True

    def __init__(self, shape: Sequence[Count] | None, width: Count = 32, halvings: Halvings | None = None) -> None:
        super().__init__()
        self.shape = image_shape(shape)
        sizes = resolutions(self.shape, halvings)
        layers: list[nn.Module] = [nn.Unflatten(1, self.shape)]
        before = self.shape[0]
        for level, size in enumerate(sizes[:-1]):
            after = width * min(2**level, WIDEST)
            layers += [nn.Conv2d(before, after, kernel(size), stride=2, padding=1), nn.LeakyReLU(0.2)]
            before = after
        self.out_dim = before * math.prod(sizes[-1])
        self.layers = nn.Sequential(*layers, nn.Flatten())

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.shape)
        out: Tensor = self.layers(x)
        return out


def image_shape(shape: Sequence[int] | None, instead: str = "use an MLP") -> tuple[int, int, int]:
    """The three sizes, or a `ValueError` where they are none.

    Example:
        >>> image_shape([1, 28, 28])
        (1, 28, 28)
    """
    if shape is None or len(shape) != 3:
        raise ValueError(
            "convolutional networks need an image shape (channels, height, width), "
            f"got {None if shape is None else tuple(shape)}; for other data {instead}"
        )
    return shape[0], shape[1], shape[2]


def resolutions(shape: tuple[int, int, int], halvings: int | None) -> list[tuple[int, int]]:
    """(height, width) from the finest to the coarsest: each side is half of the one before, rounded up.

    Example:
        >>> resolutions((1, 28, 28), None), resolutions((3, 45, 64), 2)
        ([(28, 28), (14, 14), (7, 7)], [(45, 64), (23, 32), (12, 16)])
    """
    _, height, width = shape
    if halvings is None:
        halvings = max(2, math.ceil(math.log2(max(height, width) / COARSEST)))
    return [(-(-height // 2**level), -(-width // 2**level)) for level in range(halvings + 1)]


def kernel(size: tuple[int, int]) -> tuple[int, int]:
    """The sides of a kernel with stride 2 and padding 1 between `size` and its half, rounded up: 4, or 3 if odd.

    Example:
        >>> kernel((28, 7))
        (4, 3)
    """
    return 4 - size[0] % 2, 4 - size[1] % 2


def check_codes(z: Tensor, dim: int) -> None:
    """Raise a `ValueError` unless z is (n, dim).

    Example:
        >>> import torch
        >>> check_codes(torch.zeros(2, 8), 8)
    """
    if z.ndim != 2 or z.shape[1] != dim:
        raise ValueError(f"this generator takes points (n, {dim}), got {tuple(z.shape)}; give one row a point")


def check_images(x: Tensor, shape: tuple[int, int, int]) -> None:
    """Raise a `ValueError` unless x is rows of images, (n, c·h·w).

    Example:
        >>> import torch
        >>> check_images(torch.zeros(2, 12), (3, 2, 2))
    """
    dim = math.prod(shape)
    if x.ndim != 2 or x.shape[1] != dim:
        raise ValueError(
            f"this network takes images {shape} as rows (n, {dim}), got {tuple(x.shape)}; flatten them with "
            "x.flatten(1), or give the network their shape"
        )
