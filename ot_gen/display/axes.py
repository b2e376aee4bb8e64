"""Axes of drawings: where a value stands, and the ticks with their words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol, final


class Axis(Protocol):
    """A map of values to [0, 1], with ticks. `words` follow the name of what stands on it."""

    @property
    def words(self) -> str:
        """How values are laid out, in words: nothing for equal steps."""

    def at(self, value: float) -> float:
        """Where the value stands, between 0 and 1; a value beyond an end stands at that end."""

    @property
    def ticks(self) -> list[float]:
        """Values worth a word, ascending."""


@final
@dataclass(frozen=True)
class LinearAxis:
    """Equal steps from `low` to `high`.

    Example:
        >>> LinearAxis(0.0, 10.0).ticks
        [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """

    low: float
    high: float
    words: ClassVar[str] = ""

    def at(self, value: float) -> float:
        """Where the value stands, between 0 and 1."""
        return min(1.0, max(0.0, (value - self.low) / ((self.high - self.low) or 1.0)))

    @property
    def ticks(self) -> list[float]:
        """Multiples of 1, 2 or 5 times a power of ten, at most six."""
        width = (self.high - self.low) or 1.0
        power = 10.0 ** math.floor(math.log10(width / 5))
        step = next(power * k for k in (1, 2, 5, 10) if width / (power * k) <= 5 + 1e-9)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [float(f"{step * i:.12g}") for i in range(first, last + 1)]


@final
@dataclass(frozen=True)
class LogAxis:
    """Equal ratios from `low` > 0 to `high`.

    Example:
        >>> LogAxis(1.0, 1000.0).ticks
        [1.0, 10.0, 100.0, 1000.0]
    """

    low: float
    high: float
    words: ClassVar[str] = " (log)"

    def at(self, value: float) -> float:
        """Where the value stands, between 0 and 1."""
        if value <= self.low:
            return 0.0
        return min(1.0, math.log(value / self.low) / (math.log(self.high / self.low) or 1.0))

    @property
    def ticks(self) -> list[float]:
        """Powers of ten, with their 2- and 5-folds on a short axis."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        every = max(1, (last - first) // 6)
        candidates = [10.0**i for i in range(first, last + 1, every)]
        if last - first <= 2:
            candidates = [k * value for value in candidates for k in (1.0, 2.0, 5.0)]
        return [value for value in candidates if self.low * (1 - 1e-9) <= value <= self.high * (1 + 1e-9)]


def tick_words(value: float) -> str:
    """A tick's word.

    Example:
        >>> [tick_words(value) for value in (0.05, 20.0, 50_000.0, 1e9)]
        ['0.05', '20', '50k', '1e9']
    """
    size = abs(value)
    if size >= 1e7 or 0 < size < 1e-3:
        return f"{value:.0e}".replace("e+0", "e").replace("e-0", "e−")
    return (f"{value / 1000:g}k" if size >= 1e4 else f"{value:g}").replace("-", "−")
