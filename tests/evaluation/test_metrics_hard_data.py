"""Metrics on data that are legal and hard: copies, integers, constant columns, a line, few points, any order."""

import math
from typing import final

import pytest
import torch
from test_metrics import METRICS, clouds

from ot_gen import Empirical, Euclidean
from ot_gen.evaluation import (
    Coverage,
    Density,
    ExactTransport,
    Memorisation,
    Metric,
    Metrics,
    MetricValue,
    Precision,
    Recall,
    View,
)
from ot_gen.measures import Measure

SHARES = {"precision": Precision(3), "recall": Recall(3), "density": Density(3), "coverage": Coverage(3)}
DRAWS = {
    "integers": lambda n: torch.randint(0, 3, (n, 3)).double(),
    "copies": lambda n: torch.randn(4, 2).double()[torch.randint(4, (n,))],
    "a constant column": lambda n: torch.cat([torch.randn(n, 2), torch.full((n, 1), 1e6)], dim=1),
    "one point": lambda n: torch.full((n, 2), 1234.567),
    "a line": lambda n: torch.randn(n, 1),
    "more columns than rows": lambda n: torch.randn(n, 50),
    "classes": lambda n: torch.eye(10)[torch.randint(10, (n,))],
    "far away": lambda n: torch.randn(n, 2) + 1e6,
}


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("kind", DRAWS)
def test_legal_data_have_a_finite_value_and_error(kind, name):
    metric = METRICS[name]
    for n in (metric.least, 30):
        x, y = DRAWS[kind](n), DRAWS[kind](n)
        for model in (x, y, x[:1].expand(n, -1)):
            assert all(map(math.isfinite, metric.estimate(model, y)))


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("kind", DRAWS)
def test_a_share_and_its_error_do_not_depend_on_the_order_of_the_points(kind, name):
    x, y = DRAWS[kind](40), DRAWS[kind](30)
    value, se = SHARES[name].estimate(x, y)
    for _ in range(3):
        other = SHARES[name].estimate(x[torch.randperm(40)], y[torch.randperm(30)])
        assert other.value == pytest.approx(value, rel=1e-12) and other.se == pytest.approx(se, rel=1e-9)


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("draw", [lambda n: torch.randn(n, 2).double(), DRAWS["integers"], DRAWS["copies"]])
def test_the_error_of_a_share_is_the_jackknifes(name, draw):
    share, x, y = SHARES[name], draw(15), draw(12)
    without = (
        torch.tensor([share(torch.cat([x[:i], x[i + 1 :]]), y) for i in range(15)]),
        torch.tensor([share(x, torch.cat([y[:j], y[j + 1 :]])) for j in range(12)]),
    )
    squared = sum(float((T - T.mean()).square().sum()) * (len(T) - 1) / len(T) for T in without)
    value, se = share.estimate(x, y)
    p = (12 * min(value, 1) + 1) / 14
    assert se == pytest.approx(max(squared, p * (1 - p) / 12) ** 0.5, rel=1e-5)


def test_copies_lie_in_balls_of_radius_zero_whatever_rounding_says():
    atoms = torch.randn(5, 40).double() + 100
    x, y = atoms.repeat(20, 1), atoms.repeat(20, 1)[torch.randperm(100)]
    assert [metric(x, y) for metric in (Precision(), Recall(), Coverage())] == [1.0, 1.0, 1.0]
    assert Precision()(x + 1e-3, y) == 0.0  # the centre's rounding is not the data's scale


@pytest.mark.parametrize("side", ["model", "data"])
def test_one_outlier_does_not_widen_the_balls_of_others(side):
    x, y = clouds()
    (x if side == "model" else y)[-1] = 1e9
    own = (y[:, None] - y).norm(dim=2).sort(dim=1).values[:, 3]
    inside = (x[:, None] - y).norm(dim=2) <= own
    own_ball = 1 if side == "data" else 0  # seen from an outlier, all others are equally far
    assert Density(3)(x, y) == pytest.approx(float(inside.sum()) / 180, abs=own_ball / 3 + 1e-9)
    assert Coverage(3)(x, y) == pytest.approx(float(inside.any(dim=0).double().mean()), abs=own_ball / 60 + 1e-9)


def test_words_of_earlier_versions_are_taken_and_said_to_mean_nothing():
    with pytest.warns(DeprecationWarning, match="Recall: groups and seed mean nothing any more"):
        metric = Recall(groups=20, seed=3)
    assert metric.estimate(*clouds()) == Recall().estimate(*clouds())


# --- many at once ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [ValueError("no\nvalue"), ZeroDivisionError(), RuntimeError("singular"), MemoryError()]
)
def test_a_metric_without_a_value_costs_no_other(error):
    @final
    class Undefined(Metric):
        def estimate(self, x, y):
            raise error

    @final
    class Endless(Metric):
        def estimate(self, x, y):
            return MetricValue(math.inf, 0.0)

    points = torch.randn(40, 2)
    views = {"points": View({"undefined": Undefined(), "endless": Endless(), "w1": ExactTransport(Euclidean())})}
    measured = Metrics(views, Memorisation())(points + 1, points, points, n=20)
    assert set(measured.values) == {"w1"}
    assert set(measured.failures) == {"undefined", "endless", "memorisation"}
    assert measured.failures["undefined"] == (" ".join(str(error).split()) or type(error).__name__)
    assert "all held-out points are training points" in measured.failures["memorisation"]


def test_a_mistake_in_a_metric_is_no_missing_value():
    @final
    class Mistaken(Metric):
        def estimate(self, x, y):
            raise TypeError("not a metric")

    points = torch.randn(9, 2)
    with pytest.raises(TypeError, match="not a metric"):
        Metrics({"points": View({"mistaken": Mistaken()})})(points, points, points)


def test_a_model_that_samples_nan_is_refused_as_a_whole():
    @final
    class Broken(Measure):
        dim = 2

        def sample(self, n):
            return torch.full((n, 2), math.nan)

    points = torch.randn(9, 2)
    with pytest.raises(ValueError, match="the model's samples hold NaN"):
        Metrics({"points": View({"w1": ExactTransport(Euclidean())})})(Broken(), points, Empirical(points))
