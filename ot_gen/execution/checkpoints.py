"""Checkpoints: one safetensors file that holds weights, optimizer state, random state and step.

No pickle is read or written: tensors go to safetensors, everything else to JSON in its header. A kill at any moment
leaves the previous checkpoint whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from ot_gen.execution.files import written

FORMAT = "ot_gen checkpoint 1"
CHECKPOINT_NAME = "checkpoint.safetensors"  # in a run's folder


def checkpoint_in(path: str | Path) -> Path:
    """The checkpoint named by a run's folder or by the file itself.

    Raises:
        ValueError: there is no such file.

    Example:
        >>> checkpoint_in("no/such/file")
        Traceback (most recent call last):
            ...
        ValueError: no checkpoint at ...; give a run folder or its checkpoint.safetensors
    """
    file = _as_path(path)
    file = file / CHECKPOINT_NAME if file.is_dir() else file
    if not file.is_file():
        raise ValueError(f"no checkpoint at {file.absolute()}; give a run folder or its {CHECKPOINT_NAME}")
    return file


def target(path: str | Path) -> Path:
    """`path` as a file to write checkpoints to; its folder is made where it is missing.

    Raises:
        ValueError: `path` is a folder, or its folder cannot be written to.

    Example:
        >>> target("/")
        Traceback (most recent call last):
            ...
        ValueError: a checkpoint is one file, and / is a folder; give a name in it, /checkpoint.safetensors
    """
    file = _as_path(path)
    if file.is_dir():
        raise ValueError(
            f"a checkpoint is one file, and {file} is a folder; give a name in it, {file / CHECKPOINT_NAME}"
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"no checkpoint can be written to {file}: {error}; choose another place") from error
    if not os.access(file.parent, os.W_OK):
        raise ValueError(f"no checkpoint can be written to {file}: its folder is read-only; choose another place")
    return file


def _as_path(path: str | Path) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"a checkpoint is named by a str or a Path, got {type(path).__name__}")
    return Path(path)


def save_checkpoint(
    path: str | Path,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer | None],
    progress: Mapping[str, Any],
) -> None:
    """Write modules, optimizers, torch's random state and `progress` (JSON values) to `path`, atomically.

    Raises:
        ValueError: a weight or an optimizer state is NaN or Inf; the file on disk is left as it was.
    """
    path = target(path)
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, Any] = {}
    for name, module in modules.items():
        tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    for name, optimizer in optimizers.items():
        if optimizer is not None:
            state = optimizer.state_dict()
            scalars[name] = {"param_groups": state["param_groups"], "state": {}}
            for index, slots in state["state"].items():
                for slot, value in slots.items():
                    if isinstance(value, Tensor):
                        tensors[f"optimizer.{name}.{index}.{slot}"] = value
                    else:
                        scalars[name]["state"][f"{index}.{slot}"] = value
    for key, value in tensors.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ValueError(f"refused to write {path}: {key} holds NaN or Inf; the checkpoint on disk is unchanged")
    tensors |= {f"random.{device}": state for device, state in _random_states().items()}
    header = {
        "format": FORMAT,
        "composition": json.dumps(_composition(modules)),
        "optimizers": json.dumps(scalars),
        "progress": json.dumps(dict(progress)),
    }
    copies = {key: value.detach().contiguous().clone() for key, value in tensors.items()}
    with written(path) as temporary:
        save_file(copies, temporary, metadata=header)


def load_checkpoint(
    path: str | Path, modules: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer | None]
) -> dict[str, Any]:
    """Load `path` into modules, optimizers and torch's random state; returns `progress`.

    Raises:
        ValueError: the file is missing, damaged, or was written by another composition.
    """
    header, tensors = _read(path)
    saved, here = json.loads(header["composition"]), _composition(modules)
    if saved != here:
        differing = next(name for name in here if saved.get(name) != here[name])
        raise ValueError(
            f"{path} is a checkpoint of another composition: its {differing} is "
            f"{' > '.join(saved.get(differing, []))}, this run's is {' > '.join(here[differing])}; "
            "resume with the configuration that wrote it"
        )
    for name, module in modules.items():
        expected = module.state_dict()
        weights = {key: tensors.get(f"{name}.{key}") for key in expected}
        for key, value in weights.items():
            if value is None or value.shape != expected[key].shape:
                raise ValueError(
                    f"{path} is a checkpoint of another composition: {name}.{key} has shape "
                    f"{None if value is None else tuple(value.shape)} in the file and {tuple(expected[key].shape)} in "
                    "this run; resume with the sizes and the data that wrote it"
                )
        module.load_state_dict(weights)
    scalars = json.loads(header["optimizers"])
    for name, optimizer in optimizers.items():
        if optimizer is not None:
            optimizer.load_state_dict(_optimizer_state(name, scalars.get(name, {}), tensors))
    _set_random_states({key.removeprefix("random."): t for key, t in tensors.items() if key.startswith("random.")})
    progress: dict[str, Any] = json.loads(header["progress"])
    return progress


def read_progress(path: str | Path) -> dict[str, Any]:
    """What a checkpoint says of the run that wrote it: {"step", "images", "seconds"}."""
    progress: dict[str, Any] = json.loads(_read(path)[0]["progress"])
    return progress


def holds(path: str | Path, name: str) -> bool:
    """Whether a checkpoint has a tensor of this name, e.g. "mu.units.shift" of a model of standardised data."""
    return name in _read(path)[1]


def load_weights(path: str | Path, module: nn.Module, name: str = "mu") -> None:
    """Load the weights called `name` ("mu" for the model, "solver" for ξ) of a checkpoint into `module`.

    Example:
        >>> load_weights("runs/best/checkpoint.safetensors", mu)  # doctest: +SKIP
    """
    _, tensors = _read(path)
    prefix = f"{name}."
    weights = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{path} does not hold these weights: {error}") from error


def _read(path: str | Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    path = checkpoint_in(path)
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} cannot be read as a checkpoint ({error}); it is damaged or no safetensors file"
        ) from error
    if header.get("format") != FORMAT:
        raise ValueError(f"{path} is a safetensors file but no ot_gen checkpoint (format {header.get('format')!r})")
    return header, tensors


def _composition(modules: Mapping[str, nn.Module]) -> dict[str, list[str]]:
    """The class names of each module's parts, depth first: what a checkpoint must share with the run that reads it."""
    return {name: [type(part).__name__ for part in module.modules()] for name, module in modules.items()}


def _optimizer_state(name: str, scalars: dict[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    slots: dict[int, dict[str, Any]] = {}
    prefix = f"optimizer.{name}."
    states = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    for key, value in {**states, **scalars.get("state", {})}.items():
        index, slot = key.split(".", 1)
        slots.setdefault(int(index), {})[slot] = value
    return {"state": slots, "param_groups": scalars.get("param_groups", [])}


def _random_states() -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda:{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    return states


def _set_random_states(states: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    for device, state in states.items():
        if device != "cpu" and torch.cuda.is_available():
            torch.cuda.set_rng_state(state, device)
