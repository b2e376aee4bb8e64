"""What each class of a model that generates by class is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, final

import torch
from torch import Tensor

from ot_gen.data import Dataset
from ot_gen.evaluation import (
    EXACT,
    FrechetDistance,
    Metrics,
    MetricValue,
    NearestLabels,
    View,
    attempted,
    class_accuracy,
)
from ot_gen.evaluation.class_accuracy import pooled_accuracy
from ot_gen.evaluation.metrics import draws, named
from ot_gen.measures import Empirical, Pushforward
from ot_gen.runs.judging import Judging, suited
from ot_gen.runs.parts import RecordedClasses, RecordedMetric
from ot_gen.runs.record import RunRecord

ACCURACY = "class_accuracy"
LEAST = 2  # held-out points of a class that is judged


@final
class OneClass(NamedTuple):
    """Samples of one class that were judged, n a side: the accuracy of the model and of the data, and the distances."""

    n: int
    accuracy: MetricValue
    floor: MetricValue
    metrics: Mapping[str, RecordedMetric | None]


def judge_classes(record: RunRecord, mu: Pushforward, data: Dataset, judging: Judging) -> RunRecord:
    """The record with what the model's classes are worth; as it is where it has none, or no metrics are asked for.

    For each class k as many draws of μ_k as there are held-out points of it, at most `evaluation.samples`, stand
    against these. W₁ and the Fréchet distance of features have the training points of the class as their floor. The
    class accuracy is the share of the draws that a classifier takes for their class; its floor is the share of the
    held-out points. The classifier is that of the metrics, for digits the one in the package, and else the five nearest
    training points. The accuracy of all classes weighs each by its share of the held-out points.

    Args:
        record: with the judgement of `mu`.
        mu: the model that is judged, in the data's own units.
        data: as it was trained on.
        judging: how.
    """
    metrics = suited(judging, data)
    if mu.classes is None or metrics is None or not metrics.views:
        return record
    own = data.own
    of_train, of_test = own.labels
    assert isinstance(own.train, Empirical)  # as it has labels
    classifier = metrics.classifier or NearestLabels(own.train.rows, of_train)
    judge = named(classifier) if metrics.classifier else str(classifier)
    within = Metrics(_views(metrics))
    counts = torch.bincount(of_test.cpu(), minlength=mu.classes).tolist()
    judged: list[OneClass | str | None] = []
    for k, count in enumerate(counts):
        train, test = (_atoms_of(k, *side) for side in ((own.train, of_train), (own.test, of_test)))
        judged.append(
            attempted(_one_class, mu, k, train, test, within, classifier, judging) if count >= LEAST else None
        )
    names = [ACCURACY, *(name for view in within.views.values() for name in view.metrics)]
    classes = RecordedClasses(
        judge,
        tuple(one.n if isinstance(one, OneClass) else 0 for one in judged),
        {name: tuple(_row(one, name) for one in judged) for name in names},
    )
    accuracy, failed = attempted(_accuracy, judged, counts), dict(record.metrics_failed)
    if isinstance(accuracy, str):
        failed[ACCURACY] = accuracy
    rows = {**record.metrics, ACCURACY: None if isinstance(accuracy, str) else accuracy}
    return replace(record, classes=classes, metrics=rows, metrics_failed=failed)


def class_table(record: RunRecord) -> str:
    """The figures of `judge_classes` as lines of text, one for each class, floors in brackets; none of other runs.

    Example:
        >>> from ot_gen.runs.parts import Status
        >>> rows = {"w1": (RecordedMetric(2.0, 0.1, 1.5, 0.1), None)}
        >>> print(class_table(RunRecord(Status.FINISHED, classes=RecordedClasses("a judge", (9, 0), rows))))
        class    n     w1 (floor)
            0    9        2 (1.5)
            1    0              –
    """
    classes = record.classes
    if classes is None:
        return ""
    widths = {name: max(14, len(name) + 8) for name in classes.metrics}
    lines = ["class    n" + "".join(f" {name + ' (floor)':>{width}s}" for name, width in widths.items())]
    for k, n in enumerate(classes.n):
        cells = (f" {_cell(rows[k]):>{widths[name]}s}" for name, rows in classes.metrics.items())
        lines.append(f"{k:5d}{n:5d}" + "".join(cells))
    return "\n".join(lines)


def _one_class(
    mu: Pushforward,
    k: int,
    train: Tensor,
    test: Tensor,
    within: Metrics,
    classifier: Callable[[Tensor], Tensor],
    judging: Judging,
) -> OneClass:
    # Of a seed for each class: noise that all shared would make their errors dependent.
    drawn = draws(mu.given(k), Empirical(train), Empirical(test), judging.samples, judging.seed + k)
    n = len(drawn.held_out)
    asked = torch.full((n,), k, device="cpu")
    of_model, of_data = (class_accuracy(classifier(cloud), asked) for cloud in (drawn.fake, drawn.held_out))
    measured = within(drawn.fake, drawn.real, drawn.held_out, n=n, seed=judging.seed)
    rows: dict[str, RecordedMetric | None] = dict.fromkeys(measured.failures)
    rows |= {name: RecordedMetric(*row) for name, row in measured.values.items()}
    return OneClass(n, of_model, of_data, rows)


def _accuracy(judged: Sequence[OneClass | str | None], counts: Sequence[int]) -> RecordedMetric:
    """Of all classes, each with its share of the held-out points, beside the floor; a reason stands for a class."""
    known, n, points = [], [], []
    for k, (one, count) in enumerate(zip(judged, counts, strict=True)):
        if isinstance(one, str):
            raise ValueError(f"class {k}: {one}")
        if one is not None:
            known.append(one)
            n.append(one.n)
            points.append(count)
    if not known:
        raise ValueError(f"no class has {LEAST} held-out points")
    shares = [count / sum(points) for count in points]
    value = pooled_accuracy([one.accuracy for one in known], n, shares)
    return RecordedMetric(*value, *pooled_accuracy([one.floor for one in known], n, shares))


def _views(metrics: Metrics) -> dict[str, View]:
    """Exact W₁ of points, and the Fréchet distances of features."""
    views = {"points": View({"w1": EXACT["w1"]})}
    for name, view in metrics.views.items():
        frechet = {key: metric for key, metric in view.metrics.items() if isinstance(metric, FrechetDistance)}
        if view.map is not None and frechet:
            views[f"{name} of a class"] = View(frechet, view.map)
    return views


def _atoms_of(k: int, measure: Empirical, labels: Tensor) -> Tensor:
    return measure.rows[labels.to(measure.rows.device) == k]


def _row(one: OneClass | str | None, name: str) -> RecordedMetric | None:
    if not isinstance(one, OneClass):
        return None
    return RecordedMetric(*one.accuracy, *one.floor) if name == ACCURACY else one.metrics.get(name)


def _cell(row: RecordedMetric | None) -> str:
    if row is None:
        return "–"
    return f"{row.value:.3g}" + ("" if row.floor is None else f" ({row.floor:.3g})")
