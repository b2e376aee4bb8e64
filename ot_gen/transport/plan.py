"""What a transport plan answers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, final

import torch
from torch import Tensor

from ot_gen.arguments import Cloud, Count, checked
from ot_gen.costs import Cost, LabelCost
from ot_gen.display import card, facts, line, record_line, shading
from ot_gen.measures import check_cloud, widened
from ot_gen.transport.bracket import Bracket

MOST_SHOWN = 96  # rows and columns of a picture


@final
class Pairs(NamedTuple):
    """The entries of a sparse plan: P[i_k, j_k] = mass_k > 0, all other entries are 0. Each (k,)."""

    i: Tensor
    j: Tensor
    mass: Tensor

    def __repr__(self) -> str:
        return record_line(self)

    @classmethod
    def of(cls, P: Tensor) -> Pairs:
        """The positive entries of a matrix of masses, (n, m)."""
        i, j = P.nonzero(as_tuple=True)
        return cls(i, j, P[i, j])

    def like(self, C: Tensor) -> Pairs:
        """The same on the device and with masses in the dtype of C."""
        return Pairs(self.i.to(C.device), self.j.to(C.device), self.mass.to(C))


@final
class Dual(NamedTuple):
    """Optimal potentials f (n,), g (m,) of a plan's problem, their value (), and what the primal adds to ⟨P, C⟩, ()."""

    f: Tensor
    g: Tensor
    value: Tensor
    penalty: Tensor

    def __repr__(self) -> str:
        return record_line(self)


