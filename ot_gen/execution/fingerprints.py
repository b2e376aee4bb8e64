"""Fingerprints of a problem: what a checkpoint knows of the data and the solver, so that no other goes on from it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

SKETCHES = 4
TOLERANCE = 1e-5  # relative: data that another machine computes differ by rounding
ENTRIES = 2**23  # of a chunk
_NUMBER = re.compile(r"[-+]?\d+\.?\d*(?:e[-+]?\d+)?|\binf\b|\bnan\b")


def fingerprint(**parts: object) -> dict[str, Any]:
    """A few plain values for each part of a problem, which tell it from others.

    Tensors are known by shape, dtype and random sums Σ_ij r_i c_j y_ij with fixed signs r, c: other contents change
    them, rounding hardly. A module is known by its tensors, a text by its lines, anything else by its class.

    Example:
        >>> one, other = (fingerprint(data=torch.zeros(size, 2), solver="W1") for size in (3, 4))
        >>> difference(one, other)
        'data: shape [3, 2] there, [4, 2] here'
    """
    return {name: _known(part) for name, part in parts.items()}


def difference(there: Any, here: Any, name: str = "") -> str | None:
    """The first difference of two fingerprints, in words; None where there is none."""
    if isinstance(here, dict) and "sums" in here:
        return _between_tensors(there, here, name)
    if isinstance(here, dict) and isinstance(there, dict):
        inner = (
            difference(there.get(key), here.get(key), f"{name}.{key}".lstrip("."))
            for key in (*here, *(key for key in there if key not in here))
        )
        return next((words for words in inner if words is not None), None)
    if isinstance(here, list) and isinstance(there, list):
        inner = (difference(str(one), str(other), name) for one, other in zip_longest(there, here, fillvalue=""))
        return next((words for words in inner if words is not None), None)
    same = _is_same(there, here) if isinstance(there, str) and isinstance(here, str) else there == here
    return None if same else f"{name}: {there or 'nothing'} there, {here or 'nothing'} here"


def _known(part: object) -> Any:
    if isinstance(part, Tensor):
        return _sketched(part.detach())
    if isinstance(part, nn.Module):
        tensors = {**dict(part.named_parameters()), **dict(part.named_buffers())}
        return {"kind": type(part).__name__, **{name: _sketched(tensor.detach()) for name, tensor in tensors.items()}}
    return _words(part) if isinstance(part, str) else type(part).__name__


def _between_tensors(there: Any, here: Mapping[str, Any], name: str) -> str | None:
    if not isinstance(there, dict) or "sums" not in there:
        return f"{name}: {there or 'nothing'} there, a tensor here"
    for part in ("shape", "dtype"):
        if there[part] != here[part]:
            return f"{name}: {part} {there[part]} there, {here[part]} here"
    near = TOLERANCE * max(there["norm"], here["norm"])
    if any(not abs(one - other) <= near for one, other in zip(there["sums"], here["sums"], strict=True)):
        return f"{name}: other contents of the same shape {here['shape']}"
    return None


def _sketched(tensor: Tensor) -> dict[str, Any]:
    tensor = tensor if tensor.dim() else tensor.reshape(1)
    shape = (len(tensor), max(1, math.prod(tensor.shape[1:])))
    size = max(1, ENTRIES // shape[1])
    signs = torch.Generator("cpu").manual_seed(0)
    left, right = (
        torch.randint(0, 2, (length, SKETCHES), generator=signs, device="cpu") * 2.0 - 1.0 for length in shape
    )
    left, right = (sign.to(tensor.device, torch.float64) for sign in (left, right))
    sums, square = torch.zeros(SKETCHES, dtype=torch.float64, device="cpu"), 0.0
    for start in range(0, len(tensor), size):
        part = tensor[start : start + size].flatten(1) if tensor.dim() > 1 else tensor[start : start + size, None]
        part = part.to(torch.promote_types(tensor.dtype, torch.float32))
        sums += ((part @ right.to(part)).double() * left[start : start + size]).sum(dim=0).cpu()
        square += float(part.square().sum())
    dtype = str(tensor.dtype).removeprefix("torch.")
    return {"shape": list(tensor.shape), "dtype": dtype, "sums": sums.tolist(), "norm": math.sqrt(square)}


def _words(text: str) -> list[str]:
    """Its lines, without addresses and with one name for a function whose arguments are bound."""
    text = re.sub(r" at 0x[0-9a-f]+", "", text)
    text = re.sub(r"\b(functools\.partial|_DeferredTarget)\(", "partial(", text)
    return [line.strip() for line in text.splitlines()]


def _is_same(one: str, other: str) -> bool:
    """Whether two lines say the same, numbers to rounding."""
    if _NUMBER.sub("#", one) != _NUMBER.sub("#", other):
        return False
    pairs = zip(_NUMBER.findall(one), _NUMBER.findall(other), strict=True)
    return all(a == b or math.isclose(float(a), float(b), rel_tol=TOLERANCE) for a, b in pairs)
