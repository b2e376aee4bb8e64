"""One job of `ot-gen`: a composed configuration becomes a recorded run."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ot_gen.cli.again import NAME
from ot_gen.cli.building import NEEDED, build, check_needed, completed
from ot_gen.cli.compose import check_read, conf_dir, import_beside
from ot_gen.cli.errors import failures, one_line, report
from ot_gen.cli.parts import assembled, judging_of
from ot_gen.cli.sweep import (
    Task,
    check_objective,
    composition,
    decides,
    is_orphan,
    leave_orphan,
    objective,
    task_in,
)
from ot_gen.execution import Processes, checkpoint_in, holds, interruptible, kind_and_message, launch, use_threads
from ot_gen.report.runs import option
from ot_gen.runs.claim import check_free, claimed, reached
from ot_gen.runs.data_identity import recorded_data
from ot_gen.runs.parts import Status
from ot_gen.runs.record import RunRecord, read_record, write_record
from ot_gen.runs.run import Experiment, follow, run, whole
from ot_gen.runs.writer import RecordWriter
from ot_gen.training import CHECKPOINT_NAME, Interrupted

log = logging.getLogger("ot_gen")


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
def job(cfg: DictConfig) -> float | None:
    """One run; returns the figure that `objective` names, by default W₁ on held-out data."""
    chosen = HydraConfig.get()
    output, sweep = Path(chosen.runtime.output_dir), None
    if chosen.mode == RunMode.MULTIRUN:
        sweep = Path(chosen.sweep.dir)
    for source in chosen.runtime.config_sources:
        if source.provider == "command-line":  # --config-dir
            import_beside(Path(source.path))
    try:
        check_read(cfg, chosen.runtime.choices, chosen.overrides.task)
        check_objective(cfg.objective)
        _check_flags(cfg)
        with interruptible(), claimed(output):
            if sweep is None and not cfg.overwrite:
                check_free(output, cfg.resume)
            return _experiment(cfg, output, sweep)
    except Interrupted as stop:
        way = (
            f"resume={output} hydra.run.dir={output}"
            if sweep is None
            else f"the same command and hydra.sweep.dir={sweep}"
        )
        raise Interrupted(f"{stop}; continue with {way}") from None
    except Exception as error:
        if failures.shows(error):
            raise
        report(one_line(error), sweep)
        return None


def _check_flags(cfg: DictConfig) -> None:
    if not isinstance(resume := cfg.get("resume"), str | None):
        raise ValueError(f"resume={resume} is no path; give resume=FOLDER of a run, or its {CHECKPOINT_NAME}")
    for name in ("overwrite", "retry"):
        if not isinstance(value := cfg.get(name), bool):
            said = "null" if value is None else value
            raise ValueError(f"{name}={said} is neither yes nor no; write {name}=true or {name}=false")


def _experiment(cfg: DictConfig, output: Path, sweep: Path | None) -> float:
    composed = composition(cfg)
    if HydraConfig.get().job.config_name == NAME:
        composed = _composed_before(output) or composed
    task = Task() if sweep is None or cfg.overwrite else task_in(output, composed, cfg.retry)
    record = task.finished
    if record is not None:
        log.info("%s: finished before", output)
    else:
        if is_orphan():
            raise Interrupted("the process that started this one is gone")
        # A result stays until the run that replaces it is under way; a sweep keeps count of what failed to go on.
        waits = reached(output) is not None and (sweep is None or cfg.overwrite)
        _train(cfg, output, composed, task, waits)
        record = read_record(output)
        assert record is not None  # training has written it
    return objective(record, cfg.objective)


def _composed_before(output: Path) -> str | None:
    """The composition of the run that is continued in its folder with its own configuration, unchanged."""
    before = read_record(output)
    chosen = [item for item in HydraConfig.get().overrides.task if decides(item) and option(item) != "resume"]
    if before is None or chosen != [item for item in before.overrides if option(item) != "resume"]:
        return None
    return before.composition


def _train(cfg: DictConfig, output: Path, composed: str, task: Task, waits: bool) -> None:
    choices: Any = HydraConfig.get().runtime.choices
    record = RunRecord(
        Status.RUNNING,
        solver=choices.get("solver"),
        data=choices.get("data"),
        generator=choices.get("generator"),
        seed=whole(cfg.seed),
        overrides=tuple(item for item in HydraConfig.get().overrides.task if decides(item)),
        composition=composed,
        attempts=task.attempts,
    )
    plain = OmegaConf.to_container(HydraConfig.get().job_logging, resolve=True)  # it goes to other processes
    try:
        check_needed(cfg, ("trainer",))
        size = whole(cfg.trainer.get("processes", 1))
        if size is None or size < 1:
            raise ValueError(f"trainer.processes={cfg.trainer.processes}: give a whole number of processes, from 1 on")
        launch(_work, cfg, plain, output, record, task.resume, waits, size=size, device=cfg.device)
    except Exception as error:
        if read_record(output) is None:  # no process came to write one
            with suppress(OSError):
                write_record(output, replace(record, status=Status.FAILED, error=kind_and_message(error)))
        raise


def _work(
    processes: Processes,
    cfg: DictConfig,
    job_logging: Any,
    output: Path,
    record: RunRecord,
    resume: Path | None,
    waits: bool,
) -> None:
    """The work of one process of a job; with one process it is that of the job itself."""
    if not HydraConfig.initialized() and processes.rank == 0:  # a fresh process
        configure_log(OmegaConf.create(job_logging))

    if processes.rank > 0:
        follow(output, _built(cfg, None, resume, processes), processes)
        return
    with RecordWriter(output, record, waits) as writer:
        run(writer, _built(cfg, writer, resume, processes), processes)


def _built(cfg: DictConfig, writer: RecordWriter | None, resume: Path | None, processes: Processes) -> Experiment:
    """The parts of a run; its configuration is written before they are built, and again when the data complete it."""
    if writer is not None:
        writer.configure(OmegaConf.to_yaml(cfg))  # until it can be resolved
    use_threads(cfg.threads)
    check_needed(cfg, (*NEEDED, "evaluation"))
    if whole(cfg.seed) is None or not -(2**63) <= cfg.seed < 2**64:
        said = "null" if cfg.seed is None else cfg.seed
        raise ValueError(f"seed={said} would leave a run that nobody can repeat; give a whole number, below 2^63")
    resume = resume or (None if cfg.resume is None else checkpoint_in(cfg.resume))
    if resume is not None and cfg.data.get("standardize") == "shared" and not holds(resume, "mu.units.shift"):
        words = f"{resume} was trained on data in their own units, and goes on so: data.standardize=none"
        if writer is not None:
            writer.do(partial(log.info, "%s", words))
        cfg.data.standardize = "none"
    data = build(cfg.data)
    cfg = completed(cfg, data)
    if writer is not None:
        writer.configure(OmegaConf.to_yaml(cfg, resolve=True))
        writer.update(dataset=recorded_data(data, cfg.data.get("path")))
    made = assembled(cfg, data, cfg.seed)
    others: dict[str, Any] = {}
    if writer is not None:
        others = {
            "ex_post": build(cfg.get("ex_post")),
            "trackers": [build(tracker) for tracker in (cfg.get("tracker") or {}).values()],
            "callbacks": (leave_orphan,),
        }
    return Experiment(
        made.data,
        made.mu,
        made.solver,
        made.trainer,
        judging_of(cfg),
        device=cfg.device if processes.size == 1 else str(processes.device),
        resume=resume,
        **others,
    )
