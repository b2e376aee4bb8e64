"""How far a training is, by steps and by wall time."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import final

from ot_gen.display import card, curve, line
from ot_gen.execution.processes import Processes


@final
@dataclass(repr=False)
class Progress:
    """What `fit` passes to its callbacks after each step, and returns at the end.

    Attributes:
        step: outer steps done, of `steps`.
        images: model samples drawn so far, inner steps included.
        seconds: wall time of training so far, without interruptions and validations.
        rows: for each step of this call {"step", "seconds", "images", "value", "penalty", "inner_loss" where ξ has
            steps of its own, diagnostics...}.
        validations: for each validation, those before a resume too, {"step", "seconds", "images", figures...}.
        stopped: why training ended before its steps, in words; None where it did not.

    Example:
        >>> from ot_gen import Progress
        >>> progress = Progress(steps=100, step=10, images=640, seconds=0.5)
        >>> progress.stop("good enough")
        >>> progress
        Progress(step 10 of 100, 640 images, 0.5 s, stopped: good enough)
    """

    steps: int
    step: int = 0
    images: int = 0
    seconds: float = 0.0
    rows: list[dict[str, float]] = field(default_factory=list)
    validations: list[dict[str, float]] = field(default_factory=list)
    stopped: str | None = None

    def stop(self, reason: str = "a callback stopped it") -> None:
        """Let the training end after this step: `fit` writes its checkpoint and returns as it does at the end.

        Args:
            reason: in words, for `stopped`.
        """
        self.stopped = reason

    def __repr__(self) -> str:
        return line("Progress", *self._words())

    def _repr_html_(self) -> str:
        points = [(row["step"], row["value"]) for row in self.rows if "step" in row and "value" in row]
        floor = self.rows[-1].get("floor") if self.rows else None
        return card("Training", ", ".join(self._words()), curve(points, "step (of θ)", "value", floor))

    def _words(self) -> list[str]:
        last = [f"value={self.rows[-1]['value']:.6g}"] if self.rows and "value" in self.rows[-1] else []
        ended = [] if self.stopped is None else [f"stopped: {self.stopped}"]
        done = [f"step {self.step:,} of {self.steps:,}", f"{self.images:,} images", f"{self.seconds:.3g} s"]
        return [*done, *last, *ended]


@final
class Clock:
    """When a training ends, by steps or by wall time, and which fraction of it is done."""

    def __init__(self, progress: Progress, max_seconds: float | None, processes: Processes) -> None:
        if max_seconds is not None:
            if isinstance(max_seconds, bool) or not isinstance(max_seconds, int | float) or not max_seconds > 0:
                raise ValueError(f"fit needs max_seconds > 0, or None for no limit, got {max_seconds!r}")
            if processes.size > 1:
                raise ValueError("max_seconds is for one process: clocks differ, so several count steps; give steps")
        self.progress = progress
        self.seconds = math.inf if max_seconds is None else max_seconds
        self.began = time.perf_counter() - progress.seconds

    @property
    def runs(self) -> bool:
        done = self.progress
        return done.stopped is None and done.step < done.steps and done.seconds < self.seconds

    @property
    def fraction(self) -> float:
        return max(self.progress.step / self.progress.steps, self.progress.seconds / self.seconds)

    def tick(self) -> None:
        self.progress.step += 1
        self.progress.seconds = time.perf_counter() - self.began

    @contextmanager
    def resting(self) -> Iterator[None]:
        """The time within does not count."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.began += time.perf_counter() - began
