"""Transport on the line, where a convex cost of x − y is solved by sorting."""

from __future__ import annotations

import torch
from torch import Tensor

from ot_gen.costs import Cost, Growth
from ot_gen.semidual.problem import SemidiscreteProblem


def convex_on_the_line(cost: Cost, dim: int) -> Growth | None:
    """f with c(x, y) = f(|x − y|), f convex, where the points are numbers; else None.

    Example:
        >>> from ot_gen import SquaredEuclidean
        >>> convex_on_the_line(SquaredEuclidean(), 1), convex_on_the_line(SquaredEuclidean(), 2)
        (Growth(factor=1.0, power=2.0), None)
    """
    return cost.growth(1) if dim == 1 else None


def monotone_cost(f: Growth, x: Tensor, y: Tensor, weights: Tensor) -> float:
    """W_c(μ_n, ν) exactly: the coupling of x (n, 1) with atoms y (m, 1) that joins equal quantiles.

    Example:
        >>> from ot_gen.costs import Growth
        >>> x, y = torch.tensor([[3.0], [0.0]]), torch.tensor([[1.0], [1.5]])
        >>> monotone_cost(Growth(1.0, 1.0), x, y, torch.tensor([0.5, 0.5]))
        1.25
    """
    points = x[:, 0].double().cpu().sort().values
    atoms, masses = _sorted(y, weights)
    # In units of 1 / n the ends of the rows are whole numbers.
    of_rows = torch.arange(1, len(points) + 1, dtype=torch.float64, device="cpu")
    of_atoms = (len(points) * masses.cumsum(0)).clamp_max(len(points))
    ends = torch.cat([of_rows, of_atoms]).sort().values
    mass = ends.diff(prepend=ends.new_zeros(1)) / len(points)
    middle = ends - len(points) * mass / 2
    row = middle.long().clamp_max(len(points) - 1)
    atom = torch.searchsorted(of_atoms, middle).clamp_max(len(atoms) - 1)
    return float(mass @ f((points[row] - atoms[atom]).abs()))


def monotone_table(f: Growth, problem: SemidiscreteProblem, x: Tensor) -> Tensor:
    """The optimal table for the sample x (n, 1), (m,): neighbouring cells meet at its quantiles.

    With t the quantile at the mass of the atoms up to y_j: h̃_{j+1} − h̃_j = c(t, y_{j+1}) − c(t, y_j).

    Source: Santambrogio, 2015, chapter 2, https://doi.org/10.1007/978-3-319-20828-2

    Example:
        >>> from ot_gen import Empirical, SquaredEuclidean
        >>> nu = Empirical(torch.tensor([[0.0], [1.0]]), torch.tensor([0.25, 0.75]))
        >>> problem = SemidiscreteProblem(nu, nu, SquaredEuclidean())
        >>> x = (torch.arange(100)[:, None] + 0.5) / 100
        >>> monotone_table(Growth(1.0, 2.0), problem, x).diff()  # the cells meet at 1/4
        tensor([0.5000])
    """
    order = problem.atoms[:, 0].argsort().cpu()
    atoms, masses = _sorted(problem.atoms[:], problem.weights)
    points = x[:, 0].double().cpu().sort().values
    place = masses.cumsum(0)[:-1] * len(points)
    below = (place.ceil().long() - 1).clamp(0, len(points) - 1)
    above = place.floor().long().clamp(0, len(points) - 1)
    meets = (points[below] + points[above]) / 2
    steps = f((meets - atoms[1:]).abs()) - f((meets - atoms[:-1]).abs())
    table = torch.zeros_like(masses)
    table[order] = torch.cat([steps.new_zeros(1), steps.cumsum(0)])
    return table.to(problem.weights)


def _sorted(y: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The atoms (m, 1) in order and their masses, (m,), float64, on the CPU."""
    atoms, order = y[:, 0].double().cpu().sort()
    masses = weights.double().cpu()[order]
    return atoms, masses / masses.sum()
