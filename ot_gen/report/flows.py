"""The page's table of flows: what they are worth at few evaluations of the velocity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, final

from ot_gen.report.quantities import Quantity, Statistic, by_judge, judged, metrics, summary
from ot_gen.report.runs import Run
from ot_gen.runs.parts import RecordedMetric

SHOWN = ("w2_squared", "frechet", "coverage")


@final
class FlowRow(NamedTuple):
    """One quantity of some runs: at each number of evaluations, at all of them, and its floor."""

    quantity: Quantity
    at: tuple[Statistic | None, ...]
    floor: Statistic | None


@final
class FlowTable(NamedTuple):
    """The numbers of evaluations, and the rows of each group of runs that have flows."""

    evaluations: tuple[int, ...]
    groups: tuple[tuple[Sequence[Run], tuple[FlowRow, ...]], ...]


def flow_table(groups: Sequence[Sequence[Run]]) -> FlowTable | None:
    """The table of the finished runs with flows; None where there are none.

    Example:
        >>> flow_table([]) is None
        True
    """
    flows = [
        part for group in groups for part in by_judge([run for run in group if run.is_counted and run.record.flow])
    ]
    if not flows:
        return None
    runs = [run for members in flows for run in members]
    numbers = tuple(sorted({few.number for run in runs if run.record.flow for few in run.record.flow.few}))
    known = {quantity.name: quantity for quantity in [*judged(), *metrics(runs)]}
    shown = [known[name] for name in SHOWN if name in known]
    rows = (tuple(_row(members, quantity, numbers) for quantity in shown) for members in flows)
    return FlowTable(numbers, tuple(zip(flows, rows, strict=True)))


def _row(runs: Sequence[Run], quantity: Quantity, numbers: Sequence[int]) -> FlowRow:
    at = [_mean([_at(run, number, quantity) for run in runs]) for number in numbers]
    whole = [quantity.of(run) for run in runs]
    floors = [metric.floor for metric in whole if metric is not None and metric.floor is not None]
    return FlowRow(quantity, (*at, _mean(whole)), summary(floors))


def _at(run: Run, number: int, quantity: Quantity) -> RecordedMetric | None:
    flow = run.record.flow
    few = [judged.measured(quantity.name) for judged in flow.few if judged.number == number] if flow else []
    return few[0] if few else None


def _mean(values: Sequence[RecordedMetric | None]) -> Statistic | None:
    return summary([metric.value for metric in values if metric is not None])