@checked
@dataclass(frozen=True, eq=False, repr=False)
class Plan(ABC):
    """A transport plan P >= 0, (n, m), and both sides of the problem that it solves.

        min over P of ⟨P, C⟩ + penalty(P)  =  max over (f, g) of D(f, g)

    Each function that makes a plan states its penalty and its D. Only `cost_of` and `barycentric` carry a graph, and
    they treat P as a constant. By the envelope theorem the gradient of the problem's value in the points is that of
    ⟨P, C⟩ with P held fixed.

    Attributes:
        C: the costs, (n, m).
        bound: "upper" if P joins its two masses: ⟨P, C⟩ is then >= the cost of transport between them. None if P drops
            or reweights mass: ⟨P, C⟩ then bounds nothing.
        solve_dual: computes the `Dual`; called once, when it is first asked for.

    Source: Peyré, Cuturi, 2019, https://arxiv.org/abs/1803.00567

    Example:
        >>> from ot_gen import exact_plan
        >>> plan = exact_plan([[0.0, 4.0], [1.0, 1.0]])
        >>> plan.value, plan.dual_value, plan.bound
        (tensor(0.5000), tensor(0.5000), 'upper')
    """

    C: Tensor
    bound: Literal["upper"] | None
    solve_dual: Callable[[], Dual]

    @property
    @abstractmethod
    def matrix(self) -> Tensor:
        """P, (n, m)."""

    @property
    @abstractmethod
    def value(self) -> Tensor:
        """⟨P, C⟩ = Σ_ij P_ij C_ij, ()."""

    @property
    @abstractmethod
    def marginals(self) -> tuple[Tensor, Tensor]:
        """(P 1 (n,), Pᵀ 1 (m,))."""

    @abstractmethod
    def cost_of(self, cost: Cost, x: Cloud, y: Cloud) -> Tensor:
        """Σ_ij P_ij c(x_i, y_j), (), differentiable in x (n, d), y (m, d) and the cost, with P held fixed."""

    @property
    def mass(self) -> Tensor:
        """The mass that is transported, Σ_ij P_ij, ()."""
        return self.marginals[0].sum()

    @cached_property
    def _dual(self) -> Dual:
        return Dual(*(part.to(self.C) for part in self.solve_dual()))

    @property
    def potentials(self) -> tuple[Tensor, Tensor]:
        """The optimal (f (n,), g (m,)) of the same problem."""
        return self._dual.f, self._dual.g

    @property
    def dual_value(self) -> Tensor:
        """D(f, g), (): equal to `value` + `penalty` up to the solver's tolerance, and never above it."""
        return self._dual.value

    @property
    def penalty(self) -> Tensor:
        """What the problem adds to ⟨P, C⟩, (); 0 for exact and partial plans."""
        return self._dual.penalty

    @property
    def bracket(self) -> Bracket:
        """D(f, g) <= value of the problem <= ⟨P, C⟩ + penalty, as numbers."""
        return Bracket(lower=float(self.dual_value), upper=float(self.value + self.penalty))

    def __repr__(self) -> str:
        return line(type(self).__name__, *self._words())

    def _repr_html_(self) -> str:
        n, m = self.C.shape
        # The dual is a solve of its own: it is shown where somebody asked for it.
        lower = f"{float(self.dual_value):.6g}" if "_dual" in self.__dict__ else None
        picture = facts({"dual value": lower, "bounds": self.bound and "the cost of transport from above"})
        picture += shading(self._shares(min(n, MOST_SHOWN), min(m, MOST_SHOWN)))
        return card("Transport plan", ", ".join(self._words()), picture)

    def _words(self) -> list[str]:
        n, m = self.C.shape
        return [f"{n:,} x {m:,}", f"value={float(self.value):.6g}", f"mass={float(self.mass):.6g}"]

    def _shares(self, rows: int, columns: int) -> Tensor:
        """The masses of so many blocks of rows and of columns, (rows, columns)."""
        strips = torch.stack([part.sum(dim=0) for part in self.matrix.detach().tensor_split(rows)])
        return torch.stack([part.sum(dim=1) for part in strips.tensor_split(columns, dim=1)], dim=1)

    @property
    @abstractmethod
    def pairs(self) -> Pairs:
        """The entries that are not 0, row by row."""

    @torch.no_grad()
    @checked
    def draw(self, n: Count) -> tuple[Tensor, Tensor]:
        """n pairs (i, j) with probabilities P_ij / Σ P, (n,) each, in random order, one from each n-th of the mass.

        So row i comes n p_i times, to less than 1 and where its mass is a multiple of Σ P / n exactly: a permutation
        of n points gives each pair once.

        Raises:
            ValueError: the plan carries no mass.

        Example:
            >>> from ot_gen import exact_plan
            >>> i, j = exact_plan(torch.tensor([[3.0, 1.0], [1.0, 2.0]])).draw(2)
            >>> sorted(zip(i.tolist(), j.tolist()))
            [(0, 1), (1, 0)]
        """
        i, j, mass = self.pairs
        shares = mass.double().cumsum(0)
        if not len(shares) or not float(shares[-1]) > 0:
            raise ValueError("this plan carries no mass, so there are no pairs; let it carry some")
        # Ends of parts are left out: there rounding could take one row twice.
        parts = torch.rand(n, dtype=torch.float64, device=mass.device).clamp_(1e-6, 1 - 1e-6)
        places = (torch.randperm(n, device=mass.device) + parts) / n
        chosen = torch.searchsorted(shares, places * shares[-1]).clamp_max_(len(shares) - 1)
        return i[chosen], j[chosen]

    def barycentric(self, y: Cloud) -> Tensor:
        """The barycentric map T(x_i) = Σ_j P_ij y_j / Σ_j P_ij, (n, d), of points y (m, d).

        A row without mass has no such mean. There the potentials extend the map: T(x_i) = y_j, where j minimises
        C_ij − g_j.
        """
        check_cloud(y, "y")
        if len(y) != self.C.shape[1]:
            raise ValueError(f"y must hold the {self.C.shape[1]} points of the columns of C, got {tuple(y.shape)}")
        y = widened(y)
        p, _ = self.marginals
        mean = self._row_sums(y) / torch.where(p > 0, p, 1.0)[:, None]
        if bool((p > 0).all()):
            return mean
        nearest = (self.C - self.potentials[1]).argmin(dim=1)
        return torch.where(p[:, None] > 0, mean, y[nearest])

    def _check_sizes(self, x: Tensor, y: Tensor) -> None:
        if (len(x), len(y)) != self.C.shape:
            raise ValueError(
                f"a plan {tuple(self.C.shape)} joins x (n, d) and y (m, d) of that many points, got {tuple(x.shape)} "
                f"and {tuple(y.shape)}"
            )

    @abstractmethod
    def _row_sums(self, y: Tensor) -> Tensor:
        """P y, (n, d)."""


