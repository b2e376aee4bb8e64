"""Plans between batches without the bias that two moments explain."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, final

import torch
from torch import Tensor

from ot_gen.arguments import Cloud, Count, checked
from ot_gen.costs import Cost, SquaredEuclidean
from ot_gen.couplings.coupling import Coupling, Estimate
from ot_gen.couplings.plan import tried
from ot_gen.display import record_line
from ot_gen.measures import Empirical, Measure
from ot_gen.transport import GaussianMaps, Plan, gaussian_maps

OF_THE_DATA = 2**16  # samples for the moments of the data, which stay
OF_THE_MODEL = 2**12  # samples for those of the model, which moves
MOST = 2**22  # coordinates of either
RIDGE = 1e-6  # of the mean variance, added to each: directions in which a sample does not vary keep a map


@final
class Moments(NamedTuple):
    """Mean (d,) and covariance (d, d) of a law, in float64."""

    mean: Tensor
    covariance: Tensor

    def __repr__(self) -> str:
        return record_line(self)

    @staticmethod
    def of(law: Measure, points: int) -> Moments:
        """Those of atoms, exactly, or of so many samples."""
        if isinstance(law, Empirical):
            return weighted_moments(law.atoms, law.weights)
        y = law.sample(max(2, min(points, MOST // law.dim))).detach()
        return weighted_moments(y, y.new_full((len(y),), 1 / len(y)))


def weighted_moments(y: Cloud, b: Tensor) -> Moments:
    """Mean and covariance, + `RIDGE` of the mean variance, of points y (m, d) with masses b (m,).

    Example:
        >>> weighted_moments(torch.tensor([[0.0], [2.0]]), torch.tensor([0.5, 0.5])).mean
        tensor([1.], dtype=torch.float64)
    """
    y, b = y.double(), b.double() / b.double().sum()
    mean = b @ y
    away = (y - mean) * b.sqrt()[:, None]
    covariance = away.T @ away
    ridge = RIDGE * covariance.diagonal().mean().clamp_min(torch.finfo(y.dtype).tiny)
    return Moments(mean, covariance + ridge * torch.eye(len(mean), dtype=y.dtype, device=y.device))


@final
class GaussianMap(NamedTuple):
    """The optimal map between the Gaussians of two laws' moments, L(x) = q + A (x − p), and what it costs, W₂²."""

    p: Tensor
    q: Tensor
    matrix: Tensor
    value: Tensor

    def __repr__(self) -> str:
        return record_line(self)

    @staticmethod
    def between(first: Moments, second: Moments) -> GaussianMap:
        """From the first to the second; d³ operations."""
        maps: GaussianMaps = gaussian_maps(first.covariance, second.covariance)
        spread = first.covariance.trace() + second.covariance.trace() - 2 * maps.overlap
        value = (first.mean - second.mean).square().sum() + spread.clamp_min(0)
        return GaussianMap(first.mean, second.mean, maps.forth, value)

    def __call__(self, x: Tensor) -> Tensor:
        """L(x), (n, d) -> (n, d), in the dtype of x."""
        return ((x.double() - self.p) @ self.matrix.mT + self.q).to(x.dtype)


