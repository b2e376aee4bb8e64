"""Likelihoods as costs: what turns the relaxed primal problem into −ELBO."""

from __future__ import annotations

from typing import NoReturn, final

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn import functional as F

from ot_gen.arguments import Cloud, checked
from ot_gen.costs.cost import Bilinear, Cost
from ot_gen.measures import widened
from ot_gen.measures.points import comparable


@final
@checked
class NegativeLogLikelihood(Cost):
    """c(z, y) = −log p(y|z) in nats, for a decoder with noise; no constant is left out.

    With an `EncoderCoupling`, D = `KL` and weight λ = 1, value + penalty is −ELBO exactly. The cost is between a law
    and a point: between two points it has no value.

    Raises:
        ValueError: the generator returns points.

    Source: Kingma, Welling, 2014, https://arxiv.org/abs/1312.6114

    Example:
        >>> import torch
        >>> from ot_gen import GaussianDecoder
        >>> law = GaussianDecoder(torch.nn.Identity(), std=1.0)(torch.zeros(1, 2))
        >>> round(float(NegativeLogLikelihood().decoded(law, torch.zeros(1, 2))), 4)  # log 2π
        1.8379
    """

    def decoded(self, out: Tensor | Distribution, y: Tensor) -> Tensor:
        if isinstance(out, Tensor):
            _refuse()
        if y.shape[-1:] != out.event_shape:
            raise ValueError(
                f"the decoder's laws are of points of shape {tuple(out.event_shape)}, and the points have shape "
                f"{tuple(y.shape)}; give the generator the data's dimension"
            )
        try:
            return -out.log_prob(y)
        except NotImplementedError:
            raise ValueError(f"the decoder's law {out} has no density, so it has no likelihood") from None

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        _refuse()

    def matrix(self, x: Cloud, y: Cloud) -> Tensor:
        _refuse()


def _refuse() -> NoReturn:
    raise ValueError(
        "NegativeLogLikelihood needs a law p(·|z) and got points: give the generator noise (GaussianDecoder or "
        "BernoulliDecoder) and use an encoder; for points use SquaredEuclidean or BernoulliNLL"
    )


@final
@checked
class BernoulliNLL(Cost):
    """c(x, y) = −Σ_l [ y_l log x_l + (1 − y_l) log(1 − x_l) ], x ∈ [0, 1]^d probabilities, y ∈ [0, 1]^d data.

    The negative log-likelihood (in nats) of y under independent pixels of mean x. It is not symmetric and, for
    grey y, not 0 at x = y. Logarithms of 0 are taken as −100, as in `torch.nn.BCELoss`, so a saturated pixel has a
    finite cost.

    Example:
        >>> c = BernoulliNLL()
        >>> round(float(c(torch.tensor([0.5, 0.5]), torch.tensor([0.0, 1.0]))), 4)  # 2 log 2
        1.3863
    """

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = torch.broadcast_tensors(*comparable(x, y))
        return F.binary_cross_entropy(x, y, reduction="none").sum(dim=-1)

    def matrix(self, x: Cloud, y: Cloud) -> Tensor:
        x, y = comparable(x, y)
        return -(_finite_log(x) @ y.T + _finite_log(1 - x) @ (1 - y).T)

    def bilinear(self, y: Cloud) -> Bilinear:
        def left(x: Tensor) -> tuple[Tensor, Tensor]:
            x = widened(x)
            on, off = _finite_log(x), _finite_log(1 - x)
            return off - on, -off.sum(dim=1)

        def right(y: Tensor) -> tuple[Tensor, Tensor]:
            y = widened(y)
            return y, y.new_zeros(len(y))

        return Bilinear(left, right)


def _finite_log(p: Tensor) -> Tensor:
    positive = p > 0
    return torch.where(positive, torch.where(positive, p, 1.0).log(), -100.0)
