"""Transport: Laguerre cells, plans between points, and intervals that hold W_c."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor

from ot_gen.arguments import Cloud, Count, Interval, Shape, checked
from ot_gen.display import DATA, MODEL
from ot_gen.evaluation import Certificate
from ot_gen.measures import Pixels
from ot_gen.plot.frame import DOTS, FURTHEST, as_array, axes_or_new, legend
from ot_gen.semidual import LaguerreCells, SemidiscreteSolution
from ot_gen.transport import Bracket, Plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Nine light colours that stay apart for colour-blind readers: https://personal.sron.nl/~pault/
LIGHT = (*("#77AADD", "#EE8866", "#EEDD88", "#FFAABB", "#99DDFF", "#44BB99", "#BBCC33", "#AAAA00", "#DDDDDD"),)
REAL = 0.8  # of the height of a row: a band of real data; half of it is the interval of a model
Corners = Annotated[Tensor, Shape("(2, 2)")]


@checked
def cells(
    of: LaguerreCells | SemidiscreteSolution,
    bounds: Corners | None = None,
    *,
    size: Annotated[int, Interval(2, 4000)] = 400,
    colours: Sequence[Count] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The Laguerre cells {x : c(x, y_j) − h̃_j is least} of a table in the plane, and the atoms y_j.

    No two cells that touch have one colour, if nine are enough. The area of an atom is in proportion to its mass where
    the masses are known.

    Args:
        of: the cells of a table, or a solution of `semidiscrete`.
        bounds: the lower left and the upper right corner of the picture, (2, 2); None takes the atoms' box and a third
            more.
        size: cells of the grid along either side.
        colours: the number of each atom's colour from 1 on, (m,): several pictures alike, by `cell_colours`.
        ax: matplotlib axes to draw into; None makes a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: atoms outside of the plane, bounds that hold nothing, or another number of colours than of atoms.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("agg")
        >>> from ot_gen import LaguerreCells, SquaredEuclidean, plot
        >>> table = LaguerreCells(SquaredEuclidean(), torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.zeros(2))
        >>> plot.cells(table, size=50).get_xlabel()
        'x₁ (data units)'
    """
    atoms, weights, table = _table(of)
    corners = _box(atoms) if bounds is None else bounds.to(atoms)
    if not bool((corners[1] > corners[0]).all()) or not bool((corners.abs() <= FURTHEST).all()):
        raise ValueError(f"bounds must be the lower left and the upper right corner, got {corners.tolist()}")
    x1, x2 = as_array(atoms).T
    owner = owners(table, corners, size)
    numbers = cell_colours([owner], len(atoms)) if colours is None else list(colours)
    if len(numbers) != len(atoms):
        raise ValueError(f"colours must be one for each of {len(atoms)} atoms, got {len(numbers)}")
    from matplotlib.colors import to_rgb

    palette = torch.tensor([to_rgb(LIGHT[(number - 1) % len(LIGHT)]) for number in numbers], device="cpu")
    image = palette[owner]
    across = owner[1:, :-1] != owner[:-1, :-1]
    along = owner[:-1, 1:] != owner[:-1, :-1]
    image[:-1, :-1][across | along] = 1.0
    ax = axes_or_new(ax)
    (left, bottom), (right, top) = corners.tolist()
    ax.imshow(image.numpy(), extent=(left, right, bottom, top), origin="lower", interpolation="antialiased")
    dots = 24.0 if weights is None else (40 * len(atoms) * as_array(weights)).clip(2)
    ax.scatter(x1, x2, s=dots, c=palette.numpy(), edgecolors="black", linewidths=1.0, zorder=3)
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    ax.set(xlabel="x₁ (data units)", ylabel="x₂ (data units)")
    return ax


def owners(table: LaguerreCells, corners: Tensor, size: int) -> Tensor:
    """The atom in whose cell each point of a grid lies, (size, size) on the CPU: rows go up with x₂."""
    share = (torch.arange(size, dtype=corners.dtype, device=corners.device) + 0.5) / size
    x1, x2 = (corners[0] + share[:, None] * (corners[1] - corners[0])).T
    return table(torch.cartesian_prod(x2, x1).flip(1))[1].reshape(size, size).cpu()


def cell_colours(pictures: Sequence[Tensor], atoms: int) -> list[int]:
    """A colour of each atom, from 1 on: no two cells that touch in any picture share one, if nine are enough.

    Args:
        pictures: the atom of each pixel, (size, size) each, of `owners`.
        atoms: their number.

    Example:
        >>> cell_colours([torch.tensor([[0, 1], [0, 1]])], 2)
        [1, 2]
    """
    pairs = []
    for owner in pictures:
        for axis in (0, 1):
            one, other = owner.unfold(axis, 2, 1).flatten(0, 1).unbind(dim=1)
            pairs.append(torch.stack([one, other])[:, one != other].unique(dim=1))
    near: list[set[int]] = [set() for _ in range(atoms)]
    for one, other in torch.cat(pairs, dim=1).T.tolist():
        near[one].add(other)
        near[other].add(one)
    chosen, counts = [0] * atoms, [0] * (len(LIGHT) + 1)
    for j in sorted(range(atoms), key=lambda j: -len(near[j])):
        taken = [chosen[i] for i in near[j]]
        # The colour that is rarest nearby, and among those the rarest of all.
        chosen[j] = min(range(1, len(LIGHT) + 1), key=lambda k: (taken.count(k), counts[k]))
        counts[chosen[j]] += 1
    return chosen


