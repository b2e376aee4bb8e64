"""Couplings of ζ and ν in one space, from which pairs (z, y) are drawn: what trains a velocity."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from ot_gen.arguments import Count, checked
from ot_gen.costs import Cost
from ot_gen.couplings.plan import tried
from ot_gen.display import Shown
from ot_gen.measures import Empirical, Measure, undisturbed
from ot_gen.transport import Bracket, Plan

Problem = tuple[Measure, Measure, Cost]  # (ζ, ν, c)
SAMPLE = 16  # points that tell one law from another
ROWS = 2**12  # atoms that are compared at a time


@checked
class Pairing(Shown, ABC):
    """A coupling π of ζ and ν, measures on one space R^d, that is sampled.

    Example:
        >>> from ot_gen import Empirical, Pairing, SquaredEuclidean
        >>> class Sorted(Pairing):  # the optimal pairs of two batches on a line
        ...     def forward(self, zeta, nu, cost, n):
        ...         return zeta.sample(n).sort(0).values, nu.sample(n).sort(0).values
        >>> law = Empirical([[0.0], [1.0]])
        >>> z, y = Sorted()(law, law, SquaredEuclidean(), 8)
        >>> bool((z.diff(dim=0) >= 0).all())
        True
    """

    _bound: Problem | None = None

    @staticmethod
    def instead_of(thing: object) -> str:
        """What to give in the place of something else, in the words of an error."""
        return "take one of ot_gen.couplings, e.g. PlanPairing(exact_plan)"

    @abstractmethod
    def forward(self, zeta: Measure, nu: Measure, cost: Cost, n: Count) -> tuple[Tensor, Tensor]:
        """n pairs (z_i, y_i) ~ π, (n, d) each, without a graph."""

    def bind(self, zeta: Measure, nu: Measure, cost: Cost) -> None:
        """Take up this problem in the place of any earlier one.

        Raises:
            ValueError: ζ and ν lie in different spaces, or this pairing cannot serve them.
        """
        if zeta.dim != nu.dim:
            raise ValueError(
                f"the reference lives in dimension {zeta.dim} and the data in dimension {nu.dim}, and pairs have one "
                f"space; give the reference the data's dimension, standard_gaussian({nu.dim})"
            )
        self._bound = zeta, nu, cost

    def _is_of(self, zeta: Measure, nu: Measure, cost: Cost) -> bool:
        """Whether this is the problem that was taken up; of none that is not known."""
        if self._bound is None:
            return True
        of, to, by = self._bound
        return _is_one_law(of, zeta) and _is_one_law(to, nu) and _is_one_cost(by, cost)

    @property
    def is_settled(self) -> bool:
        """Whether pairs can be drawn; else `settle` comes first."""
        return True

    def settle(self, zeta: Measure, nu: Measure, cost: Cost, keep: Path | None, resume: Path | None) -> None:
        """Solve what has to be solved before pairs can be drawn, unless it is solved.

        Args:
            zeta, nu, cost: the problem.
            keep: a file that holds the state of an unfinished solve; None: none.
            resume: such a file to go on from, where it exists.
        """

    @property
    def bracket(self) -> Bracket | None:
        """A bracket of W_c(ζ, ν), where this pairing knows one."""
        return None

    def diagnostics(self) -> dict[str, float]:
        """Named figures that say how well the pairing is solved."""
        return {}


def _is_one_law(one: Measure, other: Measure) -> bool:
    """Whether two measures are one: the same atoms and masses, or the same sample from one random state."""
    if one is other:
        return True
    if one.dim != other.dim:
        return False
    if isinstance(one, Empirical) and isinstance(other, Empirical):
        if len(one) != len(other) or not _equal(one.weights, other.weights):
            return False
        parts = (slice(first, first + ROWS) for first in range(0, len(one), ROWS))
        return all(_equal(one.rows[part], other.rows[part]) for part in parts)
    with undisturbed(one, other):
        samples = []
        for law in (one, other):
            torch.manual_seed(0)
            samples.append(law.sample(SAMPLE))
    return _equal(*samples)


def _is_one_cost(one: Cost, other: Cost) -> bool:
    """Whether two costs are one, by their settings and parameters."""
    if one is other:
        return True
    known, state = one.state_dict(), other.state_dict()
    alike = repr(one) == repr(other) and known.keys() == state.keys()
    return alike and all(_equal(known[name], state[name]) for name in known)


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers, also on two devices."""
    return torch.equal(one, other.to(one.device))


