"""Runs, read from their folders."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

import yaml

from ot_gen.runs.parts import Status
from ot_gen.runs.reading import plain_yaml
from ot_gen.runs.record import RUN, RunRecord, read_metrics, read_record

SIDES, CELLS = ("primal", "dual"), ("table", "network")
FIGURES = ("samples", "reconstructions", "codes", "manifold", "interpolations", "curves")


@final
@dataclass(frozen=True)
class Run:
    """One run, read from its folder.

    Attributes:
        folder: where it is.
        record: its record, as far as it is known.
        figures: the pictures in its folder, by name.
        damage: why its record cannot be read, None where it can.
    """

    folder: Path
    record: RunRecord
    figures: Mapping[str, Path] = field(default_factory=dict)
    damage: str | None = None

    @property
    def is_finished(self) -> bool:
        """Whether it came to its end, so that its figures enter means."""
        return self.damage is None and self.record.status is Status.FINISHED

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


def find_runs(folder: Path) -> list[Run]:
    """All runs in `folder` and at any depth below it: primal before dual, table before network, then name and seed.

    A folder is a run if it holds run.json, or `.hydra` alone when the run failed before it started.

    Example:
        >>> find_runs(Path("no/such/folder"))
        []
    """
    runs = []
    for parent, folders, files in os.walk(folder):
        if RUN in files or ".hydra" in folders:
            runs.append(_read_run(Path(parent)))
        folders[:] = [name for name in folders if not name.startswith(".")]
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
    return (*names, settings(run), own.seed is None, own.seed or 0, str(run.folder))


def _read_run(folder: Path) -> Run:
    figures = {name: path for name in FIGURES if (path := folder / f"{name}.png").is_file()}
    if not (folder / RUN).exists():
        return Run(folder, _composed(folder, "failed before it started"), figures)
    try:
        record = read_record(folder)
        if record is None:
            raise ValueError("it is no file")
        if record.status is not Status.FINISHED and record.steps_done is None and (rows := read_metrics(folder)):
            record = replace(record, steps_done=int(rows[-1]["step"]))
    except (OSError, ValueError, LookupError, RecursionError) as error:
        return Run(folder, _composed(folder), figures, damage=str(error.__cause__ or error))
    return Run(folder, record, figures)


def _composed(folder: Path, error: str | None = None) -> RunRecord:
    """The configuration that hydra composed for a run without a record, as a record."""
    overrides = [str(item) for item in _yaml(folder / ".hydra" / "overrides.yaml", list)]
    chosen = _yaml(folder / ".hydra" / "hydra.yaml", dict)
    for name in ("hydra", "runtime", "choices"):
        inner = chosen.get(name)
        chosen = inner if isinstance(inner, dict) else {}
    known = {name: str(entry) for name, entry in chosen.items() if entry}
    known["seed"] = str(_yaml(folder / ".hydra" / "config.yaml", dict).get("seed"))
    known |= {option(item): item.partition("=")[2] for item in overrides}
    return RunRecord(
        Status.FAILED,
        solver=known.get("solver"),
        data=known.get("data"),
        generator=known.get("generator"),
        seed=int(known["seed"]) if known["seed"].isdecimal() else None,
        overrides=tuple(overrides),
        error=error,
    )


def _yaml(path: Path, kind: type) -> Any:
    try:
        loaded = yaml.safe_load(plain_yaml(path))
    except (OSError, ValueError, yaml.YAMLError):
        return kind()
    return loaded if isinstance(loaded, kind) else kind()


def option(override: str) -> str:
    """The name that an override sets: "seed" of "++seed=1"."""
    return override.lstrip("+~").partition("=")[0]
