"""What a run counts for: each trained model once, by the latest judgement of it."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path

from ot_gen.report.data import by_data
from ot_gen.report.runs import Run, order


def judged_once(runs: Sequence[Run]) -> list[Run]:
    """The runs in their order, each with its standing: a note where it is a repetition, and whether it counts.

    A judgement by `ot-gen evaluate --run` is no further seed. The latest one counts in the place of its run, and takes
    the seconds and the pictures of the run where it has none. One of a run that was overwritten since counts for
    nothing. Of several runs of equal data, settings and seed the last one started counts.

    Args:
        runs: in the page's order.

    Example:
        >>> judged_once([])
        []
    """
    known = dict(enumerate(runs))
    data = {run.folder: number for number, members in enumerate(by_data(runs)) for run in members.runs}
    places = {_place(run.folder): number for number, run in known.items()}
    finished = [number for number, run in known.items() if run.is_finished]

    judgements: dict[str, list[int]] = defaultdict(list)
    for number in finished:
        if runs[number].record.run is not None:
            judgements[_place(runs[number].record.run or "")].append(number)
    for place, members in judgements.items():
        _count_once(known, members, places.get(place), _name(place))

    repeated: dict[Hashable, list[int]] = defaultdict(list)
    for number in finished:
        if known[number].is_counted and runs[number].record.seed is not None:
            repeated[data[runs[number].folder], order(runs[number])[:-1]].append(number)
    for members in repeated.values():
        _latest(known, members, lambda run: f"the same seed was started again: {run.folder.name} counts")
    return list(known.values())


def _count_once(known: dict[int, Run], judgements: Sequence[int], judged: int | None, name: str) -> None:
    """Of the judgements of one run, which is on the page where `judged` is its number, the latest counts."""
    run = None if judged is None else known[judged]
    current = [number for number in judgements if run is None or _is_of(known[number], run)]
    for number in judgements:
        if number not in current:
            known[number] = _out(known[number], f"a judgement of {name}, which was overwritten since")
    latest = _latest(known, current, lambda run: f"an earlier judgement of {name}: {run.folder.name} counts")
    if latest is None:
        return
    last = replace(known[latest], note=f"the latest judgement of {name}, which counts")
    if judged is not None and run is not None and run.is_finished:
        curves = {picture: path for picture, path in run.figures.items() if picture == "curves"}
        figures = {picture: path for picture, path in {**run.figures, **last.figures}.items() if picture != "curves"}
        seconds = last.record.seconds or run.record.seconds
        last = replace(last, record=replace(last.record, seconds=seconds), figures=figures)
        known[judged] = replace(_out(run, f"judged again: {last.folder.name} counts"), figures=curves)
    known[latest] = last


def _latest(known: dict[int, Run], members: Sequence[int], words: Callable[[Run], str]) -> int | None:
    """The member that was started last; the others no longer count, for the reason in words."""
    ordered = sorted(members, key=lambda number: (known[number].record.started or "", str(known[number].folder)))
    for number in ordered[:-1]:
        known[number] = _out(known[number], words(known[ordered[-1]]))
    return ordered[-1] if ordered else None


def _out(run: Run, note: str) -> Run:
    return replace(run, note=note, counts=False)


def _is_of(judgement: Run, run: Run) -> bool:
    """Whether a judgement is of the run that is in the folder now, and not of one that this replaced."""
    own, judged = judgement.record, run.record
    if own.run_started is not None and judged.started is not None:
        return own.run_started == judged.started
    return own.started is None or judged.started is None or own.started >= judged.started


def _place(folder: Path | str) -> str:
    try:
        return os.path.realpath(folder)
    except (OSError, ValueError):  # no path at all, as in the record of a stranger
        return str(folder)


def _name(place: str) -> str:
    return Path(place).name or place
