"""Runs as their folders tell of them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, final

import yaml

from ot_gen.evaluation import EncoderJudgement
from ot_gen.report.certified import Certificate, Metric, read_certificate, read_metric
from ot_gen.runs.record import RUN, read_metrics

SIDES, CELLS = ("primal", "dual"), ("table", "network")
FIGURES = ("samples", "reconstructions", "codes", "manifold", "interpolations", "curves")
_KINDS: dict[str, tuple[type, ...]] = {"str": (str,), "str | None": (str,), "float | None": (int, float)}


@final
@dataclass(frozen=True)
class Run:
    """One run as its folder tells it, in the words of run.json; None where the folder does not say.

    `status` is "finished", "failed", "interrupted", "unfinished" (killed, or still running) or "damaged"; `value` and
    `penalty` are the run's own objective at the end, `floor` what the value would be between two real samples, and
    `figures` the pictures in its folder, by name. `encoder` is an `EncoderJudgement`, and with an `ex_post` prior
    `reference` is the judgement of the same generator at ζ; both are empty where there is none. `certificate` bounds
    W_c(μ, ν); `metrics` are by name, on `metrics_n` samples a side. Where a record has no judgement, its W₁ and W₂² are
    those of the metrics.
    """

    folder: Path
    status: str
    error: str | None = None
    data: str | None = None
    solver: str | None = None
    side: str | None = None
    cell: str | None = None
    cost: str | None = None
    generator: str | None = None
    seed: float | None = None
    bound: str | None = None
    steps: float | None = None
    steps_done: float | None = None
    batch_size: float | None = None
    seconds: float | None = None
    images: float | None = None
    images_per_second: float | None = None
    value: float | None = None
    penalty: float | None = None
    floor: float | None = None
    n: float | None = None
    w1: float | None = None
    w1_floor: float | None = None
    w2_squared: float | None = None
    w2_squared_floor: float | None = None
    ex_post: str | None = None
    started: str | None = None
    overrides: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    encoder: Mapping[str, float] = field(default_factory=dict)
    reference: Mapping[str, float] = field(default_factory=dict)
    certificate: Certificate | None = None
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    metrics_n: float | None = None
    figures: Mapping[str, Path] = field(default_factory=dict)


def find_runs(folder: Path) -> list[Run]:
    """All runs in `folder` and at any depth below it: primal before dual, table before network, then name and seed.

    A folder is a run if it holds run.json, or `.hydra` alone when the run failed before it started.

    Example:
        >>> find_runs(Path("no/such/folder"))
        []
    """
    found = []
    for parent, folders, files in os.walk(folder):
        if RUN in files or ".hydra" in folders:
            found.append(_read_run(Path(parent)))
        folders[:] = [name for name in folders if not name.startswith(".")]
    # A run that failed early knows its solver only: the name tells the side, and other runs of that solver the cell.
    cells = {run.solver: run.cell for run in found if run.cell}
    sides = {run.solver: side for run in found for side in SIDES if (run.solver or "").startswith(f"{side}/")}
    for index, run in enumerate(found):
        found[index] = replace(run, side=run.side or sides.get(run.solver), cell=run.cell or cells.get(run.solver))
    return sorted(found, key=order)


def settings(run: Run) -> tuple[str, ...]:
    """What a run was told beyond the table's own columns; one that was resumed counts as the run it continues."""
    shown = {"solver", "data", "cost", "seed", "generator", "resume"}
    sizes = {"generator": run.generator, "batch": run.batch_size}
    told = [f"{name} {size}" for name, size in sizes.items() if size is not None]
    return (*told, *sorted(item for item in run.overrides if option(item) not in shown))


def order(run: Run) -> tuple[Any, ...]:
    """Sorts the page; without its last three entries it is one and the same for runs that differ in their seed only."""
    rank = [ranked.index(name) if name in ranked else 2 for ranked, name in ((SIDES, run.side), (CELLS, run.cell))]
    names = [run.data is None, run.data or "", *rank, run.solver or "", run.cost or "~", run.steps or math.inf]
    return (*names, settings(run), run.seed is None, run.seed or 0, str(run.folder))


