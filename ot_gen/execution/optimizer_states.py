"""The state of optimizers, as tensors and plain values, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.optim import Optimizer


def optimizer_states(optimizers: Mapping[str, Optimizer | None]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Their tensors, by names "optimizer.NAME.PARAMETER.SLOT", and by name all else: {"param_groups", "state"}."""
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, Any] = {}
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
    return tensors, scalars


def stored_states(
    path: Path, optimizers: Mapping[str, Optimizer | None], scalars: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> dict[str, dict[str, Any]]:
    """The states that a file holds, for `load_state_dict` of each optimizer.

    Args:
        path: of the file, for messages.
        optimizers: by name; those that are None are left out.
        scalars, tensors: as of `optimizer_states`.

    Raises:
        ValueError: the state of an optimizer is not there, or does not fit it.
    """
    states = {}
    for name, optimizer in optimizers.items():
        if optimizer is None:
            continue
        saved = scalars.get(name)
        if not isinstance(saved, dict) or not isinstance(saved.get("param_groups"), list):
            raise ValueError(f"{path} is damaged: it lacks the state of the optimizer of {name}")
        _check_groups(path, name, saved["param_groups"], optimizer)
        slots = _slots(path, name, saved.get("state", {}), tensors)
        _check_slots(path, name, slots, optimizer)
        states[name] = {"state": slots, "param_groups": saved["param_groups"]}
    return states


def _slots(path: Path, name: str, plain: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Any]]:
    prefix = f"optimizer.{name}."
    values = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    slots: dict[int, dict[str, Any]] = {}
    for key, value in {**values, **plain}.items():
        index, _, slot = key.partition(".")
        if not index.isdecimal():
            raise ValueError(f"{path} is damaged: {prefix}{key} is the state of no parameter")
        slots.setdefault(int(index), {})[slot] = value
    return slots


def _check_groups(path: Path, name: str, groups: list[Any], optimizer: Optimizer) -> None:
    """The settings of an optimizer: those that it has, and numbers that can be."""
    here = optimizer.state_dict()["param_groups"]
    there, ours = ([len(group["params"]) for group in part if _is_group(group)] for part in (groups, here))
    if there != ours:
        raise ValueError(f"{path} holds an optimizer of {name} for {there} parameters, and this one has {ours}")
    for saved, group in zip(groups, here, strict=True):
        for key, value in group.items():
            if key in saved and isinstance(value, float) and not _is_finite(saved[key]):
                raise ValueError(f"{path} is damaged: {key} of the optimizer of {name} is {saved[key]!r}, not a number")


def _is_group(group: object) -> bool:
    return isinstance(group, dict) and isinstance(group.get("params"), list)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_slots(path: Path, name: str, slots: Mapping[int, Mapping[str, Any]], optimizer: Optimizer) -> None:
    """Every parameter that has moved has the same slots, and they are of its shape or numbers."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    expected = set().union(*slots.values())
    for index, parameter in enumerate(parameters):
        state = slots.get(index)
        if state is None:
            continue
        if lacks := sorted(expected - state.keys()):
            raise ValueError(f"{path} is damaged: it lacks optimizer.{name}.{index}.{lacks[0]}")
        for slot, value in state.items():
            if isinstance(value, Tensor) and value.dim() and value.shape != parameter.shape:
                raise ValueError(
                    f"{path} is damaged: optimizer.{name}.{index}.{slot} has shape {tuple(value.shape)}, and its "
                    f"parameter {tuple(parameter.shape)}"
                )
    if beyond := sorted(index for index in slots if index >= len(parameters)):
        raise ValueError(f"{path} is damaged: optimizer.{name}.{beyond[0]} is the state of no parameter")
