"""Plans between batches without their bias: attraction to the data minus attraction to the model's own kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from ot_gen.arguments import Count, checked
from ot_gen.costs import Cost
from ot_gen.couplings.coupling import Coupling, Estimate
from ot_gen.couplings.floor import RealAgainstReal
from ot_gen.couplings.plan import tried
from ot_gen.measures import Measure, alike, joint
from ot_gen.transport import Plan, plan_by_blocks


@final
@checked
class DebiasedPlanCoupling(Coupling):
    """Plans between samples without their bias, by second, independent samples μ' and ν'.

        OT(μ_n, ν_n) − ½ OT(μ_n, μ'_n) − ½ OT(ν_n, ν'_n),        OT = ⟨P, C⟩ of their plan

    A plan between two batches is biased. It draws each sample to a mean of several data, so a generator that descends
    it shrinks. The second term pushes samples of the model apart as much as batches alone would draw them together.
    In expectation the value is 0 at μ = ν for every n, and so is its gradient,

        Σ_ij P_ij ∂_θ c(g_θ(z_i), y_j) − Σ_ij Q_ij ∂_1 c(g_θ(z_i), x'_j) ∂_θ g_θ(z_i),

    with the plans P and Q held fixed (the envelope theorem) and x' = g_θ(z'). ½ is gone in its second term: x and x'
    are of one law, so each of them gives half. For ‖x − y‖² it is 2/n Σ_i (Q x'_i − P y_i): to its barycentre among the
    model, minus to that among the data. The value bounds nothing, and a single one may be negative.

    The third term is a mean of 8 to 32 draws, computed once. `diagnostics` returns the "floor", 0: the value at μ = ν.
    "spread" is OT(μ_n, μ'_n) / OT(ν_n, ν'_n): below 1 the model is narrower than the data.

    Args:
        plan: C (n, n) -> `Plan`. `functools.partial(sinkhorn_plan, epsilon=...)` makes it a Sinkhorn divergence between
            batches, `exact_plan` the minibatch energy distance of optimal transport.

    Raises:
        ValueError: `plan` returns something else for a matrix of zeros, or refuses its own arguments.

    Source: Genevay, Peyré, Cuturi, 2018, https://arxiv.org/abs/1706.00292; with second batches Salimans et al., 2018,
    https://arxiv.org/abs/1803.05573

    Example:
        >>> from ot_gen import Empirical, SquaredEuclidean, exact_plan
        >>> nu = Empirical(torch.randn(64, 2))
        >>> coupling = DebiasedPlanCoupling(exact_plan)
        >>> values = [float(coupling(nu, nu, SquaredEuclidean(), 16).value) for _ in range(100)]
        >>> abs(sum(values) / 100) < 0.2
        True
        >>> sorted(coupling.diagnostics())
        ['floor', 'spread']
    """

    kind = "table"

    def __init__(self, plan: Callable[[Tensor], Plan]) -> None:
        super().__init__()
        tried(plan, "DebiasedPlanCoupling")
        self.plan = plan
        self._real = RealAgainstReal(plan, points=8192, most=32)
        self._figures: dict[str, float] = {}

    def bind(self, mu: Measure, nu: Measure, cost: Cost) -> None:
        self._figures = {}
        self._real.keep(nu, cost)

    def forward(self, mu: Measure, nu: Measure, cost: Cost, n: Count) -> Estimate:
        x, y = joint(mu, nu, n)
        own = alike(mu, x)
        to_data, to_own = self._join(x, y, cost), self._join(x, own, cost)
        real, kind = self._real(nu, cost, n), to_own.value
        self._figures = {"floor": 0.0} | ({"spread": float(kind) / real} if real > 0 else {})
        descends = to_data.cost_of(cost, x, y) - to_own.cost_of(cost, x, own)
        value = descends + (to_data.value - (kind + real) / 2 - descends).detach()
        return Estimate(value, value.new_zeros(()))

    @torch.no_grad()
    def _join(self, x: Tensor, y: Tensor, cost: Cost) -> Plan:
        return plan_by_blocks(self.plan, cost.matrix(x, y))

    def diagnostics(self) -> dict[str, float]:
        return dict(self._figures)

    def extra_repr(self) -> str:
        return getattr(self.plan, "__name__", repr(self.plan))
