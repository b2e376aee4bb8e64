"""What may be built from a record: a run's folder may come from a stranger, and then it is data, not a program.

A configuration names what it builds, by `_target_`. The user's own command line and entries may name anything. From a
record only names that build the parts of ot_gen are built, unless the user trusts the folder (`--trust`).
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ot_gen.data import cifar, download
from ot_gen.data.fetching import missing_files
from ot_gen.execution import MixedPrecision

# Nodes of a record that are never built from it: a model is judged and tracked as its judge says.
NOT_BUILT = ("hydra", "tracker", "metrics", "certificate", "evaluation")
# The rooms whose classes are parts: to make one does nothing else.
ROOMS = (
    *("costs", "measures", "networks", "divergences", "couplings", "potentials", "solvers", "data", "geometry"),
    *("evaluation", "transport"),
)
# Functions that build a part, or are one; others read, write, train or launch.
FUNCTIONS = frozenset(
    {
        *("adam", "add_head", "by_label", "code_cost", "conformal", "cyclic", "euclidean"),
        *("linear_decay", "linear_warmup"),
        *("exact_plan", "partial_plan", "sinkhorn_plan", "unbalanced_plan"),
        *("ex_post_prior", "flow_prior", "semidiscrete_prior"),
        *("gaussian_mixture", "gaussian_shell", "learned_mixture", "standard_gaussian"),
        *("uniform_cube", "uniform_sphere", "digit_classes", "digit_features", "doubt_of_digits"),
        *("checkerboard", "eight_gaussians", "parallel_lines", "pinwheel", "rings", "swiss_roll", "two_moons"),
        *("twenty_five_gaussians", "toy", "digits", "mnist", "mnist_full", "fashion_mnist", "cifar10", "shapes"),
        *("celeba", "image_folder", "images", "points", "from_torch"),
    }
)
# They ask the network: of each file that they need, the names that it may have.
_OF_MNIST = tuple((name, name.removesuffix(".gz")) for name in download.REGISTRY)
FETCHED = {
    "mnist_full": _OF_MNIST,
    "fashion_mnist": _OF_MNIST,
    "cifar10": ((*cifar.REGISTRY, f"{cifar.UNPACKED}/{cifar.TEST[0]}", cifar.TEST[0]),),
}
LOADERS = frozenset({*FETCHED, "celeba", "image_folder", "images", "points", "from_torch"})  # or files of a choice
CONSTRUCTORS = ("on",)  # class methods
OF_TORCH = {  # modules of torch, and of which classes of theirs none does more than build itself
    "nn": (torch.nn, torch.nn.Module),
    "optim": (torch.optim, torch.optim.Optimizer),
    "optim.lr_scheduler": (torch.optim.lr_scheduler, torch.optim.lr_scheduler.LRScheduler),
}
OF_JUDGES = frozenset({"ot_gen.certify", "ot_gen.runs.trackers.TensorBoard"})  # nodes that are not built else
OTHERS = ("functools.partial",)
BY_NAME = tuple(f"hydra.utils.get_{kind}" for kind in ("object", "class", "method"))  # the thing, not called
DTYPES = tuple(f"torch.{name}" for name in ("float16", "bfloat16", "float32", "float64"))
TRUST_HELP = "build whatever the folder's config.yaml names, which can run any program: for folders of your own only"
TRUST = "--trust builds it all the same: it runs whatever the folder names, so give it for folders of your own only"


def check_trusted(config: Mapping[str, Any], folder: Path) -> None:
    """Refuse a record's configuration that names anything but parts of ot_gen.

    Args:
        config: as plain containers.
        folder: of the record, for the message.

    Raises:
        ValueError: what it names, and how the owner of the folder builds it all the same.
    """
    for name, node in config.items():
        if name in NOT_BUILT:
            continue
        for reason in _objections(node, is_data=name == "data"):
            raise ValueError(f"the record in {folder.absolute()} {reason}; {TRUST}")


def check_runs_again(config: Mapping[str, Any], folder: Path) -> None:
    """Refuse a record's configuration, all of which is to be built, that names anything but parts of ot_gen.

    Of trackers only the one that writes into the run's folder is a part: others would send it elsewhere.

    Args:
        config: as plain containers, without the settings of Hydra.
        folder: of the record, for the message.

    Raises:
        ValueError: as `check_trusted`.
    """
    check_trusted(config, folder)
    for name in NOT_BUILT:
        for reason in _objections(config.get(name), also=OF_JUDGES):
            raise ValueError(f"the record in {folder.absolute()} {reason}; {TRUST}")


def is_part(target: object) -> bool:
    """Whether a name is one of a part of ot_gen, a module of torch.nn, of torch.optim or a partial call.

    Example:
        >>> is_part("ot_gen.MLP"), is_part("torch.nn.SiLU"), is_part("ot_gen.fit"), is_part("os.system")
        (True, True, False, False)
    """
    if not isinstance(target, str):
        return False
    if target in OTHERS:
        return True
    root, *names = target.split(".")
    if root == "torch" and names:
        room, kind = OF_TORCH.get(".".join(names[:-1]), (None, object))
        thing = getattr(room, names[-1], None)
        return room is not None and inspect.isclass(thing) and issubclass(thing, kind)
    return root == "ot_gen" and bool(names) and _builds(names)


def _builds(names: list[str]) -> bool:
    thing: Any = importlib.import_module("ot_gen")
    for name in names:
        if name.startswith("_") or not (isinstance(thing, ModuleType) or inspect.isclass(thing)):
            return False
        owner, thing = thing, getattr(thing, name, None)
    if inspect.ismethod(thing) and inspect.isclass(owner):
        return names[-1] in CONSTRUCTORS and _is_class_of_parts(owner)
    if inspect.isfunction(thing):
        return thing.__name__ in FUNCTIONS and thing.__module__.startswith("ot_gen.")
    return _is_class_of_parts(thing)


def _is_class_of_parts(thing: object) -> bool:
    if not inspect.isclass(thing):
        return False
    room = thing.__module__.split(".")
    return room[0] == "ot_gen" and (room[1] in ROOMS or thing is MixedPrecision)


def _is_loader(target: object) -> bool:
    return _name(target) in LOADERS


def _name(target: object) -> str:
    return str(target).rpartition(".")[2]


def _objection_by_name(node: Mapping[Any, Any]) -> str:
    """What speaks against handing a thing over by its name: it may be called with anything, so it must be harmless."""
    path = node.get("path")
    if path in OTHERS or (path not in DTYPES and not is_part(path)):
        return f"names {path!r}, which is no part of ot_gen"
    if _is_loader(path):
        return f"names {path!r} to be called later, and a loader of data is called for the data alone"
    return "names a thing by more than its path" if {*node} - {"_target_", "path", "_convert_"} else ""


def _objections(node: object, is_data: bool = False, also: frozenset[str] = frozenset()) -> Iterator[str]:
    """What speaks against building a node, in words.

    Args:
        node: of the configuration.
        is_data: whether it is the one by which the run's data are loaded.
        also: names that are allowed beside those of parts.
    """
    if isinstance(node, list):
        for item in node:
            yield from _objections(item, also=also)
    elif isinstance(node, str) and "${" in node:
        yield f"holds an interpolation, {node!r}, and what ot-gen records is resolved"
    elif isinstance(node, Mapping):
        target = node.get("_target_")
        if target in BY_NAME:
            if words := _objection_by_name(node):
                yield words
        elif _is_loader(target) and (not is_data or node.get("_partial_")):
            yield f"names {target!r} in another place than its data"
        elif target is not None and not (is_part(target) or (isinstance(target, str) and target in also)):
            yield f"names {target!r}, which is no part of ot_gen"
        elif _is_loader(target) and (lacks := missing_files(node, FETCHED.get(_name(target), ()))):
            yield f"would download data into a folder of its choice ({lacks})"
        for item in node.values():
            yield from _objections(item, also=also)
