"""How far a mean of independent values may lie from its expectation, for every number of values."""

from __future__ import annotations

import math


def bernstein(variance: float, span: float, samples: int, logarithm: float) -> float:
    """By how much a mean of independent values in an interval of length `span` may lie below its expectation.

        √(2 V log(2/δ) / n) + 7 · span · log(2/δ) / (3 (n − 1)),   with probability at least 1 − δ

    V may be the sample variance or any upper bound of it.

    Args:
        variance: V = Σ (z_i − z̄)² / (n − 1).
        span: b − a of the interval [a, b].
        samples: n.
        logarithm: log(2 / δ).

    Source: Maurer, Pontil, 2009, theorem 4, https://arxiv.org/abs/0907.3740 (empirical Bernstein)

    Example:
        >>> round(bernstein(variance=0.25, span=1.0, samples=1001, logarithm=4.0), 4)
        0.054
    """
    return math.sqrt(2 * variance * logarithm / samples) + span * slow_term(logarithm, samples)


def slow_term(logarithm: float, samples: int) -> float:
    """The part of `bernstein` that belongs to the span: 7 log(2/δ) / (3 (n − 1)).

    Example:
        >>> slow_term(3.0, 71)
        0.1
    """
    return 7 * logarithm / (3 * max(1, samples - 1))
