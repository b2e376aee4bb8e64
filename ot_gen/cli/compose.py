"""From configuration to objects: where the groups are, what resolvers they use, and how a node is built."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf


def conf_dir() -> Path:
    """The folder of the configuration groups: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
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
