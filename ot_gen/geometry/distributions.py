"""Random points on a latent manifold: measures like any other, for `fit`, `certify` and `Pushforward`."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from ot_gen.arguments import Count, Positive, checked
from ot_gen.geometry.checks import check_point
from ot_gen.geometry.latent import LatentGeometry
from ot_gen.geometry.metrics import check_codes, check_rank
from ot_gen.measures import Measure


@final
@checked
class WrappedNormal(Measure):
    """The law of exp_m(v), v ~ N(0, σ² M(m)⁻¹): a normal in the tangent space, wrapped onto the manifold.

    σ is in units of the metric, so the spread is about equal along each direction of the data. This is not the
    Riemannian normal, of density ∝ exp(−d(m, z)²/2σ²) against the volume measure: that is a `LocallyAdaptiveNormal`.
    For small σ the two agree, for larger ones they differ by the volume distortion of exp. Each draw solves an
    initial value problem.

    Args:
        geometry: of the latent space.
        mean: m, (k,).
        scale: σ > 0.

    `.to(device)` moves the law; the decoder behind the geometry is the caller's, and stays where it is.

    Raises:
        ValueError: another shape, scale <= 0, or M(m) singular.

    Source: Pennec, Intrinsic statistics on Riemannian manifolds, 2006, https://doi.org/10.1007/s10851-006-6228-4

    Example:
        >>> WrappedNormal(LatentGeometry(lambda z: 2 * z), torch.zeros(2), 0.1).sample(3).shape
        torch.Size([3, 2])
    """

    mean: Tensor
    _spread: Tensor

    def __init__(self, geometry: LatentGeometry, mean: Tensor, scale: Positive) -> None:
        check_point(mean, "mean")
        super().__init__()
        self.geometry = geometry
        self.dim = len(mean)
        self.scale = scale
        self.register_buffer("mean", mean.detach(), persistent=False)
        self.register_buffer("_spread", _root(geometry, mean.detach().unsqueeze(0))[0], persistent=False)

    @torch.no_grad()
    @checked
    def sample(self, n: Count) -> Tensor:
        """n draws, (n, k)."""
        noise = torch.randn(n, self.dim, dtype=self.mean.dtype, device=self.mean.device)
        v = self.scale * noise @ self._spread.T
        return self.geometry.exp(self.mean.expand(n, -1).contiguous(), v)


@final
@checked
class BrownianMotion(Measure):
    """Brownian motion on the manifold, the diffusion of generator ½Δ, from a point: z after a time t.

        z ← z + v − ½Γ(v, v),  v ~ N(0, (t/steps) M(z)⁻¹)

    a random walk along geodesics to the second order. Its law is the heat kernel up to O(1/steps): on the unit
    sphere, E g(z_t) = e⁻ᵗ g(z_0).

    Args:
        geometry: of the latent space.
        start: z_0, (k,).
        time: t > 0; the displacement is about √(kt) in units of the metric.
        steps: of the walk.

    Raises:
        ValueError: another shape, time <= 0 or steps < 1; when sampled, M singular on the way.

    Source: Jørgensen, The central limit problem for geodesic random walks, 1975, https://doi.org/10.1007/BF00533088

    Example:
        >>> BrownianMotion(LatentGeometry(lambda z: 2 * z), torch.zeros(2), time=0.1, steps=5).sample(3).shape
        torch.Size([3, 2])
    """

    start: Tensor

    def __init__(self, geometry: LatentGeometry, start: Tensor, time: Positive, steps: Count = 50) -> None:
        check_point(start, "start")
        super().__init__()
        self.geometry = geometry
        self.dim = len(start)
        self.register_buffer("start", start.detach(), persistent=False)
        self.time = time
        self.steps = steps

    def sample(self, n: Count) -> Tensor:
        """n independent walkers at the time t, (n, k)."""
        return self.paths(n)[:, -1]

    def paths(self, n: Count) -> Tensor:
        """n walks, (n, steps + 1, k)."""
        z = self.start.expand(n, -1).contiguous()
        walked = [z]
        with torch.no_grad():
            for _ in range(self.steps):
                noise = torch.randn_like(z) * math.sqrt(self.time / self.steps)
                v = torch.einsum("nab,nb->na", _root(self.geometry, z), noise)
                z = z + v - self.geometry.metric_field.connection(z, v, v) / 2
                walked.append(z)
        return torch.stack(walked, dim=1)


def _root(geometry: LatentGeometry, z: Tensor) -> Tensor:
    """R with RRᵀ = M⁻¹, (n, k, k)."""
    check_codes(z, "points")
    with torch.no_grad():
        metric = geometry.metric(z).double()
        check_rank(metric, torch.finfo(z.dtype).eps)
        eye = torch.eye(z.shape[1], dtype=metric.dtype, device=z.device).expand_as(metric)
        lower = torch.linalg.cholesky(metric)
        return torch.linalg.solve_triangular(lower.mT, eye, upper=True).to(z.dtype)
