"""The certificate under heavy tails: it doubts a level that is not warranted, and what is known of μ warrants one."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from test_certificate import PROBLEMS, cloud, least
from torch import nn

from ot_gen import (
    Ball,
    Box,
    Empirical,
    Euclidean,
    FeatureCost,
    Lp,
    MomentBound,
    SquaredEuclidean,
    c_transform,
    certify,
    exact_plan,
    standard_gaussian,
)
from ot_gen.costs import InnerProduct
from ot_gen.evaluation.concentration import bernstein
from ot_gen.evaluation.guarantee import Guarantee
from ot_gen.evaluation.tails import Tails

QUICK = {"max_samples": 2**13, "width": 0.05}
NU = Empirical(cloud(20, 1))


class Law:
    """Independent samples on the line, by the quantiles of a law of scipy.stats."""

    def __init__(self, quantile):
        self.quantile = quantile

    def sample(self, n):
        return torch.from_numpy(self.quantile(torch.rand(n, dtype=torch.float64).numpy())).float()[:, None]

    def value(self, power):
        """W of the law and NU: the mean of |F⁻¹(u) − y(u)|^power over a grid of u, for laws without tails."""
        u = (torch.arange(400_000, dtype=torch.float64) + 0.5) / 400_000
        y = NU.atoms[:, 0].double().sort().values[(u * len(NU)).long()]
        return float((torch.from_numpy(self.quantile(u.numpy())) - y).abs().pow(power).mean())


def cut(part, low, high):
    """A law given that it lies in [low, high]."""
    below, mass = part.cdf(low), part.cdf(high) - part.cdf(low)
    return Law(lambda u: part.ppf(below + mass * u))


LIGHT = {
    "normal": Law(stats.norm().ppf),
    "uniform": Law(stats.uniform(-2, 4).ppf),
    "two parts": Law(lambda u: 2 * u + 5 * (u > 0.5)),
}
HEAVY = {
    "t(2.5), W2": (Law(stats.t(2.5).ppf), SquaredEuclidean()),
    "log-normal(1.5), W2": (Law(stats.lognorm(1.5).ppf), SquaredEuclidean()),
    "Pareto(1.2), W1": (Law(stats.pareto(1.2).ppf), Euclidean()),
}


# Detection


@pytest.mark.parametrize("rows", [False, True], ids=["sampler", "rows"])
@pytest.mark.parametrize("name", LIGHT)
def test_light_tails_are_not_doubted(name, rows):
    for seed in range(4):
        torch.manual_seed(seed)
        mu = LIGHT[name].sample(1000) if rows else LIGHT[name]
        for cost in (Euclidean(), SquaredEuclidean()):
            certificate = certify(mu, NU, cost, seed=seed, **QUICK)
            assert certificate.warranted and certificate.doubt is None, certificate.doubt
            assert "not warranted" not in str(certificate)


@pytest.mark.parametrize("rows", [False, True], ids=["sampler", "rows"])
@pytest.mark.parametrize("name", HEAVY)
def test_heavy_tails_are_doubted_in_words(name, rows):
    mu, cost = HEAVY[name]
    for seed in range(4):
        torch.manual_seed(seed)
        certificate = certify(mu.sample(1000) if rows else mu, NU, cost, seed=seed, **QUICK)
        assert not certificate.warranted
        assert "variance" in certificate.doubt and f"not warranted: {certificate.doubt}" in str(certificate)


@pytest.mark.parametrize("dim", [1, 2])
def test_one_far_row_is_enough_for_a_doubt_wherever_the_split_puts_it(dim):
    x, nu = torch.randn(1000, dim), Empirical(cloud(10, dim))
    x[17] += 1000
    for seed in range(3):
        assert not certify(x, nu, Euclidean(), seed=seed, max_samples=2**11, width=0.5).warranted


def test_data_are_doubted_as_the_model_is():
    reference = Law(stats.t(2.1).ppf).sample(1000)
    certificate = certify(standard_gaussian(1), NU, SquaredEuclidean(), reference=reference, **QUICK)
    assert certificate.warranted and not certificate.reference.warranted


@pytest.mark.parametrize("n", [250, 1000, 5000])
def test_squares_of_normals_are_hardly_ever_doubted_and_those_of_heavy_tails_mostly(n):
    doubted = {"normal": 0, "t(2.5)": 0}
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        u = torch.rand(n, generator=generator, dtype=torch.float64).numpy()
        for name, x in {"normal": stats.norm.ppf(u), "t(2.5)": stats.t(2.5).ppf(u)}.items():
            tails = Tails()
            tails.add(torch.from_numpy(x).square())
            doubted[name] += tails.doubt() is not None
    assert doubted["normal"] <= 2 and doubted["t(2.5)"] >= (50 if n < 1000 else 90), doubted


@pytest.mark.parametrize("gamma", [-0.5, 0.0, 0.4, 0.8])
def test_the_tail_index_is_that_of_the_law(gamma):
    u = (torch.arange(10**5, dtype=torch.float64) + 0.5) / 10**5
    values = torch.from_numpy(stats.genpareto(gamma).ppf(u.numpy()))
    tails, mirrored = Tails(), Tails()
    for part in values[torch.randperm(len(values))].split(10_000):
        tails.add(part + 7)
        mirrored.add(3 - part)
    assert tails.upper().gamma == pytest.approx(gamma, abs=0.12) == mirrored.lower().gamma
    assert tails.upper().share == pytest.approx(
        float((values.max() - values.mean()) ** 2 / values.var()) / 1e5, rel=0.01
    )


# What is known of μ


KNOWN = {
    "uniform, W1": (LIGHT["uniform"], 1, Box(-2.0, 2.0)),
    "uniform, W2": (LIGHT["uniform"], 2, Ball(2.0)),
    "t(2.5) cut, W2": (cut(stats.t(2.5), -30, 30), 2, Ball(30.0)),
    "log-normal(1.5) cut, W1": (cut(stats.lognorm(1.5), 0, 100), 1, Box(0.0, 100.0)),
    "log-normal(1.5) cut, W2": (cut(stats.lognorm(1.5), 0, 100), 2, Box([0.0], [100.0])),
    "t(2.5) cut, W1, moment": (cut(stats.t(2.5), -30, 30), 1, MomentBound(2.0, 5.0)),
    "uniform, W2, moment": (LIGHT["uniform"], 2, MomentBound(4.0, 16 / 5)),
}


@pytest.mark.slow
@pytest.mark.parametrize("rows", [False, True], ids=["sampler", "rows"])
@pytest.mark.parametrize("name", KNOWN)
def test_a_true_bound_warrants_the_level(name, rows):
    mu, power, assuming = KNOWN[name]
    cost, value = {1: Euclidean(), 2: SquaredEuclidean()}[power], mu.value(power)
    held = 0
    for seed in range(10):
        torch.manual_seed(seed)
        given = mu.sample(1000) if rows else mu
        certificate = certify(given, NU, cost, seed=seed, assuming=assuming, **QUICK)
        low, high = certificate.interval
        held += low <= value <= high
        assert certificate.warranted and certificate.assuming is assuming and str(assuming) in str(certificate)
    assert held >= least(10, 0.95)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["discrete W1", "discrete W2"])
def test_a_bound_holds_in_the_plane_and_narrows_with_samples(name):
    mu, nu, cost, value = PROBLEMS[name]
    ball = Ball(float((mu.atoms - 0.5).norm(dim=1).max()), centre=[0.5, 0.5])
    few, many = (certify(mu, nu, cost, assuming=ball, max_samples=n, width=1e-3) for n in (2**11, 2**14))
    for certificate in (few, many):
        assert certificate.interval[0] <= value <= certificate.interval[1]
    assert many.interval[1] - many.interval[0] < 0.7 * (few.interval[1] - few.interval[0])


@given(st.floats(0.01, 0.99), st.integers(10, 200))
@settings(max_examples=20, deadline=None)
def test_bernsteins_bound_is_that_of_maurer_and_pontil(p, n):
    """Of two values their miss is a sum of binomial probabilities, which the bound must keep below δ."""
    delta = 0.05
    k = torch.arange(n + 1, dtype=torch.float64)
    means, variances = k / n, k * (n - k) / (n * (n - 1))
    missed = [
        mean + bernstein(float(v), 1.0, n, math.log(2 / delta)) < p for mean, v in zip(means, variances, strict=True)
    ]
    assert stats.binom.pmf(k.numpy()[missed], n, p).sum() <= delta


@pytest.mark.parametrize("region", [Ball(2.0, centre=0.5), Box([-1.0, 0.0], [2.0, 1.5])], ids=str)
@pytest.mark.parametrize("cost", [SquaredEuclidean(), Euclidean(), Lp(1.0), Lp(4.0)], ids=str)
def test_no_c_transform_varies_more_than_is_said(cost, region):
    y, x = 3 * cloud(15, 2, seed=1), region.nearest(5 * cloud(500, 2, seed=2))
    guarantee = Guarantee.of(region, cost, y, 1000, 0.95)
    spread = guarantee.spread(x)(x)
    for seed in range(5):
        table = 10 * cloud(15, 1, seed=seed)[:, 0]
        h, at_middle = c_transform(cost, x, y, table)[0], c_transform(cost, x.mean(dim=0)[None], y, table)[0]
        assert float(h.max() - h.min()) <= guarantee.span + 1e-4
        assert bool(((h - at_middle).abs() <= spread + 1e-4).all())
    assert float((region.nearest(y)[:, None] - y).norm(dim=2).max()) <= float(region.farthest(y).max()) + 5


@given(st.integers(0, 10**6), st.sampled_from([(Euclidean(), 1.5), (SquaredEuclidean(), 3.0), (Lp(1.0), 2.0)]))
@settings(max_examples=15, deadline=None)
def test_cutting_off_what_a_moment_allows_moves_the_value_no_more_than_is_said(seed, given):
    cost, order = given
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(12, 2, generator=generator).double() / torch.rand(12, 1, generator=generator).double()
    y = torch.randn(6, 2, generator=generator).double()
    bound = MomentBound(order, float(x.norm(dim=1).pow(order).mean()))
    moved = bound.truncation(cost.growth(2), y, int(10 ** (1 + seed % 5)), 4.0)
    before, after = (float(exact_plan(cost.matrix(points, y)).value) for points in (x, moved.moved(x)))
    assert abs(before - after) <= moved.bias * (1 + 1e-9)


def test_a_sample_outside_of_the_support_refutes_it():
    for mu in (standard_gaussian(2), torch.randn(500, 2)):
        with pytest.raises(ValueError, match=r"Ball\(1\): a sample of mu lies .* outside of it"):
            certify(mu, Empirical(cloud(5, 2)), Euclidean(), assuming=Ball(1.0), **QUICK)


@pytest.mark.parametrize(
    ("assuming", "cost", "said"),
    [
        (Ball(9.0), InnerProduct(), "growth"),
        (Ball(9.0), FeatureCost(nn.Identity(), Euclidean()), "growth"),
        (MomentBound(2.0, 1.0), SquaredEuclidean(), "order > 2"),
        (MomentBound(1.0, 1.0), Euclidean(), "order > 1"),
        (Ball(9.0, centre=[0.0, 0.0]), Euclidean(), "2 coordinates and the points have 1"),
        (Box([-9.0] * 3, 9.0), Euclidean(), "3 coordinates and the points have 1"),
        (9.0, Euclidean(), "a Ball, a Box or a MomentBound"),
    ],
)
def test_an_assumption_that_says_nothing_of_the_problem_is_refused(assuming, cost, said):
    with pytest.raises(ValueError, match=said):
        certify(LIGHT["uniform"], NU, cost, assuming=assuming, **QUICK)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Ball(0.0), "radius must be a number > 0"),
        (lambda: Ball(math.inf), "radius must be a number > 0 \\(finite\\)"),
        (lambda: Ball(1.0, centre=math.nan), "centre"),
        (lambda: Box(1.0, 1.0), "low < high"),
        (lambda: Box([0.0, 0.0], [1.0]), "one a column"),
        (lambda: Box(-math.inf, 1.0), "low must be"),
        (lambda: MomentBound(0.0, 1.0), "order must be a number > 0"),
        (lambda: MomentBound(2.0, math.inf), "bound must be a number > 0"),
    ],
)
def test_a_bound_that_is_none_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


# The lower end


@pytest.mark.slow
def test_a_cost_that_is_not_negative_has_no_negative_end():
    nu = Empirical(cloud(20, 2))
    for cost in (Euclidean(), FeatureCost(nn.Identity(), SquaredEuclidean())):
        low, high = certify(nu, nu, cost, max_samples=2**10, max_seconds=0.3).interval
        assert low == 0.0 < high
    assert certify(nu, nu, InnerProduct(), max_samples=2**10, max_seconds=0.3).interval[1] < 0
