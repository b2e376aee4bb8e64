"""What an assumption about μ says of one problem, so that its interval holds at every sample size."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, final

from torch import Tensor

from ot_gen.costs import Cost, Growth
from ot_gen.evaluation.assumptions import Assumption, Truncation
from ot_gen.evaluation.concentration import bernstein
from ot_gen.measures import Measure


@final
class Truncated(Measure):
    """The law of samples of μ that a `Truncation` has moved."""

    def __init__(self, law: Measure, truncation: Truncation) -> None:
        super().__init__()
        self.law, self.truncation = law, truncation
        self.dim, self.cube_dim = law.dim, law.cube_dim

    def sample(self, n: int) -> Tensor:
        return self.truncation.moved(self.law.sample(n))

    def from_cube(self, u: Tensor) -> Tensor:
        return self.truncation.moved(self.law.from_cube(u))


@final
class Guarantee(NamedTuple):
    """What an assumption says of one problem.

    Attributes:
        truncation: where μ is moved to.
        growth: of the cost.
        atoms: of ν, (m, d).
        span: a bound of how far the c-transform of any table varies over the region.
        logarithm: log(2 / δ), δ = (1 − level) / 2 the error probability of one end.
    """

    truncation: Truncation
    growth: Growth
    atoms: Tensor
    span: float
    logarithm: float

    @classmethod
    def of(cls, assuming: Assumption, cost: Cost, atoms: Tensor, samples: int, level: float) -> Guarantee:
        """That of a problem whose certificate judges on about `samples` samples.

        |h(x) − h(x')| <= max_j |c(x, y_j) − c(x', y_j)| for every c-transform h, and 0 <= c(x, y_j) <= f(‖x − y_j‖).
        """
        growth, logarithm = growth_of(cost, atoms.shape[1]), math.log(4 / (1 - level))
        truncation = assuming.truncation(growth, atoms, samples, logarithm)
        span = float(growth(truncation.region.farthest(atoms).double()).max())
        return cls(truncation, growth, atoms, span, logarithm)

    def spread(self, sample: Tensor) -> Callable[[Tensor], Tensor]:
        """x -> a bound of |h(x) − h(x₀)| for every c-transform h, x₀ the mean of a sample that judges nothing."""
        middle = sample.mean(dim=0)
        rho = (self.atoms - middle).norm(dim=1).max().double()
        return lambda x: self.growth(rho + (x - middle).norm(dim=1)) - self.growth(rho)

    def error(self, variance: float, samples: int) -> float:
        """`bernstein` of this problem."""
        return bernstein(variance, self.span, samples, self.logarithm)


def growth_of(cost: Cost, dim: int) -> Growth:
    """How fast the cost grows, for an assumption about the points to bound it.

    Raises:
        ValueError: nothing is known of this cost.

    Example:
        >>> from ot_gen import Euclidean
        >>> growth_of(Euclidean(), 2).power
        1.0
    """
    growth = cost.growth(dim)
    if growth is None:
        raise ValueError(
            f"assuming= bounds the cost by the distance of the points, and how {type(cost).__name__} grows with it is "
            "not known; take SquaredEuclidean, Euclidean or Lp, or give your cost a method growth(dim)"
        )
    return growth