@final
@checked
class MatchedPlanCoupling(Coupling):
    """Plans between samples, corrected by what the same plan does where its answer is known.

        OT(μ_n, ν_n) − OT(μ_n, L#μ'_n) + W₂²(N_μ, N_ν),        c = ‖x − y‖²

    N_μ and N_ν are the Gaussians with the laws' means and covariances, L the optimal map between them, and μ' a second
    sample. L#μ' stands in for ν: it has its two moments, and μ's optimal way to it is L. Where ν is L#μ itself, as
    between Gaussians, and between all elliptical laws of one kind, the value is W₂²(μ, ν) in expectation
    for every n, and so is its gradient. Elsewhere the bias of the plan is that of ν against L#μ, and goes with n → ∞.
    At L = id it is `DebiasedPlanCoupling`. A single value may be negative, and it bounds nothing.

        ∇ at x_i, times n/2:    x_i − [L x_i + (P y)_i − (Q Lx')_i],        P, Q and L held fixed

    Moments of μ are taken anew at each step, from 4,096 points, and L costs d³ operations; those of ν when bound.

    Args:
        plan: C (n, n) -> `Plan`, e.g. `exact_plan`.

    Raises:
        ValueError: `plan` returns something else for a matrix of zeros; when bound, another cost than ‖x − y‖², or
            points with classes.

    Source: control variates by Gelbrich, 1990, https://doi.org/10.1002/mana.19901470121; the debiased plan is that of
    Genevay, Peyré, Cuturi, 2018, https://arxiv.org/abs/1706.00292

    Example:
        >>> from ot_gen import Empirical, SquaredEuclidean, exact_plan, standard_gaussian
        >>> mu, nu = standard_gaussian(8), Empirical(2 * torch.randn(4000, 8) + 1)
        >>> coupling = MatchedPlanCoupling(exact_plan)
        >>> coupling.bind(mu, nu, SquaredEuclidean())
        >>> value = sum(float(coupling(mu, nu, SquaredEuclidean(), 32).value) for _ in range(100)) / 100
        >>> 14 < value < 18  # W₂² = 8 · (1 + 1); a plan alone says 24
        True
    """

    kind = "table"

    def __init__(self, plan: Callable[[Tensor], Plan]) -> None:
        super().__init__()
        tried(plan, "MatchedPlanCoupling")
        self.plan = plan
        self._of_data: tuple[Measure, Moments] | None = None

    def bind(self, mu: Measure, nu: Measure, cost: Cost) -> None:
        if not isinstance(cost, SquaredEuclidean):
            raise ValueError(
                f"a MatchedPlanCoupling needs the squared distance as its cost, got {cost}; use SquaredEuclidean(), or "
                "a DebiasedPlanCoupling, which takes any cost"
            )
        if nu.classes is not None:
            raise ValueError("a MatchedPlanCoupling knows no classes; use a DebiasedPlanCoupling, or leave them out")
        self._of_data = nu, Moments.of(nu, OF_THE_DATA)

    def forward(self, mu: Measure, nu: Measure, cost: Cost, n: Count) -> Estimate:
        x, y = mu.rsample(n), nu.sample(n)
        direct = self.map_from(mu, nu, cost)
        with torch.no_grad():
            stand_in, here = direct(mu.sample(n)), direct(x)
            to_data, to_stand_in = (self.plan(cost.matrix(x, points)) for points in (y, stand_in))
        descends = to_data.cost_of(cost, x, y) - to_stand_in.cost_of(cost, x, stand_in) + cost(x, here).mean()
        value = descends + (to_data.value - to_stand_in.value + direct.value.to(x) - descends).detach()
        return Estimate(value, value.new_zeros(()))

    @torch.no_grad()
    @checked
    def map_from(self, mu: Measure, nu: Measure, cost: Cost) -> GaussianMap:
        """L, from the moments of μ as it is now to those of ν."""
        if self._of_data is None or self._of_data[0] is not nu:
            self.bind(mu, nu, cost)
        assert self._of_data is not None
        return GaussianMap.between(Moments.of(mu, OF_THE_MODEL), self._of_data[1])

    @torch.no_grad()
    @checked
    def displaced(self, x: Cloud, mu: Measure, nu: Measure, cost: Cost) -> Tensor:
        """L x_i + (P y)_i − (Q Lx')_i, (n, d): where the optimal map would send x ~ μ, by fresh samples of both."""
        direct = self.map_from(mu, nu, cost)
        y, stand_in = nu.sample(len(x)), direct(mu.sample(len(x)))
        to_data, to_stand_in = (self.plan(cost.matrix(x, points)) for points in (y, stand_in))
        return direct(x) + to_data.barycentric(y) - to_stand_in.barycentric(stand_in)

    def extra_repr(self) -> str:
        return getattr(self.plan, "__name__", repr(self.plan))
