"""`certify`: an interval that holds W_c(μ, ν), whatever trained μ."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NamedTuple, final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ot_gen.arguments import Interval, Positive, checked
from ot_gen.costs import Cost
from ot_gen.evaluation.assumptions import Assumption
from ot_gen.evaluation.budget import FEWEST_SAMPLES, Budget
from ot_gen.evaluation.draws import Draws, Sampled, Tabulated, rows_of, samples_in
from ot_gen.evaluation.guarantee import Guarantee, Truncated
from ot_gen.evaluation.interval import Certificate
from ot_gen.evaluation.line import convex_on_the_line, monotone_table
from ot_gen.evaluation.replicates import LARGEST_SORTED, Contest, Replicates
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


@checked
def certify(
    mu: Sampler | Distribution | Tensor | str | Path,
    nu: Empirical,
    cost: Cost,
    h_tilde: Tensor | None = None,
    *,
    potential: Potential | None = None,
    reference: Sampler | Distribution | Tensor | str | Path | None = None,
    assuming: Assumption | None = None,
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
        mu: any `Measure`, a torch `Distribution` of vectors, an object with `sample(n)`, a tensor (array, list)
            of samples (N, d) or the path of an .npy, .npz or .csv file of them. `sample` must give independent points.
        nu: the atoms and their masses.
        cost: any ground cost.
        h_tilde: a table over the atoms, (m,): a start for the solve, and a candidate itself.
        potential: a trained potential h, (n, d) -> (n,), higher on μ's side: a critic. Its table is
            h̃_j = −h(y_j) where c is a distance, else min_i c(x_i, y_j) − h(x_i) over a pilot sample. Every table is
            feasible with its c-transform, so h need not satisfy any condition.
        reference: real data, in any form of `mu`. They get an interval against the same ν, with the same budget again.
        assuming: what is known of μ, and of `reference`: a `Ball` or a `Box` that holds it, or a `MomentBound`. The
            interval then holds at every sample size. With None the level rests on a finite variance of the cost, and
            the result says where the samples speak against that (`.warranted`, `.doubt`).
        level: the confidence, in (0, 1).
        width: the relative width (high − low) / |middle| to stop at; None spends the whole budget.
        max_samples, max_seconds: the budget, of samples of μ and of wall time. It can be exceeded by one test of the
            solve and one replicate, which take tens of seconds for thousands of atoms.
        max_bytes: the memory for one coupling, which limits its samples.
        progress: shows progress on stderr.
        seed: of all samples. The caller's random state stays as it was.

    Raises:
        ValueError: arguments that do not fit, a sampler or a potential that returns NaN or a wrong shape, fewer than
            200 rows of samples, a sample outside of the region assumed, a cost for which nothing can be assumed.

    Source: del Barrio, Loubes, 2019, https://arxiv.org/abs/1705.01299 (the transport cost of samples is asymptotically
        normal around its mean); Maurer, Pontil, 2009, https://arxiv.org/abs/0907.3740 (empirical Bernstein)

    Example:
        >>> from ot_gen import Empirical, SquaredEuclidean, standard_gaussian
        >>> nu = Empirical(torch.tensor([[-1.0], [1.0]]))
        >>> certificate = certify(standard_gaussian(1), nu, SquaredEuclidean(), width=0.05)
        >>> low, high = certificate.interval
        >>> low <= 2 * (1 - (2 / torch.pi) ** 0.5) <= high  # W₂² = E(|x| − 1)²
        True
    """
    if h_tilde is not None:
        check_values(h_tilde, len(nu))
    budget = Budget(width, max_samples, max_bytes, max_seconds, progress)
    budget.check(nu)
    mu, reference = (samples_in(law, nu.rows[:1], name) for law, name in ((mu, "mu"), (reference, "reference")))
    if reference is not None and not isinstance(reference, Tensor | str | Path):
        check_sampler(reference, nu.dim, "reference")  # now, not after the first interval
    modules = [part for part in (mu, potential) if isinstance(part, nn.Module)]
    with undisturbed(*modules):
        torch.manual_seed(hash((_STREAM, seed)) % 2**32)
        streams = int(torch.randint(2**30, (), device="cpu"))
        rows = rows_of(mu, nu.rows[:1]) if isinstance(mu, Tensor | str | Path) else None
        guarantee = None
        if assuming is not None:
            judging = max_samples // 2 if rows is None else min(max_samples, len(rows)) // 2
            guarantee = Guarantee.of(assuming, cost, nu.atoms, judging, level)
        moved = None if guarantee is None else guarantee.truncation
        tabulated = None if rows is None else Tabulated(rows if moved is None else moved.moved(rows), streams)
        # A tensor or a path is tabulated, which the checker cannot see.
        problem = SemidiscreteProblem(tabulated.law if tabulated else mu, nu, cost)  # type: ignore[arg-type]
        if moved is not None:
            problem.law = Truncated(problem.law, moved)
        draws = tabulated or Sampled(problem.law, streams)
        certificate = _certificate(problem, draws, h_tilde, potential, level, budget, guarantee)
        certificate = replace(certificate, assuming=assuming)
    if reference is None:
        return certificate
    floor = certify(
        reference,
        nu,
        cost,
        assuming=assuming,
        level=level,
        width=width,
        max_samples=max_samples,
        max_bytes=max_bytes,
        max_seconds=max_seconds,
        progress=progress,
        seed=seed,
    )
    return replace(certificate, reference=floor)


