"""A potential for each class."""

from __future__ import annotations

import copy
from functools import partial
from typing import final

from torch import Tensor, nn

from ot_gen.arguments import Count, checked, described
from ot_gen.costs import Cost, cost_of_points
from ot_gen.execution import OptimizerFactory
from ot_gen.measures import LabelledData, Measure, Pushforward, Unlabelled, unlabelled
from ot_gen.networks import check_classes
from ot_gen.potentials.discrete import DiscretePotential, NaturalDescent
from ot_gen.potentials.potential import Potential


@final
@checked
class LabelPotential(Potential):
    """h(x, k) = h_k(x), a potential for each class: the dual of Σ_k p_k W_c(μ_k, ν_k), the cost `LabelCost(c)`.

    One table for each class solves the problem of all: a point competes for the atoms of its class alone. A class with
    a single point in a batch waits for the next.

    Args:
        potential: that of one class; each gets a copy.
        classes: K.

    Raises:
        ValueError: when it is bound, a model without classes, data that are no `LabelledData`, or what the potential
            refuses; when it is called, a class that is not one of 0, ..., K − 1.

    Example:
        >>> import torch
        >>> from ot_gen import Conditional, Empirical, LabelCost, Labelled, SquaredEuclidean, WithLabel
        >>> from ot_gen import standard_gaussian
        >>> nu = LabelledData(Empirical(torch.randn(8, 2)), torch.arange(8) % 2)
        >>> net = WithLabel(Conditional(nn.Linear(2, 2), 2))
        >>> h = LabelPotential(DiscretePotential(), 2)
        >>> h.bind(Pushforward(net, Labelled(standard_gaussian(2), nu.shares)), nu, LabelCost(SquaredEuclidean()))
        >>> h(torch.tensor([[0.5, 0.5, 1.0]])).shape
        torch.Size([1])
    """

    def __init__(self, potential: Potential, classes: Count) -> None:
        super().__init__()
        self.parts = nn.ModuleList(copy.deepcopy(potential) for _ in range(classes))
        self.kind = potential.kind
        self.bound = potential.bound

    def _potentials(self) -> list[Potential]:
        return [part for part in self.parts if isinstance(part, Potential)]

    def bind(self, mu: Measure, nu: Measure, cost: Cost) -> None:
        base = getattr(mu, "base", None)
        if not isinstance(nu, LabelledData) or not isinstance(mu, Pushforward) or base is None or mu.classes is None:
            raise ValueError(
                f"a potential for each class needs LabelledData and a model with classes, got {described(nu)} and "
                f"{described(mu)}"
            )
        if {mu.classes, nu.classes} != {len(self.parts)}:
            raise ValueError(
                f"this LabelPotential has {len(self.parts)} classes, the model {mu.classes} and the data {nu.classes}"
            )
        within = cost_of_points(cost)
        for k, part in enumerate(self._potentials()):
            part.bind(Pushforward(Unlabelled(mu.map), base.given(k)), nu.part(k), within)
        self.dim = nu.dim
        self.bound = self._potentials()[0].bound

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        points, labels = unlabelled(x)
        check_classes(x[:, -1], len(self.parts))
        h = points.new_zeros(len(x))
        for k, of_class in self._classes(labels):
            h = h.index_put((of_class,), self._potentials()[k](points[of_class]).to(h))
        return h

    def _classes(self, labels: Tensor) -> list[tuple[int, Tensor]]:
        """The classes that there are, with their rows; a step on a single one would say nothing of its law."""
        least = 2 if self.training else 1
        rows = [(k, (labels == k).nonzero()[:, 0]) for k in range(len(self.parts))]
        return [(k, of_class) for k, of_class in rows if len(of_class) >= least]

    def conjugate_mean(self, x: Tensor, y: Tensor) -> Tensor:
        return self._mean("conjugate_mean", x, y)

    def penalty(self, x: Tensor, y: Tensor) -> Tensor:
        return self._mean("penalty", x, y)

    def _mean(self, name: str, x: Tensor, y: Tensor) -> Tensor:
        """Σ_k n_k/n of what the potentials of the classes answer."""
        (points, of_x), (atoms, of_y) = unlabelled(x), unlabelled(y)
        total = points.new_zeros(())
        for k, rows in self._classes(of_x):
            answer: Tensor = getattr(self._potentials()[k], name)(points[rows], atoms[of_y == k])
            total = total + len(rows) / len(x) * answer
        return total

    def project(self) -> None:
        for part in self._potentials():
            part.project()

    def optimizer(self) -> OptimizerFactory | None:
        tables = [part for part in self._potentials() if isinstance(part, DiscretePotential)]
        return partial(NaturalDescent, potential=tables) if tables else self._potentials()[0].optimizer()

    def diagnostics(self) -> dict[str, float]:
        """Those of the parts, their means over the classes."""
        figures = [part.diagnostics() for part in self._potentials()]
        return {name: sum(one[name] for one in figures) / len(figures) for name in figures[0]}
