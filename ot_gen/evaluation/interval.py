"""The certificate: an interval that holds W_c(μ, ν), and how it came about."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from torch import Tensor

from ot_gen.arguments import checked
from ot_gen.costs import Cost
from ot_gen.display import Span, card, cut, facts, spans, with_error
from ot_gen.evaluation.assumptions import Assumption
from ot_gen.execution import Ending
from ot_gen.transport import Bracket


@final
@dataclass(frozen=True, repr=False)
@checked
class Certificate:
    """An interval that holds W_c(μ, ν) with probability at least `level`.

    Without an assumption about μ the level rests on a finite variance of the cost, and on samples that show what
    decides it. `warranted` is False where the samples speak against that; that it is True proves nothing.

    Attributes:
        cost: the ground cost c.
        lower, lower_se: E[min_j c(x, y_j) − h̃_j] + Σ_j b_j h̃_j <= W_c(μ, ν) on samples that h̃ was not made from,
            and its standard error between independent replicates.
        upper, upper_se: the mean cost of feasible couplings of samples with ν, >= W_c(μ, ν) in expectation, and its
            standard error.
        level: the confidence of `interval`.
        interval: (lower − t · lower_se, upper + t · upper_se), t Student's quantile that leaves (1 − level) / 4 to
            each side. Only half of the error probability 1 − level is used, as replicates are only nearly normal.
            With `assuming`, the errors of empirical Bernstein bounds take the place of t · se. For a cost >= 0 the
            lower end is never below 0.
        marginal_error: ‖P − b‖₁ of the cells of h̃, with the noise of counting removed: how well h̃ is solved for.
        h_tilde: the table that was judged, (m,).
        samples: of μ, in all: to fit, to choose and to judge.
        seconds: wall time.
        converged: whether the width asked for is reached; True where none was asked for.
        ending, message: how it ended.
        doubt: why the samples do not warrant the level; None where nothing speaks against it.
        assuming: what was said to be known of μ, None where nothing was.
        reference: the same for real data against the same ν, None where none were given.

    Example:
        >>> import torch
        >>> from ot_gen import Euclidean
        >>> Certificate(Euclidean(), 1.0, 0.01, 1.1, 0.01, 0.95, (0.9, 1.1), 0.1, torch.zeros(2)).width
        0.2
    """

    cost: Cost
    lower: float
    lower_se: float
    upper: float
    upper_se: float
    level: float
    interval: tuple[float, float]
    marginal_error: float
    h_tilde: Tensor
    samples: int = 0
    seconds: float = 0.0
    converged: bool = True
    message: str = ""
    reference: Certificate | None = None
    ending: Ending = Ending.REACHED
    doubt: str | None = None
    assuming: Assumption | None = None

    @property
    def warranted(self) -> bool:
        """Whether nothing in the samples speaks against the level."""
        return self.doubt is None

    @property
    def bracket(self) -> Bracket:
        """lower and upper with their standard errors, without the confidence."""
        return Bracket(lower=self.lower, upper=self.upper, lower_se=self.lower_se, upper_se=self.upper_se)

    @property
    def width(self) -> float:
        """The relative width of the interval, (high − low) / |middle|."""
        low, high = self.interval
        middle = abs(low + high) / 2
        return math.inf if high == math.inf or middle == 0 else round((high - low) / middle, 12)

    def __repr__(self) -> str:
        low, high = self.interval
        real = "" if self.reference is None else " real data [{:.6g}, {:.6g}],".format(*self.reference.interval)
        state = f"converged={self.converged}, warranted={self.warranted}"
        return cut(f"Certificate([{low:.6g}, {high:.6g}] at level {self.level:g},{real} {state}: {self.message})")

    def _repr_html_(self) -> str:
        rows = [Span("model", *self.interval)]
        if self.reference is not None:
            rows.append(Span("real data, the floor", *self.reference.interval, real=True))
        values = {
            "lower, upper value": f"{with_error(self.lower, self.lower_se)}, {with_error(self.upper, self.upper_se)}",
            "relative width": f"{self.width:.2g}",
            "error of the masses, ‖P − b‖₁": f"{self.marginal_error:.3g}",
            "cost": repr(self.cost),
            "assuming": None if self.assuming is None else str(self.assuming),
            "effort": f"{self.samples:,} samples, {self.seconds:.3g} s",
        }
        doubts = [] if self.converged else [f"Not converged: {self.message}."]
        doubts += [] if self.doubt is None else [f"The level is not warranted: {self.doubt}."]
        words = f"holds W_c(μ, ν) at level {self.level:g}"
        return card("Certificate", words, spans(rows), facts(values), note=" ".join(doubts))

    def __str__(self) -> str:
        low, high = self.interval
        given = "" if self.assuming is None else f", assuming {self.assuming}"
        doubted = "" if self.doubt is None else f"; the level is not warranted: {self.doubt}"
        return f"[{low:.6g}, {high:.6g}] at level {self.level:g}{given}: {self.message}{doubted}"
