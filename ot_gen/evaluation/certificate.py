"""`certify`: an interval that holds W_c(μ, ν), whatever trained μ."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ot_gen.arguments import Interval, Positive, checked
from ot_gen.costs import Cost
from ot_gen.evaluation.draws import REPLICATES, Draws, Sampled, Tabulated, rows_of
from ot_gen.evaluation.interval import Certificate
from ot_gen.evaluation.replicates import Contest, Replicates, bytes_per_row
from ot_gen.execution import Ending
from ot_gen.measures import Empirical, probe, undisturbed
from ot_gen.semidual import semidiscrete
from ot_gen.semidual.problem import Sampler, SemidiscreteProblem, check_sampler
from ot_gen.semidual.transform import check_values

Potential = Callable[[Tensor], Tensor]
Level = Annotated[float, Interval(0, 1, "()")]
Samples = Annotated[int, Interval(2**10, 10**12)]
Width = Annotated[float, Interval(1e-9, math.inf, ")")]

_STREAM = 5_021_993  # sets the samples of a certificate apart from those of a caller with the same seed
FEWEST_SAMPLES = 64
KEPT_BACK = 0.5  # of the error probability 1 − level, as replicates are only nearly normal


@checked
def certify(
    mu: Sampler | Distribution | Tensor | str | Path,
    nu: Empirical,
    cost: Cost,
    h_tilde: Tensor | None = None,
    *,
    potential: Potential | None = None,
    reference: Sampler | Distribution | Tensor | str | Path | None = None,
    level: Level = 0.95,
    width: Width | None = 0.02,
    max_samples: Samples = 2**22,
    max_bytes: Annotated[int, Interval(1)] = 2**30,
    max_seconds: Positive = 120.0,
    progress: bool = False,
    seed: int = 0,
) -> Certificate:
    """An interval that holds W_c(μ, ν), from samples of μ alone: one judge for every generator.

        E[min_j c(x, y_j) − h̃_j] + Σ_j b_j h̃_j  <=  W_c(μ, ν)  <=  E ⟨P, C⟩,   P any coupling of samples of μ with ν

    Both hold for every table h̃ and every number of samples; h̃ decides how near the sides are. Candidates for h̃ come
    from `semidiscrete`, from `h_tilde` and from a `potential`; the best on a pilot sample is taken. P follows its
    cells, or is the exact plan of a smaller sample where that was cheaper on the pilot. Then both sides are measured
    in six independent replicates, on samples that decided nothing. The spread of the replicates gives the errors.

    A tensor or a file is read as independent samples of an unknown law μ, and the interval is for that law. The rows
    are split at random: 45 % fit the potential, 10 % are the pilot and 45 % judge. To compare ν with the rows
    themselves as a law, give `Empirical(rows)`.

    Ctrl-C ends the solve early and judges what is there; a second one ends the judging too.

    Args:
        mu: any `Measure`, a torch `Distribution` of vectors, an object with `sample(n)`, a tensor of
            samples (N, d) or the path of such an .npy file. `sample` must give independent points.
        nu: the atoms and their masses.
        cost: any ground cost.
        h_tilde: a table over the atoms, (m,): a start for the solve, and a candidate itself.
        potential: a trained potential h, (n, d) -> (n,), higher on μ's side: a critic. Its table is
            h̃_j = −h(y_j) where c is a distance, else min_i c(x_i, y_j) − h(x_i) over a pilot sample. Every table is
            feasible with its c-transform, so h need not satisfy any condition.
        reference: real data, in any form of `mu`. They get an interval against the same ν, with the same budget again.
        level: the confidence, in (0, 1).
        width: the relative width (high − low) / |middle| to stop at; None spends the whole budget.
        max_samples, max_seconds: the budget, of samples of μ and of wall time. It can be exceeded by one test of the
            solve and one replicate, which take tens of seconds for thousands of atoms.
        max_bytes: the memory for one coupling, which limits its samples.
        progress: shows progress on stderr.
        seed: of all samples. The caller's random state stays as it was.

    Raises:
        ValueError: arguments that do not fit, a sampler or a potential that returns NaN or a wrong shape, fewer than
            200 rows of samples.

    Source: del Barrio, Loubes, 2019, https://arxiv.org/abs/1705.01299 (the transport cost of samples is asymptotically
        normal around its mean)

    Example:
        >>> from ot_gen import Empirical, SquaredEuclidean, standard_gaussian
        >>> nu = Empirical(torch.tensor([[-1.0], [1.0]]))
        >>> certificate = certify(standard_gaussian(1), nu, SquaredEuclidean(), width=0.05)
        >>> low, high = certificate.interval
        >>> low <= 2 * (1 - math.sqrt(2 / math.pi)) <= high  # W₂² = E(|x| − 1)²
        True
    """
    _check(nu, h_tilde, max_bytes)
    if reference is not None and not isinstance(reference, Tensor | str | Path):
        check_sampler(reference, nu.dim, "reference")  # now, not after the first interval
    modules = [part for part in (mu, potential) if isinstance(part, nn.Module)]
    with undisturbed(*modules):
        torch.manual_seed(hash((_STREAM, seed)) % 2**32)
        streams = int(torch.randint(2**30, ()))
        rows = rows_of(mu, nu.atoms) if isinstance(mu, Tensor | str | Path) else None
        tabulated = None if rows is None else Tabulated(rows, streams)
        # A tensor or a path is tabulated, which the checker cannot see.
        problem = SemidiscreteProblem(tabulated.law if tabulated else mu, nu, cost)  # type: ignore[arg-type]
        draws = tabulated or Sampled(problem.law, streams)
        effort = _Effort(width, max_samples, max_bytes, max_seconds, progress)
        certificate = _certificate(problem, draws, h_tilde, potential, level, effort)
    if reference is None:
        return certificate
    floor = certify(
        reference,
        nu,
        cost,
        level=level,
        width=width,
        max_samples=max_samples,
        max_bytes=max_bytes,
        max_seconds=max_seconds,
        progress=progress,
        seed=seed,
    )
    return replace(certificate, reference=floor)


@dataclass
class _Effort:
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
        return time.perf_counter() - self.began

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.max_seconds - self.seconds)


def _certificate(
    problem: SemidiscreteProblem,
    draws: Draws,
    h_tilde: Tensor | None,
    potential: Potential | None,
    level: float,
    effort: _Effort,
) -> Certificate:
    pilot_size = min(draws.pilot_size or 2**13, max(FEWEST_SAMPLES, effort.max_samples // 8))
    contest = Contest(problem, draws.pilot().draw(pilot_size))
    # The solver's own start: from a worse table it would take longer.
    contest.enter(torch.stack([costs.sum(dim=0) for _, costs in problem.rows.costs(contest.x)]).sum(dim=0) / pilot_size)
    cold = contest.best
    if h_tilde is not None:
        contest.enter(problem.reduce(h_tilde.detach().to(problem.weights)))
    if potential is not None:
        contest.enter(table_of(potential, problem, contest.x))
    solution = semidiscrete(
        problem.law,
        Empirical(problem.atoms, problem.weights),
        problem.cost,
        gap_tol=1e-6 if effort.width is None else min(0.5, 0.55 * effort.width),
        h_tilde=None if contest.best is cold else contest.best,
        max_samples=max(1, effort.max_samples // 2),
        max_seconds=max(1e-3, 0.45 * effort.max_seconds - effort.seconds),
        progress=effort.progress,
    )
    stopped = solution.ending is Ending.STOPPED
    contest.enter(solution.h_tilde)
    spent = solution.samples + pilot_size
    if not solution.converged and not stopped:
        spent += contest.polish(effort.max_samples // 4, effort.max_bytes)
    table = contest.best
    assert table is not None
    plan, rate, slack = contest.plan(effort.max_bytes)
    enough = plan.most
    if effort.width is not None:  # the slack of a sample falls like 1 / n
        tried, allowed = min(pilot_size, plan.most), 0.3 * effort.width * max(abs(contest.value), 1e-300)
        enough = min(enough, max(tried, math.ceil(min(tried * slack / allowed, 2**40))))
    sizes = _sizes(draws, contest, enough, rate, effort, spent, stopped)
    replicates = Replicates(problem, table, plan)
    ending, message = replicates.run(draws, *sizes, effort.max_seconds - effort.seconds, effort.progress)
    lower, lower_se, upper, upper_se = replicates.bounds()
    t = replicates.quantile(KEPT_BACK * (1 - level) / 2)
    certificate = Certificate(
        cost=problem.cost,
        lower=lower,
        lower_se=lower_se,
        upper=upper,
        upper_se=upper_se,
        level=level,
        interval=(lower - t * lower_se, upper + t * upper_se),
        marginal_error=replicates.tally.marginal_error()[0],
        h_tilde=problem.expand(table, below=2 * problem.largest),
        samples=spent + replicates.samples,
        seconds=effort.seconds,
    )
    converged = effort.width is None or certificate.width <= effort.width
    if ending is Ending.REACHED and stopped:
        ending, message = Ending.STOPPED, "stopped by the user"
    elif ending is Ending.REACHED:
        ending = Ending.REACHED if converged else Ending.BUDGET
        missed = "" if converged else f", not {effort.width:g}: more seconds, samples or rows narrow it"
        message = f"relative width {certificate.width:.2g}{missed}"
    return replace(certificate, converged=converged, ending=ending, message=message)


def _sizes(
    draws: Draws, contest: Contest, enough: int, rate: float, effort: _Effort, spent: int, stopped: bool
) -> tuple[int, int]:
    """The samples of a replicate: of its coupling, `enough` at most, and in all."""
    seconds = min(2.0, effort.seconds_left) if stopped else 0.8 * effort.seconds_left
    budget = max(FEWEST_SAMPLES, (effort.max_samples - spent) // REPLICATES)
    size = budget if draws.size is None else min(budget, draws.size)
    coupled = min(enough, size, max(FEWEST_SAMPLES, int(seconds / (REPLICATES * rate))))
    if draws.size is not None:
        return coupled, size
    seconds -= REPLICATES * coupled * rate
    affordable = int(max(0.0, seconds) / (REPLICATES * contest.rate))
    wanted = 8 * coupled
    if effort.width is not None:
        error = 0.12 * effort.width * max(abs(contest.value), 1e-300)
        wanted = math.ceil(min((3.0 * contest.deviation / error) ** 2 / REPLICATES, 2**40))
    return coupled, max(coupled, min(size, wanted, affordable))


def table_of(potential: Potential, problem: SemidiscreteProblem, x: Tensor) -> Tensor:
    """A table that holds what h knows: −h(y_j) for a distance, else min_i c(x_i, y_j) − h(x_i)."""
    probe(potential, x[:2], "the potential", "a potential must return one value a point", row=((), (1,)))

    def h(points: Tensor) -> Tensor:
        values = potential(points)
        if not bool(torch.isfinite(values).all()):
            raise ValueError("potential returned NaN or Inf; a critic that diverged certifies nothing")
        return values.detach().reshape(len(points)).to(problem.weights)

    if problem.cost.is_metric:
        return torch.cat([-h(tile) for tile in problem.atoms.split(4096)])
    smallest = torch.full_like(problem.weights, torch.inf)
    for (_, costs), values in zip(problem.rows.costs(x), h(x).split(problem.rows.chunk), strict=True):
        smallest = torch.minimum(smallest, (costs - values[:, None]).amin(dim=0))
    return smallest


def _check(nu: Empirical, h_tilde: Tensor | None, max_bytes: int) -> None:
    if h_tilde is not None:
        check_values(h_tilde, len(nu))
    minimum = FEWEST_SAMPLES * bytes_per_row(nu)
    if max_bytes < minimum:
        raise ValueError(
            f"max_bytes = {max_bytes} cannot hold a coupling with {len(nu)} atoms; give at least {minimum}"
        )
