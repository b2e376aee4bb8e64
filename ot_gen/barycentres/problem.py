"""The data of a barycentre, checked: laws ν_k, their weights λ_k and a ground cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from torch import Tensor, nn

from ot_gen.costs import Cost
from ot_gen.measures import Empirical, Measure, check_weights, undisturbed


@final
class WeightedPoints(NamedTuple):
    """Points y (m, d) and their masses b (m,), of total 1."""

    y: Tensor
    b: Tensor

    @staticmethod
    def of(law: Measure, n: int) -> WeightedPoints:
        """The atoms of a law that has at most n of them, else n samples."""
        if is_table(law, n):
            assert isinstance(law, Empirical)
            return WeightedPoints(law.atoms, law.weights / law.weights.sum())
        y = law.sample(n)
        return WeightedPoints(y, y.new_full((n,), 1 / n))

    @property
    def masses(self) -> Tensor | None:
        """b, or None where all are equal: then plans are assignments."""
        return None if bool((self.b == self.b[0]).all()) else self.b


def is_table(law: Measure, n: int) -> bool:
    """Whether a law is a table of at most n atoms, which counts as it is."""
    return isinstance(law, Empirical) and len(law) <= n


@final
class BarycentreProblem(NamedTuple):
    """min over μ of Σ_k λ_k W_c(μ, ν_k), with λ_k > 0 of total 1."""

    measures: list[Measure]
    weights: list[float]
    cost: Cost

    @staticmethod
    def of(measures: Sequence[Measure], weights: Tensor | None, cost: Cost) -> BarycentreProblem:
        """The problem without the measures of weight 0.

        Raises:
            ValueError: no measure, weights that are not one mass for each, measures of two spaces, dtypes or devices,
                measures with classes, or a cost that does not take their points.
        """
        if not measures:
            raise ValueError("a barycentre needs measures, got none; give at least one")
        shares = torch.full((len(measures),), 1 / len(measures), device="cpu") if weights is None else weights
        check_weights(shares, len(measures))
        if any(law.classes is not None for law in measures):
            raise ValueError("a barycentre knows no classes; take that of each class, law.given(k), without its column")
        _check_alike(measures)
        pairs = [(law, share) for law, share in zip(measures, shares.tolist(), strict=True) if share > 0]
        total = sum(share for _, share in pairs)
        problem = BarycentreProblem([law for law, _ in pairs], [share / total for _, share in pairs], cost)
        problem.check_points(problem.dim, "the measures", "measures")
        return problem

    @property
    def dim(self) -> int:
        """d, of the space."""
        return self.measures[0].dim

    @property
    def modules(self) -> list[nn.Module]:
        """What is evaluated."""
        return [*self.measures, self.cost]

    def check_points(self, dim: int, whose: str, name: str) -> None:
        """Raise a `ValueError` unless points of a dimension are those of this space, and of its cost."""
        if dim != self.dim:
            raise ValueError(f"{name} must have points of dimension {self.dim}, as the measures have, got {dim}")
        with undisturbed(*self.modules):
            x = self.measures[0].sample(2)
            try:
                shape = self.cost.matrix(x, x).shape
            except (RuntimeError, ValueError) as error:
                raise ValueError(f"the cost {self.cost} does not take the points of {whose} ({error})") from error
        if shape != (2, 2):
            raise ValueError(f"the cost {self.cost} returns shape {tuple(shape)} for 2 points and 2, not (2, 2)")

    def tables(self, n: int) -> list[WeightedPoints]:
        """The measures as atoms, or as n samples each."""
        return [WeightedPoints.of(law, n) for law in self.measures]

    def mean(self, values: Sequence[Tensor]) -> Tensor:
        """Σ_k λ_k v_k of tensors of one shape."""
        return torch.stack([share * value for share, value in zip(self.weights, values, strict=True)]).sum(dim=0)


def _check_alike(measures: Sequence[Measure]) -> None:
    with undisturbed(*measures):
        points = [law.sample(1) for law in measures]
    kinds = {(p.shape[1], p.dtype, p.device) for p in points}
    if len(kinds) > 1:
        described = ", ".join(f"{p.dtype} (n, {p.shape[1]}) on {p.device}" for p in points)
        raise ValueError(f"measures must share one space, dtype and device, got {described}; convert their points")
