"""What a user knows of the law μ: its support, or a bound of a moment."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from torch import Tensor

from ot_gen.arguments import Positive, checked
from ot_gen.costs import Growth
from ot_gen.evaluation.concentration import slow_term

Place = float | Sequence[float] | Tensor  # one number for all coordinates, or one for each
ROUNDING = 1e-5  # relative: samples may lie so far outside of a region
GRID = 1.05  # ratio of neighbouring radii that are tried


class Region(ABC):
    """A closed convex set of points."""

    @abstractmethod
    def nearest(self, x: Tensor) -> Tensor:
        """The points of the region nearest to x, (n, d) -> (n, d)."""

    @abstractmethod
    def farthest(self, y: Tensor) -> Tensor:
        """max ‖x − y‖ over x in the region, (m, d) -> (m,)."""


class Assumption(ABC):
    """Something known of the law μ that bounds the error of a mean over its samples."""

    @staticmethod
    def instead_of(thing: object) -> str:
        """What says something of the law, in the words of an error."""
        return "give a Ball, a Box or a MomentBound"

    @abstractmethod
    def truncation(self, growth: Growth, y: Tensor, samples: int, logarithm: float) -> Truncation:
        """The region that μ is moved into, and what that changes.

        Args:
            growth: of the cost.
            y: the atoms, (m, d).
            samples: about how many judge.
            logarithm: log(2 / δ), δ the error probability of one end.
        """


@final
class Truncation(NamedTuple):
    """μ is moved to the nearest points of a region; W_c(μ, ν) changes by `bias` at most.

    Attributes:
        region: where μ is moved to.
        bias: how far W_c can move, 0 where μ lies in the region.
        contains: whether μ lies in the region, so that a sample outside of it refutes the assumption.
    """

    region: Region
    bias: float
    contains: bool

    def moved(self, x: Tensor) -> Tensor:
        """The samples x (n, d) in the region.

        Raises:
            ValueError: μ was said to lie in the region, and a sample does not.
        """
        inside = self.region.nearest(x)
        if self.contains:
            away = (x - inside).norm(dim=1)
            if bool((away > ROUNDING * (1 + inside.norm(dim=1))).any()):
                row = int(away.argmax())
                raise ValueError(
                    f"assuming={self.region}: a sample of mu lies {float(away[row]):.3g} outside of it, so the "
                    "assumption is wrong; give a larger region, or a MomentBound"
                )
        return inside


@final
@checked
class Ball(Region, Assumption):
    """μ lies in the ball {x : ‖x − centre‖ <= radius}.

    Args:
        radius: in the units of the data.
        centre: one number for all coordinates, or one for each.

    Raises:
        ValueError: a radius that is not finite and > 0, or a centre of the wrong length (where the ball is used).

    Example:
        >>> Ball(2.0).farthest(torch.tensor([[3.0, 4.0]])), Ball(2.0).nearest(torch.tensor([[3.0, 4.0]]))
        (tensor([7.]), tensor([[1.2000, 1.6000]]))
    """

    def __init__(self, radius: Positive, centre: Place = 0.0) -> None:
        self.radius = float(radius)
        self.centre = _place(centre, "centre")

    def nearest(self, x: Tensor) -> Tensor:
        centre = _like(self.centre, x, "centre")
        away = x - centre
        return centre + away * (self.radius / away.norm(dim=1, keepdim=True).clamp_min(1e-30)).clamp_max(1)

    def farthest(self, y: Tensor) -> Tensor:
        return (y - _like(self.centre, y, "centre")).norm(dim=1) + self.radius

    def truncation(self, growth: Growth, y: Tensor, samples: int, logarithm: float) -> Truncation:
        return Truncation(self, 0.0, contains=True)

    def __repr__(self) -> str:
        return f"Ball({self.radius:g}{_told(self.centre)})"


@final
@checked
class Box(Region, Assumption):
    """μ lies in the box {x : low <= x_l <= high for every coordinate l}; pixels lie in Box(0, 1).

    Args:
        low, high: one number for all coordinates, or one for each.

    Raises:
        ValueError: ends that are not finite, low >= high, or a wrong length (where the box is used).

    Example:
        >>> Box(0.0, 1.0).farthest(torch.tensor([[0.0, 0.0]]))
        tensor([1.4142])
    """

    def __init__(self, low: Place, high: Place) -> None:
        self.low, self.high = _place(low, "low"), _place(high, "high")
        if self.low.ndim and self.high.ndim and self.low.shape != self.high.shape:
            raise ValueError(f"Box got {len(self.low)} numbers as low and {len(self.high)} as high; give one a column")
        if not bool((self.low < self.high).all()):
            raise ValueError(f"Box needs low < high, got low = {low} and high = {high}")

    def nearest(self, x: Tensor) -> Tensor:
        return torch.maximum(torch.minimum(x, _like(self.high, x, "high")), _like(self.low, x, "low"))

    def farthest(self, y: Tensor) -> Tensor:
        low, high = _like(self.low, y, "low"), _like(self.high, y, "high")
        return torch.maximum((y - low).abs(), (y - high).abs()).norm(dim=1)

    def truncation(self, growth: Growth, y: Tensor, samples: int, logarithm: float) -> Truncation:
        return Truncation(self, 0.0, contains=True)

    def __repr__(self) -> str:
        ends = [f"{float(end):g}" if end.ndim == 0 else f"({len(end)} numbers)" for end in (self.low, self.high)]
        return f"Box({', '.join(ends)})"


@final
@checked
class MomentBound(Assumption):
    """E_μ ‖x − centre‖^order <= bound.

    Samples beyond a radius R are moved to the sphere of radius R around the centre. Let ρ = max ‖y − centre‖ over the
    atoms, and f the growth of the cost. With r = ‖x − centre‖ that changes W_c by at most

        E (f(r + ρ) − f(R + ρ)) 1[r > R]  <=  bound · sup_{r > R} (f(r + ρ) − f(R + ρ)) / r^order.

    R is chosen from `bound` and the number of samples, never from the samples.

    Args:
        order: q, above the power of the cost: q > 1 for W₁, q > 2 for W₂².
        bound: of the moment itself, not of its root.
        centre: one number for all coordinates, or one for each.

    Raises:
        ValueError: a bound or an order that is not finite and > 0; an order not above the cost's power (where it is
            used).

    Source: Bubeck, Cesa-Bianchi, Lugosi, 2013, https://arxiv.org/abs/1209.1727 (truncated means)

    Example:
        >>> MomentBound(order=4, bound=3.0).truncation(Growth(1.0, 2.0), torch.zeros(1, 1), 10_000, 4.0).region
        Ball(5.688)
    """

    def __init__(self, order: Positive, bound: Positive, centre: Place = 0.0) -> None:
        self.order, self.bound = float(order), float(bound)
        self.centre = _place(centre, "centre")

    def truncation(self, growth: Growth, y: Tensor, samples: int, logarithm: float) -> Truncation:
        if not self.order > growth.power:
            raise ValueError(
                f"a cost that grows like ‖x − y‖^{growth.power:g} needs a moment of order > {growth.power:g}, got "
                f"{self.order:g}: tails that this moment allows could hide any cost"
            )
        rho = float((y - _like(self.centre, y, "centre")).norm(dim=1).max())
        size = self.bound ** (1 / self.order)
        tried = size * GRID ** torch.arange(-40, 400, dtype=torch.float64, device="cpu")
        biases = torch.stack([self._bias(growth, float(radius), rho) for radius in tried])
        errors = biases + slow_term(logarithm, samples) * growth(tried + rho)
        best = int(errors.argmin())
        return Truncation(Ball(float(tried[best]), self.centre), float(biases[best]), contains=False)

    def _bias(self, f: Growth, radius: float, rho: float) -> Tensor:
        """bound · sup of (f(r + ρ) − f(R + ρ)) / r^q, from above: on [r_k, r_{k+1}] by its ends, then by f(r + ρ)."""
        r = radius * GRID ** torch.arange(200, dtype=torch.float64, device="cpu")
        between = (f(r[1:] + rho) - f(r[:1] + rho)) / r[:-1] ** self.order
        return self.bound * torch.maximum(between.max(), f(r[-1] + rho) / r[-1] ** self.order)

    def __repr__(self) -> str:
        return f"MomentBound(order={self.order:g}, bound={self.bound:g}{_told(self.centre)})"


def _place(place: Place, name: str) -> Tensor:
    """A number, (), or one for each coordinate, (d,), in float64."""
    given = place if isinstance(place, Tensor | int | float) else list(place)  # a list of a config is no list
    point = torch.as_tensor(given, dtype=torch.float64, device="cpu").detach()
    if point.ndim > 1 or not bool(torch.isfinite(point).all()):
        raise ValueError(f"{name} must be one finite number, or one for each coordinate, got {place}")
    return point


def _like(place: Tensor, x: Tensor, name: str) -> Tensor:
    if place.ndim == 1 and len(place) != x.shape[1]:
        raise ValueError(f"{name} has {len(place)} coordinates and the points have {x.shape[1]}")
    return place.to(x)


def _told(centre: Tensor) -> str:
    if centre.ndim:
        return f", centre of {len(centre)} numbers"
    return f", centre={float(centre):g}" if float(centre) else ""
