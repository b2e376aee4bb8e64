"""Names of the past, of arguments and of classes, which go on working until the version that drops them."""

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
        title = function.__qualname__.removesuffix(".__init__").rpartition(".<locals>.")[2]

        @functools.wraps(function)
        def translated(*args: P.args, **kwargs: P.kwargs) -> R:
            for old, new in names.items():
                if old not in kwargs:
                    continue
                if new in kwargs:
                    raise ValueError(f"{title} got both {new}= and its old name {old}=; give {new}= alone")
                warnings.warn(
                    f"{title}: {old}= is now called {new}=; the old name goes away in {REMOVAL}",
                    DeprecationWarning,
                    stacklevel=2,
                )
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
        warnings.warn(
            f"{module}.{name} is now called {today.__name__}; the old name goes away in {REMOVAL}",
            DeprecationWarning,
            stacklevel=2,
        )
        return today

    return lookup
