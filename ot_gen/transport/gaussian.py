"""Optimal transport between Gaussians for ‖x − y‖², and the matrix roots that it is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, NamedTuple, final

import torch
from torch import Tensor

from ot_gen.arguments import Interval, Vector, checked
from ot_gen.display import record_line
from ot_gen.measures import check_weights, widened
from ot_gen.transport.problem import NotConverged

STEPS = 200  # of the fixed point

Exponent = Annotated[float, Interval(-math.inf, math.inf, "()")]


@final
class GaussianMaps(NamedTuple):
    """The optimal maps x -> T x between N(0, S) and N(0, R), as matrices (d, d), and what they earn.

    Attributes:
        forth: S^(−½) (S^½ R S^½)^½ S^(−½), from S to R.
        back: S^½ (S^½ R S^½)^(−½) S^½, from R to S.
        overlap: tr (S^½ R S^½)^½, (), so that W₂² = tr S + tr R − 2 overlap.
    """

    forth: Tensor
    back: Tensor
    overlap: Tensor

    def __repr__(self) -> str:
        return record_line(self)


@checked
def gaussian_maps(S: Tensor, R: Tensor) -> GaussianMaps:
    """The optimal maps between two centred Gaussians with covariances S and R, (d, d); d³ operations.

    Directions in which S does not vary have no map and are left out.

    Raises:
        ValueError: S or R is no covariance: not finite, not symmetric, or with a negative eigenvalue.

    Source: Gelbrich, 1990, https://doi.org/10.1002/mana.19901470121

    Example:
        >>> maps = gaussian_maps(torch.eye(2), 9 * torch.eye(2))  # three times as wide
        >>> maps.forth.diagonal(), maps.overlap
        (tensor([3., 3.]), tensor(6.))
    """
    dtype = torch.promote_types(torch.promote_types(S.dtype, R.dtype), torch.float32)
    S, R = S.to(dtype), R.to(dtype)
    if S.shape != R.shape:
        raise ValueError(f"covariances S and R must have one shape (d, d), got {tuple(S.shape)} and {tuple(R.shape)}")
    (S, s), (R, r) = _in_its_unit(S, "S"), _in_its_unit(R, "R")
    half, inverse_half = powers(S, 0.5, -0.5)
    middle, inverse_middle = powers(half @ R @ half, 0.5, -0.5)
    forth, back = inverse_half @ middle @ inverse_half, half @ inverse_middle @ half
    return GaussianMaps(r / s * forth, s / r * back, r * (s * middle.trace()))


def _in_its_unit(S: Tensor, name: str) -> tuple[Tensor, float]:
    """A checked covariance in units of its largest entry, and the root of that: products of others leave the dtype."""
    if S.ndim != 2 or S.shape[0] != S.shape[1] or not bool(torch.isfinite(S).all()):
        raise ValueError(f"{name} must be a finite covariance (d, d), got shape {tuple(S.shape)}; remove NaN and Inf")
    unit = float(S.detach().abs().max()) or 1.0
    S, rounding = S / unit, torch.finfo(S.dtype).eps ** 0.5
    if bool(((S - S.mT).abs() > rounding).any()):
        raise ValueError(f"{name} is not symmetric, so it is no covariance; take (S + S.T) / 2 if that was meant")
    if (least := float(torch.linalg.eigvalsh(S.detach()).min())) < -rounding:
        raise ValueError(
            f"{name} has the negative eigenvalue {least * unit:.3g}, so it is no covariance; clamp its eigenvalues at 0"
        )
    return S, math.sqrt(unit)


@checked
def powers(matrix: Tensor, *exponents: Exponent) -> list[Tensor]:
    """Powers of a symmetric matrix (d, d) that is positive semi-definite up to rounding; negative ones are pseudo.

    Example:
        >>> root, inverse = powers(torch.tensor([[4.0, 0.0], [0.0, 0.0]]), 0.5, -1.0)
        >>> root.diagonal(), inverse.diagonal()
        (tensor([2., 0.]), tensor([0.2500, 0.0000]))
    """
    matrix = widened(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not bool(torch.isfinite(matrix).all()):
        raise ValueError(f"powers are those of a finite symmetric matrix (d, d), got shape {tuple(matrix.shape)}")
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp_min(0)
    is_null = values <= 1e-12 * values.max()
    return [
        (vectors * torch.where(is_null & (exponent < 0), 0.0, values**exponent)) @ vectors.mT for exponent in exponents
    ]


@final
class GaussianBarycentre(NamedTuple):
    """The barycentre N(0, S) of centred Gaussians for ‖x − y‖²: S (d, d), and the optimal maps A_k from it to each.

    At the barycentre Σ_k λ_k A_k = I.
    """

    covariance: Tensor
    maps: list[Tensor]

    def __repr__(self) -> str:
        return record_line(self, maps=f"{len(self.maps)} of them")


@checked
def gaussian_barycentre(covariances: Sequence[Tensor], weights: Vector) -> GaussianBarycentre:
    """The covariance S that minimises Σ_k λ_k W₂²(N(0, S), N(0, S_k)), by the fixed point S = T S T, T = Σ_k λ_k A_k.

    A_k is the optimal map from N(0, S) to N(0, S_k). Each step lowers the sum.

    Args:
        covariances: S_k, (d, d) each, of which one at least is not singular.
        weights: λ_k, (K,), masses.

    Raises:
        ValueError: something is no covariance, or the numbers of both do not agree.
        NotConverged: ‖T − I‖ is not below 1e-6 (1e-3 in float32) after 200 steps.

    Source: Álvarez-Esteban et al., 2016, https://arxiv.org/abs/1511.05355

    Example:
        >>> centre = gaussian_barycentre([torch.eye(2), 9 * torch.eye(2)], torch.tensor([0.5, 0.5]))
        >>> centre.covariance.diagonal()  # standard deviations average
        tensor([4., 4.])
    """
    if len(covariances) != len(weights) or not covariances:
        raise ValueError(f"weights must hold one number for each covariance, got {len(weights)} for {len(covariances)}")
    check_weights(weights, len(weights))
    shares = weights.tolist()
    root = sum((share * powers(S, 0.5)[0] for share, S in zip(shares, covariances, strict=True)), 0 * covariances[0])
    S, unit = root @ root, torch.eye(len(root), dtype=root.dtype, device=root.device)
    tol = 1e-3 if root.dtype == torch.float32 else 1e-6
    for _ in range(STEPS):
        maps = [gaussian_maps(S, one).forth for one in covariances]
        T = sum((share * A for share, A in zip(shares, maps, strict=True)), torch.zeros_like(unit))
        if float((T - unit).norm()) <= tol * len(unit) ** 0.5:
            return GaussianBarycentre(S, maps)
        S = T @ S @ T
        S = (S + S.mT) / 2
    raise NotConverged(
        f"the barycentre of {len(covariances)} Gaussians was not found in {STEPS} steps: ‖Σ λ A − I‖ = "
        f"{float((T - unit).norm()):.2g}; add a multiple of the identity to singular covariances"
    )
