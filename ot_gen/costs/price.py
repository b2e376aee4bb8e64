"""Costs of standard coordinates, in the units of the data."""

from __future__ import annotations

import math
from typing import NamedTuple, final

from ot_gen.costs.cost import Cost
from ot_gen.costs.labels import LabelCost
from ot_gen.costs.likelihood import NegativeLogLikelihood
from ot_gen.measures import Units


@final
class Price(NamedTuple):
    """A cost w of standard coordinates is `factor` · w + `constant` in the data's own units.

    Example:
        >>> Price(factor=4.0).of(0.5)
        2.0
    """

    factor: float = 1.0
    constant: float = 0.0

    def of(self, cost: float) -> float:
        """A cost between points in the data's own units."""
        return self.factor * cost + self.constant


def price(cost: Cost, units: Units | None) -> Price:
    """What one unit of a cost of standard coordinates u = (y − b)/a is worth in the data's own units.

    With one scale a it is a^p, p the degree of the cost. With a scale for each column the cost is that of standard
    coordinates, which have no unit: 1. A likelihood is counted in nats, and −log p(y) = −log p(u) + Σ_l log a_l.

    Raises:
        ValueError: the cost changes by more than a factor with the units of the data.

    Example:
        >>> import torch
        >>> from ot_gen import Euclidean
        >>> price(Euclidean(), Units(torch.zeros(2), torch.tensor(3.0)))
        Price(factor=3.0, constant=0.0)
    """
    if units is None:
        return Price()
    if isinstance(cost, LabelCost) and cost.weight == math.inf:
        cost = cost.within
    if isinstance(cost, NegativeLogLikelihood):
        return Price(constant=units.log_volume())
    if cost.degree is None:
        raise ValueError(
            f"the cost {cost} has no degree p, with c(a x + b, a y + b) = a^p c(x, y), so that of standardised data is "
            "another cost; leave the data in their own units, standardize=none"
        )
    return Price(float(units.scale) ** cost.degree if units.scale.ndim == 0 else 1.0)
