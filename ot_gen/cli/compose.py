"""From configuration to objects: where the groups are, what resolvers they use, and how a node is built."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from ot_gen.data import Dataset
from ot_gen.runs.claim import unclaimed


def conf_dir() -> Path:
    """The folder of the configuration groups: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    folder = next((d for d in (package / "conf", package.parent / "conf") if (d / "config.yaml").is_file()), None)
    if folder is None:
        raise FileNotFoundError("ot_gen's conf/ folder is missing from the installation; reinstall ot_gen")
    return folder


def _run_name(*, _root_: DictConfig) -> str:
    """Legible and safe as a folder name: data_solver_seed."""
    choices = _root_.hydra.runtime.choices
    return f"{choices.data}_{choices.solver}_{_root_.seed}".replace("/", "-")


def _unclaimed(folder: str) -> str:
    """A folder of the run's own, made once for each composed configuration."""
    try:
        return str(unclaimed(Path(folder)))
    except OSError:  # said by who comes to write there
        return folder


OmegaConf.register_new_resolver("run_name", _run_name, replace=True)
OmegaConf.register_new_resolver("unclaimed", _unclaimed, replace=True, use_cache=True)
OmegaConf.register_new_resolver("root", math.sqrt, replace=True)
OmegaConf.register_new_resolver("times", lambda *factors: _product(factors), replace=True)


def _product(factors: tuple[Any, ...]) -> float:
    product = 1
    for factor in factors:
        product *= factor
    return product


def without_null(overrides: Sequence[str]) -> list[str]:
    """The overrides with GROUP=none for GROUP=null, which Hydra's grammar does not take for a group's choice.

    Example:
        >>> without_null(["ex_post=null", "noise=null,fixed", "threads=null"])
        ['ex_post=none', 'noise=none,fixed', 'threads=null']
    """
    groups = {path.parent.name for path in conf_dir().glob("*/none.yaml")}
    renamed = []
    for override in overrides:
        group, equals, choices = override.partition("=")
        if group in groups:
            choices = ",".join("none" if choice == "null" else choice for choice in choices.split(","))
        renamed.append(group + equals + choices)
    return renamed


def composed(overrides: Sequence[str], config_dir: str | Path | None = None) -> tuple[DictConfig, dict[str, str]]:
    """The configuration with these overrides, and the names of the entries chosen in its groups.

    Raises:
        ValueError: no folder `config_dir`.
        CompactHydraException: an entry, a name or a value that is wrong.
    """
    extra = []
    if config_dir is not None:
        folder = Path(config_dir).absolute()
        if not folder.is_dir():
            raise ValueError(f"there is no folder {folder} to take entries from")
        extra = [f"hydra.searchpath=['file://{folder}']"]
    with _alone(), hydra.initialize_config_dir(str(conf_dir()), version_base="1.3", job_name="ot-gen"):
        cfg = hydra.compose("config", overrides=[*without_null(overrides), *extra], return_hydra_config=True)
    choices = dict(cfg.hydra.runtime.choices)
    OmegaConf.set_readonly(cfg, False)
    OmegaConf.set_struct(cfg, False)
    del cfg["hydra"]
    return cfg, choices


@contextmanager
def _alone() -> Iterator[None]:
    """Put aside the hydra of the caller's own application, which knows other entries."""
    instance = GlobalHydra.instance()
    callers = instance.hydra
    instance.clear()
    try:
        yield
    finally:
        instance.hydra = callers


def completed(cfg: DictConfig, data: Dataset) -> DictConfig:
    """A copy of the configuration that knows the facts of its data: dimension, shape and variance."""
    cfg = copy.deepcopy(cfg)
    cfg.space.update(dim=data.dim, shape=data.shape and list(data.shape))
    cfg.space.update(variance=data.variance, own_variance=data.own.variance)
    return cfg


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
