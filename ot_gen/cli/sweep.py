"""Runs of a sweep: which folder is whose, what an earlier start left to do, and which figure a search is after."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Mapping, Sequence
from multiprocessing import parent_process
from pathlib import Path
from typing import Any, NamedTuple, final

from omegaconf import DictConfig, OmegaConf

from ot_gen.evaluation import Judgement
from ot_gen.runs.record import read_record, versions
from ot_gen.training import CHECKPOINT_NAME, Progress

# What changes how a run is carried out, but not its result.
AROUND = ("objective", "retry", "threads", "tracker")
FIGURES = ("judgement", "judgement_reference", "objective", "encoder", "certificate", "metrics")


def composition(cfg: DictConfig) -> str:
    """SHA-256 of the configuration that decides a run's result: the name by which a sweep knows its runs."""
    chosen = {name: node for name, node in _container(cfg).items() if name not in ("hydra", *AROUND)}
    return hashlib.sha256(OmegaConf.to_yaml(OmegaConf.create(chosen), sort_keys=True).encode()).hexdigest()


def digest(*, _root_: DictConfig) -> str:
    """The first letters of the composition, for a folder's name."""
    return composition(_root_)[:8]


OmegaConf.register_new_resolver("digest", digest, replace=True)


@final
class Task(NamedTuple):
    """What there is left to do in a folder.

    Attributes:
        finished: the record of the finished run, None if there is work.
        resume: checkpoint to continue from.
        attempts: earlier starts in this folder, for the record: when, how they ended, with which versions.
    """

    finished: Mapping[str, Any] | None = None
    resume: Path | None = None
    attempts: Sequence[Mapping[str, Any]] = ()


def task_in(folder: Path, composed: str, retry: bool) -> Task:
    """What an earlier start of the same sweep left to do in `folder`.

    Raises:
        ValueError: the folder holds a run of another composition or of another version of ot_gen, a damaged record,
            or a run that failed, unless `retry`.
    """
    facts = read_record(folder)
    if facts is None:
        return Task()
    elsewhere = "choose another hydra.sweep.dir, or remove that folder"
    if facts.get("composition") != composed:
        raise ValueError(f"{folder} holds a run of another configuration; {elsewhere}")
    theirs, ours = facts.get("versions", {}).get("ot_gen"), versions()["ot_gen"]
    if theirs != ours:
        raise ValueError(f"{folder} holds a run of ot_gen {theirs}, and this is {ours}; {elsewhere}")
    if facts["status"] == "finished":
        return Task(finished=facts)
    if facts["status"] == "failed" and not retry:
        raise ValueError(f"{folder} failed before ({facts.get('error')}); retry=true tries it again")
    told: dict[str, Any] = {
        name: facts[name] for name in ("status", "error", "started", "host", "versions") if name in facts
    }
    checkpoint = folder / CHECKPOINT_NAME
    return Task(None, checkpoint if checkpoint.is_file() else None, [*facts.get("attempts", ()), told])


def check_objective(name: str) -> None:
    """Refuse before training what no run can have."""
    first, _, rest = str(name).partition(".")
    if first not in FIGURES or (first == "judgement" and rest not in Judgement._fields):
        known = ", ".join(f"judgement.{field}" for field in Judgement._fields)
        raise ValueError(
            f"objective={name} is no figure of a run; there are {known}, and those below "
            f"{', '.join(FIGURES[2:])} in run.json, e.g. objective.value, certificate.upper, metrics.frechet.value"
        )


def objective(facts: Mapping[str, Any], name: str) -> float:
    """The figure of run.json that a dotted name leads to.

    Raises:
        ValueError: the run has no such figure.

    Example:
        >>> objective({"judgement": {"w1": 0.25}}, "judgement.w1")
        0.25
    """
    value: Any = facts
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        known = sorted(_figures({first: facts[first] for first in FIGURES if first in facts}))
        raise ValueError(f"objective={name} is no figure of this run; it has {', '.join(known)}")
    return float(value)


def failed_in(sweep: Path) -> list[str]:
    """Names of the failed runs in a sweep's folder."""
    found = []
    for path in sorted(sweep.glob("*/run.json")):
        try:
            facts = read_record(path.parent)
        except ValueError:
            continue
        if facts is not None and facts["status"] == "failed":
            found.append(path.parent.name)
    return found


def is_orphan() -> bool:
    """Whether this is a worker process whose parallel launcher is gone."""
    parent = parent_process()
    return parent is not None and parent.pid is not None and os.getppid() != parent.pid


def leave_orphan(progress: Progress) -> None:
    """A callback of `fit`: an orphan stops with a checkpoint, and the sweep started again finds its folder free."""
    if is_orphan():
        signal.raise_signal(signal.SIGTERM)


def _container(cfg: DictConfig) -> dict[str, Any]:
    found: Any = OmegaConf.to_container(cfg, resolve=False)
    return found


def _figures(tree: Mapping[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found += _figures(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.append(f"{prefix}{name}")
    return found
