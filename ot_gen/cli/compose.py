"""The configuration: where the groups are, what resolvers they use, and how overrides compose it."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from ot_gen.runs.claim import unclaimed
from ot_gen.runs.record import RUN


def conf_dir() -> Path:
    """The folder of the configuration groups: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    folder = next((d for d in (package / "conf", package.parent / "conf") if (d / "config.yaml").is_file()), None)
    if folder is None:
        raise FileNotFoundError("ot_gen's conf/ folder is missing from the installation; reinstall ot_gen")
    return folder


def entries_of(group: str) -> list[str]:
    """The entries of a configuration group, as they are written on the command line; none where there is no group.

    Example:
        >>> entries_of("precision")
        ['bf16', 'float32', 'fp16']
    """
    folder = conf_dir() / group
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def _run_name(*, _root_: DictConfig) -> str:
    """Legible and safe as a folder name: data_solver_seed."""
    choices = _root_.hydra.runtime.choices
    name = f"{choices.get('data')}_{choices.get('solver')}_{_root_.get('seed')}".replace("/", "-")
    return name if len(name) < 100 else f"{name[:90]}..."  # a seed may be any text before it is refused


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


def renamed(overrides: Sequence[str]) -> list[str]:
    """The overrides with GROUP=none for GROUP=null, which Hydra's grammar does not take for a group's choice.

    A precision is also taken where `fit` has it, by the names of its entries.

    Raises:
        ValueError: null for a group that has no entry `none`.

    Example:
        >>> renamed(["ex_post=null", "noise=null,fixed", "threads=null", "trainer.precision=bf16"])
        ['ex_post=none', 'noise=none,fixed', 'threads=null', 'precision=bf16']
    """
    groups = {path.parent.name for path in conf_dir().glob("*/none.yaml")}
    precisions = {path.stem for path in (conf_dir() / "precision").glob("*.yaml")}
    words = []
    for override in overrides:
        group, equals, choices = override.partition("=")
        if choices == "null" and group not in groups and (conf_dir() / group).is_dir() and group:
            raise ValueError(
                f"{group}=null chooses no entry; leave it out, or choose one: {', '.join(entries_of(group))}"
            )
        if group in groups:
            choices = ",".join("none" if choice == "null" else choice for choice in choices.split(","))
        if group == "trainer.precision" and precisions >= set(choices.split(",")):
            group = "precision"
        words.append(group + equals + choices)
    return words


def composed(overrides: Sequence[str], config_dir: str | Path | None = None) -> tuple[DictConfig, dict[str, str]]:
    """The configuration with these overrides, and the names of the entries chosen in its groups.

    Raises:
        ValueError: no folder `config_dir`, or as `check_read`.
        CompactHydraException: an entry, a name or a value that is wrong.
    """
    folder = None if config_dir is None else Path(config_dir).absolute()
    if folder is not None and not folder.is_dir():
        raise ValueError(f"there is no folder {folder} to take entries from")
    extra = [] if folder is None else [f"hydra.searchpath=[{quoted(f'file://{folder}')}]"]
    with _alone(), hydra.initialize_config_dir(str(conf_dir()), version_base="1.3", job_name="ot-gen"):
        cfg = hydra.compose("config", overrides=[*renamed(overrides), *extra], return_hydra_config=True)
    choices = dict(cfg.hydra.runtime.choices)
    check_read(cfg, choices, overrides)
    OmegaConf.set_readonly(cfg, False)
    OmegaConf.set_struct(cfg, False)
    del cfg["hydra"]
    return cfg, choices


def check_read(cfg: DictConfig, choices: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Refuse overrides that would change nothing: a new setting that no other one names, and the facts of the data.

    Raises:
        ValueError: the override.
    """
    known = {path.name for path in conf_dir().iterdir()} | {str(name) for name in OmegaConf.load(conf_dir() / _FILE)}
    nodes: Any = OmegaConf.to_container(cfg, resolve=False)
    for override in overrides:
        name = re.split("[.=@:]", override.lstrip("+~"))[0]
        if override.lstrip("+~").startswith("space."):
            raise ValueError(f"{override}: space holds the facts of the data, which ot-gen fills in; leave it out")
        own = override.startswith("+") and "/" not in name and name not in known and name not in choices
        if own and not _names(nodes, f"${{{name}"):
            raise ValueError(
                f"{override}: nothing reads a setting {name}; see ot-gen --cfg job for those that there are"
            )


def _names(node: object, words: str) -> bool:
    if isinstance(node, dict | list):
        return any(_names(item, words) for item in (node.values() if isinstance(node, dict) else node))
    return isinstance(node, str) and words in node


_FILE = "config.yaml"


def quoted(text: str) -> str:
    """A text in Hydra's grammar: backslashes count only before a quote.

    Source: "Quoted values", https://hydra.cc/docs/advanced/override_grammar/basic
    """
    return "'" + re.sub(r"(\\*)('|$)", lambda part: part[1] * 2 + part[2].replace("'", "\\'"), text) + "'"


def import_beside(folder: Path) -> None:
    """From now on modules in a folder of entries and beside it are found, after those that are installed.

    Only the folder that the user names by --config-dir is one: nothing in a run's folder, which may be a stranger's, is
    imported.
    """
    for place in (folder.absolute(), folder.absolute().parent):
        is_of_a_run = any((above / RUN).exists() for above in (place, *place.parents))
        if not is_of_a_run and str(place) not in sys.path:
            sys.path.append(str(place))


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
