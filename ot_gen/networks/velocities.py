"""Velocities v(t, x) of flows: a dense network, and a small U-Net for images."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from ot_gen.arguments import Count, Labels, checked, described
from ot_gen.display import Network
from ot_gen.networks.convolutional import Halvings, image_shape, kernel, resolutions

FREQUENCIES = 8  # of the features of time


@final
@checked
class DenseVelocity(Network):
    """A dense velocity v(t, x), (n,), (n, d) -> (n, d): residual layers, each of which sees the time.

    The time enters by its features, t and sin πft, cos πft for f = 1, ..., 8.

    Args:
        dim: d.
        width: of the hidden layers.
        depth: the number of hidden layers, >= 1.
        classes: the number of labels; None: there are none.

    Raises:
        ValueError: when it is called, times that are not (n,), or labels that are missing or not asked for.

    Example:
        >>> v = DenseVelocity(2, width=16)
        >>> v(torch.rand(5), torch.randn(5, 2)).shape
        torch.Size([5, 2])
    """

    def __init__(self, dim: Count, width: Count = 256, depth: Count = 3, classes: Count | None = None) -> None:
        super().__init__()
        self.dim = dim
        self.conditions = _Conditions(classes)
        self.body = _Residual(dim, self.conditions.dim, width, depth)

    def forward(self, t: Tensor, x: Tensor, label: Labels | None = None) -> Tensor:
        _check_points(x, self.dim)
        out: Tensor = self.body(torch.cat([x, self.conditions(t, x, label)], dim=1))
        return out


@final
@checked
class UNetVelocity(Network):
    """A small U-Net as the velocity of images, v(t, x), (n,), (n, c·h·w) -> (n, c·h·w).

    Each resolution is half of the one before, rounded up, with a residual block on the way down and one on the way up;
    one more stands at the bottom. Group normalisation and SiLU come before each convolution. The time and the label
    shift each block's channels.

    Args:
        shape: (channels, height, width) of the images; any size.
        width: channels at full resolution, a multiple of 8; twice, three and then four times as many below.
        classes: the number of labels; None: there are none.
        halvings: the number of resolutions below the full one; None: as of `ConvGenerator`.

    Raises:
        ValueError: a shape or a width that does not fit; when it is called, as of `DenseVelocity`.

    Source: Ronneberger et al., 2015, https://arxiv.org/abs/1505.04597; Ho et al., 2020, https://arxiv.org/abs/2006.11239

    Example:
        >>> v = UNetVelocity((1, 28, 28), width=8)
        >>> v(torch.rand(3), torch.randn(3, 784)).shape
        torch.Size([3, 784])
    """

    def __init__(
        self,
        shape: Sequence[Count] | None,
        width: Count = 32,
        classes: Count | None = None,
        halvings: Halvings | None = None,
    ) -> None:
        super().__init__()
        shape = image_shape(shape, "use a DenseVelocity")
        if width % 8:
            raise ValueError(f"the width of a U-Net must be a multiple of 8, for its groups of channels, got {width}")
        self.dim = math.prod(shape)
        self.conditions = _Conditions(classes)
        self.body = _UNet(shape, self.conditions.dim, width, resolutions(shape, halvings))

    def forward(self, t: Tensor, x: Tensor, label: Labels | None = None) -> Tensor:
        _check_points(x, self.dim)
        out: Tensor = self.body(torch.cat([x, self.conditions(t, x, label)], dim=1))
        return out


def check_velocity(velocity: nn.Module) -> None:
    """Raise a `ValueError` unless a module can be called as v(t, x), or as v(t, x, label).

    Example:
        >>> check_velocity(nn.Linear(2, 2))
        Traceback (most recent call last):
        ValueError: a velocity takes times and points, v(t, x), and a Linear does not; give DenseVelocity(d), or a \
