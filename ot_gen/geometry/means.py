"""Centres of point clouds: Fréchet means and medoids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple, final

import torch
from torch import Tensor

from ot_gen.arguments import Count, Shape, checked
from ot_gen.display import record_line
from ot_gen.execution import keyword_only, renamed
from ot_gen.geometry.geodesics import Geodesics, Segments, Tolerance
from ot_gen.geometry.latent import LatentGeometry
from ot_gen.geometry.metrics import check_codes
from ot_gen.geometry.starts import Start
from ot_gen.measures import check_weights, widened


@final
class FrechetMean(NamedTuple):
    """A local minimum of Σ_i w_i d(m, z_i)².

    Attributes:
        point: m, (k,).
        variance: the value of the sum.
        converged: whether the last step was short.
    """

    point: Tensor
    variance: float
    converged: bool

    def __repr__(self) -> str:
        return record_line(self)


@renamed(nodes="segments")
@keyword_only
@checked
def frechet_mean(
    geometry: LatentGeometry,
    z: Tensor,
    weights: Tensor | None = None,
    *,
    segments: Segments = 16,
    start: Start | Sequence[Start] | None = None,
    tol: Tolerance = 1e-3,
    rounds: Count = 50,
) -> FrechetMean:
    """Descend to a mean from the point of z (n, k) that is nearest to the weighted average of the coordinates.

    The gradient of ½ Σ w_i d(m, z_i)² is −M Σ_i w_i log_m(z_i). A step goes along the mean of the geodesics' velocities
    at m, and is halved until the sum falls. The descent has converged when a step is shorter
    than tol times the root of the sum. No graph.

    Args:
        geometry: of the latent space.
        z: points, (n, k).
        weights: (n,), a probability vector; 1/n if left out.
        segments, start: as in `LatentGeometry.geodesic`.
        tol: relative length of the last step.
        rounds: the most steps.

    Raises:
        ValueError: as `LatentGeometry.geodesic`; weights that are no probability vector.

    Source: Karcher, 1977, https://doi.org/10.1002/cpa.3160300502

    Example:
        >>> mean = frechet_mean(LatentGeometry(lambda z: 2 * z), torch.tensor([[0.0], [1.0], [5.0]]))
        >>> mean.point.round(decimals=4), mean.converged
        (tensor([2.]), True)
    """
    check_codes(z, "z")
    z = z.detach()
    weights = z.new_full((len(z),), 1 / len(z)) if weights is None else weights.to(z)
    check_weights(weights, len(z))

    def spokes(centre: Tensor) -> tuple[Geodesics, float]:
        geodesics = geometry.geodesic(centre.unsqueeze(0), z, segments=segments, start=start)
        return geodesics, float(weights @ geodesics.length.square())

    point = z[int((z - weights @ z).square().sum(dim=1).argmin())]
    geodesics, value = spokes(point)
    for _ in range(rounds):
        step = weights @ geodesics.velocity(z.new_zeros(1)).squeeze(1)
        # All points may be one: its velocities are then rounding.
        if value == 0 or float(geometry.inner(point[None], step[None], step[None]).detach()) <= tol**2 * value:
            return FrechetMean(point, value, True)
        for _ in range(8):
            tried, reached = spokes(point + step)
            if reached < value:
                point, geodesics, value = point + step, tried, reached
                break
            step = step / 2
        else:
            break
    return FrechetMean(point, value, False)


@final
class Medoids(NamedTuple):
    """A partition around points of the cloud itself.

    Attributes:
        medoids: indices of the centres, (c,).
        labels: the number of the centre that each point belongs to, (n,).
        cost: the sum of distances to the centres.
    """

    medoids: Tensor
    labels: Tensor
    cost: float

    def __repr__(self) -> str:
        return record_line(self)


@checked
def k_medoids(distances: Annotated[Tensor, Shape("(n, n)")], count: Count) -> Medoids:
    """Cluster points by their distances (n, n) alone, around `count` of them: greedy choice, then single exchanges.

    Each exchange of a medoid with another point is the one that lowers the sum of distances most; the search ends
    where none lowers it. Nothing is random.

    Raises:
        ValueError: distances that are not square, symmetric, finite and >= 0, or count not between 1 and n.

    Source: Kaufman, Rousseeuw, Finding groups in data (PAM), 1990, https://doi.org/10.1002/9780470316801

    Example:
        >>> x = torch.tensor([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]])
        >>> k_medoids(torch.cdist(x, x), 2).labels
        tensor([0, 0, 0, 1, 1, 1])
    """
    distances, n = widened(distances), len(distances)
    if distances.shape != (n, n) or not bool(torch.isfinite(distances).all()):
        raise ValueError(f"medoids need a square matrix of finite distances, got shape {tuple(distances.shape)}")
    if bool((distances < 0).any()):
        raise ValueError(
            f"medoids need distances >= 0, got a least of {float(distances.min()):g}; similarities become distances by "
            "a decreasing function of them"
        )
    if bool(((distances - distances.mT).abs() > 1e-3 * distances.amax()).any()):
        raise ValueError("medoids need distances that are symmetric; take (D + D.T) / 2 if that was meant")
    if count > n:
        raise ValueError(f"the number of medoids must lie between 1 and {n}, got {count}")
    chosen: list[int] = []
    nearest = torch.full((n,), torch.inf, dtype=distances.dtype, device=distances.device)
    for _ in range(count):
        best = int(torch.minimum(nearest, distances).sum(dim=1).argmin())
        chosen.append(best)
        nearest = torch.minimum(nearest, distances[best])
    cost = float(nearest.sum())
    improved = True
    while improved:
        improved = False
        for place in range(count):
            others = [index for other, index in enumerate(chosen) if other != place]
            rest = distances[others].amin(dim=0) if others else torch.full_like(nearest, torch.inf)
            totals = torch.minimum(rest, distances).sum(dim=1)
            best = int(totals.argmin())
            if float(totals[best]) < cost * (1 - 1e-7):
                chosen[place], cost, improved = best, float(totals[best]), True
    medoids = torch.tensor(sorted(chosen), device=distances.device)
    return Medoids(medoids, distances[medoids].argmin(dim=0), cost)
