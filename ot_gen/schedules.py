"""Schedules: the fraction of the steps done -> a factor on a learning rate or on a divergence's weight λ."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, final

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from ot_gen.arguments import Count, Fraction, Interval, Nonnegative, checked
from ot_gen.execution import Descent, Progress, renamed

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


@final
class Rates:
    """The learning rates of both sides, as a schedule or torch's schedulers say, one for each optimizer.

    A scheduler of torch counts outer steps, those of a warm-up too. It follows from their number, so that a resumed
    training takes its steps again and needs nothing else.

    Args:
        schedule: of fractions, or a class of `torch.optim.lr_scheduler` with all arguments but the optimizer bound.
        descent: the optimizers, as they begin.
        metric: the figure of validations that `ReduceLROnPlateau` follows.

    Raises:
        ValueError: a scheduler that does not take its arguments, or `ReduceLROnPlateau` without a metric.

    Example:
        >>> import torch
        >>> from ot_gen.execution import ALONE, MixedPrecision, adam
        >>> descent = Descent([torch.nn.Parameter(torch.zeros(1))], [], adam, None, MixedPrecision(), ALONE)
        >>> rates = Rates(partial(torch.optim.lr_scheduler.StepLR, step_size=2), descent)
        >>> rates.set(Progress(steps=9, step=2), fraction=2 / 9)
        >>> descent.theta.param_groups[0]["lr"]
        0.0001
    """

    def __init__(self, schedule: Schedule | None, descent: Descent, metric: str | None = None) -> None:
        self.schedule, self.descent, self.metric = schedule, descent, metric
        optimizers = [optimizer for optimizer in descent.optimizers.values() if optimizer is not None]
        self.schedulers = [_scheduler(schedule, each) for each in optimizers] if _is_of_torch(schedule) else []
        if metric is None and any(isinstance(scheduler, ReduceLROnPlateau) for scheduler in self.schedulers):
            raise ValueError(
                "ReduceLROnPlateau follows a metric, and no validation names one; give "
                "validation=Validation(measure, every, metric=...)"
            )
        self._initial = [[_settings(group) for group in optimizer.param_groups] for optimizer in optimizers]
        self._optimizers = optimizers
        self._taken = 0

    def set(self, done: Progress, fraction: float) -> None:
        """Set the rates for the next step."""
        if not _is_of_torch(self.schedule):
            self.descent.scale_rates(factor_at(self.schedule, fraction))
            return
        if self._taken == 0:  # a checkpoint has the rates of its last step
            for optimizer, groups in zip(self._optimizers, self._initial, strict=True):
                for group, initial in zip(optimizer.param_groups, groups, strict=True):
                    group.update(initial)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that a side has rested so far
            while self._taken < done.step:
                self._taken += 1
                for scheduler in self.schedulers:
                    if not isinstance(scheduler, ReduceLROnPlateau):
                        scheduler.step()
                        continue
                    for row in done.validations:
                        if row["step"] == self._taken:
                            scheduler.step(row.get(self.metric or "", math.nan))


def _is_of_torch(schedule: object) -> bool:
    kind = schedule.func if isinstance(schedule, partial) else schedule
    return inspect.isclass(kind) and issubclass(kind, LRScheduler)


def _scheduler(schedule: Any, optimizer: Optimizer) -> LRScheduler:
    """A scheduler of an optimizer; those that are made of others have these built first."""
    given = {}
    if isinstance(schedule, partial) and "schedulers" in schedule.keywords:
        given = {"schedulers": [_scheduler(part, optimizer) for part in schedule.keywords["schedulers"]]}
    try:
        made: LRScheduler = schedule(optimizer=optimizer, **given)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise ValueError(f"the scheduler cannot be built: {error}; check its arguments") from error
    return made


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}