@checked
def plan(
    coupling: Plan, x: Cloud | None = None, y: Cloud | None = None, *, lines: Count = 2000, ax: Axes | None = None
) -> Axes:
    """A plan as lines between the points that it joins, the darker the more mass; or as its matrix, without points.

    Args:
        coupling: P, (n, m).
        x, y: the points of its rows and of its columns, (n, 2) and (m, 2); None for both shows P_ij over (j, i).
        lines: the most that are drawn: the pairs of the largest masses.
        ax: matplotlib axes to draw into; None makes a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: one of x and y alone, points outside of the plane, or other numbers of points than the plan has.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("agg")
        >>> from ot_gen import exact_plan, plot
        >>> plot.plan(exact_plan(torch.rand(4, 5))).get_ylabel()
        'i, row'
    """
    if x is None or y is None:
        if x is not y:
            raise ValueError("x and y are the points of rows and columns; give both, or none for the matrix")
        matrix = as_array(coupling.matrix)
        ax = axes_or_new(ax)
        shown = ax.imshow(matrix, cmap="Greys", vmin=0, aspect="auto", interpolation="nearest")
        ax.figure.colorbar(shown, ax=ax, label="mass P_ij", shrink=0.85)
        ax.set(xlabel="j, column", ylabel="i, row")
        return ax
    if x.shape[1] != 2 or y.shape[1] != 2 or (len(x), len(y)) != coupling.C.shape:
        n, m = coupling.C.shape
        raise ValueError(
            f"a plan {(n, m)} in the plane joins x ({n}, 2) and y ({m}, 2), got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    from matplotlib.collections import LineCollection

    i, j, mass = coupling.pairs
    kept = mass.topk(min(lines, len(mass))).indices
    ends = torch.stack([x[i[kept]], y[j[kept]]], dim=1)
    rows, columns = as_array(x), as_array(y)
    ax = axes_or_new(ax)
    if len(kept):
        shares = 0.6 * as_array(mass[kept] / mass[kept].max().clamp_min(1e-300))
        ax.add_collection(LineCollection(list(as_array(ends)), colors="black", linewidths=0.7, alpha=list(shares)))
    ax.scatter(*columns.T, color=DATA, label=f"columns ({len(y)})", zorder=2, **DOTS)
    ax.scatter(*rows.T, color=MODEL, label=f"rows ({len(x)})", zorder=2, **DOTS)
    ax.set(xlabel="x₁ (data units)", ylabel="x₂ (data units)", aspect="equal")
    legend(ax)
    return ax


@checked
def intervals(
    rows: Mapping[str, Certificate | Bracket | tuple[float, float]],
    *,
    floor: Certificate | Bracket | tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Intervals that hold W_c, one below the other, over those of real data in grey.

    Args:
        rows: by name: certificates, with their `.interval`, brackets, or (low, high).
        floor: an interval of real data for all rows; a certificate with a `reference` brings its own.
        ax: matplotlib axes to draw into; None makes a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: no rows, or an interval that is not low <= high, both finite.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("agg")
        >>> from ot_gen import plot
        >>> plot.intervals({"vae": (0.8, 1.0), "flow": (0.3, 0.4)}, floor=(0.1, 0.2)).get_xlabel()
        'W_c (units of the cost)'
    """
    if not rows:
        raise ValueError("there are no intervals to draw; give them by name")
    ends = {name: _ends(value) for name, value in rows.items()}
    common = None if floor is None else _ends(floor)
    ax = axes_or_new(ax, 5.6, 1.1 + 0.42 * len(rows))
    is_named = False
    for place, (name, (low, high)) in enumerate(ends.items()):
        own = getattr(rows[name], "reference", None)
        if (real := common if own is None else _ends(own)) is not None:
            ax.barh(place, real[1] - real[0], REAL, real[0], color=DATA, label=None if is_named else "real data")
            is_named = True
        ax.barh(place, high - low, REAL / 2, low, color=MODEL, edgecolor=MODEL)
    ax.set_yticks(range(len(ends)), list(ends))
    ax.set(ylim=(len(ends) - 0.5, -0.5), xlabel="W_c (units of the cost)")
    ax.set_xlim(left=min(0.0, ax.get_xlim()[0]))
    ax.grid(axis="x", alpha=0.25)
    ax.set_axisbelow(True)
    legend(ax)
    return ax


def _ends(value: Any) -> tuple[float, float]:
    low, high = value.interval if isinstance(value, Certificate) else value if isinstance(value, tuple) else _of(value)
    if not (low <= high and abs(low) <= FURTHEST and abs(high) <= FURTHEST):
        raise ValueError(f"an interval needs ends low <= high, within ±{FURTHEST:g} to be drawn, got ({low}, {high})")
    return low, high


def _of(bracket: Bracket) -> tuple[float, float]:
    return min(bracket.lower, bracket.upper), max(bracket.lower, bracket.upper)


def _table(of: LaguerreCells | SemidiscreteSolution) -> tuple[Tensor, Tensor | None, LaguerreCells]:
    solved = isinstance(of, SemidiscreteSolution)
    table = LaguerreCells(of.cost, of.nu.rows, of.h_tilde) if isinstance(of, SemidiscreteSolution) else of
    atoms = table.atoms[:] if isinstance(table.atoms, Pixels) else table.atoms
    if atoms.shape[1] != 2:
        raise ValueError(f"cells in the plane can be drawn, these atoms are in dimension {atoms.shape[1]}")
    return atoms, of.nu.weights if solved else None, table  # type: ignore[union-attr]


def _box(atoms: Tensor) -> Tensor:
    low, high = atoms.amin(dim=0), atoms.amax(dim=0)
    margin = (high - low).max().clamp_min(1e-6 * atoms.abs().max().clamp_min(1e-6)) / 3
    return torch.stack([low - margin, high + margin])
