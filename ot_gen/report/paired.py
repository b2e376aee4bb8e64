"""Paired differences over seeds: which statements about two solvers the runs support."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple, final

LEVEL = 0.95


@final
class Difference(NamedTuple):
    """The mean of first − second over the seeds in common, with its t-interval; None where one seed is not enough.

    `p` is that of the two-sided t-test of a mean difference of 0. `seeds` is the number of pairs that entered.
    `left_out` is the number of pairs left out because a value is not finite.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None
    seeds: int
    left_out: int = 0


def paired_difference(first: Mapping[float, float], second: Mapping[float, float]) -> Difference | None:
    """Student's interval for the mean of d_s = first_s − second_s over the n seeds s in common, at `LEVEL`.

        mean ± t_{n−1} · sd(d) / √n

    Runs of equal seed share their random numbers, so differences are less noisy than values. The interval covers the
    randomness of training; the data are the same throughout.

    Args:
        first, second: values by seed.

    Returns:
        None without a pair of finite values in common.

    Source: Student, The probable error of a mean (1908), https://doi.org/10.1093/biomet/6.1.1

    Example:
        >>> paired_difference({0: 1.0, 1: 2.0, 2: 3.0}, {0: 0.0, 1: 1.0, 2: 2.5}).mean
        0.8333333333333334
        >>> paired_difference({0: 1.0}, {0: 0.5}).low is None
        True
    """
    from scipy.special import stdtr, stdtrit

    common = sorted(first.keys() & second.keys())
    pairs = [first[seed] - second[seed] for seed in common]
    known = [difference for difference in pairs if math.isfinite(difference)]
    if not known:
        return None
    mean, n, left_out = statistics.fmean(known), len(known), len(pairs) - len(known)
    if n == 1:
        return Difference(mean, None, None, None, 1, left_out)
    error = statistics.stdev(known) / math.sqrt(n)
    half = float(stdtrit(n - 1, (1 + LEVEL) / 2)) * error
    t = abs(mean) / error if error else (math.inf if mean else 0.0)
    return Difference(mean, mean - half, mean + half, float(2 * stdtr(n - 1, -t)), n, left_out)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: rejecting those ≤ α keeps the chance of any false rejection below α.

    The k-th smallest of m is multiplied by m − k + 1, and made monotone.

    Source: Holm, A simple sequentially rejective multiple test procedure (1979), https://www.jstor.org/stable/4615733

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
