"""The command `ot-gen-compare RUNS_DIR`: every run below a folder on one self-contained page, and in one CSV file."""

from __future__ import annotations

import argparse
import base64
import csv
import io
import json
import math
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import yaml

from ot_gen.report.record import RUN, read_metrics, write_text

PAGE, TABLE = "comparison.html", "comparison.csv"
SIDES, CELLS = ("primal", "dual"), ("table", "network")
FIGURES = ("samples", "reconstructions", "curves")
_KINDS: dict[str, tuple[type, ...]] = {"str": (str,), "str | None": (str,), "float | None": (int, float)}


@dataclass(frozen=True)
class Run:
    """One run as its folder tells it, in the words of run.json; None where the folder does not say.

    `status` is "finished", "failed", "interrupted", "unfinished" (killed, or still running) or "damaged"; `value` and
    `penalty` are the run's own objective at the end, and `figures` the pictures in its folder, by name.
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
    n: float | None = None
    w1: float | None = None
    w1_floor: float | None = None
    w2_squared: float | None = None
    w2_squared_floor: float | None = None
    started: str | None = None
    overrides: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, Path] = field(default_factory=dict)


class Statistic(NamedTuple):
    """Mean and sample standard deviation (None for one value) of `size` values; NaN where one of them is not finite."""

    mean: float
    deviation: float | None
    size: int


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
    return sorted(found, key=_order)


def write_comparison(runs_dir: Path, output: Path) -> Path:
    """Write comparison.html and comparison.csv about the runs below `runs_dir` into `output`; returns the page's path.

    Raises:
        ValueError: no folder `runs_dir`, or no run in it.
        OSError: a file that cannot be read or written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as name:
        ...     _ = (Path(name) / RUN).write_text('{"status": "finished", "data": "ring", "w1": 0.5}')
        ...     write_comparison(Path(name), Path(name)).name
        'comparison.html'
    """
    if not runs_dir.is_dir():
        raise ValueError(f"{runs_dir} is not a folder; give the folder that your runs were written to")
    runs = find_runs(runs_dir)
    if not runs:
        raise ValueError(f"no run in {runs_dir} (no folder there holds {RUN}); start one with `ot-gen`")
    page, table = _page(runs, runs_dir), _csv(runs, runs_dir)
    output.mkdir(parents=True, exist_ok=True)
    write_text(output / TABLE, table)
    write_text(output / PAGE, page)
    return output / PAGE


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code, 2 for an error that the caller can mend.

    Example:
        >>> main(["no/such/folder"])
        2
    """
    parser = argparse.ArgumentParser("ot-gen-compare", description="Compare all runs below a folder on one page.")
    parser.add_argument("runs_dir", metavar="RUNS_DIR", type=Path, help="the folder that holds the runs, at any depth")
    parser.add_argument("--output", metavar="FOLDER", type=Path, help="where the files go (default: RUNS_DIR)")
    arguments = parser.parse_args(argv)
    try:
        page = write_comparison(arguments.runs_dir, arguments.output or arguments.runs_dir)
    except ValueError as error:
        sys.stderr.write(f"ot-gen-compare: error: {error}\n")
    except OSError as error:
        sys.stderr.write(f"ot-gen-compare: error: {error.strerror}: {error.filename}; try another --output\n")
    else:
        sys.stdout.write(f"{page}\n")
        return 0
    return 2


def _statistic(runs: Iterable[Run], name: str) -> Statistic | None:
    """Mean and spread of a field over the runs that know it; None if none does."""
    values = [float(value) for run in runs if (value := getattr(run, name)) is not None]
    if not values:
        return None
    if len(values) == 1:
        return Statistic(values[0], None, 1)
    if not all(map(math.isfinite, values)):
        return Statistic(math.nan, math.nan, len(values))
    return Statistic(statistics.fmean(values), statistics.stdev(values), len(values))


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
    for name, kind in {"objective": dict, "judgement": dict, "versions": dict, "overrides": list}.items():
        record[name] = record.get(name) or kind()
        if not isinstance(record[name], kind):
            raise ValueError(f"{name} is {record[name]!r}")
    flat = record | record["objective"] | record["judgement"]
    facts: dict[str, Any] = {"overrides": tuple(map(str, record["overrides"]))}
    facts["versions"] = {name: str(version) for name, version in record["versions"].items()}
    for item in fields(Run):
        value, kinds = flat.get(item.name), _KINDS.get(str(item.type))
        if kinds and value is not None:
            if not isinstance(value, kinds):
                raise ValueError(f"{item.name} is {value!r}")
            facts[item.name] = value
    return facts


