"""A run's value against time and images, thinned for the page, and the panels they are drawn in."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, final

from ot_gen.display import Axis, LinearAxis, LogAxis
from ot_gen.report.runs import drawable
from ot_gen.runs.record import metric_rows

POINTS = 80
DASHES = ("none", "7 3", "2 2.5", "9 3 2 3", "4 2", "12 3")


@final
class Trace(NamedTuple):
    """Means of seconds, images and value over bins of consecutive steps; bins grow in geometric progression."""

    seconds: list[float]
    images: list[float]
    value: list[float]


@final
class Drawing(NamedTuple):
    """One drawing: the axes, and a polyline of each run, by its number, in the unit square with y downwards."""

    x: Axis
    y: Axis
    lines: Mapping[int, list[tuple[float, float]]]
    clipped: int


def read_trace(folder: Path) -> Trace | None:
    """The trace of a run's metrics.csv; None where there is none, or one that cannot be read.

    Example:
        >>> read_trace(Path("no/such/run")) is None
        True
    """
    rows = []
    try:
        cells = metric_rows(folder)
        header = next(cells)
        places = [header.index(name) for name in Trace._fields]
        for row in cells:
            rows.append(drawable([float(row[place]) for place in places]))
    except (ValueError, StopIteration):
        return None
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else []
    return thinned(Trace(*columns)) if rows else None


def thinned(trace: Trace, points: int = POINTS) -> Trace:
    """At most `points` means, over bins whose ends grow geometrically to cover a logarithmic axis evenly.

    Steps with a number that is not finite enter no mean.

    Example:
        >>> thinned(Trace([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [4.0, 6.0, 8.0]), points=2).value
        [4.0, 7.0]
    """
    n = len(trace.value)
    last = max(1, points - 1)
    ends = sorted({0, n, *(min(n, math.ceil(n ** (i / last))) for i in range(points))})
    means = []
    for start, stop in pairwise(ends):
        rows = [
            row for row in zip(*(column[start:stop] for column in trace), strict=True) if all(map(math.isfinite, row))
        ]
        if rows:
            means.append([statistics.fmean(column) for column in zip(*rows, strict=True)])
    return Trace(*(list(column) for column in zip(*means, strict=True))) if means else Trace([], [], [])


def panel(traces: Mapping[int, Trace], name: str) -> Drawing | None:
    """Value against "seconds" or "images" on a logarithmic axis.

    The value's axis is logarithmic where all values are positive and spread over more than a factor of thirty. A few
    values, one in fifty at each end, may lie outside it: they stand at its edge and are counted.

    Example:
        >>> sorted(panel({3: Trace([1.0, 2.0], [8.0, 16.0], [5.0, 4.0])}, "images").lines)
        [3]
    """
    known = {
        number: [(x, y) for x, y in zip(getattr(trace, name), trace.value, strict=True) if x > 0]
        for number, trace in traces.items()
    }
    xs = [x for line in known.values() for x, _ in line]
    ys = sorted(y for line in known.values() for _, y in line)
    if not xs:
        return None
    cut = len(ys) // 50
    low, high = ys[cut], ys[-1 - cut]
    y: Axis
    if ys[0] > 0 and high > 30 * low:
        y = LogAxis(low / 1.1, high * 1.1)
    else:
        margin = 0.05 * ((high - low) or abs(high) or 1.0)
        y = LinearAxis(low - margin, high + margin)
        low, high = y.low, y.high
    x = LogAxis(min(xs), max(xs) if max(xs) > min(xs) else 2 * min(xs))
    lines = {number: [(x.at(a), 1 - y.at(b)) for a, b in line] for number, line in known.items() if line}
    return Drawing(x, y, lines, sum(not low <= value <= high for value in ys))


def dashes(names: Iterable[tuple[object, str]]) -> dict[str, str]:
    """A dash pattern for each solver, by (side, name): within a side they differ, up to six.

    Example:
        >>> dashes([("primal", "vae"), ("primal", "rae"), ("dual", "gan")])
        {'vae': 'none', 'rae': '7 3', 'gan': 'none'}
    """
    count: dict[object, int] = {}
    patterns: dict[str, str] = {}
    for side, name in names:
        if name not in patterns:
            patterns[name] = DASHES[count.get(side, 0) % len(DASHES)]
            count[side] = count.get(side, 0) + 1
    return patterns
