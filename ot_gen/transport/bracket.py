"""What every answer about W_c(μ, ν) has in common: two values that hold it, with their standard errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from ot_gen.arguments import checked


@final
@checked
@dataclass(frozen=True, kw_only=True)
class Bracket:
    """lower <= W <= upper, W the value of a transport problem.

    A plan, a semi-discrete solution and a certificate each have one, as their `.bracket`.

    Attributes:
        lower, lower_se: the value of a feasible pair of potentials, and its standard error, 0 where nothing is sampled.
        upper, upper_se: the same of a feasible coupling.

    Example:
        >>> Bracket(lower=0.75, upper=1.0).gap
        0.25
    """

    lower: float
    upper: float
    lower_se: float = 0.0
    upper_se: float = 0.0

    @property
    def gap(self) -> float:
        """The relative duality gap (upper − lower) / |upper|."""
        return (self.upper - self.lower) / max(abs(self.upper), 1e-300)
