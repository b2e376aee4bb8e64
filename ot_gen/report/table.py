"""comparison.csv: every figure of every run, one row a run."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ot_gen.evaluation import EncoderJudgement, Judgement
from ot_gen.report.certified import Certificate, Metric
from ot_gen.report.runs import Run


def comparison_csv(runs: Sequence[Run], runs_dir: Path) -> str:
    """The table as CSV text: certificate_*, metric_* and encoder_* columns after those of the run; empty where unknown.

    Example:
        >>> comparison_csv([], Path()).split(",")[:2]
        ['folder', 'status']
    """
    parts = {"encoder": EncoderJudgement._fields, "reference": Judgement._fields}
    other = {"folder", "overrides", "versions", "figures", "certificate", "metrics", *parts}
    names = [item.name for item in fields(Run) if item.name not in other]
    metrics = list(dict.fromkeys(name for run in runs for name in run.metrics))
    table: list[list[Any]] = [
        [
            *("folder", *names),
            *(f"{part}_{key}" for part, keys in parts.items() for key in keys),
            *(f"certificate_{name}" for name in _certificate(None)),
            *(f"metric_{name}{'' if key == 'value' else f'_{key}'}" for name in metrics for key in Metric._fields),
            "overrides",
        ]
    ]
    for run in runs:
        found = [run.metrics.get(name) for name in metrics]
        table.append(
            [
                run.folder.relative_to(runs_dir).as_posix(),
                *(getattr(run, name) for name in names),
                *(getattr(run, part).get(key) for part, keys in parts.items() for key in keys),
                *_certificate(run.certificate).values(),
                *(value for metric in found for value in metric or (None,) * len(Metric._fields)),
                " ".join(run.overrides),
            ]
        )
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows(table)
    return file.getvalue()


def _certificate(found: Certificate | None) -> dict[str, Any]:
    """Its entries, those that are pairs in two columns."""
    flat: dict[str, Any] = {}
    for name in Certificate._fields:
        value = getattr(found, name, None)
        if name in ("interval", "reference"):
            flat |= dict(zip((f"{name}_lower", f"{name}_upper"), value or (None, None), strict=True))
        else:
            flat[name] = value
    return flat
