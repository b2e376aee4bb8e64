"""The information that codes hold about data, in nats: KL of posteriors and aggregate, mutual information, units.

All figures are of the empirical law of the N points whose posteriors are given, with aggregate q̄ = 1/N Σ_i q(·|y_i):

    1/N Σ_i KL(q(·|y_i) ‖ ζ)  =  KL(q̄ ‖ ζ)  +  I(z; y)

The left side is what a VAE pays; the constraint P1#π = ζ requires the first term on the right to be 0. Each estimator
draws codes of its own, so the sum on the right checks all three.
"""

from __future__ import annotations

import math
from typing import NamedTuple, final

import torch
from torch import Tensor
from torch.distributions import Distribution

from ot_gen.arguments import Cloud, Count, Nonnegative, checked
from ot_gen.divergences import closed_kl, log_ratio
from ot_gen.execution import by_old_name
from ot_gen.measures import Reference, check_cloud, log_density, widened

CHUNK = 2**20  # numbers at a time: the densities of all codes under all posteriors never stand in memory at once


@final
class MonteCarlo(NamedTuple):
    """A mean over the N points and a standard error of it, which is an upper bound: the points themselves are fixed."""

    mean: float
    se: float

    @property
    def error(self) -> float:
        """The old name of `se`."""
        return float(by_old_name(self, "error", "se"))


def has_density(q: Distribution) -> bool:
    """Whether q has a density, so that its KL divergences can be finite; a deterministic encoder's law has none.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> has_density(Independent(Normal(torch.zeros(3, 2), 1.0), 1))
        True
    """
    try:
        q.log_prob(q.sample())
    except NotImplementedError:
        return False
    return True


@torch.no_grad()
@checked
def conditional_kl(q: Distribution, zeta: Reference, draws: Count = 1) -> MonteCarlo:
    """1/N Σ_i KL(q(·|y_i) ‖ ζ): in closed form, with error 0, where torch has one, else by Monte Carlo.

    An upper bound of KL(q̄ ‖ ζ), positive even where q̄ is ζ.

    Args:
        q: the posteriors, batch_shape (N,), event_shape (k,).
        zeta: ζ on R^k.
        draws: codes drawn of each posterior where there is no closed form.

    Raises:
        ValueError: q has no density.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> from ot_gen import standard_gaussian
        >>> q = Independent(Normal(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), 1.0), 1)
        >>> conditional_kl(q, standard_gaussian(2))  # the mean of 25 / 2 and 0
        MonteCarlo(mean=6.25, se=0.0)
    """
    _check(q, zeta)
    exact = closed_kl(q, zeta)
    if exact is not None:
        return MonteCarlo(float(exact.mean()), 0.0)
    return _mean(log_ratio(q, zeta, q.sample(torch.Size((draws,)))))


@torch.no_grad()
@checked
def aggregate_kl(q: Distribution, zeta: Reference, draws: Count = 1) -> MonteCarlo:
    """KL(q̄ ‖ ζ) = E_{z ~ q̄} [log q̄(z) − log ζ(z)], q̄ = 1/N Σ_i q(·|y_i) exactly: unbiased for these N points.

    As an estimate for the law behind the points it is biased upwards, as a mixture of few posteriors is further from
    ζ than one of many. Its cost is N² · draws densities.

    Args:
        q: the posteriors, batch_shape (N,), event_shape (k,).
        zeta: ζ on R^k.
        draws: codes drawn of each posterior.

    Raises:
        ValueError: q has no density.

    Source: Hoffman, Johnson, 2016, ELBO surgery, http://approximateinference.org/accepted/HoffmanJohnson2016.pdf

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> from ot_gen import standard_gaussian
        >>> q = Independent(Normal(torch.zeros(5, 2), 1.0), 1)  # each posterior is ζ
        >>> abs(aggregate_kl(q, standard_gaussian(2)).mean) < 1e-6
        True
    """
    _check(q, zeta)
    z = q.sample(torch.Size((draws,)))
    return _mean(_aggregate_log_density(q, z) - log_density(zeta.law, z))


@torch.no_grad()
@checked
def mutual_information(q: Distribution, draws: Count = 1) -> MonteCarlo:
    """I(z; y) = 1/N Σ_i E_{z ~ q(·|y_i)} [log q(z|y_i) − log q̄(z)] for y uniform on these N points: unbiased.

    It lies between 0 and log N. Near log N it says only that the codes distinguish all N points: for the law behind
    the points it may be larger. Its cost is N² · draws densities.

    Args:
        q: the posteriors, batch_shape (N,), event_shape (k,).
        draws: codes drawn of each posterior.

    Raises:
        ValueError: q has no density.

    Source: Hoffman, Johnson, 2016, ELBO surgery, http://approximateinference.org/accepted/HoffmanJohnson2016.pdf

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> q = Independent(Normal(torch.tensor([[-99.0], [99.0]]), 1.0), 1)  # distinguishes two points
        >>> round(mutual_information(q).mean, 4)  # log 2
        0.6931
    """
    _check(q)
    z = q.sample(torch.Size((draws,)))
    return _mean(q.log_prob(z) - _aggregate_log_density(q, z))


@checked
def active_units(means: Cloud, threshold: Nonnegative = 0.01) -> int:
    """The number of latent coordinates l with Var_y(E_q z_l) > threshold.

    Args:
        means: the posteriors' means, (n, k).
        threshold: in squared units of z.

    Source: Burda, Grosse, Salakhutdinov, 2016, https://arxiv.org/abs/1509.00519

    Example:
        >>> active_units(torch.tensor([[1.0, 0.0], [-1.0, 0.01]]))
        1
    """
    check_cloud(means, "means")
    return int((widened(means).var(dim=0) > threshold).sum())


def _aggregate_log_density(q: Distribution, z: Tensor) -> Tensor:
    """log q̄(z) = log 1/N Σ_i q(z|y_i), (s, N, k) -> (s, N)."""
    n, k = z.shape[-2:]
    rows = z.flatten(0, 1).split(max(1, CHUNK // (n * k)))
    densities = torch.cat([log_density(q, part[:, None]).logsumexp(dim=1) for part in rows])
    return densities.reshape(z.shape[:2]) - math.log(n)


def _mean(values: Tensor) -> MonteCarlo:
    """The mean of (draws, N) values, with its standard error."""
    points = values.mean(dim=0)
    return MonteCarlo(float(points.mean()), float(points.std() / math.sqrt(len(points))))


def _check(q: Distribution, zeta: Reference | None = None) -> None:
    if len(q.batch_shape) != 1 or len(q.event_shape) != 1:
        raise ValueError(
            f"posteriors of N points have batch_shape (N,) and event_shape (k,), got {tuple(q.batch_shape)} and "
            f"{tuple(q.event_shape)}; torch.distributions.Independent(law, 1) turns a batch dimension into an event's"
        )
    if zeta is not None and q.event_shape != (zeta.dim,):
        raise ValueError(f"q lives on R^{q.event_shape[0]} and zeta on R^{zeta.dim}; compare laws of one space")
    if not has_density(q):
        raise ValueError(
            f"{type(q).__name__} has no density, its KL divergence and mutual information are infinite; use a Gaussian "
            "encoder, or compare samples of codes (MMD, SinkhornDivergence)"
        )
