"""Costs between the points themselves: powers of distances, and the inner product."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, final

import torch
from torch import Tensor

from ot_gen.arguments import Cloud, Interval, checked
from ot_gen.costs.cost import Bilinear, Cost, Growth, typical
from ot_gen.costs.squared import check_apart, is_scattered, is_small, middle, squared_distances_to
from ot_gen.measures import check_defined, widened
from ot_gen.measures.points import comparable

PAIRS = 2**16  # pairs of points that are compared together
LEAST = 1e3  # times the least size whose power is a normal number: the least that keeps its digits


@final
@checked
class SquaredEuclidean(Cost):
    """c(x, y) = ‖x − y‖² = Σ_l (x_l − y_l)²: no ½ and no mean over features. W_c is then W₂².

    Example:
        >>> c = SquaredEuclidean()
        >>> float(c(torch.tensor([0.0, 0.0]), torch.tensor([3.0, 4.0])))
        25.0
    """

    degree = 2.0

    @property
    def is_nonnegative(self) -> bool:
        return True

    def growth(self, dim: int) -> Growth:
        return Growth(1.0, 2.0)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        squares = self._paired(x, y)
        if is_small(squares):
            check_apart(*comparable(x, y))
        return squares

    def _paired(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = comparable(x, y)
        return (x - y).square().sum(dim=-1)

    def matrix(self, x: Cloud, y: Cloud) -> Tensor:
        x, y = comparable(x, y)
        return squared_distances_to(y)(x)

    def bilinear(self, y: Cloud) -> Bilinear | None:
        if not is_scattered(y):  # the product would not tell the atoms of a cluster apart
            return None
        # Centring keeps the expansion of the square exact for clouds far from the origin. It copies the atoms, so it
        # is left out where the cloud surrounds the origin anyway.
        sample = widened(typical(y))
        centre = middle(sample)
        squares = (sample - centre).square().sum(dim=1)
        far, near = bool(centre.square().sum() > 8 * squares.mean()), is_small(squares)

        def centred(points: Tensor) -> Tensor:
            points = widened(points)
            return points - centre if far else points

        def left(x: Tensor) -> tuple[Tensor, Tensor]:
            if near:
                check_apart(x, y)
            x = centred(x)
            return -2 * x, _squared_norms(x)

        def right(y: Tensor) -> tuple[Tensor, Tensor]:
            y = centred(y)
            return y, _squared_norms(y)

        return Bilinear(left, right)


@final
@checked
class InnerProduct(Cost):
    """c(x, y) = −⟨x, y⟩ = −Σ_l x_l y_l.

    The sign makes it a cost: ‖x − y‖² = ‖x‖² + ‖y‖² + 2 c(x, y), so its optimal couplings are those of
    `SquaredEuclidean`, and W₂²(μ, ν) = E‖x‖² + E‖y‖² + 2 W_c(μ, ν). It takes both signs.

    Source: Brenier, 1991, https://doi.org/10.1002/cpa.3160440402

    Example:
        >>> c = InnerProduct()
        >>> float(c(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])))
        -11.0
    """

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = comparable(x, y)
        values = -(x * y).sum(dim=-1)
        check_defined(values, "the inner product", x, y)
        return values

    def matrix(self, x: Cloud, y: Cloud) -> Tensor:
        x, y = comparable(x, y)
        values = -x @ y.T
        check_defined(values, "the inner product", x, y)
        return values

    def bilinear(self, y: Cloud) -> Bilinear:
        def left(x: Tensor) -> tuple[Tensor, Tensor]:
            x = widened(x)
            return -x, x.new_zeros(len(x))

        def right(y: Tensor) -> tuple[Tensor, Tensor]:
            y = widened(y)
            return y, y.new_zeros(len(y))

        return Bilinear(left, right, nonnegative=False)


@final
@checked
class Euclidean(Cost):
    """c(x, y) = ‖x − y‖, a distance; W_c is W₁. The gradient at x = y is taken as 0.

    Example:
        >>> c = Euclidean()
        >>> float(c(torch.tensor([0.0, 0.0]), torch.tensor([3.0, 4.0])))
        5.0
    """

    is_metric = True
    degree = 1.0

    def growth(self, dim: int) -> Growth:
        return Growth(1.0, 1.0)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        distances = self._paired(x, y)
        if is_small(distances.detach().square()):
            check_apart(*comparable(x, y))
        return distances

    def _paired(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = comparable(x, y)
        return torch.linalg.vector_norm(x - y, dim=-1)

    def matrix(self, x: Cloud, y: Cloud) -> Tensor:
        x, y = comparable(x, y)
        return self.against(y)(x)

    def against(self, y: Cloud) -> Callable[[Tensor], Tensor]:
        squared, held = squared_distances_to(y), torch.finfo(widened(y[:0]).dtype)
        # The floor is inside the root: clamped entries get gradient 0 instead of 0/0. It is the least number > 0.
        return lambda x: squared(x).clamp_min(held.tiny * held.eps).sqrt()


@final
@checked
class Lp(Cost):
    """c(x, y) = ‖x − y‖_p = (Σ_l |x_l − y_l|^p)^{1/p}, a distance for every p >= 1; p = inf is the maximum.

    Raises:
        ValueError: p < 1, for which the triangle inequality fails.

    Example:
        >>> float(Lp(1.0)(torch.tensor([0.0, 0.0]), torch.tensor([3.0, 4.0])))
        7.0
    """

    is_metric = True
    degree = 1.0

    def __init__(self, p: Annotated[float, Interval(1)]) -> None:
        super().__init__()
        self.p = float(p)

    def growth(self, dim: int) -> Growth:
        return Growth(dim ** max(0.0, 1 / self.p - 0.5), 1.0)  # ‖v‖_p against ‖v‖

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = comparable(x, y)
        if self.p in (1.0, torch.inf):
            return torch.linalg.vector_norm(x - y, ord=self.p, dim=-1)
        difference = x - y
        unit = difference.detach().abs().amax(dim=-1, keepdim=True)
        unit = torch.where(unit > 0, unit, 1.0)
        return torch.linalg.vector_norm(difference / unit, ord=self._order(x.dtype), dim=-1) * unit.squeeze(-1)

    def matrix(self, x: Cloud, y: Cloud) -> Tensor:
        x, y = comparable(x, y)
        order = self._order(x.dtype)
        if order in (1.0, torch.inf) or not len(x) or not len(y):
            return torch.cdist(x, y, p=order)
        # In units of the largest difference no power overflows; a power of two costs no digit.
        ends = torch.stack([end for z in (x.detach(), y.detach()) for end in (z.amin(dim=0), z.amax(dim=0))]).double()
        spread = float((ends.amax(dim=0) - ends.amin(dim=0)).max())
        most = math.log2(torch.finfo(x.dtype).max) - 1
        unit = 2.0 ** min(math.ceil(math.log2(spread)), int(most)) if 0 < spread < math.inf else 1.0
        distances = unit * torch.cdist(x / unit, y / unit, p=order, compute_mode="donot_use_mm_for_euclid_dist")
        lost = distances.detach() < unit * LEAST * torch.finfo(x.dtype).tiny ** (1 / order)
        if not bool(lost.any()):
            return distances
        # Powers of these differences underflow: each is taken in a unit of its own.
        i, j = lost.nonzero(as_tuple=True)
        parts = [self(x[a], y[b]) for a, b in zip(i.split(PAIRS), j.split(PAIRS), strict=True)]
        return distances.masked_fill(lost, 0).index_put((i, j), torch.cat(parts))

    def _order(self, dtype: torch.dtype) -> float:
        """p, or ∞ where the two norms are equal to rounding: ‖v‖_∞ <= ‖v‖_p <= d^{1/p} ‖v‖_∞."""
        return self.p if self.p < 64 / torch.finfo(dtype).eps else torch.inf

    def extra_repr(self) -> str:
        return f"p={self.p:g}"


def _squared_norms(points: Tensor) -> Tensor:
    # One read of the points and no copy of them, unlike the sum of their squares.
    norms: Tensor = torch.linalg.vector_norm(points, dim=1)
    return norms.square()
