"""The record that a run leaves in its folder.

config.yaml              the resolved configuration
run.json                 status, versions, seed, sizes, times, last figures, judgement
metrics.csv              one row for each step, written before the next step begins
checkpoint.safetensors   weights, optimizer, random state (written by `fit`)
*.png                    samples, reconstructions, training curves
"""

from __future__ import annotations

import csv
import json
import os
import platform
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TextIO, final

import torch

from ot_gen.execution import read_progress
from ot_gen.training import CHECKPOINT_NAME, Progress

RUN, METRICS, CONFIG = "run.json", "metrics.csv", "config.yaml"


@final
class RunRecord:
    """Writes a run's record. `run.json` is rewritten whole, under a temporary name, at each change of status.

    Args:
        folder: the run's folder.
        facts: what is known at the start: names of the parts, seed, steps.

    The status goes from "running" to "finished", "failed" or "interrupted"; a run that was killed stays "running".
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        self.folder = folder
        where = {"host": platform.node(), "process": os.getpid()}
        self.facts: dict[str, Any] = {"status": "running", **facts, "versions": versions(), "started": _now(), **where}
        self._metrics: TextIO | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.update()

    def update(self, **facts: Any) -> None:
        """Add facts and rewrite run.json."""
        self.facts |= facts
        write_text(self.folder / RUN, json.dumps(self.facts, indent=2) + "\n")

    def __call__(self, progress: Progress) -> None:
        """A callback of `fit`: append the step's row to metrics.csv.

        A row reaches the file before the checkpoint of its step can: a kill never loses one that is not done again.
        """
        row = progress.rows[-1]
        if self._metrics is None:
            self._metrics = (self.folder / METRICS).open("a", encoding="utf-8")
            if self._metrics.tell() == 0:
                self._metrics.write(",".join(row) + "\n")
        self._metrics.write(",".join(f"{value:.9g}" for value in row.values()) + "\n")
        self._metrics.flush()

    def close(self) -> None:
        """Close metrics.csv; a later row opens it again."""
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None

    def begin_metrics(self, resume: Path | None) -> None:
        """Begin metrics.csv: empty, or with the rows, up to its step, of the run that wrote the checkpoint `resume`."""
        self.close()
        path, lines = self.folder / METRICS, []
        if resume is not None and (earlier := resume.parent / METRICS).is_file():
            step = read_progress(resume)["step"]
            with earlier.open(newline="") as file:
                header, *rows = list(csv.reader(file)) or [[]]
            kept = [row for row in rows if len(row) == len(header) and all(row) and int(row[0]) <= step]
            lines = [",".join(row) + "\n" for row in [header, *kept]] if kept else []
        if lines:
            write_text(path, "".join(lines))
        else:
            path.unlink(missing_ok=True)


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The rows of a run's metrics.csv; a last line cut short by a kill is left out.

    Example:
        >>> read_metrics(Path("no/such/run"))
        []
    """
    path = folder / METRICS
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if None not in row and all(row.values())]
    return [{key: float(value) for key, value in row.items()} for row in rows]


def checkpoint_in(path: str | Path) -> Path:
    """The checkpoint named by a run folder or by the file itself.

    Example:
        >>> checkpoint_in("runs/a.safetensors").name
        'a.safetensors'
    """
    path = Path(path)
    return path / CHECKPOINT_NAME if path.is_dir() else path


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on.

    Example:
        >>> "torch" in versions()
        True
    """
    found = {"python": platform.python_version()}
    for package in ("ot_gen", "torch", "numpy", "POT", "hydra-core"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found | {"threads": str(torch.get_num_threads()), "machine": platform.machine()}


def write_text(path: Path, text: str) -> None:
    """Write a text file under a temporary name and rename it, so that no reader ever sees half of it.

    It is on the disk before it gets its name: a loss of power too leaves the old file or the new one.
    """
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def read_record(folder: Path) -> dict[str, Any] | None:
    """The facts of a run's run.json; None where there is none.

    Raises:
        ValueError: the file holds no record.

    Example:
        >>> read_record(Path("no/such/run"))
    """
    path = folder / RUN
    if not path.is_file():
        return None
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); remove its folder, and the run starts anew") from error
    if not isinstance(facts, dict) or not isinstance(facts.get("status"), str):
        raise ValueError(
            f"{path} is no record of a run: it names no status; remove its folder, and the run starts anew"
        )
    return facts


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
