"""How to repeat a comparison: the commands that train its runs, and the versions that they were trained with."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from ot_gen.execution import on_one_line
from ot_gen.report.results import Method, Results
from ot_gen.report.runs import option


def reproduction(results: Sequence[Results], folders: Sequence[Path], export: Path) -> str:
    """A shell script: a line for each method, which trains it with all its seeds, and the line that compares them.

    What a run took from a file of yours is named as the run named it; an entry of your own needs its --config-dir.
    """
    versions: dict[str, set[str]] = {}
    for method in (method for one in results for method in one.methods):
        for run in method.runs:
            for name, version in run.record.versions.items():
                versions.setdefault(name, set()).add(version)
    known = ", ".join(f"{name} {' or '.join(sorted(those))}" for name, those in versions.items())
    lines = ["#!/bin/sh", f"# Trained with {on_one_line(known) or 'versions that were not recorded'}."]
    for one in results:
        lines += ["", f"# {on_one_line(one.data)}: {on_one_line(one.section.known)}"]
        lines += [command(method) for method in one.methods]
    compared = ["ot-gen-compare", *map(str, folders), "--export", str(export)]
    return "\n".join([*lines, "", f"# Into the folders that are compared:\n{shlex.join(compared)}", ""])


def command(method: Method) -> str:
    """The line that repeats the runs of a method.

    Example:
        >>> from ot_gen.report.runs import Run
        >>> from ot_gen.runs.parts import Status
        >>> from ot_gen.runs.record import RunRecord
        >>> overrides = ("solver=primal/vae", "seed=1")
        >>> runs = [Run(Path(), RunRecord(Status.FINISHED, seed=seed, overrides=overrides)) for seed in (1, 0)]
        >>> command(Method("vae", runs))
        'ot-gen -m solver=primal/vae seed=0,1'
    """
    own = method.runs[0].record
    if own.samples is not None:
        words = ["ot-gen", "evaluate", "--samples", own.samples, *own.overrides]
        return shlex.join(map(on_one_line, words))
    kept = [
        item for item in own.overrides if option(item) not in ("seed", "resume", "hydra.run.dir", "hydra.sweep.dir")
    ]
    seeds = sorted({run.record.seed for run in method.runs if run.record.seed is not None})
    words = ["ot-gen", *(["-m"] if len(seeds) > 1 else []), *kept]
    words += [f"seed={','.join(map(str, seeds))}"] if seeds else []
    note = "  # then judged again by ot-gen evaluate --run" if own.run is not None else ""
    return shlex.join(map(on_one_line, words)) + note
