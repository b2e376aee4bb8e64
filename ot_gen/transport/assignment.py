"""The linear assignment problem."""

from __future__ import annotations

import torch
from torch import Tensor


def assignment(C: Tensor) -> Tensor:
    """The permutation σ that minimises Σ_i C_iσ(i), (n,) int64, for finite costs C (n, n).

    Example:
        >>> assignment(torch.tensor([[0.0, 1.0], [-1.0, 1.0]]))
        tensor([1, 0])
    """
    from scipy.optimize import linear_sum_assignment

    return torch.from_numpy(linear_sum_assignment(C.detach().cpu().double().numpy())[1])


def assignment_potentials(C: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Potentials (f (n,), g (n,)) of an optimal assignment: f_i + g_j <= C_ij, with equality where j = σ(i).

    g_j is the length of a shortest path to j where the arc from σ(i) to j costs C_ij − C_iσ(i): σ is optimal, so no
    cycle is negative and the relaxations end.

    Example:
        >>> C = torch.tensor([[0.0, 1.0], [-1.0, 1.0]])
        >>> f, g = assignment_potentials(C, assignment(C))
        >>> bool((f[:, None] + g <= C).all()), float(f.sum() + g.sum())
        (True, 0.0)
    """
    matched = C.gather(1, sigma[:, None])
    arcs = C - matched
    g = torch.zeros_like(matched[:, 0])
    for _ in range(len(C)):
        shorter = torch.minimum(g, (g[sigma, None] + arcs).amin(dim=0))
        if torch.equal(shorter, g):
            break
        g = shorter
    return matched[:, 0] - g[sigma], g
