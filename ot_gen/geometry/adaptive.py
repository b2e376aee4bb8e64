"""The locally adaptive normal: a Gaussian in geodesic distance, normalised on the manifold."""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple, final

import torch
from torch import Tensor

from ot_gen.arguments import Cloud, Count, Interval, Positive, checked
from ot_gen.display import record_line
from ot_gen.execution import by_old_name, keyword_only, renamed
from ot_gen.geometry.checks import check_point
from ot_gen.geometry.curves import Spline
from ot_gen.geometry.geodesics import Segments
from ot_gen.geometry.latent import LatentGeometry
from ot_gen.geometry.means import frechet_mean
from ot_gen.geometry.metrics import check_codes
from ot_gen.geometry.starts import Start
from ot_gen.measures import Measure, check_weights

Vectors = Annotated[int, Interval(2, 10**9)]
SHORTCUT = 1e-3  # a tangent vector is past the cut locus when a geodesic is shorter than it by this fraction
HALVINGS = 6
BATCHES = 50


@final
@checked
class LocallyAdaptiveNormal(Measure):
    """The law of density exp(−½ log_m(z)ᵀ Σ⁻¹ log_m(z)) / C against the volume measure √det M(z) dz.

    With Σ = σ² M(m)⁻¹ it is the Riemannian normal, of density ∝ exp(−d(m, z)²/2σ²). A `WrappedNormal` has the same
    tangent vectors with another weight: there v ~ N(0, Σ), here the density of v is N(0, Σ) times

        V(v) = √det M(exp_m v) |det D exp_m(v)|, 0 beyond the cut locus,   C = (2π)^{k/2} √det Σ  E_{v ~ N(0, Σ)} V(v).

    More mass lies where geodesics spread (K < 0), less where they focus (K > 0). C is that mean over `samples`
    quasi-random tangent vectors, which depend on nothing else. D exp is taken by differences. A vector v is taken to
    lie beyond the cut locus where the determinant is negative, or where the search from m to exp_m(v) yields a shorter
    geodesic. The search may miss one. Each vector costs k + 1 initial value problems and a geodesic.

    Args:
        geometry: of the latent space.
        mean: m, (k,).
        covariance: Σ of tangent vectors at m in latent coordinates, (k, k).
        samples: tangent vectors for C.
        segments, start: of geodesics, as in `LatentGeometry.geodesic`.

    Raises:
        ValueError: other shapes, Σ not symmetric positive definite, samples < 2, or M singular, also on the geodesics
            along the tangent vectors, which reach some 3 standard deviations from m.

    Source: Arvanitidis, Hansen, Hauberg, A locally adaptive normal distribution, 2016,
    https://arxiv.org/abs/1606.02518

    Example:
        >>> law = LocallyAdaptiveNormal(LatentGeometry(lambda z: 2 * z), torch.zeros(2), 0.01 * torch.eye(2))
        >>> round(law.log_constant, 3), round(math.log(2 * math.pi * 0.01 * 4), 3)
        (-1.381, -1.381)
    """

    mean: Tensor
    covariance: Tensor
    _root: Tensor
    _tangents: Tensor
    _weights: Tensor

    @renamed(nodes="segments")
    @keyword_only
    @checked
    def __init__(
        self,
        geometry: LatentGeometry,
        mean: Tensor,
        covariance: Tensor,
        *,
        samples: Vectors = 256,
        segments: Segments = 16,
        start: Start | None = None,
    ) -> None:
        check_point(mean, "mean")
        if covariance.shape != (len(mean), len(mean)):
            raise ValueError(
                f"the covariance must be (k, k) for a mean {tuple(mean.shape)}, got {tuple(covariance.shape)}"
            )
        root, info = torch.linalg.cholesky_ex(covariance.detach().to(mean))
        if int(info) or not torch.allclose(covariance, covariance.T, rtol=1e-3):
            raise ValueError("the covariance must be symmetric positive definite; that of k points or fewer is not")
        super().__init__()
        self.geometry = geometry
        self.dim = len(mean)
        self.register_buffer("mean", mean.detach(), persistent=False)
        self.register_buffer("covariance", covariance.detach(), persistent=False)
        self.samples, self.segments, self.start = samples, segments, start
        self.register_buffer("_root", root, persistent=False)
        self.register_buffer("_tangents", _quasi_normal(samples, mean) @ root.T, persistent=False)
        self.register_buffer("_weights", self.volume(self._tangents)[0], persistent=False)
        if not bool((self._weights > 0).any()):
            raise ValueError("no tangent vector ends before the cut locus: the covariance is too wide; choose less")
        scale = self.dim / 2 * math.log(2 * math.pi) + float(root.diagonal().log().sum())
        self.log_constant = scale + math.log(float(self._weights.detach().double().mean()))

    @property
    def log_constant_se(self) -> float:
        """The standard error of log C were the tangent vectors random; that of quasi-random ones is smaller."""
        return float(self._weights.std() / self._weights.mean()) / math.sqrt(self.samples)

    @property
    def log_constant_error(self) -> float:
        """The old name of `log_constant_se`."""
        return float(by_old_name(self, "log_constant_error", "log_constant_se"))

    def log_prob(self, z: Tensor) -> Tensor:
        """log of the density against the volume measure, (n, k) -> (n,); add `geo.log_volume(z)` for that against dz.

        No graph.

        Raises:
            ValueError: as `LatentGeometry.geodesic`.
        """
        v = _logarithms(self.geometry, self.mean, z, self.segments, self.start)
        return -0.5 * self.squares(v) - self.log_constant

    @torch.no_grad()
    @checked
    def sample(self, n: Count) -> Tensor:
        """n draws, (n, k), by rejection from the wrapped normal.

        The bound on V is the largest value so far. The law of the draws is exact in the limit of large `samples`.

        Raises:
            ValueError: too few are accepted, as V varies too much over the covariance.
        """
        bound = float(self._weights.max())
        share = float(self._weights.mean()) / bound
        drawn: list[Tensor] = []
        for _ in range(BATCHES):
            missing = n - sum(map(len, drawn))
            if missing <= 0:
                break
            count = math.ceil(1.1 * missing / share) + 4
            noise = torch.randn(count, self.dim, dtype=self.mean.dtype, device=self.mean.device)
            weights, ends = self.volume(noise @ self._root.T)
            bound = max(bound, float(weights.max()))
            drawn.append(ends[torch.rand_like(weights) * bound < weights])
        out = torch.cat(drawn)[:n] if drawn else self.mean.new_zeros(0, self.dim)
        if len(out) < n:
            raise ValueError(
                f"{len(out)} of {n} draws were accepted in {BATCHES} batches: the volume varies too much over this "
                "covariance; choose a narrower one, or draw from WrappedNormal"
            )
        return out

    def squares(self, v: Cloud) -> Tensor:
        """vᵀ Σ⁻¹ v of tangent vectors at m, (n, k) -> (n,)."""
        v = self._tangent(v)
        return torch.linalg.solve_triangular(self._root, v.T, upper=False).square().sum(dim=0)

    def _tangent(self, v: Tensor) -> Tensor:
        check_codes(v, "v")
        if v.shape[1] != self.dim:
            raise ValueError(f"tangent vectors v must be (n, {self.dim}) like the mean, got {tuple(v.shape)}")
        return v.to(self.mean.dtype)

    def moments(self) -> tuple[Tensor, Tensor]:
        """E v, (k,), and E vvᵀ, (k, k), of the tangent vector v = log_m(z) of a draw z."""
        share = self._weights / self._weights.sum()
        return share @ self._tangents, _second_moment(share, self._tangents)

    def volume(self, v: Cloud) -> tuple[Tensor, Tensor]:
        """V(v) of tangent vectors at m, (n, k) -> (n,), and exp_m(v), (n, k)."""
        v = self._tangent(v)
        n, k = v.shape
        m = self.mean.expand(n, k).contiguous()
        step = torch.finfo(v.dtype).eps ** (1 / 3) * float(self._root.diagonal().square().mean().sqrt())
        moved = v + step * torch.eye(k, dtype=v.dtype, device=v.device).unsqueeze(1)
        ends = self.geometry.exp(m.repeat(k + 1, 1), torch.cat([v[None], moved]).flatten(0, 1), tol=1e-7)
        end, *columns = ends.unflatten(0, (k + 1, n))
        jacobian = torch.stack([(column - end) / step for column in columns], dim=2).double()
        sign, size = jacobian.slogdet()
        volume = (size.to(v.dtype) + self.geometry.log_volume(end)).exp()
        shortest = self.geometry.geodesic(m[:1], end, segments=self.segments, start=self.start).length
        before = shortest >= (1 - SHORTCUT) * self.geometry.inner(m, v, v).sqrt()
        return torch.where(before & (sign > 0), volume, 0), end


