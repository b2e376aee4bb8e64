"""The likelihood as a cost: what turns the relaxed primal problem into −ELBO."""

from __future__ import annotations

from typing import NoReturn, final

from torch import Tensor
from torch.distributions import Distribution

from .costs import Cost


@final
class NegativeLogLikelihood(Cost):
    """c(z, y) = −log p(y|z) in nats, for a decoder with noise; no constant is left out.

    With an `EncoderCoupling`, D = `KL` and weight λ = 1, value + penalty is −ELBO exactly. The cost is between a law
    and a point: between two points it has no value.

    Raises:
        ValueError: the generator returns points.

    Source: Kingma, Welling, 2014, https://arxiv.org/abs/1312.6114

    Example:
        >>> import torch
        >>> from ot_gen.decoders import GaussianDecoder
        >>> law = GaussianDecoder(torch.nn.Identity(), std=1.0)(torch.zeros(1, 2))
        >>> round(float(NegativeLogLikelihood().decoded(law, torch.zeros(1, 2))), 4)  # log 2π
        1.8379
    """

    def decoded(self, out: Tensor | Distribution, y: Tensor) -> Tensor:
        if isinstance(out, Tensor):
            _refuse()
        return -out.log_prob(y)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        _refuse()

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        _refuse()


def _refuse() -> NoReturn:
    raise ValueError(
        "NegativeLogLikelihood needs a law p(·|z) and got points: give the generator noise (GaussianDecoder or "
        "BernoulliDecoder; noise=fixed) and use an encoder; for points use SquaredEuclidean or BernoulliNLL"
    )
