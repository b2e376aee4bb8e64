"""Schedules: the fraction of the steps done -> a factor on a learning rate or on a divergence's weight λ."""

from __future__ import annotations

from collections.abc import Callable

from ot_gen.arguments import checked
from ot_gen.execution import renamed

Schedule = Callable[[float], float]


@renamed(floor="end")
@checked
def linear_decay(fraction: float, end: float = 0.02, start: float = 0.0) -> float:
    """1 until the fraction `start` of the steps, from there down to `end` at the last, in proportion.

    Raises:
        ValueError: `start` outside [0, 1), or a negative `end`.

    Example:
        >>> linear_decay(0.0), linear_decay(0.5, end=0.0), linear_decay(1.0), linear_decay(0.9, end=0.0, start=0.8)
        (1.0, 0.5, 0.02, 0.5)
    """
    if not 0 <= start < 1 or end < 0:
        raise ValueError(f"linear_decay needs 0 <= start < 1 and end >= 0, got {start} and {end}")
    if fraction <= start:
        return 1.0
    return end + (1 - end) * (1 - fraction) / (1 - start)


@checked
def linear_warmup(fraction: float, until: float = 0.5, start: float = 0.0) -> float:
    """From `start` up to 1 at the fraction `until` of the steps, 1 from there on.

    As a factor on λ this is the annealing of the KL term.

    Raises:
        ValueError: `until` outside (0, 1], or a negative `start`.

    Source: Bowman et al., 2016, https://arxiv.org/abs/1511.06349

    Example:
        >>> linear_warmup(0.0), linear_warmup(0.25), linear_warmup(0.9)
        (0.0, 0.5, 1.0)
    """
    if not 0 < until <= 1 or start < 0:
        raise ValueError(f"linear_warmup needs 0 < until <= 1 and start >= 0, got {until} and {start}")
    return start + (1 - start) * min(1.0, fraction / until)


@checked
def cyclic(fraction: float, cycles: int = 4, rise: float = 0.5, start: float = 0.0) -> float:
    """`cycles` equal cycles, each a linear warm-up from `start` to 1 during its first part `rise`, then 1.

    Raises:
        ValueError: fewer than one cycle, `rise` outside (0, 1], or a negative `start`.

    Source: Fu et al., 2019, https://arxiv.org/abs/1903.10145

    Example:
        >>> cyclic(0.0), cyclic(0.0625), cyclic(0.2), cyclic(0.25), cyclic(1.0)
        (0.0, 0.5, 1.0, 0.0, 1.0)
    """
    if cycles < 1:
        raise ValueError(f"cyclic needs at least one cycle, got {cycles}")
    phase = fraction * cycles
    return linear_warmup(1.0 if fraction >= 1 else phase - int(phase), until=rise, start=start)
