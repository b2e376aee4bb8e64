"""The natural ascent of the semi-dual in a table h̃: where it begins, its step, and the steering of ε.

    D_ε(h̃) = E_{x~μ}[−ε log Σ_j exp((h̃_j − c(x, y_j)) / ε)] + Σ_j b_j h̃_j        ∂D_ε/∂h̃_j = b_j − P_ε(j)

with P_ε(j) the soft mass of cell j. `semidiscrete` ascends for a fixed μ (`Ascent`), `DiscretePotential` while the
model moves. Both use these three functions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, final

import torch
from torch import Tensor

CEILING = 20.0  # the relative gradient is >= −1; this stops one crowded cell from throwing its atom far away


@final
class Initial(NamedTuple):
    """Where an ascent begins: h̃ (m,) with Σ_j b_j h̃_j = 0, a softness ε, and the smallest ε that rounding allows."""

    h_tilde: Tensor
    epsilon: float
    smallest: float


def initial(costs: Iterable[Tensor], weights: Tensor) -> Initial:
    """h̃_j = E c(x, y_j), where all atoms are equally attractive on average, and ε = the spread of the costs.

    Rounding hides differences below the smallest ε. Where all costs are equal, nothing else would keep ε from 0.

    Args:
        costs: c(x_i, y_j) for a sample of μ, a chunk of points at a time, (n, m).
        weights: b, (m,).

    Example:
        >>> initial([torch.tensor([[1.0, 3.0], [3.0, 5.0]])], torch.tensor([0.5, 0.5])).h_tilde
        tensor([-1.,  1.])
    """
    total, points = torch.zeros_like(weights, dtype=torch.float64), 0
    spread = size = largest = 0.0
    for chunk in (part.double() for part in costs):  # sums and squares of costs leave the range of single precision
        total += chunk.sum(dim=0)
        points += len(chunk)
        spread = max(spread, float(chunk.std(correction=0)))
        largest = max(largest, float(chunk.abs().max()))
        size = max(size, float((chunk - chunk.mean(dim=1, keepdim=True)).abs().mean()))
    h_tilde = (total / points).to(weights)
    limits = torch.finfo(weights.dtype)
    # The last one: costs in units of ε must not overflow, however alike the atoms are.
    smallest = max(8 * limits.eps * size, limits.tiny, 4 * largest / limits.max)
    return Initial(h_tilde - h_tilde @ weights, max(spread, smallest), smallest)


@torch.no_grad()
def step(h_tilde: Tensor, excess: Tensor, weights: Tensor, size: float | Tensor) -> None:
    """h̃_j += size · (b_j − P(j)) / b_j, in place: with size = ε a stochastic Sinkhorn step, linearised at the solution.

    Args:
        h_tilde: (m,).
        excess: P − b, the mass that the cells have in excess, (m,).
        weights: b, (m,).
        size: of the step, in the units of the cost.

    Example:
        >>> table, b = torch.zeros(2), torch.tensor([0.5, 0.5])
        >>> step(table, torch.tensor([0.25, -0.25]), b, size=0.1)
        >>> table
        tensor([-0.0500,  0.0500])
    """
    h_tilde.sub_(size * (excess / weights).clamp(max=CEILING))


def steered(epsilon: float, competing: float, wanted: float, rate: float, smallest: float) -> float:
    """The ε at which the wanted number of atoms competes for a sample, approached at a rate in (0, 1].

    Example:
        >>> steered(1.0, competing=4.0, wanted=1.0, rate=0.5, smallest=0.1)
        0.5
    """
    return float(max(epsilon * (wanted / competing) ** rate, smallest))
