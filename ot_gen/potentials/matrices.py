"""The matrices S_k of a mixture potential, positive definite for every parameter value, and that of one Gaussian."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn

from ot_gen.arguments import Cloud, Count, Positive, checked

SMALLEST = 1e-2  # of the deviation at the start: no component shrinks to an atom


@checked
def gaussian_matrix(first: Tensor, second: Tensor, epsilon: Positive) -> Tensor:
    """S with S C S + (ε/2) S = D: the entropic plan of N(0, C) and N(0, D) for ‖x − y‖² is y | x ~ N(S x, (ε/2) S).

    S = C^(−½) M C^(−½) with M² + (ε/2) M = C^½ D C^½.

    Args:
        first, second: C and D, positive definite, (d, d).
        epsilon: ε > 0, in units of the cost.

    Source: Janati, Muzellec, Peyré, Cuturi, 2020, https://arxiv.org/abs/2006.02572

    Example:
        >>> gaussian_matrix(torch.eye(2), 6 * torch.eye(2), 2.0)  # s² + s = 6
        tensor([[2., 0.],
                [0., 2.]])
    """
    values, vectors = torch.linalg.eigh(first.double())
    if not bool((values > 0).all()):
        raise ValueError(f"first must be positive definite, got an eigenvalue of {float(values.min()):.3g}")
    root, inverse = ((vectors * power) @ vectors.mT for power in (values.sqrt(), values.rsqrt()))
    values, vectors = torch.linalg.eigh(root @ second.double() @ root)
    values = values.clamp_min(0)
    middle = _middle(values, epsilon)
    matrix = inverse @ (vectors * middle) @ vectors.mT @ inverse
    return (0.5 * (matrix + matrix.mT)).to(first)


def gaussian_diagonal(first: Tensor, second: Tensor, epsilon: float) -> Tensor:
    """The diagonal of `gaussian_matrix` for diagonal C and D, (d,) each, in d operations.

    Example:
        >>> gaussian_diagonal(torch.ones(2), 6 * torch.ones(2), 2.0)
        tensor([2., 2.])
    """
    return _middle(first * second, epsilon) / first


def _middle(values: Tensor, epsilon: float) -> Tensor:
    """m >= 0 with m² + (ε/2) m = v, without a difference of near numbers."""
    return values / (epsilon / 4 + ((epsilon / 4) ** 2 + values).sqrt())


@checked
class Matrices(nn.Module, ABC):
    """K positive definite matrices S_k = L_k L_kᵀ as parameters, (K, d, d).

    Each diagonal entry of L_k is a positive floor plus an exponential.
    """

    smallest: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("smallest", torch.zeros(()))
        self.log_diagonals = nn.Parameter(torch.empty(0))

    @staticmethod
    def instead_of(thing: object) -> str:
        """What to give in the place of something else, in the words of an error."""
        return "take FullMatrices() or DiagonalMatrices()"

    def start(self, matrix: Tensor, count: Count) -> None:
        """Make all S_k the same matrix (d, d), or the nearest of the family; a diagonal one may be given as (d,)."""
        diagonal = self._diagonal_of(matrix)
        self.smallest = SMALLEST * diagonal.square().mean().sqrt()
        held = (diagonal - self.smallest).clamp_min(self.smallest).log()
        self.log_diagonals = nn.Parameter(held.repeat(count, 1))

    def diagonals(self) -> Tensor:
        """Of L_k, (K, d)."""
        return self.smallest + self.log_diagonals.exp()

    @abstractmethod
    def _diagonal_of(self, matrix: Tensor) -> Tensor:
        """The diagonal of L, (d,), where L Lᵀ is the matrix."""

    @abstractmethod
    def factors(self) -> Tensor:
        """L_k, lower triangles, (K, d, d)."""

    @abstractmethod
    def squares(self, x: Tensor) -> Tensor:
        """xᵀ S_k x, (n, K)."""

    @abstractmethod
    def distances(self, y: Cloud, centres: Cloud) -> Tensor:
        """(y − r_k)ᵀ S_k⁻¹ (y − r_k), (n, K), for centres r_k (K, d)."""


@final
@checked
class FullMatrices(Matrices):
    """Any positive definite S_k: K d (d + 1) / 2 parameters.

    Example:
        >>> matrices = FullMatrices()
        >>> matrices.start(torch.eye(3), 5)
        >>> matrices.squares(torch.ones(2, 3)).shape
        torch.Size([2, 5])
    """

    def __init__(self) -> None:
        super().__init__()
        self.triangles = nn.Parameter(torch.empty(0))

    def start(self, matrix: Tensor, count: Count) -> None:
        super().start(matrix, count)
        factor = torch.linalg.cholesky(matrix)
        relative = (factor / factor.diagonal().unsqueeze(1)).tril(-1)
        self.triangles = nn.Parameter(math.sqrt(len(matrix)) * relative.repeat(count, 1, 1))

    def _diagonal_of(self, matrix: Tensor) -> Tensor:
        return torch.linalg.cholesky(matrix).diagonal()

    def factors(self) -> Tensor:
        triangles, d = self.triangles, self.triangles.shape[1]
        # Where more entries move at once, each moves less.
        relative = triangles.tril(-1) / math.sqrt(d) + torch.eye(d, dtype=triangles.dtype, device=triangles.device)
        return self.diagonals().unsqueeze(2) * relative

    def squares(self, x: Tensor) -> Tensor:
        return _by_component(x, self.factors()).square().sum(dim=2)

    def distances(self, y: Cloud, centres: Cloud) -> Tensor:
        factors = self.factors()
        identity = torch.eye(y.shape[1], dtype=factors.dtype, device=factors.device).expand_as(factors)
        inverses = torch.linalg.solve_triangular(factors, identity, upper=False)
        away = _by_component(y, inverses.mT) - (inverses @ centres.unsqueeze(2)).squeeze(2)
        return away.square().sum(dim=2)


@final
@checked
class DiagonalMatrices(Matrices):
    """Diagonal S_k: K d parameters, for many dimensions or components.

    Example:
        >>> matrices = DiagonalMatrices()
        >>> matrices.start(torch.eye(3), 5)
        >>> matrices.squares(torch.ones(2, 3)).shape
        torch.Size([2, 5])
    """

    def _diagonal_of(self, matrix: Tensor) -> Tensor:
        return (matrix if matrix.ndim == 1 else matrix.diagonal()).sqrt()

    def factors(self) -> Tensor:
        return self.diagonals().diag_embed()

    def squares(self, x: Tensor) -> Tensor:
        return x.square() @ self.diagonals().square().T

    def distances(self, y: Cloud, centres: Cloud) -> Tensor:
        precisions = self.diagonals().square().reciprocal()
        constants = (centres.square() * precisions).sum(dim=1)
        return y.square() @ precisions.T - 2 * y @ (centres * precisions).T + constants


def _by_component(points: Tensor, matrices: Tensor) -> Tensor:
    """Each row times each matrix, (n, d), (K, d, d) -> (n, K, d), as one product."""
    K, d, _ = matrices.shape
    return (points @ matrices.transpose(0, 1).reshape(d, K * d)).unflatten(1, (K, d))
