"""Images as they are stored, in bytes or in a file, which become rows of numbers where they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self, final

import torch
from torch import Tensor, nn

from ot_gen.arguments import Count, checked

CHUNK = 2**24  # numbers that are checked at a time
EXACT = 256  # bytes whose squares add up to less than 2^24


@final
@checked
class Pixels(nn.Module):
    """Images that stay as they are stored; `pixels[i]` reads rows of numbers, channel first, (n, d), d = c·h·w.

    Bytes take a quarter of the memory of float32: a byte p is the number p / 255, in [0, 1]. Floats are read as they
    are. The images may be a file that is mapped into memory. A selection is an order, not a copy.

    Args:
        images: (n, c, h, w), uint8 or floating and finite. Views are fine, as of images with their channels last.

    `dtype` is that of the rows, torch's default one when the object is made; `.to(...)` changes it, never the bytes.

    Raises:
        ValueError: another shape or dtype, or floats that are not finite.

    Example:
        >>> pixels = Pixels(torch.tensor([0, 51, 255, 102], dtype=torch.uint8).reshape(2, 1, 1, 2))
        >>> pixels[:]
        tensor([[0.0000, 0.2000],
                [1.0000, 0.4000]])
        >>> pixels.with_mirror_images()[torch.tensor([1, 3])]
        tensor([[1.0000, 0.4000],
                [0.4000, 1.0000]])
    """

    images: Tensor
    order: Tensor | None
    _like: Tensor

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        if images.ndim != 4 or images.numel() == 0:
            raise ValueError(f"images must be (n, channels, height, width), n >= 1, got shape {tuple(images.shape)}")
        if not (images.dtype == torch.uint8 or images.is_floating_point()):
            raise ValueError(
                f"images must be uint8 (0 to 255) or floats, got {images.dtype}; convert them, e.g. "
                "images.to(torch.uint8)"
            )
        self.register_buffer("images", images, persistent=False)
        self.register_buffer("order", None, persistent=False)  # numbers of images; those from len(images) on: mirrored
        self.register_buffer("_like", torch.empty(0), persistent=False)  # of the dtype of the rows
        if images.is_floating_point():
            self._check_finite()

    def _check_finite(self) -> None:
        for first, part in zip(range(0, len(self), self._few()), self.split(self._few()), strict=True):
            bad = ~part.isfinite().all(dim=1)
            if bad.any():
                raise ValueError(
                    f"images hold NaN or Inf (first: image {first + int(bad.nonzero()[0])}); repair or remove them"
                )

    def _few(self) -> int:
        return max(1, CHUNK // self.shape[1])

    def __len__(self) -> int:
        return len(self.images) if self.order is None else len(self.order)

    @property
    def shape(self) -> torch.Size:
        """(n, d), the shape of all rows."""
        return torch.Size((len(self), self.images[0].numel()))

    @property
    def dtype(self) -> torch.dtype:
        """That of the rows."""
        return self._like.dtype

    @property
    def device(self) -> torch.device:
        """Where the images and the rows are."""
        return self.images.device

    @property
    def nbytes(self) -> int:
        """Bytes of all rows, as they are read."""
        return self.shape.numel() * self.dtype.itemsize

    def numel(self) -> int:
        """Numbers in all rows."""
        return self.shape.numel()

    def __getitem__(self, which: Any) -> Tensor:
        """Rows (n, d), or one row (d,), as the index of a tensor says."""
        rows = self._stored(which).to(self.dtype)
        return rows.div_(255) if self.images.dtype == torch.uint8 else rows

    def _stored(self, which: Any) -> Tensor:
        """Rows in the numbers that they are stored in."""
        if self.order is None:
            return self.images[which].flatten(-3)
        which = self.order[which]
        images = self.images[which % len(self.images)]
        mirrored = which >= len(self.images)
        if mirrored.any():
            images = torch.where(mirrored[..., None, None, None], images.flip(-1), images)
        return images.flatten(-3)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of each number over all rows, (d,) each, in float64: of bytes by exact sums."""
        total = square = torch.zeros(self.shape[1], dtype=torch.float64, device=self.device)
        for first in range(0, len(self), EXACT):
            part = self._stored(slice(first, first + EXACT))
            # Sums of so few bytes, and of their squares, are whole numbers that float32 holds.
            part = part.float() if part.dtype == torch.uint8 else part.double()
            total, square = total + part.sum(dim=0), square + part.square_().sum(dim=0)
        unit = 255.0 if self.images.dtype == torch.uint8 else 1.0
        mean = total / len(self)
        return (mean / unit).cpu(), ((square / len(self) - mean.square()).clamp_min(0) / unit**2).cpu()

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """The rows of an index, (n, d); dim is 0."""
        assert dim == 0
        return self[index]

    def split(self, size: Count) -> Iterator[Tensor]:
        """All rows, at most `size` at a time."""
        return (self[first : first + size] for first in range(0, len(self), size))

    def detach(self) -> Pixels:
        """These: data have no gradient."""
        return self

    def take(self, which: Any) -> Pixels:
        """A selection, as the index of a tensor says, without a copy of the images."""
        order = torch.arange(len(self), device=self.device) if self.order is None else self.order
        return self._of(order[which])

    def with_mirror_images(self) -> Pixels:
        """The images, then those mirrored left to right: twice as many, without a copy. A fair coin draws from both."""
        order = torch.arange(len(self), device=self.device) if self.order is None else self.order
        m = len(self.images)
        return self._of(torch.cat([order, (order + m) % (2 * m)]))

    def _of(self, order: Tensor, images: Tensor | None = None) -> Pixels:
        other = Pixels.__new__(Pixels)
        nn.Module.__init__(other)
        other.register_buffer("images", self.images if images is None else images, persistent=False)
        other.register_buffer("order", order, persistent=False)
        other.register_buffer("_like", self._like, persistent=False)
        return other

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        if self.order is not None and fn(self.images[:0]).device != self.device:
            # Other selections of the same images move by themselves: each takes its own images along.
            m = len(self.images)
            own, place = (self.order % m).unique(return_inverse=True)
            self.order, self.images = torch.where(self.order < m, place, place + len(own)), self.images[own]
        floats = self.images
        super()._apply(fn, recurse)
        if floats.is_floating_point():  # the rows alone change their dtype
            self.images = floats.to(self.device)
        return self

    def extra_repr(self) -> str:
        c, h, w = self.images.shape[1:]
        return f"{len(self)} images of {c} x {h} x {w}, {str(self.images.dtype).removeprefix('torch.')}"


def taken(rows: Tensor | Pixels, which: Any) -> Tensor | Pixels:
    """A selection of rows, as the index of a tensor says: of pixels without a copy.

    Example:
        >>> taken(torch.tensor([[1.0], [2.0]]), slice(1, None))
        tensor([[2.]])
    """
    return rows.take(which) if isinstance(rows, Pixels) else rows[which]
