"""Standard errors cover what they claim, unbiased metrics are unbiased, floors are floors: over many resamples."""

import statistics

import pytest
import torch

from ot_gen import Euclidean, SquaredEuclidean
from ot_gen.evaluation import (
    ClassError,
    Coverage,
    CubicKernel,
    Density,
    EnergyKernel,
    ExactTransport,
    FrechetDistance,
    GaussianScales,
    MeanDiscrepancy,
    Memorisation,
    ModeCoverage,
    Precision,
    Recall,
    SinkhornDistance,
    SlicedTransport,
)

N, REPEATS = 100, 100
POINTS = {
    "w1": ExactTransport(Euclidean()),
    "w2_squared": ExactTransport(SquaredEuclidean()),
    "sinkhorn": SinkhornDistance(0.1),
    "sliced": SlicedTransport(50),
    "mmd": MeanDiscrepancy(GaussianScales(2.0)),
    "energy": MeanDiscrepancy(EnergyKernel()),
    "kernel": MeanDiscrepancy(CubicKernel()),
    "frechet": FrechetDistance(),
    "precision": Precision(),
    "recall": Recall(),
    "density": Density(),
    "coverage": Coverage(),
}
LABELS = {"class_error": ClassError(), "mode_coverage": ModeCoverage()}
UNEVEN = torch.tensor([0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.025, 0.025])


def resampled(metric, draw_x, draw_y):
    return [metric.estimate(draw_x(), draw_y()) for _ in range(REPEATS)]


def gaussian(scale=1.0, shift=0.0, d=2):
    return lambda: scale * torch.randn(N, d) + shift


def classes(p):
    return lambda: torch.multinomial(p, N, replacement=True)


def assert_honest(found, truth):
    """Intervals of ±2 errors cover the truth nine times in ten, and are not wide for nothing."""
    covered = sum(abs(value - truth) <= 2 * se for value, se in found)
    spread = statistics.stdev(value for value, _ in found)
    assert covered >= 0.9 * REPEATS
    assert statistics.fmean(se for _, se in found) < 2.5 * spread


@pytest.mark.slow
@pytest.mark.parametrize("name", POINTS)
@pytest.mark.parametrize("model", [gaussian(), gaussian(0.8, 0.5)], ids=["equal laws", "different laws"])
def test_the_errors_of_a_metric_of_points_cover_its_mean(name, model):
    found = resampled(POINTS[name], model, gaussian())
    assert_honest(found, statistics.fmean(value for value, _ in found))


@pytest.mark.parametrize("name", LABELS)
def test_the_errors_of_a_metric_of_classes_cover_its_mean(name):
    found = resampled(LABELS[name], classes(UNEVEN), classes(torch.full((10,), 0.1)))
    assert_honest(found, statistics.fmean(value for value, _ in found))


def test_the_errors_of_memorisation_cover_one_for_new_samples():
    train = torch.randn(400, 2)
    found = [Memorisation().estimate(torch.randn(N, 2), torch.randn(N, 2), train) for _ in range(REPEATS)]
    assert_honest(found, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mmd", "energy", "kernel"])
def test_a_kernel_metric_is_unbiased_at_every_size(name):
    metric = POINTS[name]
    few = [metric(torch.randn(6, 2) + 0.5, torch.randn(9, 2)) for _ in range(1000)]
    error = statistics.stdev(few) / len(few) ** 0.5
    large = metric.estimate(torch.randn(1500, 2) + 0.5, torch.randn(1500, 2))
    assert abs(statistics.fmean(few) - large.value) < 4 * (error**2 + large.se**2) ** 0.5
    null = [metric(torch.randn(6, 2), torch.randn(9, 2)) for _ in range(1000)]
    assert abs(statistics.fmean(null)) < 4 * statistics.stdev(null) / len(null) ** 0.5
    assert min(null) < 0


def test_the_errors_of_the_kernel_metrics_cover_the_laws_own_value():
    shift = 1.5  # energy distance of N(0, 1) and N(s, 1): 2 E|X − Y| − 2 · 2/√π, X − Y ~ N(s, 2)
    normal = torch.distributions.Normal(0.0, 1.0)
    r = torch.tensor(shift / 2**0.5)
    mean = 2 * 2**0.5 * float(normal.log_prob(r).exp()) + shift * float(1 - 2 * normal.cdf(-r))
    truth = 2 * mean - 4 / torch.pi**0.5
    found = resampled(POINTS["energy"], gaussian(1.0, shift, 1), gaussian(d=1))
    assert_honest(found, truth)


def test_the_error_of_a_share_of_one_is_not_zero():
    x = torch.randn(50, 2)
    found = Precision().estimate(x, x)
    assert found.value == 1 and 0.01 < found.se < 0.05


@pytest.mark.slow
def test_the_errors_shrink_like_the_root_of_the_sample():
    for metric in (POINTS["w1"], POINTS["frechet"], POINTS["energy"]):
        small, large = (
            statistics.fmean(metric.estimate(torch.randn(n, 2) + 1, torch.randn(n, 2)).se for _ in range(8))
            for n in (50, 800)
        )
        assert 2.8 < small / large < 5.6  # √16 = 4
