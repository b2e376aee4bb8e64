"""What a semi-discrete solve returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from ot_gen.arguments import checked
from ot_gen.costs import Cost
from ot_gen.display import Span, card, cut, facts, spans, with_error
from ot_gen.execution import Ending
from ot_gen.measures import Empirical
from ot_gen.semidual.scores import Scores
from ot_gen.semidual.transform import c_transform, widened_to
from ot_gen.transport import Bracket


@final
@dataclass(frozen=True, repr=False)
@checked
class SemidiscreteSolution:
    """A table h̃ over the atoms of ν, and what held-out samples say about it.

    Attributes:
        h_tilde: h̃, (m,), with Σ_j b_j h̃_j = 0; `ot_gen.c_transform` turns it into h. It has the dtype of the atoms, or
            is float64 where rounding to theirs would move more mass than was asked for.
        lower, lower_se: E[min_j c(x, y_j) − h̃_j] + Σ_j b_j h̃_j <= W_c(μ, ν), estimated without bias, and its
            standard error.
        upper, upper_se: the cost of a feasible coupling of fresh samples with ν, >= W_c(μ, ν) in expectation, and its
            standard error. Computed when first asked for, on samples drawn with the others.
        marginal_error, marginal_error_se: ‖P − b‖₁ on held-out samples, the noise of counting removed; P holds the
            masses of the cells (soft ones if ε > 0). Where geometry gives P exactly, the second number is what rounding
            in the dtype of the atoms adds.
        masses, barycentres: P as counted, (m,), and E[x | cell], (m, d), NaN for a cell without samples; barycentres
            are None where the atoms are too large to keep a copy.
        reweighted: the masses that the cells should have, (m,): b, or where `marginals` let b be left, what is left of
            it. `marginal_error` is then the distance from these.
        epsilon: ε of the problem.
        samples, iterations, seconds: what the steps took, without the final evaluation.
        converged: whether all that was asked for is certified.
        ending, message: how the solve ended. A solve that the user stopped may still be certified.

    Example:
        >>> from ot_gen import SquaredEuclidean, semidiscrete, standard_gaussian
        >>> nu = Empirical(torch.eye(2))
        >>> solution = semidiscrete(standard_gaussian(2), nu, SquaredEuclidean(), tol=0.1)
        >>> solution.map(torch.tensor([[2.0, 0.0]]))
        tensor([[1., 0.]])
    """

    cost: Cost
    nu: Empirical
    h_tilde: Tensor
    epsilon: float
    lower: float
    lower_se: float
    marginal_error: float
    marginal_error_se: float
    masses: Tensor
    reweighted: Tensor
    barycentres: Tensor | None
    samples: int
    iterations: int
    seconds: float
    converged: bool
    ending: Ending
    message: str
    coupling: Callable[[], Bracket]

    @cached_property
    def bracket(self) -> Bracket:
        """lower and upper with their standard errors."""
        return self.coupling()

    @property
    def upper(self) -> float:
        """The upper value."""
        return self.bracket.upper

    @property
    def upper_se(self) -> float:
        """Its standard error."""
        return self.bracket.upper_se

    @property
    def gap(self) -> float:
        """The relative duality gap (upper − lower) / |upper|."""
        return self.bracket.gap

    def potential(self, x: Tensor) -> Tensor:
        """h(x), the c-transform of h̃ (the soft one if ε > 0): (n, d) -> (n,), differentiable in x."""
        return c_transform(self.cost, x, self.nu.rows, self.h_tilde, self.epsilon)[0]

    @torch.no_grad()
    @checked
    def map(self, x: Tensor) -> Tensor:
        """Where the plan sends x, (n, d) -> (n, d): the atom of its cell, or for ε > 0 the plan's mean at x."""
        if self.epsilon == 0:
            return self.nu.rows[c_transform(self.cost, x, self.nu.rows, self.h_tilde)[1]]
        atoms = widened_to(self.h_tilde, self.nu.atoms)
        soft = Scores(self.cost, atoms).soft(widened_to(self.h_tilde, x), self.h_tilde, self.epsilon)
        return torch.cat([w.unsqueeze(1) * (z @ atoms) for z, w in soft]).to(x)

    def __repr__(self) -> str:
        return cut(
            f"SemidiscreteSolution(lower={self.lower:.6g} ± {self.lower_se:.1g}, "
            f"marginal_error={self.marginal_error:.3g} ± {self.marginal_error_se:.1g}, "
            f"converged={self.converged}: {self.message})"
        )

    def _repr_html_(self) -> str:
        known = self.__dict__.get("bracket")  # a coupling takes a while: it is shown where somebody asked for it
        upper = None if known is None else with_error(known.upper, known.upper_se)
        bar = "" if known is None else spans([Span("lower … upper", known.lower, known.upper)])
        values = {
            "lower value": with_error(self.lower, self.lower_se),
            "upper value": upper or "not computed yet: .upper",
            "error of the masses, ‖P − b‖₁": with_error(self.marginal_error, self.marginal_error_se),
            "atoms": f"{len(self.h_tilde):,} in dimension {self.nu.dim}",
            "epsilon": f"{self.epsilon:.4g}" if self.epsilon else None,
            "cost": repr(self.cost),
            "effort": f"{self.samples:,} samples, {self.iterations:,} steps, {self.seconds:.3g} s",
        }
        doubt = "" if self.converged else f"Not converged: {self.message}"
        return card("Semi-discrete solution", self.message if self.converged else "", bar, facts(values), note=doubt)
