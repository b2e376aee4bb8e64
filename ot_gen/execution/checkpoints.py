"""Checkpoints: one safetensors file that holds weights, optimizer state, random state and step.

No pickle is read or written: tensors go to safetensors, everything else to JSON in its header. A kill at any moment
leaves the previous checkpoint whole.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ot_gen.arguments import checked
from ot_gen.execution.fingerprints import difference
from ot_gen.execution.optimizer_states import optimizer_states, stored_states
from ot_gen.execution.tensor_files import check_sums, read_tensors, write_tensors
from ot_gen.execution.wording import kind_and_message, on_one_line

FORMAT, WITHOUT_SUMS = "ot_gen checkpoint 2", "ot_gen checkpoint 1"
COUNTS = ("step", "images", "seed", "streams", "tested", "next_test", "finishes")  # whole numbers of a progress
OF_A_TRAINING = ("step", "images", "seconds")
CHECKPOINT_NAME = "checkpoint.safetensors"  # in a run's folder


@checked
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


def inner_file(checkpoint: Path) -> Path:
    """Where a solve that comes before a training's first step keeps its state, until it is done.

    Example:
        >>> inner_file(Path("run", CHECKPOINT_NAME)).name
        'checkpoint.inner.safetensors'
    """
    return checkpoint.with_suffix(f".inner{checkpoint.suffix}")


@checked
def target(path: str | Path, kind: str = "checkpoint") -> Path:
    """`path` as a file to write checkpoints to, or priors; its folder is made where it is missing.

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
            f"a {kind} is one file, and {file} is a folder; give a name in it, {file / f'{kind}.safetensors'}"
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"no {kind} can be written to {file}: {error}; choose another place") from error
    if not os.access(file.parent, os.W_OK):
        raise ValueError(f"no {kind} can be written to {file}: its folder is read-only; choose another place")
    return file


def _as_path(path: str | Path) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"a checkpoint is named by a str or a Path, got {type(path).__name__}")
    return Path(path)


@checked
def save_checkpoint(
    path: str | Path,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer | None],
    progress: Mapping[str, Any],
    problem: Mapping[str, Any] | None = None,
) -> None:
    """Write modules, optimizers, torch's random state and `progress` (JSON values) to `path`, atomically.

    Args:
        path: the file.
        modules, optimizers: by name.
        progress: how far it is.
        problem: the `fingerprint` of what is solved, for who resumes.

    Raises:
        ValueError: a weight or an optimizer state is NaN or Inf; the file on disk is left as it was.
    """
    path = target(path)
    tensors = {f"{name}.{key}": value for name, module in modules.items() for key, value in module.state_dict().items()}
    states, scalars = optimizer_states(optimizers)
    tensors |= states
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
    if problem is not None:
        header["problem"] = json.dumps(problem)
    write_tensors(path, tensors, header)


