"""Former names and positions of arguments, which work until the version that drops them."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

REMOVAL = "0.3"


def renamed(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator that still takes keyword arguments under their old names, with a `DeprecationWarning`.

    Args:
        names: old name -> new name, e.g. `renamed(projections="directions")`. The new one is a parameter of the
            function, the old one is not. Put it on `__init__` for the arguments of a class.

    Raises:
        ValueError: when called, an argument given under both of its names.

    Example:
        >>> @renamed(projections="directions")
        ... def lines(directions=50):
        ...     return directions
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     lines(projections=7), str(caught[0].message)
        (7, 'lines: projections= is now called directions=; the old name goes away in 0.3')
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        parameters = inspect.signature(function).parameters
        assert set(names.values()) <= set(parameters) and not set(names) & set(parameters)
        title = _title(function)

        @functools.wraps(function)
        def translated(*args: P.args, **kwargs: P.kwargs) -> R:
            for old, new in names.items():
                if old not in kwargs:
                    continue
                if new in kwargs:
                    raise ValueError(f"{title} got both {new}= and its old name {old}=; give {new}= alone")
                _warn(f"{title}: {old}= is now called {new}=; the old name goes away in {REMOVAL}")
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return translated

    return decorate


def former_names(module: str, **names: Any) -> Callable[[str], Any]:
    """A module's `__getattr__` that still knows classes by their old names, with a `DeprecationWarning`.

    Args:
        module: its name.
        names: old name -> the class as it is called today.

    Example:
        >>> class New: ...
        >>> __getattr__ = former_names("shop", Old=New)
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     __getattr__("Old") is New, str(caught[0].message)
        (True, 'shop.Old is now called New; the old name goes away in 0.3')
    """

    def lookup(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        today = names[name]
        _warn(f"{module}.{name} is now called {today.__name__}; the old name goes away in {REMOVAL}")
        return today

    return lookup


def keyword_only(function: Callable[P, R]) -> Callable[P, R]:
    """A decorator that still takes keyword-only arguments by position, in their order, with a `DeprecationWarning`.

    Example:
        >>> @keyword_only
        ... def scaled(x, *, factor=2.0):
        ...     return factor * x
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     scaled(1.0, 3.0), str(caught[0].message)
        (3.0, 'scaled: give factor= by its name; by position it goes away in 0.3')
    """
    parameters = inspect.signature(function).parameters.values()
    count = sum(parameter.kind is not parameter.KEYWORD_ONLY for parameter in parameters)
    names = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    assert names

    @functools.wraps(function)
    def translated(*args: P.args, **kwargs: P.kwargs) -> R:
        named = dict(zip(names, args[count:], strict=False))
        if not named or len(args) > count + len(names) or named.keys() & kwargs.keys():
            return function(*args, **kwargs)  # as it should be, or a mistake that Python names
        given = ", ".join(f"{name}=" for name in named)
        _warn(f"{_title(function)}: give {given} by its name; by position it goes away in {REMOVAL}")
        loose: Callable[..., R] = function
        return loose(*args[:count], **kwargs, **named)

    return translated


def reordered(*former: str, former_order: Callable[[Any], bool]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator that still takes positional arguments in their former order, with a `DeprecationWarning`.

    Args:
        former: the names in that order.
        former_order: whether the second argument, given by position, shows that the former order is meant.

    Example:
        >>> @reordered("text", "times", "end", former_order=lambda second: isinstance(second, int))
        ... def repeated(text, end, times):
        ...     return text * times + end
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     repeated("a", 2, "b"), str(caught[0].message)
        ('aab', 'repeated: the order is now (text, end, times); the old order goes away in 0.3')
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        parameters = inspect.signature(function).parameters
        order = ", ".join(
            name for name, parameter in parameters.items() if parameter.kind is not parameter.KEYWORD_ONLY
        )

        @functools.wraps(function)
        def translated(*args: P.args, **kwargs: P.kwargs) -> R:
            if not 2 <= len(args) <= len(former) or not former_order(args[1]):
                return function(*args, **kwargs)
            _warn(f"{_title(function)}: the order is now ({order}); the old order goes away in {REMOVAL}")
            loose: Callable[..., R] = function
            return loose(**dict(zip(former, args, strict=False)), **kwargs)

        return translated

    return decorate


def by_old_name(thing: object, old: str, new: str) -> Any:
    """The attribute `new` of a thing, asked for under its `old` name, with a `DeprecationWarning`.

    Example:
        >>> class Mean:
        ...     se = 0.5
        ...     error = property(lambda self: by_old_name(self, "error", "se"))
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     Mean().error, str(caught[0].message)
        (0.5, 'Mean: .error is now called .se; the old name goes away in 0.3')
    """
    _warn(f"{type(thing).__name__}: .{old} is now called .{new}; the old name goes away in {REMOVAL}", beyond=1)
    return getattr(thing, new)


def _title(function: Callable[..., Any]) -> str:
    return function.__qualname__.removesuffix(".__init__").removesuffix(".__call__").rpartition(".<locals>.")[2]


def without_meaning(what: str) -> None:
    """Warn of arguments that are still taken and no longer do anything.

    Example:
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     without_meaning("Precision: groups")
        ...     str(caught[0].message)
        'Precision: groups mean nothing any more and go away in 0.3; leave them out'
    """
    _warn(f"{what} mean nothing any more and go away in {REMOVAL}; leave them out", beyond=1)


def _warn(text: str, beyond: int = 0) -> None:
    """Warn at the first frame outside of this file, or `beyond` frames further: decorators may stand on one another."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and frame.f_code.co_filename == __file__:
        frame, level = frame.f_back, level + 1
    warnings.warn(text, DeprecationWarning, stacklevel=level + beyond)
