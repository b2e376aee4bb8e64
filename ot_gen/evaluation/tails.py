"""Whether a sample of costs warrants a confidence level that rests on a finite variance."""

from __future__ import annotations

import math
from typing import NamedTuple, final

import torch
from torch import Tensor

KEPT = 2**10  # values of each tail
# A level is doubted where one value has the share DOMINANT of the variance, or the index is HEAVY and the largest value
# counts. From 0.5 on the variance is infinite. benchmarks/tails.py counts the errors of both kinds.
HEAVY = 0.45
NOTABLE, DOMINANT = 0.08, 0.2


@final
class Tail(NamedTuple):
    """One tail of a sample.

    Attributes:
        gamma: γ, the extreme value index: moments of order < 1/γ are finite; γ <= 0 for exponential and bounded tails.
        share: of its largest value in Σ (v_i − v̄)².
    """

    gamma: float
    share: float


@final
class Tails:
    """Both tails of values v(x), added batch by batch; only the outermost `KEPT` of each are kept.

    Source: Dekkers, Einmahl, de Haan, 1989, https://doi.org/10.1214/aos/1176347397 (the moment estimator of γ)

    Example:
        >>> tails = Tails()
        >>> tails.add(1 / (torch.arange(10_000) + 0.5) ** 0.8)  # γ = 0.8
        >>> tails.doubt() is not None
        True
    """

    def __init__(self) -> None:
        self.count = 0
        self.unit = 1.0
        self.centre = self.mean = self.squares = 0.0
        self.outermost = [torch.empty(0, dtype=torch.float64, device="cpu")] * 2  # of v − centre and of centre − v

    def add(self, v: Tensor) -> None:
        """Count the values v, (n,)."""
        v = v.detach().double().cpu()
        if self.count == 0:
            self.unit = float(v.abs().max()) or 1.0  # squares overflow sooner than the values
        v = v / self.unit
        if self.count == 0:
            self.centre = float(v.median())
        away = v - self.centre
        total = self.count + len(away)
        mean = float(away.mean())
        self.squares += float((away - mean).square().sum()) + (mean - self.mean) ** 2 * self.count * len(away) / total
        self.mean += (mean - self.mean) * len(away) / total
        self.count = total
        for side, sign in enumerate((1, -1)):
            both = torch.cat([self.outermost[side], sign * away])
            self.outermost[side] = both.topk(min(KEPT, len(both))).values

    def upper(self) -> Tail:
        """The tail of large values."""
        return self._tail(0, 1)

    def lower(self) -> Tail:
        """The tail of small values."""
        return self._tail(1, -1)

    def _tail(self, side: int, sign: int) -> Tail:
        values = self.outermost[side]
        share = (float(values[0]) - sign * self.mean) ** 2 / max(self.squares, 1e-300)
        k = min(KEPT - 1, max(20, round(2 * math.sqrt(self.count))), len(values) - 1)
        if k < 2 or values[k] <= 0:
            return Tail(0.0, share)
        logs = (values[:k] / values[k]).log()
        first, second = float(logs.mean()), float(logs.square().mean())
        spread = 1 - first**2 / second if second > 0 else 0.0
        return Tail(first + 1 - 0.5 / spread if spread > 0 else -math.inf, share)

    def doubt(self) -> str | None:
        """Why a level is not warranted, in words; None where nothing speaks against it."""
        if self.count < 2:
            return None
        expected = 2 * math.log(self.count) ** 2 / self.count  # the share of the largest of n squares of normals
        notable, dominant = max(NOTABLE, 0.8 * expected), max(DOMINANT, 2 * expected)
        for tail in (self.upper(), self.lower()):
            if tail.share >= dominant:
                return (
                    f"one sample in {self.count} makes {100 * tail.share:.0f} % of the variance of the cost, so that "
                    "rarer and larger ones may decide its mean"
                )
            if tail.gamma >= HEAVY and tail.share >= notable:
                return f"the tail index of the cost is about {tail.gamma:.2f}, and from 0.5 on its variance is infinite"
        return None
