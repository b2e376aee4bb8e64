"""What an experiment is made of, built from its configuration: the one builder of commands, tests and notebooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, final

import torch
from hydra.errors import CompactHydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from ot_gen.cli.building import build, build_trainer, check_needed, completed, generator_of
from ot_gen.cli.compose import composed
from ot_gen.cli.errors import one_line
from ot_gen.conditioning import with_classes
from ot_gen.costs import price
from ot_gen.data import Dataset
from ot_gen.measures import Labelled, LabelledData, Pushforward
from ot_gen.runs.judging import Judging, encoder_of
from ot_gen.solvers import Solver

_T = TypeVar("_T")


@final
@dataclass(frozen=True)
class Parts:
    """The parts of one experiment: `fit(mu, data.train, solver, **trainer)` trains it.

    Attributes:
        config: the configuration they were built from, with the facts of the data filled in.
        data: what is learned, and what is held out, in the coordinates in which it is trained; `data.own` in its units.
        mu: the model μ_θ = g_θ#ζ, in the same coordinates; `mu.in_own_units()`.
        solver: holds E(θ) = W_c(μ_θ, ν).
        trainer: keywords of `fit`.
    """

    config: DictConfig
    data: Dataset
    mu: Pushforward
    solver: Solver
    trainer: dict[str, Any]

    @property
    def encoder(self) -> nn.Module | None:
        """The solver's encoder, of points in the data's own units; None where it has none."""
        return encoder_of(self.solver, self.mu)


def parts(
    *overrides: str, config_dir: str | Path | None = None, data: Dataset | None = None, seed: int | None = None
) -> Parts:
    """Compose a configuration, load its data, and build what it names.

    Args:
        overrides: as on the command line, e.g. "solver=dual/wgan_gp", "data=mnist", "trainer.steps=500".
        config_dir: a folder of your own entries.
        data: taken instead of what the configuration names.
        seed: of the networks' first weights, set on torch's global generator as a run does; None leaves that alone.

    Raises:
        ValueError: an entry, a name or a value that is wrong.

    Example:
        >>> made = parts("solver=primal/exact_plan", "data.size=64", "generator.hidden=[8]")
        >>> made.mu.dim, len(made.data.train), made.trainer["steps"]
        (2, 64, 2000)
    """
    try:
        return assembled(composed(overrides, config_dir)[0], data, seed)
    except (CompactHydraException, OmegaConfBaseException) as error:
        raise ValueError(one_line(error)) from error


def assembled(cfg: DictConfig, data: Dataset | None = None, seed: int | None = None) -> Parts:
    """The parts of a composed configuration, which stays as it is; arguments as of `parts`."""
    check_needed(cfg)
    data = _of(Dataset, "data", build(cfg.data) if data is None else data)
    cfg = completed(cfg, data)
    if seed is not None:
        torch.manual_seed(seed)
    trainer = build_trainer(cfg.trainer)
    generator, reference = generator_of(cfg), build(cfg.reference)
    solver = _of(Solver, "solver", build(cfg.solver))
    if (condition := build(cfg.get("condition"))) is not None:
        data, classes = data.by_label(), cfg.space.classes
        assert isinstance(data.train, LabelledData)
        generator, reference = with_classes(generator, classes), Labelled(reference, data.train.shares)
        solver = condition(solver, classes)
    mu = Pushforward(generator, reference, data.units)
    held = "coupling" if solver.sense > 0 else "potential"
    _of(nn.Module, f"solver.{held}", solver.xi)
    price(solver.cost, data.units)  # raises where standardised data have no such cost
    mu.in_own_units()  # or no such decoder
    return Parts(cfg, data, mu, solver, trainer)


def _of(kind: Callable[..., _T], name: str, made: Any) -> _T:
    """What was built, if it is of its kind."""
    assert isinstance(kind, type)
    if not isinstance(made, kind):
        got = "null" if made is None else f"a {type(made).__name__}"
        raise ValueError(f"{name} is {got} and no {kind.__name__}; choose an entry: {name.partition('.')[0]}=NAME")
    built: Any = made
    return built


# The nodes of the configuration by which models are judged.
JUDGING = tuple(part.name for part in fields(Judging))


def judging_of(cfg: DictConfig) -> Judging:
    """How a configuration judges a model."""
    check_needed(cfg, ("evaluation",))
    return Judging(**{name: build(cfg.get(name)) for name in JUDGING})


@final
class Recipe(NamedTuple):
    """What `fit` needs, tuned: `fit(mu, data.train, solver, **trainer)`."""

    mu: Pushforward
    solver: Solver
    data: Dataset
    trainer: dict[str, Any]


# What a run does around the training; in Python it is the caller's.
_OF_RUNS = {
    "seed": "call torch.manual_seed(...) before",
    "device": "move mu, data.train and solver with .to(...)",
    "threads": "call torch.set_num_threads(...)",
    "resume": "pass resume=... to fit",
    "metrics": "call ot_gen.judge, or a Metrics of ot_gen.evaluation",
    "certificate": "call ot_gen.certify",
    "evaluation": "pass n=... to ot_gen.judge",
    "tracker": "pass callbacks=[...] to fit",
    "retry": "leave it out",
    "overwrite": "leave it out",
    "objective": "leave it out",
    "hydra": "leave it out",
}


def recipe(*overrides: str, config_dir: str | Path | None = None) -> Recipe:
    """The tuned composition that `ot-gen` trains, in Python: an entry of every group, with its constants.

    Networks get their first weights from torch's global generator. After `torch.manual_seed(0)` they, and the training,
    are those of `ot-gen` with the same overrides and seed=0. Points and toys are standardised, as `ot-gen` does it:
    `data.own` and `mu.in_own_units()` are in the data's own units, and with data.standardize=none all are.

    Args:
        overrides: as on the command line: "solver=dual/wgan_gp", "data=mnist", "trainer.steps=500", ...
        config_dir: a folder of your own entries, as of `ot-gen --config-dir`.

    Returns:
        (mu, solver, data, trainer): the model, the solver, the data set, and the keywords of `fit`.

    Raises:
        ValueError: an entry, a name or a value that is wrong, or a setting of runs (seed, device, ...), which in
            Python belongs to the caller.

    Example:
        >>> import ot_gen
        >>> mu, solver, data, trainer = ot_gen.recipe("solver=dual/wgan_gp", "data=two_moons", "trainer.steps=2")
        >>> ot_gen.fit(mu, data.train, solver, **trainer).step
        2
    """
    _check_recipe(overrides)
    made = parts(*overrides, config_dir=config_dir)
    return Recipe(made.mu, made.solver, made.data, made.trainer)


def _check_recipe(overrides: Sequence[str]) -> None:
    for override in overrides:
        if not isinstance(override, str) or ("=" not in override.lstrip("~+") and not override.startswith("~")):
            raise ValueError(f"a recipe is made of texts NAME=VALUE, as on the command line, got {override!r}")
        name = override.lstrip("+~").partition("=")[0]
        if (instead := _OF_RUNS.get(name.partition(".")[0].partition("/")[0])) is not None:
            raise ValueError(f"{name} is a setting of runs, and a recipe only trains; {instead}")
