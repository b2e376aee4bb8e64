"""What a plan between two samples of the data costs: the least that a model can reach on such batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from ot_gen.costs import Cost
from ot_gen.measures import Measure, alike, undisturbed
from ot_gen.transport import Plan, plan_by_blocks

Setting = tuple[Measure, Cost, int]  # (ν, c, n)


@final
class RealAgainstReal:
    """The mean value of a plan between two independent samples of ν of one size n, computed once for each (ν, c, n).

    Args:
        plan: C (n, n) -> `Plan`.
        points: of one side, shared out among the draws: large batches cost more and vary less.
        most: the largest number of draws.
    """

    def __init__(self, plan: Callable[[Tensor], Plan], points: int, most: int) -> None:
        self._plan = plan
        self._points = points
        self._most = most
        self._known: dict[Setting, float] = {}

    def keep(self, nu: Measure, cost: Cost) -> None:
        """Forget what belongs to other problems."""
        self._known = {setting: mean for setting, mean in self._known.items() if setting[:2] == (nu, cost)}

    def __call__(self, nu: Measure, cost: Cost, n: int) -> float:
        if (nu, cost, n) not in self._known:
            self._known[nu, cost, n] = self._mean(nu, cost, n)
        return self._known[nu, cost, n]

    @torch.no_grad()
    def _mean(self, nu: Measure, cost: Cost, n: int) -> float:
        with undisturbed(nu, cost):
            torch.manual_seed(0)  # of its own: a resumed run has the same
            repeats = max(2, min(self._most, self._points // n))
            draws = []
            for _ in range(repeats):
                y = nu.sample(n)
                draws.append(plan_by_blocks(self._plan, cost.matrix(y, alike(nu, y))).value.item())
        return sum(draws) / len(draws)
