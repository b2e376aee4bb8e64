"""`semidiscrete`: the solve, its honest stopping test, and its record."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
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
from ot_gen.semidual.problem import Sampler, SemidiscreteProblem
from ot_gen.semidual.progress import Callback, SolveProgress, progress_bar
from ot_gen.semidual.scores import KEPT_BYTES
from ot_gen.semidual.solution import SemidiscreteSolution
from ot_gen.semidual.stream import Stream
from ot_gen.semidual.tally import Slack, Tally, batches
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
        self.tol, self.gap_tol = tol, gap_tol
        self.max_samples, self.max_seconds = max_samples, max_seconds
        self.ascent = Ascent(problem.rows, problem.weights, epsilon)
        self.began = time.perf_counter()
        self.seed, self.streams = seed, 1  # stream 0 is that of the steps
        self.tested = 0
        # On a line or in the plane, mass flows slowly from cell to cell; there Newton's method takes over.
        few = self.atoms <= FINISH_ATOMS and problem.atoms.shape[1] <= 3
        self.finishes = FINISHES if few else 0
        first = samples_for(self._eased() * tol, self.atoms) if tol is not None else 6 * self.atoms
        self.next_test = min(first, FINISH_FROM) if few else first
        self.error = math.nan

    def start(self, h_tilde: Tensor | None, resume: Path | None) -> None:
        """Begin from nothing, from a table, or where a checkpoint left off."""
        sample = self._fresh().draw(512)
        if resume is not None:
            state = load_checkpoint(resume, {"ascent": self.ascent}, {}, self.problem.fingerprint, NUMBERS)
            self.seed, self.streams = state["seed"], state["streams"]
            self.tested, self.next_test = state["tested"], state["next_test"]
            self.finishes = state["finishes"]
            self.began -= state["seconds"]
            self.ascent.restore(state["ascent"])
            return
        self.ascent.start(sample)
        if h_tilde is not None:
            table = self.problem.reduce(h_tilde.detach().to(self.problem.weights))
            error, deviation = self.test(table)[0].marginal_error()
            self.ascent.start(sample, table, worth=samples_for(max(error, deviation, 1e-3), self.atoms))
            self.next_test = 0

    def run(self, callbacks: Sequence[Callback], checkpoint: Path | None) -> SemidiscreteSolution:
        """Step and test until the tolerances are certified, the budget ends or the user stops."""
        stream = Stream(self.problem.law, self.seed, skip=self.ascent.samples)
        verdict: tuple[Tally, Slack | None, bool] | None = None
        ending: Ending | None = None
        try:
            while ending is None:
                if self.ascent.samples >= self.next_test:
                    verdict = self.judge()
                    ending = Ending.REACHED if verdict[2] else self._spent()
                    if ending is None and self.finishes and self.ascent.samples >= FINISH_FROM:
                        self.finishes -= 1
                        self.ascent.finish(self._draw(FINISH_ENTRIES // self.atoms // 2**self.finishes))
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
        tally, slack, converged = verdict or self.judge()
        slack_of = self.slack(tally) if slack is None else lambda: slack
        return self._solution(tally, slack_of, converged, ending, seconds)

    def judge(self) -> tuple[Tally, Slack | None, bool]:
        """Whether fresh samples certify all that was asked for."""
        tally, passed = self.test(self.ascent.average)
        if not passed or self.gap_tol is None:
            return tally, None, passed
        slack = self.slack(tally)()
        upper = slack.above(*tally.lower()).upper
        return tally, slack, slack.value + 2 * slack.se <= self.gap_tol * abs(upper)

    def test(self, table: Tensor) -> tuple[Tally, bool]:
        """Count cells on fresh samples, until it is clear whether the marginal error is at most tol."""
        keep = self.problem.atoms.nbytes <= KEPT_BYTES
        tally = Tally(self.problem.rows, self.problem.weights, table, self.ascent.target, barycentres=keep)
        halves = (self._fresh(), self._fresh())
        # Fewer than a handful of samples a cell and the noise of counting is not normal.
        size = 2 * self.atoms if self.tol is None else max(samples_for(2 * self.tol, self.atoms), 8 * self.atoms)
        size = min(max(size, 2**13), max(2**13, self.max_samples // 4)) // 2
        most = max(2 * size, self.ascent.samples)  # a test costs no more than the steps
        while True:
            for half, stream in enumerate(halves):
                for n in batches(size):
                    tally.add(half, stream.draw(n))
            self.tested += 2 * size
            self.error, deviation = tally.marginal_error()
            if self.tol is None or self.error + 2 * deviation <= self.tol:
                return tally, True
            if self.error - 2 * deviation > self.tol or 2 * tally.samples > most:
                return tally, False
            size = tally.samples // 2

    def slack(self, tally: Tally) -> Callable[[], Slack]:
        """A function that computes the upper value less the tally's lower one, on a sample that is drawn now."""
        x = self._draw(min(max(2**13, 4 * self.atoms), 2**16))
        epsilon = self.ascent.sharpened(x)
        return lambda: Slack.of(tally, x, epsilon)

    def _eased(self) -> float:
        """The ratio of the error of independent samples to that of this stream's."""
        return 1.2 if Stream(self.problem.law, self.seed).points is not None else 0.95

    def _fresh(self) -> Stream:
        self.streams += 1
        return Stream(self.problem.law, self.seed + self.streams)

    def _draw(self, n: int) -> Tensor:
        return torch.cat([*map(self._fresh().draw, batches(n))])

    def _plan_next_test(self) -> None:
        factor = 1.5
        if self.tol is not None and self.error > self.tol:
            # The error falls a little faster than N^−1/2.
            factor = min(2.0, max(1.25, (1.1 * self.error / self.tol) ** 1.6))
        self.next_test = max(self.ascent.samples + 1, int(factor * self.ascent.samples))

    def _spent(self) -> Ending | None:
        """Whether the budget ends here."""
        return Ending.BUDGET if time.perf_counter() - self.began >= self.max_seconds or self._used_up() else None

    def _used_up(self) -> bool:
        return self.ascent.samples + self.tested >= self.max_samples

    def _said(self, ending: Ending) -> str:
        """The ending in words."""
        if ending is Ending.REACHED:
            return "certified"
        if ending is Ending.STOPPED:
            return "stopped by the user"
        if not self._used_up():
            return f"max_seconds = {self.max_seconds:g} ended"
        message = f"max_samples = {self.max_samples} ended"
        if self.tol is not None and (needed := samples_for(self.tol, self.atoms)) > self.max_samples // 2:
            message += f"; tol = {self.tol:g} with {self.atoms} atoms takes about {2 * needed} independent samples"
        return message

    def _report(self, callbacks: Sequence[Callback]) -> None:
        ascent, seconds = self.ascent, time.perf_counter() - self.began
        figures = (ascent.samples, ascent.iterations, ascent.epsilon, self.error, seconds, self._table)
        for callback in callbacks:
            callback(SolveProgress(*figures))

    def _table(self) -> Tensor:
        average = self.ascent.average
        return self.problem.expand(average - average @ self.problem.weights, below=2 * self.problem.largest)

    def _save(self, path: Path | None) -> None:
        if path is None:
            return
        state: dict[str, Any] = {"seed": self.seed, "streams": self.streams, "tested": self.tested}
        state |= {
            "next_test": self.next_test,
            "finishes": self.finishes,
            "seconds": time.perf_counter() - self.began,
            "ascent": self.ascent.progress(),
        }
        save_checkpoint(path, {"ascent": self.ascent}, {}, state, self.problem.fingerprint)

    def _solution(
        self, tally: Tally, slack: Callable[[], Slack], converged: bool, ending: Ending, seconds: float
    ) -> SemidiscreteSolution:
        (error, deviation), (lower, lower_se) = tally.marginal_error(), tally.lower()
        if (barycentres := tally.barycentres()) is not None:
            group = self.problem.group
            barycentres = torch.where((group >= 0)[:, None], barycentres[group.clamp_min(0)], math.nan)
        return SemidiscreteSolution(
            cost=self.problem.cost,
            nu=self.problem.nu,
            h_tilde=self._table(),
            epsilon=self.ascent.target,
            lower=lower,
            lower_se=lower_se,
            marginal_error=error,
            marginal_error_se=deviation,
            masses=self.problem.share(tally.masses),
            barycentres=barycentres,
            samples=self.ascent.samples,
            iterations=self.ascent.iterations,
            seconds=seconds,
            converged=converged,
            ending=ending,
            message=f"{self._said(ending)} after {self.ascent.samples} samples, {self.tested} in tests; {error=:.2g}",
            coupling=lambda: slack().above(lower, lower_se),
        )
