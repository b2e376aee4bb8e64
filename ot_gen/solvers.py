"""The two solvers of min over θ of E(θ) = W_c(g_θ#ζ, ν): through couplings (primal) and through potentials (dual).

One rule drives both: θ descends `value`, ξ descends `sense · value + penalty`, with sense = +1 (primal: ξ minimises)
or −1 (dual: ξ maximises). `penalty` never depends on θ.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from pathlib import Path
from typing import final

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from ot_gen.arguments import Count, Index, Nonnegative, checked
from ot_gen.costs import Cost, LabelCost
from ot_gen.couplings import Coupling, Estimate
from ot_gen.display import Shown
from ot_gen.execution import OptimizerFactory
from ot_gen.measures import Labelled, LabelledData, Measure, Pushforward, joint, undisturbed
from ot_gen.potentials import Potential


@checked
class Solver(Shown, ABC):
    """E(θ) = W_c(μ_θ, ν), held by an auxiliary variable ξ; `solver(mu, nu, n)` is a sampled estimate of E(θ).

    Attributes:
        sense: +1 if ξ minimises the value, −1 if it maximises it.
        inner_steps: steps of ξ before each step of θ; 0 means that both move together on one estimate.
        warmup_steps: outer steps at the start in which θ rests and only ξ moves.

    Example:
        >>> from ot_gen import PlanCoupling, PrimalSolver, SquaredEuclidean, exact_plan
        >>> solver = PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan))
        >>> solver.sense, solver.xi.bound
        (1, 'upper')
    """

    sense: int
    cost: Cost
    inner_steps: int
    warmup_steps: int

    @property
    @abstractmethod
    def xi(self) -> Coupling | Potential:
        """The coupling or potential whose parameters are ξ."""

    def optimizer(self) -> OptimizerFactory | None:
        """The optimizer that ξ asks for, or None for the caller's choice."""
        return None

    @abstractmethod
    def forward(self, mu: Measure, nu: Measure, n: Count) -> Estimate:
        """(value, penalty) from n samples of μ and of ν."""

    def prepare(self, mu: Measure, nu: Measure) -> None:
        """Bind ξ to this problem, once μ, ν and the cost are known to fit. The caller's random state stays as it was.

        `fit` does it. A solver that served another model before keeps nothing of it but what ξ itself has learned.

        Raises:
            ValueError: dimensions or kinds that do not fit.
        """
        check_classes(mu, nu, self.cost)
        if mu.dim != nu.dim:
            raise ValueError(
                f"the model lives in dimension {mu.dim} and the data in dimension {nu.dim}; "
                "give the generator the data's dimension as its output"
            )
        with undisturbed(mu, nu, self):
            x, y = mu.sample(2), nu.sample(2)
            if (x.dtype, x.device) != (y.dtype, y.device):
                raise ValueError(
                    f"the model makes {x.dtype} points on {x.device} and the data are {y.dtype} on {y.device}; "
                    "give both one dtype and one device, e.g. atoms.float()"
                )
            try:
                shape = self.cost.decoded(mu.decode(mu.base.sample(2)) if isinstance(mu, Pushforward) else x, y).shape
            except (RuntimeError, ValueError) as error:
                raise ValueError(
                    f"the cost {self.cost} does not accept points of dimension {nu.dim} ({error})"
                ) from error
            if shape != (2,):
                raise ValueError(f"the cost {self.cost} returns shape {tuple(shape)} for 2 pairs of points, not (2,)")
            self.xi.bind(mu, nu, self.cost)

    @property
    def is_settled(self) -> bool:
        """Whether θ may move; else `settle` comes first."""
        return True

    def settle(self, mu: Measure, nu: Measure, keep: Path | None, resume: Path | None) -> None:
        """Solve what has to be solved before θ moves; `fit` does it, after `prepare`.

        Args:
            mu, nu: the problem that `prepare` was given.
            keep: a file for the state of an unfinished solve, to go on from; None: none.
            resume: such a file of a solve that was stopped; it need not exist.

        Raises:
            KeyboardInterrupt: the user stopped it; `keep` holds how far it came.
        """

    @property
    def priced(self) -> Cost:
        """The cost in whose units the value is."""
        return self.cost

    def at(self, fraction: Nonnegative) -> None:
        """Receive, before each step, the fraction of the training's steps that is done."""

    def project(self) -> None:
        """Move ξ back into its constraint, after each of its steps."""

    def diagnostics(self) -> dict[str, float]:
        """Named figures that say how well the inner problem is solved."""
        return {}

    @staticmethod
    def instead_of(value: object) -> str:
        """What to do with something that should be a solver, in the words of an error."""
        return "make it of one: PrimalSolver(cost, coupling) or DualSolver(cost, potential)"

    def extra_repr(self) -> str:
        return f"inner_steps={self.inner_steps}, warmup_steps={self.warmup_steps}"


