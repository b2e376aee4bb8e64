"""The part of the page about one data set: runs that are compared or drawn on common axes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, final

from ot_gen.display import LinearAxis
from ot_gen.evaluation import EncoderJudgement
from ot_gen.report.classes import class_table
from ot_gen.report.data import Data
from ot_gen.report.flows import flow_table
from ot_gen.report.quantities import JudgeOfSamples, Quantity, judged, metrics, places
from ot_gen.report.runs import Run, order, settings
from ot_gen.report.traces import Drawing, Trace, panel
from ot_gen.report.verdicts import Verdicts, verdicts
from ot_gen.runs.parts import CertifiedInterval

GLANCE = ("frechet", "coverage")


@final
class Scale(NamedTuple):
    """How a column of values is drawn: bars on `axis`, numbers with `places` decimals, and the floors there are."""

    axis: LinearAxis
    places: int
    floors: Sequence[float]


@final
class Section:
    """All runs on one data set.

    Args:
        number: the section's, for the names of its elements.
        data: what its runs saw, and these runs in the page's order.
        numbers: each run's number on the page, by folder.
        traces: the runs' traces, by number.
    """

    def __init__(self, number: int, data: Data, numbers: Mapping[Path, int], traces: Mapping[int, Trace]) -> None:
        runs = data.runs
        self.number, self.data, self.known, self.runs = number, data.label, data.words, runs
        self.finished = [run for run in runs if run.is_finished]
        self.counted = [run for run in runs if run.is_counted]
        chosen = [settings(run) for run in self.finished or runs]
        self.groups = [list(members) for _, members in groupby(runs, key=lambda run: order(run)[:-3])]
        self.shared = [item for item in chosen[0] if all(item in own for own in chosen)]
        self.sizes = sorted({run.record.n for run in self.counted if run.record.n is not None})
        measured = [run.record for run in self.counted if run.record.metrics]
        self.metric_sizes = sorted({record.metrics_n for record in measured if record.metrics_n is not None})
        self.judges = list(dict.fromkeys(JudgeOfSamples(record.judge, record.metrics_n) for record in measured))
        encoders = [[run for run in group if run.record.encoder and run.is_counted] for group in self.groups]
        self.encoders = [members for members in encoders if members]
        self.flows = flow_table(self.groups)
        self.classes = class_table(self.groups)
        self.encoder_sizes = {name: _values(self.counted, name) for name in EncoderJudgement._fields}
        self.quantities = [*judged(), *metrics(self.finished)]
        self.glance = self._at_a_glance()
        self.real = next((run.figures["data"] for run in runs if "data" in run.figures), None)
        self.scales = {quantity.name: _scale(self.finished, quantity) for quantity in self.quantities}
        self.certified = [run for run in self.counted if run.record.certificate]
        certificates = _certificates(self.certified)
        self.levels = sorted({f"{100 * certificate.level:g}" for certificate in certificates})
        self.doubted = sum(certificate.doubt is not None for certificate in certificates)
        known = (certificate.reference for certificate in certificates)
        self.references = list(dict.fromkeys(reference for reference in known if reference))
        self.interval = _interval_scale(self.certified)
        self._numbers, self._traces = numbers, traces

    def _at_a_glance(self) -> list[Quantity]:
        """The metrics of the table that is looked at first: W₁ without an interval, Fréchet distance and coverage."""
        others = [quantity for quantity in self.quantities if not quantity.is_exact]
        first = [quantity for quantity in others if quantity.name in GLANCE]
        exact = [] if any(run.record.certificate for run in self.counted) else self.quantities[:1]
        return [*exact, *(first or [quantity for quantity in others if quantity.shown][:2])]

    def panels(self) -> Iterator[tuple[str, Sequence[Run], Mapping[str, Drawing]]]:
        """For each cost, in whose units the objective is, the runs with a trace and the value's panels."""
        for cost in dict.fromkeys(run.record.cost for run in self.runs):
            members = [
                run for run in self.runs if run.record.cost == cost and self._numbers[run.folder] in self._traces
            ]
            known = {self._numbers[run.folder]: self._traces[self._numbers[run.folder]] for run in members}
            drawn = {name: panel(known, name) for name in ("seconds", "images")}
            drawings = {name: drawing for name, drawing in drawn.items() if drawing is not None}
            if drawings:
                yield (cost or "unknown cost").replace("()", ""), members, drawings

    @property
    def compared(self) -> list[list[Run]]:
        """The groups of runs that can be compared seed by seed."""
        groups = [[run for run in group if run.is_counted and run.record.seed is not None] for group in self.groups]
        return [group for group in groups if group]

    @property
    def pairs(self) -> int:
        """The number of pairs of these groups."""
        return len(self.compared) * (len(self.compared) - 1) // 2

    def verdicts(self, quantities: int) -> list[Verdicts]:
        """On the first quantities, where any two groups share two seeds under one judge."""
        known = [verdicts(self.compared, quantity) for quantity in self.quantities[:quantities]]
        return [one for one in known if one is not None]

    @property
    def lack(self) -> str:
        """Why nothing can be said of differences, where no two groups share two seeds."""
        if max(len(group) for group in self.compared) == 1:
            return "one seed each"
        return "no two of them have two seeds in common" if len(self.sizes) <= 1 else "their judges differ"


def _certificates(runs: Sequence[Run]) -> list[CertifiedInterval]:
    return [run.record.certificate for run in runs if run.record.certificate]


def _values(runs: Sequence[Run], name: str) -> str:
    """The values of an encoder's figure, in words."""
    encoders = [run.record.encoder for run in runs if run.record.encoder]
    known = {value for encoder in encoders if (value := getattr(encoder, name)) is not None}
    return " or ".join(f"{value:g}" for value in sorted(known))


def _scale(runs: Sequence[Run], quantity: Quantity) -> Scale:
    measured = [metric for run in runs if (metric := quantity.of(run)) is not None]
    values = sorted(metric.value for metric in measured if math.isfinite(metric.value))
    floors = sorted(metric.floor for metric in measured if metric.floor is not None and math.isfinite(metric.floor))
    middle = statistics.median(floors or values or [1])
    decimals = places(middle or statistics.median(values or [1]), 4 if abs(middle) >= 1 else 3)
    return Scale(LinearAxis(0, _limit(values, floors)), decimals, floors)


def _interval_scale(runs: Sequence[Run]) -> Scale:
    certificates = _certificates(runs)
    values = sorted(end for certificate in certificates for end in certificate.interval if math.isfinite(end))
    floors = sorted(end for certificate in certificates for end in certificate.reference or () if math.isfinite(end))
    axis = LinearAxis(min([0, *values[:1]]), _limit(values, floors))
    smallest = min([*values[:1], *floors[:1]], default=0)
    if smallest > axis.high / 2:  # ends of intervals are no lengths, so the axis need not begin at 0
        first, second, *_ = LinearAxis(smallest, axis.high).ticks
        step = second - first
        axis = LinearAxis(float(f"{step * math.floor(smallest / step):.12g}"), axis.high)
    return Scale(axis, places(statistics.median(values or [1])), floors)


def _limit(values: Sequence[float], floors: Sequence[float]) -> float:
    # A run that diverged leaves the scale; it must not shrink all other bars to nothing.
    limit = min(1.05 * max([*values, *floors], default=0), 3 * max(statistics.median(values or [0]), *floors, 0, 0))
    return limit if limit > 0 else 1.0
