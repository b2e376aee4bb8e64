"""The optimal transport of one finite sample onto the atoms, on the pairs that compete, by Newton's method."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

from ot_gen.semidual.scores import Scores

# Atoms that compete for a sample; all of them, where they are few.
CANDIDATES = 48
FEW_ATOMS = 256
WIDTHS = (64.0, 16.0, 4.0, 1.0)
DAMPING = 0.2  # of the first step at each width


@final
class SampleProblem:
    """max over h̃ of D(h̃) = −(ε/n) Σ_i log Σ_j exp((h̃_j − c_ij) / ε) + Σ_j b_j h̃_j, j among the candidates of x_i.

    ∇D = b − p with p the soft masses of the cells. −∇²D = (diag(p) − Pᵀ P / n) / ε is a sparse graph Laplacian between
    cells that compete. Its system is solved by conjugate gradients, on the CPU, in float64.

    Args:
        costs: the cost and the atoms.
        weights: their masses b, (m,).
        x: the sample, (n, d).
        h_tilde: the table, (m,), by which each x_i keeps its `CANDIDATES` best atoms; up to `FEW_ATOMS` it keeps all.

    Source: Kitagawa, Mérigot, Thibert, 2019, https://doi.org/10.4171/JEMS/889 (damped Newton)

    Example:
        >>> from ot_gen import SquaredEuclidean
        >>> costs = Scores(SquaredEuclidean(), torch.tensor([[0.0], [1.0]]))
        >>> x = (torch.arange(100)[:, None] + 0.5) / 100
        >>> sample = SampleProblem(costs, torch.tensor([0.25, 0.75]), x, torch.zeros(2))
        >>> sample.solve(torch.zeros(2), epsilon=1e-3).diff()  # the boundary lies at 1/4
        tensor([0.5000], dtype=torch.float64)
    """

    def __init__(self, costs: Scores, weights: Tensor, x: Tensor, h_tilde: Tensor) -> None:
        candidates = [_candidates(part, h_tilde) for _, part in costs.costs(x)]
        self.columns = torch.cat([columns for columns, _ in candidates])
        self.costs = torch.cat([values for _, values in candidates])
        b = weights.double().cpu()
        self.b = b / b.sum()

    def shares(self, table: Tensor, epsilon: float) -> Tensor:
        """P_ij, (n, K), each row a probability over the candidates."""
        return torch.softmax((table[self.columns] - self.costs) / epsilon, dim=1)

    def masses(self, shares: Tensor) -> Tensor:
        """p_j = Σ_i P_ij / n, (m,)."""
        total = torch.zeros_like(self.b).index_add_(0, self.columns.flatten(), shares.flatten())
        return total / len(shares)

    def value(self, table: Tensor, epsilon: float) -> float:
        """D(h̃)."""
        soft = epsilon * torch.logsumexp((table[self.columns] - self.costs) / epsilon, dim=1)
        return float(self.b @ table - soft.mean())

    @torch.no_grad()
    def solve(self, h_tilde: Tensor, epsilon: float, steps: int = 12, tol: float = 1e-4) -> Tensor:
        """The table that is optimal for the sample, (m,), from h̃: ‖p − b‖₁ <= tol or `steps` steps at each width.

        Atoms that are no candidate of any sample keep their table, and their mass is left out of the error.

        The softness falls to ε in four widths, since at a large width mass moves far in one step.
        """
        table = h_tilde.double().cpu().clone()
        # The table of an atom that is nobody's candidate would climb for ever.
        wanted = torch.zeros_like(table).index_fill_(0, self.columns.flatten(), 1)
        tol += float(self.b @ (1 - wanted))
        for width in [factor * epsilon for factor in WIDTHS]:
            value, damping = self.value(table, width), DAMPING
            for _ in range(steps):
                shares = self.shares(table, width)
                gradient = (self.b - self.masses(shares)) * wanted
                if float(gradient.abs().sum()) <= tol:
                    break
                step = self._newton(shares, gradient, width, damping)
                reached = self.value(table + step, width)
                if reached >= value + 0.1 * float(gradient @ step):
                    table, value, damping = table + step, reached, max(damping / 4, 1e-6)
                else:
                    damping = min(16 * damping, 10.0)
        return table

    @torch.no_grad()
    def slow_step(self, h_tilde: Tensor, gradient: Tensor, width: float, damping: float) -> Tensor:
        """A Newton step on the slow modes of the problem at softness `width`, for the gradient b − p, (m,).

        Let H = −∇²D. The filter F = (damping / width) diag(b) (H + (damping / width) diag(b))⁻¹ passes modes by which
        mass hardly flows, and stops those that plain steps settle.
        """
        shares = self.shares(h_tilde.double().cpu(), width)
        slow = self.b * damping / width * self._newton(shares, gradient, width, damping)
        return self._newton(shares, slow, width, damping)

    def _newton(self, shares: Tensor, gradient: Tensor, width: float, damping: float) -> Tensor:
        """δ with (−∇²D + (damping / ε) diag(b)) δ = the gradient."""
        from scipy.sparse import coo_array, csr_array, diags_array
        from scipy.sparse.linalg import LinearOperator, cg

        n, m = len(shares), len(self.b)
        kept = shares > 1e-4
        row = torch.arange(n, device="cpu").unsqueeze(1).expand_as(self.columns)
        entries = (shares[kept].numpy(), (row[kept].numpy(), self.columns[kept].numpy()))
        P = csr_array(coo_array(entries, shape=(n, m)))
        diagonal = P.sum(axis=0) / n + damping * self.b.numpy()
        laplacian: Any
        if m**2 <= 2 * P.nnz:
            laplacian = (diags_array(diagonal) - (P.T @ P) / n) / width
        else:  # PᵀP may fill up to m² entries; its factors take less memory, and less time to apply
            Q = P.T.tocsr()
            laplacian = LinearOperator((m, m), lambda v: (diagonal * v - Q @ (P @ v) / n) / width, dtype=P.dtype)
        step, _ = cg(laplacian, gradient.numpy(), rtol=0.01, maxiter=300, M=diags_array(width / diagonal))
        return torch.from_numpy(step)


def _candidates(costs: Tensor, h_tilde: Tensor) -> tuple[Tensor, Tensor]:
    """The atoms that compete for each row, and their costs."""
    most = len(h_tilde) if len(h_tilde) <= FEW_ATOMS else CANDIDATES
    columns = (h_tilde - costs).topk(most, dim=1, sorted=False).indices
    return columns.cpu(), costs.gather(1, columns).double().cpu()
