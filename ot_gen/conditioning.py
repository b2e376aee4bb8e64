"""Generation by class: how the parts of a problem become those of Σ_k p_k W_c(μ_k, ν_k)."""

from __future__ import annotations

import copy
import math
from typing import Annotated

from torch import nn

from ot_gen.arguments import Count, Interval, checked
from ot_gen.costs import LabelCost
from ot_gen.couplings import (
    Coupling,
    DebiasedPlanCoupling,
    EncoderCoupling,
    LabelPairing,
    PlanCoupling,
    VelocityRegression,
)
from ot_gen.divergences import AdversarialJS, ByLabel, Divergence, MinibatchWeightedKL, StratifiedKL, WeightedSum
from ot_gen.measures import WithLabel
from ot_gen.networks import Conditional, FlowMap, LabelledVelocity
from ot_gen.potentials import BatchCritic, Critic, LabelPotential, Potential
from ot_gen.solvers import DualSolver, PrimalSolver, Solver

Weight = Annotated[float, Interval(0, math.inf, "(]")]


@checked
def by_label(solver: Solver, classes: Count, weight: Weight = math.inf) -> Solver:
    """The solver of the same problem between labelled rows (x, k), for the cost c(x, y) + w [k ≠ l].

        E(θ) = W(μ, ν) = Σ_k p_k W_c(μ_k, ν_k)      for w = ∞

    Plans, pairings and tables decompose into those of the classes. Encoders and critics are told the class
    (`Conditional`), and a divergence of codes becomes that of the codes of each class (`ByLabel`).

    Args:
        solver: of points without their class; its networks are copied or shared, so use it no more.
        classes: K.
        weight: w. A finite one is for plans between batches alone.

    Returns:
        A solver for a model `Pushforward(with_classes(g, K), Labelled(zeta, shares))` and `LabelledData`.

    Raises:
        ValueError: a part that knows no classes, which are an `ImportanceCoupling` and divergences that need densities
            of codes, one that is told them already, or a finite weight where classes cannot mix. When it is prepared,
            data with another number of classes.

    Source: Mirza, Osindero, 2014, https://arxiv.org/abs/1411.1784; Cheng, Schwing, 2025,
        https://arxiv.org/abs/2503.10636

    Example:
        >>> import torch
        >>> from ot_gen import MLP, Empirical, Labelled, LabelledData, Pushforward, SquaredEuclidean, exact_plan, fit
        >>> from ot_gen import standard_gaussian
        >>> nu = LabelledData(Empirical(torch.randn(20, 2)), torch.arange(20) % 2)
        >>> mu = Pushforward(with_classes(MLP(2, 2), 2), Labelled(standard_gaussian(2), nu.shares))
        >>> solver = by_label(PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan)), 2)
        >>> _ = fit(mu, nu, solver, steps=2, batch_size=8)
        >>> mu.in_own_units().given(1).sample(3).shape
        torch.Size([3, 2])
    """
    cost = LabelCost(solver.cost, weight, classes)
    if isinstance(solver, DualSolver):
        _check_infinite(weight, "a potential")
        return DualSolver(cost, _potential(solver.potential, classes), solver.inner_steps, solver.warmup_steps)
    assert isinstance(solver, PrimalSolver)
    return PrimalSolver(cost, _coupling(solver.coupling, classes, weight))


@checked
def with_classes(map: nn.Module, classes: Count) -> nn.Module:
    """A generator that is told the class of a point: rows (z, k) -> (g(z; k), k).

    Args:
        map: g, (n, k) -> (n, d), or a decoder with noise; of a flow, one whose velocity takes labels.
        classes: K.

    Raises:
        ValueError: a network to which no class can be told, or one that is told it already.

    Example:
        >>> import torch
        >>> from ot_gen import MLP
        >>> with_classes(MLP(2, 3), 10)(torch.tensor([[0.5, 0.5, 7.0]])).shape
        torch.Size([1, 4])
    """
    if getattr(map, "keeps_label", False):
        raise ValueError(f"this {type(map).__name__} is told the class already; give the map of points without it")
    if not isinstance(map, FlowMap):
        return WithLabel(Conditional(map, classes))
    held = getattr(getattr(map.velocity, "conditions", None), "classes", None)
    if held != classes:
        raise ValueError(
            f"the velocity {type(map.velocity).__name__} was made for {held or 'no'} classes, and there are {classes}; "
            f"give it classes={classes}"
        )
    return FlowMap(LabelledVelocity(map.velocity), map.steps, map.method, map.rtol, map.atol)


def _coupling(coupling: Coupling, classes: int, weight: float) -> Coupling:
    if isinstance(coupling, PlanCoupling | DebiasedPlanCoupling):
        return coupling
    _check_infinite(weight, "an encoder, or a pairing,")
    if isinstance(coupling, VelocityRegression):
        return VelocityRegression(LabelPairing(coupling.pairing, classes))
    if isinstance(coupling, EncoderCoupling):
        encoder = WithLabel(Conditional(coupling.encoder, classes))
        return EncoderCoupling(encoder, _divergence(coupling.divergence, classes), coupling.weight, coupling.schedule)
    raise ValueError(
        f"{type(coupling).__name__} knows no classes; take an EncoderCoupling, a VelocityRegression or a plan between "
        "batches, or train without them"
    )


def _divergence(divergence: Divergence, classes: int) -> Divergence:
    if isinstance(divergence, WeightedSum):
        terms = [_divergence(term, classes) for term in divergence.terms if isinstance(term, Divergence)]
        return WeightedSum(terms, divergence.weights)
    if isinstance(divergence, MinibatchWeightedKL | StratifiedKL):
        raise ValueError(
            f"{type(divergence).__name__} needs densities of all codes of a batch, and knows no classes; use KL or MMD"
        )
    if isinstance(divergence, AdversarialJS):
        return AdversarialJS(Conditional(divergence.discriminator, classes))
    return ByLabel(divergence)


def _potential(potential: Potential, classes: int) -> Potential:
    if not isinstance(potential, Critic | BatchCritic):
        return LabelPotential(potential, classes)
    critic = copy.deepcopy(potential)
    critic.net = Conditional(critic.net, classes)
    return critic


def _check_infinite(weight: float, what: str) -> None:
    if weight != math.inf:
        raise ValueError(f"{what} never mixes classes, got a weight of {weight:g} between them; leave it at infinity")
