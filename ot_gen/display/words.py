"""Objects in one line: what they are and the numbers that tell, never their contents."""

from __future__ import annotations

import dataclasses
from abc import ABC
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from itertools import islice
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

LONGEST = 320  # characters of an object in one line
FEW = 6  # numbers of a tensor, or entries of a list, that are shown
_WHOLE = ContextVar("_WHOLE", default=False)


class Shown(nn.Module, ABC):
    """A torch module that shows itself in one line, where a notebook would print the tree of its parts.

    Example:
        >>> from ot_gen import MLP, Pushforward, SquaredEuclidean, UniformSphere
        >>> MLP(2, 784, hidden=(400, 400))
        MLP(3 Linear, 2 ReLU, 475,984 parameters)
    """

    def __repr__(self) -> str:
        return super().__repr__() if _WHOLE.get() else module_line(self)


class Network(Shown, ABC):
    """A network, of which `print` shows the layers as that of every torch module does."""

    def __str__(self) -> str:
        return structure(self)


def structure(module: nn.Module) -> str:
    """The tree of a module's parts with their settings, line by line, as torch writes it.

    Example:
        >>> structure(nn.Sequential(nn.Linear(2, 1))).splitlines()[1]
        '  (0): Linear(in_features=2, out_features=1, bias=True)'
    """
    token = _WHOLE.set(True)
    try:
        return repr(module)
    finally:
        _WHOLE.reset(token)


def module_line(module: nn.Module) -> str:
    """A module by its settings, its parts or, of a network, its layers by kind, and the number of its parameters.

    Example:
        >>> module_line(nn.Sequential(nn.Linear(2, 1), nn.ReLU()))
        'Sequential(1 Linear, 1 ReLU, 3 parameters)'
    """
    count = sum(p.numel() for p in module.parameters() if not is_lazy(p))
    end = (f"{count:,} parameter{'s' * (count != 1)}",) if count else ()
    lines = (_module(module, depth, end) for depth in (2, 1, 0))
    return next((text for text in lines if len(text) <= LONGEST), cut(_module(module, 0, end)))


def record_line(thing: Any, **instead: object) -> str:
    """A dataclass or a named tuple by its fields, each `in_words`.

    Args:
        thing: the record.
        instead: values to show in the place of those of the record; None leaves a field out.

    Example:
        >>> from typing import NamedTuple
        >>> class Fit(NamedTuple):
        ...     atoms: list
        ...     loss: float
        >>> record_line(Fit([0.0] * 1000, 0.123456789))
        'Fit(atoms=1,000 entries, loss=0.123457)'
    """
    if dataclasses.is_dataclass(thing):
        names = [field.name for field in dataclasses.fields(thing)]
    else:
        names = list(thing._fields)
    values = {name: instead[name] if name in instead else getattr(thing, name) for name in names}
    shown = (f"{name}={in_words(value)}" for name, value in values.items() if not (value is None and name in instead))
    return line(type(thing).__name__, *shown)


def line(name: str, *parts: str) -> str:
    """Name(part, part), cut where it becomes long.

    Example:
        >>> line("Progress", "step 3 of 3", "")
        'Progress(step 3 of 3)'
    """
    return cut(f"{name}({', '.join(part for part in parts if part)})")


def in_words(value: object) -> str:
    """A value in few words: numbers to six digits, tensors by their shape unless they hold few numbers.

    Example:
        >>> import torch
        >>> in_words(torch.zeros(1000, 2)), in_words(torch.tensor([0.5, 1.0])), in_words(1 / 3)
        ('tensor (1000, 2)', '[0.5, 1]', '0.333333')
    """
    if isinstance(value, Tensor):
        return _tensor(value)
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, nn.Module):
        return _module(value, 0)
    if callable(value) and hasattr(value, "__qualname__"):
        return cut(str(value.__qualname__).rpartition("<locals>.")[2])
    if isinstance(value, Mapping):
        more = ", …" if len(value) > FEW else ""
        return f"{{{', '.join(map(str, islice(value, FEW)))}{more}}}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) > FEW:
            return f"{len(value):,} entries"
        return repr(value) if hasattr(value, "_fields") else f"[{', '.join(map(in_words, value))}]"
    return cut(repr(value), LONGEST // 3) if type(value).__repr__ is not object.__repr__ else type(value).__name__


def subscript(number: int) -> str:
    """A whole number as an index.

    Example:
        >>> subscript(12)
        '₁₂'
    """
    return str(number).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def cut(text: str, longest: int = LONGEST) -> str:
    r"""On one line of so many characters.

    Example:
        >>> cut("a\n  b" * 99, 5)
        'a ba…'
    """
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _tensor(value: Tensor) -> str:
    if value.ndim > 1 or value.numel() > FEW or value.is_meta:
        return f"tensor {tuple(value.shape)}"
    numbers = value.detach().tolist()
    return in_words(numbers)


def _module(module: nn.Module, depth: int, end: Iterable[str] = ()) -> str:
    parts = dict(module.named_children())
    inner: list[str] = []
    if any(isinstance(part, Shown) for part in parts.values()):
        inner = [f"{name}={_module(part, depth - 1)}" for name, part in parts.items()] if depth else ["…"]
    elif parts:
        kinds = Counter(type(layer).__name__ for layer in module.modules() if next(layer.children(), None) is None)
        inner = [f"{number} {kind}" for kind, number in islice(kinds.items(), FEW)] + ["…"] * (len(kinds) > FEW)
    extra = cut(module.extra_repr(), LONGEST // 2)
    return f"{type(module).__name__}({', '.join(part for part in (extra, *inner, *end) if part)})"
