"""From an annotation to the kind of argument that it asks for."""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
from torch import Tensor, nn, strided
from torch.distributions import Distribution

from ot_gen.arguments.kind import Call, Kind
from ot_gen.arguments.numbers import Interval, real, whole
from ot_gen.arguments.tensors import DefaultDtype, Shape, WholeNumbers, classes, tensor
from ot_gen.arguments.wording import described, shown, with_article


def kind_of(annotation: Any, order: str = "") -> Kind | None:
    """The kind that an annotation asks for, or None where it takes anything (`Any`, `object`, protocols).

    int, float, bool, str and Path are what they say; so are a `Tensor`, a class, `Literal`, `Callable`, a union, and
    sequences and mappings of all these. `Annotated[float, Interval(0, 1)]` bounds a number.

    Args:
        annotation: the annotation, not its text.
        order: the arguments of the function, to be named where one of them is of another class.

    Example:
        >>> kind_of(int | None).take(3, "steps", ((), {}))
        3
        >>> kind_of(Literal["primal", "dual"]).take("both", "solver", ((), {}))
        Traceback (most recent call last):
        ValueError: solver must be one of 'primal', 'dual', got 'both'
    """
    origin, parts = get_origin(annotation), get_args(annotation)
    if annotation in (Any, object):
        return None
    if origin is Annotated:
        return _annotated(parts[0], parts[1:], order)
    if annotation in (int, float, bool, str, Path, Tensor):
        return _PLAIN[annotation]
    if origin in (Union, types.UnionType):
        if Path in parts:  # a text is the name of a file
            parts = tuple(part for part in parts if part is not str)
        words = next((part.instead_of(None) for part in parts if hasattr(part, "instead_of")), "")
        members = [kind_of(part, order) for part in parts if part is not types.NoneType]
        return _union(members, types.NoneType in parts, f"; {words}" if words else "")
    if origin is Literal:
        return _literal(parts)
    if origin is Callable:
        return _CALLABLE
    if isinstance(origin, type):
        return _container(origin, parts, order)
    is_protocol = getattr(annotation, "_is_protocol", False)
    return _instance(annotation, order) if isinstance(annotation, type) and not is_protocol else None


def _annotated(annotation: Any, marks: tuple[Any, ...], order: str) -> Kind | None:
    for mark in marks:
        if isinstance(mark, Interval):
            return whole(mark) if annotation is int else real(mark)
    if annotation is Tensor:
        if any(isinstance(mark, WholeNumbers) for mark in marks):
            return classes()
        shape = next((mark for mark in marks if isinstance(mark, Shape)), None)
        return tensor(shape, default=any(isinstance(mark, DefaultDtype) for mark in marks))
    return kind_of(annotation, order)


def _flag(value: Any, name: str, call: Call) -> bool:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise ValueError(f"{name} must be True or False, got {shown(value)}")


def _text(value: Any, name: str, call: Call) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"{name} must be a text, got {shown(value)}")


def _path(value: Any, name: str, call: Call) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise ValueError(f"{name} must be a path, got {shown(value)}")
    path = os.fspath(value)
    if not isinstance(path, str) or "\0" in path or not path:
        raise ValueError(f"{name} must be a path, got {path[:40]!r}; give the name of a file or folder")
    return Path(path)


def _callable(value: Any, name: str, call: Call) -> Any:
    if isinstance(value, type) and any("__call__" in vars(part) for part in value.__mro__):
        raise ValueError(f"{name} must be a function, got {described(value)}; call the class with its arguments")
    if callable(value):
        return value
    raise ValueError(f"{name} must be a function, got {shown(value)}")


_CALLABLE = Kind("a function", _callable)
_PLAIN: dict[Any, Kind] = {
    int: whole(Interval()),
    float: real(Interval()),
    bool: Kind("True or False", _flag),
    str: Kind("a text", _text),
    Path: Kind("a path", _path),
    Tensor: tensor(),
}


_TORCH: dict[type, tuple[str, str]] = {  # what classes of torch are called, and what to do with something else
    nn.Module: ("a torch module", "a function becomes one as its forward"),
    Distribution: ("a torch Distribution", "points are a law too: Dirac(points)"),
}


def _instance(cls: type, order: str) -> Kind:
    """Of a class, which may say what to do with something else: `cls.instead_of(value)`."""
    noun, remedy = _TORCH.get(cls, (with_article(cls.__name__), ""))
    seen: set[type] = set()  # classes that are of this one: to ask an abstract class costs more

    def take(value: Any, name: str, call: Call) -> Any:
        if type(value) in seen:
            return value
        if isinstance(value, cls):
            seen.add(type(value))
            return value
        words = cls.instead_of(value) if hasattr(cls, "instead_of") else remedy
        advice = f"; {words}" if words else ""
        if isinstance(value, type) and issubclass(value, cls):
            advice = "; call the class with its arguments"
        raise ValueError(f"{name} must be {noun}, got {described(value)}{advice}{order}")

    return Kind(noun, take)


