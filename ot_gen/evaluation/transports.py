"""Metrics of transport: exact, entropic, on lines, and between the Gaussians of equal moments.

Each is the value of a dual problem, so its first variation in either sample is an optimal potential. That gives the
standard error at no further cost.
"""

from __future__ import annotations

import math
from typing import Annotated, final

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ot_gen.arguments import Interval, Positive, checked
from ot_gen.costs import Cost, SquaredEuclidean
from ot_gen.evaluation.metric import Cloud, Metric, MetricValue, first_order, points
from ot_gen.transport import exact_plan, gaussian_maps, sinkhorn_potentials


@final
@checked
class ExactTransport(Metric):
    """The exact transport cost W_c between the two samples: W₁ for `Euclidean()`, W₂² for `SquaredEuclidean()`.

        W_c = Σ_i f_i / n + Σ_j g_j / m,   se² = Var f / n + Var g / m

    with (f, g) optimal potentials. The error is around the mean of W_c at these sizes. W_c is biased upwards, so
    compare at equal n and next to the floor. On images W₁ and W₂² reward blur, and may fall below the floor.

    Args:
        cost: the ground cost c.

    Source: del Barrio, Loubes, 2019, https://arxiv.org/abs/1705.01299

    Example:
        >>> x = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
        >>> ExactTransport(SquaredEuclidean())(x, x + torch.tensor([3.0, 4.0]))  # ‖translation‖²
        25.0
    """

    def __init__(self, cost: Cost) -> None:
        self.cost = cost

    def estimate(self, x: Cloud, y: Cloud) -> MetricValue:
        plan = exact_plan(self.cost.matrix(*points(x, y)))
        return first_order(plan.value, *plan.potentials)


