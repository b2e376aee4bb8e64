"""The quantities that the page compares runs by, and their summaries over runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, final

from ot_gen.report.runs import Run
from ot_gen.runs.parts import RecordedMetric

_EXACT = {"w1": "W₁", "w2_squared": "W₂²"}
_METRICS = {  # name: how the page calls it, and which way is better
    "class_accuracy": ("class accuracy", "higher"),
    "sinkhorn": ("Sinkhorn divergence", "lower"),
    "sliced_w2": ("sliced W₂", "lower"),
    "mmd": ("MMD²", "lower"),
    "energy": ("energy distance", "lower"),
    "frechet": ("Fréchet distance", "lower"),
    "kernel_distance": ("kernel distance", "lower"),
    "precision": ("precision", "higher"),
    "recall": ("recall", "higher"),
    "density": ("density", "higher"),
    "coverage": ("coverage", "higher"),
    "class_error": ("class error", "lower"),
    "mode_coverage": ("mode coverage", "higher"),
    "memorisation": ("memorisation", None),
}
# The columns that are shown unasked.
_FIRST = ("frechet", "class_accuracy", "sliced_w2", "precision", "coverage", "mode_coverage")


@final
class JudgeOfSamples(NamedTuple):
    """What looked at the samples, None where it is not recorded (or where points need no judge), and how many."""

    name: str | None
    n: int | None

    def __str__(self) -> str:
        """In words."""
        return f"{self.name or 'judge not recorded'}, n = {self.n}"


@final
class Quantity(NamedTuple):
    """One metric that every run may have: its name in the record, the page's word for it, which way is better.

    `key` is safe as part of a class name, whatever the record calls the metric. `is_exact` says that it is one of the
    judgement's, which every finished run has.
    """

    name: str
    key: str
    words: str
    better: str | None
    shown: bool
    is_exact: bool = False

    def of(self, run: Run) -> RecordedMetric | None:
        """The run's value with its floor; None if the run does not know it."""
        return run.record.measured(self.name)

    def judge(self, run: Run) -> JudgeOfSamples:
        """Who measured it: figures by different judges are never compared."""
        own = run.record
        return JudgeOfSamples(None, own.n) if self.is_exact else JudgeOfSamples(own.judge, own.metrics_n)

    def judges(self, runs: Iterable[Run]) -> list[JudgeOfSamples]:
        """Those of the runs that know the quantity, in their order."""
        return list(dict.fromkeys(self.judge(run) for run in runs if self.of(run) is not None))


@final
class Statistic(NamedTuple):
    """Mean and sample standard deviation (None for one value) of `size` values; NaN where one of them is not finite."""

    mean: float
    deviation: float | None
    size: int


def judged() -> list[Quantity]:
    """The exact W₁ and W₂² of every run's judgement."""
    return [quantity(name) for name in _EXACT]


def metrics(runs: Iterable[Run]) -> list[Quantity]:
    """The metrics that any of the runs knows, in a fixed order, those of other names last.

    Example:
        >>> metrics([])
        []
    """
    recorded = dict.fromkeys(name for run in runs for name in run.record.metrics if name not in _EXACT)
    names = [name for name in _METRICS if name in recorded] + [name for name in recorded if name not in _METRICS]
    first = [name for name in _FIRST if name in recorded][:3] or names[:3]
    return [Quantity(name, f"m{i}", *_METRICS.get(name, (name, None)), name in first) for i, name in enumerate(names)]


def quantity(name: str) -> Quantity:
    """One of any name, for a table that is not sorted or hidden by column.

    Example:
        >>> quantity("w1").words, quantity("my_own").words
        ('W₁', 'my_own')
    """
    if name in _EXACT:
        return Quantity(name, name, _EXACT[name], "lower", True, is_exact=True)
    return Quantity(name, "", *_METRICS.get(name, (name, None)), True)


def statistic(runs: Iterable[Run], name: str) -> Statistic | None:
    """Mean and spread of a number of the record, "seconds" or "encoder.mmd", over the runs that know it.

    Returns:
        None if none does.

    Example:
        >>> statistic([], "objective.value") is None
        True
    """
    known: list[Any] = [run.record for run in runs]
    for part in name.split("."):
        known = [value for item in known if (value := getattr(item, part)) is not None]
    return summary([float(value) for value in known])


def by_judge(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs in groups of equal judges, of the exact distances and of the other metrics.

    Example:
        >>> by_judge([])
        []
    """
    groups: dict[object, list[Run]] = {}
    for run in runs:
        groups.setdefault((run.record.n, run.record.judge, run.record.metrics_n), []).append(run)
    return list(groups.values())


def summary(values: Sequence[float]) -> Statistic | None:
    """Mean and spread of some values, None of none.

    Example:
        >>> summary([1.0, 3.0]).mean
        2.0
    """
    if not values:
        return None
    if len(values) == 1:
        return Statistic(values[0], None, 1)
    if not all(map(math.isfinite, values)):
        return Statistic(math.nan, math.nan, len(values))
    return Statistic(statistics.fmean(values), statistics.stdev(values), len(values))


def places(value: float, digits: int = 4) -> int:
    """Decimals that show a value with so many significant digits, at most six.

    Example:
        >>> places(0.0123, 3)
        4
    """
    exponent = math.floor(math.log10(abs(value))) if value and math.isfinite(value) else 0
    return min(6, max(0, digits - 1 - exponent))
