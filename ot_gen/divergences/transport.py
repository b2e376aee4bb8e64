"""Mini-batch optimal transport of codes: the plain estimate, and the debiased one."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch.distributions import Distribution

from ot_gen.arguments import checked
from ot_gen.costs import squared_distances
from ot_gen.divergences.divergence import Divergence, codes_and_prior
from ot_gen.measures import Measure
from ot_gen.transport import assignment


@final
@checked
class BatchTransport(Divergence):
    """W₂²(q̄_n, ζ_n) between n codes and n draws of ζ, cost ‖z − z'‖² (no ½), by linear assignment.

    Biased: E W₂²(q̄_n, ζ_n) > W₂²(q̄, ζ). Its minimum over code laws is not ζ but a law shrunk towards the mean: a batch
    of n draws is nearer to a shrunk law than to another batch. See `DebiasedTransport`.

    Source: Fatras et al., 2020, https://arxiv.org/abs/1910.04091

    Example:
        >>> from ot_gen import standard_gaussian
        >>> zeta = standard_gaussian(2)
        >>> bool(BatchTransport()(zeta.law.expand((32,)), zeta) > 0)
        True
    """

    unbiased = False

    def forward(self, q: Distribution, zeta: Measure) -> Tensor:
        codes, prior = codes_and_prior(q, zeta, "BatchTransport")
        return _transport(codes, prior)


@final
@checked
class DebiasedTransport(Divergence):
    """The energy-type divergence of mini-batch transport, with n/2 codes z, z' and n/2 draws w, w' in each batch.

        ½ [W(z, w) + W(z, w') + W(z', w) + W(z', w')] − W(z, z') − W(w, w'),   W = W₂² by linear assignment

    Its expectation is 2 E W(q̄_m, ζ_m) − E W(q̄_m, q̄'_m) − E W(ζ_m, ζ'_m) at m = n/2: 0 where q̄ = ζ, and there its
    gradient vanishes too, so the codes do not shrink. One estimate may be negative.

    As an estimate of the limit 2 W₂²(q̄, ζ) it is unbiased at equal laws and at translations, for every n. Elsewhere it
    depends on m: small batches show differences in shape less well, and at m = 1 only means count.

    Source: Salimans et al., 2018, https://arxiv.org/abs/1803.05573 (mini-batch energy distance)

    Example:
        >>> import torch
        >>> from ot_gen import standard_gaussian
        >>> zeta = standard_gaussian(2)
        >>> values = torch.stack([DebiasedTransport()(zeta.law.expand((32,)), zeta) for _ in range(50)])
        >>> bool(values.mean().abs() < 0.2)
        True
    """

    unbiased = False

    def forward(self, q: Distribution, zeta: Measure) -> Tensor:
        codes, prior = codes_and_prior(q, zeta, "DebiasedTransport")
        m = len(codes) // 2
        (z, z_), (w, w_) = ((points[:m], points[m : 2 * m]) for points in (codes, prior))
        across = torch.stack([_transport(*pair) for pair in ((z, w), (z, w_), (z_, w), (z_, w_))])
        return across.sum() / 2 - _transport(z, z_) - _transport(w, w_)


def _transport(x: Tensor, y: Tensor) -> Tensor:
    """W₂² of two equal samples; by the envelope theorem the pairing carries no gradient."""
    with torch.no_grad():
        sigma = assignment(squared_distances(x, y))
    return (x - y[sigma]).square().sum(dim=1).mean()
