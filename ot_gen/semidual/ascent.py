"""Stochastic ascent on the semi-dual of semi-discrete optimal transport, without a step size to find.

Natural steps on a table (`ot_gen.semidual.natural`), averages, growing batches, and Newton steps where mass flows
slowly. The number of atoms that compete for a sample, as observed, drives ε down.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn

from ot_gen.semidual import natural
from ot_gen.semidual.aim import Aim
from ot_gen.semidual.annealing import Annealing
from ot_gen.semidual.sample import SampleProblem
from ot_gen.semidual.scores import Scores

LIGHT = 0.1  # of its mass: an atom that keeps less is stepped as if it kept that, or noise would throw it about


@final
class Ascent(nn.Module):
    """The state of an ascent: the iterate h̃, its weighted average, the softness ε and the samples used.

    The wanted number of competing atoms, E_i (Σ_j P_ij²)⁻¹, falls with the samples N seen, for m atoms, as
    1 + 0.2 (1 + N / 4000m)^−½ + 28.8 (1 + N / 4m)^−1.8. The bias of softness, of the order ε², then falls faster than
    the error of sampling. Batches grow as N / 32. The average weighs a step by N: it forgets the start and, at the
    end, removes the noise of single steps (Polyak averaging).

    In the plane, masses that are wrong over whole groups of cells flow slowly, through the few boundaries between the
    groups. There, now and then, a Newton step on these slow modes alone follows the averaged gradient. Its Hessian is
    that of one sample at a larger softness.

    Where the masses b may be left at a price, each step aims at what the table leaves of them, and is the shorter the
    more these move with it.

    Args:
        costs: the ground cost and the atoms y_j.
        aim: the masses that the cells should have: b_j > 0, (m,), or what a table leaves of them.
        epsilon: the ε of the problem, 0 for the unregularised one; the ascent arrives there from above.

    Source: Genevay, Cuturi, Peyré, Bach, 2016, https://arxiv.org/abs/1605.08527 (the semi-dual)

    Example:
        >>> from ot_gen import SquaredEuclidean, standard_gaussian
        >>> atoms, weights = torch.tensor([[-1.0], [2.0]]), torch.tensor([0.5, 0.5])
        >>> ascent = Ascent(Scores(SquaredEuclidean(), atoms), Aim(weights, None))
        >>> ascent.start(standard_gaussian(1).sample(100))
        >>> ascent.step(standard_gaussian(1).sample(100))
        >>> ascent.samples
        100
    """

    h_tilde: Tensor
    average: Tensor
    residual: Tensor

    MIN_BATCH, MAX_BATCH = 64, 2**14
    COMPETING, FEWEST = 30.0, 1.2
    NUMBERS = (
        *("epsilon", "smallest", "samples", "worth", "iterations", "total_weight"),
        *("next_slow_step", "residual_weight"),
    )
    SLOW_FROM, SLOW_EVERY, SLOW_WIDTH, SLOW_DAMPING = 64, 1.5, 32.0, 0.1

    def __init__(self, costs: Scores, aim: Aim, epsilon: float = 0.0) -> None:
        super().__init__()
        self.costs = costs
        self.aim = aim
        self.weights = weights = aim.weights
        self.target = epsilon
        self.epsilon = 0.0
        self.samples = 0
        self.worth = 0
        self.iterations = 0
        self.total_weight = 0.0
        dim = costs.atoms.shape[1]
        # In low dimension steps are limited by the slow flow of mass between neighbouring cells, not by noise.
        self.relaxation = 1.5 if dim <= 3 else 1.0
        self.next_slow_step: float = self.SLOW_FROM * len(weights) if dim <= 2 and aim.marginals is None else math.inf
        self.residual_weight = 0
        # The competitors where every sample is shared like b: no softness gives more.
        self.independent = float(1 / weights.double().square().sum())
        self.register_buffer("h_tilde", torch.zeros_like(weights))
        self.register_buffer("average", torch.zeros_like(weights))
        self.register_buffer("residual", torch.zeros_like(weights))

    @torch.no_grad()
    def start(self, x: Tensor, h_tilde: Tensor | None = None, worth: int = 0) -> None:
        """Set h̃ and ε from a first sample.

        Args:
            x: a sample of μ, (n, d).
            h_tilde: a table to start from; None starts at h̃_j = E c(x, y_j), where all atoms are equally attractive.
            worth: the number of samples that such a table would have taken.
        """
        begin = natural.initial((costs for _, costs in self.costs.costs(x)), self.weights)
        self.worth = worth
        self.h_tilde.copy_(begin.h_tilde if h_tilde is None else h_tilde - h_tilde @ self.weights)
        self.average.copy_(self.h_tilde)
        self.smallest = begin.smallest
        self.epsilon = max(begin.epsilon, self.target)
        for _ in range(30):
            competing = self._competing(*next(self.costs.soft(x[:64], self.h_tilde, self.epsilon)))
            self._steer(competing, rate=0.7)

    @property
    def batch(self) -> int:
        """The number of samples that the next step asks for: a power of two that divides those drawn so far.

        Such a stretch of a Sobol sequence is itself evenly spread.
        """
        size = self.MIN_BATCH
        while 2 * size <= min(self.MAX_BATCH, (self.worth + self.samples) // 16) and self.samples % (2 * size) == 0:
            size *= 2
        return size

    @property
    def sharpest(self) -> bool:
        """Whether rounding allows no smaller ε, though one is wanted."""
        return self.epsilon <= self.smallest and not self.target

    @torch.no_grad()
    def step(self, x: Tensor) -> None:
        """One natural step from a fresh sample x of μ, (n, d)."""
        masses = torch.zeros_like(self.h_tilde)
        competing = 0.0
        for z, w in self.costs.soft(x, self.h_tilde, self.epsilon):
            masses += w @ z
            competing = competing or self._competing(z, w)
        excess = self._natural(masses / len(x))
        self.samples += len(x)
        self.iterations += 1
        weight = len(x) * float(self.worth + self.samples)
        self.total_weight += weight
        self.average.lerp_(self.h_tilde, weight / self.total_weight)
        self._steer(competing, rate=0.3)
        self.residual.sub_(excess, alpha=len(x))
        self.residual_weight += len(x)
        if self.samples >= self.next_slow_step:
            self._slow_step(x)

    def _natural(self, masses: Tensor) -> Tensor:
        """Step, from the masses that the cells have; returns what they have in excess."""
        marginals = self.aim.marginals
        if marginals is None:
            excess = masses - self.weights
            natural.step(self.h_tilde, excess, self.weights, self.relaxation * self.epsilon)
            return excess
        q = marginals.masses(self.h_tilde, self.weights)
        size = self.epsilon / (1 + self.epsilon / marginals.data.strength)
        natural.step(self.h_tilde, masses - q, torch.maximum(q, LIGHT * self.weights), self.relaxation * size)
        return masses - q

    def _slow_step(self, x: Tensor) -> None:
        sample = SampleProblem(self.costs, self.weights, x, self.average)
        gradient = (self.residual / self.residual_weight).double().cpu()
        step = sample.slow_step(self.average, gradient, self.SLOW_WIDTH * self.epsilon, self.SLOW_DAMPING)
        for table in (self.h_tilde, self.average):
            table += step.to(table)
        self.residual.zero_()
        self.residual_weight = 0
        self.next_slow_step = self.SLOW_EVERY * self.samples

    @torch.no_grad()
    def finish(self, x: Tensor) -> None:
        """Take the table that is optimal for the sample x (n, d): Newton's method, where mass flows slowly.

        For few atoms in low dimension, where all of them can compete for each sample.
        """
        sample = SampleProblem(self.costs, self.weights, x, self.average)
        table = sample.solve(self.average, self.target or self.sharpened(x) / 16, tol=0.1 / len(x) ** 0.5)
        self.average.copy_(table - table @ sample.b)
        self.h_tilde.copy_(self.average)
        self.samples += len(x)

    @torch.no_grad()
    def annealed(
        self, draw: Callable[[int], Tensor], samples: int, again: bool, spent: Callable[[], bool]
    ) -> Annealing:
        """Newton's method from the start, on about so many samples; or again, from the average, where it led there."""
        table, epsilon = self.average, self.epsilon
        if not again:
            begin = natural.initial((costs for _, costs in self.costs.costs(draw(512))), self.weights)
            table, epsilon = begin.h_tilde, max(begin.epsilon, self.target)
        annealing = Annealing(self.costs, self.aim, draw, table, epsilon, max(self.smallest, self.target))
        annealing.solve(samples, spent)
        self.samples += annealing.samples
        return annealing

    def adopt(self, h_tilde: Tensor, epsilon: float) -> None:
        """Go on from a table (m,) that was found otherwise, at its ε."""
        self.average.copy_(h_tilde)
        self.h_tilde.copy_(h_tilde)
        self.epsilon = epsilon

    @torch.no_grad()
    def tied(self, x: Tensor) -> float:
        """The mass that a plan as soft as rounding gives to other atoms than a drawn one, from a sample (n, d)."""
        soft = self.costs.soft(x, self.average, self.smallest / 8)
        return 1 - float(torch.cat([z.square().sum(dim=1) * w.square() for z, w in soft]).mean())

    def _competing(self, z: Tensor, w: Tensor) -> float:
        return float((1 / (z[:64].square().sum(dim=1) * w[:64].square())).mean())

    def _steer(self, competing: float, rate: float) -> None:
        most = min(self.COMPETING, self.independent / 2)
        seen = (self.worth + self.samples) / len(self.weights)
        fewest = 1 + min(self.FEWEST - 1, (self.independent - 1) / 10) * (1 + seen / 4000) ** -0.5
        wanted = fewest + max(0.0, most - self.FEWEST) * (1 + seen / 4) ** -1.8
        self.epsilon = natural.steered(self.epsilon, competing, wanted, rate, max(self.smallest, self.target))

    def sharpened(self, x: Tensor) -> float:
        """The ε > 0 at which little more than one atom competes for each of the samples x, by the averaged table."""
        epsilon = max(self.epsilon, self.smallest)
        for _ in range(30):
            competing = self._competing(*next(self.costs.soft(x[:64], self.average, epsilon)))
            epsilon = natural.steered(epsilon, competing, self.FEWEST, 0.7, self.smallest)
        return epsilon

    def progress(self) -> dict[str, float]:
        """The numbers of the state that are no tensors, for a checkpoint."""
        return {name: getattr(self, name) for name in self.NUMBERS}

    def restore(self, progress: dict[str, float]) -> None:
        """Take over what `progress` returned."""
        for name, value in progress.items():
            name = "smallest" if name == "floor" else name  # as older files call it
            if name in self.NUMBERS and type(value) in (int, float):
                setattr(self, name, value)


def samples_for(error: float, atoms: int) -> int:
    """The number N of independent samples at which an optimal method has a marginal error of `error`.

    With h̃ solved exactly on N samples, ‖P − b‖₁ is about sqrt(2 m / (π N)) on fresh ones.

    Example:
        >>> samples_for(0.1, atoms=1000)
        63662
    """
    return math.ceil(2 * atoms / (math.pi * max(error, 1e-30) ** 2))


def sampled_error(samples: int, atoms: int) -> float:
    """‖P − b‖₁ of a table that is solved exactly on N independent samples, on fresh ones: the inverse of `samples_for`.

    Example:
        >>> round(sampled_error(63662, atoms=1000), 4)
        0.1
    """
    return math.sqrt(2 * atoms / (math.pi * max(samples, 1)))
