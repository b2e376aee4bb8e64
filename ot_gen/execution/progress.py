"""How far a training is, by steps and by wall time."""

from __future__ import annotations

import math
import time
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
        seconds: wall time of training so far, interruptions excluded.
        rows: for each step of this call {"step", "seconds", "images", "value", "penalty", diagnostics...}.

    Example:
        >>> from ot_gen import Progress
        >>> Progress(steps=100, step=10, images=640, seconds=0.5)
        Progress(step 10 of 100, 640 images, 0.5 s)
    """

    steps: int
    step: int = 0
    images: int = 0
    seconds: float = 0.0
    rows: list[dict[str, float]] = field(default_factory=list)

    def __repr__(self) -> str:
        return line("Progress", *self._words())

    def _repr_html_(self) -> str:
        points = [(row["step"], row["value"]) for row in self.rows if "step" in row and "value" in row]
        floor = self.rows[-1].get("floor") if self.rows else None
        return card("Training", ", ".join(self._words()), curve(points, "step (of θ)", "value", floor))

    def _words(self) -> list[str]:
        last = [f"value={self.rows[-1]['value']:.6g}"] if self.rows and "value" in self.rows[-1] else []
        return [f"step {self.step:,} of {self.steps:,}", f"{self.images:,} images", f"{self.seconds:.3g} s", *last]


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
        return self.progress.step < self.progress.steps and self.progress.seconds < self.seconds

    @property
    def fraction(self) -> float:
        return max(self.progress.step / self.progress.steps, self.progress.seconds / self.seconds)

    def tick(self) -> None:
        self.progress.step += 1
        self.progress.seconds = time.perf_counter() - self.began
