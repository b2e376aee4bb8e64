"""The masses that the cells of a table should have: b, or where b may be left, what the table leaves of it."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor

from ot_gen.semidual.power_diagram import Floats
from ot_gen.transport import Unbalanced

LEAST = 1e-9  # of an atom's mass is left, so that each cell should have some


@final
class Aimed(NamedTuple):
    """At a table: the data's term of the dual, its gradient q in h̃, (m,), and the diagonal of −its Hessian, (m,).

    The rest of the Hessian, of rank one, does nothing to Newton steps, since gradients have the total 0.
    """

    value: float
    masses: Floats
    curvature: Floats | float


@final
class Aim:
    """G(h̃) = Σ_j b_j h̃_j, or with `marginals` min over probabilities q of Σ_j q_j h̃_j + D_ψ(q | b).

    Args:
        weights: b, (m,).
        marginals: the price, None where b is kept.

    Example:
        >>> aim = Aim(torch.tensor([0.5, 0.5]), None)
        >>> aim.masses(torch.tensor([0.0, 4.0])), aim.price(torch.tensor([0.0, 4.0]))
        (tensor([0.5000, 0.5000]), 0.0)
    """

    def __init__(self, weights: Tensor, marginals: Unbalanced | None) -> None:
        self.weights, self.marginals = weights, marginals
        self.given: Floats = weights.double().cpu().numpy()
        self.given = self.given / self.given.sum()

    def masses(self, h_tilde: Tensor) -> Tensor:
        """q, (m,)."""
        if self.marginals is None:
            return self.weights
        return self.marginals.masses(h_tilde, self.weights).clamp_min(LEAST * self.weights)

    def price(self, h_tilde: Tensor) -> float:
        """G(h̃) − Σ_j q_j h̃_j = D_ψ(q | b)."""
        if self.marginals is None:
            return 0.0
        linear = self.masses(h_tilde).double() @ h_tilde.double()
        return self.marginals.table_value(h_tilde, self.weights) - float(linear)

    def at(self, table: Floats) -> Aimed:
        """All of it, for Newton's method."""
        if self.marginals is None:
            return Aimed(float(self.given @ table), self.given, 0.0)
        h_tilde, b = torch.from_numpy(table), torch.from_numpy(self.given)
        q = self.marginals.masses(h_tilde, b)
        value = self.marginals.table_value(h_tilde, b)
        return Aimed(value, q.numpy(), self.marginals.curvature(h_tilde, b).numpy())
