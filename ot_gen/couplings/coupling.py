"""What every coupling is and returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal, NamedTuple, final

from torch import Tensor

from ot_gen.arguments import Count, Fraction, checked
from ot_gen.costs import Cost
from ot_gen.display import Shown
from ot_gen.measures import Measure


@final
class Estimate(NamedTuple):
    """A sampled estimate of E(θ): θ descends `value`; `penalty` is ξ's alone and never depends on θ. Both ().

    Example:
        >>> import torch
        >>> from ot_gen import Empirical, PlanCoupling, SquaredEuclidean, exact_plan
        >>> mu, nu = Empirical(torch.zeros(2, 1)), Empirical(torch.ones(2, 1))
        >>> estimate = PlanCoupling(exact_plan)(mu, nu, SquaredEuclidean(), 4)
        >>> float(estimate.value), float(estimate.penalty)
        (1.0, 0.0)
    """

    value: Tensor
    penalty: Tensor


@checked
class Coupling(Shown, ABC):
    """A coupling π of ζ and ν, exact or relaxed.

    `bound` says what `value` is in expectation: "upper" if it bounds W_c(μ, ν) from above, None if it bounds nothing.

    Example:
        >>> from ot_gen import Coupling, Estimate
        >>> class Independent(Coupling):  # feasible, hence an upper bound
        ...     kind, bound = "table", "upper"
        ...     def forward(self, mu, nu, cost, n):
        ...         x, y = mu.rsample(n), nu.sample(n)
        ...         return Estimate(cost(x, y).mean(), x.new_zeros(()))
        >>> Independent().bound
        'upper'
    """

    kind: Literal["table", "network", "flow"]
    bound: Literal["upper"] | None = None

    @staticmethod
    def instead_of(thing: object) -> str:
        """What to give in the place of something else, in the words of an error."""
        return "take one of ot_gen.couplings, e.g. PlanCoupling(exact_plan)"

    @abstractmethod
    def forward(self, mu: Measure, nu: Measure, cost: Cost, n: Count) -> Estimate:
        """(E_π c(g_θ(z), y), penalty) from n samples."""

    def bind(self, mu: Measure, nu: Measure, cost: Cost) -> None:
        """Take up this problem in the place of any earlier one; nothing of that stays.

        Binding twice to one problem is binding once. A solver does it in `prepare`, hence `fit`.

        Raises:
            ValueError: this coupling cannot join mu and nu; it stays bound as it was.
        """

    @property
    def is_settled(self) -> bool:
        """Whether θ may move; else `settle` comes first."""
        return True

    def settle(self, mu: Measure, nu: Measure, cost: Cost, keep: Path | None, resume: Path | None) -> None:
        """Solve what has to be solved before θ moves; arguments as of `Solver.settle`."""

    def priced(self, cost: Cost) -> Cost:
        """The cost in whose units the value is: the ground cost c, unless the value is of another kind."""
        return cost

    def at(self, fraction: Fraction) -> None:
        """Receive the fraction of the training's steps that is done, for what is scheduled."""

    def diagnostics(self) -> dict[str, float]:
        """Named figures that belong beside the value."""
        return {}
