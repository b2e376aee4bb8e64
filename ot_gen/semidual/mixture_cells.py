"""Exact masses of the cells of a power diagram in the plane, of mixtures of Gaussians and of rectangles."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import NamedTuple, final

import numpy as np

from ot_gen.semidual.plane import gaussian_cells, square_cells
from ot_gen.semidual.power_diagram import CellMasses, Floats, PowerDiagram
from ot_gen.semidual.standard_laws import CellLaw

REACH = 6.5  # deviations, beyond which an edge parts less than 1e-10 of a Gaussian
MANY, GROUP = 64, 5  # parts, and those of a group where there are so many
PART = 2**20  # of edges and components that are compared together


@final
class MixtureParts(NamedTuple):
    """The laws of m_k + L_k u, k = 1..K, u of one standard law, with their weights: (K,), (K, 2), (K, 2, 2)."""

    weights: Floats
    means: Floats
    factors: Floats  # lower triangular, of positive diagonals

    def seen_from(self, shift: Floats, factor: Floats) -> MixtureParts:
        """Those of z with m_k + L_k u = shift + factor z."""
        inverse = np.linalg.inv(factor)
        return MixtureParts(self.weights, (self.means - shift) @ inverse.T, inverse @ self.factors)

    def merged(self, size: int) -> MixtureParts:
        """Groups of so many consecutive parts in one, of their mean and covariance, as along a curve."""
        groups = [
            MixtureParts(*(each[first : first + size] for each in self)) for first in range(0, len(self.weights), size)
        ]
        weights = np.array([group.weights.sum() for group in groups])
        groups = [group._replace(weights=group.weights / group.weights.sum()) for group in groups]
        return MixtureParts(
            weights, np.stack([group.mean for group in groups]), np.stack([group.factor for group in groups])
        )

    @property
    def mean(self) -> Floats:
        """Σ_k w_k m_k, (2,)."""
        return np.asarray(self.weights @ self.means)

    @property
    def factor(self) -> Floats:
        """L, lower triangular, with L Lᵀ the covariance, (2, 2)."""
        around = self.means - self.mean
        within = self.factors @ self.factors.transpose(0, 2, 1)
        each = within + around[:, :, None] * around[:, None, :]
        return np.asarray(np.linalg.cholesky(np.tensordot(self.weights, each, axes=1)))


class PartedLaw(CellLaw):
    """A mixture in the plane, of mean 0 and covariance I. It may have no mass between its parts.

    Args:
        parts: the laws of which it is the mixture.
    """

    dims = (2,)

    def __init__(self, parts: MixtureParts) -> None:
        self.parts = parts

    def cells(self, atoms: Floats, psi: Floats) -> CellMasses:
        return self.of(PowerDiagram.of(atoms, psi))

    @property
    def coarse(self) -> PartedLaw:
        """One that is similar, and quicker to evaluate if there are many parts."""
        return self

    @abstractmethod
    def of(self, diagram: PowerDiagram) -> CellMasses:
        """The masses of the cells of a diagram."""


@final
class Between(CellLaw):
    """(1 − t) N(0, I) + t times a mixture, 0 <= t <= 1: below 1 it has mass everywhere.

    Example:
        >>> law = Between(RectanglesLaw(MixtureParts(np.ones(1), np.zeros((1, 2)), np.eye(2)[None])), 0.5)
        >>> float(law.cells(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]), np.zeros(3)).masses.sum().round(9))
        1.0
    """

    dims = (2,)

    def __init__(self, law: PartedLaw, share: float) -> None:
        self.law, self.share = law, share

    def cells(self, atoms: Floats, psi: Floats) -> CellMasses:
        diagram = PowerDiagram.of(atoms, psi)
        (masses, pairs, flow), ours = gaussian_cells(diagram), self.law.of(diagram)
        t = self.share
        return CellMasses((1 - t) * masses + t * ours.masses, pairs, (1 - t) * flow + t * ours.flow)


@final
class GaussianMixtureLaw(PartedLaw):
    """Σ_k w_k N(m_k, L_k L_kᵀ) in the plane.

    The field of `gaussian_cells`, less that of a point of mass at the mean, z e^(−‖z‖²/2) / (2π ‖z‖²), flows through no
    edge that is far away. So the mass of a cell is that of the means in it, and a sum over pairs of an edge and a
    component near it.

    Example:
        >>> far = MixtureParts(np.array([0.25, 0.75]), np.array([[-9.0, 0.0], [9.0, 0.0]]), np.stack([np.eye(2)] * 2))
        >>> atoms = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 1e-6]])
        >>> GaussianMixtureLaw(far).cells(atoms, np.array([0.0, 0.0, 9.0])).masses.round(6)
        array([0.25, 0.75, 0.  ])
    """

    @property
    def coarse(self) -> PartedLaw:
        return GaussianMixtureLaw(self.parts.merged(GROUP)) if len(self.parts.weights) >= MANY else self

    def of(self, diagram: PowerDiagram) -> CellMasses:
        from scipy.special import ndtr, owens_t

        atoms, psi, edges, m = diagram.atoms, diagram.psi, diagram.edges(), len(diagram.atoms)
        weights, means, factors = self.parts
        within = (means @ atoms.T - psi).argmax(axis=1)
        masses: Floats = np.bincount(within, weights, m).astype(float)
        flow = np.zeros(len(edges.h))
        reach = REACH * np.linalg.norm(factors, axis=(1, 2))
        edge_tangents = edges.tangent
        for part in np.array_split(np.arange(len(means)), -(-len(means) * len(edges.h) // PART)):
            across = edges.h - means[part] @ edges.normal.T
            which, e = np.nonzero(np.abs(across) <= reach[part, None])
            k, across = part[which], across[which, e]
            along = (means[k] * edge_tangents[e]).sum(axis=1)
            low, high = edges.low[e] - along, edges.high[e] - along
            near = np.maximum(np.maximum(low, -high), 0) ** 2 + across**2 <= reach[k] ** 2
            k, e, across, low, high = (each[near] for each in (k, e, across, low, high))
            (i, j), (n1, n2) = edges.pairs[e].T, edges.normal[e].T
            # In the coordinates of u: the normal Lᵀ n, of length `stretched`, and places L⁻¹(n across + t s) along it.
            a, c, b = factors[k, 0, 0], factors[k, 1, 0], factors[k, 1, 1]
            u1, u2 = a * n1 + c * n2, b * n2
            stretched = np.hypot(u1, u2)
            length = stretched / (a * b)
            skew = across * (u1 * (n2 - c * n1 / a) / b - u2 * n1 / a) / stretched
            h = across / stretched
            low, high = length * low + skew, length * high + skew
            sign = np.where(within[k] == i, 1.0, np.where(within[k] == j, -1.0, np.sign(h)))
            size = np.maximum(np.abs(h), np.finfo(float).tiny)
            with np.errstate(over="ignore"):
                flux = -sign * weights[k] * (owens_t(size, high / size) - owens_t(size, low / size))
            masses += np.bincount(i, flux, m) - np.bincount(j, flux, m)
            side = np.where(low + high > 0, -1, 1)  # of two tails the smaller one keeps its digits
            mass = np.abs(ndtr(side * high) - ndtr(side * low))
            density = weights[k] * np.exp(-(h**2) / 2) / math.sqrt(2 * math.pi)
            flow += np.bincount(e, density * mass / (edges.gap[e] * stretched), len(flow))
        return CellMasses(masses, edges.pairs, flow)


@final
class RectanglesLaw(PartedLaw):
    """Σ_k w_k times the uniform law on the rectangle m_k + L_k [−√3, √3]², L_k diagonal.

    Example:
        >>> two = MixtureParts(np.array([0.5, 0.5]), np.array([[-9.0, 0.0], [9.0, 0.0]]), np.stack([np.eye(2)] * 2))
        >>> atoms = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 1e-6]])
        >>> RectanglesLaw(two).cells(atoms, np.array([0.0, 0.0, 9.0])).masses.round(6)
        array([0.5, 0.5, 0. ])
    """

    def of(self, diagram: PowerDiagram) -> CellMasses:
        atoms, psi = diagram.atoms, diagram.psi
        masses, flow = np.zeros(len(atoms)), np.zeros(len(diagram.pairs))
        for weight, mean, factor in zip(*self.parts, strict=True):
            scale = factor.diagonal()
            seen = diagram._replace(
                atoms=atoms * scale, psi=psi - atoms @ mean, vertices=(diagram.vertices - mean) / scale
            )
            part = square_cells(seen)
            masses, flow = masses + weight * part.masses, flow + weight * part.flow
        return CellMasses(masses, diagram.pairs, flow)
