"""Both sides of a certificate on fresh samples: what a table and its couplings are worth, replicate by replicate."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from ot_gen.costs import Growth
from ot_gen.evaluation.draws import REPLICATES, Draws
from ot_gen.evaluation.guarantee import Guarantee
from ot_gen.evaluation.line import convex_on_the_line, monotone_cost
from ot_gen.evaluation.tails import Tails
from ot_gen.execution import Ending
from ot_gen.measures import Empirical
from ot_gen.semidual.ascent import Ascent
from ot_gen.semidual.problem import SemidiscreteProblem
from ot_gen.semidual.sample import CANDIDATES, FEW_ATOMS
from ot_gen.semidual.scores import PANEL_ATOMS
from ot_gen.semidual.tally import Tally, batches, feasible_plan
from ot_gen.transport import SparsePlan, exact_plan

LARGEST_COUPLING = 2**16
LARGEST_SORTED = 2**20
# Of a linear programme: costs, and samples.
EXACT_ENTRIES = 2**24
MOST_EXACT = 2**14
KEPT_BACK = 0.5  # of the error probability 1 − level, as replicates are only nearly normal


def bytes_per_row(nu: Empirical) -> int:
    """Bytes of a coupling for each sample: its candidate pairs in float64, eight times over, and the sample itself.

    Example:
        >>> bytes_per_row(Empirical(torch.zeros(1000, 2)))
        3104
    """
    pairs = len(nu) if len(nu) <= FEW_ATOMS else CANDIDATES
    return 64 * pairs + 4 * nu.dim * nu.rows.dtype.itemsize


class Planner(ABC):
    """A way to couple samples with ν, of at most `most` samples at a time."""

    most: int

    @abstractmethod
    def cost(self, problem: SemidiscreteProblem, h_tilde: Tensor, x: Tensor) -> float:
        """⟨P, C⟩ for a feasible coupling P of the sample x (n, d) with ν, made with the help of the table h̃ (m,)."""


@final
class CellsPlanner(Planner):
    """The coupling that follows the cells of the table, repaired: `ot_gen.semidual.tally.feasible_plan`.

    Args:
        epsilon: its softness, in the units of the cost.
        most: samples at a time.
    """

    def __init__(self, epsilon: float, most: int) -> None:
        self.epsilon = epsilon
        self.most = most

    def cost(self, problem: SemidiscreteProblem, h_tilde: Tensor, x: Tensor) -> float:
        return feasible_plan(problem.rows, problem.weights, x, h_tilde, self.epsilon).value


@final
class ExactPlanner(Planner):
    """The optimal coupling of the sample, by linear programming."""

    def __init__(self, most: int) -> None:
        self.most = most

    def cost(self, problem: SemidiscreteProblem, h_tilde: Tensor, x: Tensor) -> float:
        return float(_exact(problem, x).value)


@final
class MonotonePlanner(Planner):
    """The optimal coupling on the line, by sorting.

    Args:
        growth: f with c(x, y) = f(|x − y|).
    """

    most = LARGEST_SORTED

    def __init__(self, growth: Growth) -> None:
        self.growth = growth

    def cost(self, problem: SemidiscreteProblem, h_tilde: Tensor, x: Tensor) -> float:
        return monotone_cost(self.growth, x, problem.atoms[:], problem.weights)


@final
class Contest:
    """Chooses, on a pilot sample that judges nothing, the best table and the cheapest coupling.

    Args:
        problem: μ, ν and the cost.
        x: the pilot sample, (n, d).

    Attributes:
        best: the table of the highest value so far, None before the first.
        value, deviation: its value and the standard deviation of h(x).
        h: h(x), (n,).
        rate: seconds that the c-transform of a sample takes.
    """

    def __init__(self, problem: SemidiscreteProblem, x: Tensor) -> None:
        self.problem = problem
        self.x = x
        self.best: Tensor | None = None
        self.value = -math.inf
        self.deviation = self.rate = math.nan
        self.h = x.new_empty(0)

    def enter(self, table: Tensor) -> None:
        """Let a table (m,) compete."""
        table = table - table @ self.problem.weights  # a large constant would cost precision
        tally = Tally(self.problem.rows, self.problem.weights, table)
        began = time.perf_counter()
        h = tally.add(0, self.x)
        self.rate = max(1e-9, (time.perf_counter() - began) / len(self.x))
        value, error = tally.lower()
        if value > self.value:
            self.best, self.value, self.deviation, self.h = table, value, error * math.sqrt(len(self.x)), h

    def polish(self, most: int, max_bytes: int) -> int:
        """Let the optimal table for at most `most` samples of μ compete; returns how many were drawn.

        Between parts of the data that hardly touch, mass flows too slowly for stochastic steps. For few atoms only.
        """
        n = min(self._exact_size(max_bytes), most)
        if n > 0:
            x = torch.cat([self.problem.law.sample(size) for size in batches(n)])
            self.enter(_exact(self.problem, x).potentials[1].to(self.problem.weights))
        return n

    def _exact_size(self, max_bytes: int) -> int:
        """The samples of a linear programme, 0 where fewer than four an atom would fit."""
        m = len(self.problem.weights)
        fit = min(EXACT_ENTRIES, max_bytes // 32) // m  # the costs and what the simplex copies of them, in float64
        return min(MOST_EXACT, fit) if fit >= 4 * m else 0

    def _softness(self) -> float:
        assert self.best is not None
        ascent = Ascent(self.problem.rows, self.problem.aim)
        ascent.start(self.x[:512], self.best)
        return ascent.sharpened(self.x)

    def plan(self, max_bytes: int) -> tuple[Planner, float, float]:
        """The coupling that is cheaper on the pilot, the seconds that a sample takes, and ⟨P, C⟩ minus lower on it."""
        problem, table = self.problem, self.best
        assert table is not None
        m = len(table)
        most = max(1, min(max(2**13, 64 * m), LARGEST_COUPLING, max_bytes // bytes_per_row(problem.nu)))
        plans: list[Planner]
        if growth := convex_on_the_line(problem.cost, problem.nu.dim):
            plans = [MonotonePlanner(growth)]
        else:
            size = min(self._exact_size(max_bytes), most)
            plans = [ExactPlanner(size)] if size > 0 else []
            if size < min(len(self.x), most):  # of one sample no coupling is cheaper than the exact one
                plans.append(CellsPlanner(self._softness(), most))
        tried = []
        for number, plan in enumerate(plans):
            x = self.x[: plan.most]
            began = time.perf_counter()
            value = plan.cost(problem, table, x) - float(problem.rows.hard(x, table)[0].double().mean())
            tried.append((value, number, (time.perf_counter() - began) / len(x)))
        slack, number, rate = min(tried)
        return plans[number], rate, slack


@final
class Replicates:
    """Independent replicates of both sides for one table: L_k a mean of h(x) + Σ_j b_j h̃_j, U_k = L_k + slack_k.

    Samples that share a coupling depend on each other; replicates do not. So the means over replicates have the errors
    of independent values, with Student's quantiles.

    Args:
        problem: μ, ν and the cost.
        table: h̃, (m,), made without these samples.
        plan: how the sample of a replicate is coupled.
        spread: x (n, d) -> (n,), a bound of how far the optimal potential at x is from its value at some fixed point;
            None where the errors are taken between replicates.

    Attributes:
        tails: of the size of the cost on all samples.
    """

    def __init__(
        self,
        problem: SemidiscreteProblem,
        table: Tensor,
        plan: Planner,
        spread: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.problem = problem
        self.plan = plan
        self.spread = spread
        self.tally = Tally(problem.rows, problem.weights, table)
        self.tails = Tails()
        parts = zip(problem.weights.split(PANEL_ATOMS), problem.atoms.split(PANEL_ATOMS), strict=True)
        self.middle = torch.stack([b @ y for b, y in parts]).sum(dim=0)
        self.lower: list[float] = []
        self.slack: list[float] = []
        self.costs: list[float] = []
        self.coupled = 0
        self.spread_squares = 0.0

    @property
    def samples(self) -> int:
        """The samples drawn so far."""
        return self.tally.samples

    def run(self, draws: Draws, coupled: int, size: int, seconds: float, progress: bool) -> tuple[Ending, str]:
        """Measure REPLICATES replicates of `size` samples, `coupled` of them coupled.

        Returns:
            How it ended, and the reason where it ended early.
        """
        from tqdm import tqdm

        table = float(self.tally.weights.double() @ self.tally.h_tilde.double())
        end = time.perf_counter() + seconds
        try:
            for number in tqdm(range(REPLICATES), desc="certify", unit=" replicate", disable=not progress):
                source = draws.replicate(number)
                x = torch.cat([source.draw(n) for n in batches(coupled)])
                before, counted = self.tally.total, self.tally.samples
                self.look(x, self.tally.add(number % 2, x))
                h = (self.tally.total - before) / len(x)
                for n in batches(size - coupled):
                    more = source.draw(n)
                    self.look(more, self.tally.add(number % 2, more))
                cost = self.plan.cost(self.problem, self.tally.h_tilde, x)
                self.lower.append((self.tally.total - before) / (self.tally.samples - counted) + table)
                self.slack.append(cost - h - table)
                self._count(x, cost)
                if 1 < number < REPLICATES - 1 and time.perf_counter() > end:
                    return Ending.BUDGET, f"max_seconds ended after {number + 1} replicates"
        except KeyboardInterrupt:
            if len(self.lower) < 2:
                raise
            return Ending.STOPPED, "stopped by the user"
        return Ending.REACHED, ""

    def look(self, x: Tensor, h: Tensor) -> None:
        """Count samples x (n, d) with h(x) into the tails.

        h(x) has the tails of the cost. But near a perfect model it is almost flat but for a few samples: then the cost
        of a point at distance ‖x − ȳ‖ shows the tails earlier, where it is known.
        """
        growth = self.problem.cost.growth(self.problem.nu.dim)
        self.tails.add(h if growth is None else growth((x - self.middle).norm(dim=1).double()))

    def _count(self, x: Tensor, cost: float) -> None:
        self.costs.append(cost)
        self.coupled += len(x)
        if self.spread is not None:
            self.spread_squares += float(self.spread(x).double().square().sum())

    def bounds(self) -> tuple[float, float, float, float]:
        """lower, its standard error, upper, its standard error."""
        lower = torch.tensor(self.lower[: len(self.slack)], dtype=torch.float64, device="cpu")
        upper = lower + torch.tensor(self.slack, dtype=torch.float64, device="cpu")
        unit = float(torch.maximum(lower.abs(), upper.abs()).max()) or 1.0  # squares overflow sooner than the values
        root = math.sqrt(len(lower)) / unit
        errors = [float((side / unit).std()) / root for side in (lower, upper)]
        return float(lower.mean()), errors[0], float(upper.mean()), errors[1]

    def student_interval(self, level: float) -> tuple[float, float]:
        """The interval by Student's quantiles, which a finite variance and large replicates warrant."""
        lower, lower_se, upper, upper_se = self.bounds()
        t = self.quantile(KEPT_BACK * (1 - level) / 2)
        return lower - t * lower_se, upper + t * upper_se

    def guaranteed_interval(self, guarantee: Guarantee) -> tuple[float, float]:
        """The interval that holds at every sample size.

        Let h* and h̃* be optimal: ∫ h* dμ + Σ_j b_j h̃*_j = W_c(μ, ν). They are feasible for the sample μ_n too, so that
        W_c(μ, ν) − ⟨P, C⟩ <= ∫ h* d(μ − μ_n). h* does not depend on the sample, and `spread` bounds its variance.
        """
        lower, se = self.tally.lower()
        n, bias = self.tally.samples, guarantee.truncation.bias
        below = guarantee.error(n * se**2, n) + bias
        above = guarantee.error(self.spread_squares / max(1, self.coupled - 1), self.coupled) + bias
        return lower - below, sum(self.costs) / len(self.costs) + above

    def quantile(self, tail: float) -> float:
        """Student's quantile that leaves `tail` above it."""
        from scipy.special import stdtrit

        return float(stdtrit(len(self.slack) - 1, 1 - tail))


def _exact(problem: SemidiscreteProblem, x: Tensor) -> SparsePlan:
    C = torch.cat([part.double() for _, part in problem.rows.costs(x)])
    return exact_plan(C, None, problem.weights)
