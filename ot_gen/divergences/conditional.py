"""Divergences of each posterior by itself: the conditional Kullback-Leibler divergence and the norm of codes."""

from __future__ import annotations

from typing import final

from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from ot_gen.arguments import checked
from ot_gen.divergences.divergence import Divergence, check_codes, density
from ot_gen.measures import Measure, check_defined, log_density


@final
@checked
class KL(Divergence):
    """E_y KL(q(·|y) ‖ ζ), in nats: in closed form where torch has one, else by one code of each posterior.

        KL(q ‖ ζ) ≈ log q(z) − log ζ(z),  z ~ q

    It equals KL(P1#π ‖ ζ) + I(z; y): an upper bound of the aggregate's divergence, positive even where the
    aggregate is exactly ζ. Either way the estimate is unbiased.

    Raises:
        ValueError: a law without a density, e.g. a deterministic encoder, whose KL is infinite.

    Source: Kingma, Welling, 2014, https://arxiv.org/abs/1312.6114

    Example:
        >>> from ot_gen import standard_gaussian
        >>> zeta = standard_gaussian(2)
        >>> float(KL()(zeta.law.expand((5,)), zeta))
        0.0
    """

    unbiased = True
    is_conditional = True

    def forward(self, q: Distribution, zeta: Measure) -> Tensor:
        exact = closed_kl(q, zeta)
        return (sampled_kl(q, zeta, q.rsample()) if exact is None else exact).mean()


@final
@checked
class CodeNorm(Divergence):
    """½ E‖z‖²: −log ζ(z) of a standard Gaussian ζ, up to a constant; what is left of the KL for codes without noise.

    It keeps codes small and says nothing of their shape: sample from a prior fitted to them (`ex_post_prior`).

    Source: Ghosh et al., 2020, https://arxiv.org/abs/1903.12436 (RAE, L_z)

    Example:
        >>> import torch
        >>> from ot_gen import standard_gaussian
        >>> from ot_gen import Dirac
        >>> float(CodeNorm()(Dirac(torch.tensor([[3.0, 4.0], [0.0, 0.0]])), standard_gaussian(2)))
        6.25
    """

    unbiased = True
    is_conditional = True

    def forward(self, q: Distribution, zeta: Measure) -> Tensor:
        check_codes(q, zeta, "CodeNorm")
        return 0.5 * q.rsample().square().sum(dim=1).mean()


@checked
def closed_kl(q: Distribution, zeta: Measure) -> Tensor | None:
    """KL(q(·|y_i) ‖ ζ), (n,), where torch has it in closed form, else None.

    Raises:
        ValueError: ζ has no density.

    Example:
        >>> import torch
        >>> from torch.distributions import Independent, Normal
        >>> from ot_gen import standard_gaussian
        >>> closed_kl(Independent(Normal(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), 1.0), 1), standard_gaussian(2))
        tensor([12.5000,  0.0000])
    """
    law = density(zeta, "KL")
    check_codes(q, zeta, "KL")
    try:
        return kl_divergence(q, law)
    except NotImplementedError:
        return None


@checked
def log_ratio(q: Distribution, zeta: Measure, codes: Tensor) -> Tensor:
    """log q(z|y) − log ζ(z) at codes z (..., n, k) of the posteriors, (..., n); +inf off the support of ζ.

    Its mean over z ~ q is KL(q ‖ ζ), and exp of −log_ratio is the importance weight of a code.

    Raises:
        ValueError: one of the laws has no density.

    Example:
        >>> from ot_gen import standard_gaussian
        >>> zeta = standard_gaussian(2)
        >>> q = zeta.law.expand((5,))
        >>> log_ratio(q, zeta, q.sample())
        tensor([0., 0., 0., 0., 0.])
    """
    law = density(zeta, "KL")
    check_codes(q, zeta, "KL")
    if codes.ndim < 1 + len(q.batch_shape) or codes.shape[-1] != zeta.dim:
        raise ValueError(
            f"codes must have shape (..., n, {zeta.dim}), one for each posterior, got {tuple(codes.shape)} for "
            f"posteriors of batch_shape {tuple(q.batch_shape)}"
        )
    try:
        ratio = q.log_prob(codes) - log_density(law, codes)
    except NotImplementedError:
        raise ValueError(
            f"KL has no closed form for an encoder that returns {type(q).__name__} and the reference {law}, and "
            "one of them has no density to sample it with; use an encoder with a density, or MMD, SinkhornDivergence "
            "or SlicedWasserstein"
        ) from None
    check_defined(ratio, "the log density", codes)
    return ratio


@checked
def sampled_kl(q: Distribution, zeta: Measure, codes: Tensor) -> Tensor:
    """`log_ratio` for training: log q(z|y) − log ζ(z) at codes z (..., n, k), (..., n), finite.

    Raises:
        ValueError: one of the laws has no density, or codes lie outside the support of ζ.

    Example:
        >>> from ot_gen import standard_gaussian
        >>> zeta = standard_gaussian(2)
        >>> q = zeta.law.expand((5,))
        >>> sampled_kl(q, zeta, q.sample())
        tensor([0., 0., 0., 0., 0.])
    """
    ratio = log_ratio(q, zeta, codes)
    if bool(ratio.isposinf().any()):
        raise ValueError(
            f"codes of an encoder that returns {type(q).__name__} leave the support of the reference {zeta}; use "
            "a reference on all of R^k, or an encoder and a divergence made for this one"
        )
    return ratio
