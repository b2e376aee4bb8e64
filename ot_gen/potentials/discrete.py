"""The potential as a table over the atoms, with its natural step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Annotated, Any, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ot_gen.arguments import Interval, Nonnegative, checked, described
from ot_gen.costs import Cost
from ot_gen.execution import OptimizerFactory
from ot_gen.measures import Empirical, Measure, Pixels
from ot_gen.potentials.potential import Potential, check_problem
from ot_gen.semidual import c_transform, natural
from ot_gen.semidual.scores import Scores

KEPT_BYTES = 2**28  # of atoms as floats


@final
@checked
class DiscretePotential(Potential):
    """A table h̃ over the atoms of ν, with h its c-transform: semi-discrete optimal transport, for any cost.

        h(x) = min_j c(x, y_j) − h̃_j            D(h̃) = E h(x) + Σ_j b_j h̃_j <= W_c(μ, ν)

    ∂D/∂h̃_j = b_j − P(argmin = j) vanishes when every cell receives exactly its mass. A table far from that sends
    every x to near neighbours of the data, and θ collapses. So keep the inner problem solved (`inner_steps` and
    `warmup_steps` of `DualSolver`) and watch `cell_mass_error`.

    While ξ moves, h is the soft c-transform with ε > 0: each x informs many atoms, and h still bounds W_c from below.
    ε is not chosen. It is steered until `concentration` atoms compete for each x. The optimizer that the potential asks
    for is `NaturalDescent`, which has no learning rate to find. While θ moves, and in evaluation, h is the exact
    (hard) c-transform. Bound again to as many atoms, it keeps its table, as a warm start.

    Args:
        concentration: the number of atoms, > 1, that compete for a sample while ξ moves, as
            mean_i Σ_j exp((min_j' s_ij' − s_ij) / ε) with s_ij = c(x_i, y_j) − h̃_j.

    Raises:
        ValueError: when bound to data that have no atoms (a law that is sampled afresh), or to an atom of mass 0.

    Source: Genevay, Cuturi, Peyré, Bach, 2016, https://arxiv.org/abs/1605.08527

    Example:
        >>> from ot_gen import SquaredEuclidean
        >>> nu = Empirical(torch.eye(2))
        >>> h = DiscretePotential()
        >>> h.bind(nu, nu, SquaredEuclidean())
        >>> h(torch.zeros(3, 2)).shape
        torch.Size([3])
    """

    kind = "table"
    bound = "lower"

    epsilon: Tensor
    smallest: Tensor
    collisions: Tensor

    def __init__(self, concentration: Annotated[float, Interval(1, open="(")] = 100.0) -> None:
        super().__init__()
        self.concentration = concentration
        self.transform = _Transform()
        self.h_tilde = nn.Parameter(torch.empty(0))
        self.register_buffer("epsilon", torch.zeros(()))
        self.register_buffer("smallest", torch.zeros(()))
        self.register_buffer("collisions", torch.ones(()))
        self._problem: tuple[Empirical, Cost] | None = None
        self._floats: Tensor | None = None

    def bind(self, mu: Measure, nu: Measure, cost: Cost) -> None:
        check_problem(mu, nu)
        if not isinstance(nu, Empirical):
            raise ValueError(
                f"a DiscretePotential needs the atoms of an Empirical, got {nu}, which is sampled afresh; "
                "fix a training set (toy(law, size=2000)) or use a Critic"
            )
        if not bool((nu.weights > 0).all()):
            raise ValueError(f"{int((nu.weights <= 0).sum())} atoms have mass 0, so no cell is theirs; remove them")
        self.dim = nu.dim
        self._problem, self._floats = (nu, cost), None
        if len(self.h_tilde) != len(nu):
            self._start(mu, nu, cost)

    @torch.no_grad()
    def _start(self, mu: Measure, nu: Empirical, cost: Cost) -> None:
        x = mu.sample(min(512, len(nu)))
        start = natural.initial((costs for _, costs in Scores(cost, nu.rows).costs(x)), nu.weights)
        self.h_tilde = nn.Parameter(start.h_tilde)
        self.epsilon, self.smallest, self.collisions = nu.weights.new_tensor([start.epsilon, start.smallest, 1.0])

    def forward(self, x: Tensor) -> Tensor:
        _, cost = self.problem()
        if not (self.training and self.h_tilde.requires_grad):
            h, _ = self.transform(x, cost, self._rows(), self.h_tilde)
            return h
        h, argmin = self.transform(x, cost, self._rows(), self.h_tilde, float(self.epsilon))
        self._steer(x, h.detach(), argmin)
        return h

    @torch.no_grad()
    def _steer(self, x: Tensor, soft: Tensor, argmin: Tensor) -> None:
        """Move ε towards the asked concentration, and account for the masses of the cells."""
        nu, cost = self.problem()
        hard = cost(x, nu.rows[argmin]) - self.h_tilde[argmin]
        competing = float(((hard - soft) / self.epsilon).exp().mean().clamp(1, len(nu)))
        wanted = min(self.concentration, 0.5 * len(nu))
        self.epsilon.fill_(natural.steered(float(self.epsilon), competing, wanted, 0.1, float(self.smallest)))
        n = len(x)
        counts = torch.bincount(argmin, minlength=len(nu)).to(nu.weights)
        pairs = (counts * (counts - 1) / nu.weights).sum() / (n * (n - 1))
        self.collisions.lerp_(pairs, 0.02)

    def conjugate_mean(self, x: Tensor, y: Tensor) -> Tensor:
        nu, _ = self.problem()
        return nu.weights @ self.h_tilde

    def optimizer(self) -> OptimizerFactory:
        return partial(NaturalDescent, potential=self)

    def diagnostics(self) -> dict[str, float]:
        """`cell_mass_error` = Σ_j (p_j − b_j)² / b_j, the χ² distance of the cells' masses p from b, and ε.

        The error is an unbiased estimate from pairs of samples that share a cell, averaged over about fifty steps. It
        is about 0 when solved, and m − 1 when one cell of m equal ones takes everything. It may be slightly negative.
        """
        return {"cell_mass_error": float(self.collisions) - 1, "epsilon": float(self.epsilon)}

    def problem(self) -> tuple[Empirical, Cost]:
        """The data and the cost that `bind` was given."""
        if self._problem is None:
            raise ValueError("this DiscretePotential has no atoms yet: call bind(mu, nu, cost), as `fit` does")
        return self._problem

    def _rows(self) -> Tensor | Pixels:
        """The atoms, which each step reads as a whole: pixels that take little memory as floats, made once."""
        rows = self.problem()[0].rows
        if isinstance(rows, Tensor) or rows.nbytes > KEPT_BYTES:
            return rows
        if self._floats is None or (self._floats.dtype, self._floats.device) != (rows.dtype, rows.device):
            self._floats = rows[:]
        return self._floats

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        if prefix + "floor" in state_dict:  # its name in older checkpoints
            state_dict[prefix + "smallest"] = state_dict.pop(prefix + "floor")
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def extra_repr(self) -> str:
        return f"atoms={len(self.h_tilde)}, concentration={self.concentration:g}"


class _Transform(nn.Module):
    """`c_transform` as a map of rows, which several processes share."""

    by_rows = True

    def forward(
        self, x: Tensor, cost: Cost, y: Tensor | Pixels, h_tilde: Tensor, epsilon: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        return c_transform(cost, x, y, h_tilde, epsilon)


@final
@checked
class NaturalDescent(Optimizer):
    """The natural step on a table of potentials, h̃_j += lr · ε · (b_j − P(j)) / b_j, with P(j) the soft mass of cell j.

    With lr = 1 it is a stochastic Sinkhorn step, linearised at the solution; ε carries the units of the cost.

    Args:
        parameters: the table.
        potential: the `DiscretePotential` that owns it, or a list of those that own the tables.
        lr: a factor that schedules move.

    Example:
        >>> h = DiscretePotential()
        >>> NaturalDescent([h.h_tilde], h).param_groups[0]["lr"]
        1.0
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        potential: DiscretePotential | Sequence[DiscretePotential],
        lr: Nonnegative = 1.0,
    ) -> None:
        refused = isinstance(parameters, Tensor | np.ndarray | str | bytes)
        tables = [] if refused else list(parameters)
        if not tables or not all(isinstance(table, Tensor | dict) for table in tables):
            raise ValueError(
                f"parameters must be a list of tables, e.g. [potential.h_tilde], got {described(parameters)}"
            )
        super().__init__(tables, {"lr": lr})
        self.potentials = [potential] if isinstance(potential, DiscretePotential) else list(potential)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        if closure is not None:
            raise ValueError("NaturalDescent re-evaluates nothing: call step() without a closure")
        owners = {id(potential.h_tilde): potential for potential in self.potentials}
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None:  # a class of which a batch has no points
                    owner = owners[id(table)]
                    natural.step(table, table.grad, owner.problem()[0].weights, group["lr"] * owner.epsilon)
