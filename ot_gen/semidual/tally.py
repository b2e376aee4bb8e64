"""What fresh samples say about a table of potentials h̃: the masses of its cells, and a bracket of W_c(μ, ν).

Nothing here may see a sample that h̃ was made from: then every figure is an honest one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, final

import torch
from torch import Tensor

from ot_gen.measures import Pixels
from ot_gen.semidual.sample import SampleProblem
from ot_gen.semidual.scores import PANEL_ATOMS, Scores
from ot_gen.transport import Bracket, Pairs


@final
class Tally:
    """The cells of h̃, counted on two independent halves of a held-out sample.

    Let p be the masses counted on all samples, and p₁, p₂ those on the halves. The observed error ‖p − b‖₁ includes the
    noise of counting. E‖p₁ − p₂‖₁ / 2 measures this noise, also for low-discrepancy samples. `marginal_error` removes
    it in quadrature, which is exact where the true errors p_j − b_j are normal like the noise.

    Args:
        costs: the cost and the atoms.
        weights: their masses b, (m,); where b may be left, what the table leaves of it.
        h_tilde: the table, (m,).
        epsilon: counts soft masses if > 0, else cells of the hard minimum.
        barycentres: whether to add up the samples of each cell, which takes as much memory as the atoms.
        price: what leaving b costs.
    """

    def __init__(
        self,
        costs: Scores,
        weights: Tensor,
        h_tilde: Tensor,
        epsilon: float = 0.0,
        barycentres: bool = False,
        price: float = 0.0,
    ) -> None:
        self.costs = costs
        self.weights = weights
        self.h_tilde = h_tilde
        self.epsilon = epsilon
        self.price = price
        self.counts = torch.zeros(2, len(h_tilde), dtype=torch.float64, device="cpu")
        self.sums = costs.atoms[:1].new_zeros(costs.atoms.shape) if barycentres else None
        self.sizes = [0, 0]
        self.total = self.squares = 0.0
        self.unit = 0.0  # of the squares, which overflow sooner than the values

    @torch.no_grad()
    def add(self, half: int, x: Tensor) -> Tensor:
        """Count the sample x (n, d) into half 0 or 1; returns h(x), (n,), the hard c-transform."""
        values, argmin = self.costs.hard(x, self.h_tilde)
        self.total += float(values.double().sum())
        self.unit = self.unit or float(values.abs().max())
        self.squares += float((values.double() / (self.unit or 1.0)).square().sum())
        self.sizes[half] += len(x)
        if self.epsilon == 0:
            self.counts[half] += torch.bincount(argmin.cpu(), minlength=len(self.weights))
            if self.sums is not None:
                self.sums.index_add_(0, argmin, x)
            return values
        parts = x.split(self.costs.chunk)
        for part, (z, w) in zip(parts, self.costs.soft(x, self.h_tilde, self.epsilon), strict=True):
            self.counts[half] += (w @ z).cpu()
            if self.sums is not None:
                self.sums += z.T @ (w.unsqueeze(1) * part)
        return values

    @property
    def samples(self) -> int:
        """The number of samples counted."""
        return sum(self.sizes)

    @property
    def masses(self) -> Tensor:
        """p, (m,), float64."""
        return self.counts.sum(dim=0) / self.samples

    def marginal_error(self) -> tuple[float, float]:
        """‖P − b‖₁ with the noise of counting removed, and its standard error."""
        return self.distance(self.weights)

    def distance(self, masses: Tensor) -> tuple[float, float]:
        """‖P − q‖₁ with the noise of counting removed, and its standard error, for masses q, (m,)."""
        first, second = (self.counts[half] / self.sizes[half] for half in (0, 1))
        observed = float((self.masses - masses.double().cpu()).abs().sum())
        noise = float((first - second).abs().sum()) / 2
        deviation = math.sqrt((1 - 2 / math.pi) * float((first - second).square().sum()) / 2)
        error = math.sqrt(max(0.0, observed**2 - noise**2))
        return error, math.hypot(observed, noise) * deviation / max(error, deviation, 1e-300)

    def lower(self) -> tuple[float, float]:
        """E[min_j c(x, y_j) − h̃_j] + Σ_j b_j h̃_j <= W_c(μ, ν), an unbiased estimate, and its standard error.

        The price of leaving b is added; the bound is then one of the unbalanced cost.

        The standard error is that of independent samples: for low-discrepancy ones it is too large.
        """
        mean = self.total / self.samples
        unit = self.unit or 1.0
        variance = max(0.0, self.squares / self.samples - (mean / unit) ** 2)
        table = float(self.weights.double() @ self.h_tilde.double())
        return mean + table + self.price, unit * math.sqrt(variance / max(1, self.samples - 1))

    def barycentres(self) -> Tensor | None:
        """E[x | cell j], (m, d), where they were asked for; NaN for a cell that no sample fell into."""
        return None if self.sums is None else self.sums / self.counts.sum(dim=0).to(self.sums).unsqueeze(1)


@final
class FeasiblePlan(NamedTuple):
    """A feasible coupling of an empirical sample with ν, by its entries and their costs, (k,)."""

    pairs: Pairs
    costs: Tensor

    @property
    def value(self) -> float:
        """⟨P, C⟩."""
        return float(self.pairs.mass @ self.costs)


@final
class Slack(NamedTuple):
    """Σ_ij P_ij (c(x_i, y_j) − h(x_i) − h̃_j) >= 0 for a feasible coupling P of fresh samples with ν, and its error.

    Added to a lower value from more samples, it gives the expectation of ⟨P, C⟩ with less noise.
    """

    value: float
    se: float

    @classmethod
    def of(cls, tally: Tally, x: Tensor, epsilon: float) -> Slack:
        """That of the tally's table, on the fresh samples x (n, d); ε of `feasible_plan`."""
        costs, table = tally.costs, tally.h_tilde
        plan = feasible_plan(costs, tally.weights, x, table, epsilon)
        h = costs.hard(x, table)[0].double().cpu()
        entries = plan.pairs.mass * (plan.costs - table.double().cpu()[plan.pairs.j]) * len(x)
        each = torch.zeros_like(h).index_add_(0, plan.pairs.i, entries) - h
        return cls(float(each.mean()), float(each.std()) / math.sqrt(len(x)))

    def above(self, lower: float, lower_se: float) -> Bracket:
        """The bracket with this lower value."""
        error = math.hypot(lower_se, self.se)
        return Bracket(lower=lower, upper=lower + self.value, lower_se=lower_se, upper_se=error)