@final
@checked
class IndependentPairing(Pairing):
    """The product π = ζ ⊗ ν: plain flow matching.

    Source: Lipman et al., 2023, https://arxiv.org/abs/2210.02747

    Example:
        >>> from ot_gen import Empirical, SquaredEuclidean, standard_gaussian
        >>> nu = Empirical(torch.eye(2))
        >>> z, y = IndependentPairing()(standard_gaussian(2), nu, SquaredEuclidean(), 5)
        >>> z.shape, y.shape
        (torch.Size([5, 2]), torch.Size([5, 2]))
    """

    def forward(self, zeta: Measure, nu: Measure, cost: Cost, n: Count) -> tuple[Tensor, Tensor]:
        return zeta.sample(n), nu.sample(n)


@final
@checked
class PlanPairing(Pairing):
    """Pairs of a plan P between `size` fresh points of ζ and `size` of ν: with an exact plan, OT-CFM.

    When the `size` pairs of a plan are drawn, the next plan is made. A row i is taken as often as its
    mass says, to rounding; its partner is drawn from P_i·/Σ_j P_ij. Where P is a permutation, as exact plans are, each
    point is thus taken once, and pairs that were drawn for one step are not repeated in the next.

    A plan of few points differs from the coupling of the laws (its bias falls with `size`). A partial or unbalanced
    plan pairs the mass that it carries: outliers of either side are left out. For another problem than the bound one
    each call makes a plan of its own, and the pairs that are held stay.

    Args:
        plan: C (size, size) -> `Plan`, e.g. `exact_plan` or `functools.partial(sinkhorn_plan, epsilon=0.1)`.
        size: of the plan; the training batch's, where that is larger.

    Raises:
        ValueError: when it is bound or called, `plan` returns no plan or carries no mass.

    Source: Tong et al., 2024, https://arxiv.org/abs/2302.00482; Pooladian et al., 2023, https://arxiv.org/abs/2304.14772

    Example:
        >>> from ot_gen import Empirical, SquaredEuclidean, exact_plan, standard_gaussian
        >>> zeta, nu = standard_gaussian(1), Empirical(torch.randn(50, 1))
        >>> z, y = PlanPairing(exact_plan, size=32)(zeta, nu, SquaredEuclidean(), 32)
        >>> bool((y[z.argsort(dim=0)[:, 0]].diff(dim=0) >= 0).all())  # on the line it is monotone
        True
    """

    held: Tensor
    left: Tensor

    def __init__(self, plan: Callable[[Tensor], Plan], size: Count = 256) -> None:
        super().__init__()
        tried(plan, "PlanPairing")
        self.plan = plan
        self.size = size
        # Pairs (z, y) that are made and not yet drawn: the last `left` rows. A training that is resumed has them.
        self.register_buffer("held", torch.zeros(0, 2, 0))
        self.register_buffer("left", torch.zeros((), dtype=torch.int64))

    def bind(self, zeta: Measure, nu: Measure, cost: Cost) -> None:
        super().bind(zeta, nu, cost)
        with undisturbed(nu):
            like = nu.sample(1)
        self.held = like.new_zeros(self.size, 2, nu.dim)
        self.left = like.new_zeros((), dtype=torch.int64)

    @torch.no_grad()
    @checked
    def forward(self, zeta: Measure, nu: Measure, cost: Cost, n: Count) -> tuple[Tensor, Tensor]:
        if n > self.size or self.held.shape[2] != nu.dim or not self._is_of(zeta, nu, cost):
            z, y = self._pairs(zeta, nu, cost, max(n, self.size))
            return z[:n], y[:n]
        parts = []
        while n:
            if not int(self.left):
                self.held.copy_(torch.stack(self._pairs(zeta, nu, cost, self.size), dim=1))
                self.left.fill_(self.size)
            left = int(self.left)
            taken = min(n, left)
            parts.append(self.held[self.size - left : self.size - left + taken].clone())
            self.left -= taken
            n -= taken
        z, y = torch.cat(parts).unbind(dim=1)
        return z, y

    def _pairs(self, zeta: Measure, nu: Measure, cost: Cost, size: int) -> tuple[Tensor, Tensor]:
        z, y = zeta.sample(size), nu.sample(size)
        i, j = self.plan(cost.matrix(z, y)).draw(size)
        return z[i], y[j]

    def extra_repr(self) -> str:
        return f"{getattr(self.plan, '__name__', repr(self.plan))}, size={self.size}"
