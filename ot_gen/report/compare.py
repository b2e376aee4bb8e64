"""The command `ot-gen-compare RUNS_DIR`: every run below a folder on one self-contained page, and in one CSV file."""

from __future__ import annotations

import argparse
import base64
import csv
import io
import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import fields
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from ot_gen.evaluation import EncoderJudgement, Judgement
from ot_gen.report.record import RUN, write_text
from ot_gen.report.runs import Run, find_runs, order, settings

PAGE, TABLE = "comparison.html", "comparison.csv"
PICTURES = (  # and what the page calls them; training curves stand apart
    ("samples", "Samples"),
    ("reconstructions", "Reconstructions: held-out y and g(f(y))"),
    ("codes", "Codes of held-out points by class, over the reference"),
    ("manifold", "The decoded latent plane"),
    ("interpolations", "Interpolations: images of straight segments between latent points"),
)


class Statistic(NamedTuple):
    """Mean and sample standard deviation (None for one value) of `size` values; NaN where one of them is not finite."""

    mean: float
    deviation: float | None
    size: int


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
    """Mean and spread of a field, "w1" or "encoder.mmd", over the runs that know it; None if none does."""
    group, _, key = name.rpartition(".")
    found = (getattr(run, group).get(key) if group else getattr(run, key) for run in runs)
    values = [float(value) for value in found if value is not None]
    if not values:
        return None
    if len(values) == 1:
        return Statistic(values[0], None, 1)
    if not all(map(math.isfinite, values)):
        return Statistic(math.nan, math.nan, len(values))
    return Statistic(statistics.fmean(values), statistics.stdev(values), len(values))


def _csv(runs: Sequence[Run], runs_dir: Path) -> str:
    parts = {"encoder": EncoderJudgement._fields, "reference": Judgement._fields}
    other = {"folder", "overrides", "versions", "figures", *parts}
    names = [item.name for item in fields(Run) if item.name not in other]
    table = [["folder", *names, *(f"{part}_{key}" for part, keys in parts.items() for key in keys), "overrides"]]
    for run in runs:
        path, values = run.folder.relative_to(runs_dir).as_posix(), [getattr(run, name) for name in names]
        judged = [getattr(run, part).get(key) for part, keys in parts.items() for key in keys]
        table.append([path, *values, *judged, " ".join(run.overrides)])
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
        settings=settings,
        pictures=PICTURES,
        encoded=lambda path: base64.b64encode(path.read_bytes()).decode("ascii"),
        statuses=Counter(run.status for run in runs).most_common(),
        versions={name: Counter(run.versions[name] for run in runs if name in run.versions) for name in packages},
        made=time.strftime("%Y-%m-%d %H:%M"),
    )


def _section(data: str | None, runs: list[Run]) -> dict[str, Any]:
    finished = [run for run in runs if run.status == "finished"]
    told = [settings(run) for run in finished or runs]
    groups = [list(members) for _, members in groupby(runs, key=lambda run: order(run)[:-3])]
    encoders = [[run for run in group if run.encoder and run in finished] for group in groups]
    return {
        "data": data,
        "runs": runs,
        "groups": groups,
        "encoders": [members for members in encoders if members],
        "encoder_sizes": {name: _values(finished, name) for name in EncoderJudgement._fields},
        "shared": [item for item in told[0] if all(item in own for own in told)],
        "sizes": sorted({run.n for run in finished if run.n is not None}),
        "scales": {name: _scale(finished, name) for name in ("w1", "w2_squared")},
    }


def _values(runs: Sequence[Run], name: str) -> str:
    """The values of an encoder's figure, in words."""
    return " or ".join(f"{value:g}" for value in sorted({run.encoder[name] for run in runs if name in run.encoder}))


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
