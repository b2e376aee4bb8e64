"""The honest stopping test of a semi-discrete solve, on samples that no step has seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, final

import torch
from torch import Tensor

from ot_gen.semidual.ascent import Ascent, samples_for
from ot_gen.semidual.exact import ExactCells, ExactMasses
from ot_gen.semidual.problem import SemidiscreteProblem
from ot_gen.semidual.scores import KEPT_BYTES
from ot_gen.semidual.stream import Stream
from ot_gen.semidual.tally import Slack, Tally, batches

EXACT_SAMPLES = 2**18  # by which exact masses are compared with cells as they are counted, at most
VAGUE = 0.05  # the marginal error for which the masses must be sure where none was asked for


@final
class Verdict(NamedTuple):
    """What fresh samples say about a table: its tally, ‖P − b‖₁ and its standard error, and whether it passes."""

    tally: Tally
    error: float
    deviation: float
    passed: bool
    slack: Slack | None = None


@final
class Judge:
    """Tests of tables against what was asked for, each on fresh samples.

    Where the geometry is known, ‖P − b‖₁ comes from exact masses. A sample only says whether the cells as they are
    counted agree with them, to half of tol; if they do not, as where rounding decides, the sample's word stands.

    Args:
        problem: what is solved.
        tol, gap_tol: what is to be certified, None where it was not asked for.
        epsilon: ε of the problem.
        max_samples: of the whole solve.
        seed: of the solve; stream 0 is that of the steps.
    """

    def __init__(
        self,
        problem: SemidiscreteProblem,
        tol: float | None,
        gap_tol: float | None,
        epsilon: float,
        max_samples: int,
        seed: int,
    ) -> None:
        self.problem = problem
        self.atoms = len(problem.weights)
        self.tol, self.gap_tol = tol, gap_tol
        self.wanted = VAGUE if tol is None else tol
        self.epsilon = epsilon
        self.max_samples = max_samples
        self.seed, self.streams = seed, 1
        self.tested = 0
        self.error = math.nan
        self.rounding = 0.0  # what it added to the error of the last table, where that is known
        self.doubted = False  # whether the last exact masses were not believed

    def judge(self, table: Tensor, ascent: Ascent, cells: ExactCells | None) -> Verdict:
        """Whether fresh samples certify all that was asked for, or exact masses where cells are given."""
        verdict = self.test(table, ascent.samples, cells)
        if not verdict.passed or self.gap_tol is None:
            return verdict
        slack = self.slack(verdict.tally, ascent)()
        upper = slack.above(*verdict.tally.lower()).upper
        return verdict._replace(slack=slack, passed=slack.value + 2 * slack.se <= self.gap_tol * abs(upper))

    def test(self, table: Tensor, steps: int, cells: ExactCells | None = None) -> Verdict:
        """Count cells on fresh samples, until it is clear whether the marginal error is at most tol.

        A test takes no more samples than the `steps` did, once it is larger than its first part.
        """
        keep = self.problem.atoms.nbytes <= KEPT_BYTES
        aim, price = self.problem.aim.masses(table), self.problem.aim.price(table)
        tally = Tally(self.problem.rows, aim, table, self.epsilon, barycentres=keep, price=price)
        halves = (self.fresh(), self.fresh())
        exact = None if cells is None else cells.measured(table)
        size, self.doubted = self._size(exact is not None), False
        most = max(2 * size, steps)
        while True:
            for half, stream in enumerate(halves):
                for n in batches(size):
                    tally.add(half, stream.draw(n))
            self.tested += 2 * size
            self.error, deviation = tally.marginal_error()
            if exact is not None and (verdict := self._exactly(tally, exact)):
                return verdict
            self.doubted, exact = exact is not None or self.doubted, None
            if self.tol is None or self.error + 2 * deviation <= self.tol:
                return Verdict(tally, self.error, deviation, True)
            if self.error - 2 * deviation > self.tol or 2 * tally.samples > most:
                return Verdict(tally, self.error, deviation, False)
            size = tally.samples // 2

    def _size(self, exact: bool) -> int:
        """The samples of half of a test's first part."""
        # Fewer than a handful of samples a cell and the noise of counting is not normal.
        size = 2 * self.atoms if self.tol is None else max(samples_for(2 * self.tol, self.atoms), 8 * self.atoms)
        size = min(size, max(EXACT_SAMPLES, 8 * self.atoms)) if exact else size
        return min(max(size, 2**13), max(2**13, self.max_samples // 4)) // 2

    def _exactly(self, tally: Tally, exact: ExactMasses) -> Verdict | None:
        """The verdict of exact masses, or None where rounding decides, or the cells are not counted as they are."""
        self.rounding = exact.rounding
        distance, deviation = tally.distance(exact.masses)
        sure = exact.error + 2 * exact.rounding <= self.wanted or exact.error - 2 * exact.rounding > self.wanted
        if not sure or distance - 2 * deviation > self.wanted / 2:
            return None
        self.error = exact.error
        return Verdict(tally, exact.error, exact.rounding, self.tol is None or exact.error <= self.wanted)

    @property
    def rounded(self) -> bool:
        """Whether rounding was too much to be sure of the last exact masses."""
        return 2 * self.rounding > self.wanted

    def slack(self, tally: Tally, ascent: Ascent) -> Callable[[], Slack]:
        """A function that computes the upper value less the tally's lower one, on a sample that is drawn now."""
        x = self.draw(min(max(2**13, 4 * self.atoms), 2**16))
        epsilon = ascent.sharpened(x)
        return lambda: Slack.of(tally, x, epsilon)

    def fresh(self) -> Stream:
        """A stream of samples that nobody has seen."""
        self.streams += 1
        return Stream(self.problem.law, self.seed + self.streams)

    def draw(self, n: int) -> Tensor:
        """n such samples, (n, d)."""
        return torch.cat([*map(self.fresh().draw, batches(n))])
