"""Coloured shapes on a plain ground: images with classes, of any size, that are drawn and need no file."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from ot_gen.arguments import Interval, checked
from ot_gen.data.dataset import Dataset
from ot_gen.data.law import Size
from ot_gen.execution import keyword_only
from ot_gen.measures import Empirical

CLASSES = ("circle", "cross", "square", "triangle")
GROUND = 0.94
Side = Annotated[int, Interval(8, 512)]  # fewer pixels show no shapes


@keyword_only
@checked
def shapes(*, size: Size = 8000, test_size: Size = 2000, pixels: Side = 32, seed: int = 0) -> Dataset:
    """Circles, crosses, squares and triangles, one in each image, in random colours, places and sizes.

    Rows are images of shape (3, pixels, pixels), float32 in [0, 1]; labels are 0, ..., 3 in the order above, equally
    likely. The hue is uniform, the radius is 0.2 to 0.36 of a side and the shape lies inside the image, on light grey.
    A pixel at an edge mixes both colours by the distance to it. The image of a seed is the same at any number of
    pixels, but for its resolution.

    Args:
        size: the number of training images.
        test_size: the number of held-out images; they do not depend on `size`.
        pixels: of a side.
        seed: of the training and the held-out images, two independent streams. The caller's random state stays as it
            was.

    Raises:
        ValueError: sizes < 2, or fewer than 8 pixels.

    Example:
        >>> data = shapes(size=20, test_size=4)
        >>> len(data.train), data.shape, int(data.labels[0].max())
        (20, (3, 32, 32), 3)
    """
    seeds = torch.randint(2**62, (2,), generator=torch.Generator("cpu").manual_seed(seed), device="cpu").tolist()
    (train, labels), (test, test_labels) = (
        _drawn(n, pixels, torch.Generator("cpu").manual_seed(each))
        for n, each in zip((size, test_size), seeds, strict=True)
    )
    return Dataset(Empirical(train), Empirical(test), (3, pixels, pixels), labels, test_labels)


def _drawn(n: int, pixels: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images as rows, (n, 3 · pixels²), and their classes, (n,)."""
    images = torch.empty(n, 3, pixels, pixels, device="cpu")
    classes = torch.empty(n, dtype=torch.int64, device="cpu")
    ticks = (torch.arange(pixels, device="cpu") + 0.5) / pixels
    for rows in torch.arange(n, device="cpu").split(1024):  # bounds the memory of the distances
        u = torch.rand(len(rows), 6, generator=generator, device="cpu")
        r = 0.2 + 0.16 * u[:, 3]
        kind, centre = (len(CLASSES) * u[:, 0]).long(), r[:, None] + (1 - 2 * r[:, None]) * u[:, 1:3]
        x, y = (ticks[None, None, :] - centre[:, :1, None], ticks[None, :, None] - centre[:, 1:, None])
        distance = torch.stack(torch.broadcast_tensors(*_distances(x, y, r[:, None, None])))
        distance = distance[kind, rows - rows[0]]
        cover = (0.5 - pixels * distance).clamp(0, 1)[:, None]
        colour = _colours(u[:, 4], 0.65 + 0.35 * u[:, 5])[:, :, None, None]
        images[rows], classes[rows] = GROUND + cover * (colour - GROUND), kind
    return images.flatten(1), classes


def _distances(x: Tensor, y: Tensor, r: Tensor) -> list[Tensor]:
    """To the edge of each shape of `CLASSES` around 0, negative inside, y downwards; outside corners a lower bound."""
    disc = torch.hypot(x, y) - 0.85 * r
    square = torch.maximum(x.abs(), y.abs()) - 0.75 * r
    bars = [torch.maximum(a.abs() - 0.95 * r, b.abs() - 0.3 * r) for a, b in ((x, y), (y, x))]
    triangle = torch.maximum(3**0.5 / 2 * x.abs() - y / 2, y) - r / 2  # equilateral, with corners at the distance r
    return [disc, torch.minimum(*bars), square, triangle]


def _colours(hue: Tensor, value: Tensor) -> Tensor:
    """Red, green and blue, (n, 3), of full saturation at a hue in [0, 1) and a value in [0, 1]."""
    phase = (hue[:, None] * 6 + hue.new_tensor([0.0, 4.0, 2.0])).remainder(6)
    return value[:, None] * ((phase - 3).abs() - 1).clamp(0, 1)
