"""The curve of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ot_gen.arguments import checked
from ot_gen.display import DATA, MODEL
from ot_gen.execution import Progress
from ot_gen.plot.frame import axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@checked
def curve(progress: Progress | Sequence[Mapping[str, float]], name: str = "value", *, ax: Axes | None = None) -> Axes:
    """A figure of a training against the step, raw in grey and a running median over it.

    Beside the "value" a "floor", that of a perfect model, is dashed where the solver records one.

    Args:
        progress: what `fit` returns, or its rows.
        name: of the figure: "value", "penalty", or a diagnostic of the solver.
        ax: matplotlib axes to draw into; None makes a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: no rows, or rows without a figure of this name.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("agg")
        >>> from ot_gen import plot
        >>> plot.curve([{"step": 1, "value": 3.0}, {"step": 2, "value": 2.0}]).get_xlabel()
        'step (of θ)'
    """
    rows = progress.rows if isinstance(progress, Progress) else progress
    if not rows or any(name not in row or "step" not in row for row in rows):
        known = ", ".join(key for key in rows[0] if key != "step") if rows else "nothing: there are no steps"
        raise ValueError(f"each step needs a figure named {name!r}; there is {known}")
    steps, values = (np.array([row[key] for row in rows], dtype=float) for key in ("step", name))
    floor = rows[-1].get("floor") if name == "value" else None
    ax = axes_or_new(ax, 4.6, 2.6)
    ax.plot(steps, values, color=DATA, lw=0.6, alpha=0.7)
    ax.plot(steps, _running_median(values), color=MODEL, lw=1.4)
    if floor is not None:
        ax.axhline(floor, color="black", lw=0.8, ls="--", label="floor: two real samples")
        ax.legend(loc="upper right", frameon=False)
    _limit(ax, values, floor)
    words = name.replace("_", " ")
    ax.set(xlabel="step (of θ)", ylabel=f"{words} (units of the cost)" if name == "value" else words)
    ax.grid(alpha=0.25)
    return ax


def _running_median(values: np.ndarray) -> np.ndarray:
    window = max(1, len(values) // 40) | 1
    padded = np.pad(values, window // 2, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, window), axis=1)


def _limit(ax: Axes, values: np.ndarray, mark: float | None) -> None:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return
    low, high = np.quantile(finite, [0.005, 0.995])
    if mark is not None and math.isfinite(mark):
        low, high = min(low, mark), max(high, mark)
    if 0 < high - low < math.inf:
        margin = 0.08 * (high - low)
        ax.set_ylim(low - margin, high + margin)
