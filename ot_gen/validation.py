"""A validation every k steps of a training: its figures, the best weights, and an early end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from torch import nn

from ot_gen.arguments import Count, checked
from ot_gen.execution import BestWeights, Clock, Processes, Progress
from ot_gen.measures import undisturbed

Rows = Sequence[Mapping[str, Any]]  # of numbers; some may be NaN


@final
@checked
class Validation:
    """How a model is judged while it trains, and what is decided by it.

    Args:
        measure: () -> figures of the model by name, e.g. `lambda: {"w1": judge(mu, train, held_out).w1}`. It is called
            in evaluation mode, without a graph; the random state is put back, and its time is no time of training.
        every: steps from one judgement to the next.
        metric: the figure that decides. Then `fit` ends with the weights of θ and ξ for which it was best. None: the
            figures are noted, and decide nothing.
        patience: judgements without a better one, after which training stops. None: it goes on.
        higher_is_better: whether the best figure is the highest, as of a share of what is right.

    Decisions follow from `Progress.validations` alone, so that a resumed training decides as one of no interruption.
    A figure that is not finite is never the best. Points that decide must not judge in the end: set some aside.

    Raises:
        ValueError: `patience` without a metric.

    Source: Prechelt, 1998, Early stopping, but when?, https://doi.org/10.1007/3-540-49430-8_3

    Example:
        >>> validation = Validation(lambda: {"w1": 1.0}, every=10, metric="w1", patience=2)
        >>> rows = [{"w1": 3.0}, {"w1": 2.0}, {"w1": math.nan}, {"w1": 2.5}]
        >>> validation.best(rows), validation.is_over(rows[:3]), validation.is_over(rows)
        (1, False, True)
    """

    def __init__(
        self,
        measure: Callable[[], Mapping[str, float]],
        every: Count,
        metric: str | None = None,
        patience: Count | None = None,
        higher_is_better: bool = False,
    ) -> None:
        if patience is not None and metric is None:
            raise ValueError("patience waits for a better metric, and none is named; give metric, e.g. 'w1'")
        self.measure = measure
        self.every = every
        self.metric = metric
        self.patience = patience
        self.higher_is_better = higher_is_better

    def best(self, rows: Rows) -> int | None:
        """The number of the best of the rows of `Progress.validations`, the first of equal ones; None of none."""
        if self.metric is None:
            return None
        sign = -1 if self.higher_is_better else 1
        values = [sign * row.get(self.metric, math.nan) for row in rows]
        finite = [index for index, value in enumerate(values) if math.isfinite(value)]
        return min(finite, key=values.__getitem__, default=None)

    def is_over(self, rows: Rows) -> bool:
        """Whether training stops, having waited long enough for a better row than the best."""
        best = self.best(rows)
        return self.patience is not None and len(rows) - (0 if best is None else best + 1) >= self.patience

    def figures(self) -> dict[str, float]:
        """What is measured now.

        Raises:
            ValueError: `measure` returns something else than numbers by name, or not the metric.
        """
        measured = self.measure()
        try:
            figures = {str(name): float(value) for name, value in dict(measured).items()}
        except (TypeError, ValueError) as error:
            raise ValueError(f"measure must return numbers by name, got {measured!r:.80}: {error}") from error
        if self.metric is not None and self.metric not in figures:
            raise ValueError(
                f"the validation decides by {self.metric!r}, and its figures are {', '.join(figures)}; name one of "
                "these"
            )
        return figures

    @staticmethod
    def instead_of(value: object) -> str:
        """What to do with something that should be a validation, in the words of an error."""
        return "make one: Validation(measure, every=100)"


@final
class Watch:
    """The validation of one training, called after each step.

    Args:
        validation: what is measured, and when.
        done: how far the training is; it gets the rows.
        best: keeps the weights of the best row.
        clock: rests meanwhile.
        processes: process 0 measures and decides for all.
        modules: in evaluation mode meanwhile.

    Raises:
        ValueError: `best` holds the weights of another row than the best: another metric chose them.
    """

    def __init__(
        self,
        validation: Validation,
        done: Progress,
        best: BestWeights,
        clock: Clock,
        processes: Processes,
        modules: Sequence[nn.Module],
    ) -> None:
        self.validation, self.done, self.best = validation, done, best
        self.clock, self.processes, self.modules = clock, processes, modules
        self._check_best()
        self._decide()

    def __call__(self) -> None:
        """Look at the model after a step, if it is time."""
        if self.done.step % self.validation.every:
            return
        improved = False
        if self.processes.rank == 0:
            with self.clock.resting(), undisturbed(*self.modules):
                figures = self.validation.figures()
            rows = self.done.validations
            rows.append({"step": self.done.step, "seconds": self.done.seconds, "images": self.done.images} | figures)
            improved = self.validation.best(rows) == len(rows) - 1
        if self.processes.any(improved):
            self.best.keep(self.done.step)
        self._decide()

    def _decide(self) -> None:
        validation = self.validation
        if validation.is_over(self.done.validations):
            self.done.stop(f"{validation.metric} was not better in {validation.patience} validations")

    def _check_best(self) -> None:
        rows, kept = self.done.validations, int(self.best.step)
        index = self.validation.best(rows)
        step = 0 if index is None else int(rows[index]["step"])
        if self.validation.metric is not None and step != kept:
            raise ValueError(
                f"the checkpoint keeps the weights of step {kept}, and {self.validation.metric} was best at step "
                f"{step}; resume with the metric that chose them"
            )
