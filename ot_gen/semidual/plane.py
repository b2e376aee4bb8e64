"""Exact masses of the cells of a power diagram in the plane, of a Gaussian and of the uniform law on a square."""

from __future__ import annotations

import math

import numpy as np

from ot_gen.semidual.power_diagram import CellMasses, Edges, Floats, PowerDiagram

HALF = math.sqrt(3)  # the half width of the square of variance 1
NEARLY = 1e-9  # turns by which rounding may carry an angle below 0


def gaussian_cells(diagram: PowerDiagram) -> CellMasses:
    """The cells of N(0, I).

    The field z (1 − e^(−‖z‖²/2)) / (2π ‖z‖²) has the density as its divergence. So the mass of a cell is a sum over its
    edges. At the distance h from the origin, an edge from s to t gives W(h, t) − W(h, s), where W(h, t) =
    arctan(t/h) / 2π − T(h, t/h) and T is Owen's function. A cell without bound has an arc at infinity besides, of its
    opening angle / 2π.

    Source: Owen, 1956, https://doi.org/10.1214/aoms/1177728074 (the function T)

    Example:
        >>> atoms = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> gaussian_cells(PowerDiagram.of(atoms, np.zeros(4))).masses.round(12).tolist()
        [0.25, 0.25, 0.25, 0.25]
    """
    from scipy.special import ndtr, owens_t

    edges, m = diagram.edges(), len(diagram.atoms)
    h = np.maximum(np.abs(edges.h), np.finfo(float).tiny)
    with np.errstate(over="ignore"):
        low, high = edges.low / h, edges.high / h
    turned = (np.arctan(high) - np.arctan(low)) / (2 * math.pi)
    flux = np.sign(edges.h) * (turned - owens_t(h, high) + owens_t(h, low))
    i, j = edges.pairs.T
    masses = np.bincount(i, flux, m) - np.bincount(j, flux, m) + _arcs(edges, m)
    # Of the two tails of an interval the smaller one keeps its digits.
    side = np.where(edges.low + edges.high > 0, -1, 1)
    mass = np.abs(ndtr(side * edges.high) - ndtr(side * edges.low))
    density = np.exp(-(edges.h**2) / 2) / math.sqrt(2 * math.pi)
    return CellMasses(masses, edges.pairs, density * mass / edges.gap)


def square_cells(diagram: PowerDiagram) -> CellMasses:
    """The cells of the uniform law on [−√3, √3]².

    The field (z_1 + √3, 0) has the divergence 1 and flows through no side but the right one. So the area of a cell is a
    sum over its edges, cut off at the square, and over its part of that side.

    Example:
        >>> atoms = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> square_cells(PowerDiagram.of(atoms, np.zeros(4))).masses.round(12).tolist()
        [0.25, 0.25, 0.25, 0.25]
    """
    edges, m = diagram.edges(), len(diagram.atoms)
    foot, tangent = edges.normal * edges.h[:, None], edges.tangent
    start, stop = _within(foot, tangent, edges.low, edges.high)
    length = np.maximum(stop - start, 0)
    with np.errstate(invalid="ignore"):  # rays that miss the square
        middle = foot[:, 0] + tangent[:, 0] * (start + stop) / 2 + HALF
        flux = np.where(length > 0, middle * length * edges.normal[:, 0], 0)
    i, j = edges.pairs.T
    area = 4 * HALF**2
    masses = np.bincount(i, flux, m) - np.bincount(j, flux, m) + 2 * HALF * _right_side(diagram, edges)
    return CellMasses(masses / area, edges.pairs, length / area / edges.gap)


def _within(foot: Floats, tangent: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """The part of each edge in the square; it is empty where the second number is not above the first."""
    for axis in (0, 1):
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = (np.array([[-HALF], [HALF]]) - foot[:, axis]) / tangent[:, axis]
        level = tangent[:, axis] == 0
        inside = np.abs(foot[:, axis]) <= HALF
        first = np.where(level, np.where(inside, -np.inf, np.inf), ends.min(axis=0))
        last = np.where(level, np.where(inside, np.inf, -np.inf), ends.max(axis=0))
        low, high = np.maximum(low, first), np.minimum(high, last)
    return low, high


def _right_side(diagram: PowerDiagram, edges: Edges) -> Floats:
    """The length that each cell has of the side z_1 = √3, (m,)."""
    m = len(diagram.atoms)
    i, j = edges.pairs.T
    n1, n2 = edges.normal.T
    # On the line, ends of edges lie to the right or to the left, each vertex for all its edges alike.
    right = diagram.vertices[:, 0] > HALF
    begin, end = right[diagram.ends[:, 0]], right[diagram.ends[:, 1]]
    outward = np.where(np.isinf(edges.high), -n2, n2)  # the first coordinate of the direction of a ray
    end = np.where(diagram.ends[:, 1] < 0, np.where(outward == 0, begin, outward > 0), end)
    crossing = np.flatnonzero((begin != end) & (n2 != 0))
    place = np.clip((edges.h - n1 * HALF)[crossing] / n2[crossing], -HALF, HALF)
    # Upwards along the line a_2 increases from cell to cell.
    upper = np.where(n2 > 0, j, i)[crossing]
    lower = np.where(n2 > 0, i, j)[crossing]
    bottom, top = np.full(m, np.nan), np.full(m, np.nan)
    bottom[upper], top[lower] = place, place
    met = ~(np.isnan(bottom) & np.isnan(top))
    if not met.any():
        met[np.argmax(diagram.atoms @ np.array([HALF, 0.0]) - diagram.psi)] = True
    length = np.nan_to_num(top, nan=HALF) - np.nan_to_num(bottom, nan=-HALF)
    return np.where(met, np.maximum(length, 0), 0)


def _arcs(edges: Edges, m: int) -> Floats:
    """The opening angle of each of m cells at infinity, in turns, (m,)."""
    turn = np.arctan2(edges.normal[:, 1], edges.normal[:, 0]) / (2 * math.pi)
    arcs, without_bound = np.zeros(m), np.zeros(m, dtype=bool)
    # Of a ray in the direction of the tangent the first cell is on the left, of one against it the second.
    for ray, angle in ((edges.high == np.inf, turn + 0.25), (edges.low == -np.inf, 0.25 - turn)):
        i, j = edges.pairs[ray].T
        np.subtract.at(arcs, i, angle[ray])
        np.add.at(arcs, j, angle[ray])
        without_bound[edges.pairs[ray]] = True
    return np.where(without_bound, (arcs + NEARLY) % 1 - NEARLY, 0)
