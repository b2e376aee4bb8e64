"""Runs, read from their folders."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, final

from ot_gen.execution import reason
from ot_gen.runs.codec import decode, encode
from ot_gen.runs.configuration import read_yaml
from ot_gen.runs.draw import FIGURES
from ot_gen.runs.parts import Status
from ot_gen.runs.record import METRICS, RUN, RunRecord, read_metrics, read_record

SIDES, CELLS = ("primal", "dual"), ("table", "network", "flow")
CLOCKS = 2.0  # seconds by which the clock of a disk may be behind
SMALLEST = 1e-100  # of the sizes of numbers on the page, and the inverse of the largest


@final
@dataclass(frozen=True)
class Run:
    """One run, read from its folder.

    Attributes:
        folder: where it is.
        record: its record, as far as it is known.
        figures: the pictures in its folder, by name.
        damage: why its record cannot be read, None where it can.
        has_steps: whether the rows in its folder's metrics.csv are its own.
        note: what it is beside others, as "judged again"; None where it stands for itself.
        counts: whether its figures stand for its model: each is judged once.
    """

    folder: Path
    record: RunRecord
    figures: Mapping[str, Path] = field(default_factory=dict)
    damage: str | None = None
    has_steps: bool = True
    note: str | None = None
    counts: bool = True

    @property
    def is_finished(self) -> bool:
        """Whether it came to its end."""
        return self.damage is None and self.record.status is Status.FINISHED

    @property
    def is_counted(self) -> bool:
        """Whether its figures enter means and differences."""
        return self.is_finished and self.counts

    @property
    def has_started(self) -> bool:
        """Whether it came to a step, or may yet."""
        own = self.record
        return self.damage is None and (own.status in (Status.FINISHED, Status.RUNNING) or bool(own.steps_done))

    @property
    def status(self) -> str:
        """How the page calls it: "finished", "failed", "interrupted", "unfinished" (killed, or running), "damaged"."""
        if self.damage is not None:
            return "damaged"
        return "unfinished" if self.record.status is Status.RUNNING else self.record.status.value

    @property
    def error(self) -> str | None:
        """Why it did not finish."""
        if self.damage is not None:
            return f"its record is damaged: {self.damage}"
        killed = "killed, or still running" if self.record.status is Status.RUNNING else None
        return self.record.error or killed


def find_runs(*folders: Path) -> list[Run]:
    """All runs in folders and at any depth below them: primal before dual, table before network, then name and seed.

    A folder is a run if it holds run.json, or `.hydra` alone when the run failed before it started.

    Example:
        >>> find_runs(Path("no/such/folder"))
        []
    """
    places = {place: names for folder in folders for place, names in _folders(folder)}
    runs = [_read_run(place) for place, names in places.items() if RUN in names or ".hydra" in names]
    # A run that failed early has only its solver's name. It gives the side; other runs of that solver give the cell.
    records = [run.record for run in runs]
    cells = {record.solver: record.cell for record in records if record.cell}
    sides = {
        record.solver: side for record in records for side in SIDES if (record.solver or "").startswith(f"{side}/")
    }
    for index, (run, own) in enumerate(zip(runs, records, strict=True)):
        placed = replace(own, side=own.side or sides.get(own.solver), cell=own.cell or cells.get(own.solver))
        runs[index] = replace(run, record=placed)
    return sorted(runs, key=order)


def _folders(root: Path) -> Iterator[tuple[Path, set[str]]]:
    """The folders that can be read, none hidden or behind a link, and the names in each."""
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                names = {item.name: item.is_dir(follow_symlinks=False) for item in entries}
        except OSError:
            continue
        yield folder, set(names)
        waiting += [folder / name for name, is_folder in names.items() if is_folder and not name.startswith(".")]


def settings(run: Run) -> tuple[str, ...]:
    """The settings of a run beyond the table's own columns; a resumed run counts as the run that it continues."""
    shown = {"solver", "data", "cost", "seed", "generator", "resume"}
    sizes = {"generator": run.record.generator, "batch": run.record.batch_size}
    chosen = [f"{name} {size}" for name, size in sizes.items() if size is not None]
    return (*chosen, *sorted(item for item in run.record.overrides if option(item) not in shown))


