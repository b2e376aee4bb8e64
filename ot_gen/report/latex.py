"""Tables for a paper: LaTeX with booktabs, means with their spreads and paired differences with their verdicts."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from ot_gen.report.quantities import JudgeOfSamples, Quantity, Statistic, places, statistic, summary
from ot_gen.report.results import Method, Results
from ot_gen.report.verdicts import ALPHA, Pair
from ot_gen.version import __version__

HEAD = f"% Written by ot-gen-compare --export (ot_gen {__version__}). In the preamble: \\usepackage{{booktabs}}."
ARROWS = {"lower": r" $\downarrow$", "higher": r" $\uparrow$", None: ""}
SIGNS = {
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "±": r"$\pm$"},
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{sign: f"${sign}$" for sign in "<>|"},
    **{
        "₁": "$_1$",
        "₂": "$_2$",
        "²": "$^2$",
        "×": r"$\times$",
        "β": r"$\beta$",
        "λ": r"$\lambda$",
        "ε": r"$\varepsilon$",
    },
}
COSTS = {"Euclidean()": "$W_1$", "SquaredEuclidean()": "$W_2^2$"}


def escaped(text: str) -> str:
    r"""A text as LaTeX that typesets it, on one line.

    Example:
        >>> print(escaped("primal/wae_mmd, 5 %, W₂"))
        primal/wae\_mmd, 5 \%, W$_2$
    """
    return "".join(SIGNS.get(sign, sign if sign.isprintable() else " ") for sign in text)


def means_table(results: Results, slug: str) -> str:
    """The table of means: a row for each method, then the scores of real data."""
    shown, methods, intervals = results.shown, results.methods, _intervals(results)
    decimals = {one.name: _places(results, one) for one in shown}
    bounds = [places(end, 3) for ends in intervals.values() for end in ends if math.isfinite(end)]
    fixed = max(bounds, default=0)
    best = {one.name: results.best(one) for one in shown}
    rows = []
    for method in methods:
        cells = [escaped(method.name), str(method.seeds)]
        if intervals:
            cells.append(_interval(intervals.get(method.name), fixed))
        cells += [_cell(method, one, decimals[one.name], best[one.name] is method) for one in shown]
        cells.append(_spread(statistic(method.runs, "seconds"), 0))
        rows.append(cells)
    floors = ["real data", ""]
    if intervals:
        references = [one for one in results.section.references if one is not None]
        hull = (min(low for low, _ in references), max(high for _, high in references)) if references else None
        floors.append(_interval(hull, fixed))
    floors += [_number(_floor(results, one), decimals[one.name]) for one in shown] + [""]
    names = ["method", "seeds"]
    if intervals:
        names.append(f"certified {_certified(results)}" + ARROWS["lower"])
    names += [escaped(one.words) + ARROWS[one.better] for one in shown] + ["seconds"]
    columns = "l" + "r" * (len(names) - 1)
    body = [names, None, *rows, None, floors] if any(floors[2:]) else [names, None, *rows]
    return _table(_means_caption(results, best), f"tab:{slug}-means", columns, body)


def verdicts_table(results: Results, slug: str) -> str | None:
    """The table of paired differences: a row for each pair, a column for each metric; None without two seeds."""
    shown = [one for one in results.shown if one.name in results.verdicts]
    if not shown:
        return None
    pairs = {one.name: {results.of(pair): pair for pair in results.verdicts[one.name].pairs} for one in shown}
    names = list(dict.fromkeys(pair for known in pairs.values() for pair in known))
    rows = []
    for first, second in names:
        cells = [escaped(first), escaped(second)]
        for one in shown:
            cells.append(_difference(pairs[one.name].get((first, second)), _places(results, one)))
        rows.append(cells)
    head = ["first", "second", *(escaped(one.words) + ARROWS[one.better] for one in shown)]
    seeds = {pair.difference.seeds for known in pairs.values() for pair in known.values()}
    tests = max(sum(pair.adjusted is not None for pair in results.verdicts[one.name].pairs) for one in shown)
    caption = (
        f"{escaped(results.data)}: mean differences first $-$ second, paired by training seed ({_span(seeds)}), "
        f"with Student's 95\\,\\% intervals. A star: the difference remains after Holm's correction over the {tests} "
        f"{'pair' if tests == 1 else 'pairs'} of its metric, at level {ALPHA:g}. Without a star the two are not "
        "distinguished, which does not say that they are equal."
    )
    return _table(caption, f"tab:{slug}-verdicts", "ll" + "r" * len(shown), [head, None, *rows])


def _table(caption: str, label: str, columns: str, rows: Sequence[Sequence[str] | None]) -> str:
    lines = [
        HEAD,
        r"\begin{table*}",
        r"  \centering\footnotesize\setlength{\tabcolsep}{4pt}",
        f"  \\caption{{{caption}}}",
        f"  \\label{{{label}}}",
    ]
    lines += [f"  \\begin{{tabular}}{{@{{}}{columns}@{{}}}}", r"    \toprule"]
    lines += ["    " + (r"\midrule" if row is None else " & ".join(row) + r" \\") for row in rows]
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table*}", ""])


def _means_caption(results: Results, best: dict[str, Method | None]) -> str:
    section = results.section
    judges = dict.fromkeys(
        judge for one in results.shown for method in results.methods for judge in one.judges(method.runs)
    )
    sizes = dict.fromkeys(judge.n for judge in judges)
    words = [f"{escaped(results.data)}: means $\\pm$ standard deviations over training seeds ({_seeds(results)})."]
    if sizes:
        words.append(f"{' or '.join(map(str, sizes))} samples against as many held-out points.")
    if names := [name for name in dict.fromkeys(judge.name for judge in judges) if name]:
        words.append(f"Judged by: {escaped('; '.join(names))}.")
    if section.certified:
        levels = " or ".join(section.levels)
        words.append(f"Certified: the hull of the {levels}\\,\\% intervals of the runs.")
    if section.doubted:
        words.append(f"The level of {section.doubted} of them is not warranted: their samples have heavy tails.")
    if any(best.values()):
        words.append(f"Bold: better than each other method, after Holm's correction over all pairs at level {ALPHA:g}.")
    words.append("Real data: what real points score, the floor.")
    return " ".join(words)


def _seeds(results: Results) -> str:
    numbers = {method.seeds for method in results.methods}
    return "one each, so without a spread" if numbers == {1} else _span(numbers)


def _span(numbers: set[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def _certified(results: Results) -> str:
    costs = {run.record.certificate.cost for run in results.section.certified if run.record.certificate}
    return COSTS.get(costs.pop() or "", "$W_c$") if len(costs) == 1 else "$W_c$"


def _intervals(results: Results) -> dict[str, tuple[float, float]]:
    known = {}
    for method in results.methods:
        ends = [run.record.certificate.interval for run in method.runs if run.record.certificate is not None]
        if ends:
            known[method.name] = min(low for low, _ in ends), max(high for _, high in ends)
    return known


def _values(method: Method, quantity: Quantity) -> Statistic | None:
    return summary([row.value for run in method.runs if (row := quantity.of(run)) is not None])


def _places(results: Results, quantity: Quantity) -> int:
    """Decimals of a column: those of its smallest figure with three digits, so that none is lost."""
    values = [abs(value.mean) for method in results.methods if (value := _values(method, quantity)) is not None]
    finite = [value for value in values if math.isfinite(value) and value]
    return places(statistics.median(finite), 3) if finite else 2


def _floor(results: Results, quantity: Quantity) -> float | None:
    rows = [row for method in results.methods for run in method.runs if (row := quantity.of(run)) is not None]
    floors = [row.floor for row in rows if row.floor is not None]
    same = len({JudgeOfSamples(*quantity.judge(run)) for method in results.methods for run in method.runs}) == 1
    return statistics.fmean(floors) if floors and same else None


def _cell(method: Method, quantity: Quantity, decimals: int, is_best: bool) -> str:
    text = _spread(_values(method, quantity), decimals)
    return f"\\textbf{{{text}}}" if is_best else text


def _spread(value: Statistic | None, decimals: int) -> str:
    if value is None:
        return "--"
    spread = "" if value.deviation is None else f" $\\pm$ {_number(value.deviation, decimals)}"
    return _number(value.mean, decimals) + spread


def _interval(ends: tuple[float, float] | None, decimals: int) -> str:
    return "--" if ends is None else f"[{_number(ends[0], decimals)}, {_number(ends[1], decimals)}]"


def _difference(pair: Pair | None, decimals: int) -> str:
    if pair is None:
        return "--"
    gap = pair.difference
    star = "$^\\ast$" if pair.sign in "<>" else ""
    interval = "" if gap.low is None or gap.high is None else f" {_interval((gap.low, gap.high), decimals)}"
    return f"{_number(gap.mean, decimals)}{star}{interval}"


def _number(value: float | None, decimals: int) -> str:
    if value is None:
        return ""
    if not math.isfinite(value):
        return "--" if math.isnan(value) else ("$\\infty$" if value > 0 else "$-\\infty$")
    return f"{value:.{decimals}f}".replace("-", "$-$")
