"""A ground cost between points of known class."""

from __future__ import annotations

import math
from typing import Annotated, final

import torch
from torch import Tensor
from torch.distributions import Distribution

from ot_gen.arguments import Cloud, Count, Interval, checked
from ot_gen.costs.cost import Bilinear, Cost, Growth
from ot_gen.measures import LabelledLaw, unlabelled


@final
@checked
class LabelCost(Cost):
    """c((x, k), (y, l)) = c(x, y) + w · [k ≠ l] on labelled rows, whose last column is the class.

    With w = ∞, the default, mass never crosses to another class: W_c = Σ_k p_k W_c(μ_k, ν_k), and plans decompose
    (`plan_by_blocks`). A finite w lets classes mix where that is worth w, as
    in the conditional couplings of C²OT.

    Args:
        cost: c, of points without their class.
        weight: w > 0, in the units of c.
        classes: K, with which a solver compares the data; None: any number.

    Source: Cheng, Schwing, 2025, https://arxiv.org/abs/2503.10636

    Example:
        >>> from ot_gen import SquaredEuclidean
        >>> rows = torch.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 1.0]])
        >>> LabelCost(SquaredEuclidean()).matrix(rows, rows)
        tensor([[0., 9., inf],
                [9., 0., inf],
                [inf, inf, 0.]])
    """

    def __init__(
        self,
        cost: Cost,
        weight: Annotated[float, Interval(0, math.inf, "(]")] = math.inf,
        classes: Count | None = None,
    ) -> None:
        super().__init__()
        if isinstance(cost, LabelCost):
            raise ValueError("the cost of a LabelCost is of points without their class, got a LabelCost")
        self.within = cost
        self.weight = float(weight)
        self.classes = classes
        self.is_metric = cost.is_metric
        self.degree = cost.degree if math.isinf(weight) else None

    @property
    def is_nonnegative(self) -> bool:
        return self.within.is_nonnegative

    def growth(self, dim: int) -> Growth | None:
        return None

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        (x, of_x), (y, of_y) = _split(x), _split(y)
        return self._apart(self.within(x, y), of_x != of_y)

    def matrix(self, x: Cloud, y: Cloud) -> Tensor:
        (x, of_x), (y, of_y) = _split(x), _split(y)
        return self._apart(self.within.matrix(x, y), of_x[:, None] != of_y)

    def decoded(self, out: Tensor | Distribution, y: Tensor) -> Tensor:
        if isinstance(out, Tensor):
            return self(out, y)
        law = out.law if isinstance(out, LabelledLaw) else out
        return self.within.decoded(law, unlabelled(y)[0])

    def bilinear(self, y: Cloud) -> Bilinear | None:
        """That of c, where all y are of one class: the rows x of another have the constant ∞."""
        points, of_y = _split(y)
        form = self.within.bilinear(points)
        if form is None or bool((of_y != of_y[0]).any()):
            return None
        only = of_y[0]

        def left(x: Tensor) -> tuple[Tensor, Tensor]:
            x, of_x = _split(x)
            u, r = form.left(x)
            return u, self._apart(r, of_x != only)

        return Bilinear(left, lambda y: form.right(_split(y)[0]), form.nonnegative)

    def _apart(self, cost: Tensor, differ: Tensor) -> Tensor:
        return torch.where(differ, self.weight if math.isinf(self.weight) else cost + self.weight, cost)

    def __repr__(self) -> str:
        return f"LabelCost({self.within}, weight={self.weight:g})"


@checked
def cost_of_points(cost: Cost) -> Cost:
    """c of points without their class: that within a `LabelCost`, and any other cost itself.

    Example:
        >>> from ot_gen import SquaredEuclidean
        >>> cost_of_points(LabelCost(SquaredEuclidean()))
        SquaredEuclidean()
    """
    return cost.within if isinstance(cost, LabelCost) else cost


def _split(rows: Tensor) -> tuple[Tensor, Tensor]:
    return rows[..., :-1], rows[..., -1].detach()
