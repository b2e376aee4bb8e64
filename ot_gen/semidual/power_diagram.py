"""The power diagram of atoms in the plane: which cells touch, and where their common edges begin and end."""

from __future__ import annotations

from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@final
class CellMasses(NamedTuple):
    """The masses P of cells, (m,), and ∂P_i/∂ψ_j = `flow` for the atoms i, j of `pairs`, whose cells touch, (e,).

    `flow` is the integral of the density over the common edge or face, divided by ‖a_i − a_j‖.
    """

    masses: Floats
    pairs: Ints
    flow: Floats

    @property
    def sound(self) -> bool:
        """Whether rounding has left the masses a probability: of cells far outside of the law it may not."""
        return abs(self.masses.sum() - 1) <= SOUND and self.masses.min() >= -SOUND


@final
class Edges(NamedTuple):
    """The edges, (e,) each: {z : z·n = h, low <= z·t <= high}, t the normal n turned left by a right angle.

    n points from the cell of the first atom of `pairs` into that of the second. Of a ray low or high is infinite.
    """

    pairs: Ints  # (e, 2)
    normal: Floats  # (e, 2), of length 1
    h: Floats
    low: Floats
    high: Floats
    gap: Floats  # ‖a_j − a_i‖

    @property
    def tangent(self) -> Floats:
        """t, (e, 2)."""
        return np.stack([-self.normal[:, 1], self.normal[:, 0]], axis=1)


@final
class PowerDiagram(NamedTuple):
    """The cells {z : z·a_j − ψ_j is the largest}, j = 1..m, in the plane.

    They are the power diagram of the atoms. Its dual, a regular triangulation, is the lower side of the convex hull
    of the lifted points (a_j, ψ_j): a triangle there has the slope z of the vertex where its three cells meet. An atom
    above the lower side has an empty cell.

    Attributes:
        atoms: a, (m, 2).
        psi: ψ, (m,).
        pairs: the atoms i < j of cells that share an edge, (e, 2).
        ends: the two vertices of each edge, (e, 2); −1 in place of the second one for a ray.
        opposite: an atom whose cell touches the first vertex too, (e,).
        vertices: (v, 2).

    Source: Aurenhammer, 1987, https://doi.org/10.1137/0216006

    Example:
        >>> diagram = PowerDiagram.of(np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]]), np.array([0.0, 1.0, 2.0]))
        >>> diagram.vertices
        array([[0.5, 1. ]])
    """

    atoms: Floats
    psi: Floats
    pairs: Ints
    ends: Ints
    opposite: Ints
    vertices: Floats

    @classmethod
    def of(cls, atoms: Floats, psi: Floats) -> PowerDiagram:
        """That of atoms which do not lie on one line.

        Raises:
            scipy.spatial.QhullError: they do, or to rounding.
        """
        from scipy.spatial import ConvexHull

        m = len(atoms)
        # One more point above all others leaves the lower side as it is, and no lifted points are coplanar.
        above = [*atoms.mean(axis=0), psi.max() + np.ptp(psi) + np.ptp(atoms)]
        hull = ConvexHull(np.vstack([np.column_stack([atoms, psi]), above]))
        lower = (hull.equations[:, 2] < -FLAT) & (hull.simplices < m).all(axis=1)
        triangles = hull.simplices[lower].astype(np.int64)
        planes = hull.equations[lower]
        number = np.tile(np.arange(len(triangles)), 3)
        sides = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
        key = sides[:, 0] * m + sides[:, 1]
        order = np.argsort(key, kind="stable")
        first = np.flatnonzero(np.diff(key[order], prepend=-1))
        shared = np.diff(first, append=len(key)) == 2
        second = np.where(shared, number[order[np.minimum(first + 1, len(key) - 1)]], -1)
        return cls(
            atoms=atoms,
            psi=psi,
            pairs=sides[order[first]],
            ends=np.stack([number[order[first]], second], axis=1),
            opposite=np.concatenate([triangles[:, 2], triangles[:, 0], triangles[:, 1]])[order[first]],
            vertices=-planes[:, :2] / planes[:, 2:3],
        )

    def edges(self) -> Edges:
        """All edges."""
        i, j = self.pairs.T
        across = self.atoms[j] - self.atoms[i]
        gap = np.hypot(across[:, 0], across[:, 1])
        normal = across / gap[:, None]
        tangent = np.stack([-normal[:, 1], normal[:, 0]], axis=1)
        one, other = ((self.vertices[end] * tangent).sum(axis=1) for end in self.ends.T)
        # A ray leaves the third cell at its vertex.
        away = ((self.atoms[i] - self.atoms[self.opposite]) * tangent).sum(axis=1) > 0
        other = np.where(self.ends[:, 1] < 0, np.where(away, np.inf, -np.inf), other)
        h = (self.psi[j] - self.psi[i]) / gap
        return Edges(self.pairs, normal, h, np.minimum(one, other), np.maximum(one, other), gap)


SOUND = 1e-9
FLAT = 1e-13  # the third part of a normal, below which a face of the hull counts as upright
