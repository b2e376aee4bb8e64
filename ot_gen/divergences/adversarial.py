"""The adversarial Jensen-Shannon divergence of WAE-GAN."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import logsigmoid, softplus

from ot_gen.arguments import checked
from ot_gen.divergences.divergence import Divergence, codes_and_prior
from ot_gen.measures import Measure


@final
@checked
class AdversarialJS(Divergence):
    """The Jensen-Shannon divergence JS(q̄, ζ) in nats, from below, by a discriminator T_ω.

        JS(q̄, ζ) >= log 2 + ½ E_ζ log σ(T_ω) + ½ E_q̄ log(1 − σ(T_ω))

    ω has a sense of its own: it ascends this bound while the encoder descends, in the same step and on the same codes.
    The encoder's gradient is that of the non-saturating −E_q̄ log σ(T_ω), which does not vanish where T_ω separates the
    codes well. The value returned is the bound. For a fixed ω the estimate of the bound is unbiased; of JS it is a
    lower bound.

    Args:
        discriminator: T_ω, codes (n, k) -> logits (n, 1).

    Source: Tolstikhin et al., 2018, https://arxiv.org/abs/1711.01558, algorithm 1 (WAE-GAN)

    Example:
        >>> from ot_gen import standard_gaussian
        >>> zeta = standard_gaussian(2)
        >>> value = AdversarialJS(nn.Linear(2, 1))(zeta.law.expand((64,)), zeta)
        >>> bool(value <= math.log(2))
        True
    """

    unbiased = False

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, q: Distribution, zeta: Measure) -> Tensor:
        codes, prior = codes_and_prior(q, zeta, "AdversarialJS")
        fixed = {name: parameter.detach() for name, parameter in self.discriminator.named_parameters()}
        descends = softplus(-torch.func.functional_call(self.discriminator, fixed, codes)).mean()
        on_codes, on_prior = self.discriminator(codes.detach()), self.discriminator(prior.detach())
        bound = math.log(2) + 0.5 * (logsigmoid(on_prior).mean() + logsigmoid(-on_codes).mean())
        # The value of `bound`, with the encoder's gradient of `descends` and the discriminator's reversed.
        return 2 * bound.detach() - bound + descends - descends.detach()
