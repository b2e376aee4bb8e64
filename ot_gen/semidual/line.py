"""Semi-discrete transport on the line: cells are intervals, and their ends are quantiles of a law or of a sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import numpy as np
import torch
from torch import Tensor

from ot_gen.costs import Cost
from ot_gen.costs.distances import InnerProduct
from ot_gen.measures import Empirical
from ot_gen.semidual.power_diagram import Floats
from ot_gen.semidual.standard_laws import StandardLaw


@final
class LineProblem:
    """The cells {z : z·a_j − ψ_j is the largest} of a law on the line, and the ψ that gives them the masses b.

    Args:
        law: of z.
        atoms: a, (m,), distinct; of size 1.
        weights: b > 0, (m,), Σ_j b_j = 1.

    Example:
        >>> from ot_gen.semidual.standard_laws import GaussianLaw
        >>> problem = LineProblem(GaussianLaw(), np.array([-1.0, 3.0, 1.0]), np.array([0.5, 0.25, 0.25]))
        >>> problem.masses(problem.solve()).round(9).tolist()
        [0.5, 0.25, 0.25]
    """

    def __init__(self, law: StandardLaw, atoms: Floats, weights: Floats) -> None:
        self.law, self.atoms, self.b = law, atoms, weights

    def masses(self, psi: Floats) -> Floats:
        """P, (m,)."""
        return self.measured(psi, np.zeros_like(psi))[0]

    def measured(self, psi: Floats, rounding: Floats) -> tuple[Floats, float]:
        """P, (m,), and about ‖δP‖₁ where independent errors of the size `rounding`, (m,), spoil ψ."""
        # The atoms with cells are the corners of the lower side of the hull; its slopes are the ends of the cells.
        corners = np.array(_lower_side(self.atoms, psi))
        left, right = corners[:-1], corners[1:]
        gap = self.atoms[right] - self.atoms[left]
        place, blur = (psi[right] - psi[left]) / gap, np.hypot(rounding[left], rounding[right]) / gap
        to_left, to_right = np.zeros_like(psi), np.zeros_like(psi)  # the mass on the left of a cell's ends
        to_left[right] = to_right[left] = self.law.levels(place)
        to_right[self.atoms.argmax()] = 1
        passed = self.law.levels(place + blur) - self.law.levels(place - blur)
        return to_right - to_left, float(passed.sum())

    def solve(self, spent: Callable[[], bool] = lambda: False) -> Floats:
        """ψ, (m,), with P = b."""
        return monotone(self.atoms, self.b, self.law.quantiles)


def _lower_side(x: Floats, y: Floats) -> list[int]:
    """The corners of the lower side of the convex hull of points with distinct x, from left to right."""
    order = x.argsort()
    corners: list[int] = []
    places: list[tuple[float, float]] = []
    for index, (u, v) in zip(order.tolist(), np.stack([x, y], axis=1)[order].tolist(), strict=True):
        while len(places) > 1:
            (u0, v0), (u1, v1) = places[-2:]
            if (v1 - v0) * (u - u1) < (v - v1) * (u1 - u0):
                break
            del places[-1], corners[-1]
        places.append((u, v))
        corners.append(index)
    return corners


def monotone(atoms: Floats, weights: Floats, quantiles: Callable[[Floats], Floats]) -> Floats:
    """ψ, (m,), for which the cells {z : z·a_j − ψ_j is the largest} of a law on the line have the masses b.

    Cells lie in the order of their atoms, so the ends of cell k are the quantiles at Σ_(j < k) b_j and Σ_(j <= k) b_j.
    Where cells k and k + 1 meet, z a_k − ψ_k = z a_(k+1) − ψ_(k+1). Coinciding atoms have one potential.

    Args:
        atoms: a, (m,).
        weights: b > 0, (m,), Σ_j b_j = 1.
        quantiles: of the law, levels in (0, 1) -> points of the line.

    Source: Villani, 2003, Topics in Optimal Transportation, theorem 2.18

    Example:
        >>> monotone(np.array([-1.0, 1.0]), np.array([0.25, 0.75]), lambda level: level)
        array([0. , 0.5])
    """
    places, group = np.unique(atoms, return_inverse=True)
    below = np.cumsum(np.bincount(group, weights))[:-1]
    tiny = np.finfo(float).eps / 2
    rise = quantiles(np.clip(below, tiny, 1 - tiny)) * np.diff(places)
    return np.concatenate([[0.0], np.cumsum(rise)])[group]


def is_monotone(cost: Cost, dim: int) -> bool:
    """Whether the monotone plan is optimal: c(x, y) is −xy, or convex in x − y (`Growth`), on the line.

    Example:
        >>> from ot_gen import Euclidean
        >>> is_monotone(Euclidean(), 1), is_monotone(Euclidean(), 2)
        (True, False)
    """
    return dim == 1 and (isinstance(cost, InnerProduct) or cost.growth(1) is not None)


@torch.no_grad()
def sample_table(cost: Cost, atoms: Tensor, weights: Tensor, x: Tensor, masses: Tensor) -> Tensor:
    """h̃, (m,), whose cells end at the quantiles of Σ_i w_i δ_(x_i); for costs with monotone plans.

    At the end q_k of the k-th cell two costs are equal: h̃_(k+1) − h̃_k = c(q_k, y_(k+1)) − c(q_k, y_k). A cell ends
    half-way between two points of the sample.

    Args:
        cost: c.
        atoms: y, (m, 1), distinct.
        weights: b, (m,).
        x: points, (n, 1).
        masses: w, (n,).

    Source: Villani, 2003, Topics in Optimal Transportation, theorem 2.18

    Example:
        >>> from ot_gen import SquaredEuclidean
        >>> x, y = torch.tensor([[0.0], [1.0], [2.0], [3.0]]), torch.tensor([[0.0], [1.0]])
        >>> b, w = torch.tensor([0.25, 0.75]), torch.full((4,), 0.25)
        >>> sample_table(SquaredEuclidean(), y, b, x, w).diff()  # the cells meet at 1/2
        tensor([0.], dtype=torch.float64)
    """
    places, order = torch.unique(x.double(), return_inverse=True)
    share = torch.zeros_like(places).index_add_(0, order.flatten(), masses.double())
    below, by_place = share.cumsum(0)[:-1] / share.sum(), atoms[:, 0].argsort()
    ends = weights.double()[by_place].cumsum(0)[:-1]
    nearest = torch.searchsorted((below[1:] + below[:-1]) / 2, ends)
    middle = ((places[1:] + places[:-1]) / 2)[nearest].unsqueeze(1)
    y = atoms.double()[by_place]
    rise = cost(middle, y[1:]) - cost(middle, y[:-1])
    table = torch.empty_like(y[:, 0])
    table[by_place] = torch.cat([rise.new_zeros(1), rise.cumsum(0)])
    return table - table @ weights.double() / weights.double().sum()


def points_of(mu: object, x: Tensor) -> tuple[Tensor, Tensor]:
    """All points of `Empirical` μ and their masses, or those of a sample of another law, (n, d) and (n,)."""
    return (mu.atoms, mu.weights) if isinstance(mu, Empirical) else (x, torch.full_like(x[:, 0], 1 / len(x)))
