"""The coupling as a table: a plan between fresh samples of the model and of the data."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ot_gen.costs import Cost
from ot_gen.measures import Measure

from .coupling import Coupling, Estimate

Plan = Callable[[Tensor], Tensor]


class PlanCoupling(Coupling):
    """The plan between n fresh model samples and n fresh data, π = Σ_ij P_ij δ_(z_i, y_j).

    By the envelope theorem θ's gradient is Σ_ij P_ij ∂_θ c(g_θ(z_i), y_j) with P held fixed.

    The value is an upper bound of W_c(μ, ν) in expectation, since W_c is convex, and it is biased at finite n: two
    samples of one law are not at distance 0. Compare values at equal n only, and next to the real-vs-real floor.

    Args:
        plan: C (n, n) -> P (n, n), e.g. `exact_plan` or `functools.partial(sinkhorn_plan, epsilon=0.1)`.

    Source: Genevay, Peyré, Cuturi, 2018, https://arxiv.org/abs/1706.00292

    Example:
        >>> import torch
        >>> from ot_gen.costs import SquaredEuclidean
        >>> from ot_gen.measures import Empirical
        >>> from ot_gen.transport import exact_plan
        >>> nu = Empirical(torch.eye(2))
        >>> value, penalty = PlanCoupling(exact_plan)(nu, nu, SquaredEuclidean(), 2)
        >>> value.shape, float(penalty)
        (torch.Size([]), 0.0)
    """

    kind = "table"
    bound = "upper"

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan

    def forward(self, mu: Measure, nu: Measure, cost: Cost, n: int) -> Estimate:
        C = cost.matrix(mu.rsample(n), nu.sample(n))
        P = self.plan(C.detach())
        value = (P * C).sum()
        return Estimate(value, value.new_zeros(()))

    def extra_repr(self) -> str:
        return getattr(self.plan, "__name__", repr(self.plan))
