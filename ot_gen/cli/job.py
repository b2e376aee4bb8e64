"""One job of `ot-gen`: a composed configuration becomes a recorded run."""

from __future__ import annotations

from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ot_gen.distributed import Processes
from ot_gen.launching import launch
from ot_gen.report.record import checkpoint_in, write_text
from ot_gen.report.run import run
from ot_gen.transport import NotConverged

from .compose import build, conf_dir, generator_of
from .errors import BadInput, one_line, usage

errors: list[str] = []  # of the jobs of this process: they decide its exit code


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
def job(cfg: DictConfig) -> float | None:
    """One run; returns its W₁ on held-out data, the objective of a sweep."""
    try:
        return _experiment(cfg)
    except (ValueError, OSError, NotConverged, OmegaConfBaseException) as error:
        line = one_line(error)
        if parent_process() is not None:  # a worker of a parallel launcher: the parent reports
            raise BadInput(line) from None
        errors.append(line)
        usage(line)
        return None


def _experiment(cfg: DictConfig) -> float:
    output = Path(HydraConfig.get().runtime.output_dir)
    choices: Any = HydraConfig.get().runtime.choices
    facts = {
        "solver": choices.solver,
        "data": choices.data,
        "generator": choices.generator,
        "seed": cfg.seed,
        "overrides": list(HydraConfig.get().overrides.task),
    }

    logging = OmegaConf.to_container(HydraConfig.get().job_logging, resolve=True)  # plain: it goes to other processes
    return launch(_train, cfg, logging, output, facts, size=cfg.trainer.get("processes", 1), device=cfg.device)


def _train(processes: Processes, cfg: DictConfig, logging: Any, output: Path, facts: dict[str, Any]) -> float:
    """The work of one of the processes of a job; that of the job itself where there is but one."""
    if not HydraConfig.initialized() and processes.rank == 0:  # a fresh process
        configure_log(OmegaConf.create(logging))

    def parts() -> dict[str, Any]:
        """Data first: their dimension, shape and variance complete the configuration of the other parts."""
        if processes.rank == 0:
            write_text(output / "config.yaml", OmegaConf.to_yaml(cfg))  # until it can be resolved
        if cfg.threads is not None:
            if not isinstance(cfg.threads, int) or cfg.threads < 1:
                raise ValueError(f"threads must be a whole number >= 1, got {cfg.threads}")
            torch.set_num_threads(cfg.threads)
        data = build(cfg.data)
        cfg.space.update(dim=data.dim, shape=data.shape and list(data.shape), variance=data.variance)
        if processes.rank == 0:
            write_text(output / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
        torch.manual_seed(cfg.seed)
        trainer = build(cfg.trainer)
        trainer.pop("processes", None)  # their number; `run` gets the processes themselves
        return {
            "data": data,
            "reference": build(cfg.reference),
            "generator": generator_of(cfg),
            "solver": build(cfg.solver),
            "ex_post": build(cfg.get("ex_post")),
            "metrics": build(cfg.get("metrics")),
            "certificate": build(cfg.get("certificate")),
            "trainer": trainer,
            "evaluation": build(cfg.evaluation),
            "device": cfg.device if processes.size == 1 else str(processes.device),
            "resume": None if cfg.resume is None else checkpoint_in(cfg.resume),
        }

    return run(output, facts, parts, processes)
