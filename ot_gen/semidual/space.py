"""Exact masses of the cells of a power diagram in space, of a Gaussian."""

from __future__ import annotations

import math
from typing import NamedTuple, final

import numpy as np

from ot_gen.semidual.power_diagram import FLAT, CellMasses, Floats, Ints

RADIUS = 9.0  # a ball with all but 1e-17 of the mass
WALLS = 30.0  # the distance of the atoms of its walls, in that of the farthest atom
# Nodes of quadrature along an edge, up to its length. The integrands are analytic, of scale 1.
NODES = ((1.0, 8), (4.0, 24), (math.inf, 64))


@final
class Corners(NamedTuple):
    """Each edge of each face, (k,): cells i and j share the face, and k has the edge of it with them.

    The face lies in {z : z·n = h}, n from i to j. In it the edge is {n h + p e + s t : low <= s <= high}, with e the
    normal of the edge that points out of the face, and t a right angle from it.
    """

    i: Ints
    j: Ints
    gap: Floats  # ‖a_j − a_i‖
    h: Floats
    p: Floats
    low: Floats
    high: Floats


def gaussian_polyhedra(atoms: Floats, psi: Floats) -> CellMasses:
    """The cells {z : z·a_j − ψ_j is the largest} of N(0, I) in space, for atoms (m, 3) and ψ (m,).

    The field z M(r) / 4πr³, r = ‖z‖, M(r) the mass of the ball of radius r, has the density as its divergence. Through
    a face at the distance h from the origin its flow is, in polar coordinates about the foot of the face, an integral
    along its edges,

        1/4π Σ ∫ p / (p² + s²) (erf(h/√2) − h erf(R/√2) / R) ds,     R² = h² + p² + s²

    and the mass of the face is e^(−h²/2) / √2π times that of a polygon in the plane, 1/2π Σ ∫ p / (p² + s²)
    (1 − e^(−(p² + s²)/2)) ds. Both integrands are analytic, so Gauss's quadrature is exact to rounding. Six more atoms
    far away wall in all cells, outside of a ball that has all mass.

    Raises:
        scipy.spatial.QhullError: the atoms lie in one plane, to rounding.

    Source: Aurenhammer, 1987, https://doi.org/10.1137/0216006 (power diagrams); the field is elementary

    Example:
        >>> atoms = np.concatenate([np.eye(3), -np.eye(3)])
        >>> (6 * gaussian_polyhedra(atoms, np.zeros(6)).masses).round(12).tolist()
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    m = len(atoms)
    walls = WALLS * np.abs(atoms).max() * np.concatenate([np.eye(3), -np.eye(3)])
    corners = _corners(
        np.concatenate([atoms, walls]), np.concatenate([psi, np.full(6, psi.min() + RADIUS * walls.max())]), m
    )
    flux, share = _integrals(corners)
    masses = _sums(corners.i, flux, m) - _sums(corners.j, flux, m + 6)[:m]
    inner = corners.j < m
    key, number = np.unique(corners.i[inner] * m + corners.j[inner], return_inverse=True)
    density = np.exp(-(corners.h[inner] ** 2) / 2) / math.sqrt(2 * math.pi)
    flow = _sums(number, density * share[inner] / corners.gap[inner], len(key))
    return CellMasses(masses, np.stack([key // m, key % m], axis=1), flow)


def _corners(atoms: Floats, psi: Floats, m: int) -> Corners:
    """Those of the faces of the first m cells."""
    from scipy.spatial import ConvexHull

    n = len(atoms)
    above = [0.0, 0.0, 0.0, psi.max() + np.ptp(psi) + np.ptp(atoms)]
    hull = ConvexHull(np.vstack([np.column_stack([atoms, psi]), above]))
    lower = (hull.equations[:, 3] < -FLAT) & (hull.simplices < n).all(axis=1)
    solids = np.sort(hull.simplices[lower].astype(np.int64), axis=1)
    vertices = -hull.equations[lower, :3] / hull.equations[lower, 3:4]
    sides = np.concatenate([solids[:, [1, 2, 3]], solids[:, [0, 2, 3]], solids[:, [0, 1, 3]], solids[:, [0, 1, 2]]])
    number = np.tile(np.arange(len(solids)), 4)
    key = (sides[:, 0] * n + sides[:, 1]) * n + sides[:, 2]
    order = np.argsort(key, kind="stable")
    first = np.flatnonzero(np.diff(key[order]) == 0)  # the edge of three cells joins two vertices
    first = first[sides[order[first], 0] < m]
    one, two, three = sides[order[first]].T
    i, j, k = (np.concatenate(each) for each in ((one, one, two), (two, three, three), (three, two, one)))
    ends = [np.tile(vertices[number[order[each]]], (3, 1)) for each in (first, first + 1)]
    kept = i < m
    i, j, k, ends = i[kept], j[kept], k[kept], [each[kept] for each in ends]

    across, aside = atoms[j] - atoms[i], atoms[k] - atoms[i]
    gap = np.linalg.norm(across, axis=1)
    normal = across / gap[:, None]
    h = (psi[j] - psi[i]) / gap
    along = (aside * normal).sum(axis=1)
    outward = aside - along[:, None] * normal
    length = np.linalg.norm(outward, axis=1)
    length[length <= FLAT * np.linalg.norm(aside, axis=1)] = (
        np.inf
    )  # atoms on one line: a flat solid, an edge of a point
    tangent = np.cross(normal, outward / length[:, None])
    low, high = np.sort([(end * tangent).sum(axis=1) for end in ends], axis=0)
    return Corners(i, j, gap, h, (psi[k] - psi[i] - along * h) / length, low, high)


def _integrals(corners: Corners) -> tuple[Floats, Floats]:
    """The flow of the field through the parts of a face that belong to its edges, and their mass in its plane."""
    from scipy.special import erf

    flux, share = np.zeros_like(corners.h), np.zeros_like(corners.h)
    shortest = -math.inf
    for longest, count in NODES:
        length = corners.high - corners.low
        part = (length > shortest) & (length <= longest)
        shortest = longest
        nodes, weights = np.polynomial.legendre.leggauss(count)
        h, p, low, half = (each[part, None] for each in (corners.h, corners.p, corners.low, length / 2))
        squares = p**2 + (low + half * (1 + nodes)) ** 2
        squares = np.maximum(squares, np.finfo(float).tiny)
        kernel = half * weights * p / squares
        r = np.sqrt(h**2 + squares)
        flux[part] = (kernel * (erf(h / math.sqrt(2)) - h * erf(r / math.sqrt(2)) / r)).sum(axis=1) / (4 * math.pi)
        share[part] = (kernel * -np.expm1(-squares / 2)).sum(axis=1) / (2 * math.pi)
    return flux, share


def _sums(group: Ints, parts: Floats, count: int) -> Floats:
    return np.bincount(group, parts, count).astype(np.float64, copy=False)
