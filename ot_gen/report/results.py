"""The numbers that leave the page: means over seeds and paired verdicts as rows, which tables and sentences are of."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, final

from ot_gen.execution import cell
from ot_gen.report.classes import class_table
from ot_gen.report.quantities import Quantity, by_judge, statistic, summary
from ot_gen.report.runs import Run, settings
from ot_gen.report.section import Section
from ot_gen.report.verdicts import Pair, verdicts


@final
class Method(NamedTuple):
    """Runs that differ in their seed alone and were judged alike, and the name that tells them from others."""

    name: str
    runs: Sequence[Run]

    @property
    def seeds(self) -> int:
        """The number of different seeds; a run without one counts for itself."""
        return len({run.folder if run.record.seed is None else run.record.seed for run in self.runs})


@final
class MeanRow(NamedTuple):
    """A row of means.csv: one figure of one method. The fields are the columns."""

    data: str
    fingerprint: str | None
    method: str
    solver: str | None
    cost: str | None
    metric: str
    label: int | None
    better: str | None
    judge: str | None
    n: int | None
    seeds: int
    mean: float
    sd: float | None
    floor: float | None


@final
class VerdictRow(NamedTuple):
    """A row of verdicts.csv: the paired difference first − second of two methods. The fields are the columns."""

    data: str
    fingerprint: str | None
    metric: str
    better: str | None
    judge: str | None
    n: int | None
    first: str
    second: str
    seeds: int
    left_out: int
    difference: float
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    verdict: str


@final
class Results:
    """What one section of the page says in numbers.

    Args:
        section: of the runs on one data set.
    """

    def __init__(self, section: Section) -> None:
        self.section = section
        self.data = section.data or "unknown data"
        known = [[run for run in group if run.is_counted] for group in section.groups]
        groups = [group for group in known if group]
        labels = _names(groups, section.shared)
        self.names = {run.folder: name for name, group in zip(labels, groups, strict=True) for run in group}
        self.methods = [
            Method(name if len(parts) == 1 else f"{name} (n = {part[0].record.n or part[0].record.metrics_n})", part)
            for name, group in zip(labels, groups, strict=True)
            for parts in [by_judge(group)]
            for part in parts
        ]
        compared = section.compared
        self.verdicts = {
            quantity.name: one for quantity in section.quantities if (one := verdicts(compared, quantity)) is not None
        }

    @property
    def shown(self) -> list[Quantity]:
        """The metrics of a printed table: W₁ and those that the page shows unasked."""
        quantities = self.section.quantities
        return [one for one in quantities if one.shown and one.name != "w2_squared" and any(map(one.of, self._runs))]

    @property
    def _runs(self) -> list[Run]:
        return [run for method in self.methods for run in method.runs]

    def of(self, pair: Pair) -> tuple[str, str]:
        """The names of the methods of a pair."""
        return self.names[pair.first[0].folder], self.names[pair.second[0].folder]

    def sign(self, pair: Pair, name: str) -> str:
        """How a method stands in a pair: < where it is lower, > where it is higher, "" where it is not in it."""
        first, second = self.of(pair)
        return {first: pair.sign, second: {"<": ">", ">": "<"}.get(pair.sign, pair.sign)}.get(name, "")

    def best(self, quantity: Quantity) -> Method | None:
        """The method whose figure is better than that of each other one, given all pairs; None where none is."""
        known = self.verdicts.get(quantity.name)
        if known is None or quantity.better is None:
            return None
        for method in self.methods:
            against = [sign for pair in known.pairs if (sign := self.sign(pair, method.name))]
            wanted = "<" if quantity.better == "lower" else ">"
            if len(against) == len(self.methods) - 1 and set(against) == {wanted}:
                return method
        return None

    def means(self) -> list[MeanRow]:
        """All figures of all methods: metrics, the ends of certified intervals, seconds, and the metrics by class."""
        return [row for method in self.methods for row in self._means(method)]

    def differences(self) -> list[VerdictRow]:
        """All pairs in all metrics that two seeds of both are known in."""
        return [
            VerdictRow(
                *(self.data, self._fingerprint, quantity.name, quantity.better, pair.judge.name, pair.judge.n),
                *(*self.of(pair), pair.difference.seeds, pair.difference.left_out, pair.difference.mean),
                *(pair.difference.low, pair.difference.high, pair.difference.p, pair.adjusted, pair.verdict),
            )
            for quantity in self.section.quantities
            if quantity.name in self.verdicts
            for pair in self.verdicts[quantity.name].pairs
        ]

    @property
    def _fingerprint(self) -> str | None:
        known = (run.record.dataset for run in self.section.runs)
        return next((one.fingerprint for one in known if one is not None), None)

    def _means(self, method: Method) -> Iterable[MeanRow]:
        own = method.runs[0].record
        head = (self.data, self._fingerprint, method.name, own.solver, own.cost)
        for quantity in self.section.quantities:
            rows = [row for run in method.runs if (row := quantity.of(run)) is not None]
            judge = quantity.judge(method.runs[0])
            floors = [row.floor for row in rows if row.floor is not None]
            if (value := summary([row.value for row in rows])) is not None:
                floor = statistics.fmean(floors) if floors else None
                about = (quantity.name, None, quantity.better, judge.name, judge.n)
                yield MeanRow(*head, *about, value.size, value.mean, value.deviation, floor)
        for end, name in enumerate(("certificate_lower", "certificate_upper")):
            known = [one for run in method.runs if (one := run.record.certificate) is not None]
            references = [one.reference[end] for one in known if one.reference is not None]
            if (value := summary([one.interval[end] for one in known])) is not None:
                about = (name, None, "lower", known[0].cost, known[0].samples)
                floor = statistics.fmean(references) if references else None
                yield MeanRow(*head, *about, value.size, value.mean, value.deviation, floor)
        if (value := statistic(method.runs, "seconds")) is not None:
            yield MeanRow(*head, "seconds", None, "lower", None, None, value.size, value.mean, value.deviation, None)
        yield from _class_means(method, head)


def _class_means(method: Method, head: tuple[str, str | None, str, str | None, str | None]) -> Iterable[MeanRow]:
    table, classes = class_table([method.runs]), method.runs[0].record.classes
    if table is None or classes is None:
        return
    for row in table.groups[0][1]:
        for k, part in enumerate(row.of_class):
            if (value := part.value) is not None:
                n = classes.n[k] if k < len(classes.n) else None
                about = (row.quantity.name, k, row.quantity.better, classes.judge, n)
                floor = None if part.floor is None else part.floor.mean
                yield MeanRow(*head, *about, value.size, value.mean, value.deviation, floor)


def as_csv(kind: type[MeanRow] | type[VerdictRow], rows: Iterable[MeanRow | VerdictRow]) -> str:
    """Rows as CSV text, empty where nothing is known.

    Example:
        >>> as_csv(MeanRow, []).split(",")[:3]
        ['data', 'fingerprint', 'method']
    """
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(kind._fields)
    writer.writerows([_plain(value) for value in row] for row in rows)
    return file.getvalue()


def _plain(value: Any) -> Any:
    return "" if value is None else cell(value)


def _names(groups: Sequence[Sequence[Run]], shared: Sequence[str]) -> list[str]:
    """The solver of each group, with what tells it from others of this solver: its cost, and its own settings."""
    solvers = [group[0].record.solver or "unknown solver" for group in groups]
    names = []
    for group, solver in zip(groups, solvers, strict=True):
        twins = [other for other, name in zip(groups, solvers, strict=True) if name == solver]
        costs = {other[0].record.cost for other in twins}
        own = [(group[0].record.cost or "unknown cost").replace("()", "")] if len(costs) > 1 else []
        own += [item for item in settings(group[0]) if item not in shared] if len(twins) > 1 else []
        names.append(", ".join([solver, *own]))
    return [name if names.count(name) == 1 else f"{name} ({number})" for number, name in enumerate(names, 1)]
