"""A recorded config.yaml that runs again as it is: named by --config-name, or found by `resume=FOLDER` alone."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from ot_gen.cli.compose import conf_dir, quoted
from ot_gen.cli.finished import PARTS
from ot_gen.cli.trust import check_runs_again
from ot_gen.execution import CHECKPOINT_NAME, checkpoint_in
from ot_gen.report.runs import option
from ot_gen.runs.configuration import read_yaml
from ot_gen.runs.formats import FORMAT, reworded
from ot_gen.runs.record import CONFIG, METRICS, RUN, format_of, read_record

NAME = "ot_gen_recorded"  # of the configuration, for Hydra
# Groups whose entries write one node and no other: they may be chosen anew.
REPLACED = {"certificate": "certificate", "metrics": "metrics", "tracker": "tracker", "precision": "trainer.precision"}
STARTED = {"resume": None, "overwrite": False, "retry": False}  # how a run was started, and not what it is


def from_record(arguments: Sequence[str], options: Namespace, trusted: bool) -> list[str]:
    """The arguments for Hydra, which name the recorded configuration where the user's name one; else as they are.

    A configuration is recorded where it names all parts of a run and has no defaults. Values of it may be changed, and
    entries of `REPLACED` chosen. `resume=FOLDER` with the choice of another entry composes anew, as without a record.

    Args:
        arguments: of the command line.
        options: the same, parsed.
        trusted: whether it may name anything; else `check_runs_again` holds for what a run's folder holds.

    Raises:
        ValueError: a choice of entries that a recorded configuration cannot have, or a foreign `_target_`.
    """
    given = {option(item): item.partition("=")[2].strip("'\"") for item in options.overrides}
    chosen = [name for name in given if _is_choice(name)]
    file, named = _named(options, given), True
    if file is None and not chosen and not options.multirun and given.get("resume", "null") != "null":
        file, named = _beside(given["resume"]), False
    if file is None:
        return list(arguments)
    if named:
        chosen = [name for name in chosen if (name, given[name]) != ("experiment", file.stem)]
        if chosen:
            raise ValueError(
                f"{file} is a recorded configuration, which has no entries of {chosen[0]} to choose from: change its "
                f"values, or start from the overrides in its {RUN}"
            )
    words = _read(file, trusted)
    record = read_record(file.parent)
    named_parts = ("solver", "data", "generator")
    known = {"data": _data_name(words)} if record is None else {name: getattr(record, name) for name in named_parts}
    own: Any = OmegaConf.to_container(OmegaConf.load(conf_dir() / CONFIG))
    scalars = {name: value for name, value in own.items() if not isinstance(value, dict | list)}
    hydra = own["hydra"]
    hydra["runtime"] = {"choices": known}
    before = () if record is None else record.overrides
    hydra["overrides"] = {"task": [item for item in before if option(item) not in {*given, *STARTED}]}
    for name, place in REPLACED.items():
        if name in given:
            _remove(words, place)
    defaults = ["_self_", *({name: None} for name in REPLACED), {"override hydra/job_logging": "late"}]
    ConfigStore.instance().store(NAME, {"defaults": defaults, **scalars, **words, "hydra": hydra})
    kept = _without(arguments, options) if named else list(arguments)
    if not named and "hydra.run.dir" not in given:
        kept.append(f"hydra.run.dir={quoted(str(file.parent))}")
    return [*kept, "--config-name", NAME]


def _named(options: Namespace, given: dict[str, str]) -> Path | None:
    """The recorded configuration that --config-name, --config-path, or an experiment of --config-dir is."""
    folders = [folder for folder in (options.config_path, options.config_dir) if folder]
    places = []
    if options.config_name or options.config_path:
        name = options.config_name or Path(CONFIG).stem
        places = [Path(folder, name) for folder in (*folders, ".")]
    if options.config_dir and "experiment" in given:
        places.append(Path(options.config_dir, "experiment", given["experiment"]))
    files = [file for place in places for file in (place, place.with_name(f"{place.name}.yaml"))]
    return next((file for file in files if _is_recorded(file)), None)


def _beside(resume: str) -> Path | None:
    """The recorded configuration of the run that is resumed."""
    try:
        file = checkpoint_in(resume).with_name(CONFIG)
    except (ValueError, OSError):  # said where it is resumed
        return None
    return file if _is_recorded(file) else None


def _is_recorded(file: Path) -> bool:
    try:
        words = read_yaml(file)
    except (OSError, ValueError):
        return False
    if not isinstance(words, dict) or "defaults" in words or any(words.get(name) is None for name in PARTS):
        return False
    return all(isinstance(words[name], dict) and "_target_" in words[name] for name in ("data", "solver"))


def _is_choice(name: str) -> bool:
    """Whether an override chooses an entry that a recorded configuration cannot have."""
    group = re.split("[@:]", name)[0]
    return "hydra" not in group and group not in REPLACED and bool(group) and (conf_dir() / group).is_dir()


def _read(file: Path, trusted: bool) -> dict[str, Any]:
    folder = file.parent
    is_of_a_run = file.name == CONFIG or any((folder / name).exists() for name in (RUN, METRICS, CHECKPOINT_NAME))
    words = reworded(read_yaml(file), format_of(folder) if (folder / RUN).exists() else FORMAT)
    words = {name: node for name, node in words.items() if name != "hydra"} | STARTED
    if is_of_a_run and not trusted:
        check_runs_again(words, folder)
    return words


def _data_name(words: dict[str, Any]) -> str:
    """The entry of the data by what it builds: entries have the names of functions, and toys those of their laws."""
    node = words["data"]
    return str((node.get("law") or node)["_target_"]).rpartition(".")[2]


def _remove(words: dict[str, Any], path: str) -> None:
    *parents, last = path.split(".")
    for name in parents:
        words = words.get(name) or {}
    words.pop(last, None)


def _without(arguments: Sequence[str], options: Namespace) -> list[str]:
    """The arguments without those that named the configuration."""
    flags = ("--config-name", "-cn", "--config-path", "-cp")
    kept, values = [], iter(arguments)
    for word in values:
        if word in flags:
            next(values, None)
        elif word.partition("=")[0] not in flags and option(word) != "experiment":
            kept.append(word)
    return kept
