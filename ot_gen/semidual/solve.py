"""`semidiscrete`: the solve, its honest stopping test, and its record."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from ot_gen.arguments import Count, Interval, Nonnegative, checked
from ot_gen.costs import Cost
from ot_gen.execution import Ending, checkpoint_in, keyword_only, load_checkpoint, renamed, save_checkpoint, target
from ot_gen.measures import Empirical, undisturbed
from ot_gen.semidual.ascent import Ascent, samples_for
from ot_gen.semidual.exact import ExactCells
from ot_gen.semidual.judge import Judge, Verdict
from ot_gen.semidual.problem import Sampler, SemidiscreteProblem
from ot_gen.semidual.progress import Callback, SolveProgress, progress_bar
from ot_gen.semidual.solution import SemidiscreteSolution
from ot_gen.semidual.stream import Stream
from ot_gen.semidual.transform import check_values

Variation = Annotated[float, Interval(0, 2, "()")]  # where ‖P − b‖₁ says anything
Gap = Annotated[float, Interval(0, 1, "()")]
Seconds = Annotated[float, Interval(0, math.inf, "(")]
# Where the solve ends in Newton's method.
FINISH_ATOMS = 64  # up to so many atoms
FINISH_FROM = 2**14  # after so many samples
FINISHES = 3  # so often at most
FINISH_ENTRIES = 2**21  # on samples of so many costs, 16 MB


@renamed(verbose="progress")
@keyword_only
@checked
def semidiscrete(
    mu: Sampler | Distribution,
    nu: Empirical,
    cost: Cost,
    *,
    tol: Variation | None = None,
    gap_tol: Gap | None = None,
    epsilon: Nonnegative = 0.0,
    h_tilde: Tensor | None = None,
    max_samples: Count = 2**22,
    max_seconds: Seconds = math.inf,
    callbacks: Sequence[Callback] = (),
    progress: bool = False,
    checkpoint: str | Path | None = None,
    resume: str | Path | None = None,
) -> SemidiscreteSolution:
    """Solve W_c(μ, ν) = max over h̃ of E_{x~μ}[min_j c(x, y_j) − h̃_j] + Σ_j b_j h̃_j, to a stated accuracy.

    There is no step size to find. Steps are natural (mass-relative) and stochastic; the observed concentration of the
    assignment drives the softness down. Batches grow, the average is weighted, and samples are low-discrepancy where μ
    allows them (`ot_gen.semidual.ascent`). The solve stops when samples that no step has seen certify the table.

    For squared distances or inner products and a `Reference` that is Gaussian, in up to three dimensions, or uniform on
    an interval or a rectangle, the masses of cells are known exactly. Then a few steps of Newton's method end the solve
    (`ot_gen.semidual.exact`), and these masses certify it, unless the samples contradict them.

    With ε > 0 the problem is the entropic one, min ⟨π, c⟩ + ε KL(π | μ ⊗ counting measure). Its plan gives x the
    softmax of (h̃_j − c(x, y_j)) / ε. `lower` and `upper` still bracket the unregularised W_c.

    One number is drawn from torch's global generator; it seeds the solve. Ctrl-C ends the solve early and returns the
    table reached so far, evaluated; `converged` says whether it is certified nevertheless.

    Args:
        mu: what is sampled: any `Measure` (a Gaussian, a generator, a data set resampled), a torch `Distribution` of
            vectors, or an object with `sample(n)`.
        nu: the atoms and their masses. Coinciding atoms count as one; an atom of mass 0 gets an empty cell.
        cost: any ground cost.
        tol: the marginal error ‖P − b‖₁, in (0, 2), to certify.
        gap_tol: the relative duality gap (upper − lower) / upper to certify. Each up to two standard errors; with
            neither, tol is 0.05.
        epsilon: ε >= 0, in the units of the cost.
        h_tilde: a table to start from, (m,).
        max_samples, max_seconds: the budget, of samples (those of the tests included) and of wall time.
        callbacks: called with a `SolveProgress` after each step.
        progress: shows a progress bar on stderr.
        checkpoint: a file to write at each test and at the end.
        resume: such a file, to go on from; `max_samples` then counts those before it too.

    Returns:
        A `SemidiscreteSolution`. Where the budget ends before the tolerances are certified, `converged` is False and
        `message` says so.

    Raises:
        ValueError: arguments that do not fit, or a sampler that returns NaN or points of the wrong width.

    Source: Genevay, Cuturi, Peyré, Bach, 2016, https://arxiv.org/abs/1605.08527

    Example:
        >>> from ot_gen import Empirical, SquaredEuclidean, standard_gaussian
        >>> nu = Empirical(torch.tensor([[-1.0], [1.0]]))
        >>> solution = semidiscrete(standard_gaussian(1), nu, SquaredEuclidean(), tol=0.01)
        >>> solution.map(torch.tensor([[-0.3], [0.2]]))
        tensor([[-1.],
                [ 1.]])
        >>> abs(solution.lower - 2 * (1 - math.sqrt(2 / math.pi))) < 0.02  # W₂² = E(|x| − 1)²
        True
    """
    if h_tilde is not None:
        check_values(h_tilde, len(nu))
    if h_tilde is not None and resume is not None:
        raise ValueError("h_tilde and resume are two starts of one solve; give one of them")
    checkpoint = None if checkpoint is None else target(checkpoint)
    resume = None if resume is None else checkpoint_in(resume)
    if tol is None and gap_tol is None:
        tol = 0.05
    seed = int(torch.randint(2**30, ()))
    modules = [mu] if isinstance(mu, torch.nn.Module) else []
    with undisturbed(*modules), progress_bar(progress, max_samples) as bar:
        solve = _Solve(SemidiscreteProblem(mu, nu, cost), tol, gap_tol, epsilon, max_samples, max_seconds, seed)
        solve.start(h_tilde, resume)
        return solve.run([*callbacks, *bar], checkpoint)


NUMBERS = ("seed", "streams", "tested", "next_test", "finishes", "seconds", "ascent")  # of a checkpoint


class _Solve:
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
        self.atoms = len(problem.weights)
        self.tol = tol
        self.max_samples, self.max_seconds = max_samples, max_seconds
        self.ascent = Ascent(problem.rows, problem.weights, epsilon)
        self.exact = ExactCells.of(problem, epsilon)
        self.judge = Judge(problem, tol, gap_tol, epsilon, max_samples, seed)
        self.began = time.perf_counter()
        self.seed = seed
        # On a line or in the plane, mass flows slowly from cell to cell; there Newton's method takes over.
        few = self.atoms <= FINISH_ATOMS and problem.atoms.shape[1] <= 3
        self.finishes = FINISHES if few else 0
        first = samples_for(self._eased() * tol, self.atoms) if tol is not None else 6 * self.atoms
        self.first_test = min(first, FINISH_FROM) if few else first
        self.exact_from = self.exact.worth if self.exact is not None else math.inf
        if first >= self.exact_from:  # then steps would take longer anyway
            self.exact_from = FINISH_FROM
        self.next_test = int(min(self.first_test, self.exact_from))

    def start(self, h_tilde: Tensor | None, resume: Path | None) -> None:
        """Begin from nothing, from a table, or where a checkpoint left off."""
        sample = self.judge.fresh().draw(512)
        if resume is not None:
            state = load_checkpoint(resume, {"ascent": self.ascent}, {}, self.problem.fingerprint, NUMBERS)
            self.seed = self.judge.seed = state["seed"]
            self.judge.streams, self.judge.tested = state["streams"], state["tested"]
            self.next_test = state["next_test"]
            self.finishes = state["finishes"]
            self.began -= state["seconds"]
            self.ascent.restore(state["ascent"])
            return
        self.ascent.start(sample)
        if h_tilde is not None:
            table = self.problem.reduce(h_tilde.detach().to(self.problem.weights))
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
                    ending = Ending.REACHED if verdict.passed else self._spent()
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

    def _used_up(self) -> bool:
        return self.ascent.samples + self.judge.tested >= self.max_samples

    def _said(self, ending: Ending) -> str:
        """The ending in words."""
        if ending is Ending.REACHED:
            return "certified"
        if ending is Ending.STOPPED:
            return "stopped by the user"
        if not self._used_up():
            return f"max_seconds = {self.max_seconds:g} ended"
        message = f"max_samples = {self.max_samples} ended"
        if self.tol is not None and self.judge.rounded:
            dtype = str(self.problem.weights.dtype).removeprefix("torch.")
            moved = f"{self.judge.rounding:.1g} of the mass"
            return f"{message}; rounding to {dtype} alone moves about {moved}: take a wider dtype"
        if self.tol is not None and (needed := samples_for(self.tol, self.atoms)) > self.max_samples // 2:
            message += f"; tol = {self.tol:g} with {self.atoms} atoms takes about {2 * needed} independent samples"
        return message

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
            "next_test": self.next_test,
            "finishes": self.finishes,
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
            barycentres=barycentres,
            samples=samples,
            iterations=self.ascent.iterations,
            seconds=seconds,
            converged=verdict.passed,
            ending=ending,
            message=f"{self._said(ending)} after {samples} samples, {tested} in tests; error={verdict.error:.2g}",
            coupling=lambda: slack().above(lower, lower_se),
        )
