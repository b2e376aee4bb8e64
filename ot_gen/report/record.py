"""The record that a run leaves in its folder.

config.yaml              the resolved configuration
run.json                 status, versions, seed, sizes, times, last figures, judgement
metrics.csv              one row for each step
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
from typing import Any

import torch

from ot_gen.checkpoints import read_progress
from ot_gen.training import CHECKPOINT_NAME, Progress

RUN, METRICS, CONFIG = "run.json", "metrics.csv", "config.yaml"


class RunRecord:
    """Writes a run's record. `run.json` is rewritten whole, under a temporary name, at each change of status.

    Args:
        folder: the run's folder.
        facts: what is known at the start: names of the parts, seed, steps.

    The status goes from "running" to "finished", "failed" or "interrupted"; a run that was killed stays "running".
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        self.folder = folder
        self.facts: dict[str, Any] = {"status": "running", **facts, "versions": versions(), "started": _now()}
        self._pending: list[dict[str, float]] = []
        self._written = 0.0
        folder.mkdir(parents=True, exist_ok=True)
        self.update()

    def update(self, **facts: Any) -> None:
        """Add facts and rewrite run.json."""
        self.facts |= facts
        write_text(self.folder / RUN, json.dumps(self.facts, indent=2) + "\n")

    def __call__(self, progress: Progress) -> None:
        """A callback of `fit`: append the step's row to metrics.csv, flushed every few seconds."""
        self._pending.append(progress.rows[-1])
        if time.monotonic() - self._written > 2.0 or progress.step == progress.steps:
            self.flush()

    def flush(self) -> None:
        """Append the rows that are still in memory to metrics.csv."""
        self._written = time.monotonic()
        if not self._pending:
            return
        path = self.folder / METRICS
        is_new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(self._pending[0]))
            if is_new:
                writer.writeheader()
            writer.writerows({key: f"{value:.9g}" for key, value in row.items()} for row in self._pending)
        self._pending.clear()

    def begin_metrics(self, resume: Path | None) -> None:
        """Begin metrics.csv: empty, or with the rows, up to its step, of the run that wrote the checkpoint `resume`."""
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
    """Write a text file under a temporary name and rename it, so that no reader ever sees half of it."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
