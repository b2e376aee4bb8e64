"""A finished run, read back from its folder."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ot_gen.cli.parts import Parts, assembled
from ot_gen.cli.trust import check_trusted
from ot_gen.execution import checkpoint_in, load_weights, on_one_line
from ot_gen.runs.configuration import plain_yaml
from ot_gen.runs.formats import reworded
from ot_gen.runs.record import CONFIG, RUN, RunRecord, read_record

PARTS = ("data", "reference", "generator", "solver", "seed")  # what a run cannot be without


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
    if record is not None and (judged := record.run or record.samples):
        way = f"give --run {judged}" if record.run else "which ot-gen did not train"
        raise ValueError(f"{folder.absolute()} holds a judgement of {judged} and no run; {way}")
    try:
        words = reworded(OmegaConf.to_container(OmegaConf.create(plain_yaml(folder / CONFIG))))
        if not isinstance(words, dict):
            raise ValueError("it names no settings")
        saved = DictConfig(words)
        lacks = [name for name in PARTS if words.get(name) is None]
    except (ValueError, LookupError, OmegaConfBaseException, YAMLError, RecursionError) as error:
        path = (folder / CONFIG).absolute()
        raise ValueError(f"{path} is damaged ({on_one_line(error)}); train the run again") from error
    if record is None or record.data is None or lacks:
        what = f"; its {CONFIG} lacks {', '.join(lacks)}" if lacks else ""
        raise ValueError(f"the record in {folder.absolute()} does not say what was trained{what}; train the run again")
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