module whose forward takes (t, x)
    """
    try:
        signature = inspect.signature(velocity.forward)
    except (TypeError, ValueError):  # of compiled code, which says nothing
        return
    for arguments in (("t", "x"), ("t", "x", "label")):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return
    raise ValueError(
        f"a velocity takes times and points, v(t, x), and {described(velocity)} does not; give DenseVelocity(d), or a "
        "module whose forward takes (t, x)"
    )


def _check_points(x: Tensor, dim: int) -> None:
    if x.ndim != 2 or x.shape[1] != dim:
        raise ValueError(f"this velocity moves points (n, {dim}), got {tuple(x.shape)}; give one row a point")


@final
class _Conditions(nn.Module):
    """Features of the time and of the label, (n, dim)."""

    frequencies: Tensor

    def __init__(self, classes: int | None) -> None:
        super().__init__()
        self.register_buffer("frequencies", math.pi * torch.arange(1.0, FREQUENCIES + 1), persistent=False)
        self.classes = classes
        self.label = None if classes is None else nn.Embedding(classes, 2 * FREQUENCIES)
        self.dim = (1 + 2 * FREQUENCIES) + (0 if classes is None else 2 * FREQUENCIES)

    def forward(self, t: Tensor, x: Tensor, label: Tensor | None) -> Tensor:
        if t.shape != x.shape[:1]:
            raise ValueError(f"a velocity takes one time t (n,) for each of {len(x)} points, got {tuple(t.shape)}")
        if (self.label is None) != (label is None):
            what = "takes no labels" if self.label is None else f"needs labels (n,), one of {self.classes} classes"
            raise ValueError(f"this velocity {what}; got {'none' if label is None else tuple(label.shape)}")
        phases = t[:, None] * self.frequencies
        parts = [t[:, None], phases.sin(), phases.cos()]
        if self.label is not None and label is not None:
            self._check_labels(label, len(x))
            parts.append(self.label(label))
        return torch.cat(parts, dim=1)

    def _check_labels(self, label: Tensor, n: int) -> None:
        asked = f"labels must be whole numbers in [0, {self.classes}), one for each of {n} points"
        if label.shape != (n,) or label.dtype not in (torch.int32, torch.int64):
            raise ValueError(f"{asked}, got shape {tuple(label.shape)} of {label.dtype}")
        if n and not 0 <= int(label.min()) <= int(label.max()) < (self.classes or 0):
            raise ValueError(f"{asked}, got numbers from {label.min()} to {label.max()}")


@final
class _Residual(nn.Module):
    """Rows [x, e], (n, d + e) -> (n, d): h = φ(A [x, e]), then h + φ(B_l [h, e]) layer by layer."""

    by_rows = True

    def __init__(self, dim: int, extra: int, width: int, depth: int) -> None:
        super().__init__()
        self.dim = dim
        self.first = nn.Linear(dim + extra, width)
        self.layers = nn.ModuleList([nn.Linear(width + extra, width) for _ in range(depth - 1)])
        self.last = nn.Linear(width, dim)
        self.activation = nn.SiLU()

    def forward(self, rows: Tensor) -> Tensor:
        extra = rows[:, self.dim :]
        h = self.activation(self.first(rows))
        for layer in self.layers:
            h = h + self.activation(layer(torch.cat([h, extra.to(h.dtype)], dim=1)))
        out: Tensor = self.last(h)
        return out


@final
class _Block(nn.Module):
    """A residual block of two convolutions whose channels are shifted by the conditions."""

    by_rows = True

    def __init__(self, before: int, after: int, extra: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(8, before), nn.SiLU(), nn.Conv2d(before, after, 3, padding=1))
        self.shift = nn.Linear(extra, after)
        self.second = nn.Sequential(nn.GroupNorm(8, after), nn.SiLU(), nn.Conv2d(after, after, 3, padding=1))
        self.short = nn.Identity() if before == after else nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor, extra: Tensor) -> Tensor:
        out: Tensor = self.short(x) + self.second(self.first(x) + self.shift(extra)[:, :, None, None])
        return out


@final
class _UNet(nn.Module):
    """Rows [x, e], (n, c·h·w + e) -> (n, c·h·w)."""

    by_rows = True

    def __init__(self, shape: tuple[int, int, int], extra: int, width: int, sizes: list[tuple[int, int]]) -> None:
        super().__init__()
        self.dim = math.prod(shape)
        channels, inner = shape[0], 4 * width
        widths = [width * min(level, 4) for level in range(1, len(sizes) + 1)]
        steps = list(zip(sizes, pairwise(widths), strict=False))
        self.conditions = nn.Sequential(nn.Linear(extra, inner), nn.SiLU(), nn.Linear(inner, inner), nn.SiLU())
        self.enter = nn.Sequential(nn.Unflatten(1, shape), nn.Conv2d(channels, width, 3, padding=1))
        self.descent = nn.ModuleList([_Block(w, w, inner) for w in widths])
        self.shrink = nn.ModuleList([nn.Conv2d(a, b, kernel(size), stride=2, padding=1) for size, (a, b) in steps])
        self.middle = _Block(widths[-1], widths[-1], inner)
        self.ascent = nn.ModuleList([_Block(2 * w, w, inner) for w in reversed(widths)])
        grow = [nn.Sequential(nn.Upsample(size), nn.Conv2d(b, a, 3, padding=1)) for size, (a, b) in steps]
        self.grow = nn.ModuleList(grow[::-1])
        self.leave = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, rows: Tensor) -> Tensor:
        extra = self.conditions(rows[:, self.dim :])
        h = self.enter(rows[:, : self.dim])
        kept = []
        for level, block in enumerate(self.descent):
            h = block(self.shrink[level - 1](h) if level else h, extra)
            kept.append(h)
        h = self.middle(h, extra)
        for level, block in enumerate(self.ascent):
            h = block(torch.cat([self.grow[level - 1](h) if level else h, kept.pop()], dim=1), extra)
        return self.leave(h).flatten(1)
