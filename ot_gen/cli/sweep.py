"""Runs of a sweep: their folders, the work that an earlier start left, and the figure that a search optimises."""

from __future__ import annotations

import hashlib
import os
import re
import signal
from multiprocessing import parent_process
from pathlib import Path
from typing import Any, NamedTuple, final

from omegaconf import DictConfig, OmegaConf

from ot_gen.runs.codec import numbers
from ot_gen.runs.parts import Attempt, Status
from ot_gen.runs.record import FIGURES, RunRecord, read_record, versions
from ot_gen.training import CHECKPOINT_NAME, Progress

# What changes how a run is carried out, but not its result.
AROUND = ("objective", "overwrite", "retry", "threads", "tracker")


def composition(cfg: DictConfig) -> str:
    """SHA-256 of the configuration that decides a run's result: the name by which a sweep knows its runs."""
    chosen = {name: node for name, node in _container(cfg).items() if name not in ("hydra", *AROUND)}
    return hashlib.sha256(OmegaConf.to_yaml(OmegaConf.create(chosen), sort_keys=True).encode()).hexdigest()


def digest(*, _root_: DictConfig) -> str:
    """The first letters of the composition, for a folder's name."""
    return composition(_root_)[:8]


def decides(override: str) -> bool:
    """Whether an override has a part in a run's result.

    Example:
        >>> decides("solver=primal/vae"), decides("+tracker=mlflow"), decides("retry=true")
        (True, False, False)
    """
    return re.split("[.=@]", override.lstrip("+~"))[0] not in AROUND


OmegaConf.register_new_resolver("digest", digest, replace=True)


@final
class Task(NamedTuple):
    """What there is left to do in a folder.

    Attributes:
        finished: the record of the finished run, None if there is work.
        resume: checkpoint to continue from.
        attempts: earlier starts in this folder, for the record: when, how they ended, with which versions.
    """

    finished: RunRecord | None = None
    resume: Path | None = None
    attempts: tuple[Attempt, ...] = ()


def task_in(folder: Path, composed: str, retry: bool) -> Task:
    """What an earlier start of the same sweep left to do in `folder`.

    Raises:
        ValueError: the folder holds a run of another composition or of another version of ot_gen, a damaged record,
            or a run that failed, unless `retry`.
    """
    record = read_record(folder)
    if record is None:
        return Task()
    elsewhere = "choose another hydra.sweep.dir, or remove that folder"
    if record.composition != composed:
        raise ValueError(f"{folder} holds a run of another configuration; {elsewhere}")
    theirs, ours = record.versions.get("ot_gen"), versions()["ot_gen"]
    if theirs != ours:
        raise ValueError(f"{folder} holds a run of ot_gen {theirs}, and this is {ours}; {elsewhere}")
    if record.status is Status.FINISHED:
        return Task(finished=record)
    if record.status is Status.FAILED and not retry:
        raise ValueError(f"{folder} failed before ({record.error}); retry=true tries it again")
    attempt = Attempt(record.status, record.error, record.started, record.host, record.versions)
    checkpoint = folder / CHECKPOINT_NAME
    return Task(None, checkpoint if checkpoint.is_file() else None, (*record.attempts, attempt))


def check_objective(name: str) -> None:
    """Refuse before training a figure that no run can have."""
    part = str(name).partition(".")[0]
    known = [path for path in numbers(RunRecord) if path.partition(".")[0] in FIGURES]
    if not any(re.fullmatch(re.escape(path).replace(r"\*", ".+"), str(name)) for path in known):
        near = [path for path in known if path.startswith(f"{part if part in FIGURES else 'judgement'}.")]
        raise ValueError(
            f"objective={name} is no figure of a run; there are {', '.join(near)}, and those of "
            f"{', '.join(FIGURES)} in run.json, e.g. objective.value, certificate.upper, metrics.frechet.value"
        )


def objective(record: RunRecord, name: str) -> float:
    """The figure of a run's record that a dotted name leads to.

    Raises:
        ValueError: the run has no such figure.

    Example:
        >>> from ot_gen.evaluation import Judgement
        >>> objective(RunRecord(Status.FINISHED, judgement=Judgement(9, 0.25, 0.2, 0.1, 0.1)), "judgement.w1")
        0.25
    """
    figures = record.figures()
    if name not in figures:
        raise ValueError(f"objective={name} is no figure of this run; it has {', '.join(sorted(figures))}")
    return float(figures[name])


def failed_in(sweep: Path) -> list[str]:
    """Names of the failed runs in a sweep's folder."""
    names = []
    for path in sorted(sweep.glob("*/run.json")):
        try:
            record = read_record(path.parent)
        except ValueError:
            continue
        if record is not None and record.status is Status.FAILED:
            names.append(path.parent.name)
    return names


def is_orphan() -> bool:
    """Whether this is a worker process whose parallel launcher is gone."""
    parent = parent_process()
    return parent is not None and parent.pid is not None and os.getppid() != parent.pid


def leave_orphan(progress: Progress) -> None:
    """A callback of `fit`: an orphan stops with a checkpoint, which frees its folder for the sweep started again."""
    if is_orphan():
        signal.raise_signal(signal.SIGTERM)


def _container(cfg: DictConfig) -> dict[str, Any]:
    nodes: Any = OmegaConf.to_container(cfg, resolve=False)
    return nodes
