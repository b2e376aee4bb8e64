"""The debiased Sinkhorn divergence."""

from __future__ import annotations

from typing import Annotated, final

from torch import Tensor
from torch.distributions import Distribution

from ot_gen.arguments import Interval, Positive, checked
from ot_gen.divergences.divergence import Divergence, codes_and_prior
from ot_gen.measures import Measure
from ot_gen.transport import sinkhorn_divergence


@final
@checked
class SinkhornDivergence(Divergence):
    """The debiased Sinkhorn divergence S_ε(q̄_n, ζ_n) between n codes and n draws, cost ‖z − z'‖² (no ½).

        S_ε(α, β) = OT_ε(α, β) − ½ OT_ε(α, α) − ½ OT_ε(β, β) >= 0

    Debiased means S_ε(α, α) = 0; between two samples of one law it is positive all the same.

    Args:
        epsilon: ε, in the units of ‖z − z'‖².
        tol: marginal error accepted, in total variation norm. At the default the gradient is off by about a percent,
            far below its noise from batch to batch.

    Source: Feydy et al., 2019, https://arxiv.org/abs/1810.08278; in this role Patrini et al., 2020,
    https://arxiv.org/abs/1810.01118

    Example:
        >>> from ot_gen import standard_gaussian
        >>> zeta = standard_gaussian(2)
        >>> bool(SinkhornDivergence(epsilon=0.1)(zeta.law.expand((32,)), zeta) >= 0)
        True
    """

    unbiased = False

    def __init__(self, epsilon: Positive = 0.1, tol: Annotated[float, Interval(0, 1, "()")] = 1e-2) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.tol = tol

    def forward(self, q: Distribution, zeta: Measure) -> Tensor:
        codes, prior = codes_and_prior(q, zeta, "SinkhornDivergence")
        return sinkhorn_divergence(codes, prior, epsilon=self.epsilon, tol=self.tol)

    def extra_repr(self) -> str:
        return f"epsilon={self.epsilon:g}, tol={self.tol:g}"
