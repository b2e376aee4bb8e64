"""A finished run, read back from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, final

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from ot_gen.cli.compose import build, generator_of
from ot_gen.data import Dataset
from ot_gen.execution import load_weights
from ot_gen.measures import Pushforward
from ot_gen.runs.record import CONFIG, RUN, RunRecord, checkpoint_in, read_record
from ot_gen.solvers import Solver


@final
class Model(NamedTuple):
    """The trained parts of a run; `encoder` is None where its solver has none."""

    mu: Pushforward
    solver: Solver
    encoder: nn.Module | None


def read_run(folder: Path) -> tuple[RunRecord, DictConfig]:
    """The record and the configuration of a run that has a checkpoint."""
    for name in (RUN, CONFIG):
        if not (folder / name).is_file():
            raise ValueError(f"{folder.absolute()} holds no {name}: it is no run of ot-gen; give its folder")
    record = read_record(folder)
    try:
        saved = DictConfig(OmegaConf.load(folder / CONFIG))
        lacks = [name for name in ("data", "reference", "generator", "solver", "seed") if saved[name] is None]
    except (ValueError, LookupError, OmegaConfBaseException) as error:
        raise ValueError(f"the record in {folder.absolute()} is damaged ({error}); train the run again") from error
    if record is None or record.data is None or lacks:
        raise ValueError(f"the record in {folder.absolute()} does not say what was trained; train the run again")
    return record, saved


def load_data(cfg: DictConfig) -> Dataset:
    """The data of a configuration, which learns their dimension, shape and variance."""
    data: Dataset = build(cfg.data)
    cfg.space.update(dim=data.dim, shape=data.shape and list(data.shape), variance=data.variance)
    return data


def load_model(folder: Path, cfg: DictConfig, data: Dataset, seed: int) -> Model:
    """The model of a run with its trained weights."""
    torch.manual_seed(seed)  # a cost may have fixed random features
    reference, generator, solver = build(cfg.reference), generator_of(cfg), build(cfg.solver)
    mu, checkpoint = Pushforward(generator, reference), checkpoint_in(folder)
    load_weights(checkpoint, mu, "mu")
    encoder = getattr(solver.xi, "encoder", None)
    if encoder is not None:
        solver.prepare(mu, data.train)  # as `fit` does: it may come to hold a learned reference
        load_weights(checkpoint, solver, "solver")
    return Model(mu, solver, encoder)
