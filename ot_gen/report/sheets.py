"""Images and numbers as text that a page can hold: many images as one picture, numbers in base64."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, final

import numpy as np
import torch
from torch import Tensor

PIXELS = 2**22  # of a sheet: what a browser decodes in a blink
QUALITIES = (90, 75, 60, 45)  # of WebP, where PNG is too large
SMALLEST = 8  # pixels along the longer side of an image that was made smaller


@final
class Sheet(NamedTuple):
    """Images of one size, row by row without margins, as a data URL.

    Attributes:
        url: of the picture.
        columns: images a row.
        width, height: of one image, in pixels; smaller than its own where all of them would be too many.
    """

    url: str
    columns: int
    width: int
    height: int


def sheet(images: Tensor, shape: Sequence[int], columns: int, size: int) -> Sheet:
    """Images in [0, 1] as one picture of at most `size` bytes: without loss where it fits, else as WebP, else smaller.

    Args:
        images: (n, c·h·w).
        shape: (channels, height, width), channels 1 or 3.
        columns: images a row.
        size: bytes, before they become text.

    Example:
        >>> made = sheet(torch.rand(4, 6), (1, 2, 3), 2, 10_000)
        >>> made.url[:22], made.columns, made.width, made.height
        ('data:image/png;base64,', 2, 3, 2)
    """
    from PIL import Image

    cells = images.detach().cpu().float().clamp(0, 1).reshape(-1, *shape)
    scale = min(1.0, math.sqrt(PIXELS / (len(cells) * shape[1] * shape[2])))
    while True:
        height, width = (max(1, int(scale * side)) for side in shape[1:])
        small = cells if scale == 1 else torch.nn.functional.interpolate(cells, (height, width), mode="area")
        picture = Image.fromarray(_laid_out(small, columns))
        for quality in (None, *QUALITIES):
            kind, file = "png" if quality is None else "webp", io.BytesIO()
            options: dict[str, Any] = {"optimize": True} if quality is None else {"quality": quality, "method": 4}
            picture.save(file, kind, **options)
            is_last = max(height, width) <= SMALLEST and quality == QUALITIES[-1]
            if file.tell() <= size or is_last:
                text = base64.b64encode(file.getvalue()).decode("ascii")
                return Sheet(f"data:image/{kind};base64,{text}", columns, width, height)
        scale *= 0.7


def floats(values: Tensor) -> str:
    """Numbers as text: float32, little-endian, in base64.

    Example:
        >>> floats(torch.tensor([1.0]))
        'AACAPw=='
    """
    array = values.detach().cpu().float().contiguous().numpy()
    return base64.b64encode(array.astype("<f4").tobytes()).decode("ascii")


def words16(values: Tensor) -> str:
    """Whole numbers below 65,536 as text: two bytes each, little-endian, in base64.

    Example:
        >>> words16(torch.tensor([258]))
        'AgE='
    """
    return base64.b64encode(values.detach().cpu().numpy().astype("<u2").tobytes()).decode("ascii")


def _laid_out(cells: Tensor, columns: int) -> np.ndarray:
    """Images (n, c, h, w) as one array of bytes, (rows·h, columns·w) or (rows·h, columns·w, 3)."""
    n, channels, height, width = cells.shape
    rows = math.ceil(n / columns)
    grid = cells.new_zeros(rows * columns, channels, height, width)
    grid[:n] = cells
    grid = grid.reshape(rows, columns, channels, height, width).permute(0, 3, 1, 4, 2)
    pixels = (255 * grid.reshape(rows * height, columns * width, channels)).round().to(torch.uint8).numpy()
    return pixels[..., 0] if channels == 1 else pixels
