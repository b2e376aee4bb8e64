"""Curves in a latent space, B at once, known by their nodes at equal steps of t ∈ [0, 1]."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from torch import Tensor

from ot_gen.arguments import Count, Vector, checked, described
from ot_gen.display import line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FURTHEST = 1e6  # of times: beyond it the outer pieces say nothing


@checked
class Curve(ABC):
    """B curves γ_b : [0, 1] -> R^k through nodes (B, T + 1, k) at t = 0, 1/T, ..., 1.

    Times are one tensor (S,) for all curves; the values are (B, S, k).

    Raises:
        ValueError: nodes of another shape, fewer than two, or not finite.
    """

    nodes: Tensor

    def __init__(self, nodes: Tensor) -> None:
        if nodes.ndim != 3 or nodes.shape[1] < 2 or not nodes.is_floating_point():
            raise ValueError(
                f"a curve needs floating point nodes (B, T + 1, k) with T >= 1, got {nodes.dtype} of shape "
                f"{tuple(nodes.shape)}; for one curve take nodes.unsqueeze(0)"
            )
        if not bool(torch.isfinite(nodes).all()):
            raise ValueError("the nodes of a curve hold NaN or Inf; remove those curves")
        self.nodes = nodes

    def __repr__(self) -> str:
        count, _, k = self.nodes.shape
        return line(type(self).__name__, f"{count:,} in dimension {k}", f"{self.segments} segments")

    @property
    def segments(self) -> int:
        """T."""
        return self.nodes.shape[1] - 1

    @abstractmethod
    def __call__(self, t: Vector) -> Tensor:
        """γ(t), (S,) -> (B, S, k); outside [0, 1] the first and last pieces go on."""

    @abstractmethod
    def velocity(self, t: Vector) -> Tensor:
        """γ'(t), (S,) -> (B, S, k)."""

    @abstractmethod
    def acceleration(self, t: Vector) -> Tensor:
        """γ''(t), (S,) -> (B, S, k)."""

    def plot(self, axes: Axes, samples: Count = 100, **style: Any) -> None:
        """Draw the curves into matplotlib axes, for k = 2.

        Raises:
            ValueError: k != 2.
        """
        if self.nodes.shape[2] != 2:
            raise ValueError(f"curves in the plane can be drawn, these are in dimension {self.nodes.shape[2]}")
        check_axes(axes)
        t = torch.linspace(0, 1, samples, dtype=self.nodes.dtype, device=self.nodes.device)
        for points in self(t).detach().cpu():
            axes.plot(*points.T.numpy(), **style)

    def _place(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The piece of each t and the place in it, from 0 to 1."""
        t = t.to(self.nodes)
        if not bool((t.abs() <= FURTHEST).all()):
            raise ValueError(f"times t must be finite and within ±{FURTHEST:g}; the curve is given on [0, 1]")
        scaled = t * self.segments
        piece = scaled.detach().floor().long().clamp(0, self.segments - 1)
        return piece, (scaled - piece).unsqueeze(1)


@final
@checked
class Polyline(Curve):
    """Straight between nodes.

    Example:
        >>> curve = Polyline(torch.tensor([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]]))
        >>> curve(torch.tensor([0.25, 0.75]))
        tensor([[[0.5000, 0.0000],
                 [1.0000, 0.5000]]])
    """

    def __call__(self, t: Vector) -> Tensor:
        piece, s = self._place(t)
        return self.nodes[:, piece] * (1 - s) + self.nodes[:, piece + 1] * s

    def velocity(self, t: Vector) -> Tensor:
        piece, _ = self._place(t)
        return (self.nodes[:, piece + 1] - self.nodes[:, piece]) * self.segments

    def acceleration(self, t: Vector) -> Tensor:
        return torch.zeros_like(self.velocity(t))


@final
@checked
class Spline(Curve):
    """The cubic spline through the nodes, twice differentiable, with the condition "not a knot" at the ends.

    It misses a smooth curve by O(T⁻⁴), its second derivative by O(T⁻²).

    Source: de Boor, A Practical Guide to Splines, 2001, chapter IV, https://doi.org/10.1007/978-1-4612-6333-3

    Example:
        >>> curve = Spline(torch.tensor([0.0, 1.0, 4.0, 9.0]).reshape(1, 4, 1))  # (3t)²
        >>> curve(torch.tensor([0.5])).flatten(), curve.velocity(torch.tensor([0.5])).flatten()
        (tensor([2.2500]), tensor([9.]))
    """

    def __init__(self, nodes: Tensor) -> None:
        super().__init__(nodes)
        # Slopes at the nodes are linear in the nodes, so derivatives with respect to the nodes pass through.
        self._slopes = _slope_weights(self.segments).to(nodes) @ nodes

    def __call__(self, t: Vector) -> Tensor:
        a, b, c, d, s = self._pieces(t)
        return a + s * (b + s * (c + s * d))

    def velocity(self, t: Vector) -> Tensor:
        _, b, c, d, s = self._pieces(t)
        return (b + s * (2 * c + 3 * s * d)) * self.segments

    def acceleration(self, t: Vector) -> Tensor:
        _, _, c, d, s = self._pieces(t)
        return (2 * c + 6 * s * d) * self.segments**2

    def _pieces(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        piece, s = self._place(t)
        start, end = self.nodes[:, piece], self.nodes[:, piece + 1]
        first, last = self._slopes[:, piece], self._slopes[:, piece + 1]
        rise = end - start
        return start, first, 3 * rise - 2 * first - last, first + last - 2 * rise, s


@lru_cache
def _slope_weights(segments: int) -> Tensor:
    """The slope at each node of a spline through T + 1 numbers at steps of 1, (T + 1, T + 1)."""
    from scipy.interpolate import CubicSpline

    t = np.arange(segments + 1.0)
    return torch.from_numpy(CubicSpline(t, np.eye(segments + 1))(t, 1))


def check_axes(axes: object) -> None:
    """Raise a `ValueError` unless these are matplotlib axes.

    Example:
        >>> check_axes(None)
        Traceback (most recent call last):
        ValueError: axes must be matplotlib axes, e.g. those of matplotlib.pyplot.subplots(), got None
    """
    from matplotlib.axes import Axes

    if not isinstance(axes, Axes):
        raise ValueError(
            f"axes must be matplotlib axes, e.g. those of matplotlib.pyplot.subplots(), got {described(axes)}"
        )
