"""One job of `ot-gen`: a composed configuration becomes a recorded run."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ot_gen.cli.compose import build, completed, conf_dir
from ot_gen.cli.errors import one_line, report
from ot_gen.cli.parts import assembled
from ot_gen.cli.sweep import Task, check_objective, composition, is_orphan, leave_orphan, objective, task_in
from ot_gen.execution import Processes, checkpoint_in, launch, use_threads, write_text
from ot_gen.runs.claim import claimed
from ot_gen.runs.record import read_record
from ot_gen.runs.run import run
from ot_gen.training import Interrupted
from ot_gen.transport import NotConverged

log = logging.getLogger("ot_gen")


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
def job(cfg: DictConfig) -> float | None:
    """One run; returns the figure that `objective` names, W₁ on held-out data unless told otherwise."""
    chosen = HydraConfig.get()
    output, sweep = Path(chosen.runtime.output_dir), None
    if chosen.mode == RunMode.MULTIRUN:
        sweep = Path(chosen.sweep.dir)
    try:
        check_objective(cfg.objective)
        with claimed(output):
            return _experiment(cfg, output, sweep)
    except Interrupted as stop:
        way = f"resume={output}" if sweep is None else f"the same command and hydra.sweep.dir={sweep}"
        raise Interrupted(f"{stop}; continue with {way}") from None
    except (ValueError, OSError, NotConverged, OmegaConfBaseException) as error:
        report(one_line(error), sweep)
        return None


def _experiment(cfg: DictConfig, output: Path, sweep: Path | None) -> float:
    composed = composition(cfg)
    task = Task() if sweep is None else task_in(output, composed, cfg.retry)
    record = task.finished
    if record is not None:
        log.info("%s: finished before", output)
    else:
        if is_orphan():
            raise Interrupted("the process that started this one is gone")
        _train(cfg, output, composed, task)
        record = read_record(output)
        assert record is not None  # training has written it
    return objective(record, cfg.objective)


def _train(cfg: DictConfig, output: Path, composed: str, task: Task) -> None:
    choices: Any = HydraConfig.get().runtime.choices
    around = ("retry=", "objective=", "tracker=")
    facts = {
        "solver": choices.solver,
        "data": choices.data,
        "generator": choices.generator,
        "seed": cfg.seed,
        "overrides": tuple(
            item for item in HydraConfig.get().overrides.task if not item.lstrip("+").startswith(around)
        ),
        "composition": composed,
    }
    facts["attempts"] = task.attempts

    plain = OmegaConf.to_container(HydraConfig.get().job_logging, resolve=True)  # it goes to other processes
    size = cfg.trainer.get("processes", 1)
    launch(_work, cfg, plain, output, facts, task.resume, size=size, device=cfg.device)


def _work(
    processes: Processes, cfg: DictConfig, job_logging: Any, output: Path, facts: dict[str, Any], resume: Path | None
) -> None:
    """The work of one of the processes of a job; that of the job itself where there is but one."""
    if not HydraConfig.initialized() and processes.rank == 0:  # a fresh process
        configure_log(OmegaConf.create(job_logging))

    def parts() -> dict[str, Any]:
        """Data first: their dimension, shape and variance complete the configuration of the other parts."""
        if processes.rank == 0:
            write_text(output / "config.yaml", OmegaConf.to_yaml(cfg))  # until it can be resolved
        use_threads(cfg.threads)
        if cfg.seed is None:
            raise ValueError("seed=null would leave a run that nobody can repeat; give a whole number")
        data = build(cfg.data)
        whole = completed(cfg, data)
        if processes.rank == 0:
            write_text(output / "config.yaml", OmegaConf.to_yaml(whole, resolve=True))
        made = assembled(whole, data, cfg.seed)
        built = {
            "data": data,
            "mu": made.mu,
            "solver": made.solver,
            "trainer": made.trainer,
            "device": cfg.device if processes.size == 1 else str(processes.device),
            "resume": resume or (None if cfg.resume is None else checkpoint_in(cfg.resume)),
        }
        if processes.rank > 0:
            return built
        return built | {
            "ex_post": build(whole.get("ex_post")),
            "metrics": build(whole.get("metrics")),
            "certificate": build(whole.get("certificate")),
            "evaluation": build(whole.evaluation),
            "trackers": [build(tracker) for tracker in (whole.get("tracker") or {}).values()],
            "callbacks": (leave_orphan,),
        }

    run(output, facts, parts, processes)
