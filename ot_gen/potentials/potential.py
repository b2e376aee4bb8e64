"""Potentials (h, h̃) with h(x) + h̃(y) <= c(x, y): the dual way to hold the auxiliary variable ξ.

h lives on the model's side and h̃ on the data's, so a trained h is higher on generated samples than on data, and θ
always descends ∫ h(g_θ(z)) dζ(z).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import chain
from typing import Literal

import torch
from torch import Tensor

from ot_gen.arguments import checked
from ot_gen.costs import Cost
from ot_gen.display import Shown
from ot_gen.execution import OptimizerFactory
from ot_gen.measures import Measure


@checked
class Potential(Shown, ABC):
    """A pair (h, h̃), called as x (n, d) -> h(x) (n,).

    `bound` says what E[h(x)] + Σ_j b_j h̃_j is: "lower" if it bounds W_c(μ, ν) from below for every ξ, None if it
    bounds nothing. `dim` is that of the points, None before `bind`.

    Example:
        >>> import torch
        >>> from ot_gen import DiscretePotential, Empirical, SquaredEuclidean
        >>> atoms = Empirical([[0.0], [1.0]])
        >>> h = DiscretePotential()
        >>> h.bind(atoms, atoms, SquaredEuclidean())
        >>> h(torch.rand(3, 1)).shape, h.bound
        (torch.Size([3]), 'lower')
    """

    kind: Literal["table", "network"]
    bound: Literal["lower"] | None = None
    dim: int | None = None

    @staticmethod
    def instead_of(thing: object) -> str:
        """What to give in the place of something else, in the words of an error."""
        return "take one of ot_gen.potentials, e.g. DiscretePotential()"

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """h(x): (n, d) -> (n,)."""

    @abstractmethod
    def conjugate_mean(self, x: Tensor, y: Tensor) -> Tensor:
        """∫ h̃ dν, (): the exact sum where h̃ is a table, else the mean over the sample y (n, d) of ν.

        x (n, d) is the model's sample, with θ's graph: h̃ may be read off it.
        """

    @abstractmethod
    def bind(self, mu: Measure, nu: Measure, cost: Cost) -> None:
        """Take up this problem in the place of any earlier one.

        Binding twice to one problem is binding once. What is trained may stay as a warm start, where it has the size
        that the new problem needs. Nothing of the model, the data and the cost stays. A solver does this in `prepare`,
        hence `fit`.

        Raises:
            ValueError: the potential cannot serve this problem.
        """

    def check(self, x: Tensor, name: str = "x") -> None:
        """Raise a `ValueError` unless x is a cloud (n, dim) of the dtype and on the device of the potential."""
        if x.ndim != 2 or len(x) == 0 or self.dim not in (None, x.shape[1]):
            raise ValueError(
                f"a {type(self).__name__} is asked at points {name} (n, {self.dim or 'd'}), got {tuple(x.shape)}; give "
                "one row a point"
            )
        held = (tensor for tensor in chain(self.parameters(), self.buffers()) if tensor.is_floating_point())
        own = next(held, x)
        if (x.dtype, x.device) != (own.dtype, own.device) and not torch.is_autocast_enabled(x.device.type):
            raise ValueError(
                f"{name} is {x.dtype} on {x.device} and the {type(self).__name__} is {own.dtype} on {own.device}; give "
                f"both one dtype and one device, e.g. {name}.to({own.dtype})"
            )

    def penalty(self, x: Tensor, y: Tensor) -> Tensor:
        """A term of ξ's objective, (); x is the model's sample, detached, and y the data's."""
        return x.new_zeros(())

    def project(self) -> None:
        """Move ξ back into its constraint, after each of its steps."""

    def optimizer(self) -> OptimizerFactory | None:
        """The optimizer that ξ asks for, or None for the caller's choice."""
        return None

    def diagnostics(self) -> dict[str, float]:
        """Named figures that say how well the inner problem is solved."""
        return {}


def check_problem(mu: Measure, nu: Measure) -> None:
    """Raise a `ValueError` unless model and data lie in one space."""
    if mu.dim != nu.dim:
        raise ValueError(
            f"the model lives in dimension {mu.dim} and the data in dimension {nu.dim}; give the generator the data's "
            "dimension as its output"
        )
