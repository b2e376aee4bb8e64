"""What no table splits among atoms: points of mass, and regions where the costs of two atoms differ by a constant."""

from __future__ import annotations

import torch
from torch import Tensor

from ot_gen.costs import Cost
from ot_gen.measures import Empirical

STEP, ROUNDED, CLEAR = 1e-2, 16, 20  # in the size of the law, in that of rounding, and in the bound of rounding


def least_error(mu: object, weights: Tensor, x: Tensor) -> float:
    """A bound from below of ‖P − b‖₁ over all tables, by the points of mass of μ; 0 where none are seen.

    A table sends the mass w_i of a point to one atom. So of Σ_j min(P_j, b_j) = 1 − ‖P − b‖₁ / 2 it brings at most
    min(w_i, max b), and k points reach at most k atoms.

    Args:
        mu: `Empirical`, whose masses are known, or another law.
        weights: b, (m,).
        x: a sample of μ, (n, d), that shows masses of other laws, less three standard errors.

    Example:
        >>> b = torch.full((10,), 0.1)
        >>> round(least_error(Empirical(torch.tensor([[0.0], [1.0]])), b, torch.zeros(2, 1)), 3)
        1.6
    """
    points, masses, rest = _points(mu) if isinstance(mu, Empirical) else _seen(x)
    b = weights.double().cpu().sort(descending=True).values
    by_atoms = float(b[: len(points)].sum())
    by_points = float(masses.clamp_max(float(b[0])).sum())
    return max(0.0, 2 * (1 - min(by_atoms, by_points) - rest))


def _points(mu: Empirical) -> tuple[Tensor, Tensor, float]:
    """The distinct points of positive mass, their masses, and the mass of others."""
    points, index = torch.unique(mu.atoms[mu.weights > 0], dim=0, return_inverse=True)
    masses = torch.zeros(len(points), dtype=torch.float64, device="cpu")
    masses.index_add_(0, index.cpu(), mu.weights[mu.weights > 0].double().cpu())
    return points, masses, 0.0


def _seen(x: Tensor) -> tuple[Tensor, Tensor, float]:
    """The same of points that a sample holds more than once, by upper bounds."""
    points, counts = torch.unique(x, dim=0, return_counts=True)
    often, n = counts > 1, len(x)
    share = counts[often].double().cpu() / n
    rest = max(0.0, 1 - float(share.sum()))
    return points[often], share + 3 * (share / n).sqrt(), rest + 3 * (max(rest, 1 / n) / n) ** 0.5


def flat_mass(cost: Cost, atoms: Tensor, x: Tensor, h_tilde: Tensor, epsilon: float) -> float:
    """The mass of other atoms j than the best one, k, where c(·, y_j) − c(·, y_k) is constant about x.

    The soft plan of a table that is nearly optimal splits it. Cells of a table do not: a constant added to h̃_j moves
    all of it at once. So it is for ‖x − y‖_1 and ‖x − y‖_∞, and for ‖x − y‖ on the line.

    Args:
        cost: c.
        atoms: y, (m, d).
        x: a sample of μ, (n, d).
        h_tilde: the table, (m,).
        epsilon: its ε.

    Example:
        >>> from ot_gen import Euclidean
        >>> x, y = torch.rand(100, 1), torch.tensor([[2.0], [3.0]])
        >>> round(flat_mass(Euclidean(), y, x, torch.tensor([0.0, 1.0]), 0.01), 1)
        0.5
    """
    here, there = (cost.matrix(points, atoms) for points in (x, x + STEP * x.std(dim=0).norm() * torch.randn_like(x)))
    shares = ((h_tilde - here) / epsilon).softmax(dim=1)
    best = shares.argmax(dim=1, keepdim=True)
    change = there - here
    rounding = ROUNDED * torch.finfo(x.dtype).eps * (here.abs() + here.gather(1, best).abs())
    plain = change.gather(1, best).abs() > CLEAR * rounding  # else rounding hides the differences
    flat = ((change - change.gather(1, best)).abs() <= rounding) & plain
    return float((shares * flat.scatter(1, best, False)).sum(dim=1).mean())


def heavy(least: float) -> str:
    """The reason of a bound from below, in words."""
    return f"the source has points of mass, which no table splits: every table has an error of {least:.2g} or more"


def tie(flat: float, tied: float, dtype: torch.dtype, tol: float) -> str:
    """The reason of ties, in words: by constants, or to rounding; empty where they are less than the tolerance.

    Example:
        >>> tie(flat=0.0, tied=0.0, dtype=torch.float32, tol=0.05)
        ''
    """
    if 2 * flat > tol:  # what goes to the wrong one of two atoms is missed by the other
        return f"for about {flat:.2g} of the mass the costs of the best atoms differ by constants: no table splits it"
    if tied > tol:
        name = str(dtype).removeprefix("torch.")
        return f"for about {tied:.2g} of the mass several atoms tie to rounding in {name}: a wider dtype may split it"
    return ""
