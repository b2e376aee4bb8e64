"""The `ot-gen` command: compose a configuration with Hydra, run it, leave a record. The only module that imports hydra.

Bad input ends with one line on stderr and exit code 2; a stop by Ctrl-C or SIGTERM with 130.
"""

from __future__ import annotations

import math
import os
import sys
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, InstantiationException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from ot_gen.report.record import checkpoint_in, write_text
from ot_gen.report.run import run
from ot_gen.training import Interrupted
from ot_gen.transport import NotConverged

_errors: list[str] = []  # of the jobs of this process: they decide its exit code


class BadInput(CompactHydraException):
    """Bad input of a job that runs in a worker process, as one line."""


def conf_dir() -> Path:
    """The folder of the configuration groups: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    found = next((d for d in (package / "conf", package.parent / "conf") if (d / "config.yaml").is_file()), None)
    if found is None:
        raise FileNotFoundError("ot_gen's conf/ folder is missing from the installation; reinstall ot_gen")
    return found


def _run_name(*, _root_: DictConfig) -> str:
    """Legible and safe as a folder name: data_solver_seed."""
    choices = _root_.hydra.runtime.choices
    return f"{choices.data}_{choices.solver}_{_root_.seed}".replace("/", "-")


OmegaConf.register_new_resolver("run_name", _run_name, replace=True)
OmegaConf.register_new_resolver("root", math.sqrt, replace=True)
OmegaConf.register_new_resolver("times", lambda *factors: _product(factors), replace=True)


def _product(factors: tuple[Any, ...]) -> float:
    product = 1
    for factor in factors:
        product *= factor
    return product


def build(node: Any) -> Any:
    """Instantiate a configuration node: the one place that calls hydra. Errors are those of the constructors."""
    try:
        return hydra.utils.instantiate(node, _convert_="all")
    except InstantiationException as error:
        cause: BaseException | None = error
        while isinstance(cause, InstantiationException):
            cause = cause.__cause__
        if cause is None or isinstance(cause, TypeError | ImportError):  # an unknown target or argument
            raise ValueError(str(cause or error)) from error
        raise cause from None


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
def _job(cfg: DictConfig) -> float | None:
    """One run; returns its W₁ on held-out data, the objective of a sweep."""
    try:
        return _experiment(cfg)
    except (ValueError, OSError, NotConverged, OmegaConfBaseException) as error:
        line = _one_line(error)
        if parent_process() is not None:  # a worker of a parallel launcher: the parent reports
            raise BadInput(line) from None
        _errors.append(line)
        _usage(line)
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

    def parts() -> dict[str, Any]:
        """Data first: their dimension, shape and variance complete the configuration of the other parts."""
        write_text(output / "config.yaml", OmegaConf.to_yaml(cfg))  # until it can be resolved
        if cfg.threads is not None:
            if not isinstance(cfg.threads, int) or cfg.threads < 1:
                raise ValueError(f"threads must be a whole number >= 1, got {cfg.threads}")
            torch.set_num_threads(cfg.threads)
        data = build(cfg.data)
        cfg.space.update(dim=data.dim, shape=data.shape and list(data.shape), variance=data.variance)
        write_text(output / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
        torch.manual_seed(cfg.seed)
        return {
            "data": data,
            "reference": build(cfg.reference),
            "generator": generator_of(cfg),
            "solver": build(cfg.solver),
            "ex_post": build(cfg.get("ex_post")),
            "trainer": build(cfg.trainer),
            "evaluation": build(cfg.evaluation),
            "device": cfg.device,
            "resume": None if cfg.resume is None else checkpoint_in(cfg.resume),
        }

    return run(output, facts, parts)


def generator_of(cfg: DictConfig) -> Any:
    """The generator, or the decoder with noise that is built around it."""
    generator, noise = build(cfg.generator), build(cfg.get("noise"))
    if noise is None:
        return generator
    if "encoder" not in (cfg.solver.get("coupling") or {}):
        raise ValueError(
            "noise=... makes the cost a likelihood, which couplings with an encoder use; leave noise out or choose "
            "solver=primal/vae, primal/iwae, ... (in Python a GaussianDecoder trains with any solver)"
        )
    return noise(generator)


def _composition_error(error: CompactHydraException) -> str:
    """Hydra's own message, with the cause or the group's entries where it leaves them out."""
    if isinstance(error.__cause__, OmegaConfBaseException):
        return f"{error}\n{error.__cause__}"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file is not None:
        group = conf_dir() / str(error.missing_cfg_file).split("/")[0]
        entries = sorted(str(entry.relative_to(group).with_suffix("")) for entry in group.rglob("*.yaml"))
        if entries:
            return f"{error}\n\nEntries of {group.name}: {', '.join(entries)}"
    return str(error)


def _one_line(error: BaseException) -> str:
    """The message of an error, on one line."""
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} has no value; give it as {error.full_key}=VALUE"
    if isinstance(error, ValueError | OSError | NotConverged):
        return " ".join(str(error).split())
    return " ".join(f"{type(error).__name__}: {error}".split())


def main() -> None:
    """Entry point of `ot-gen` and `python -m ot_gen`."""
    wants_traceback = "HYDRA_FULL_ERROR" in os.environ
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # hand exceptions to us instead of printing tracebacks
    _errors.clear()
    try:
        _job()
    except CompactHydraException as error:
        if wants_traceback:
            raise
        sys.exit(_usage(_composition_error(error)))
    except OSError as error:
        if wants_traceback:
            raise
        sys.exit(_usage(f"cannot write the output folder ({_one_line(error)}); choose another: hydra.run.dir=FOLDER"))
    except ValueError as error:  # hydra's, of its own command line; a job's are dealt with above
        if wants_traceback:
            raise
        sys.exit(_usage(_one_line(error)))
    except Interrupted as stop:
        sys.stderr.write(f"ot-gen: {stop}\n")
        sys.exit(130)
    except KeyboardInterrupt:
        sys.stderr.write("ot-gen: interrupted\n")
        sys.exit(130)
    if _errors:
        sys.exit(2)


def _usage(message: str) -> int:
    sys.stderr.write(f"ot-gen: error: {message}\n")
    return 2