@final
@checked
class PrimalSolver(Solver):
    """E(θ) = min over couplings π of ∫ c(g_θ(z), y) dπ(z, y): θ and ξ descend the same value.

    Args:
        cost: the ground cost c.
        coupling: `PlanCoupling`, `EncoderCoupling`, `ImportanceCoupling`, or `VelocityRegression` for a flow.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from ot_gen import Empirical, PlanCoupling, Pushforward, SquaredEuclidean, exact_plan, standard_gaussian
        >>> solver = PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan))
        >>> mu = Pushforward(nn.Linear(2, 2), standard_gaussian(2))
        >>> bool(solver(mu, Empirical(torch.randn(8, 2)), 4).value >= 0)
        True
    """

    sense = 1

    def __init__(self, cost: Cost, coupling: Coupling) -> None:
        super().__init__()
        self.cost = cost
        self.coupling = coupling
        self.inner_steps = 0
        self.warmup_steps = 0

    @property
    def xi(self) -> Coupling:
        return self.coupling

    def forward(self, mu: Measure, nu: Measure, n: Count) -> Estimate:
        estimate: Estimate = self.coupling(mu, nu, self.cost, n)
        return estimate

    @property
    def is_settled(self) -> bool:
        return self.coupling.is_settled

    def settle(self, mu: Measure, nu: Measure, keep: Path | None, resume: Path | None) -> None:
        self.coupling.settle(mu, nu, self.cost, keep, resume)

    @property
    def priced(self) -> Cost:
        return self.coupling.priced(self.cost)

    def at(self, fraction: Nonnegative) -> None:
        self.coupling.at(fraction)

    def diagnostics(self) -> dict[str, float]:
        return self.coupling.diagnostics()


@final
@checked
class DualSolver(Solver):
    """E(θ) = max over potentials of ∫ h(g_θ(z)) dζ(z) + ∫ h̃ dν: ξ ascends, then θ descends ∫ h(g_θ(z)) dζ(z).

    Args:
        cost: the ground cost c; a `Critic` needs a distance.
        potential: a `DiscretePotential`, a critic (`Critic`, `AnchorCritic`, `BatchCritic`), a `BrenierPotential` or a
            `MixturePotential`.
        inner_steps: steps of ξ before each step of θ, >= 1.
        warmup_steps: outer steps (of `inner_steps` inner steps each) before θ first moves.

    Raises:
        ValueError: inner_steps < 1 or warmup_steps < 0.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from ot_gen import DiscretePotential, Empirical, Pushforward, SquaredEuclidean, standard_gaussian
        >>> solver = DualSolver(SquaredEuclidean(), DiscretePotential(), inner_steps=2)
        >>> mu = Pushforward(nn.Linear(2, 2), standard_gaussian(2))
        >>> nu = Empirical(torch.randn(8, 2))
        >>> solver.prepare(mu, nu)
        >>> solver(mu, nu, 4).value.shape
        torch.Size([])

    With a fixed μ it compares two samplers P and Q: only the potential trains. On fresh samples E_P h − E_Q h estimates
    W₁(P, Q), from below where `potential.bound` says so. ∇h is the field of directions away from Q.

    Example:
        >>> from ot_gen import AnchorCritic, Euclidean, fit, linear_decay, uniform_cube
        >>> _ = torch.manual_seed(0)
        >>> P, Q, h = uniform_cube(2, 3.0, 5.0), uniform_cube(2, -1.0, 1.0), AnchorCritic(32, flat_dim=0)
        >>> solver = DualSolver(Euclidean(), h, inner_steps=1)
        >>> _ = fit(P, Q, solver, steps=200, batch_size=64, schedule=linear_decay)
        >>> x, y = P.sample(10000).requires_grad_(), Q.sample(10000)
        >>> w1 = h(x).mean() - h(y).mean()
        >>> 5.5 < w1.item() < 5.7  # P is Q moved by (4, 4), so W₁ = √32 = 5.66
        True
        >>> torch.autograd.grad(h(x).sum(), x)[0].shape  # ∇h
        torch.Size([10000, 2])
    """

    sense = -1

    def __init__(self, cost: Cost, potential: Potential, inner_steps: Count = 5, warmup_steps: Index = 0) -> None:
        super().__init__()
        self.cost = cost
        self.potential = potential
        self.inner_steps = inner_steps
        self.warmup_steps = warmup_steps

    @property
    def xi(self) -> Potential:
        return self.potential

    def optimizer(self) -> OptimizerFactory | None:
        return self.potential.optimizer()

    def forward(self, mu: Measure, nu: Measure, n: Count) -> Estimate:
        x, y = joint(mu, nu, n)
        with parametrize.cached():  # constrained weights are made once, not once for h(x) and once for h̃(y)
            value = self.potential(x).mean() + self.potential.conjugate_mean(x, y)
        # With ξ frozen the penalty is a constant that nobody descends.
        moves = any(parameter.requires_grad for parameter in self.potential.parameters())
        penalty = self.potential.penalty(x.detach(), y) if moves else value.new_zeros(())
        return Estimate(value, penalty)

    def project(self) -> None:
        self.potential.project()

    def diagnostics(self) -> dict[str, float]:
        return self.potential.diagnostics()


