"""Convolutional networks: generators of images, and features of them. Images are rows (n, c·h·w) outside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

from torch import Tensor, nn

from ot_gen.arguments import Count, checked
from ot_gen.networks.dense import made


@final
@checked
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
        >>> import torch
        >>> ConvGenerator(8, (1, 28, 28))(torch.zeros(2, 8)).shape
        torch.Size([2, 784])
    """

    by_rows = True

    def __init__(
        self, in_dim: Count, shape: Sequence[Count] | None, width: Count = 32, activation: type[nn.Module] = nn.ReLU
    ) -> None:
        super().__init__()
        channels, height, width_px = image_shape(shape)
        self.out_dim = channels * height * width_px
        start = (2 * width, height // 4, width_px // 4)
        self.layers = nn.Sequential(
            nn.Linear(in_dim, math.prod(start)),
            made(activation),
            nn.Unflatten(1, start),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
            nn.GroupNorm(8, width) if width % 8 == 0 else nn.Identity(),
            made(activation),
            nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1),
            nn.Sigmoid(),
            nn.Flatten(),
        )

    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = self.layers(z)
        return out


@final
@checked
class ConvFeatures(nn.Module):
    """Convolutional features of an image, (n, c·h·w) -> (n, out_dim), for critics and encoders.

    Two convolutions of stride 2 with LeakyReLU(0.2), which is 1-Lipschitz. There is no normalisation across the batch:
    it would couple samples, and a gradient penalty needs them apart.

    Args:
        shape: (channels, height, width); height and width divisible by 4.
        width: channels of the first layer; the second has twice as many.

    Example:
        >>> import torch
        >>> features = ConvFeatures((1, 28, 28))
        >>> features(torch.zeros(2, 784)).shape == (2, features.out_dim)
        True
    """

    by_rows = True

    def __init__(self, shape: Sequence[Count] | None, width: Count = 32) -> None:
        super().__init__()
        channels, height, width_px = image_shape(shape)
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


def image_shape(shape: Sequence[int] | None, instead: str = "use an MLP") -> tuple[int, int, int]:
    """The three sizes, or a `ValueError` where they are no image that can be halved twice.

    Example:
        >>> image_shape([1, 28, 28])
        (1, 28, 28)
    """
    if shape is None or len(shape) != 3 or shape[1] % 4 or shape[2] % 4:
        raise ValueError(
            "convolutional networks need an image shape (channels, height, width) with height and width divisible by "
            f"4, got {None if shape is None else tuple(shape)}; for other data {instead}"
        )
    return shape[0], shape[1], shape[2]
