"""A pairing for each class: pairs of labelled rows never mix classes."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn

from ot_gen.arguments import Count, checked, described
from ot_gen.costs import Cost, LabelCost, cost_of_points
from ot_gen.couplings.pairings import Pairing
from ot_gen.measures import Labelled, LabelledData, Measure, labelled
from ot_gen.transport import Bracket


@final
@checked
class LabelPairing(Pairing):
    """Σ_k p_k π_k, with π_k a coupling of ζ and ν_k: pairs ((z, k), (y, k)) of one class.

    It is the optimal coupling for the cost `LabelCost(c)` where the π_k are optimal for c: one table for each class
    solves the problem of all of them. Each class has its share of the n pairs, to less than one, in random order.

    Args:
        pairing: that of one class; each gets a copy.
        classes: K.

    Raises:
        ValueError: when it is bound, a reference that is no `Labelled`, data that are no `LabelledData`, another number
            of classes, or a finite weight between classes.

    Source: Cheng, Schwing, 2025, https://arxiv.org/abs/2503.10636

    Example:
        >>> from ot_gen import Empirical, IndependentPairing, SquaredEuclidean, standard_gaussian
        >>> nu = LabelledData(Empirical(torch.randn(8, 2)), torch.arange(8) % 2)
        >>> zeta = Labelled(standard_gaussian(2), nu.shares)
        >>> z, y = LabelPairing(IndependentPairing(), 2)(zeta, nu, LabelCost(SquaredEuclidean()), 6)
        >>> torch.equal(z[:, 2], y[:, 2])
        True
    """

    def __init__(self, pairing: Pairing, classes: Count) -> None:
        super().__init__()
        self.parts = nn.ModuleList(copy.deepcopy(pairing) for _ in range(classes))

    def bind(self, zeta: Measure, nu: Measure, cost: Cost) -> None:
        super().bind(zeta, nu, cost)
        for k, part in enumerate(self._pairings()):
            part.bind(*self._problem(zeta, nu, cost, k))

    def _pairings(self) -> list[Pairing]:
        return [part for part in self.parts if isinstance(part, Pairing)]

    def _problem(self, zeta: Measure, nu: Measure, cost: Cost, k: int) -> tuple[Measure, Measure, Cost]:
        """(ζ, ν_k, c)."""
        if not isinstance(zeta, Labelled) or not isinstance(nu, LabelledData):
            raise ValueError(
                f"pairs with a class need a Labelled reference and LabelledData, got {described(zeta)} and "
                f"{described(nu)}"
            )
        if {zeta.classes, nu.classes} != {len(self.parts)}:
            raise ValueError(
                f"this LabelPairing has {len(self.parts)} classes, the reference {zeta.classes} and the data "
                f"{nu.classes}"
            )
        if isinstance(cost, LabelCost) and cost.weight != math.inf:
            raise ValueError(
                f"a pairing for each class never mixes them, got a weight of {cost.weight:g} between classes; use the "
                "weight inf"
            )
        return zeta.part(k), nu.part(k), cost_of_points(cost)

    @property
    def is_settled(self) -> bool:
        return all(part.is_settled for part in self._pairings())

    def settle(self, zeta: Measure, nu: Measure, cost: Cost, keep: Path | None, resume: Path | None) -> None:
        # A class has a file while it is solved. A solve that was stopped solves the classes before it again.
        for k, part in enumerate(self._pairings()):
            files = (_of_class(keep, k), _of_class(resume, k))
            part.settle(*self._problem(zeta, nu, cost, k), *files)
            if files[0] is not None:
                files[0].unlink(missing_ok=True)

    def forward(self, zeta: Measure, nu: Measure, cost: Cost, n: Count) -> tuple[Tensor, Tensor]:
        data = nu
        if not isinstance(data, LabelledData):
            raise ValueError(f"pairs with a class need LabelledData, got {described(nu)}")
        counts = torch.bincount(data.labels(n), minlength=len(self.parts)).tolist()
        pairs = []
        for k, (part, count) in enumerate(zip(self._pairings(), counts, strict=True)):
            if count:
                z, y = part(*self._problem(zeta, nu, cost, k), count)
                label = torch.full((count,), float(k), device=y.device)
                pairs.append((labelled(z, label), labelled(y, label)))
        order = torch.randperm(n, device=pairs[0][0].device)
        z, y = (torch.cat(side)[order] for side in zip(*pairs, strict=True))
        return z, y

    @property
    def bracket(self) -> Bracket | None:
        """Σ_k p_k [lower_k, upper_k], with the shares of the data that were bound last."""
        known = [one for part in self._pairings() if (one := part.bracket) is not None]
        if self._bound is None or len(known) < len(self.parts):
            return None
        data = self._bound[1]
        assert isinstance(data, LabelledData)  # as `bind` has seen
        terms = list(zip(data.shares.tolist(), known, strict=True))
        return Bracket(
            lower=sum(share * one.lower for share, one in terms),
            upper=sum(share * one.upper for share, one in terms),
            lower_se=math.hypot(*(share * one.lower_se for share, one in terms)),
            upper_se=math.hypot(*(share * one.upper_se for share, one in terms)),
        )

    def diagnostics(self) -> dict[str, float]:
        """Those of the parts, their means over the classes."""
        figures = [part.diagnostics() for part in self._pairings()]
        names = set.intersection(*(set(one) for one in figures))
        return {name: sum(one[name] for one in figures) / len(figures) for name in sorted(names)}


def _of_class(file: Path | None, k: int) -> Path | None:
    return None if file is None else file.with_name(f"{file.stem}.{k}{file.suffix}")
