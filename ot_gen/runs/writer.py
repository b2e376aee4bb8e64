"""The writer of a run's record: run.json at each change of status, and metrics.csv row by row."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, final

from ot_gen.execution import kind_and_message, naming, read_progress, write_text
from ot_gen.runs.parts import Status
from ot_gen.runs.record import CONFIG, METRICS, RunRecord, metric_rows, versions, write_record
from ot_gen.training import Interrupted, Progress


@final
class RecordWriter:
    """Writes a run's record. run.json is rewritten whole, under a temporary name, at each change of status.

    As a context it records how the run ended, whatever happens inside: interrupted by a signal, or failed and why.
    Contexts that end with the run are entered in `closing`; they are closed after run.json is written.

    Where the folder holds a result that the run is to replace, the writer waits: it writes nothing before `begin`,
    which the row of the first step calls. A mistake that shows before then leaves the folder as it was.

    Args:
        folder: the run's folder.
        record: what is known at the start: names of the parts, seed. Versions, time, host and process are added.
        waits: whether nothing is written yet.

    Attributes:
        record: as it was written last, or will be.
        closing: closed at the end of the context, the last entered first.
    """

    def __init__(self, folder: Path, record: RunRecord, waits: bool = False) -> None:
        self.folder = folder
        self._waiting: list[Callable[[], None]] | None = [] if waits else None
        self.closing = ExitStack()
        self.closing.callback(self.close)
        self._metrics: TextIO | None = None
        self._columns: list[str] = []  # of metrics.csv, where it goes on
        folder.mkdir(parents=True, exist_ok=True)
        now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self.write(replace(record, versions=versions(), started=now, host=platform.node(), process=os.getpid()))

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Where the disk is full, what went wrong is said and not that it cannot be recorded.
        with self.closing, nullcontext() if error is None else suppress(OSError):
            if isinstance(error, KeyboardInterrupt):
                reason = str(error) if isinstance(error, Interrupted) else f"stopped ({error or 'SIGINT'})"
                self.update(status=Status.INTERRUPTED, error=reason)
            elif error is not None:
                self.update(status=Status.FAILED, error=kind_and_message(error))

    @property
    def has_begun(self) -> bool:
        """Whether it writes; else the folder is as an earlier run left it."""
        return self._waiting is None

    def do(self, change: Callable[[], None]) -> None:
        """Make a change to the folder: now, or as soon as the writer begins."""
        if self._waiting is None:
            change()
        else:
            self._waiting.append(change)

    def begin(self) -> None:
        """Write what waits, run.json first; nothing where the writer has begun."""
        changes, self._waiting = self._waiting, None
        if changes is not None:
            self.write(self.record)
            for change in changes:
                change()

    def write(self, record: RunRecord) -> None:
        """Rewrite run.json."""
        self.record = record
        if self.has_begun:
            write_record(self.folder, record)

    def configure(self, text: str) -> None:
        """Rewrite config.yaml."""
        self.do(lambda: write_text(self.folder / CONFIG, text))

    def update(self, **changes: Any) -> None:
        """Rewrite run.json with these fields changed."""
        self.write(replace(self.record, **changes))

    def __call__(self, progress: Progress) -> None:
        """A callback of `fit`: append the step's row to metrics.csv.

        A row reaches the file before the checkpoint of its step. After a kill, a lost row is always computed again.
        """
        self.begin()
        row = progress.rows[-1]
        path = self.folder / METRICS
        try:
            if self._metrics is None:
                self._metrics = path.open("a", encoding="utf-8")
                if self._metrics.tell() == 0:
                    self._columns = list(row)
                    self._metrics.write(",".join(row) + "\n")
            self._metrics.write(",".join(f"{row.get(name, math.nan):.9g}" for name in self._columns) + "\n")
            self._metrics.flush()
        except OSError as error:
            raise naming(error, path) from error

    def close(self) -> None:
        """Close metrics.csv; a later row opens it again."""
        if self._metrics is not None:
            with suppress(OSError):  # of a row that could not be written, which has been said
                self._metrics.close()
            self._metrics = None

    def begin_metrics(self, resume: Path | None) -> None:
        """Begin metrics.csv: empty, or with the rows of the run that wrote the checkpoint `resume`, up to its step."""
        lines = []
        if resume is not None and (rows := list(metric_rows(resume.parent))):
            step, header = read_progress(resume)["step"], rows[0]
            kept = [row for row in rows[1:] if row[0].isdecimal() and int(row[0]) <= step]
            lines = [",".join(row) + "\n" for row in [header, *kept]] if kept else []
            self._columns = header
        self.do(lambda: self._begin_metrics("".join(lines)))

    def _begin_metrics(self, text: str) -> None:
        self.close()
        if text:
            write_text(self.folder / METRICS, text)
        else:
            (self.folder / METRICS).unlink(missing_ok=True)
