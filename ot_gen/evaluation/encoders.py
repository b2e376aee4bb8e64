"""The bridge from the relaxed primal problem to likelihood: an encoder model in numbers, on held-out points."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, cast, final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from ot_gen.arguments import Count, Interval, checked
from ot_gen.costs import BernoulliNLL, Cost, NegativeLogLikelihood, SquaredEuclidean
from ot_gen.couplings import iwae_bound
from ot_gen.display import card, facts, in_words, record_line
from ot_gen.divergences import MMD, Divergence, InverseMultiquadric, SinkhornDivergence
from ot_gen.evaluation.information import (
    MonteCarlo,
    active_units,
    aggregate_kl,
    conditional_kl,
    has_density,
    mutual_information,
)
from ot_gen.evaluation.likelihood import LogLikelihood, check_encoder, log_weights
from ot_gen.execution import by_old_name, keyword_only, reordered
from ot_gen.measures import Dirac, Empirical, Measure, Pushforward, Reference, undisturbed

Points = Annotated[int, Interval(2, 10**9)]
Variance = Annotated[float, Interval(1e-20, 1e20)]


@final
class EncoderJudgement(NamedTuple):
    """An encoder model in numbers: what the coupling costs, how far its codes are from ζ, and what it bounds.

    None of these bounds W_c(μ, ν): the encoder's coupling has the marginal q̄ = E_y q(·|y), not ζ. Figures that need a
    density of the codes are None for a deterministic encoder, whose KL is infinite. Figures that need a likelihood
    are None where the cost is not one.

    Attributes:
        n: held-out points of `reconstruction` and `active_units`.
        reconstruction: E_y E_{z ~ q(·|y)} c(g(z), y), in units of the cost, one code each.
        active_units: coordinates of z with Var_y(E_q z_l) > 0.01, out of `latent_dim`.
        mismatch_n: held-out points of the next figures, one code each, against as many draws of ζ.
        mmd: MMD², U-statistic with the multi-scale inverse multiquadric kernel; unbiased, so it may be negative.
        sinkhorn: the debiased Sinkhorn divergence, with ε a tenth of ζ's total variance; biased upwards.
        mmd_floor, sinkhorn_floor: the same between two samples of ζ: what a perfect q̄ would score.
        information_n: held-out points of the next figures, all in nats.
        conditional_kl: E_y KL(q(·|y) ‖ ζ), an upper bound of `aggregate_kl`; its error is 0 where it is in closed form.
        aggregate_kl: KL(q̄ ‖ ζ) with q̄ over exactly these points; above that of the law behind them.
        mutual_information: I(z; y) for y uniform on exactly these points; at most log information_n. A value near this
            limit says only that the codes distinguish all points.
        gap: aggregate_kl + mutual_information − conditional_kl, 0 up to `gap_se`: the three are drawn independently.
        likelihood_n: held-out points of the next figures, in nats per point.
        samples: K, codes for each of these points.
        negative_elbo: −ELBO, in expectation an upper bound of −log p(y) under decoder and ζ.
        negative_iwae: the importance-weighted bound of K samples, at most `negative_elbo`; still an upper bound.

    `gap_se` and the others are standard errors of means. Those of the two bounds are over points; they do not measure
    the slack of the bounds.
    """

    n: int
    reconstruction: float
    active_units: int
    latent_dim: int
    mismatch_n: int
    mmd: float
    mmd_floor: float
    sinkhorn: float
    sinkhorn_floor: float
    information_n: int | None = None
    conditional_kl: float | None = None
    conditional_kl_se: float | None = None
    aggregate_kl: float | None = None
    aggregate_kl_se: float | None = None
    mutual_information: float | None = None
    mutual_information_se: float | None = None
    gap: float | None = None
    gap_se: float | None = None
    likelihood_n: int | None = None
    samples: int | None = None
    negative_elbo: float | None = None
    negative_elbo_se: float | None = None
    negative_iwae: float | None = None
    negative_iwae_se: float | None = None

    def __repr__(self) -> str:
        return record_line(self, **{name: None for name, value in self._asdict().items() if value is None})

    def _repr_html_(self) -> str:
        values = {name.replace("_", " "): in_words(v) for name, v in self._asdict().items() if v is not None}
        return card("Encoder", f"{self.n:,} held-out points", facts(values))

    def __getattr__(self, name: str) -> float | None:
        """`gap_error` and the others are the old names of `gap_se` and the others."""
        se = f"{name.removesuffix('_error')}_se"
        if name.endswith("_error") and se in self._fields:
            return cast("float | None", by_old_name(self, name, se))
        raise AttributeError(f"an EncoderJudgement has no attribute {name!r}")


@reordered(
    *("mu", "encoder", "cost", "nu", "variance", "n", "mismatch_n", "likelihood_n", "samples", "seed"),
    former_order=lambda second: isinstance(second, nn.Module) and not isinstance(second, Measure),
)
@keyword_only
@checked
def judge_encoder(
    mu: Pushforward,
    nu: Empirical,
    cost: Cost,
    encoder: nn.Module,
    *,
    variance: Variance | None = None,
    n: Points = 2000,
    mismatch_n: Points = 1000,
    likelihood_n: Points = 500,
    samples: Count = 64,
    seed: int = 0,
) -> EncoderJudgement:
    """Judge an encoder model on held-out points. Neither the caller's random state nor any module's mode changes.

    The likelihood is that of a decoder with noise, whatever the cost. Without such a decoder it is read off the cost.
    `BernoulliNLL` is −log p(y|z) itself, a log-probability of binary y. For grey y it is not normalised, and compares
    only with itself. ‖g(z) − y‖² with a variance σ² stands for N(g(z), σ² I):

        −log p(y|z) = ‖g(z) − y‖² / (2σ²) + (d/2) log(2πσ²)

    Args:
        mu: the model g#ζ.
        nu: held-out points.
        cost: the ground cost c.
        encoder: y (n, d) -> q(·|y), a torch `Distribution` with batch_shape (n,) and event_shape (k,).
        variance: σ² where the squared cost stands for a Gaussian decoder: λ/2 for a VAE of weight λ; None where it
            does not. Ignored for other costs.
        n: points, at most len(nu). For a posterior that is not Gaussian, information is measured on at most 128 points,
            as it takes n² densities.
        mismatch_n: codes compared with draws of ζ, at most n.
        likelihood_n: points whose likelihood is bounded, at most n.
        samples: K, codes for each of these points.
        seed: of points and codes.

    Raises:
        ValueError: fewer than two points or a variance that is not positive.

    Source: Hoffman, Johnson, 2016, ELBO surgery, http://approximateinference.org/accepted/HoffmanJohnson2016.pdf;
    Burda, Grosse, Salakhutdinov, 2016, https://arxiv.org/abs/1509.00519

    Example:
        >>> from ot_gen import standard_gaussian
        >>> from ot_gen import GaussianEncoder
        >>> mu = Pushforward(nn.Linear(2, 3), standard_gaussian(2))
        >>> encoder, nu = GaussianEncoder(nn.Linear(3, 4)), Empirical(torch.randn(50, 3))
        >>> judgement = judge_encoder(mu, nu, SquaredEuclidean(), encoder, variance=1.0)
        >>> judgement.n, abs(judgement.gap) < 5 * judgement.gap_se, judgement.negative_iwae <= judgement.negative_elbo
        (50, True, True)
    """
    n = min(n, len(nu))
    with undisturbed(mu, encoder, cost):
        torch.manual_seed(seed)
        y = nu.rows[torch.randperm(len(nu), device=nu.rows.device)[:n]]
        check_encoder(encoder, y, mu.base.dim)
        q = encoder(y)
        log_likelihood = _log_likelihood(mu, cost, variance)
        return EncoderJudgement(
            n=n,
            reconstruction=float(_decoded_cost(mu, cost, q.sample(), y).mean()),
            active_units=active_units(q.mean),
            latent_dim=mu.base.dim,
            **_mismatch(q.sample()[:mismatch_n], mu.base),
            **_information(encoder, mu.base, y),
            **_likelihood(encoder, mu.base, log_likelihood, y[:likelihood_n], samples),
        )


def _decoded_cost(mu: Pushforward, cost: Cost, z: Tensor, y: Tensor) -> Tensor:
    """c(g(z), y), (n,): the one place where codes are decoded."""
    return cost.decoded(mu.decode(z), y)


def _log_likelihood(mu: Pushforward, cost: Cost, variance: float | None) -> LogLikelihood | None:
    """(z, y) -> log p(y|z), or None where neither the decoder nor the cost defines one."""
    if isinstance(mu.decode(mu.base.sample(2)), Distribution):
        return lambda z, y: NegativeLogLikelihood().decoded(mu.decode(z), y).neg()
    if isinstance(cost, BernoulliNLL):
        return lambda z, y: -_decoded_cost(mu, cost, z, y)
    if isinstance(cost, SquaredEuclidean) and variance is not None:
        constant = mu.dim / 2 * math.log(2 * math.pi * variance)
        return lambda z, y: -_decoded_cost(mu, cost, z, y) / (2 * variance) - constant
    return None


def _mismatch(codes: Tensor, zeta: Measure) -> dict[str, Any]:
    n = len(codes)
    scale = float(zeta.sample(1000).var(dim=0).sum())
    figures: dict[str, Any] = {"mismatch_n": n}
    divergences: dict[str, Divergence] = {
        "mmd": MMD(InverseMultiquadric()),
        "sinkhorn": SinkhornDivergence(epsilon=0.1 * scale),
    }
    for name, divergence in divergences.items():
        for key, points in ((name, codes), (f"{name}_floor", zeta.sample(n).to(codes))):
            figures[key] = float(divergence(Dirac(points), zeta))
    return figures


def _information(encoder: nn.Module, zeta: Measure, y: Tensor) -> dict[str, Any]:
    q = encoder(y)
    if not (isinstance(zeta, Reference) and has_density(q)):
        return {}
    if not _is_gaussian(q):
        y = y[:128]
        q = encoder(y)
    figures = {
        "conditional_kl": conditional_kl(q, zeta),
        "aggregate_kl": aggregate_kl(q, zeta),
        "mutual_information": mutual_information(q),
    }
    conditional, aggregate, information = figures.values()
    gap = aggregate.mean + information.mean - conditional.mean
    figures["gap"] = MonteCarlo(gap, math.hypot(conditional.se, aggregate.se, information.se))
    return {"information_n": len(y)} | _with_errors(figures)


def _likelihood(
    encoder: nn.Module, zeta: Measure, log_likelihood: LogLikelihood | None, y: Tensor, samples: int
) -> dict[str, Any]:
    if log_likelihood is None or not (isinstance(zeta, Reference) and has_density(encoder(y))):
        return {}
    log_w = log_weights(encoder, zeta, log_likelihood, y, samples).double()
    bounds = {"negative_elbo": -log_w.mean(dim=0), "negative_iwae": -iwae_bound(log_w)}
    figures = {
        name: MonteCarlo(float(bound.mean()), float(bound.std() / math.sqrt(len(bound))))
        for name, bound in bounds.items()
    }
    return {"likelihood_n": len(y), "samples": samples} | _with_errors(figures)


def _with_errors(figures: Mapping[str, MonteCarlo]) -> dict[str, Any]:
    means = {name: figure.mean for name, figure in figures.items()}
    return means | {f"{name}_se": figure.se for name, figure in figures.items()}


def _is_gaussian(q: Distribution) -> bool:
    return isinstance(q, MultivariateNormal) or (isinstance(q, Independent) and isinstance(q.base_dist, Normal))
