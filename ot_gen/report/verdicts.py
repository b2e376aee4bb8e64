"""What may be said of two groups of runs: paired differences, corrected for all pairs, and the matrix of verdicts."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple, final

from ot_gen.display import LinearAxis
from ot_gen.report.paired import Difference, holm, paired_difference
from ot_gen.report.quantities import JudgeOfSamples, Quantity, places
from ot_gen.report.runs import Run

ALPHA = 0.05  # of Holm's correction


@final
class Pair(NamedTuple):
    """Two groups of runs, their difference in one quantity by one judge, and what may be said of it."""

    first: Sequence[Run]
    second: Sequence[Run]
    judge: JudgeOfSamples
    difference: Difference
    adjusted: float | None
    verdict: str

    @property
    def sign(self) -> str:
        """The verdict as a sign: < and > where it is one, ≈ where they are not distinguished, else ?."""
        return {"first is lower": "<", "first is higher": ">"}.get(self.verdict, "?" if self.adjusted is None else "≈")


@final
class Verdicts(NamedTuple):
    """One quantity: its pairs, an axis symmetric about 0 with the decimals of the differences, and the matrix.

    The matrix has a row and a column for each group; "" where two were not compared.
    """

    quantity: Quantity
    pairs: list[Pair]
    axis: LinearAxis
    places: int
    matrix: list[list[str]]


def verdicts(groups: Sequence[Sequence[Run]], quantity: Quantity) -> Verdicts | None:
    """The verdicts on the groups' runs with seeds; None where no two of them share two seeds under one judge.

    Example:
        >>> from ot_gen.report.quantities import quantity
        >>> verdicts([], quantity("w1")) is None
        True
    """
    pairs = _pairs(groups, quantity)
    known = list(pairs.values())
    if all(pair.adjusted is None for pair in known):
        return None
    ends = [abs(end) for pair in known for end in (pair.difference.low, pair.difference.high) if end]
    sizes = ends + [abs(pair.difference.mean) for pair in known]
    middle = statistics.median(sizes)
    limit = (min(1.05 * max(sizes), 6 * middle) if middle else 1.05 * max(sizes)) or 1.0
    matrix = [[""] * len(groups) for _ in groups]
    for (i, j), pair in pairs.items():
        matrix[i][j], matrix[j][i] = pair.sign, {"<": ">", ">": "<"}.get(pair.sign, pair.sign)
    return Verdicts(quantity, known, LinearAxis(-limit, limit), places(middle, 3), matrix)


def _pairs(groups: Sequence[Sequence[Run]], quantity: Quantity) -> dict[tuple[int, int], Pair]:
    known = {}
    for i, j in combinations(range(len(groups)), 2):
        if (judged := _difference(groups[i], groups[j], quantity)) is not None:
            known[i, j] = judged
    adjusted = iter(holm([difference.p for _, difference in known.values() if difference.p is not None]))
    pairs = {}
    for (i, j), (judge, difference) in known.items():
        p = None if difference.p is None else next(adjusted)
        pairs[i, j] = Pair(groups[i], groups[j], judge, difference, p, _verdict(difference, p))
    return pairs


def _difference(
    first: Sequence[Run], second: Sequence[Run], quantity: Quantity
) -> tuple[JudgeOfSamples, Difference] | None:
    """By the judge of most of the seeds that both have: figures by different judges are never compared."""
    judges = [judge for judge in quantity.judges(first) if judge in quantity.judges(second)]
    known = {
        judge: paired_difference(*(_by_seed(runs, quantity, judge) for runs in (first, second))) for judge in judges
    }
    differences = [(judge, one) for judge, one in known.items() if one is not None]
    return max(differences, key=lambda one: one[1].seeds, default=None)


def _by_seed(runs: Sequence[Run], quantity: Quantity, judge: JudgeOfSamples) -> dict[float, float]:
    known = [(run.record.seed, quantity.of(run)) for run in runs if quantity.judge(run) == judge]
    return {seed: metric.value for seed, metric in known if seed is not None and metric is not None}


def _verdict(difference: Difference, adjusted: float | None) -> str:
    if difference.low is None or difference.high is None or adjusted is None:
        return "one seed: nothing can be said"
    if difference.low <= 0 <= difference.high:
        return "not distinguished"
    if adjusted > ALPHA:
        return "not distinguished, given all pairs"
    return "first is lower" if difference.mean < 0 else "first is higher"
