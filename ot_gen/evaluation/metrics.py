"""A model against held-out data: many metrics at once, each with its real-vs-real floor and its standard errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar, final

import torch
from torch import Tensor

from ot_gen.arguments import Count, checked
from ot_gen.display import card, line, table, with_error
from ot_gen.evaluation.metric import Cloud, Metric
from ot_gen.evaluation.neighbours import Memorisation
from ot_gen.execution import keyword_only, reason
from ot_gen.measures import Empirical, Measure, Pixels, check_cloud, undisturbed

Map = Callable[[Tensor], Tensor]
T = TypeVar("T")
SEEN = 1000  # held-out points by which a judge is chosen


@final
class Measured(NamedTuple):
    """A metric of a model, and the same of real data (the floor), each with its standard error.

    Two finite samples of one law are not at distance 0: a perfect model scores the floor, up to the errors.
    """

    value: float
    se: float
    floor: float
    floor_se: float


@final
class Measurements(NamedTuple):
    """What `Metrics` measured, by name.

    Attributes:
        n: samples on each side.
        values: value, floor and their errors.
        failures: the reasons of metrics that have no value: for a diverged model Sinkhorn may not converge, where all
            held-out points are training points memorisation has no unit, and a few points have no fifth neighbour.
    """

    n: int
    values: dict[str, Measured]
    failures: dict[str, str]

    def __repr__(self) -> str:
        shown = [f"{name}={with_error(row.value, row.se)} (floor {row.floor:.4g})" for name, row in self.values.items()]
        more = [f"{len(self.failures)} without a value"] if self.failures else []
        return line("Measurements", f"n={self.n:,}", *more, *shown)

    def _repr_html_(self) -> str:
        shown = table(
            ["metric", "model", "real data, the floor"],
            [[name, with_error(v.value, v.se), with_error(v.floor, v.floor_se)] for name, v in self.values.items()],
        )
        reasons = "; ".join(f"{name} has no value: {reason}" for name, reason in self.failures.items())
        return card("Measurements", f"{self.n:,} samples on each side", shown, note=reasons)


@final
@checked
class View:
    """Metrics that look at samples through one map: their features, their classes, or the points as they are.

    Args:
        metrics: the metrics, by the names that the record gives them.
        map: points (n, d) -> features (n, k) or labels (n,), computed once for all of them; None is the identity.
    """

    def __init__(self, metrics: Mapping[str, Metric], map: Map | None = None) -> None:
        self.metrics = dict(metrics)
        self.map = map

    def __call__(self, points: Tensor) -> Tensor:
        return points if self.map is None else self.map(points)


@final
@checked
class Metrics:
    """Metrics of a model on held-out data, each next to its floor, features extracted once.

    The floor compares equally many real training points with the same held-out points. The floor of memorisation
    compares held-out points with other held-out points, since training points are at distance 0 from themselves.

    Args:
        views: ways to look at the samples, by name, each with its metrics.
        memorisation: measured on the points themselves, where the training data are points and no law; None: left out.
        classifier: points -> classes (n,) in the numbering of the data's labels, the judge of models that generate by
            class; None: the nearest training points (`NearestLabels`) are that judge.
        doubt: (images (n, d), labels (n,) or None) -> why the maps and the classifier are no judges of such data, empty
            where they are; None: they are made for all data.

    Attributes:
        judge: what looks at the samples, in words.

    Raises:
        ValueError: two metrics of one name.

    Example:
        >>> from ot_gen import Euclidean
        >>> from ot_gen.evaluation import ExactTransport, Precision
        >>> metrics = Metrics({"points": View({"w1": ExactTransport(Euclidean()), "precision": Precision()})})
        >>> train, test = torch.randn(400, 2), torch.randn(400, 2)
        >>> measured = metrics(torch.randn(400, 2) + 1.0, train, test).values["w1"]
        >>> measured.floor < 0.3 < measured.value, measured.se < 0.1
        (True, True)
    """

    def __init__(
        self,
        views: Mapping[str, View],
        memorisation: Memorisation | None = None,
        classifier: Map | None = None,
        doubt: Callable[[Tensor, Tensor | None], str] | None = None,
    ) -> None:
        self.views = dict(views)
        self.memorisation = memorisation
        self.classifier = classifier
        self.doubt = doubt
        self.judge = ", ".join(dict.fromkeys("points" if v.map is None else named(v.map) for v in self.views.values()))
        names = [name for view in self.views.values() for name in view.metrics]
        names += [] if memorisation is None else ["memorisation"]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"metrics have one name each, got {', '.join(twice)} more than once; rename them")

    def suited(self, test: Empirical, labels: Tensor | None) -> Metrics:
        """These, or, where their maps and their classifier are no judges of such data, what is left without these.

        Features are then the points as they are, and metrics of classes are left out. `judge` says so.

        Args:
            test: held-out data, in their own units.
            labels: their classes, in the numbering of the classifier, or None.

        Example:
            >>> from ot_gen.evaluation import FrechetDistance, digit_features, doubt_of_digits
            >>> metrics = Metrics({"a": View({"f": FrechetDistance()}, digit_features)}, doubt=doubt_of_digits)
            >>> metrics.judge, metrics.suited(Empirical(torch.rand(100, 784)), None).judge[:47]
            ('digit_features', 'points, not digit_features: they have no labels')
        """
        reason = self.doubt and self.doubt(test.rows[:SEEN], None if labels is None else labels[:SEEN])
        if not reason:
            return self
        views = {
            name: View(view.metrics, None)
            for name, view in self.views.items()
            if view.map is None or not any(metric.of_labels for metric in view.metrics.values())
        }
        others = Metrics(views, self.memorisation)
        others.judge = f"points, not {self.judge.replace('points, ', '')}: {reason}"
        return others

    @property
    def least(self) -> int:
        """The minimum number of points on each side."""
        return max((metric.least for view in self.views.values() for metric in view.metrics.values()), default=2)

    @keyword_only
    @checked
    def __call__(
        self, mu: Measure | Cloud, train: Measure | Cloud, test: Measure | Cloud, *, n: Count = 1000, seed: int = 0
    ) -> Measurements:
        """Measure a model. Neither the caller's random state nor the model's mode changes.

        Args:
            mu: the model, or samples of it, (k, d).
            train: the training data or law; the floors draw their real samples from it.
            test: the held-out data.
            n: samples on each side; at most as many as there are.
            seed: of the samples. Equal seeds give every model the same latent points and the same real samples.

        Raises:
            ValueError: samples that are no finite points of one space, or that a view does not take.
        """
        train = as_measure(train)
        drawn = draws(as_measure(mu), train, as_measure(test), n, seed)
        check_cloud(drawn.fake, "the model's samples")
        measured: dict[str, Measured | str] = {}
        for view in self.views.values():
            fake, real, held_out = (view(cloud) for cloud in drawn[:3])
            for name, metric in view.metrics.items():
                measured[name] = attempted(_compared, metric, fake, real, held_out)
        if self.memorisation is not None and isinstance(train, Empirical):
            measured["memorisation"] = attempted(_memorisation, self.memorisation, drawn, train.rows)
        values = {name: row for name, row in measured.items() if isinstance(row, Measured)}
        failures = {name: row for name, row in measured.items() if isinstance(row, str)}
        return Measurements(len(drawn.fake), values, failures)


@final
class Clouds(NamedTuple):
    """Samples on the CPU, n each: of the model, of the training data, held-out, and held-out ones beyond these."""

    fake: Tensor
    real: Tensor
    held_out: Tensor
    spare: Tensor


def draws(mu: Measure, train: Measure, test: Measure, n: int, seed: int) -> Clouds:
    """The samples on which a model is judged.

    n is at most the number of held-out points. For a model that is a sample it is at most its number of points too.

    Raises:
        ValueError: held-out data that are no atoms of equal weights, or dimensions that differ.

    Example:
        >>> nu = Empirical(torch.randn(50, 2))
        >>> [len(part) for part in draws(nu, nu, nu, 40, seed=0)]
        [40, 40, 40, 10]
    """
    if not isinstance(test, Empirical):
        raise ValueError(f"held-out data are points, got the law {type(test).__name__}; draw them once")
    if not test.is_uniform:
        raise ValueError(
            "held-out points must have equal weights, got others; draw from them: Empirical(test.sample(n))"
        )
    if not mu.dim == train.dim == test.dim:
        raise ValueError(
            f"the model's samples have dimension {mu.dim}, the training data {train.dim} and the held-out data "
            f"{test.dim}; they must lie in one space"
        )
    n = min(n, len(test), len(mu) if isinstance(mu, Empirical) and mu.is_uniform else n)
    with undisturbed(mu):
        torch.manual_seed(seed)
        order = torch.randperm(len(test), device=test.rows.device)
        real = _distinct(train, n)
        fake = _distinct(mu, n)
        held_out, spare = test.rows[order[:n]], test.rows[order[n : 2 * n]]
    return Clouds(*(part.detach().cpu() for part in (fake, real, held_out, spare)))


def as_measure(given: Measure | Cloud) -> Measure:
    """A measure as it is, a cloud (k, d) as the empirical measure of its points.

    Example:
        >>> as_measure(torch.zeros(3, 2))
        Empirical(atoms=3, dim=2, uniform=True)
    """
    return given if isinstance(given, Measure) else Empirical(given)


def _distinct(measure: Measure, n: int) -> Tensor:
    """n points: distinct ones from a sample that is large enough, else independent draws."""
    if isinstance(measure, Empirical) and measure.is_uniform and len(measure) >= n:
        return measure.rows[torch.randperm(len(measure), device=measure.rows.device)[:n]]
    return measure.sample(n)


def named(function: Any) -> str:
    """The name of a function, also of one with some arguments bound, or else of the object's class.

    Example:
        >>> from functools import partial
        >>> named(partial(max, 3))
        'max'
    """
    named = getattr(function, "func", function)
    return getattr(named, "__name__", type(named).__name__)


def attempted(measure: Callable[..., T], *given: object) -> T | str:
    """What is measured, or why it cannot be: what has no value for some samples must not cost a run all that has one.

    Caught is what a metric says of samples that it cannot compare (`ValueError`), of a solver that did not converge,
    and of numbers or memory that ran out; no other mistake.

    Example:
        >>> attempted(math.sqrt, 4.0), attempted(math.sqrt, -1.0)
        (2.0, 'math domain error')
    """
    try:
        return measure(*given)
    except (ValueError, ArithmeticError, RuntimeError, MemoryError) as error:
        return reason(error)


def _compared(metric: Metric, fake: Cloud, real: Cloud, held_out: Cloud) -> Measured:
    return _finite(Measured(*metric.estimate(fake, held_out), *metric.estimate(real, held_out)))


def _finite(row: Measured) -> Measured:
    if not (math.isfinite(row.value) and math.isfinite(row.floor)):
        raise ValueError(f"it is {row.value:g}, and {row.floor:g} of real data, which do not compare")
    return row


def _memorisation(metric: Memorisation, drawn: Clouds, train: Tensor | Pixels) -> Measured:
    fresh, held_out = drawn.spare, drawn.held_out
    if len(fresh) < 2:  # all held-out points are in use: one half against the other
        fresh, held_out = held_out.tensor_split(2)
    floor = metric.estimate(fresh, held_out, train)
    return _finite(Measured(*metric.estimate(drawn.fake, drawn.held_out, train), *floor))