@final
class AdaptiveFit(NamedTuple):
    """A law fitted to points.

    Attributes:
        law: the one of smallest loss.
        loss: its mean −log density at the points, against the volume measure.
        converged: whether the last step gained less than the tolerance, or no step along its direction gained anything.
    """

    law: LocallyAdaptiveNormal
    loss: float
    converged: bool

    def __repr__(self) -> str:
        return record_line(self)


@renamed(nodes="segments")
@keyword_only
@checked
def fit_adaptive_normal(
    geometry: LatentGeometry,
    z: Tensor,
    weights: Tensor | None = None,
    *,
    samples: Vectors = 256,
    segments: Segments = 16,
    start: Start | None = None,
    tol: Positive = 1e-3,
    rounds: Count = 20,
) -> AdaptiveFit:
    """Maximum likelihood for a `LocallyAdaptiveNormal`, from the Fréchet mean and the covariance of the logarithms.

    Both gradients compare moments of the data's tangent vectors v_i = log_m(z_i) with those of the law:

        m <- exp_m(a (Σ_i w_i v_i − E v)),   Σ <- Σ + a (Σ_i w_i v_i v_iᵀ − E vvᵀ), carried parallel to the new m,

    with a halved from 1 until the loss falls. On a flat manifold it ends where it starts, at mean and covariance. The
    step in m is the gradient's for Σ ∝ M(m)⁻¹, else a direction that follows it. No graph.

    Args:
        geometry: of the latent space.
        z: points, (n, k).
        weights: (n,), a probability vector; 1/n if left out.
        samples, segments, start: as in `LocallyAdaptiveNormal`.
        tol: the gain in loss, in nats a point, that ends the fit.
        rounds: the most steps.

    Raises:
        ValueError: as `LocallyAdaptiveNormal`; weights that are no probability vector.

    Example:
        >>> z = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]])
        >>> fit = fit_adaptive_normal(LatentGeometry(lambda z: 2 * z), z, samples=16)
        >>> fit.law.mean.round(decimals=2), fit.law.covariance.diagonal().round(decimals=1), fit.converged
        (tensor([1., 1.]), tensor([1., 1.]), True)
    """
    check_codes(z, "z")
    z = z.detach()
    weights = z.new_full((len(z),), 1 / len(z)) if weights is None else weights.to(z)
    check_weights(weights, len(z))

    def judged(mean: Tensor, covariance: Tensor) -> tuple[LocallyAdaptiveNormal, Tensor, float]:
        law = LocallyAdaptiveNormal(geometry, mean, covariance, samples=samples, segments=segments, start=start)
        v = _logarithms(geometry, mean, z, segments, start)
        return law, v, float(0.5 * weights @ law.squares(v)) + law.log_constant

    centre = frechet_mean(geometry, z, weights, segments=segments, start=start).point
    first = _logarithms(geometry, centre, z, segments, start)
    law, v, loss = judged(centre, _second_moment(weights, first))
    for _ in range(rounds):
        mean, spread = law.moments()
        direction, growth = weights @ v - mean, _second_moment(weights, v) - spread
        for halving in range(HALVINGS):
            share = 0.5**halving
            moved = law.covariance + share * growth
            if bool(torch.linalg.cholesky_ex(moved).info):
                continue
            tried, logs, reached = judged(*_carried(geometry, law.mean, share * direction, moved))
            if reached < loss:
                break
        else:
            return AdaptiveFit(law, loss, True)
        gain = loss - reached
        law, v, loss = tried, logs, reached
        if gain < tol:
            return AdaptiveFit(law, loss, True)
    return AdaptiveFit(law, loss, False)


