"""The atoms that compete for each point of a sample, and Newton's step on the soft semi-dual of that sample."""

from __future__ import annotations

from typing import Any, NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ot_gen.semidual.aim import Aim, Aimed
from ot_gen.semidual.power_diagram import Floats
from ot_gen.semidual.scores import Scores

WINDOW = 14.0  # in ε: what is farther from a point's best score has a share below 1e-6
SEEN = 1e-3  # shares between this and 1 less this enter the Hessian
FREELY = 4.0  # in ε: how far an atom moves that hardly competes
DAMPING, STEPS = 1e-2, 8  # of a step, at least; without it slow modes follow the noise
SPARSE = 8  # entries a point, up to which the Hessian is a matrix


@final
class Soft(NamedTuple):
    """At a table: the value D, the masses p of the cells, (m,), their aim, and the shares of the rivals, (e,)."""

    value: float
    masses: Floats
    aim: Aimed
    shares: Floats


@final
class Rivals:
    """The soft semi-dual of a sample, up to a constant, over pairs (i, j) with c_ij − h̃_j near the least.

        D(h̃) = −(ε/n) Σ_i log Σ_j exp((h̃_j − c_ij) / ε) + Σ_j b_j h̃_j

    Near is within `WINDOW` · ε. An atom that is nobody's rival is raised until it just becomes one: to the c-transform
    of the sample's potential.

    Args:
        scores: the cost and the atoms.
        aim: b, (m,), or what a table leaves of it, with its term of D.
        x: the sample, (n, d).
        table: h̃, (m,); raised atoms differ in the attribute of this name.
        epsilon: ε.
    """

    def __init__(self, scores: Scores, aim: Aim, x: Tensor, table: Floats, epsilon: float) -> None:
        self.aim, self.b, self.epsilon, self.table = aim, aim.given, epsilon, table
        self._collect(scores, x)
        if (absent := self.counts == 0).any():
            self.table = table + np.where(absent, _clearance(scores, x, table), 0)
            self._collect(scores, x)

    def _collect(self, scores: Scores, x: Tensor) -> None:
        h_tilde, window = torch.from_numpy(self.table).to(scores.atoms.device, scores.dtype), WINDOW * self.epsilon
        columns, costs, lengths = [], [], []
        for part in scores.reduced(x):
            gap = part - h_tilde
            i, j = (gap <= gap.amin(dim=1, keepdim=True) + window).nonzero(as_tuple=True)
            columns.append(j.cpu().numpy())
            costs.append(part[i, j].double().cpu().numpy())
            lengths.append(torch.bincount(i, minlength=len(part)).cpu().numpy())
        self.columns, self.costs = np.concatenate(columns), np.concatenate(costs)
        self.lengths: NDArray[np.int64] = np.concatenate(lengths)
        self.starts = np.cumsum(self.lengths) - self.lengths
        self.counts = np.bincount(self.columns, minlength=len(self.b))

    def at(self, table: Floats) -> Soft:
        """D, p and the shares at a table, (m,)."""
        shares = (table[self.columns] - self.costs) / self.epsilon
        top = np.maximum.reduceat(shares, self.starts)
        shares -= np.repeat(top, self.lengths)
        np.exp(shares, out=shares)
        total = np.add.reduceat(shares, self.starts)
        shares /= np.repeat(total, self.lengths)
        masses = np.bincount(self.columns, shares, len(self.b)) / len(total)
        aim = self.aim.at(table)
        return Soft(float(aim.value - self.epsilon * np.mean(np.log(total) + top)), masses, aim, shares)

    def competing(self, soft: Soft) -> float:
        """E_i (Σ_j P_ij²)⁻¹, the number of atoms that compete for a point."""
        return float(np.mean(1 / np.add.reduceat(soft.shares**2, self.starts)))

    def solve(self, soft: Soft, tol: float) -> Floats:
        """The table, (m,), after damped Newton steps from that of the rivals, to ‖p − b‖₁ <= tol.

        They end before where the table has changed so much that other atoms may compete.
        """
        table, reach, damping = self.table, WINDOW * self.epsilon / 2, DAMPING
        for _ in range(STEPS):
            gradient = soft.aim.masses - soft.masses
            if np.abs(gradient).sum() <= tol:
                break
            step, apart = self._near(self._newton(soft, gradient, damping), soft, reach)
            reached = self.at(table + step)
            if reached.value < soft.value + 0.1 * float(gradient @ step):
                damping *= 16
                continue
            table, soft, reach = table + step, reached, reach - apart
            damping = max(damping / 4, DAMPING)
            if reach < self.epsilon:
                break
        return table

    def _near(self, step: Floats, soft: Soft, reach: float) -> tuple[Floats, float]:
        """The step, by which no atom moves farther than `reach` from its rivals, and how far one does."""
        shared = np.add.reduceat(soft.shares * step[self.columns], self.starts)
        total = np.bincount(self.columns, soft.shares * np.repeat(shared, self.lengths), len(self.b))
        beside = total / np.maximum(soft.masses * len(self.lengths), 1e-300)
        apart = step - beside
        return beside + apart.clip(-reach, reach), float(np.abs(apart).max().clip(0, reach))

    def _newton(self, soft: Soft, gradient: Floats, damping: float) -> Floats:
        """δ with (−∇²D + damping diag(b) / ε) δ = b − p.

        The damping grows where hardly any mass competes for an atom that lacks much: its cell is far from linear.
        """
        from scipy.sparse import csr_array, diags_array
        from scipy.sparse.linalg import LinearOperator, cg

        n, m = len(self.lengths), len(self.b)
        seen = (soft.shares > SEEN) & (soft.shares < 1 - SEEN)
        rows = np.repeat(np.arange(n), self.lengths)[seen]
        P = csr_array((soft.shares[seen], (rows, self.columns[seen])), shape=(n, m))
        Q = P.T.tocsr()
        contested = Q @ P.sum(axis=1) / n
        diagonal = contested + damping * self.b + np.maximum(0, np.abs(gradient) / FREELY - contested)
        diagonal = diagonal + self.epsilon * soft.aim.curvature
        hessian: Any
        if P.nnz <= SPARSE * n:
            hessian = diags_array(diagonal) - (Q @ P) / n
        else:
            hessian = LinearOperator((m, m), lambda v: diagonal * v - Q @ (P @ v) / n, dtype=np.float64)
        return np.asarray(self.epsilon * cg(hessian, gradient, rtol=0.01, maxiter=1000, M=diags_array(1 / diagonal))[0])


def _clearance(scores: Scores, x: Tensor, table: Floats) -> Floats:
    """min_i (c_ij − h̃_j − min_k (c_ik − h̃_k)), (m,): how far each atom is from being the best one of a point."""
    h_tilde = torch.from_numpy(table).to(scores.atoms.device, scores.dtype)
    least = torch.full_like(h_tilde, torch.inf)
    for part in scores.reduced(x):
        gap = part - h_tilde
        least = torch.minimum(least, (gap - gap.amin(dim=1, keepdim=True)).amin(dim=0))
    return least.double().cpu().numpy()
