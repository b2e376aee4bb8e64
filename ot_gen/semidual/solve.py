"""`semidiscrete`: the solve, its honest stopping test, and its record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor
from torch.distributions import Distribution

from ot_gen.arguments import Count, Interval, Nonnegative, checked
from ot_gen.costs import Cost
from ot_gen.execution import Ending, checkpoint_in, keyword_only, renamed, target
from ot_gen.measures import Empirical, undisturbed
from ot_gen.semidual.problem import Sampler, SemidiscreteProblem
from ot_gen.semidual.progress import Callback, progress_bar
from ot_gen.semidual.solution import SemidiscreteSolution
from ot_gen.semidual.solving import Solve
from ot_gen.semidual.transform import check_values
from ot_gen.transport import Unbalanced

Variation = Annotated[float, Interval(0, 2, "()")]  # where ‖P − b‖₁ says anything
Gap = Annotated[float, Interval(0, 1, "()")]
Seconds = Annotated[float, Interval(0, math.inf, "(")]


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
    marginals: Unbalanced | None = None,
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
    an interval or a rectangle, the masses of cells are known exactly; in the plane also for mixtures of Gaussians or of
    such uniform laws. Then Newton's method ends the solve (`ot_gen.semidual.exact`), and these masses certify it,
    unless the samples contradict them.

    On a line and for a convex cost (or the inner product), the solve begins at the quantiles of a large sample. Where
    mass flows slowly, Newton's method on fresh samples takes over while ε falls (`ot_gen.semidual.annealing`). Where no
    table has what was asked for, as where μ has heavy points, the solve ends at once, and `message` says why.

    Where rounding to float32 would move more mass than the tolerance, as under atoms far away or copies of one another,
    all is done once more in float64, and h̃ is float64.

    With ε > 0 the problem is the entropic one, min ⟨π, c⟩ + ε KL(π | μ ⊗ counting measure). Its plan gives x the
    softmax of (h̃_j − c(x, y_j)) / ε. `lower` and `upper` still bracket the unregularised W_c.

    With `marginals` the data's masses may be left at a price: the problem is min over probabilities q of W_c(μ, Σ_j q_j
    δ_{y_j}) + D_ψ(q | b). Its dual in h̃ is as concave, and the same ascent aims at the masses that the table leaves,
    `reweighted`. Outliers keep almost none. `lower` and `upper` then bracket this value, which is at most W_c. The
    solve ends on samples, not on exact masses.

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
        marginals: `Unbalanced(KLMarginal(ρ))`, say; the masses of μ are kept. None keeps all masses.
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
    if marginals is not None and marginals.model is not None:
        raise ValueError(
            f"a semi-discrete solve keeps the masses of mu, got the penalty {marginals.model} for them; leave "
            "`model` of Unbalanced at None, or train a DualSolver with these marginals"
        )
    if tol is None and gap_tol is None:
        tol = 0.05
    seed = int(torch.randint(2**30, (), device="cpu"))
    modules = [mu] if isinstance(mu, torch.nn.Module) else []
    with undisturbed(*modules), progress_bar(progress, max_samples) as bar:
        problem, asked = SemidiscreteProblem(mu, nu, cost, marginals), (tol, gap_tol, epsilon)
        solve = Solve(problem, *asked, max_samples, max_seconds, seed)
        solve.start(h_tilde, resume)
        if solve.narrow:  # resumed
            solution = None
        else:
            solution = solve.run([*callbacks, *bar], checkpoint)
            if solution.ending is not Ending.UNREACHABLE or not solve.narrow:
                return solution
            resume, max_samples, max_seconds = None, max_samples - solve.drawn, max_seconds - solution.seconds
            if min(max_samples, max_seconds) <= 0:
                return solution
        solve = Solve(problem.widened(), *asked, max_samples, max_seconds, seed)
        solve.start(h_tilde, resume)
        wide = solve.run([*callbacks, *bar], checkpoint)
        return wide if solution is None else min(wide, solution, key=lambda each: each.marginal_error)
