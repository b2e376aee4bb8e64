"""The comparison page: one HTML file that needs nothing but itself."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from ot_gen.display import path_data, tick_words
from ot_gen.report.data import by_data
from ot_gen.report.pictures import PICTURES, embedded
from ot_gen.report.quantities import places, statistic, summary
from ot_gen.report.runs import CELLS, SIDES, Run, settings
from ot_gen.report.section import Section
from ot_gen.report.traces import dashes, read_trace
from ot_gen.runs.record import RunRecord

TEMPLATES = Path(__file__).with_name("templates")
DIFFERENCES = 2500  # rows a page, at most, unless one quantity alone has more


def comparison_page(runs: Sequence[Run], runs_dir: Path) -> str:
    """The page as HTML. It is whole without scripts. Its own script, named by hash in its policy, sorts and filters.

    Example:
        >>> from ot_gen.runs.parts import Status
        >>> comparison_page([Run(Path("a/b"), RunRecord(Status.FINISHED))], Path("a")).splitlines()[0]
        '<!DOCTYPE html>'
    """
    environment = _environment()
    folder = {run.folder: run.folder.relative_to(runs_dir).as_posix() for run in runs}
    read = {number: read_trace(run.folder) for number, run in enumerate(runs) if run.has_steps}
    traces = {number: trace for number, trace in read.items() if trace and trace.value}
    pictures = {
        run.folder: [name for name in PICTURES if name in run.figures and not (name == "curves" and number in traces)]
        for number, run in enumerate(runs)
    }
    numbers = {run.folder: number for number, run in enumerate(runs)}
    datasets = by_data([run for run in runs if run.has_started])
    sections = [Section(number, data, numbers, traces) for number, data in enumerate(datasets)]
    for run in runs:  # real data stand on the page once for each section
        if (real := run.figures.get("data")) is not None and real not in [section.real for section in sections]:
            pictures[run.folder].remove("data")
    labels = {run.folder: run.record.data or "unknown data" for run in runs}
    labels |= {run.folder: data.label or "unknown data" for data in datasets for run in data.runs}
    source = _unindented((TEMPLATES / "page.js").read_text(encoding="utf-8"))
    records = [run.record for run in runs]
    packages = dict.fromkeys(name for r in records for name in r.versions)
    page = environment.get_template("page.html.j2").render(
        name=runs_dir.resolve().name,
        folder=folder,
        number=numbers,
        runs=runs,
        sections=sections,
        facts=[_facts(run, folder[run.folder], labels) for run in runs],
        filters=_filters(runs, labels),
        failures=_failures(runs),
        dashes=dashes((run.record.side, run.record.solver or "") for run in runs),
        drawn=path_data,
        pictures=PICTURES,
        shown=pictures,
        embedded=embedded(runs, pictures),
        grouped=_grouped,
        by_label=lambda members: _by_label(members, labels),
        untold=_untold,
        statistic=statistic,
        summary=summary,
        settings=settings,
        sides=SIDES,
        cells=CELLS,
        statuses=Counter(run.status for run in runs).most_common(),
        versions={name: Counter(r.versions[name] for r in records if name in r.versions) for name in packages},
        compared=max(1, DIFFERENCES // max(1, sum(section.pairs for section in sections))),
        made=time.strftime("%Y-%m-%d %H:%M"),
        script=Markup(source),
        script_hash=base64.b64encode(hashlib.sha256(source.encode()).digest()).decode("ascii"),
    )
    return _unindented(page)


@cache
def _environment() -> jinja2.Environment:
    """The templates, compiled once a process."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, autoescape=True)
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters |= {"fixed": _fixed, "places": places, "tick": tick_words}
    environment.tests["finite"] = math.isfinite
    return environment


def _unindented(text: str) -> str:
    """Without the indentation of the templates, a third of a large page."""
    return re.sub(r"\n\s*", "\n", text)


def _grouped(runs: Sequence[Run], name: str) -> list[tuple[object, list[Run]]]:
    """The runs by a field of their records, unknown values last, otherwise in the order in which they come."""
    values = dict.fromkeys(getattr(run.record, name) for run in runs)
    return [
        (value, [run for run in runs if getattr(run.record, name) == value]) for value in sorted(values, key=_is_none)
    ]


def _by_label(runs: Sequence[Run], labels: Mapping[Path, str]) -> list[tuple[str, list[Run]]]:
    """The runs by the data of their sections."""
    names = dict.fromkeys(labels[run.folder] for run in runs)
    return [(name, [run for run in runs if labels[run.folder] == name]) for name in names]


def _is_none(value: object) -> bool:
    return value is None


def _untold(run: Run) -> Run:
    """A run that did not finish, without the figures of its unfinished model."""
    own = run.record
    return replace(run, record=RunRecord(own.status, cost=own.cost, steps=own.steps, steps_done=own.steps_done))


def _failures(runs: Sequence[Run]) -> list[tuple[str, str, list[Run]]]:
    """The runs that did not finish by status and reason, the most frequent first."""
    known: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if not run.is_finished:
            known.setdefault((run.status, run.error or "no reason recorded"), []).append(run)
    return sorted(((*why, those) for why, those in known.items()), key=lambda line: -len(line[2]))


def _facts(run: Run, folder: str, labels: Mapping[Path, str]) -> dict[str, str]:
    """What a run is filtered by."""
    own = run.record
    data = labels[run.folder]
    words = [own.solver, data, own.side, own.cell, own.cost, run.status, run.error, folder, *settings(run)]
    names = {"data": data, "side": own.side, "solver": own.solver, "status": run.status}
    seed = "unknown" if own.seed is None else str(own.seed)
    return {name: value or "unknown" for name, value in names.items()} | {
        "seed": seed,
        "text": " ".join(word for word in words if word).lower(),
    }


def _filters(runs: Sequence[Run], labels: Mapping[Path, str]) -> Mapping[str, Sequence[str]]:
    """The names by which the page can be filtered, of each kind that has several."""
    facts = [_facts(run, "", labels) for run in runs]
    choices = {name: list(dict.fromkeys(fact[name] for fact in facts)) for name in facts[0] if name != "text"}
    choices["seed"].sort(key=lambda seed: (seed == "unknown", float(seed) if seed != "unknown" else 0.0))
    return {name: values for name, values in choices.items() if len(values) > 1}


def _fixed(value: float, places: int) -> str:
    text = f"{value:,.{places}f}" if abs(value) < 1e7 else f"{value:.3g}"
    return text.replace(",", "\u202f").replace("-", "−")
