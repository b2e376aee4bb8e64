"""Newton's method on fresh samples while ε falls: for problems in which mass flows slowly between groups of cells."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

import numpy as np
from torch import Tensor

from ot_gen.semidual.aim import Aim
from ot_gen.semidual.power_diagram import Floats
from ot_gen.semidual.rivals import Rivals
from ot_gen.semidual.scores import Scores

ENTRIES = 2**20  # pairs of a sample
FALL, EACH, REPEATS = 4.0, 32, 6  # of ε; samples an atom at each ε; steps at one ε, at most
BLUR = 3.0
NEAR = 0.25  # ‖p − b‖₁ from which on ε falls, or twice that of sampling


@final
class Annealing:
    """A table h̃ that follows the solution of the soft problem as ε falls, a Newton step at a time.

    At a large ε the soft problem is easy: all masses communicate. Its solution moves little as ε falls by a factor, and
    one step from there, on a fresh sample, leaves about the error of sampling alone. Unlike stochastic steps this is as
    quick for mass that must flow through many cells, or between far clusters.

    Args:
        scores: the cost and the atoms.
        aim: the masses that the cells should have.
        draw: n -> a fresh sample of μ, (n, d).
        table: h̃, (m,), to begin with.
        epsilon: the first ε.
        last: the least ε.

    Attributes:
        table: h̃, (m,).
        epsilon: ε.
        competing: the number of atoms that compete for a point.
        samples: the number drawn.

    Source: Kosowsky, Yuille, 1994, https://doi.org/10.1016/0893-6080(94)90081-7 (annealing); Bercu, Bigot, 2021,
        https://arxiv.org/abs/1812.09150 (stochastic steps for this problem)
    """

    def __init__(
        self, scores: Scores, aim: Aim, draw: Callable[[int], Tensor], table: Tensor, epsilon: float, last: float
    ) -> None:
        self.scores, self.aim, self.draw, self.last = scores, aim, draw, last
        self.table: Floats = table.double().cpu().numpy()
        self.epsilon = epsilon
        self.atoms = len(aim.weights)
        self.competing = float(self.atoms)
        self.samples = 0
        self.rivals = float(self.atoms)

    def solve(self, samples: int, spent: Callable[[], bool]) -> None:
        """Let ε fall until it suits so many samples, and settle there."""
        m = self.atoms
        # Of the width of a cell, sampling moves its ends by (m/N)^½, and softness blurs them by (competing − 1) / 3.
        enough = 1 + BLUR * math.sqrt(m / samples)
        while not spent():
            blur = max(self.competing, enough) / 2 - 0.5  # as it will be
            for _ in range(REPEATS):
                n = max(EACH, BLUR**2 / blur**2) * m
                n = int(max(64, min(n, samples / 2, ENTRIES / self.rivals)))
                if self._step(n) <= max(NEAR, 2 * self._noise(n)) or spent():
                    break
            if self.competing <= enough or self.epsilon <= self.last:
                break
            self.epsilon = max(self.epsilon / FALL, self.last)
        self._settle(samples, spent)

    def _settle(self, samples: int, spent: Callable[[], bool]) -> None:
        """Take the mean over the tables that steps on so many more samples at this ε lead to."""
        size = int(max(64, min(samples / 2, 2 * ENTRIES / self.rivals)))
        for _ in range(REPEATS):
            if self._step(size) <= 1.5 * self._noise(size) or spent():
                break
        total, steps = self.table.copy(), 1
        while steps * size < samples and not spent():
            self._step(size)
            total, steps = total + self.table, steps + 1
        self.table = total / steps

    def _noise(self, n: int) -> float:
        """About E‖p − b‖₁ where p is counted on n samples that several atoms share."""
        return math.sqrt(2 * self.atoms / (np.pi * n * self.competing))

    def _step(self, n: int) -> float:
        """Newton steps on n samples, as far as their rivals are valid; returns ‖p − b‖₁ before them."""
        rivals = Rivals(self.scores, self.aim, self.draw(n), self.table, self.epsilon)
        self.samples += n
        self.rivals = float(rivals.lengths.mean())
        soft = rivals.at(rivals.table)
        self.competing = rivals.competing(soft)
        error = float(np.abs(soft.masses - soft.aim.masses).sum())
        self.table = rivals.solve(soft, self._noise(n) / 4)
        return error
