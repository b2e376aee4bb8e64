"""Semi-discrete transport in the plane and in space by geometry: damped Newton's method on exact masses."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, final

import numpy as np

from ot_gen.semidual.line import monotone
from ot_gen.semidual.mixture_cells import Between, PartedLaw
from ot_gen.semidual.power_diagram import CellMasses, Floats
from ot_gen.semidual.standard_laws import CellLaw, GaussianLaw, StandardLaw

STEPS, HALVINGS = 100, 20  # of Newton's method, and of one of its steps, at most
LONGER = 8.0  # than the last step, at most, in shares of Newton's
NEARLY_EXACT, EXACT = 1e-6, 1e-9  # ‖P − b‖₁ where steps are whole, and where they end
HALVES, PART = 10, 0.1  # of a Gaussian on the way to a mixture; the error there, in shares of what is left
COARSE = 0.01  # what is left where all parts of the mixture are needed
DAMPING = 1e-9  # of the Hessian, for cells without mass


@final
class _State(NamedTuple):
    """ψ and its cells."""

    psi: Floats
    cells: CellMasses


@final
class CellProblem:
    """min over ψ of K(ψ) = E[max_j z·a_j − ψ_j] + Σ_j b_j ψ_j, z of a law.

    K is convex, ∇K = b − P, and ∇²K is the Laplacian of the graph of cells that touch, with weights `CellMasses.flow`.
    Steps of Newton's method are halved until each cell keeps half of the least mass, and the error falls in
    proportion; then they converge, in the end quadratically. They begin where each cell has mass: at the table of the
    monotone maps of the coordinates for the weights (b_j + 1/m) / 2, where the cell of y_j holds a box of mass (2m)^−d
    or more. For a mixture, which may have no mass there, they begin at the table of a Gaussian, and half of what is
    left of it goes at a time: then each cell keeps half of its mass.

    Args:
        law: of z, independent coordinates or a mixture.
        atoms: a, (m, d), d in `law.dims`, distinct and in no smaller space; of size 1.
        weights: b > 0, (m,), Σ_j b_j = 1.

    Source: Kitagawa, Mérigot, Thibert, 2019, https://arxiv.org/abs/1603.05579

    Example:
        >>> from ot_gen.semidual.standard_laws import GaussianLaw
        >>> atoms = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
        >>> problem = CellProblem(GaussianLaw(), atoms, np.array([0.5, 0.25, 0.25]))
        >>> problem.masses(problem.solve()).round(9).tolist()
        [0.5, 0.25, 0.25]
    """

    def __init__(self, law: CellLaw, atoms: Floats, weights: Floats) -> None:
        self.law, self.atoms, self.b = law, atoms, weights

    def masses(self, psi: Floats) -> Floats:
        """P, (m,)."""
        return self.law.cells(self.atoms, psi).masses

    def measured(self, psi: Floats, rounding: Floats) -> tuple[Floats, float]:
        """P, (m,), and about ‖δP‖₁ where independent errors of the size `rounding`, (m,), spoil ψ.

        Raises:
            ArithmeticError: the masses are not those of a probability, as for cells far outside of the law.
        """
        cells = self.law.cells(self.atoms, psi)
        if not cells.sound:
            raise ArithmeticError("rounding leaves no exact masses of cells")
        masses, pairs, flow = cells
        i, j = pairs.T
        passed = np.minimum(flow * np.hypot(rounding[i], rounding[j]), np.minimum(masses[i], masses[j]))
        return masses, float(2 * passed.sum())

    def solve(self, spent: Callable[[], bool] = lambda: False) -> Floats:
        """ψ, (m,), with ‖P − b‖₁ <= `EXACT`, or as near to it as the steps come until `spent`."""
        if not isinstance(self.law, PartedLaw):
            return self._solved(self._start(), EXACT, spent)
        psi = CellProblem(GaussianLaw(), self.atoms, self.b).solve(spent)
        for left in 0.5 ** np.arange(1, HALVES + 1):
            law = self.law.coarse if left > COARSE else self.law
            psi = CellProblem(Between(law, 1 - left), self.atoms, self.b)._solved(psi, PART * left, spent)
        return self._solved(psi, EXACT, spent)

    def _solved(self, psi: Floats, enough: float, spent: Callable[[], bool]) -> Floats:
        """ψ after steps from another ψ whose cells have mass, until ‖P − b‖₁ <= `enough`."""
        state = _State(psi, self.law.cells(self.atoms, psi))
        least = min(self.b.min(), state.cells.masses.min()) / 2
        share = 1.0
        for _ in range(STEPS):
            error = float(np.abs(state.cells.masses - self.b).sum())
            if error <= enough or spent():
                break
            step = self._newton(state.cells)
            # So near to the end, steps are taken whole, or rounding is all that is left.
            share = min(1.0, LONGER * share) if error > NEARLY_EXACT else 1.0
            reached = self._reached(state, share * step, least, share)
            while reached is None and error > NEARLY_EXACT and share > 2.0**-HALVINGS and not spent():
                share /= 2
                reached = self._reached(state, share * step, least, share)
            if reached is None:
                break
            state = reached
        return state.psi

    def _start(self) -> Floats:
        assert isinstance(self.law, StandardLaw)
        shares = (self.b + 1 / len(self.b)) / 2
        return np.asarray(sum(monotone(a, shares, self.law.quantiles) for a in self.atoms.T))

    def _reached(self, state: _State, step: Floats, least: float, share: float) -> _State | None:
        """Where a step leads that is this share of Newton's, or None where it is too long."""
        new = _State(psi := state.psi + step, self.law.cells(self.atoms, psi))
        error, before = (float(np.linalg.norm(each.cells.masses - self.b)) for each in (new, state))
        kept = new.cells.sound and new.cells.masses.min() >= least
        return new if kept and error <= (1 - share / 2) * before else None

    def _newton(self, cells: CellMasses) -> Floats:
        """The step −(∇²K)⁻¹ ∇K."""
        from scipy.sparse import coo_array, diags_array
        from scipy.sparse.linalg import splu

        m = len(self.b)
        i, j = cells.pairs.T
        entries = (np.concatenate([cells.flow, cells.flow]), (np.concatenate([i, j]), np.concatenate([j, i])))
        adjacency = coo_array(entries, shape=(m, m)).tocsc()
        diagonal = adjacency.sum(axis=0) + DAMPING * self.b
        laplacian = (diags_array(diagonal) - adjacency).tocsc()
        try:
            factors = splu(laplacian, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0, options={"SymmetricMode": True})
        except RuntimeError as error:  # singular: cells without mass
            raise ArithmeticError("rounding leaves no step") from error
        return np.asarray(factors.solve(cells.masses - self.b))
