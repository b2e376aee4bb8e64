"""One kind of argument: what it is called, and how a value passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, final


@final
class Call(NamedTuple):
    """The arguments of a call, as they were given: the company in which one of them is read."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


Take = Callable[[Any, str, Call], Any]


@final
class Kind(NamedTuple):
    """What an argument must be.

    Attributes:
        noun: what it is, with its article: "a number > 0".
        take: (value, name, call) -> the value as the function gets it; it raises a `ValueError` that begins with the
            name, says what was got and what to do.
    """

    noun: str
    take: Take
