"""The conditional Kullback-Leibler divergence."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from ot_gen.measures import Reference

from .divergence import Divergence


class KL(Divergence):
    """E_y KL(q(·|y) ‖ ζ), in nats, in closed form where torch has one.

    It equals KL(P1#π ‖ ζ) + I(z; y): an upper bound of the aggregate's divergence, positive even where the
    aggregate is exactly ζ.

    Raises:
        ValueError: the pair of laws has no closed form, e.g. a deterministic encoder, whose KL is infinite.

    Source: Kingma, Welling, 2014, https://arxiv.org/abs/1312.6114

    Example:
        >>> from ot_gen.measures import standard_gaussian
        >>> zeta = standard_gaussian(2)
        >>> float(KL()(zeta.law.expand((5,)), zeta))
        0.0
    """

    def forward(self, q: Distribution, zeta: Reference) -> Tensor:
        try:
            return kl_divergence(q, zeta.law).mean()
        except NotImplementedError:
            raise ValueError(
                f"KL has no closed form for an encoder that returns {type(q).__name__} and the reference {zeta.law}; "
                "use a Gaussian encoder with a Gaussian reference, or MMD, SinkhornDivergence or SlicedWasserstein"
            ) from None