def check_classes(mu: Measure, nu: Measure, cost: Cost) -> None:
    """Raise a `ValueError` unless all of a problem, or nothing, is of points with a class, and of as many classes.

    Example:
        >>> from ot_gen import Euclidean, standard_gaussian
        >>> check_classes(standard_gaussian(2), standard_gaussian(2), Euclidean())
    """
    if mu.classes != nu.classes:
        has = {name: "no classes" if of.classes is None else f"{of.classes}" for name, of in (("m", mu), ("d", nu))}
        raise ValueError(
            f"the model has {has['m']} and the data {has['d']}; with classes make them Pushforward(with_classes(g, K), "
            "Labelled(zeta, shares)) and LabelledData(nu, labels)"
        )
    if (nu.classes is not None) != isinstance(cost, LabelCost):
        raise ValueError(
            f"the solver, with the cost {cost}, "
            + (
                "knows no classes, and the data have them; make it by_label(solver, K)"
                if nu.classes is not None
                else "is for data with classes, and these have none; make them LabelledData"
            )
        )
    if isinstance(cost, LabelCost) and cost.classes not in (None, nu.classes):
        raise ValueError(
            f"the solver is by_label(solver, {cost.classes}), and the data have {nu.classes} classes; make it by_label("
            f"solver, {nu.classes})"
        )
    mine, theirs = _shares(mu), _shares(nu)
    if mine is None or theirs is None or torch.allclose(mine.double(), theirs.to(mine).double(), rtol=0, atol=1e-4):
        return
    if isinstance(cost, LabelCost) and cost.weight == math.inf:
        k = int((mine - theirs.to(mine)).abs().argmax())
        raise ValueError(
            f"class {k} has the share {float(mine[k]):.4g} in the model and {float(theirs[k]):.4g} in the data, so "
            "each coupling within classes costs infinity; give the model's Labelled law the data's own, nu.shares"
        )


def _shares(measure: Measure) -> Tensor | None:
    while isinstance(measure, Pushforward):
        measure = measure.base
    return measure.shares if isinstance(measure, Labelled | LabelledData) else None


def check_order(mu: Measure, nu: Measure) -> None:
    """Raise a `ValueError` where ν would train and μ not: they stand in the other order.

    Example:
        >>> from torch import nn
        >>> from ot_gen import standard_gaussian
        >>> check_order(standard_gaussian(2), Pushforward(nn.Linear(2, 2), standard_gaussian(2)))
        Traceback (most recent call last):
        ValueError: nu has parameters, which are not trained, and mu has none; the order is (mu, nu, solver), ...
    """
    if any(p.requires_grad for p in nu.parameters()) and not any(True for _ in mu.parameters()):
        raise ValueError(
            "nu has parameters, which are not trained, and mu has none; the order is (mu, nu, solver), model first. To "
            "compare with a model that is trained, freeze it: nu.requires_grad_(False)"
        )
