"""The door: a decorator that passes the arguments of a call through the kinds that its annotations ask for."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType, TracebackType
from typing import Any, NamedTuple, NoReturn, TypeVar, final

from torch import Tensor

from ot_gen.arguments.annotations import kind_of
from ot_gen.arguments.kind import Call, Kind, Take
from ot_gen.arguments.wording import described

Checked = TypeVar("Checked", bound=Callable[..., Any])
CONSTRUCTORS = ("__init__", "__new__", "__call__")
_OBVIOUS = r"^.*<locals>\.|\.(__init__|__new__|__call__|forward)$"  # in the name of what refuses
# Words of torch's errors about tensors.
OF_TENSORS = (
    *("size", "shape", "dim", "type", "half", "device", "elements", "indices", "0-d", "1d", "forward", "bool"),
    *("not implemented for", "floating point"),
)
OURS = __name__.split(".")[0]


def checked(thing: Checked) -> Checked:
    """A decorator of a function, or of all public methods that a class defines: its signature is the schema.

    Each argument passes through the `kind_of` its annotation, which refuses it by a `ValueError` or gives what the
    function gets: arrays and lists become tensors, whole numbers of numpy become those of Python, a text becomes a
    `Path`. The annotations are read at the first call. Where torch refuses tensors that do not fit together, by a
    RuntimeError out of the depth, the arguments are named in a `ValueError`; errors of the caller's own functions pass
    as they are.

    Example:
        >>> import torch
        >>> from ot_gen.arguments import Count, Positive
        >>> @checked
        ... def thinned(x: Tensor, every: Count, width: Positive = 1.0):
        ...     return x[::every] / width
        >>> thinned([[1.0], [2.0], [3.0]], every=2)
        tensor([[1.],
                [3.]])
        >>> thinned(torch.zeros(3, 1), 0)
        Traceback (most recent call last):
        ValueError: every must be a whole number >= 1, got 0
    """
    if isinstance(thing, type):
        for name, member in list(vars(thing).items()):
            if not name.startswith("_") or name in CONSTRUCTORS:
                _put(thing, name, member)
        return thing
    assert isinstance(thing, FunctionType)
    return _guarded(thing)  # type: ignore[return-value]  # with the same signature, which mypy cannot see


def _put(cls: type, name: str, member: Any) -> None:
    """The member in its class again, with a door before it; wrappers of other decorators have theirs inside."""
    wrapper = type(member) if isinstance(member, staticmethod | classmethod) else None
    function = member.__func__ if wrapper else member
    if isinstance(function, FunctionType) and not hasattr(function, "__wrapped__") and _annotated(function):
        guarded = _guarded(function, cls)
        setattr(cls, name, wrapper(guarded) if wrapper else guarded)


def _annotated(function: FunctionType) -> bool:
    return bool(set(function.__annotations__) - {"return"})


def _guarded(function: FunctionType, owner: type | None = None) -> Callable[..., Any]:
    schema: Schema | None = None

    @functools.wraps(function)
    def door(*args: Any, **kwargs: Any) -> Any:
        nonlocal schema
        if schema is None:
            schema = Schema.of(function, owner)
        call, count = (args, kwargs), len(args)
        for i, name, take in schema.places:
            if i >= count:
                break
            value = take(args[i], name, call)
            if value is not args[i]:
                args = (*args[:i], value, *args[i + 1 :])
        if count > len(schema.names):
            args = schema.rest(call, args)
        if kwargs:
            kwargs = schema.by_name(call)
        try:
            return function(*args, **kwargs)
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            if _is_of_tensors(error) and _is_ours(error.__traceback__):
                _explain(error, schema, args, kwargs)
            raise

    door.__checked__ = True  # type: ignore[attr-defined]  # functions take attributes, their type says not
    return door


@final
class Schema(NamedTuple):
    """The kinds of a function's parameters, in their order and by their names."""

    title: str
    names: tuple[str, ...]
    places: tuple[tuple[int, str, Take], ...]  # of the parameters that are checked
    others: Kind | None  # of *args
    named: Mapping[str, Kind | None]

    @staticmethod
    def of(function: FunctionType, owner: type | None) -> Schema:
        module = sys.modules[owner.__module__ if owner else function.__module__]
        names = {**vars(module), **function.__globals__}
        hints = {name: _resolved(hint, names) for name, hint in function.__annotations__.items()}
        parameters = inspect.signature(function).parameters
        places = [p for p in parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        order = _order(places)
        kinds = {name: kind_of(hints[name], order(name)) if name in hints else None for name in parameters}
        others = next((kinds[p.name] for p in parameters.values() if p.kind is p.VAR_POSITIONAL), None)
        named = {p.name: kinds[p.name] for p in parameters.values() if p.kind is not p.VAR_POSITIONAL}
        by_place = tuple(p.name for p in places)
        checks = tuple((i, name, kind.take) for i, name in enumerate(by_place) if (kind := kinds[name]) is not None)
        title = re.sub(_OBVIOUS, "", function.__qualname__)
        return Schema(title, by_place, checks, others, named)

    def rest(self, call: Call, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, with those of *args checked; of too many, Python complains."""
        if self.others is None:
            return args
        others = (self.others.take(value, "an argument", call) for value in args[len(self.names) :])
        return (*args[: len(self.names)], *others)

    def by_name(self, call: Call) -> dict[str, Any]:
        kinds = ((name, value, self.named.get(name)) for name, value in call[1].items())
        return {name: value if kind is None else kind.take(value, name, call) for name, value, kind in kinds}


def _order(places: Sequence[inspect.Parameter]) -> Callable[[str], str]:
    """Of a parameter: the order of those that must be given and of those before it, to end an error's text."""
    names = [p.name for p in places if p.name != "self"]
    needed = sum(p.name != "self" and p.default is p.empty for p in places)

    def order(name: str) -> str:
        shown = names[: max(needed, names.index(name) + 1 if name in names else 0)]
        return f"; the order is ({', '.join(shown)})" if len(shown) > 1 else ""

    return order


def _resolved(annotation: Any, names: Mapping[str, Any]) -> Any:
    """What an annotation says; `Any` for a name that only type checkers know, of a library that is imported late."""
    try:
        return eval(annotation, {**names}) if isinstance(annotation, str) else annotation
    except NameError:
        return Any


def _is_of_tensors(error: Exception) -> bool:
    """Whether torch complains of shapes, dtypes or devices, and not of memory or of its own state."""
    if isinstance(error, ValueError):  # of torch's distributions
        return _rooms(error.__traceback__)[-1] == "torch"
    if isinstance(error, TypeError):
        return str(error).startswith("len() of a 0-d")
    if type(error) not in (RuntimeError, IndexError, NotImplementedError):
        return False  # a class of its own says what it is
    reason = str(error).lower()
    if isinstance(error, NotImplementedError) and "implemented for" not in reason:
        return False
    return any(word in reason for word in OF_TENSORS) and "alloc" not in reason


def _is_ours(trace: TracebackType | None) -> bool:
    """Whether an error was raised by torch for this package, and not within a function of the caller's."""
    return set(_rooms(trace)) <= {OURS, "torch", "contextlib"}


def _rooms(trace: TracebackType | None) -> list[str]:
    """The packages that a trace goes through."""
    rooms = []
    while trace is not None:
        rooms.append(str(trace.tb_frame.f_globals.get("__name__", "")).split(".")[0])
        trace = trace.tb_next
    return rooms


def _explain(error: Exception, schema: Schema, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> NoReturn:
    given = [*zip(schema.names, args, strict=False), *kwargs.items()]
    shapes = [f"{name}: {_tensor(value)}" for name, value in given if isinstance(value, Tensor)]
    others = [f"{name}: {described(value)}" for name, value in given if not isinstance(value, Tensor)]
    what = ", ".join(shapes or others)
    reason = " ".join(str(error).partition(":\ntensor")[0].split())  # without the numbers
    raise ValueError(f"{schema.title} got arguments that do not fit together ({what}); torch says: {reason}") from error


def _tensor(value: Tensor) -> str:
    device = "" if value.device.type == "cpu" else f" on {value.device}"
    return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}{device}"