@checked
def load_checkpoint(
    path: str | Path,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer | None],
    problem: Mapping[str, Any] | None = None,
    needs: Sequence[str] = OF_A_TRAINING,
) -> dict[str, Any]:
    """Load `path` into modules, optimizers and torch's random state; returns `progress`, which has what it `needs`.

    Raises:
        ValueError: the file is missing, damaged, or was written by another composition or for another problem.
    """
    path = checkpoint_in(path)
    header, tensors = _read(path, needs)
    _check_composition(path, _facts(path, header, "composition"), _composition(modules))
    weights = {name: _weights(path, name, module, tensors) for name, module in modules.items()}
    if problem is not None and "problem" in header:
        _check_problem(path, _facts(path, header, "problem"), problem)
    states = stored_states(path, optimizers, _facts(path, header, "optimizers"), tensors)
    random = {key.removeprefix("random."): value for key, value in tensors.items() if key.startswith("random.")}
    if "cpu" not in random:
        raise ValueError(f"{path} is damaged: it lacks random.cpu, the state of the random numbers")
    for name, module in modules.items():
        module.load_state_dict(weights[name])
    try:
        for name, state in states.items():
            optimizer = optimizers[name]
            assert optimizer is not None
            optimizer.load_state_dict(state)
        _set_random_states(random)
    except (ValueError, RuntimeError, TypeError, LookupError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: {kind_and_message(error)}") from error
    return _progress(path, header, needs)


@checked
def read_progress(path: str | Path) -> dict[str, Any]:
    """What a checkpoint says of the run that wrote it: {"step", "images", "seconds"}."""
    path = checkpoint_in(path)
    return _progress(path, _read(path, OF_A_TRAINING)[0], OF_A_TRAINING)


@checked
def holds(path: str | Path, name: str) -> bool:
    """Whether a checkpoint has a tensor of this name, e.g. "mu.units.shift" of a model of standardised data."""
    return name in _read(Path(path), ())[1]


@checked
def load_weights(path: str | Path, module: nn.Module, name: str = "mu") -> None:
    """Load the weights called `name` ("mu" for the model, "solver" for ξ) of a checkpoint into `module`.

    Raises:
        ValueError: the file is missing or damaged, or holds other weights.

    Example:
        >>> load_weights("runs/best/checkpoint.safetensors", mu)  # doctest: +SKIP
    """
    path = checkpoint_in(path)
    _, tensors = _read(path, ())
    prefix = f"{name}."
    weights = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{path} does not hold these weights: {on_one_line(error)}") from error


def _read(path: Path, needs: Sequence[str]) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        header, tensors = read_tensors(path, (FORMAT, WITHOUT_SUMS))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as a checkpoint: {error}") from error
    _progress(path, header, needs)  # says more than a checksum
    check_sums(path, header, tensors, without=WITHOUT_SUMS)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(f"{path} is damaged: {name} holds NaN or Inf, which is not written; train again")
    return header, tensors


def _facts(path: Path, header: Mapping[str, str], name: str) -> dict[str, Any]:
    """The JSON object that is an entry of the header."""
    try:
        facts = json.loads(header[name])
    except KeyError:
        raise ValueError(f"{path} is damaged: its header lacks {name!r}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {name!r} of its header is no JSON ({error})") from error
    if not isinstance(facts, dict):
        raise ValueError(f"{path} is damaged: {name!r} of its header is a {type(facts).__name__}, not an object")
    return facts


def _progress(path: Path, header: Mapping[str, str], needs: Sequence[str]) -> dict[str, Any]:
    """What the header says of how far the run came: numbers that can be, counts that are whole."""
    progress = _facts(path, header, "progress")
    if lacks := [name for name in needs if name not in progress]:
        raise ValueError(f"{path} is damaged: its 'progress' lacks {', '.join(lacks)}")
    for name, value in progress.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if name in COUNTS and not (isinstance(value, int) and number and value >= 0):
            raise ValueError(f"{path} is damaged: its {name} is {value!r}, not a whole number >= 0")
        if name == "seconds" and not (number and 0 <= value < math.inf):
            raise ValueError(f"{path} is damaged: its {name} are {value!r}, not a number >= 0")
    return progress


def _check_composition(path: Path, saved: Mapping[str, Any], here: Mapping[str, list[str]]) -> None:
    differing = next((name for name in (*here, *saved) if saved.get(name) != here.get(name)), None)
    if differing is not None:
        there, own = (
            " > ".join(map(str, parts)) if isinstance(parts, list) else "not there"
            for parts in (saved.get(differing), here.get(differing))
        )
        raise ValueError(
            f"{path} is a checkpoint of another composition: its {differing} is {there}, this run's is {own}; resume "
            "with the configuration that wrote it"
        )


def _check_problem(path: Path, saved: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    try:
        differs = difference(saved, here)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: {kind_and_message(error)} in its 'problem'") from error
    if differs is not None:
        raise ValueError(
            f"{path} is a checkpoint of another problem ({differs}); resume with the data and the settings that wrote "
            "it, or begin anew without resume (ot_gen.load_weights gives a model the weights of a checkpoint)"
        )


def _weights(path: Path, name: str, module: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    weights = {}
    for key, expected in module.state_dict().items():
        value = tensors.get(f"{name}.{key}")
        if value is None or value.shape != expected.shape:
            raise ValueError(
                f"{path} is a checkpoint of another composition: {name}.{key} has shape "
                f"{None if value is None else tuple(value.shape)} in the file and {tuple(expected.shape)} in "
                "this run; resume with the sizes and the data that wrote it"
            )
        weights[key] = value
    return weights


def _composition(modules: Mapping[str, nn.Module]) -> dict[str, list[str]]:
    """The class names of each module's parts, depth first: what a checkpoint must share with the run that reads it."""
    return {name: [type(part).__name__ for part in module.modules()] for name, module in modules.items()}


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
