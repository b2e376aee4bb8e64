"""Semi-discrete transport on the line: cells are intervals, and their ends are quantiles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ot_gen.semidual.power_diagram import Floats


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
