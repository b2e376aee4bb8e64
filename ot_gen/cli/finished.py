"""A finished run, read back from its folder."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ot_gen.cli.parts import Parts, assembled
from ot_gen.cli.trust import check_trusted
from ot_gen.execution import checkpoint_in, load_weights
from ot_gen.runs.formats import reworded
from ot_gen.runs.record import CONFIG, RUN, RunRecord, read_record


def read_run(folder: Path, trusted: bool = False) -> tuple[RunRecord, DictConfig]:
    """The record and the configuration of a run that has a checkpoint, in the words of today.

    Args:
        folder: of the run.
        trusted: whether its configuration may name anything; else `check_trusted` holds.
    """
    for name in (RUN, CONFIG):
        if not (folder / name).is_file():
            raise ValueError(f"{folder.absolute()} holds no {name}: it is no run of ot-gen; give its folder")
    record = read_record(folder)
    try:
        words = reworded(OmegaConf.to_container(OmegaConf.load(folder / CONFIG)))
        saved = DictConfig(words)
        lacks = [name for name in ("data", "reference", "generator", "solver", "seed") if saved[name] is None]
    except (ValueError, LookupError, OmegaConfBaseException) as error:
        raise ValueError(f"the record in {folder.absolute()} is damaged ({error}); train the run again") from error
    if record is None or record.data is None or lacks:
        raise ValueError(f"the record in {folder.absolute()} does not say what was trained; train the run again")
    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)*", record.data):
        raise ValueError(f"the record in {folder.absolute()} names the data {record.data!r}, which no entry is called")
    if not trusted:
        check_trusted(words, folder)
    return record, saved


def trained(folder: Path, cfg: DictConfig, seed: int) -> Parts:
    """The parts of a run with the weights that it ended with."""
    made = assembled(cfg, seed=seed)  # a cost may have fixed random features
    checkpoint = checkpoint_in(folder)
    load_weights(checkpoint, made.mu, "mu")
    units, now = made.mu.units, made.data.units  # of training, and of the data as they are by now
    if units is not None and now is not None and not (units.shift.equal(now.shift) and units.scale.equal(now.scale)):
        made = replace(made, data=made.data.own.standardised(units))
    if made.encoder is not None:
        made.solver.prepare(made.mu, made.data.train)  # as `fit` does: it may come to hold a learned reference
        load_weights(checkpoint, made.solver, "solver")
    return made