@final
@checked
class SinkhornDistance(Metric):
    """The debiased Sinkhorn divergence S_ε = OT_ε(α, β) − ½ OT_ε(α, α) − ½ OT_ε(β, β), cost ‖x − y‖² (no ½).

    Between W₂² (ε → 0) and ‖E x − E y‖² (ε → ∞); less biased than W₂². Its first variation is f_αβ − f_αα.

    Args:
        epsilon: ε > 0, in the units of ‖x − y‖²: the same for all models that are compared.

    Raises:
        ValueError: ε is not positive.
        NotConverged: Sinkhorn's iterations did not converge, as for samples very far from the data.

    Source: Feydy et al., 2019, https://arxiv.org/abs/1810.08278; its error: González-Sanz, Loubes, Niles-Weed, 2022,
    https://arxiv.org/abs/2207.07427

    Example:
        >>> x = torch.rand(30, 2)
        >>> abs(SinkhornDistance(0.1)(x, x)) < 1e-4
        True
    """

    def __init__(self, epsilon: Positive) -> None:
        self.epsilon = epsilon

    def estimate(self, x: Cloud, y: Cloud) -> MetricValue:
        x, y = points(x, y)
        f, g = self._potentials(x, y)
        # The two potentials of a symmetric problem differ by a constant only.
        f, g = f - sum(self._potentials(x, x)) / 2, g - sum(self._potentials(y, y)) / 2
        return first_order(f.mean() + g.mean(), f, g)

    def _potentials(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return sinkhorn_potentials(SquaredEuclidean().matrix(x, y), epsilon=self.epsilon)


@final
@checked
class SlicedTransport(Metric):
    """The sliced Wasserstein distance SW₂ = (E_u W₂²(⟨u, x⟩, ⟨u, y⟩))^½, u uniform on the unit sphere; no factor d.

    On a line the exact plan joins equal ranks, and its potentials grow by (x' − x)(x' + x − y' − y) from one rank to
    the next. The error counts the samples and the finite number of directions.

    Args:
        directions: L, drawn once, the same for all models.
        seed: of the directions.

    Raises:
        ValueError: fewer than two directions, or samples of different sizes.

    Source: Bonneel et al., 2015, https://doi.org/10.1007/s10851-014-0506-3

    Example:
        >>> x = torch.rand(20, 1)
        >>> round(SlicedTransport()(x, x + 3.0), 5)
        3.0
    """

    def __init__(self, directions: Annotated[int, Interval(2, 10**9)] = 200, seed: int = 0) -> None:
        self.directions = directions
        self.seed = seed

    def estimate(self, x: Cloud, y: Cloud) -> MetricValue:
        x, y = points(x, y)
        if len(x) != len(y):
            raise ValueError(f"SlicedTransport compares samples of one size, got {len(x)} and {len(y)}; drop some")
        generator = torch.Generator("cpu").manual_seed(self.seed)
        u = torch.randn(self.directions, x.shape[1], generator=generator, dtype=x.dtype, device="cpu")
        u = normalize(u, dim=1)
        (a, i), (b, j) = ((u @ cloud.T).sort(dim=1) for cloud in (x, y))
        costs = (a - b).square()
        steps = a.diff(dim=1) * (a[:, 1:] + a[:, :-1] - b[:, 1:] - b[:, :-1])
        f = torch.cat([steps.new_zeros(len(u), 1), steps.cumsum(dim=1)], dim=1)
        f = f - f.mean(dim=1, keepdim=True)
        of_x, of_y = (
            torch.zeros_like(f).scatter(1, index, value).mean(dim=0) for index, value in ((i, f), (j, costs - f))
        )
        per_direction = costs.mean(dim=1)
        squared = first_order(per_direction.mean(), of_x, of_y, float(per_direction.var()) / len(u))
        root = math.sqrt(squared.value)
        return MetricValue(root, squared.se / (2 * root) if root > 0 else 0.0)


@final
@checked
class FrechetDistance(Metric):
    """W₂² between the Gaussians with the samples' means m, m' and covariances S, S': the "FID" of a feature space.

        ‖m − m'‖² + tr(S + S' − 2 (S^½ S' S^½)^½)

    It is blind to all but two moments, and forgives memorised data; biased upwards by a term of order 1/n. The first
    variation is the quadratic potential of the Gaussian problem, (x − m)ᵀ(I − T)(x − m) + 2 (m − m')ᵀ x with T the
    optimal map's matrix. For n n' points fewer than d² no covariance is formed: with the centred samples X, Y as rows
    over √(n − 1), √(n' − 1), tr (S^½ S' S^½)^½ is the nuclear norm of X Yᵀ (n, n').

    Source: Heusel et al., 2017, https://arxiv.org/abs/1706.08500

    Example:
        >>> x = torch.randn(50, 3)
        >>> round(FrechetDistance()(x, x + 1.0), 5)
        3.0
    """

    def estimate(self, x: Cloud, y: Cloud) -> MetricValue:
        x, y = points(x, y)
        m, n = x.mean(dim=0), y.mean(dim=0)
        x, y = x - m, y - n
        overlap, along_x, along_y = (_by_points if len(x) * len(y) < x.shape[1] ** 2 else _by_covariances)(x, y)
        spread = x.square().sum() / (len(x) - 1) + y.square().sum() / (len(y) - 1)
        value = (m - n).square().sum() + spread - 2 * overlap
        of_x, of_y = (
            z.square().sum(dim=1) - along + 2 * z @ gap for z, along, gap in ((x, along_x, m - n), (y, along_y, n - m))
        )
        return first_order(value.clamp_min(0), of_x, of_y)


def _by_covariances(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """tr (S^½ S' S^½)^½ of centred samples, (), and x_iᵀ T x_i, (n,), y_jᵀ T⁻¹ y_j, (m,); d³ operations."""
    S, R = (z.T @ z / (len(z) - 1) for z in (x, y))
    maps = gaussian_maps(S, R)
    return maps.overlap, ((x @ maps.forth) * x).sum(dim=1), ((y @ maps.back) * y).sum(dim=1)


def _by_points(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same by the singular values of the (n, m) products.

    X = P D Qᵀ and X Yᵀ = U σ Vᵀ give S^½ Yᵀ = Q Pᵀ U σ Vᵀ, so (S^½ S' S^½)^½ = Q Pᵀ U σ Uᵀ P Qᵀ. Its trace is Σ σ_k,
    and X T Xᵀ = U σ Uᵀ, Y T⁻¹ Yᵀ = V σ Vᵀ, with pseudo-inverses where S does not vary.
    """
    X, Y = (z / math.sqrt(len(z) - 1) for z in (x, y))
    U, sigma, Vh = torch.linalg.svd(X @ Y.T, full_matrices=False)
    return sigma.sum(), (len(x) - 1) * U.square() @ sigma, (len(y) - 1) * Vh.T.square() @ sigma