@final
@checked
@dataclass(frozen=True, eq=False, repr=False)
class SparsePlan(Plan):
    """A plan with few entries, as the vertices of the transport polytope: at most n + m − 1 of n m are not 0.

    Example:
        >>> from ot_gen import exact_plan
        >>> plan = exact_plan(torch.tensor([[3.0, 1.0], [1.0, 2.0]]))
        >>> plan.pairs.j, float(plan.value)
        (tensor([1, 0]), 1.0)
    """

    entries: Pairs

    @property
    def pairs(self) -> Pairs:
        return self.entries

    def _words(self) -> list[str]:
        first, *others = super()._words()
        return [first, f"{len(self.pairs.mass):,} pairs", *others]

    def _shares(self, rows: int, columns: int) -> Tensor:
        i, j, mass = self.pairs
        n, m = self.C.shape
        places = (i * rows // n) * columns + j * columns // m
        return mass.new_zeros(rows * columns).index_add(0, places, mass).reshape(rows, columns)

    @property
    def matrix(self) -> Tensor:
        P = torch.zeros_like(self.C)
        P[self.pairs.i, self.pairs.j] = self.pairs.mass
        return P

    @property
    def value(self) -> Tensor:
        return self.pairs.mass @ self.C[self.pairs.i, self.pairs.j]

    @property
    def marginals(self) -> tuple[Tensor, Tensor]:
        i, j, mass = self.pairs
        n, m = self.C.shape
        return mass.new_zeros(n).index_add(0, i, mass), mass.new_zeros(m).index_add(0, j, mass)

    def cost_of(self, cost: Cost, x: Cloud, y: Cloud) -> Tensor:
        self._check_sizes(x, y)
        i, j, mass = self.pairs
        # k <= n + m − 1 paired costs: no graph through the (n, m) matrix.
        return mass @ cost(x.index_select(0, i), y.index_select(0, j))

    def _row_sums(self, y: Tensor) -> Tensor:
        i, j, mass = self.pairs
        sums = mass[:, None] * y[j]
        return sums.new_zeros(len(self.C), y.shape[1]).index_add(0, i, sums)


@final
@checked
@dataclass(frozen=True, eq=False, repr=False)
class DensePlan(Plan):
    """A plan with all entries, as entropic plans have. Pairs whose cost is ∞ carry no mass.

    Example:
        >>> from ot_gen import sinkhorn_plan
        >>> plan = sinkhorn_plan(torch.tensor([[3.0, 1.0], [1.0, 2.0]]), epsilon=10.0)
        >>> bool((plan.matrix > 0.2).all())
        True
    """

    P: Tensor

    @property
    def pairs(self) -> Pairs:
        return Pairs.of(self.P)

    @property
    def matrix(self) -> Tensor:
        return self.P

    @property
    def value(self) -> Tensor:
        return (self.P * torch.where(torch.isposinf(self.C), 0, self.C)).sum()

    @property
    def marginals(self) -> tuple[Tensor, Tensor]:
        return self.P.sum(dim=1), self.P.sum(dim=0)

    def cost_of(self, cost: Cost, x: Cloud, y: Cloud) -> Tensor:
        self._check_sizes(x, y)
        if isinstance(cost, LabelCost) and cost.weight == math.inf:  # no mass leaves a class
            cost, x, y = cost.within, x[:, :-1], y[:, :-1]
        form = cost.bilinear(y)
        if form is None:
            return (self.P * cost.matrix(x, y)).sum()
        # Σ_ij P_ij (u_i·v_j + r_i + s_j) needs P v alone, for ‖x − y‖² the barycentres: no graph through the matrix.
        (u, r), (v, s) = form.left(x), form.right(y)
        P = self.P.to(u)
        return (u * (P @ v)).sum() + P.sum(dim=1) @ r + P.sum(dim=0) @ s

    def _row_sums(self, y: Tensor) -> Tensor:
        dtype = torch.promote_types(self.P.dtype, y.dtype)
        return self.P.to(dtype) @ y.to(dtype)
