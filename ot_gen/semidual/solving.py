"""The course of one semi-discrete solve: its steps, its tests, where Newton's methods take over, and how it ends."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from ot_gen.execution import Ending, load_checkpoint, save_checkpoint
from ot_gen.measures import Pixels
from ot_gen.semidual.ascent import Ascent, sampled_error, samples_for
from ot_gen.semidual.atomic import flat_mass, heavy, least_error, tie
from ot_gen.semidual.exact import ExactCells
from ot_gen.semidual.judge import Judge, Verdict
from ot_gen.semidual.line import is_monotone, points_of, sample_table
from ot_gen.semidual.problem import SemidiscreteProblem
from ot_gen.semidual.progress import Callback, SolveProgress
from ot_gen.semidual.solution import SemidiscreteSolution
from ot_gen.semidual.stream import Stream

# Where the solve ends in Newton's method.
FINISH_ATOMS = 64  # up to so many atoms
FINISH_FROM = 2**14  # after so many samples
FINISHES = 3  # so often at most
FINISH_ENTRIES = 2**21  # on samples of so many costs, 16 MB
# With more atoms it takes over where the error is larger than that of sampling.
ANNEALINGS = 4  # so often at most, each time on twice as many samples
LEAST_EACH = 128  # for an atom, at first
SLOW = 1.6  # times as large
POINTS, FOR_EACH = 2**12, 64  # samples that show points of mass, and steps for each atom where there are such
TIED, TIED_ROWS = 2**12, 2**10  # samples that show ties to rounding, and by constants

OWN = ("next_test", "finishes", "annealings", "follows")  # attributes that a checkpoint holds
NUMBERS = ("seed", "streams", "tested", *OWN, "seconds", "ascent")


@final
class Solve:
    """The state of one solve: the ascent, what it may spend, and the last test."""

    def __init__(
        self,
        problem: SemidiscreteProblem,
        tol: float | None,
        gap_tol: float | None,
        epsilon: float,
        max_samples: int,
        max_seconds: float,
        seed: int,
    ) -> None:
        self.problem = problem
        self.atoms, self.tol = len(problem.weights), tol
        self.max_samples, self.max_seconds = max_samples, max_seconds
        self.ascent = Ascent(problem.rows, problem.aim, epsilon)
        self.exact = ExactCells.of(problem, epsilon)
        self.judge = Judge(problem, tol, gap_tol, epsilon, max_samples, seed)
        self.began = time.perf_counter()
        self.seed = seed
        # On a line or in the plane mass flows slowly from cell to cell; if it is kept, Newton's method takes over.
        few = problem.marginals is None and self.atoms <= FINISH_ATOMS and problem.atoms.shape[1] <= 3
        self.finishes = FINISHES if few else 0
        first = samples_for(self._eased() * tol, self.atoms) if tol is not None else 6 * self.atoms
        self.first_test = min(first, FINISH_FROM) if few else first
        self.annealings = 0 if few else ANNEALINGS
        self.lined = False  # whether it began at quantiles of a line
        self.follows = False  # whether the average is the table of one
        self.exact_from = self.exact.worth if self.exact is not None else math.inf
        if first >= self.exact_from:  # then steps would take longer anyway
            self.exact_from = FINISH_FROM
        self.next_test = int(min(self.first_test, self.exact_from))
        self.reason = ""  # why no table is what was asked for
        self.narrow = False  # whether rounding decides, and double precision may help

    def start(self, h_tilde: Tensor | None, resume: Path | None) -> None:
        """Begin from nothing, from a table, or where a checkpoint left off."""
        sample = self.judge.fresh().draw(512)
        self._look_at_points()
        if resume is not None:
            state = load_checkpoint(resume, {"ascent": self.ascent}, {}, self.problem.fingerprint, NUMBERS)
            self.seed = self.judge.seed = state["seed"]
            self.judge.streams, self.judge.tested = state["streams"], state["tested"]
            for name in OWN:
                setattr(self, name, type(getattr(self, name))(state[name]))
            self.narrow = bool(state.get("wide")) and self.problem.widens
            self.began -= state["seconds"]
            self.ascent.restore(state["ascent"])
            return
        self.ascent.start(sample)
        known = self.exact is not None or self.problem.marginals is not None
        line = not known and not self.ascent.target and is_monotone(self.problem.cost, sample.shape[1])
        if line and h_tilde is None and not self.reason:
            self._start_on_a_line(sample)
        if h_tilde is not None:
            table = self.problem.reduce(h_tilde.detach())
            verdict = self.judge.test(table, steps=0)
            error = max(verdict.error, verdict.deviation, 1e-3)
            self.ascent.start(sample, table, worth=samples_for(error, self.atoms))
            self.next_test = 0

    def run(self, callbacks: Sequence[Callback], checkpoint: Path | None) -> SemidiscreteSolution:
        """Step and test until the tolerances are certified, the budget ends or the user stops."""
        stream = Stream(self.problem.law, self.seed, skip=self.ascent.samples)
        verdict: Verdict | None = None
        ending: Ending | None = None
        try:
            while ending is None:
                if self.ascent.samples >= self.next_test:
                    verdict = self._judged()
                    if self.ascent.sharpest and not verdict.passed and not self.reason and self.problem.widens:
                        self._look_at_ties(self.ascent.average, self.ascent.smallest)
                    while self._slow(verdict):
                        verdict = self._annealed(verdict)
                    if self.lined and not verdict.passed and not self.reason:
                        self._look_at_ties(self.ascent.average, self.ascent.smallest)
                    ending = Ending.REACHED if verdict.passed else self._hopeless() or self._spent()
                    if ending is None and self.finishes and self.ascent.samples >= FINISH_FROM:
                        self.finishes -= 1
                        self.ascent.finish(self.judge.draw(FINISH_ENTRIES // self.atoms // 2**self.finishes))
                        verdict = None
                    else:
                        self._plan_next_test()
                    self._save(checkpoint)
                else:
                    verdict = None
                    self.ascent.step(stream.draw(min(self.ascent.batch, self.max_samples)))
                    self._report(callbacks)
                    ending = self._spent()
        except KeyboardInterrupt:
            ending = Ending.STOPPED
        self._save(checkpoint)
        seconds = time.perf_counter() - self.began
        verdict = verdict or self._judged()
        if verdict.passed and ending is Ending.BUDGET:
            ending = Ending.REACHED
        return self._solution(verdict, ending, seconds)

    def _start_on_a_line(self, sample: Tensor) -> None:
        """Begin at the table of a large sample's quantiles: nothing else is as good."""
        wanted = samples_for(0.7 * (self.tol or 0.1), self.atoms)
        n = max(min(wanted, self.max_samples // 4), 2 * self.atoms)
        points = points_of(self.problem.mu, self.judge.draw(n))
        table = sample_table(self.problem.cost, self.problem.atoms[:], self.problem.weights, *points)
        self.ascent.start(sample, table.to(self.problem.weights), worth=n)
        self.ascent.samples = n
        self.next_test = self.annealings = self.finishes = 0
        self.lined = True

    def _look_at_points(self) -> None:
        """Whether points of mass keep every table from the tolerance; then the first test is early, and the last."""
        if self.tol is None or self.ascent.target or self.problem.marginals is not None:
            return
        least = least_error(self.problem.mu, self.problem.weights, self.judge.fresh().draw(POINTS))
        if least > self.tol:
            self.reason = heavy(least)
            self.next_test = self.first_test = min(self.next_test, FOR_EACH * self.atoms)
            self.exact, self.annealings, self.finishes = None, 0, 0

    def _look_at_ties(self, table: Tensor, epsilon: float) -> None:
        """Whether atoms tie for more mass than the tolerance, at a table that is nearly optimal."""
        x, tol, atoms = self.judge.draw(TIED), self.tol or 2, self.problem.atoms
        flat, tied = 0.0, self.ascent.tied(x)
        if not isinstance(atoms, Pixels):  # bytes are too many to be numbers together
            y, few, h_tilde = (each.double() for each in (atoms, x[:TIED_ROWS], table))  # rounding looks like constants
            flat = flat_mass(self.problem.cost, y, few, h_tilde, epsilon)
        self.reason = tie(flat, tied, self.problem.weights.dtype, tol)
        self.narrow = self.problem.widens and 2 * flat <= tol < tied

    def _hopeless(self) -> Ending | None:
        self.narrow = self.narrow or (self.problem.widens and self.judge.rounded)
        return Ending.UNREACHABLE if self.reason or self.narrow else None

    def _judged(self) -> Verdict:
        """The verdict on the averaged table, or on the exact one where that is known and better."""
        average, cells = self.ascent.average, self.exact
        if cells is None or self.ascent.samples < self.exact_from:
            return self.judge.judge(average, self.ascent, None)
        table = cells.better(average, self._late)
        verdict = self.judge.judge(table, self.ascent, cells)
        seen = self.judge.doubted and self.ascent.samples >= self.first_test
        if verdict.passed or table is average or not seen:
            return verdict
        # Rounding decides, and the average has seen it.
        other = self.judge.judge(average, self.ascent, None)
        return other if other.passed or other.error < verdict.error else verdict

    def _slow(self, verdict: Verdict) -> bool:
        """Whether the error is more than that of sampling, so that Newton's method is due."""
        if self.reason or self.narrow:
            return False
        known = self.exact is not None and self.ascent.samples < self.exact_from  # geometry will end it
        if self.tol is None or self.annealings == 0 or known or verdict.error <= self.tol or self._spent() is not None:
            return False
        return self.annealings < ANNEALINGS or verdict.error > SLOW * sampled_error(self.ascent.samples, self.atoms)

    def _annealed(self, verdict: Verdict) -> Verdict:
        """Go on from the table of Newton's method, if that is better; the verdict on the better one."""
        number = ANNEALINGS - self.annealings
        self.annealings -= 1
        room = (self.max_samples - self.ascent.samples - self.judge.tested) // 4
        wanted = 2**number * max(samples_for(0.8 * (self.tol or 2), self.atoms), LEAST_EACH * self.atoms)
        annealing = self.ascent.annealed(self.judge.fresh().draw, min(wanted, room), self.follows, self._late)
        table = torch.from_numpy(annealing.table).to(self.problem.weights)
        reached = self.judge.judge(table, self.ascent, None)
        if better := reached.error < verdict.error:
            self.ascent.adopt(table, annealing.epsilon)
            self.follows = True
        if not reached.passed:
            self._look_at_ties(table, annealing.epsilon)
        return reached if better else verdict

    def _eased(self) -> float:
        """The ratio of the error of independent samples to that of this stream's."""
        return 1.2 if Stream(self.problem.law, self.seed).points is not None else 0.95

    def _plan_next_test(self) -> None:
        factor = 1.5
        if self.tol is not None and self.judge.error > self.tol:
            # The error falls a little faster than N^−1/2.
            factor = min(2.0, max(1.25, (1.1 * self.judge.error / self.tol) ** 1.6))
        following = max(self.ascent.samples + 1, int(factor * self.ascent.samples))
        if self.ascent.samples < self.exact_from:
            following = int(min(following, self.exact_from))
        self.next_test = max(following, self.first_test) if self.judge.doubted else following

    def _spent(self) -> Ending | None:
        """Whether the budget ends here."""
        return Ending.BUDGET if self._late() or self._used_up() else None

    def _late(self) -> bool:
        return time.perf_counter() - self.began >= self.max_seconds

    @property
    def drawn(self) -> int:
        """The number of samples, those of tests included."""
        return self.ascent.samples + self.judge.tested

    def _used_up(self) -> bool:
        return self.drawn >= self.max_samples

    def _said(self, ending: Ending) -> str:
        """The ending in words."""
        if ending is Ending.REACHED:
            return "certified in float64" if self.problem.wide else "certified"
        if ending is Ending.STOPPED:
            return "stopped by the user"
        if ending is Ending.UNREACHABLE:
            return self.reason or self._of_rounding()
        if not self._used_up():
            return f"max_seconds = {self.max_seconds:g} ended"
        message = f"max_samples = {self.max_samples} ended"
        if self.tol is not None and self.judge.rounded:
            return f"{message}; {self._of_rounding()}"
        if self.tol is not None and (needed := samples_for(self.tol, self.atoms)) > self.max_samples // 2:
            message += f"; tol = {self.tol:g} with {self.atoms} atoms takes about {2 * needed} independent samples"
        return message

    def _of_rounding(self) -> str:
        dtype = str(self.problem.weights.dtype).removeprefix("torch.")
        return f"rounding to {dtype} alone moves about {self.judge.rounding:.1g} of the mass: take a wider dtype"

    def _report(self, callbacks: Sequence[Callback]) -> None:
        ascent, seconds = self.ascent, time.perf_counter() - self.began
        figures = (ascent.samples, ascent.iterations, ascent.epsilon, self.judge.error, seconds, self._average)
        for callback in callbacks:
            callback(SolveProgress(*figures))

    def _average(self) -> Tensor:
        return self._expanded(self.ascent.average)

    def _expanded(self, table: Tensor) -> Tensor:
        return self.problem.expand(table - table @ self.problem.weights, below=2 * self.problem.largest)

    def _save(self, path: Path | None) -> None:
        if path is None:
            return
        state: dict[str, Any] = {
            "seed": self.seed,
            "streams": self.judge.streams,
            "tested": self.judge.tested,
            "wide": int(self.problem.wide),
            **{name: int(getattr(self, name)) for name in OWN},
            "seconds": time.perf_counter() - self.began,
            "ascent": self.ascent.progress(),
        }
        save_checkpoint(path, {"ascent": self.ascent}, {}, state, self.problem.fingerprint)

    def _solution(self, verdict: Verdict, ending: Ending, seconds: float) -> SemidiscreteSolution:
        tally = verdict.tally
        lower, lower_se = tally.lower()
        known = verdict.slack
        slack = self.judge.slack(tally, self.ascent) if known is None else lambda: known
        if (barycentres := tally.barycentres()) is not None:
            group = self.problem.group
            barycentres = torch.where((group >= 0)[:, None], barycentres[group.clamp_min(0)], math.nan)
        samples, tested = self.ascent.samples, self.judge.tested
        return SemidiscreteSolution(
            cost=self.problem.cost,
            nu=self.problem.nu,
            h_tilde=self._expanded(tally.h_tilde),
            epsilon=self.ascent.target,
            lower=lower,
            lower_se=lower_se,
            marginal_error=verdict.error,
            marginal_error_se=verdict.deviation,
            masses=self.problem.share(tally.masses),
            reweighted=self.problem.share(tally.weights),
            barycentres=barycentres,
            samples=samples,
            iterations=self.ascent.iterations,
            seconds=seconds,
            converged=verdict.passed,
            ending=ending,
            message=f"{self._said(ending)} after {samples} samples, {tested} in tests; error={verdict.error:.2g}",
            coupling=lambda: slack().above(lower, lower_se),
        )
