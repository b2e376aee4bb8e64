"""Schedules: the fraction of the steps done -> a factor on a learning rate or on a divergence's weight λ."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

from ot_gen.arguments import Count, Fraction, Interval, Nonnegative, checked
from ot_gen.execution import renamed

Schedule = Callable[[float], float]
Beginning = Annotated[float, Interval(0, 1, ")")]
Part = Annotated[float, Interval(0, 1, "(")]


@renamed(floor="end")
@checked
def linear_decay(fraction: Fraction, end: Nonnegative = 0.02, start: Beginning = 0.0) -> float:
    """1 until the fraction `start` of the steps, from there down to `end` at the last, in proportion.

    Raises:
        ValueError: `start` outside [0, 1), or a negative `end`.

    Example:
        >>> linear_decay(0.0), linear_decay(0.5, end=0.0), linear_decay(1.0), linear_decay(0.9, end=0.0, start=0.8)
        (1.0, 0.5, 0.02, 0.5)
    """
    if fraction <= start:
        return 1.0
    return end + (1 - end) * (1 - fraction) / (1 - start)


@checked
def linear_warmup(fraction: Fraction, until: Part = 0.5, start: Nonnegative = 0.0) -> float:
    """From `start` up to 1 at the fraction `until` of the steps, 1 from there on.

    As a factor on λ this is the annealing of the KL term.

    Raises:
        ValueError: `until` outside (0, 1], or a negative `start`.

    Source: Bowman et al., 2016, https://arxiv.org/abs/1511.06349

    Example:
        >>> linear_warmup(0.0), linear_warmup(0.25), linear_warmup(0.9)
        (0.0, 0.5, 1.0)
    """
    return start + (1 - start) * min(1.0, fraction / until)


@checked
def cyclic(fraction: Fraction, cycles: Count = 4, rise: Part = 0.5, start: Nonnegative = 0.0) -> float:
    """`cycles` equal cycles, each a linear warm-up from `start` to 1 during its first part `rise`, then 1.

    Raises:
        ValueError: fewer than one cycle, `rise` outside (0, 1], or a negative `start`.

    Source: Fu et al., 2019, https://arxiv.org/abs/1903.10145

    Example:
        >>> cyclic(0.0), cyclic(0.0625), cyclic(0.2), cyclic(0.25), cyclic(1.0)
        (0.0, 0.5, 1.0, 0.0, 1.0)
    """
    phase = fraction * cycles
    return linear_warmup(1.0 if fraction >= 1 else phase - int(phase), until=rise, start=start)


def factor_at(schedule: Schedule | None, fraction: float) -> float:
    """The factor that a schedule gives at a fraction, 1 without a schedule.

    Raises:
        ValueError: the schedule takes no number, or returns no finite factor >= 0.

    Example:
        >>> factor_at(linear_warmup, 0.25), factor_at(None, 0.25)
        (0.5, 1.0)
    """
    try:
        factor = 1.0 if schedule is None else schedule(fraction)
    except (TypeError, NotImplementedError) as error:
        raise ValueError(f"a schedule takes the fraction of the steps done, and this one does not: {error}") from error
    if not isinstance(factor, int | float) or not 0 <= factor < math.inf:
        raise ValueError(f"a schedule returns a finite factor >= 0, got {factor!r} at the fraction {fraction:g}")
    return factor
