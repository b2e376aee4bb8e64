"""Which runs saw the same data: the sections of the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import final

from ot_gen.report.runs import Run, option
from ot_gen.runs.parts import RecordedData

CLOSE = 0.01  # floors of one size that differ by more are of other data
Floors = dict[tuple[str, int | None], float]  # by metric and size
OF_TRAINING = ("data.standardize",)  # settings of data that change how they are seen, not what they are


@final
@dataclass
class Data:
    """One data set of the page, and the runs on it.

    Attributes:
        name: of the entry.
        settings: by which it was changed.
        facts: what was recorded of it; None in old records.
        runs: on it.
        label: what the page calls it, unique on the page.
    """

    name: str | None
    settings: tuple[str, ...]
    facts: RecordedData | None
    runs: list[Run] = field(default_factory=list)
    label: str = ""

    def agrees(self, run: Run) -> bool:
        """Whether a run without a fingerprint is on these data, by what it has: settings, dimension and floors."""
        dims = {dim for one in (run, *self.runs) if (dim := _dim(one)) is not None}
        alike = [like for other in self.runs if (like := _alike(_floors(run), _floors(other))) is not None]
        return self.settings == _settings(run) and len(dims) <= 1 and (any(alike) or not alike)

    @property
    def words(self) -> str:
        """What is known of the data, in a line."""
        if self.facts is None:
            return ", ".join([*self.settings, "content not recorded"])
        facts = self.facts
        size = "×".join(map(str, facts.shape)) if facts.shape else f"{facts.dim} numbers"
        train = "a law, sampled afresh" if facts.train is None else f"{facts.train} points to train"
        known = [facts.path, size, train, f"{facts.test} held out", f"fingerprint {facts.fingerprint[:8]}"]
        return ", ".join(filter(None, known))


def by_data(runs: Sequence[Run]) -> list[Data]:
    """The data sets of runs that are in the page's order, and stay in it.

    Runs whose records have one fingerprint are on one data set. An old record has none: it joins the data of its name
    and its `data.` settings, whose dimension and floors at its size are its own. The floors are those of the judge
    between real samples, so other data have others.

    Example:
        >>> by_data([])
        []
    """
    datasets: list[Data] = []
    for name, members in groupby(runs, key=lambda run: run.record.data):
        own: list[Data] = []
        # Those that know most of their data come first; the others join them.
        for run in sorted(members, key=lambda run: (run.record.dataset is None, not _floors(run))):
            known = run.record.dataset
            match = next((data for data in own if _is_on(data, run, known)), None)
            if match is None:
                match = Data(name, _settings(run), known)
                own.append(match)
            match.runs.append(run)
        place = {run.folder: number for number, run in enumerate(runs)}
        for data in own:
            data.runs.sort(key=lambda run: place[run.folder])
        own.sort(key=lambda data: place[data.runs[0].folder])
        datasets += own
    for data in datasets:
        twins = [other for other in datasets if other.name == data.name]
        data.label = _label(data, twins)
    return datasets


def _is_on(data: Data, run: Run, known: RecordedData | None) -> bool:
    if known is None:
        return data.agrees(run)
    return data.facts is not None and data.facts.fingerprint == known.fingerprint


def _settings(run: Run) -> tuple[str, ...]:
    """The overrides that say which data these are."""
    names = [(option(item), item.lstrip("+")) for item in run.record.overrides]
    return tuple(sorted(item for name, item in names if name.startswith("data.") and name not in OF_TRAINING))


def _floors(run: Run) -> Floors:
    """The floors of W₁ and W₂² by their size, of runs that finished."""
    own = run.record
    rows = {name: own.measured(name) for name in ("w1", "w2_squared")} if run.is_finished else {}
    return {(name, own.n): row.floor for name, row in rows.items() if row is not None and row.floor is not None}


def _alike(one: Floors, other: Floors) -> bool | None:
    """Whether floors are those of the same data, by one of them as the other may be damaged; None: of other sizes."""
    pairs = [(one[key], other[key]) for key in one.keys() & other.keys()]
    return any(math.isclose(*pair, rel_tol=CLOSE) for pair in pairs) if pairs else None


def _dim(run: Run) -> int | None:
    """The dimension of the data, where the record tells it."""
    if run.record.dataset is not None:
        return run.record.dataset.dim
    units = run.record.units
    return len(units.shift) if units is not None and len(units.shift) > 1 else None


def _label(data: Data, twins: Sequence[Data]) -> str:
    """The name, and where others have it too the first of path, settings, size and floor that tells them apart."""
    name = data.name or "unknown data"
    if len(twins) == 1:
        return data.name or ""
    for words in (_path, _size, _content):
        all_words = [words(twin) for twin in twins]
        if len(set(all_words)) == len(twins):  # one of them may go without
            return f"{name}: {words(data)}" if words(data) else name
    return f"{name} ({twins.index(data) + 1})"


def _path(data: Data) -> str:
    path = None if data.facts is None else data.facts.path
    return path or " ".join(data.settings)


def _size(data: Data) -> str:
    dims = [dim for run in data.runs if (dim := _dim(run)) is not None]
    return f"{dims[0]} numbers a point" if dims else ""


def _content(data: Data) -> str:
    if data.facts is not None:
        return f"content {data.facts.fingerprint[:8]}"
    floors = [f"{floor:.4g} at n = {n}" for run in data.runs for (_, n), floor in _floors(run).items()]
    return f"floor {floors[0]}" if floors else "content not recorded"
