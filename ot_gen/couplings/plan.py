"""The coupling as a table: a plan between fresh samples of the model and of the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from ot_gen.arguments import Count, checked
from ot_gen.costs import Cost
from ot_gen.couplings.coupling import Coupling, Estimate
from ot_gen.couplings.floor import RealAgainstReal, Setting
from ot_gen.measures import Measure, joint
from ot_gen.transport import Plan, plan_by_blocks


def tried(plan: Callable[[Tensor], Plan], name: str) -> Plan:
    """The plan for a matrix of zeros, or a `ValueError` where a coupling of this name got something else.

    Example:
        >>> from ot_gen import exact_plan
        >>> tried(exact_plan, "PlanCoupling").bound
        'upper'
    """
    trial = plan(torch.zeros(2, 2, device="cpu"))
    if not isinstance(trial, Plan):
        raise ValueError(
            f"{name} needs a function of the costs that returns a Plan, got a {type(trial).__name__}; "
            "use exact_plan, or functools.partial(sinkhorn_plan, epsilon=...)"
        )
    return trial


@final
@checked
class PlanCoupling(Coupling):
    """The plan between n fresh model samples and n fresh data, π = Σ_ij P_ij δ_(z_i, y_j).

    By the envelope theorem θ's gradient is Σ_ij P_ij ∂_θ c(g_θ(z_i), y_j) with P held fixed.

    With an exact or entropic plan the value is an upper bound of W_c(μ, ν) in expectation, since W_c is convex. With an
    unbalanced or partial plan it is the cost of the mass that moves, and bounds nothing. `bound` is that of the plan.

    All are biased at finite n: two samples of one law are not at distance 0. `diagnostics` returns the "floor", the
    mean value between two independent samples of ν of the same size n. A value below it is no progress. For a plan
    that need not carry all mass `diagnostics` also returns the "mass" of the last one.

    Args:
        plan: C (n, n) -> `Plan`, e.g. `exact_plan` or `functools.partial(sinkhorn_plan, epsilon=0.1)`.

    Raises:
        ValueError: `plan` returns something else for a matrix of zeros, or refuses its own arguments.

    Source: Genevay, Peyré, Cuturi, 2018, https://arxiv.org/abs/1706.00292

    Example:
        >>> from ot_gen import SquaredEuclidean
        >>> from ot_gen import Empirical
        >>> from ot_gen import exact_plan
        >>> nu = Empirical(torch.eye(2))
        >>> coupling = PlanCoupling(exact_plan)
        >>> value, penalty = coupling(nu, nu, SquaredEuclidean(), 2)
        >>> value.shape, float(penalty)
        (torch.Size([]), 0.0)
        >>> sorted(coupling.diagnostics())
        ['floor']
    """

    kind = "table"

    def __init__(self, plan: Callable[[Tensor], Plan]) -> None:
        super().__init__()
        self.plan = plan
        self.bound = tried(plan, "PlanCoupling").bound
        self._last: tuple[Setting, Tensor] | None = None
        self._floor = RealAgainstReal(plan, points=1024, most=8)

    def bind(self, mu: Measure, nu: Measure, cost: Cost) -> None:
        self._last = None
        self._floor.keep(nu, cost)

    def forward(self, mu: Measure, nu: Measure, cost: Cost, n: Count) -> Estimate:
        x, y = joint(mu, nu, n)
        plan = self._join(x, y, cost)
        self._last = (nu, cost, n), plan.mass
        value = plan.cost_of(cost, x, y)
        return Estimate(value, value.new_zeros(()))

    def _join(self, x: Tensor, y: Tensor, cost: Cost) -> Plan:
        with torch.no_grad():
            return plan_by_blocks(self.plan, cost.matrix(x, y))

    def diagnostics(self) -> dict[str, float]:
        if self._last is None:
            return {}
        setting, mass = self._last
        figures = {"floor": self._floor(*setting)}
        return figures if self.bound == "upper" else figures | {"mass": mass.item()}

    def extra_repr(self) -> str:
        return getattr(self.plan, "__name__", repr(self.plan))
