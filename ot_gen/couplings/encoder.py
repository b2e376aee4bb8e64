"""The coupling as a network: an encoder, with the marginal on the latent space relaxed by a divergence."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ot_gen.arguments import Count, Fraction, Positive, checked, described
from ot_gen.costs import Cost
from ot_gen.couplings.coupling import Coupling, Estimate
from ot_gen.divergences import Divergence
from ot_gen.measures import Measure, Pushforward, probe
from ot_gen.schedules import Schedule


@final
@checked
class EncoderCoupling(Coupling):
    """The encoder's coupling π_ξ = Σ_j b_j q_ξ(·|y_j) ⊗ δ_{y_j}, with P1#π_ξ = ζ relaxed by a divergence.

        E_λ(θ) = min_ξ  E_y E_{z ~ q_ξ(·|y)} c(g_θ(z), y)  +  λ D(P1#π_ξ | ζ)

    P2#π_ξ = ν holds by construction and P1#π_ξ = ζ does not: the coupling is infeasible and its value bounds nothing.

    With c = ‖x − y‖², D = `KL` and λ = 2σ², (value + penalty) / (2σ²) + (d/2) log(2πσ²) is −ELBO for a decoder
    N(g_θ(z), σ² I); with c = `BernoulliNLL` and λ = 1, value + penalty is −ELBO. D = `MMD` gives WAE-MMD,
    `SinkhornDivergence` the Sinkhorn autoencoder and `SlicedWasserstein` SWAE.

    Args:
        encoder: y (n, d) -> q(·|y), a torch `Distribution` with batch_shape (n,) and event_shape (k,).
        divergence: D.
        weight: λ > 0, in the units of the cost.
        schedule: fraction of the steps done -> factor >= 0 on λ, e.g. `linear_warmup` or `cyclic`; None keeps λ.

    The penalty learns a reference with parameters of its own (`learned_mixture`), so these belong to ξ. `bind` makes
    such a reference a part of the coupling, for as long as the coupling is bound to that model. The encoder and the
    divergence are trained: they are shared with the caller and not copied.

    Raises:
        ValueError: λ <= 0.

    Source: Tolstikhin et al., 2018, https://arxiv.org/abs/1711.01558

    Example:
        >>> from ot_gen import SquaredEuclidean
        >>> from ot_gen import KL
        >>> from ot_gen import GaussianEncoder
        >>> from ot_gen import Empirical, standard_gaussian
        >>> mu = Pushforward(nn.Linear(2, 3), standard_gaussian(2))
        >>> coupling = EncoderCoupling(GaussianEncoder(nn.Linear(3, 4)), KL(), weight=0.1)
        >>> value, penalty = coupling(mu, Empirical(torch.eye(3)), SquaredEuclidean(), 3)
        >>> bool(value >= 0 and penalty >= 0)
        True
    """

    kind = "network"

    reference: Measure | None

    def __init__(
        self, encoder: nn.Module, divergence: Divergence, weight: Positive, schedule: Schedule | None = None
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.divergence = divergence
        self.register_module("reference", None)
        self.weight = float(weight)
        self.schedule = schedule
        self.factor = 1.0 if schedule is None else schedule(0.0)

    def forward(self, mu: Measure, nu: Measure, cost: Cost, n: Count) -> Estimate:
        mu, y = generator(mu), nu.sample(n)
        q = posteriors(self.encoder, y)
        value = cost.decoded(mu.decode(q.rsample()), y).mean()
        return Estimate(value, self.factor * self.weight * self.divergence(q, mu.base))

    def at(self, fraction: Fraction) -> None:
        if self.schedule is not None:
            self.factor = self.schedule(fraction)

    def diagnostics(self) -> dict[str, float]:
        return {} if self.schedule is None else {"weight": self.factor * self.weight}

    @torch.no_grad()
    @checked
    def bind(self, mu: Measure, nu: Measure, cost: Cost) -> None:
        q, zeta = posterior(self.encoder, mu, nu)
        if not torch.isfinite(self.divergence(q, zeta)):
            raise ValueError(
                f"{self.divergence} between the codes and the reference {zeta} is not finite: the codes leave "
                "the reference's support; use a Gaussian reference, or MMD, SinkhornDivergence or SlicedWasserstein"
            )
        self.reference = learned(zeta)

    def extra_repr(self) -> str:
        return f"weight={self.weight:g}"


def posterior(encoder: nn.Module, mu: Measure, nu: Measure) -> tuple[Distribution, Measure]:
    """The posteriors of two data points and ζ. Nothing is changed.

    Raises:
        ValueError: the model decodes no codes, or the encoder does not fit the model and the data.
    """
    zeta = generator(mu).base
    rule = f"an encoder maps the data to laws of codes of ζ's dimension, {zeta.dim}, in batch_shape (n,)"
    q = probe(encoder, nu.sample(2), "the encoder", rule, row=((zeta.dim,),))
    return _laws(q), zeta


def posteriors(encoder: nn.Module, y: Tensor) -> Distribution:
    """q(·|y) of each row of y, (n, d)."""
    return _laws(encoder(y))


def _laws(q: object) -> Distribution:
    if not isinstance(q, Distribution):
        raise ValueError(
            f"an encoder maps the data to laws of codes, a torch Distribution, got {described(q)}; of codes make laws: "
            "DiracEncoder(net)"
        )
    return q


def generator(mu: Measure) -> Pushforward:
    """μ, which decodes codes; a `ValueError` where it is no `Pushforward`."""
    if not isinstance(mu, Pushforward):
        raise ValueError(f"an encoder needs a generator to decode its codes (a Pushforward), got {type(mu).__name__}")
    return mu


def learned(zeta: Measure) -> Measure | None:
    """ζ where it has parameters, which ξ trains, else None."""
    return zeta if any(True for _ in zeta.parameters()) else None