@torch.no_grad()
def feasible_plan(costs: Scores, weights: Tensor, x: Tensor, h_tilde: Tensor, epsilon: float) -> FeasiblePlan:
    """A coupling of the sample x with ν that follows the cells of h̃ and gives every atom exactly b_j.

    Its cost bounds W_c(μ, ν) from above in expectation, for every sample size: the sample's law has mean μ, and W_c is
    convex. The sample's own transport problem between crowded and empty cells is solved on the pairs that compete
    (`SampleProblem`). The mass that this leaves over is coupled monotonically along the main axis of the data: excess
    rows with the atoms that lack mass.

    Args:
        costs: the cost and the atoms.
        weights: their masses b, (m,).
        x: fresh samples, (n, d).
        h_tilde: the table, (m,).
        epsilon: ε > 0 of the plan's softness, in the units of the cost.
    """
    n = len(x)
    sample = SampleProblem(costs, weights, x, h_tilde)
    shares = sample.shares(sample.solve(h_tilde, epsilon), epsilon)
    shares *= (sample.b / sample.masses(shares).clamp_min(1e-30)).clamp_max(1)[sample.columns] / n
    rows = torch.arange(n, device="cpu").unsqueeze(1).expand_as(shares)
    kept = shares > 0
    i, j, mass = _repair(costs.atoms, x, 1 / n - shares.sum(dim=1), sample.b - n * sample.masses(shares))
    device = x.device
    repaired = [
        costs.cost(x[part_i.to(device)], costs.atoms[part_j.to(device)]).double().cpu()
        for part_i, part_j in zip(i.split(2**14), j.split(2**14), strict=True)
    ]
    pairs = Pairs(torch.cat([rows[kept], i]), torch.cat([sample.columns[kept], j]), torch.cat([shares[kept], mass]))
    return FeasiblePlan(pairs, torch.cat([sample.costs[kept], *repaired]))


def _repair(y: Tensor | Pixels, x: Tensor, excess: Tensor, want: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The monotone coupling of excess rows with lacking columns along the main axis of y: (rows, columns, mass)."""
    sample = y[:: max(1, len(y) // 1024)].double()  # its squares leave the range of single precision
    centred = sample - sample.mean(dim=0)
    axis = centred[centred.square().sum(dim=1).argmax()]
    for _ in range(10):  # power iteration: any axis gives a feasible coupling, a long one a cheap coupling
        axis = centred.T @ (centred @ axis)
        axis = axis / axis.norm().clamp_min(torch.finfo(axis.dtype).tiny)
    axis = axis.to(x)
    by_row, by_column = (
        (x @ axis).argsort().cpu(),
        torch.cat([part @ axis for part in y.split(PANEL_ATOMS)]).argsort().cpu(),
    )
    row_ends = excess.clamp_min(0)[by_row].cumsum(0)
    column_ends = want.clamp_min(0)[by_column].cumsum(0)
    column_ends *= row_ends[-1] / column_ends[-1].clamp_min(1e-300)
    ends = torch.cat([row_ends, column_ends]).sort().values
    mass = ends.diff(prepend=ends.new_zeros(1))
    middle = ends - mass / 2
    row = by_row[torch.searchsorted(row_ends, middle).clamp_max(len(x) - 1)]
    column = by_column[torch.searchsorted(column_ends, middle).clamp_max(len(y) - 1)]
    kept = mass > 0
    return row[kept], column[kept], mass[kept]


def batches(total: int, size: int = 2**13) -> Iterator[int]:
    """Sizes of at most `size` that add up to `total`.

    Example:
        >>> list(batches(5, size=2))
        [2, 2, 1]
    """
    for start in range(0, total, size):
        yield min(size, total - start)
