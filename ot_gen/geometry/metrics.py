"""Riemannian metrics on a latent space: what a search for geodesics needs of M(z)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, NamedTuple, final

import torch
from torch import Tensor

from ot_gen.arguments import Cloud, Shape, checked
from ot_gen.measures import check_cloud

Nodes = Annotated[Tensor, Shape("(B, T + 1, k)")]


@final
class Squares(NamedTuple):
    """Squared lengths of the T segments of a curve, (B, T), and of those between every other node, (B, T/2)."""

    fine: Tensor
    coarse: Tensor


@final
class Model(NamedTuple):
    """A quadratic model of half the energy, (T/2) Σ s_i, in the T−1 inner nodes of B curves.

    Attributes:
        squares: the s_i and those of every other node.
        gradient: (B, T−1, k).
        diagonal: blocks of the Gauss-Newton matrix, (B, T−1, k, k), positive semi-definite as a whole.
        upper: its blocks (i, i + 1), (B, T−2, k, k).
        ends: what the metric computed for the fixed ends, to be used again, (B, ...), or None.
    """

    squares: Squares
    gradient: Tensor
    diagonal: Tensor
    upper: Tensor
    ends: Tensor | None = None


@checked
class RiemannianMetric(ABC):
    """A field of symmetric matrices M(z) on R^k, with a discrete energy of curves.

    A curve is known by its nodes, (B, T + 1, k), at equal steps of time, T even. Its energy is T Σ_i s_i, with s_i the
    squared length of segment i to the order 2.
    """

    @abstractmethod
    def matrix(self, z: Cloud) -> Tensor:
        """M(z_i), (n, k) -> (n, k, k)."""

    @abstractmethod
    def inner(self, z: Cloud, u: Cloud, v: Cloud) -> Tensor:
        """u_iᵀ M(z_i) v_i, (n,)."""

    @abstractmethod
    def connection(self, z: Cloud, u: Cloud, v: Cloud) -> Tensor:
        """Γ(z)(u, v), (n, k): the Levi-Civita derivative of v along u is dv + Γ(u, v).

        MΓ(u, v) = ½ (dM[u]v + dM[v]u − ∇ uᵀMv).

        Raises:
            ValueError: M is singular.
        """

    @abstractmethod
    def squares(self, nodes: Nodes) -> Squares:
        """Squared lengths of segments, differentiable in the nodes and in what the metric is made of."""

    @abstractmethod
    def model(self, nodes: Nodes, ends: Tensor | None = None) -> Model:
        """The Gauss-Newton model at the nodes; `ends` may be those of an earlier model of the same pairs. No graph."""

    @abstractmethod
    def second_order(self, nodes: Nodes) -> tuple[Tensor, Tensor]:
        """What Gauss-Newton left out of the Hessian: blocks (B, T−1, k, k) and (B, T−2, k, k). No graph."""


def length(squares: Squares) -> Tensor:
    """(4L_T − L_{T/2})/3 with L a sum of chords, (B,): the error is O(T⁻⁴).

    Example:
        >>> length(Squares(torch.tensor([[1.0, 4.0]]), torch.tensor([[9.0]])))
        tensor([3.])
    """
    fine, coarse = (part.double().sqrt().sum(dim=1) for part in squares)
    return ((4 * fine - coarse) / 3).to(squares.fine.dtype)


def energy(squares: Squares) -> Tensor:
    """(4E_T − E_{T/2})/3 with E_T = T Σ s_i, (B,).

    Example:
        >>> energy(Squares(torch.tensor([[1.0, 1.0]]), torch.tensor([[4.0]])))
        tensor([4.])
    """
    fine, coarse = (part.double().sum(dim=1) * part.shape[1] for part in squares)
    return ((4 * fine - coarse) / 3).to(squares.fine.dtype)


def solve_metric(metric: Tensor, force: Tensor) -> Tensor:
    """M⁻¹f, (n, k), for M (n, k, k) and f (n, k).

    Raises:
        ValueError: some M is singular to rounding.

    Example:
        >>> solve_metric(2 * torch.eye(2).unsqueeze(0), torch.ones(1, 2))
        tensor([[0.5000, 0.5000]])
    """
    wide = metric.double()
    check_rank(wide.detach(), torch.finfo(metric.dtype).eps)
    return torch.linalg.solve(wide, force.double()).to(force.dtype)


def check_codes(z: Tensor, name: str) -> None:
    """Raise a `ValueError` unless these are finite points (n, k) of a latent space, in float32 or float64.

    Example:
        >>> check_codes(torch.zeros(1, 2, dtype=torch.float16), "z")
        Traceback (most recent call last):
        ValueError: z must be float32 or float64, got torch.float16, in which derivatives of a decoder are noise; ...
    """
    check_cloud(z, name)
    if torch.finfo(z.dtype).bits < 32:
        raise ValueError(
            f"{name} must be float32 or float64, got {z.dtype}, in which derivatives of a decoder are noise; "
            f"convert {name}.float(), and the decoder alike"
        )


def check_floats(**tensors: Tensor) -> None:
    """Raise a `ValueError` unless these can be differentiated: float32 or float64, and not empty; reads no number.

    Example:
        >>> check_floats(z=torch.zeros(1, 2).long())
        Traceback (most recent call last):
        ValueError: z must be a non-empty tensor of float32 or float64, got (1, 2) of torch.int64; convert z.float()
    """
    for name, tensor in tensors.items():
        if tensor.dtype not in (torch.float32, torch.float64) or tensor.numel() == 0:
            raise ValueError(
                f"{name} must be a non-empty tensor of float32 or float64, got {tuple(tensor.shape)} of "
                f"{tensor.dtype}; convert {name}.float()"
            )


def check_nodes(nodes: Tensor) -> None:
    """Raise a `ValueError` unless these are the nodes of curves of T segments, (B, T + 1, k), T even; reads no number.

    Example:
        >>> check_nodes(torch.zeros(1, 4, 2))
        Traceback (most recent call last):
        ValueError: nodes must be those of an even number of segments, (B, T + 1, k) with T = 2, 4, ..., got (1, 4, 2)
    """
    check_floats(nodes=nodes)
    if nodes.shape[1] < 3 or nodes.shape[1] % 2 == 0:
        raise ValueError(
            "nodes must be those of an even number of segments, (B, T + 1, k) with T = 2, 4, ..., got "
            f"{tuple(nodes.shape)}"
        )


def log_volume(metric: Tensor) -> Tensor:
    """log √det M, (n,), of M (n, k, k).

    Example:
        >>> log_volume(torch.eye(2)[None])
        tensor([0.])
    """
    return metric.double().slogdet().logabsdet.to(metric.dtype) / 2


def check_finite(metric: Tensor) -> Tensor:
    """The matrices M (n, k, k), or a `ValueError` where one is not finite.

    Example:
        >>> check_finite(torch.eye(2)[None]).shape
        torch.Size([1, 2, 2])
    """
    if bool(torch.isfinite(metric).all()):
        return metric
    raise ValueError(
        "the metric holds NaN or Inf; the decoder (or its standard deviation) has no finite derivative at some of the "
        "points: move them closer to the codes"
    )


def check_rank(metric: Tensor, eps: float) -> None:
    """Raise a `ValueError` where an M (n, k, k) is singular to a relative precision `eps`, or not finite.

    Example:
        >>> check_rank(torch.eye(2).unsqueeze(0), 1e-7)
    """
    values = torch.linalg.eigvalsh(check_finite(metric))
    singular = values[:, 0] <= 4 * eps * values[:, -1]
    if bool(singular.any()):
        first = int(singular.nonzero()[0])
        raise ValueError(
            f"the metric is rank-deficient at {int(singular.sum())} of {len(metric)} points (first: number {first}, "
            f"eigenvalues {float(values[first, 0]):.2g} to {float(values[first, -1]):.2g}): some latent direction does "
            "not move the output there, so that geodesics are not defined. Leave that direction out, move the points "
            "closer to the codes, or give LatentGeometry(..., ridge=) to add ridge times the Euclidean metric"
        )
