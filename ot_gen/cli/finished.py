"""A finished run, read back from its folder."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn
from yaml import YAMLError

from ot_gen.cli.building import build
from ot_gen.cli.parts import Parts, assembled
from ot_gen.cli.trust import check_trusted
from ot_gen.execution import CHECKPOINT_NAME, checkpoint_in, load_weights, on_one_line
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
    if not isinstance(seed := words["seed"], int) or isinstance(seed, bool) or not -(2**63) <= seed < 2**64:
        raise ValueError(f"the seed in {(folder / CONFIG).absolute()} is {seed!r:.60}, no whole number below 2^64")
    if not trusted:
        check_trusted(words, folder)
        _check_weights(saved, folder)
    return record, saved


def _check_weights(saved: DictConfig, folder: Path) -> None:
    """Refuse networks with more weights than the checkpoint holds, before memory is taken for them.

    They are built of tensors without numbers, which take none.
    """
    file = folder / CHECKPOINT_NAME
    held = file.stat().st_size if file.is_file() else math.inf  # that there is none is said where it is read
    for name in ("generator", "noise", "solver"):
        for node in _nodes(saved.get(name)):
            if (takes := _bytes(node)) > held:
                raise ValueError(
                    f"the {name} in {(folder / CONFIG).absolute()} has weights of {takes:,} bytes, and its checkpoint "
                    f"has {held:,}: it was not trained with it; train the run again"
                )


def _nodes(node: Any) -> Iterator[DictConfig]:
    """A node that names what it builds, and those in it: a part of a part may be built of tensors without numbers."""
    if isinstance(node, DictConfig):
        if "_target_" in node:
            yield node
        for item in node.values():
            yield from _nodes(item)


def _bytes(node: DictConfig) -> int:
    """Of the weights of the network that a node builds; 0 where it builds none, or only of numbers."""
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            part = build(node)
    except Exception:  # what cannot be built is said where it is built in earnest
        return 0
    return sum(p.numel() * p.element_size() for p in part.parameters()) if isinstance(part, nn.Module) else 0


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