def _certificate(
    problem: SemidiscreteProblem,
    draws: Draws,
    h_tilde: Tensor | None,
    potential: Potential | None,
    level: float,
    budget: Budget,
    guarantee: Guarantee | None,
) -> Certificate:
    pilot_size = min(draws.pilot_size or 2**13, max(FEWEST_SAMPLES, budget.max_samples // 8))
    contest = Contest(problem, draws.pilot().draw(pilot_size))
    size = _sizes_of_costs(contest)
    spent, stopped = _compete(contest, draws, h_tilde, potential, budget, size.of_atoms)
    table = contest.best
    assert table is not None
    plan, rate, slack = contest.plan(budget.max_bytes)
    sizes = budget.sizes(draws, contest, budget.enough(contest, plan, slack, guarantee), rate, spent, stopped)
    replicates = Replicates(problem, table, plan, None if guarantee is None else guarantee.spread(contest.x))
    replicates.look(contest.x, contest.h)
    if draws.size is not None:
        rows = draws.fitting(budget.max_samples)
        replicates.look(rows, problem.rows.hard(rows, table)[0])
    ending, message = replicates.run(draws, *sizes, budget.max_seconds - budget.seconds, budget.progress)
    lower, lower_se, upper, upper_se = replicates.bounds()
    low, high = replicates.student_interval(level) if guarantee is None else replicates.guaranteed_interval(guarantee)
    low, high = size.widened(low, high, problem.weights, table)
    certificate = Certificate(
        cost=problem.cost,
        lower=lower,
        lower_se=lower_se,
        upper=upper,
        upper_se=upper_se,
        level=level,
        interval=(max(0.0, low), max(0.0, high)) if problem.cost.is_nonnegative else (low, high),
        marginal_error=replicates.tally.marginal_error()[0],
        h_tilde=problem.expand(table, below=2 * problem.largest),
        samples=spent + replicates.samples,
        seconds=budget.seconds,
        doubt=replicates.tails.doubt() if guarantee is None else None,
    )
    converged = budget.width is None or certificate.width <= budget.width
    if ending is Ending.REACHED and stopped:
        ending, message = Ending.STOPPED, "stopped by the user"
    elif ending is Ending.REACHED:
        ending = Ending.REACHED if converged else Ending.BUDGET
        missed = "" if converged else f", not {budget.width:g}: more seconds, samples or rows narrow it"
        message = f"relative width {certificate.width:.2g}{missed}"
    return replace(certificate, converged=converged, ending=ending, message=message)


@final
class _Sizes(NamedTuple):
    """How large the costs of a problem are: so large are their rounding errors, which no sample averages away.

    Attributes:
        of_atoms: E c(x, y_j) on the pilot, (m,), float64.
        largest: max |c(x, y_j)| on it.
        eps: of the dtype that costs are computed in, for each of the dimensions that they add up.
    """

    of_atoms: Tensor
    largest: float
    eps: float

    def widened(self, low: float, high: float, weights: Tensor, table: Tensor) -> tuple[float, float]:
        """The interval with the rounding of costs, table and masses added to both ends; low <= high."""
        size = float(weights.double() @ (self.of_atoms.abs() + table.double().abs()))
        margin = self.eps * size + 4 * torch.finfo(torch.float64).eps * self.largest
        return min(low, high) - margin, max(low, high) + margin


def _sizes_of_costs(contest: Contest) -> _Sizes:
    rows = contest.problem.rows
    parts = [(costs.double().sum(dim=0), float(costs.abs().max())) for _, costs in rows.costs(contest.x)]
    sums = torch.stack([part for part, _ in parts]).sum(dim=0)
    eps = torch.finfo(rows.dtype).eps * (4 + math.sqrt(rows.atoms.shape[1]))
    return _Sizes(sums / len(contest.x), max(size for _, size in parts), eps)


def _compete(
    contest: Contest,
    draws: Draws,
    h_tilde: Tensor | None,
    potential: Potential | None,
    budget: Budget,
    equally_attractive: Tensor,
) -> tuple[int, bool]:
    """Let all tables compete that there are; returns the samples that this took, and whether the user stopped it."""
    problem, pilot_size = contest.problem, len(contest.x)
    # The solver's own start: from a worse table it would take longer.
    contest.enter(equally_attractive.to(problem.weights))
    cold = contest.best
    if h_tilde is not None:
        contest.enter(problem.reduce(h_tilde.detach().to(problem.weights)))
    if potential is not None:
        contest.enter(table_of(potential, problem, contest.x))
    if len(problem.atoms) == 1:  # every table is optimal
        return pilot_size, False
    if growth := convex_on_the_line(problem.cost, problem.nu.dim):
        x = draws.fitting(min(LARGEST_SORTED, budget.max_samples // 8))
        contest.enter(monotone_table(growth, problem, x))
        return len(x) + pilot_size, False
    solution = semidiscrete(
        problem.law,
        Empirical(problem.atoms, problem.weights),
        problem.cost,
        gap_tol=1e-6 if budget.width is None else min(0.5, 0.55 * budget.width),
        h_tilde=None if contest.best is cold else contest.best,
        max_samples=max(1, budget.max_samples // 2),
        max_seconds=max(1e-3, 0.45 * budget.max_seconds - budget.seconds),
        progress=budget.progress,
    )
    stopped = solution.ending is Ending.STOPPED
    contest.enter(solution.h_tilde)
    spent = solution.samples + pilot_size
    if not solution.converged and not stopped:
        spent += contest.polish(budget.max_samples // 4, budget.max_bytes)
    return spent, stopped


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