def _union(kinds: list[Kind | None], none: bool, advice: str) -> Kind | None:
    members = [kind for kind in kinds if kind is not None]
    if len(members) < len(kinds):
        return None
    noun = " or ".join([*(kind.noun for kind in members), *(["None"] if none else [])])

    def take(value: Any, name: str, call: Call) -> Any:
        if value is None and none:
            return None
        if len(members) == 1:
            return members[0].take(value, name, call)
        of_law: ValueError | None = None
        for kind in members:
            try:
                return kind.take(value, name, call)
            except ValueError as error:
                if kind.is_tensor and (isinstance(value, Tensor | list) or hasattr(value, "__array__")):
                    raise  # it says more than that this is none of them
                if kind.is_tensor and hasattr(value, "sample"):
                    of_law = error
        if of_law is not None:
            raise of_law
        raise ValueError(f"{name} must be {noun}, got {shown(value)}{advice}")

    return Kind(noun, take)


def _literal(values: tuple[Any, ...]) -> Kind:
    noun = f"one of {', '.join(map(repr, values))}"

    def take(value: Any, name: str, call: Call) -> Any:
        if isinstance(value, str | int) and value in values:
            return value
        raise ValueError(f"{name} must be {noun}, got {shown(value)}")

    return Kind(noun, take)


def _class(parent: type) -> Kind:
    """A class, or what makes its instances without arguments."""
    noun = f"a class of {parent.__name__}s"

    def take(value: Any, name: str, call: Call) -> Any:
        if isinstance(value, type) and issubclass(value, parent):
            return value
        if callable(value) and not isinstance(value, type | parent):
            return value
        advice = f"; give the class {type(value).__name__} itself" if isinstance(value, parent) else ""
        raise ValueError(f"{name} must be {noun}, got {described(value)}{advice}")

    return Kind(noun, take)


def _container(origin: type, parts: tuple[Any, ...], order: str) -> Kind | None:
    if origin is type and isinstance(parts[0], type):
        return _class(parts[0])
    if issubclass(origin, Mapping):
        return _mapping(kind_of(parts[1], order))
    if issubclass(origin, tuple) and not (len(parts) == 2 and parts[1] is Ellipsis):
        return _sequence([kind_of(part, order) for part in parts], len(parts), tuple)
    if issubclass(origin, Sequence):
        return _sequence([kind_of(parts[0], order)], None, tuple if issubclass(origin, tuple) else None)
    if issubclass(origin, Iterable):
        return _instance(Iterable, order)
    return None if origin is type else _instance(origin, order)


def _sequence(kinds: list[Kind | None], length: int | None, made: type | None = None) -> Kind:
    """A list or tuple; also an array or tensor, of which the entries are taken. A list becomes what is to be `made`."""
    words = "" if length is None else f" of {length}"
    noun = f"a list{words}" if kinds[0] is None else f"a list{words}, each {kinds[0].noun}"

    def take(value: Any, name: str, call: Call) -> Any:
        if isinstance(value, np.ndarray) or (
            isinstance(value, Tensor) and value.layout is strided and not value.is_meta
        ):
            value = value.tolist() if value.ndim == 1 else value
        if isinstance(value, str | bytes | Tensor) or not isinstance(value, Sequence):
            raise ValueError(f"{name} must be {noun}, got {shown(value)}")
        if length is not None and len(value) != length:
            raise ValueError(f"{name} must be {noun}, got {len(value)} of them")
        each = kinds if length is not None else kinds * len(value)
        names = [f"{name}[{i}]" for i in range(len(value))]
        taken = [e if kind is None else kind.take(e, n, call) for e, n, kind in zip(value, names, each, strict=True)]
        make = made or (tuple if isinstance(value, tuple) else list)
        unchanged = all(new is old for new, old in zip(taken, value, strict=True)) and isinstance(value, made or object)
        return value if unchanged else make(taken)

    return Kind(noun, take)


def _mapping(kind: Kind | None) -> Kind:
    noun = "a mapping from names" if kind is None else f"a mapping from names, each to {kind.noun}"

    def take(value: Any, name: str, call: Call) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError(f"{name} must be {noun}, got {shown(value)}")
        if kind is None:
            return value
        taken = {key: kind.take(entry, f"{name}[{key!r}]", call) for key, entry in value.items()}
        return value if all(taken[key] is value[key] for key in taken) else taken

    return Kind(noun, take)
