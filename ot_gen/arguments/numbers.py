"""Numbers as arguments: whole and real ones, and where they lie."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Annotated, Any, NamedTuple, final

from torch import Tensor

from ot_gen.arguments.kind import Call, Kind
from ot_gen.arguments.wording import shown

MOST = 10**9  # things counted: more would never end, or fit in no memory
WORD = 2**63  # whole numbers fit in 64 bits


@final
class Interval(NamedTuple):
    """Where a number lies. Ends belong to it, as in [least, most], unless `open` says "(" or ")".

    Example:
        >>> Interval(0, 1, "(").words, Interval(1, 8).words, Interval(0).words
        (' in (0, 1]', ' in [1, 8]', ' >= 0')
    """

    least: float = -math.inf
    most: float = math.inf
    open: str = ""

    @property
    def words(self) -> str:
        """The interval, to follow a noun."""
        left, right = self.least != -math.inf, self.most not in (math.inf, MOST, WORD)
        if left and right:
            opening, closing = "(" if "(" in self.open else "[", ")" if ")" in self.open else "]"
            return f" in {opening}{self.least:g}, {self.most:g}{closing}"
        if left and self.least != -WORD:
            return f" > {self.least:g}" if "(" in self.open else f" >= {self.least:g}"
        if right:
            return f" < {self.most:g}" if ")" in self.open else f" <= {self.most:g}"
        return ""


Count = Annotated[int, Interval(1, MOST)]
Index = Annotated[int, Interval(0, MOST)]
Positive = Annotated[float, Interval(0, math.inf, "()")]
Nonnegative = Annotated[float, Interval(0, math.inf, ")")]
Fraction = Annotated[float, Interval(0, 1)]
Finite = Annotated[float, Interval(-math.inf, math.inf, "()")]
Seed = Annotated[int, Interval(0, 2**32 - 1)]  # as numpy and scikit-learn take it


def whole(interval: Interval) -> Kind:
    """Whole numbers: of Python, of numpy, or in a tensor; no truth values, and no floats.

    Example:
        >>> import numpy as np
        >>> whole(Interval(1)).take(np.int64(3), "steps", ((), {}))
        3
        >>> whole(Interval(1)).take(0, "steps", ((), {}))
        Traceback (most recent call last):
        ValueError: steps must be a whole number >= 1, got 0
    """
    noun = f"a whole number{interval.words}"
    least, most = max(interval.least, -WORD), min(interval.most, WORD)

    def take(value: Any, name: str, call: Call) -> int:
        if type(value) is not int:
            value = _whole(value, name, noun)
        if least <= value <= most:
            return value
        ceiling = f"; at most {most:g}" if value > most else ""
        raise ValueError(f"{name} must be {noun}, got {shown(value)}{ceiling}")

    return Kind(noun, take)


def _whole(value: Any, name: str, noun: str) -> int:
    in_tensor = isinstance(value, Tensor) and value.ndim == 0 and not value.is_meta
    if in_tensor and not (value.is_floating_point() or value.is_complex()):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ValueError(f"{name} must be {noun}, got {shown(value)}")
    return int(value)


def real(interval: Interval) -> Kind:
    """Real numbers: of Python, of numpy, or in a tensor; no truth values, and no NaN.

    Example:
        >>> real(Interval(0)).take(-1.0, "tol", ((), {}))
        Traceback (most recent call last):
        ValueError: tol must be a number >= 0, got -1.0
    """
    noun = f"a number{interval.words}"

    least = math.nextafter(interval.least, math.inf) if "(" in interval.open else interval.least
    most = math.nextafter(interval.most, -math.inf) if ")" in interval.open else interval.most

    def take(value: Any, name: str, call: Call) -> float:
        number = value if type(value) is float else _real(value, name, noun)
        if least <= number <= most:  # NaN is not
            return number
        finite = " (finite)" if math.isinf(number) and interval.most == math.inf else ""
        raise ValueError(f"{name} must be {noun}{finite}, got {shown(value)}")

    return Kind(noun, take)


def _real(value: Any, name: str, noun: str) -> float:
    if isinstance(value, Tensor) and value.ndim == 0 and not value.is_meta and not value.is_complex():
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{name} must be {noun}, got {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name} must be {noun}, got {shown(value)}; it fits in no float") from None
    return value if isinstance(value, int) and abs(value) < WORD else number
