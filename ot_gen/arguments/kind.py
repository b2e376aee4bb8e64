"""One kind of argument: what it is called, and how a value passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, final

# The arguments of a call by their places and by their names, as they were given: the company of each of them. A plain
# tuple, as every call makes one.
Call = tuple[tuple[Any, ...], Mapping[str, Any]]
Take = Callable[[Any, str, Call], Any]


@final
class Kind(NamedTuple):
    """What an argument must be.

    Attributes:
        noun: what it is, with its article: "a number > 0".
        take: (value, name, call) -> the value as the function gets it; it raises a `ValueError` that begins with the
            name, says what was got and what to do.
        is_tensor: whether tensors are of this kind.
    """

    noun: str
    take: Take
    is_tensor: bool = False
