"""What a certificate may spend: its width, its budget, and the sizes of its samples."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import final

from ot_gen.evaluation.draws import REPLICATES, Draws
from ot_gen.evaluation.guarantee import Guarantee
from ot_gen.evaluation.replicates import Contest, Planner, bytes_per_row
from ot_gen.measures import Empirical

FEWEST_SAMPLES = 64
FEW_COUPLED = 1024  # samples of a replicate, whose mean should be nearly normal


@final
@dataclass
class Budget:
    """The width that was asked for, and the budget."""

    width: float | None
    max_samples: int
    max_bytes: int
    max_seconds: float
    progress: bool

    def __post_init__(self) -> None:
        self.began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.perf_counter() - self.began

    @property
    def seconds_left(self) -> float:
        """Of the budget."""
        return max(0.0, self.max_seconds - self.seconds)

    def check(self, nu: Empirical) -> None:
        """Raise a `ValueError` where the bytes do not hold a coupling with these atoms."""
        minimum = FEWEST_SAMPLES * bytes_per_row(nu)
        if self.max_bytes < minimum:
            raise ValueError(
                f"max_bytes = {self.max_bytes} cannot hold a coupling with {len(nu)} atoms; give at least {minimum}"
            )

    def enough(self, contest: Contest, plan: Planner, slack: float, guarantee: Guarantee | None) -> int:
        """The samples of a coupling that the width asks for, at most those that the plan takes.

        The slack of a sample falls like 1 / n. Where the pilot had more than enough, twice what that asks for will do.
        """
        if self.width is None:
            return plan.most
        tried, allowed = min(len(contest.x), plan.most), 0.3 * self.width * max(abs(contest.value), 1e-300)
        needed = math.ceil(min(tried * max(slack, 0.0) / allowed, 2**40))
        enough = max(needed, min(tried, max(FEW_COUPLED, 2 * needed)))
        if guarantee is not None:
            variance = float(guarantee.spread(contest.x)(contest.x).double().square().mean())
            while enough < plan.most and guarantee.error(variance, REPLICATES * enough) > allowed:
                enough *= 2
        return min(enough, plan.most)

    def sizes(
        self, draws: Draws, contest: Contest, enough: int, rate: float, spent: int, stopped: bool
    ) -> tuple[int, int]:
        """The samples of a replicate: of its coupling, `enough` at most, and in all."""
        seconds = min(2.0, self.seconds_left) if stopped else 0.8 * self.seconds_left
        budget = max(FEWEST_SAMPLES, (self.max_samples - spent) // REPLICATES)
        size = budget if draws.size is None else min(budget, draws.size)
        coupled = min(enough, size, max(FEWEST_SAMPLES, int(seconds / (REPLICATES * rate))))
        if draws.size is not None:
            return coupled, size
        seconds -= REPLICATES * coupled * rate
        affordable = int(max(0.0, seconds) / (REPLICATES * contest.rate))
        wanted = 8 * coupled
        if self.width is not None:
            error = 0.12 * self.width * max(abs(contest.value), 1e-300)
            wanted = math.ceil(min((3.0 * contest.deviation / error) ** 2 / REPLICATES, 2**40))
        return coupled, max(coupled, min(size, wanted, affordable))
