"""The sentences that the numbers allow, as they may stand in a paper."""

from __future__ import annotations

from collections.abc import Sequence

from ot_gen.report.quantities import Quantity, Statistic, places, summary
from ot_gen.report.results import Method, Results
from ot_gen.report.runs import Run
from ot_gen.report.verdicts import Pair


def sentences(results: Results) -> list[str]:
    """What may be said of one data set, a sentence or two each: intervals, then each metric of the printed table.

    They say no more than the numbers: "not distinguished" is never "equal", and one seed says nothing of a method.
    """
    said = [sentence for method in results.methods if (sentence := _certified(method)) is not None]
    return said + [_compared(results, quantity) for quantity in results.shown]


def _certified(method: Method) -> str | None:
    known = [(run, run.record.certificate) for run in method.runs if run.record.certificate is not None]
    if not known:
        return None
    certificate = known[0][1]
    name = {"Euclidean()": "W₁", "SquaredEuclidean()": "W₂²"}.get(certificate.cost or "", "W_c")
    each = ", ".join(
        f"[{low:.4g}, {high:.4g}]" + ("" if run.record.seed is None else f" (seed {run.record.seed})")
        for run, one in known
        for low, high in [one.interval]
    )
    level = f"{100 * certificate.level:g} %" + (" each" if len(known) > 1 else "")
    words = f"With confidence {level}, {name} between the law of {method.name} and the held-out points lies in {each}"
    if certificate.reference is not None:
        low, high = certificate.reference
        words += f"; that of real data lies in [{low:.4g}, {high:.4g}]"
    doubts = sum(one.doubt is not None for _, one in known)
    return words + (f". The level of {doubts} of {len(known)} is not warranted." if doubts else ".")


def _compared(results: Results, quantity: Quantity) -> str:
    ranked = _ranked(results.methods, quantity)
    if not ranked:
        return f"No figure of {quantity.words} is known."
    first, value = ranked[0]
    head = _head(quantity, first.runs)
    if len({quantity.judge(run) for method, _ in ranked for run in method.runs}) > 1:
        return f"{head} nothing is compared: the judges or the sizes differ."
    known = results.verdicts.get(quantity.name)
    if known is None or quantity.better is None:
        scores = ", ".join(f"{one.name} scored {_spread(mean)}{_over(one)}" for one, mean in ranked)
        lack = "" if len(ranked) == 1 or known is not None else f" ({results.section.lack})"
        return f"{head} {scores}{lack and '; of differences between methods nothing can be said' + lack}."
    end = "lowest" if quantity.better == "lower" else "highest"
    said = [f"{head} {first.name} had the {end} mean, {_spread(value)}{_over(first)}"]
    pairs = [pair for pair in known.pairs if first.name in results.of(pair)]
    for sign, word in (("<", "lower"), (">", "higher")):
        apart = [pair for pair in pairs if results.sign(pair, first.name) == sign]
        if apart:
            gaps = "; than ".join(_gap(results.of(pair), pair, first.name) for pair in apart)
            said.append(f"it was {word} than {gaps}")
    tests = sum(pair.adjusted is not None for pair in known.pairs)
    if len(said) > 1 and tests > 1:
        said.append(f"the p-values are Holm's over {tests} pairs")
    near = [name for pair in pairs if pair.sign not in "<>" for name in results.of(pair) if name != first.name]
    if near:
        said.append(f"it was not distinguished from {_listed(near)}")
    return "; ".join(said) + "."


def _ranked(methods: Sequence[Method], quantity: Quantity) -> list[tuple[Method, Statistic]]:
    known = []
    for method in methods:
        value = summary([row.value for run in method.runs if (row := quantity.of(run)) is not None])
        if value is not None and value.mean == value.mean:
            known.append((method, value))
    return sorted(known, key=lambda one: one[1].mean, reverse=quantity.better == "higher")


def _head(quantity: Quantity, runs: Sequence[Run]) -> str:
    judge = quantity.judge(runs[0])
    by = f", judged by {judge.name}" if judge.name else ""
    floors = [row.floor for run in runs if (row := quantity.of(run)) is not None and row.floor is not None]
    floor = summary(floors)
    real = "" if floor is None else f"; real data score {floor.mean:.4g}"
    better = "" if quantity.better is None else f"{quantity.better} is better; "
    return f"By {quantity.words} ({better}{judge.n} samples{by}{real})"


def _over(method: Method) -> str:
    return " with one seed" if method.seeds == 1 else f" over {method.seeds} seeds"


def _gap(names: tuple[str, str], pair: Pair, first: str) -> str:
    name, is_second = (names[1], False) if names[0] == first else (names[0], True)
    gap, sign = pair.difference, -1 if is_second else 1
    ends = sorted(sign * end for end in (gap.low, gap.high) if end is not None)
    digits = places(max(map(abs, ends)), 3)
    low, high = (f"{end:.{digits}f}".replace("-", "−") for end in ends)
    mean = f"{sign * gap.mean:+.{digits}f}".replace("-", "−")
    return f"{name} (difference {mean}, 95 % interval [{low}, {high}], {gap.seeds} seeds, p = {pair.adjusted:.2g})"


def _spread(value: Statistic) -> str:
    return f"{value.mean:.4g}" + ("" if value.deviation is None else f" ± {value.deviation:.2g}")


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
