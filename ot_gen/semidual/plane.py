"""Semi-discrete transport in the plane by geometry: exact masses of the cells, and damped Newton's method."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, final

import numpy as np

from ot_gen.semidual.line import monotone
from ot_gen.semidual.plane_laws import StandardLaw
from ot_gen.semidual.power_diagram import Floats, Ints, PowerDiagram

STEPS, HALVINGS = 100, 20  # of Newton's method, and of one of its steps, at most
EXACT = 1e-9  # ‖P − b‖₁ where it ends
DAMPING = 1e-9  # of the Hessian, for cells without mass


@final
class _State(NamedTuple):
    """ψ, the masses P, and the flow along the edges between the atoms of `pairs`."""

    psi: Floats
    masses: Floats
    pairs: Ints
    flow: Floats


@final
class PlaneProblem:
    """min over ψ of K(ψ) = E[max_j z·a_j − ψ_j] + Σ_j b_j ψ_j, z of a law on the plane.

    K is convex, ∇K = b − P, and ∇²K is the Laplacian of the graph of cells that touch, with weights `CellMasses.flow`.
    Steps of Newton's method are halved until each cell keeps half of the least mass, and the error falls in
    proportion; then they converge, in the end quadratically. They begin where each cell has mass: at the table of the
    monotone maps of both coordinates. There the cell of y_j holds a rectangle of mass b_j² or more.

    Args:
        law: of z.
        atoms: a, (m, 2), distinct and not on one line; of size 1.
        weights: b > 0, (m,), Σ_j b_j = 1.

    Source: Kitagawa, Mérigot, Thibert, 2019, https://arxiv.org/abs/1603.05579

    Example:
        >>> from ot_gen.semidual.plane_laws import GaussianLaw
        >>> atoms = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
        >>> problem = PlaneProblem(GaussianLaw(), atoms, np.array([0.5, 0.25, 0.25]))
        >>> problem.masses(problem.solve()).round(9).tolist()
        [0.5, 0.25, 0.25]
    """

    def __init__(self, law: StandardLaw, atoms: Floats, weights: Floats) -> None:
        self.law, self.atoms, self.b = law, atoms, weights

    def masses(self, psi: Floats) -> Floats:
        """P, (m,)."""
        return self._state(psi).masses

    def measured(self, psi: Floats, rounding: Floats) -> tuple[Floats, float]:
        """P, (m,), and about ‖δP‖₁ where independent errors of the size `rounding`, (m,), spoil ψ."""
        state = self._state(psi)
        (i, j), masses = state.pairs.T, state.masses
        passed = np.minimum(state.flow * np.hypot(rounding[i], rounding[j]), np.minimum(masses[i], masses[j]))
        return masses, float(2 * passed.sum())

    def solve(self, spent: Callable[[], bool] = lambda: False) -> Floats:
        """ψ, (m,), with ‖P − b‖₁ <= `EXACT`, or as near to it as the steps come until `spent`."""
        from scipy.spatial import QhullError

        psi = self._start()
        try:
            state = self._state(psi)
        except QhullError:  # atoms that rounding moves into one line
            return psi
        least = min(self.b.min(), state.masses.min()) / 2
        for _ in range(STEPS):
            if np.abs(state.masses - self.b).sum() <= EXACT or spent():
                break
            step = self._newton(state)
            share, reached = 1.0, self._reached(state, step, 1.0, least)
            while reached is None and share > 2.0**-HALVINGS:
                share /= 2
                reached = self._reached(state, step, share, least)
            if reached is None:
                break
            state = reached
        return state.psi

    def _start(self) -> Floats:
        return np.asarray(sum(monotone(a, self.b, self.law.quantiles) for a in self.atoms.T))

    def _state(self, psi: Floats) -> _State:
        diagram = PowerDiagram.of(self.atoms, psi)
        masses, flow = self.law.cells(diagram)
        return _State(psi, masses, diagram.pairs, flow)

    def _reached(self, state: _State, step: Floats, share: float, least: float) -> _State | None:
        """Where a share of the step leads, or None where it is too long."""
        from scipy.spatial import QhullError

        try:
            new = self._state(state.psi + share * step)
        except QhullError:
            return None
        error, before = (float(np.linalg.norm(each.masses - self.b)) for each in (new, state))
        return new if new.masses.min() >= least and error <= (1 - share / 2) * before else None

    def _newton(self, state: _State) -> Floats:
        """The step −(∇²K)⁻¹ ∇K."""
        from scipy.sparse import coo_array, diags_array
        from scipy.sparse.linalg import splu

        m = len(self.b)
        i, j = state.pairs.T
        entries = (np.concatenate([state.flow, state.flow]), (np.concatenate([i, j]), np.concatenate([j, i])))
        adjacency = coo_array(entries, shape=(m, m)).tocsc()
        diagonal = adjacency.sum(axis=0) + DAMPING * self.b
        laplacian = (diags_array(diagonal) - adjacency).tocsc()
        factors = splu(laplacian, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
        return np.asarray(factors.solve(state.masses - self.b))
