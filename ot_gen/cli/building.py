"""From configuration to objects: the one place that instantiates, and how it says what cannot be built."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Sequence
from typing import Any

import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ot_gen.cli.errors import is_of_the_user
from ot_gen.data import Dataset
from ot_gen.execution import MixedPrecision, is_out_of_memory, kind_and_message, on_one_line
from ot_gen.training import fit
from ot_gen.transport import NotConverged

# Nodes that no experiment can do without.
NEEDED = ("data", "space", "reference", "generator", "solver", "trainer")


def check_needed(cfg: DictConfig, names: Sequence[str] = NEEDED) -> None:
    """Refuse a configuration in which a node that an experiment needs is no mapping.

    Raises:
        ValueError: the node, and how it is chosen.
    """
    for name in names:
        if not OmegaConf.is_dict(node := cfg.get(name)):
            way = "leave it as it is" if name in ("space", "evaluation") else f"choose an entry of the group {name}"
            raise ValueError(f"{name} is {'null' if node is None else repr(node)}, and nothing runs without it; {way}")


def completed(cfg: DictConfig, data: Dataset) -> DictConfig:
    """A copy of the configuration that knows the facts of its data: dimension, shape and variance."""
    cfg = copy.deepcopy(cfg)
    cfg.space.update(dim=data.dim, shape=data.shape and list(data.shape))
    cfg.space.update(variance=data.variance, own_variance=data.own.variance)
    cfg.space.classes = None if cfg.get("condition") is None else int(data.labels[0].max()) + 1
    return cfg


def build(node: Any) -> Any:
    """Instantiate a configuration node: the one place that calls hydra.

    Raises:
        ValueError: what a constructor refuses, in its words; anything else that ends a constructor, with the key of
            the node that was built.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Using '_target_: functools.partial' is deprecated")  # of Hydra 1.4
            return hydra.utils.instantiate(node, _convert_="all")
    except Exception as error:
        inner, where = error, str(error)
        while isinstance(inner, InstantiationException) and isinstance(inner.__cause__, Exception):
            inner, where = inner.__cause__, str(inner)
        if isinstance(inner, ValueError | OSError | NotConverged | OmegaConfBaseException) or is_out_of_memory(inner):
            raise inner from None
        if is_of_the_user(inner):
            raise inner from None
        key = where.partition("full_key: ")[2].strip()
        key = key or (node._get_full_key(None) if OmegaConf.is_config(node) else "") or "the configuration"
        plain = isinstance(inner, InstantiationException | TypeError | ImportError | RuntimeError)
        words = (on_one_line(inner) if plain else kind_and_message(inner)).partition(" full_key: ")[0].rstrip(".")
        raise ValueError(f"{key} cannot be built: {words}; check its _target_ and its arguments") from error


def build_trainer(node: Any) -> dict[str, Any]:
    """The keywords of `fit`, without the number of processes, which is the launcher's.

    Raises:
        ValueError: a setting that `fit` does not have, or one that is of no use to it.
    """
    made = build(node)
    made.pop("processes", None)
    known = [name for name in inspect.signature(fit).parameters if name not in _OF_THE_RUN]
    for name, value in made.items():
        if name not in known:
            raise ValueError(f"the trainer has no setting {name}; it has {', '.join(known)}")
        wrong = name in _FUNCTIONS and value is not None and not callable(value)
        if wrong or (name == "precision" and not isinstance(value, MixedPrecision | None)):
            raise ValueError(f"trainer.{name} is {value!r}; {_FUNCTIONS.get(name, _PRECISIONS)}")
    return dict(made)


# Arguments of `fit` that a run gives itself.
_OF_THE_RUN = ("mu", "nu", "solver", "callbacks", "progress", "checkpoint", "resume", "processes")
_PRECISIONS = "choose an entry: precision=float32, bf16 or fp16"
_OPTIMIZER = "give its class, trainer.{0}._target_=torch.optim.Adam, with {0}._partial_=true and {0}.lr=1e-3"
_FUNCTIONS = {
    "schedule": "it is a function of the part of the steps that is done, as ot_gen.linear_decay, or a class of "
    "torch.optim.lr_scheduler with schedule._partial_=true; null keeps the rates",
    **{name: _OPTIMIZER.format(name) for name in ("optimizer", "inner_optimizer")},
}


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
