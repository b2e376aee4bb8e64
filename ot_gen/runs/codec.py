"""Frozen dataclasses and named tuples as plain JSON values, and back: the types are the schema."""

from __future__ import annotations

import dataclasses
import math
import reprlib
from collections.abc import Mapping
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

LARGEST = 2**64  # of whole numbers: seeds have 64 bits, and all else is smaller
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}  # JSON has no numbers for these


def encode(value: Any) -> Any:
    """A value as plain JSON. A part becomes an object, without the fields that are None or empty.

    A float that is not finite becomes the word "NaN", "Infinity" or "-Infinity", which every reader of JSON accepts.

    Example:
        >>> encode({"value": 2.0, "se": math.inf})
        {'value': 2.0, 'se': 'Infinity'}
    """
    kind: Any = type(value)
    if is_part(kind):
        fields = {name: encode(getattr(value, name)) for name in kinds(kind)}
        return {name: item for name, item in fields.items() if item is not None and item != [] and item != {}}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {name: encode(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return next(word for word, number in _NOT_FINITE.items() if number == value or value != value)
    return value


def decode(kind: Any, value: Any, name: str) -> Any:
    """The value of type `kind` that `encode` wrote; unknown fields, of a later version, are left out.

    Args:
        kind: a frozen dataclass, a named tuple, an enum, str, bool, int, float, or `X | None`, `tuple[X, ...]`,
            `tuple[X, Y]`, `Mapping[str, X]` of these.
        value: as `json.loads` gives it.
        name: what an error calls the value: "certificate" has "certificate.upper".

    Raises:
        ValueError: the value is not of this type, or lacks a field that has no default.

    Example:
        >>> decode(tuple[float, ...], [1, "NaN"], "interval")
        (1.0, nan)
        >>> decode(int, "many", "seed")
        Traceback (most recent call last):
            ...
        ValueError: seed is 'many'
    """
    if (one := present(kind)) is not kind:
        return None if value is None or (value == {} and is_part(one)) else decode(one, value, name)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is tuple and isinstance(value, list):
        each = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        if len(each) == len(value):
            return tuple(decode(item, part, name) for item, part in zip(each, value, strict=True))
    elif origin is not None and issubclass(origin, Mapping) and isinstance(value, dict):
        some = {key: item for key, item in value.items() if item is not None or present(inner[1]) is not inner[1]}
        return {_text(key): decode(inner[1], item, f"{name}.{key}") for key, item in some.items()}
    elif is_part(kind) and isinstance(value, dict):
        return _part(kind, value, name)
    elif isinstance(kind, type) and issubclass(kind, Enum) and value in [member.value for member in kind]:
        return kind(value)
    elif kind is str and isinstance(value, str):
        return _text(value)
    elif kind is bool and isinstance(value, bool):
        return value
    elif kind in (int, float) and isinstance(value, int | float) and not isinstance(value, bool):
        return _number(kind, value, name)
    elif kind is float and isinstance(value, str) and value in _NOT_FINITE:
        return _NOT_FINITE[value]
    raise ValueError(f"{name} is {reprlib.repr(value)}")


def is_part(kind: Any) -> bool:
    """Whether the type is a dataclass or a named tuple: one that holds fields by name."""
    return isinstance(kind, type) and (dataclasses.is_dataclass(kind) or hasattr(kind, "_field_defaults"))


def leaves(value: Any, name: str = "") -> dict[str, Any]:
    """The values in parts and mappings, at any depth, by dotted names.

    Example:
        >>> leaves({"metrics": {"mmd": {"value": 0.5}}, "seed": 1})
        {'metrics.mmd.value': 0.5, 'seed': 1}
    """
    kind: Any = type(value)
    if is_part(kind):
        value = {field: getattr(value, field) for field in kinds(kind)}
    if not isinstance(value, Mapping):
        return {name: value}
    dot = f"{name}." if name else ""
    return {path: leaf for key, item in value.items() for path, leaf in leaves(item, f"{dot}{key}").items()}


def numbers(kind: Any, name: str = "") -> list[str]:
    """The dotted names of the numbers that a value of this type can hold; * is any name of a mapping.

    Example:
        >>> from typing import NamedTuple
        >>> numbers(Mapping[str, NamedTuple("Row", [("value", float), ("words", str)])], "metrics")
        ['metrics.*.value']
    """
    kind = present(kind)
    origin = get_origin(kind)
    if origin is not None and issubclass(origin, Mapping):
        return numbers(get_args(kind)[1], f"{name}.*")
    if is_part(kind):
        dot = f"{name}." if name else ""
        return [path for field, item in kinds(kind).items() for path in numbers(item, f"{dot}{field}")]
    return [name] if kind in (int, float) else []


def holds_numbers(kind: Any) -> bool:
    """Whether a type is a part, or a mapping to parts, with numbers in named fields."""
    return any("." in name for name in numbers(kind, "it"))


def present(kind: Any) -> Any:
    """The type without its None: float of `float | None`.

    Example:
        >>> present(float | None)
        <class 'float'>
    """
    if get_origin(kind) not in (Union, UnionType):
        return kind
    (one,) = (item for item in get_args(kind) if item is not NoneType)
    return one


@cache
def kinds(part: Any) -> dict[str, Any]:
    """The types of a part's fields, by name."""
    return get_type_hints(part)


@cache
def _required(part: Any) -> frozenset[str]:
    if hasattr(part, "_field_defaults"):
        return frozenset(kinds(part)) - frozenset(part._field_defaults)
    missing = dataclasses.MISSING
    fields = dataclasses.fields(part)
    return frozenset(item.name for item in fields if item.default is missing and item.default_factory is missing)


def _part(kind: type, value: Mapping[str, Any], name: str) -> Any:
    known = {key: value[key] for key in kinds(kind) if value.get(key) is not None}
    if lacks := sorted(_required(kind) - known.keys()):
        raise ValueError(f"{name or 'it'} lacks {', '.join(lacks)}")
    path = f"{name}." if name else ""
    return kind(**{key: decode(kinds(kind)[key], item, f"{path}{key}") for key, item in known.items()})


def _number(kind: type, value: float, name: str) -> float:
    try:
        float(value)  # an integer beyond the range of floats is refused
        number: float = kind(value)
        if kind is int and abs(number) >= LARGEST:
            raise OverflowError
    except (OverflowError, ValueError) as error:
        raise ValueError(f"{name} is {reprlib.repr(value)}") from error
    if number != value and value == value:
        raise ValueError(f"{name} is {reprlib.repr(value)}, not a whole number")
    return number


def _text(value: str) -> str:
    """The text without halves of surrogate pairs, which no file in UTF-8 can hold."""
    return value.encode("utf-8", "replace").decode("utf-8")
