"""comparison.csv: every figure of every run, one row a run."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from ot_gen.execution import cell
from ot_gen.report.runs import Run
from ot_gen.runs.codec import is_part, kinds, present
from ot_gen.runs.parts import RecordedMetric, Status
from ot_gen.runs.record import RunRecord

_NAMES = {"objective": "", "judgement": "", "judgement_reference": "reference"}  # of parts, where not the field's own
_BLANK = Run(Path(), RunRecord(Status.RUNNING))


def comparison_csv(runs: Sequence[Run], runs_dir: Path) -> str:
    """The table as CSV text, empty where nothing is known.

    `note` says what a row is where it repeats another: their figures count once. The other columns are the fields of
    `RunRecord` and of its parts (encoder_*, reference_* at ζ, certificate_*), then the metrics by name as metric_*,
    those of each class k as class_k_*, and the overrides.

    Example:
        >>> comparison_csv([], Path()).split(",")[:2]
        ['folder', 'status']
    """
    metrics = list(dict.fromkeys(name for run in runs for name in run.record.metrics))
    file = io.StringIO(newline="")
    classes = _classes(runs)
    columns = list(_row(_BLANK, "", metrics, classes))
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writerow({name: cell(name) for name in columns})
    rows = (_row(run, run.folder.relative_to(runs_dir).as_posix(), metrics, classes) for run in runs)
    writer.writerows({name: cell(value) for name, value in row.items()} for row in rows)
    return file.getvalue()


def _classes(runs: Sequence[Run]) -> dict[str, int]:
    """The metrics of classes by name, and the number of classes that any run has each of."""
    known: dict[str, int] = {}
    for run in runs:
        for name, rows in ({} if run.record.classes is None else run.record.classes.metrics).items():
            known[name] = max(known.get(name, 0), len(rows))
    return known


def _row(run: Run, folder: str, metrics: Sequence[str], classes: Mapping[str, int]) -> dict[str, Any]:
    row: dict[str, Any] = {"folder": folder, "status": run.status, "note": run.note, "error": run.error}
    for name, kind in kinds(RunRecord).items():
        if name not in row:
            row |= _columns(present(kind), getattr(run.record, name), _NAMES.get(name, name))
    for name in metrics:
        row |= _metric(run.record.metrics.get(name), f"metric_{name}")
    own = run.record.classes
    for name, size in classes.items():
        rows = () if own is None else own.metrics.get(name, ())
        for k in range(size):
            row |= _metric(rows[k] if k < len(rows) else None, f"class_{k}_{name}")
    return row | {"overrides": " ".join(run.record.overrides)}


def _metric(value: RecordedMetric | None, name: str) -> dict[str, Any]:
    return {column.removesuffix("_value"): number for column, number in _columns(RecordedMetric, value, name).items()}


def _columns(kind: Any, value: Any, name: str) -> dict[str, Any]:
    """A value by the names of its columns: a part has one for each field, a pair two; lists and mappings have none."""
    if is_part(kind):
        prefix = f"{name}_" if name else ""
        columns: dict[str, Any] = {}
        for field, inner in kinds(kind).items():
            columns |= _columns(present(inner), getattr(value, field, None), prefix + field)
        return columns
    if get_origin(kind) is None:
        return {name: value}
    if get_args(kind) != (float, float):
        return {}
    return dict(zip((f"{name}_lower", f"{name}_upper"), value or (None, None), strict=True))
