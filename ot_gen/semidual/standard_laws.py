"""Laws whose cells have exact masses, in standard coordinates: Gaussian, and uniform on a square."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import numpy as np

from ot_gen.semidual.plane import HALF, gaussian_cells, square_cells
from ot_gen.semidual.power_diagram import CellMasses, Floats, PowerDiagram
from ot_gen.semidual.space import gaussian_polyhedra


class CellLaw(ABC):
    """A law with mean 0 and covariance I whose cells have exact masses.

    Attributes:
        dims: the dimensions d >= 2 in which `cells` is known.
    """

    dims: tuple[int, ...]

    @abstractmethod
    def cells(self, atoms: Floats, psi: Floats) -> CellMasses:
        """The exact masses of the cells {z : z·a_j − ψ_j is the largest}, of atoms (m, d) and ψ (m,).

        Raises:
            scipy.spatial.QhullError: the atoms do not span the space, to rounding.
        """


class StandardLaw(CellLaw):
    """Such a law with independent, equal coordinates.

    Attributes:
        turns: whether every projection of it is such a law too.
    """

    turns: bool

    @abstractmethod
    def quantiles(self, levels: Floats) -> Floats:
        """Those of a coordinate, (n,), at levels in (0, 1)."""

    @abstractmethod
    def levels(self, quantiles: Floats) -> Floats:
        """The mass of a coordinate below a number, (n,)."""


@final
class GaussianLaw(StandardLaw):
    """N(0, I).

    Example:
        >>> GaussianLaw().cells(np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]), np.zeros(3)).masses.round(3)
        array([0.301, 0.301, 0.398])
    """

    dims = (2, 3)
    turns = True

    def cells(self, atoms: Floats, psi: Floats) -> CellMasses:
        return gaussian_polyhedra(atoms, psi) if atoms.shape[1] == 3 else gaussian_cells(PowerDiagram.of(atoms, psi))

    def quantiles(self, levels: Floats) -> Floats:
        from scipy.special import ndtri

        return np.asarray(ndtri(levels))

    def levels(self, quantiles: Floats) -> Floats:
        from scipy.special import ndtr

        return np.asarray(ndtr(quantiles))


@final
class SquareLaw(StandardLaw):
    """The uniform law on [−√3, √3]^d.

    Example:
        >>> SquareLaw().cells(np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]), np.zeros(3)).masses.round(4)
        array([0.3125, 0.3125, 0.375 ])
    """

    dims = (2,)
    turns = False

    def cells(self, atoms: Floats, psi: Floats) -> CellMasses:
        return square_cells(PowerDiagram.of(atoms, psi))

    def quantiles(self, levels: Floats) -> Floats:
        return HALF * (2 * levels - 1)

    def levels(self, quantiles: Floats) -> Floats:
        return np.clip((quantiles / HALF + 1) / 2, 0, 1)
