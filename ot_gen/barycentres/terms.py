"""Σ_k λ_k W_c(μ, ν_k) as one solver: `fit` trains a generator towards several measures as towards one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from ot_gen.arguments import Count, Index, Nonnegative, Vector, checked
from ot_gen.costs import Cost
from ot_gen.couplings import Estimate
from ot_gen.execution import OptimizerFactory
from ot_gen.measures import Measure, check_weights
from ot_gen.potentials import DiscretePotential, NaturalDescent
from ot_gen.solvers import Solver


@final
@checked
class Measures(Measure):
    """Several measures ν_k with weights λ_k, as the one `nu` of a `SumSolver`. Its samples are those of Σ_k λ_k ν_k.

    Args:
        parts: ν_k, of one dimension.
        weights: λ_k, (K,), masses of total 1.

    Raises:
        ValueError: weights that are not one mass for each measure, or measures of different dimension.

    Example:
        >>> from ot_gen import standard_gaussian
        >>> Measures([standard_gaussian(2), standard_gaussian(2)], torch.tensor([0.5, 0.5])).sample(6).shape
        torch.Size([6, 2])
    """

    weights: Tensor

    def __init__(self, parts: Sequence[Measure], weights: Vector) -> None:
        super().__init__()
        check_weights(weights, len(parts))
        if len({part.dim for part in parts}) != 1:
            raise ValueError(f"measures must lie in one space, got dimensions {[part.dim for part in parts]}")
        self.parts = nn.ModuleList(parts)
        self.register_buffer("weights", weights)
        self.dim = parts[0].dim

    def part(self, k: Index) -> Measure:
        """ν_k."""
        part = self.parts[k]
        assert isinstance(part, Measure)
        return part

    def sample(self, n: Count) -> Tensor:
        """n independent draws of Σ_k λ_k ν_k, (n, d), in random order."""
        chosen = torch.multinomial(self.weights, n, replacement=True)
        counts = torch.bincount(chosen, minlength=len(self.parts)).tolist()
        drawn = [self.part(k).sample(count) for k, count in enumerate(counts) if count]
        points = torch.cat(drawn)
        return points[torch.randperm(n, device=points.device)]


@final
@checked
class SumSolver(Solver):
    """E(θ) = Σ_k λ_k E_k(θ), E_k(θ) = W_c(μ_θ, ν_k) held by a solver of its own.

    θ descends the weighted sum of the terms' values, and each ξ its own part: nothing is added to the loop.

    Args:
        terms: one solver for each measure of `Measures`, in their order, of one kind and one cost and with equal
            `inner_steps` and `warmup_steps`. No part of one may be a part of another.

    Raises:
        ValueError: solvers that do not go together; when prepared, another number of measures.

    Example:
        >>> from ot_gen import Pushforward, fit, standard_gaussian, uniform_cube
        >>> from ot_gen import MLP, MatchedPlanCoupling, PrimalSolver, SquaredEuclidean, exact_plan
        >>> nus = Measures([standard_gaussian(2), uniform_cube(2)], torch.tensor([0.5, 0.5]))
        >>> terms = [PrimalSolver(SquaredEuclidean(), MatchedPlanCoupling(exact_plan)) for _ in nus.parts]
        >>> progress = fit(Pushforward(MLP(2, 2), standard_gaussian(2)), nus, SumSolver(terms), steps=2, batch_size=16)
        >>> progress.step
        2
    """

    def __init__(self, terms: Sequence[Solver]) -> None:
        super().__init__()
        if not terms:
            raise ValueError("a SumSolver needs solvers, got none; give one for each measure")
        first = terms[0]
        for name in ("sense", "inner_steps", "warmup_steps"):
            values = [getattr(term, name) for term in terms]
            if len(set(values)) > 1:
                raise ValueError(f"the terms of a SumSolver must agree in {name}, got {values}; make them alike")
        if len(kinds := {type(term.xi).__name__ for term in terms}) > 1:
            raise ValueError(f"the terms of a SumSolver must be of one kind, got {' and '.join(sorted(kinds))}")
        if len({id(term.xi) for term in terms}) < len(terms):
            raise ValueError("two terms of this SumSolver share one coupling or potential; give each measure its own")
        self.terms = nn.ModuleList(terms)
        self.cost: Cost = first.cost
        self.sense = first.sense
        self.inner_steps = first.inner_steps
        self.warmup_steps = first.warmup_steps

    @property
    def xi(self) -> Any:
        # No coupling of its own, but what a loop asks of one: the parameters of all terms, and their mode.
        return nn.ModuleList(term.xi for term in self._solvers)

    def optimizer(self) -> OptimizerFactory | None:
        tables = [term.xi for term in self._solvers if isinstance(term.xi, DiscretePotential)]
        return partial(NaturalDescent, potential=tables) if tables else self._solvers[0].optimizer()

    def prepare(self, mu: Measure, nu: Measure) -> None:
        for _, term, part in self._parts(nu):
            term.prepare(mu, part)

    def forward(self, mu: Measure, nu: Measure, n: Count) -> Estimate:
        estimates = [(share, term(mu, part, n)) for share, term, part in self._parts(nu)]
        value = torch.stack([share * estimate.value for share, estimate in estimates]).sum()
        # Each ξ descends its own part with the weight of its term, and so does its penalty: Adam does not see it, a
        # natural step becomes shorter.
        return Estimate(value, torch.stack([share * estimate.penalty for share, estimate in estimates]).sum())

    @property
    def is_settled(self) -> bool:
        return all(term.is_settled for term in self._solvers)

    def settle(self, mu: Measure, nu: Measure, keep: Path | None, resume: Path | None) -> None:
        for _, term, part in self._parts(nu):
            if not term.is_settled:
                term.settle(mu, part, None, None)  # one file is for one solve: these begin anew

    def at(self, fraction: Nonnegative) -> None:
        for term in self._solvers:
            term.at(fraction)

    def project(self) -> None:
        for term in self._solvers:
            term.project()

    def diagnostics(self) -> dict[str, float]:
        return {f"{name}_{k}": value for k, t in enumerate(self._solvers) for name, value in t.diagnostics().items()}

    @property
    def _solvers(self) -> list[Solver]:
        return [term for term in self.terms if isinstance(term, Solver)]

    def _parts(self, nu: Measure) -> list[tuple[float, Solver, Measure]]:
        """The weight, the solver and the measure of each term."""
        if not isinstance(nu, Measures) or len(nu.parts) != len(self.terms):
            had = f"{len(nu.parts)} measures" if isinstance(nu, Measures) else f"a {type(nu).__name__}"
            raise ValueError(
                f"this SumSolver has {len(self.terms)} terms and got {had}; give as nu Measures of as many"
            )
        parts = [nu.part(k) for k in range(len(nu.parts))]
        return list(zip(nu.weights.tolist(), self._solvers, parts, strict=True))
