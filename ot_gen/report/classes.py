"""The page's table of classes: what each class of a model that generates by class is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, final

from ot_gen.report.quantities import Quantity, Statistic, by_judge, quantity, summary
from ot_gen.report.runs import Run
from ot_gen.runs.parts import RecordedClasses, RecordedMetric

SHOWN = 100  # classes that have a column
OPEN = 24, 12  # rows and classes up to which the table is unfolded


@final
class ClassCell(NamedTuple):
    """A figure over some runs, and its floor."""

    value: Statistic | None
    floor: Statistic | None


@final
class ClassRow(NamedTuple):
    """One quantity of some runs: of all classes, where it is known of all, and of each."""

    quantity: Quantity
    whole: ClassCell
    of_class: tuple[ClassCell, ...]


@final
class ClassTable(NamedTuple):
    """The number of classes, and of those with a column, their judges and sizes, and the rows of each group of runs."""

    classes: int
    shown: int
    judges: tuple[str, ...]
    sizes: tuple[int, int]
    groups: tuple[tuple[Sequence[Run], tuple[ClassRow, ...]], ...]

    @property
    def is_short(self) -> bool:
        """Whether it need not be folded."""
        return sum(len(rows) for _, rows in self.groups) <= OPEN[0] and self.classes <= OPEN[1]


def class_table(groups: Sequence[Sequence[Run]]) -> ClassTable | None:
    """The table of the finished runs with classes; None where there are none.

    Example:
        >>> class_table([]) is None
        True
    """
    labelled = [
        part for group in groups for part in by_judge([run for run in group if run.is_counted and _of(run).metrics])
    ]
    if not labelled:
        return None
    parts = [_of(run) for members in labelled for run in members]
    size = max(len(rows) for part in parts for rows in part.metrics.values())
    n = sorted(number for part in parts for number in part.n) or [0]
    return ClassTable(
        size,
        min(size, SHOWN),
        tuple(dict.fromkeys(part.judge for part in parts)),
        (n[0], n[-1]),
        tuple((members, _rows(members, min(size, SHOWN))) for members in labelled),
    )


def _rows(runs: Sequence[Run], shown: int) -> tuple[ClassRow, ...]:
    names = dict.fromkeys(name for run in runs for name in _of(run).metrics)
    return tuple(
        ClassRow(
            quantity(name),
            _cell([run.record.metrics.get(name) for run in runs] if name == "class_accuracy" else []),
            tuple(_cell([_figure(run, name, k) for run in runs]) for k in range(shown)),
        )
        for name in names
    )


def _of(run: Run) -> RecordedClasses:
    return run.record.classes or RecordedClasses("")


def _figure(run: Run, name: str, k: int) -> RecordedMetric | None:
    rows = _of(run).metrics.get(name, ())
    return rows[k] if k < len(rows) else None


def _cell(figures: Sequence[RecordedMetric | None]) -> ClassCell:
    known = [figure for figure in figures if figure is not None]
    floors = [figure.floor for figure in known if figure.floor is not None]
    return ClassCell(summary([figure.value for figure in known]), summary(floors))
