"""The claim `unbiased` of each divergence, over resamples of small batches, against the value between the laws.

The codes are N(t, s² I) in the plane, ζ is N(0, I). A claim fails both ways: an unbiased estimate agrees with the value
between the laws within 4 standard errors for every law, a biased one is off by more than 8 for some.
"""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

import ot_gen
from ot_gen import (
    KL,
    MLP,
    MMD,
    AdversarialJS,
    BatchTransport,
    ByLabel,
    CodeNorm,
    CramerWold,
    DebiasedTransport,
    Divergence,
    GaussianKernel,
    InverseMultiquadric,
    MaxSlicedWasserstein,
    MinibatchWeightedKL,
    Reference,
    SinkhornDivergence,
    SlicedWasserstein,
    StratifiedKL,
    WeightedSum,
    standard_gaussian,
)
from ot_gen.evaluation import aggregate_kl

D, N = 2, 8  # dimension, codes in a batch
ZETA = standard_gaussian(D)
SAME, MOVED, WIDE, FAR = (0.0, 1.0), (0.7, 0.5), (0.0, 3.0), (30.0, 1.0)  # (t in each coordinate, s)


def codes(law, n=N):
    t, s = law
    return Independent(Normal(torch.full((n, D), t), s), 1)


def kl(law):
    t, s = law
    return D * ((s**2 - 1) / 2 - math.log(s) + t**2 / 2)


def mean_of_gaussians(u, squared, variance):
    """E exp(−u ‖x‖²) for x ~ N(m, v I), ‖m‖² = squared."""
    return (1 + 2 * u * variance) ** (-D / 2) * np.exp(-u * squared / (1 + 2 * u * variance))


def mean_multiquadric(squared, variance):
    """c / (c + r) = ∫ e^(−w) exp(−w r / c) dw, by Gauss-Laguerre quadrature."""
    w, mass = np.polynomial.laguerre.laggauss(80)
    scales = [2 * D * s for s in InverseMultiquadric().scales]
    return np.mean([mass @ mean_of_gaussians(w / c, squared, variance) for c in scales])


def mean_gaussian(squared, variance):
    return np.mean([mean_of_gaussians(1 / (2 * D * s), squared, variance) for s in GaussianKernel().scales])


def mmd(mean, law):
    t, s = law
    return mean(0.0, 2 * s**2) + mean(0.0, 2.0) - 2 * mean(D * t**2, 1 + s**2)


def on(divergence, law, value, n=N, zeta=ZETA):
    """(a draw of the estimate from n codes, the value between the laws, the error of that value)."""
    return (lambda: divergence(codes(law, n), zeta)), value, 0.0


def in_a_batch(divergence, atoms):
    """Batches of narrow posteriors, against the aggregate of all."""
    y = torch.randn(atoms, D)

    def posteriors(rows):
        return Independent(Normal(rows, torch.full_like(rows, 0.1)), 1)

    value, error = aggregate_kl(posteriors(y), ZETA, draws=4)
    return (lambda: divergence(posteriors(y[torch.randperm(atoms)[:N]]), ZETA)), value, error


def transport(law):
    t, s = law
    return D * (t**2 + (s - 1) ** 2)


def without_closed_form():
    """N(0, I) as a mixture of one."""
    return Reference(
        MixtureSameFamily(
            Categorical(torch.ones(1)), Independent(Normal(torch.zeros(1, D), 1.0, validate_args=False), 1)
        )
    )


multiquadric, gaussian = MMD(InverseMultiquadric()), MMD(GaussianKernel())
CASES = {  # divergence -> its laws; those of biased ones are such that the bias shows
    KL(): lambda d: [
        on(d, MOVED, kl(MOVED)),
        on(d, MOVED, kl(MOVED), zeta=without_closed_form()),
        on(d, WIDE, kl(WIDE), n=2, zeta=without_closed_form()),
    ],
    CodeNorm(): lambda d: [on(d, law, D * (law[0] ** 2 + law[1] ** 2) / 2) for law in (SAME, MOVED)],
    multiquadric: lambda d: [on(d, law, mmd(mean_multiquadric, law), n=3) for law in (SAME, MOVED, WIDE)],
    gaussian: lambda d: [on(d, law, mmd(mean_gaussian, law), n=3) for law in (SAME, MOVED, WIDE)],
    WeightedSum([KL(), multiquadric], [0.5, 2.0]): lambda d: [
        on(d, MOVED, 0.5 * kl(MOVED) + 2 * mmd(mean_multiquadric, MOVED))
    ],
    WeightedSum([KL(), SlicedWasserstein()], [0.5, 2.0]): lambda d: [on(d, SAME, 0.0)],
    MinibatchWeightedKL(256): lambda d: [in_a_batch(d, 256)],
    StratifiedKL(256): lambda d: [in_a_batch(d, 256)],
    SinkhornDivergence(0.1): lambda d: [on(d, SAME, 0.0)],
    SlicedWasserstein(): lambda d: [on(d, SAME, 0.0)],
    MaxSlicedWasserstein(): lambda d: [on(d, SAME, 0.0)],
    BatchTransport(): lambda d: [on(d, SAME, 0.0)],
    DebiasedTransport(): lambda d: [on(d, SAME, 0.0), on(d, WIDE, 2 * transport(WIDE))],
    CramerWold(): lambda d: [on(d, SAME, 0.0)],
    AdversarialJS(MLP(D, 1, hidden=(8,))): lambda d: [on(d, FAR, math.log(2))],
}


def deviation(draw, value, error, repeats=200):
    """By how many standard errors the mean of the estimates is off."""
    values = torch.stack([draw() for _ in range(repeats)]).double()
    se = math.hypot(float(values.std()) / math.sqrt(repeats), error, 1e-6 * abs(value))
    return abs(float(values.mean()) - value) / se


def test_every_divergence_is_examined():
    public = {thing for name in ot_gen.__all__ if isinstance(thing := getattr(ot_gen, name), type)}
    public -= {Divergence, ByLabel}  # the second is one of the others, class by class
    assert {type(divergence) for divergence in CASES} == {c for c in public if issubclass(c, Divergence)}


@pytest.mark.slow
@pytest.mark.parametrize("divergence", CASES, ids=lambda d: type(d).__name__)
@torch.no_grad()
def test_the_claim_to_be_unbiased_is_true(divergence):
    worst = max(deviation(*case) for case in CASES[divergence](divergence))
    assert worst < 4 if divergence.unbiased else worst > 8


@pytest.mark.slow
@torch.no_grad()
def test_debiased_transport_is_unbiased_where_it_matters_for_every_size_and_for_every_translation():
    """At equal laws, and for W₂² at translations, whose pairing costs nothing: only other shapes show a bias."""
    for n in (2, 4, 16):
        assert deviation(*on(DebiasedTransport(), SAME, 0.0, n=n)) < 4
        assert deviation(*on(DebiasedTransport(), (0.7, 1.0), 2 * transport((0.7, 1.0)), n=n)) < 4
