"""`barycentre`: min over μ of Σ_k λ_k W_c(μ, ν_k), and what is certified of it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, final

import torch
from torch import Tensor

from ot_gen.arguments import Cloud, Count, Interval, Nonnegative, Vector, checked
from ot_gen.barycentres.bounds import Bound, lower_bound, lower_bound_on, upper_bound
from ot_gen.barycentres.fixed_support import Discrete, masses_on
from ot_gen.barycentres.generator import default_term, gaussian_model, gaussian_moments, residual, train
from ot_gen.barycentres.particles import moved
from ot_gen.barycentres.problem import BarycentreProblem, WeightedPoints, is_table
from ot_gen.costs import Cost, SquaredEuclidean
from ot_gen.couplings import GaussianMap, weighted_moments
from ot_gen.display import DATA, Span, card, facts, line, scatter, spans, with_error
from ot_gen.measures import Empirical, Measure, Pushforward, check_cloud, undisturbed
from ot_gen.solvers import Solver
from ot_gen.transport import Bracket, NotConverged

TOL, SAMPLED_TOL = 1e-4, 1e-2
SHOWN = 500  # atoms of a picture
Tolerance = Annotated[float, Interval(0, 1, "()")]


@final
@checked
@dataclass(frozen=True, repr=False)
class Barycentre:
    """A barycentre μ, and what holds min Σ_k λ_k W_c(·, ν_k).

    Attributes:
        mu: μ, an `Empirical` or the `Pushforward` that was trained.
        upper, upper_se: Σ_k λ_k W_c(μ, ν_k) at the μ that is returned, >= the minimum: exact for tables; where a law is
            sampled a mean of exact plans between samples, which is above it, and its standard error.
        lower, lower_se: a value of feasible dual potentials, <= the minimum, and its standard error, 0 between tables.
            On a fixed support the minimum is over all laws on it; elsewhere over all laws on R^d.
        converged: whether the self-check passed, which `message` describes.
        steps: steps taken.

    Example:
        >>> from ot_gen import Empirical, SquaredEuclidean, barycentre
        >>> ends = [Empirical([[0.0], [1.0]]), Empirical([[2.0], [3.0]])]
        >>> result = barycentre(ends, [0.5, 0.5], SquaredEuclidean(), support=[[0.0], [1.0], [2.0], [3.0]])
        >>> result.converged, result.lower <= result.upper
        (True, True)
    """

    mu: Empirical | Pushforward
    lower: float
    upper: float
    lower_se: float
    upper_se: float
    converged: bool
    message: str
    steps: int

    @property
    def atoms(self) -> Tensor | None:
        """The points of μ, (n, d); None of a generator."""
        return self.mu.atoms if isinstance(self.mu, Empirical) else None

    @property
    def masses(self) -> Tensor | None:
        """Their masses, (n,); None of a generator."""
        return self.mu.weights if isinstance(self.mu, Empirical) else None

    @property
    def bracket(self) -> Bracket:
        """lower and upper with their standard errors."""
        return Bracket(lower=self.lower, upper=self.upper, lower_se=self.lower_se, upper_se=self.upper_se)

    @property
    def gap(self) -> float:
        """The relative gap (upper − lower) / |upper|."""
        return self.bracket.gap

    def __repr__(self) -> str:
        values = f"lower={self.lower:.6g}", f"upper={self.upper:.6g}"
        return line("Barycentre", repr(self.mu), *values, f"converged={self.converged}: {self.message}")

    def _repr_html_(self) -> str:
        atoms = self.atoms
        points = "" if atoms is None or atoms.shape[1] != 2 else scatter({"": atoms[:SHOWN]}, ("x₁", "x₂"), [DATA])
        values = {
            "lower, upper value": f"{with_error(self.lower, self.lower_se)}, {with_error(self.upper, self.upper_se)}",
            "relative gap": f"{self.gap:.2g}",
            "steps": f"{self.steps:,}" if self.steps else None,
            "self-check": self.message,
        }
        bar = spans([Span("lower … upper", self.lower, self.upper)])
        doubt = "" if self.converged else "Not converged: the bracket alone says what it is worth."
        return card("Barycentre", repr(self.mu), points, bar, facts(values), note=doubt)


@checked
def barycentre(
    measures: Sequence[Measure],
    weights: Vector | None,
    cost: Cost,
    *,
    support: Cloud | None = None,
    mu: Empirical | Pushforward | None = None,
    terms: Sequence[Solver] | None = None,
    epsilon: Nonnegative = 0.0,
    tol: Tolerance | None = None,
    steps: Count = 300,
    batch_size: Annotated[int, Interval(2, 10**6)] = 256,
    samples: Annotated[int, Interval(2, 10**6)] = 1000,
) -> Barycentre:
    """The μ that minimises Σ_k λ_k W_c(μ, ν_k): masses on a support, particles that move, or a generator.

    - With `support` the points stay and their masses are found: a linear programme, solved to the gap `tol`. With ε > 0
      it is the entropic problem, which is smooth; the bracket is of the exact one all the same.
    - With an `Empirical` as `mu` its atoms move and its masses stay. Exact plans and positions take turns, until a step
      gains less than `tol` of the value. The end is a local minimum, which the bracket judges. It is the default where
      all measures are tables; then the start is the largest table, moved to the Gaussian barycentre of the moments.
    - With a `Pushforward` as `mu` its parameters are trained, by `fit` with a `SumSolver`. It is the default for
      ‖x − y‖² where a measure is no table: an affine map to that Gaussian barycentre, which is exact between Gaussians,
      plus a network. For ‖x − y‖² it has converged where E‖x − Σ_k λ_k T_k(x)‖² is below `tol` of the variance. For
      other costs nothing says so, and `converged` is False.

    One number is drawn from torch's global generator; it seeds what is sampled.

    Args:
        measures: ν_k: tables, or laws that are sampled, of one space.
        weights: λ_k, (K,), masses of total 1; None means equal ones. Measures of weight 0 are left out.
        cost: c(x, y), x on μ's side; differentiable where points move.
        support: points of a fixed support, (n, d).
        mu: particles that start at its atoms, or the generator to train, in place.
        terms: for a generator, a solver for each measure of positive weight; None means exact plans between batches
            without their bias, `MatchedPlanCoupling` for ‖x − y‖² and `DebiasedPlanCoupling` elsewhere.
        epsilon: ε >= 0 of a fixed support, in the units of the cost.
        tol: of the self-check, relative; None means 1e-2 of a generator, whose check is sampled, and 1e-4 elsewhere.
        steps: of particles at most; of the generator's training.
        batch_size: of the generator's training.
        samples: of a law that is no table, or a table of more atoms, wherever it meets an exact plan.

    Returns:
        A `Barycentre` with `.mu` (`.atoms` and `.masses` of a table), `.lower`, `.upper`. On a fixed support `lower` is
        the dual of the programme. In R^d it is max(Σ_{k<l} λ_k λ_l W₂²(ν_k, ν_l), the Gaussians' value) for ‖x − y‖²,
        sharp for two tables and for Gaussians; for a distance it comes from the triangle inequality, and for other
        costs it is 0.

    Raises:
        ValueError: measures, weights and a cost that do not fit together, two forms of μ at once, or options of another
            form.
        NotConverged: a plan or a linear programme was not solved.

    Source: Agueh, Carlier, 2011, https://arxiv.org/abs/1012.5407; Cuturi, Doucet, 2014, https://arxiv.org/abs/1310.4375

    Example:
        >>> from ot_gen import Empirical, SquaredEuclidean
        >>> a, b = Empirical(torch.tensor([[0.0], [1.0]])), Empirical(torch.tensor([[4.0], [9.0]]))
        >>> middle = barycentre([a, b], [0.5, 0.5], SquaredEuclidean())
        >>> middle.atoms.sort(dim=0).values.T, middle.lower, middle.upper
        (tensor([[2., 5.]]), 10.0, 10.0)
    """
    problem = BarycentreProblem.of(measures, weights, cost)
    _check_form(problem, support, mu, terms, epsilon)
    if support is not None:
        return _on_support(problem, support, epsilon, tol or TOL, samples)
    if isinstance(mu, Pushforward) or (mu is None and _is_sampled(problem, samples)):
        return _of_generator(problem, mu, terms, tol or SAMPLED_TOL, steps, batch_size, samples)
    return _of_particles(problem, mu, tol or TOL, steps, samples)


def _is_sampled(problem: BarycentreProblem, samples: int) -> bool:
    tables = all(is_table(law, samples) for law in problem.measures)
    return isinstance(problem.cost, SquaredEuclidean) and not tables


def _check_form(
    problem: BarycentreProblem,
    support: Tensor | None,
    mu: Measure | None,
    terms: Sequence[Solver] | None,
    epsilon: float,
) -> None:
    if support is not None and mu is not None:
        raise ValueError("support and mu are two forms of the barycentre; give one of them")
    if support is None and epsilon > 0:
        raise ValueError(f"epsilon = {epsilon:g} is of a fixed support, and there is none; give support, or epsilon=0")
    if terms is not None and not isinstance(mu, Pushforward):
        raise ValueError(
            "terms are the solvers that train a generator; give it as mu, a Pushforward, or leave them out"
        )
    if terms is not None and len(terms) != len(problem.measures):
        raise ValueError(
            f"terms must be one solver for each of the {len(problem.measures)} measures of positive weight, got "
            f"{len(terms)}"
        )
    if support is not None:
        check_cloud(support, "support")
        problem.check_points(support.shape[1], "the support", "support")
        if len(support) < 2:
            raise ValueError(f"a support needs two points or more, got {len(support)}")
    if mu is not None:
        problem.check_points(mu.dim, "mu", "mu")


def _on_support(problem: BarycentreProblem, support: Tensor, epsilon: float, tol: float, samples: int) -> Barycentre:
    with _seeded(problem):
        tables = problem.tables(samples)
        costs = [problem.cost.matrix(support, table.y).double().cpu() for table in tables]
        solved = masses_on(Discrete(costs, [_shares(table.b) for table in tables], problem.weights), epsilon, tol)
        mu = Empirical(support.detach(), solved.a.to(support))
        h = [(C - g).amin(dim=1).to(support.device) for C, g in zip(costs, solved.g, strict=True)]
        n = max(samples, len(support))
        return _result(
            mu,
            lower_bound_on(problem, support, h, samples),
            upper_bound(problem, mu, n),
            solved.converged,
            solved.message,
        )


def _shares(masses: Tensor) -> Tensor:
    masses = masses.double().cpu()
    return masses / masses.sum()


def _of_particles(problem: BarycentreProblem, mu: Empirical | None, tol: float, steps: int, samples: int) -> Barycentre:
    with _seeded(problem):
        tables = problem.tables(samples)
        start = _start(problem, tables) if mu is None else WeightedPoints.of(mu, len(mu))
        moves = moved(problem, tables, start, steps, tol)
        end = Empirical(moves.x, None if start.masses is None else start.b)
        n = max(samples, len(end))
        converged = moves.gain <= tol
        message = f"the last of {moves.steps} steps gained {moves.gain:.2g} of the value: " + (
            "a local minimum" if converged else "more steps would lower it"
        )
        return _result(end, lower_bound(problem, n), upper_bound(problem, end, n), converged, message, moves.steps)


def _start(problem: BarycentreProblem, tables: list[WeightedPoints]) -> WeightedPoints:
    """The largest table, moved to the mean and the covariance of the Gaussian barycentre, for ‖x − y‖²."""
    largest = max(tables, key=lambda table: len(table.y))
    if not isinstance(problem.cost, SquaredEuclidean) or len(tables) == 1:
        return largest
    try:
        target = gaussian_moments(problem)
    except NotConverged:
        return largest
    return WeightedPoints(GaussianMap.between(weighted_moments(*largest), target)(largest.y), largest.b)


def _of_generator(
    problem: BarycentreProblem,
    mu: Pushforward | None,
    terms: Sequence[Solver] | None,
    tol: float,
    steps: int,
    batch_size: int,
    samples: int,
) -> Barycentre:
    seed = int(torch.randint(2**30, (), device="cpu"))
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        model = gaussian_model(problem) if mu is None else mu
        solvers = [default_term(problem) for _ in problem.measures] if terms is None else list(terms)
        train(problem, model, solvers, steps, batch_size)
        with undisturbed(model, *problem.modules):
            lower, upper = lower_bound(problem, samples), upper_bound(problem, model, samples)
            if not isinstance(problem.cost, SquaredEuclidean):
                reason = "nothing but the bracket judges a generator for this cost"
                return _result(model, lower, upper, False, reason, steps)
            value, se = residual(problem, model)
            message = f"E‖x − Σ λ T(x)‖² is {value:.2g} ± {se:.1g} of the variance after {steps} steps"
            if not (converged := value + 2 * se <= tol):
                message += "; more steps, a larger batch_size or another generator lower it"
            return _result(model, lower, upper, converged, message, steps)


@contextmanager
def _seeded(problem: BarycentreProblem) -> Iterator[None]:
    """Without a graph, in evaluation mode, and from a seed that is one draw of the caller's generator."""
    seed = int(torch.randint(2**30, (), device="cpu"))
    with undisturbed(*problem.modules):
        torch.manual_seed(seed)
        yield


def _result(
    mu: Empirical | Pushforward, lower: Bound, upper: Bound, converged: bool, message: str, steps: int = 0
) -> Barycentre:
    if not converged:
        warnings.warn(f"the barycentre did not arrive: {message}", stacklevel=5)
    least = min(lower.value, upper.value) if lower.se == upper.se == 0 else lower.value  # equal but for rounding
    return Barycentre(mu, least, upper.value, lower.se, upper.se, converged, message, steps)