def _read_run(folder: Path) -> Run:
    figures = {name: path for name in FIGURES if (path := folder / f"{name}.png").is_file()}
    if not (folder / RUN).exists():
        return Run(folder, "failed", "failed before it started", figures=figures, **_composed(folder))
    try:
        facts = _checked(json.loads((folder / RUN).read_text(encoding="utf-8")))
        if facts["status"] != "finished" and "steps_done" not in facts and (rows := read_metrics(folder)):
            facts["steps_done"] = int(rows[-1]["step"])
    except (OSError, ValueError, LookupError) as error:
        return Run(folder, "damaged", f"its record is damaged: {error}", figures=figures, **_composed(folder))
    if facts["status"] == "running":
        facts |= {"status": "unfinished", "error": facts.get("error", "killed, or still running")}
    return Run(folder, figures=figures, **facts)


def _checked(record: object) -> dict[str, Any]:
    """The fields of `Run` in run.json, objective and judgement flattened; ValueError for what cannot be one."""
    if not isinstance(record, dict) or not isinstance(record.get("status"), str):
        raise ValueError("it names no status")
    names = ("objective", "judgement", "judgement_reference", "encoder", "versions", "certificate", "metrics")
    parts = dict.fromkeys(names, dict)
    for name, kind in (parts | {"overrides": list}).items():
        record[name] = record.get(name) or kind()
        if not isinstance(record[name], kind):
            raise ValueError(f"{name} is {record[name]!r}")
    metrics = {name: read_metric(name, found) for name, found in record["metrics"].items() if found is not None}
    exact = {}
    if not record["judgement"]:
        known = {name: metrics[name] for name in ("w1", "w2_squared") if name in metrics}
        exact = {"n": record.get("metrics_n")} if known else {}
        exact |= {name: found.value for name, found in known.items()}
        exact |= {f"{name}_floor": found.floor for name, found in known.items()}
    flat = record | record["objective"] | record["judgement"] | exact
    facts: dict[str, Any] = {"overrides": tuple(map(str, record["overrides"])), "metrics": metrics}
    facts["certificate"] = read_certificate(record["certificate"])
    facts["versions"] = {name: str(version) for name, version in record["versions"].items()}
    facts["encoder"], facts["reference"] = _figures(record["encoder"]), _figures(record["judgement_reference"])
    missing = set(EncoderJudgement._fields) - set(EncoderJudgement._field_defaults) - set(facts["encoder"])
    if facts["encoder"] and missing:
        raise ValueError(f"its encoder's judgement lacks {', '.join(sorted(missing))}")
    for item in fields(Run):
        value, kinds = flat.get(item.name), _KINDS.get(str(item.type))
        if kinds and value is not None:
            if not isinstance(value, kinds):
                raise ValueError(f"{item.name} is {value!r}")
            facts[item.name] = value
    return facts


def _figures(judgement: Mapping[str, object]) -> dict[str, float]:
    """Those that are known; ValueError for what is no number."""
    known = {name: value for name, value in judgement.items() if value is not None}
    for name, value in known.items():
        if not isinstance(value, int | float):
            raise ValueError(f"{name} is {value!r}")
    return known  # type: ignore[return-value]  # checked above


def _composed(folder: Path) -> dict[str, Any]:
    """What hydra had composed for a run that left no record."""
    overrides = [str(item) for item in _yaml(folder / ".hydra" / "overrides.yaml", list)]
    chosen = _yaml(folder / ".hydra" / "hydra.yaml", dict)
    for name in ("hydra", "runtime", "choices"):
        inner = chosen.get(name)
        chosen = inner if isinstance(inner, dict) else {}
    seed = _yaml(folder / ".hydra" / "config.yaml", dict).get("seed")
    known = chosen | {"seed": seed} | {option(item): item.partition("=")[2] for item in overrides}
    facts: dict[str, Any] = {name: str(known[name]) for name in ("data", "solver", "generator") if known.get(name)}
    facts["seed"] = int(known["seed"]) if str(known["seed"]).isdecimal() else None
    return facts | {"overrides": tuple(overrides)}


def _yaml(path: Path, kind: type) -> Any:
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return kind()
    return loaded if isinstance(loaded, kind) else kind()


def option(override: str) -> str:
    """The name that an override sets: "seed" of "++seed=1"."""
    return override.lstrip("+~").partition("=")[0]
