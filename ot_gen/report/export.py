"""A comparison as a paper takes it: tables, figures, sentences, references, and how to repeat it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ot_gen.execution import write_text
from ot_gen.report.data import by_data
from ot_gen.report.latex import means_table, verdicts_table
from ot_gen.report.paper_figures import write_figures
from ot_gen.report.references import VERDICTS, bibliography, keys
from ot_gen.report.reproduction import reproduction
from ot_gen.report.results import MeanRow, Results, VerdictRow, as_csv
from ot_gen.report.runs import Run
from ot_gen.report.section import Section
from ot_gen.report.sentences import sentences
from ot_gen.report.table import comparison_csv

RUNS, MEANS, VERDICTS_CSV, SENTENCES, BIBLIOGRAPHY, REPRODUCE = (
    *("runs.csv", "means.csv", "verdicts.csv"),
    *("sentences.md", "references.bib", "reproduce.sh"),
)


def write_export(runs: Sequence[Run], root: Path, folders: Sequence[Path], output: Path) -> Path:
    """Write what a paper takes of the runs into the folder `output`; returns it.

    runs.csv, means.csv, verdicts.csv     every run; every figure of every method; every paired difference
    DATA_means.tex, DATA_verdicts.tex     the printed tables of each data set
    DATA_intervals, DATA_metrics          figures, as .pdf and .svg
    sentences.md                          what the numbers allow
    references.bib                        of the solvers, metrics and data
    reproduce.sh                          the commands

    Args:
        runs: in the page's order, each with its standing.
        root: the folder by which runs are named.
        folders: those that are compared.

    Raises:
        ValueError: no run finished.
        OSError: a file that cannot be written.
    """
    numbers = {run.folder: number for number, run in enumerate(runs)}
    datasets = by_data([run for run in runs if run.has_started])
    sections = [Section(number, data, numbers, {}) for number, data in enumerate(datasets)]
    results = [Results(section) for section in sections if section.counted]
    if not results:
        raise ValueError(
            f"none of the {len(runs)} runs finished, so there is nothing to export; ot-gen-compare says why"
        )
    output.mkdir(parents=True, exist_ok=True)
    slugs = _slugs([one.data for one in results])
    texts: dict[str, str] = {
        RUNS: comparison_csv(runs, root),
        MEANS: as_csv(MeanRow, [row for one in results for row in one.means()]),
        VERDICTS_CSV: as_csv(VerdictRow, [row for one in results for row in one.differences()]),
    }
    for one, slug in zip(results, slugs, strict=True):
        texts[f"{slug}_means.tex"] = means_table(one, slug)
        if (table := verdicts_table(one, slug)) is not None:
            texts[f"{slug}_verdicts.tex"] = table
        write_figures(one, output, slug)
    texts[BIBLIOGRAPHY] = bibliography(_cited(results))
    texts[SENTENCES] = _document(results, _unfinished(runs), keys(texts[BIBLIOGRAPHY]))
    texts[REPRODUCE] = reproduction(results, folders, output)
    _write(texts, output)
    return output


def _write(texts: Mapping[str, str], output: Path) -> None:
    for name, text in texts.items():
        # Names of folders may hold bytes that are no text, which no file in UTF-8 can hold.
        write_text(output / name, text.encode("utf-8", "replace").decode("utf-8"))
    os.chmod(output / REPRODUCE, 0o755)


def _slugs(names: Sequence[str]) -> list[str]:
    """Names of files, one for each data set."""
    slugs = [re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "data" for name in names]
    return [slug if slugs.count(slug) == 1 else f"{slug}-{number}" for number, slug in enumerate(slugs, 1)]


def _cited(results: Sequence[Results]) -> set[str]:
    records = [run.record for one in results for method in one.methods for run in method.runs]
    names = {name for record in records for name in (record.solver, record.data) if name is not None}
    names |= {quantity.name for one in results for quantity in one.section.quantities}
    return names | ({VERDICTS} if any(one.verdicts for one in results) else set())


def _unfinished(runs: Sequence[Run]) -> str:
    trained = [run for run in runs if run.record.run is None]
    failed = sum(not run.is_finished for run in trained)
    return f"{failed} of {len(trained)} runs did not finish; they enter no figure." if failed else ""


def _document(results: Sequence[Results], unfinished: str, cited: Sequence[str]) -> str:
    lines = ["# What the numbers allow", ""]
    for one in results:
        lines += [f"## {_plain(one.data)}", "", *(f"- {_plain(sentence)}" for sentence in sentences(one)), ""]
    words = "Intervals and p-values of differences cover the randomness of training, on these data and budgets."
    lines += [f"{unfinished} {words}".strip(), ""]
    return "\n".join([*lines, f"Cite: `\\cite{{{','.join(cited)}}}`", ""])


def _plain(sentence: str) -> str:
    """A sentence in which no name is Markdown or HTML."""
    return re.sub(r"([\\`*<>|])", r"\\\1", sentence)