def order(run: Run) -> tuple[Any, ...]:
    """The sort key of the page; runs that differ only in their seed share all but its last three entries."""
    own = run.record
    rank = [ranked.index(name) if name in ranked else 2 for ranked, name in ((SIDES, own.side), (CELLS, own.cell))]
    names = [own.data is None, own.data or "", *rank, own.solver or "", own.cost or "~", own.steps or math.inf]
    return (*names, own.samples or "", settings(run), own.seed is None, own.seed or 0, str(run.folder))


def _read_run(folder: Path) -> Run:
    figures = {name: path for name in FIGURES if os.path.lexists(path := folder / f"{name}.png")}
    if not os.path.lexists(folder / RUN):
        return Run(folder, _composed(folder, "failed before it started"), figures)
    try:
        record = read_record(folder)
        if record is None:
            raise ValueError("it is no file")
        record = decode(RunRecord, drawable(encode(record)), "")
    except ValueError as error:
        return Run(folder, _composed(folder), figures, damage=reason(error.__cause__ or error))
    figures = {name: path for name, path in figures.items() if not _is_older(path, record.started)}
    has_steps = not _is_older(folder / METRICS, record.started)
    if record.status is not Status.FINISHED and record.steps_done is None and has_steps:
        record = replace(record, steps_done=_steps_done(folder))
    return Run(folder, record, figures, has_steps=has_steps)


def _is_older(path: Path, started: str | None) -> bool:
    """Whether a file was written before a run started: then it is of a run that this one replaced."""
    try:
        begun = datetime.strptime(started or "", "%Y-%m-%dT%H:%M:%S%z").timestamp()
        return path.lstat().st_mtime < begun - CLOCKS < time.time()
    except (OSError, ValueError, OverflowError):
        return False


def drawable(value: Any) -> Any:
    """Plain JSON values with numbers that drawings and means can hold: from 10^±100 on they are infinite, or 0.

    Sums and squares of larger ones leave the range of floats; one run that diverged must not take the page with it.

    Example:
        >>> drawable({"w1": 1e308, "w1_floor": [2.0, -1e-300, 5]})
        {'w1': inf, 'w1_floor': [2.0, 0.0, 5]}
    """
    if isinstance(value, dict):
        return {name: drawable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [drawable(item) for item in value]
    if not isinstance(value, float) or SMALLEST <= abs(value) <= 1 / SMALLEST or value != value:
        return value
    return 0.0 if abs(value) < 1 else math.copysign(math.inf, value)


def _steps_done(folder: Path) -> int | None:
    """The last step that metrics.csv has a row of."""
    try:
        rows = read_metrics(folder)
        return int(rows[-1]["step"]) if rows else None
    except (ValueError, LookupError, OverflowError):  # damaged, without steps, or with a step that is infinite
        return None


def _composed(folder: Path, error: str | None = None) -> RunRecord:
    """The configuration that hydra composed for a run without a record, as a record."""
    overrides = [item for item in _yaml(folder / ".hydra" / "overrides.yaml", list) if isinstance(item, str)]
    chosen = _yaml(folder / ".hydra" / "hydra.yaml", dict)
    for name in ("hydra", "runtime", "choices"):
        inner = chosen.get(name)
        chosen = inner if isinstance(inner, dict) else {}
    known = {name: entry for name, entry in chosen.items() if isinstance(entry, str)}
    seed = _yaml(folder / ".hydra" / "config.yaml", dict).get("seed")
    known["seed"] = str(seed) if isinstance(seed, int) else ""
    known |= {option(item): item.partition("=")[2] for item in overrides}
    return RunRecord(
        Status.FAILED,
        solver=known.get("solver"),
        data=known.get("data"),
        generator=known.get("generator"),
        seed=int(known["seed"]) if re.fullmatch("[0-9]{1,19}", known["seed"]) else None,
        overrides=tuple(overrides),
        error=error,
    )


def _yaml(path: Path, kind: type) -> Any:
    try:
        loaded = read_yaml(path)
    except (OSError, ValueError):
        return kind()
    return loaded if isinstance(loaded, kind) else kind()


def option(override: str) -> str:
    """The name that an override sets: "seed" of "++seed=1"."""
    return override.lstrip("+~").partition("=")[0]
