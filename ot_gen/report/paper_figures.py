"""Figures for a paper: vector drawings of one column's width, with their fonts in them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ot_gen.execution import written
from ot_gen.report.quantities import Quantity, summary
from ot_gen.report.results import Method, Results
from ot_gen.report.runs import SIDES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, ROW = 3.25, 0.19  # inches: a column of a page in two columns, and a line of text
COLOURS = {"primal": "#1f6feb", "dual": "#c2410c", None: "#444444"}
REAL = "#8a8a8a"
STYLE: Any = {
    **{
        "font.family": "DejaVu Sans",
        "font.size": 7,
        "axes.titlesize": 7.5,
        "axes.linewidth": 0.6,
        "lines.linewidth": 1,
    },
    **{"xtick.labelsize": 6.5, "ytick.labelsize": 6.5, "xtick.major.width": 0.6, "ytick.major.width": 0.6},
    # TrueType outlines in the PDF, which every printer takes; letters as paths in the SVG, which needs no font.
    **{"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "ot_gen", "axes.spines.top": False},
    **{"axes.spines.right": False, "figure.constrained_layout.use": True},
}
LEGEND: dict[str, Any] = {"frameon": False, "fontsize": 6.5, "borderpad": 0}
LONGEST = 28  # letters of a name


def write_figures(results: Results, folder: Path, slug: str) -> list[Path]:
    """Write the figures that there are numbers for, each as PDF and SVG: intervals and metrics; their paths.

    The same results give the same bytes: no date is in the files.
    """
    import matplotlib
    from matplotlib.figure import Figure

    drawings = {"intervals": _intervals, "metrics": _metrics}
    paths = []
    with matplotlib.rc_context(STYLE):
        for name, draw in drawings.items():
            figure = Figure(figsize=(WIDTH, WIDTH))
            if not draw(figure, results):
                continue
            for kind, metadata in (("pdf", {"CreationDate": None, "Creator": "ot_gen"}), ("svg", {"Date": None})):
                path = folder / f"{slug}_{name}.{kind}"
                with written(path) as temporary:
                    figure.savefig(temporary, format=kind, metadata=metadata)
                paths.append(path)
    return paths


def _intervals(figure: Figure, results: Results) -> bool:
    """Certified intervals, a bar for each run, over the band of real data."""
    methods = [one for one in results.methods if any(run.record.certificate for run in one.runs)]
    if not methods:
        return False
    certificates = [run.record.certificate for one in methods for run in one.runs if run.record.certificate]
    figure.set_size_inches(WIDTH, 0.85 + ROW * len(methods))
    ax = figure.subplots()
    references = [one.reference for one in certificates if one.reference is not None]
    if references:
        band = min(low for low, _ in references), max(high for _, high in references)
        ax.axvspan(*band, color=REAL, alpha=0.3, linewidth=0, label="real data")
    for row, method in enumerate(methods):
        known = [run.record.certificate for run in method.runs if run.record.certificate is not None]
        step = 0.7 / max(1, len(known))
        for place, certificate in enumerate(known):
            height = row + (place - (len(known) - 1) / 2) * step
            ax.plot(certificate.interval, [height] * 2, color=_colour(method), linewidth=2.2, solid_capstyle="butt")
    costs = {one.cost for one in certificates}
    name = {"Euclidean()": "$W_1$", "SquaredEuclidean()": "$W_2^2$"}.get(str(costs.pop()) if len(costs) == 1 else "")
    levels = " or ".join(results.section.levels)
    ax.set_xlabel(f"{name or '$W_c$'}, {levels} % intervals (data units)")
    _named(ax, methods)
    if references:
        figure.legend(loc="outside upper right", **LEGEND)
    return True


def _metrics(figure: Figure, results: Results) -> bool:
    """Each metric of the printed table: a point for each seed, the mean and its spread, and the score of real data."""
    shown = results.shown
    if not shown:
        return False
    columns = 1 if len(shown) == 1 else 2
    rows = -(-len(shown) // columns)
    figure.set_size_inches(WIDTH, 0.2 + rows * (0.55 + ROW * len(results.methods)))
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for place, ax in enumerate(grid.flat):
        if place < len(shown):
            _metric(ax, shown[place], results.methods)
        else:
            ax.set_axis_off()
    if grid[0, 0].get_legend_handles_labels()[1]:
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper right", **LEGEND)
    for ax in grid.flat:
        _named(ax, results.methods)
    return True


def _metric(ax: Axes, quantity: Quantity, methods: Sequence[Method]) -> None:
    from matplotlib.ticker import MaxNLocator

    floors = []
    for row, method in enumerate(methods):
        known = [one for run in method.runs if (one := quantity.of(run)) is not None]
        values = [one.value for one in known if math.isfinite(one.value)]
        floors += [one.floor for one in known if one.floor is not None and math.isfinite(one.floor)]
        colour = _colour(method)
        ax.plot(values, [row] * len(values), "o", color=colour, markersize=2.6, alpha=0.55, markeredgewidth=0)
        if len(values) > 1 and (spread := summary(values)) is not None:
            ax.errorbar(spread.mean, row, xerr=spread.deviation, fmt="|", color=colour, markersize=7, capsize=2)
    if floors:
        ax.axvline(statistics.fmean(floors), color=REAL, linestyle="--", linewidth=0.8, zorder=0, label="real data")
    ax.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10], min_n_ticks=3))
    arrow = {"lower": " ↓", "higher": " ↑"}.get(quantity.better or "", "")
    ax.set_title(f"{quantity.words}{arrow}")


def _colour(method: Method) -> str:
    side = method.runs[0].record.side
    return COLOURS[side if side in SIDES else None]


def _named(ax: Axes, methods: Sequence[Method]) -> None:
    """The names of the methods down the axis, the first on top."""
    names = [one.name if len(one.name) <= LONGEST else f"{one.name[: LONGEST - 1]}…" for one in methods]
    # A name may hold what matplotlib reads as mathematics.
    ax.set_yticks(range(len(methods)), [name.replace("$", r"\$") for name in names])
    ax.set_ylim(len(methods) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