def _carried(geometry: LatentGeometry, mean: Tensor, direction: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """exp_m(direction), and the covariance carried there parallel, by the columns of its root."""
    end = geometry.exp(mean[None], direction[None])
    curve = Spline(geometry.geodesic(mean[None], end).nodes.repeat(len(mean), 1, 1))
    root = geometry.transport(curve, torch.linalg.cholesky(covariance).T.contiguous())
    return end[0], root.T @ root


def _logarithms(geometry: LatentGeometry, mean: Tensor, z: Tensor, segments: int, start: Start | None) -> Tensor:
    """Tangent vectors at m whose geodesics lead to z (n, k), each as long as its geodesic, (n, k)."""
    geodesics = geometry.geodesic(mean[None], z, segments=segments, start=start)
    v = geodesics.velocity(z.new_zeros(1)).squeeze(1)
    size = geometry.inner(geodesics.nodes[:, 0], v, v).clamp_min(torch.finfo(v.dtype).tiny).sqrt()
    return v * (geodesics.length / size)[:, None]


def _second_moment(weights: Tensor, v: Tensor) -> Tensor:
    return torch.einsum("n,na,nb->ab", weights, v, v)


def _quasi_normal(count: int, like: Tensor) -> Tensor:
    """Scrambled Sobol points as normal ones, (count, k): always the same."""
    from torch.quasirandom import SobolEngine

    u = SobolEngine(len(like), scramble=True, seed=0).draw(count, dtype=torch.float64)
    return torch.special.ndtri(u.clamp(1e-9, 1 - 1e-9)).to(like)