def _composed(folder: Path) -> dict[str, Any]:
    """What hydra had composed for a run that left no record."""
    overrides = [str(item) for item in _yaml(folder / ".hydra" / "overrides.yaml", list)]
    chosen = _yaml(folder / ".hydra" / "hydra.yaml", dict)
    for name in ("hydra", "runtime", "choices"):
        inner = chosen.get(name)
        chosen = inner if isinstance(inner, dict) else {}
    seed = _yaml(folder / ".hydra" / "config.yaml", dict).get("seed")
    known = chosen | {"seed": seed} | {_name(item): item.partition("=")[2] for item in overrides}
    facts: dict[str, Any] = {name: str(known[name]) for name in ("data", "solver", "generator") if known.get(name)}
    facts["seed"] = int(known["seed"]) if str(known["seed"]).isdecimal() else None
    return facts | {"overrides": tuple(overrides)}


def _yaml(path: Path, kind: type) -> Any:
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return kind()
    return loaded if isinstance(loaded, kind) else kind()


def _name(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _settings(run: Run) -> tuple[str, ...]:
    """What a run was told beyond the table's own columns; one that was resumed counts as the run it continues."""
    shown = {"solver", "data", "cost", "seed", "generator", "resume"}
    sizes = {"generator": run.generator, "batch": run.batch_size}
    told = [f"{name} {size}" for name, size in sizes.items() if size is not None]
    return (*told, *sorted(item for item in run.overrides if _name(item) not in shown))


def _order(run: Run) -> tuple[Any, ...]:
    """Sorts the page; without its last three entries it is one and the same for runs that differ in their seed only."""
    rank = [order.index(name) if name in order else 2 for order, name in ((SIDES, run.side), (CELLS, run.cell))]
    names = [run.data is None, run.data or "", *rank, run.solver or "", run.cost or "~", run.steps or math.inf]
    return (*names, _settings(run), run.seed is None, run.seed or 0, str(run.folder))


def _csv(runs: Sequence[Run], runs_dir: Path) -> str:
    names = [item.name for item in fields(Run) if item.name not in ("folder", "overrides", "versions", "figures")]
    table = [["folder", *names, "overrides"]]
    for run in runs:
        path, values = run.folder.relative_to(runs_dir).as_posix(), [getattr(run, name) for name in names]
        table.append([path, *values, " ".join(run.overrides)])
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows(table)
    return file.getvalue()


def _page(runs: Sequence[Run], runs_dir: Path) -> str:
    loader, strict = jinja2.PackageLoader("ot_gen.report", ""), jinja2.StrictUndefined
    environment = jinja2.Environment(loader=loader, undefined=strict, autoescape=True)
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters |= {"fixed": _fixed, "places": _places}
    packages = dict.fromkeys(name for run in runs for name in run.versions)
    return environment.get_template("page.html.j2").render(
        name=runs_dir.resolve().name,
        folder=lambda run: run.folder.relative_to(runs_dir).as_posix(),
        runs=runs,
        sections=[_section(data, list(members)) for data, members in groupby(runs, key=lambda run: run.data)],
        statistic=_statistic,
        settings=_settings,
        encoded=lambda path: base64.b64encode(path.read_bytes()).decode("ascii"),
        statuses=Counter(run.status for run in runs).most_common(),
        versions={name: Counter(run.versions[name] for run in runs if name in run.versions) for name in packages},
        made=time.strftime("%Y-%m-%d %H:%M"),
    )


def _section(data: str | None, runs: list[Run]) -> dict[str, Any]:
    finished = [run for run in runs if run.status == "finished"]
    told = [_settings(run) for run in finished or runs]
    return {
        "data": data,
        "runs": runs,
        "groups": [list(members) for _, members in groupby(runs, key=lambda run: _order(run)[:-3])],
        "shared": [item for item in told[0] if all(item in own for own in told)],
        "sizes": sorted({run.n for run in finished if run.n is not None}),
        "scales": {name: _scale(finished, name) for name in ("w1", "w2_squared")},
    }


def _scale(runs: Sequence[Run], name: str) -> dict[str, Any]:
    """How a column of W values is drawn: bars from 0 to `limit`, numbers with `places` decimals."""
    known = [[getattr(run, key) for run in runs] for key in (name, f"{name}_floor")]
    values, floors = (sorted(x for x in column if x is not None and math.isfinite(x)) for column in known)
    # A run that diverged leaves the scale; it must not shrink all other bars to nothing.
    limit = min(1.05 * max([*values, *floors], default=0), 3 * max(statistics.median(values or [0]), *floors, 0))
    middle = statistics.median(floors or values or [1])
    return {"limit": limit or 1, "floors": floors, "places": _places(middle, 4 if middle >= 1 else 3)}


def _places(value: float, digits: int = 4) -> int:
    exponent = math.floor(math.log10(abs(value))) if value and math.isfinite(value) else 0
    return min(6, max(0, digits - 1 - exponent))


def _fixed(value: float, places: int) -> str:
    text = f"{value:,.{places}f}" if abs(value) < 1e7 else f"{value:.3g}"
    return text.replace(",", "\u202f").replace("-", "−")


if __name__ == "__main__":
    sys.exit(main())
