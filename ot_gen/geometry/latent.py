"""The latent space of a generator as a Riemannian manifold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn

from ot_gen.arguments import Cloud, Count, Nonnegative, checked
from ot_gen.execution import keyword_only
from ot_gen.geometry import flow, lengths, pairs
from ot_gen.geometry.checks import as_curve, by_segments, check_alike, check_ends, check_starts, listed
from ot_gen.geometry.curves import Curve, Spline
from ot_gen.geometry.distance import squared_distance
from ot_gen.geometry.geodesics import Effort, Geodesics, Refinements, Segments, Tolerance, connect
from ot_gen.geometry.jets import Map
from ot_gen.geometry.metrics import RiemannianMetric, check_codes, check_finite, log_volume
from ot_gen.geometry.pullback import PullbackMetric, stacked
from ot_gen.geometry.showing import MadeOfParts, parts_of
from ot_gen.geometry.starts import Graph, Start, known_starts

if TYPE_CHECKING:  # `check_starts` looks at it, and advises
    from ot_gen.geometry.starts import First


@final
@checked
class LatentGeometry(MadeOfParts):
    """Lengths, geodesics and distances in a latent space Z ⊂ R^k.

        LatentGeometry(decoder)              M = JᵀJ, the pullback of the Euclidean metric of the data space
        LatentGeometry(mean, std=sigma)      M = J_μᵀJ_μ + J_σᵀJ_σ = E[JᵀJ] for f(z) = μ(z) + σ(z) ⊙ ε
        LatentGeometry([g_1, ..., g_n])      M = (1/n) Σ_i J_iᵀJ_i
        LatentGeometry(metric)               any `RiemannianMetric`: conformal(factor), MatrixMetric(z -> M)

    The first three are one metric, the pullback of the stacked map F = (μ, σ) or (g_1, ..., g_n)/√n. A decoder is any
    callable (n, k) -> (n, d) that acts on each row by itself: a network in evaluation mode, with or without trained
    weights. Where it is not twice differentiable (ReLU), geodesics still minimise the energy, but obey no equation at
    the kinks; their `residual` shows it.

    Args:
        map: the decoder, decoders or a metric.
        std: σ, (n, k) -> (n, d) or (n, 1), one for each decoder.
        features: φ after each decoder, (n, d) -> (n, p): distances are those of features (a perceptual metric).
        ridge: ridge · I is added to M, for decoders that ignore some latent direction; 0 adds nothing.
        codes: (m, k), where the data are. Searches then start from the segment and from the shortest path among 500 of
            them, and keep the shorter curve. Without codes they start from the segment alone, which crosses holes.

    Attributes:
        starts: where searches start unless they are told.

    Raises:
        ValueError: features with std, either with a metric, other numbers of σ's than of decoders, or too few codes.

    Source: Arvanitidis, Hansen, Hauberg, Latent space oddity, 2018, https://arxiv.org/abs/1710.11379

    Example:
        >>> geo = LatentGeometry(lambda z: torch.cat([z, z.square()], dim=1))  # a parabola
        >>> line = geo.geodesic(torch.zeros(1, 1), torch.ones(1, 1))
        >>> bool(line.converged), round(float(line.length), 4)  # √5/2 + asinh(2)/4
        (True, 1.4789)
    """

    @keyword_only
    @checked
    def __init__(
        self,
        map: Map | Sequence[Map] | nn.ModuleList | RiemannianMetric,
        std: Map | Sequence[Map] | None = None,
        *,
        features: Map | None = None,
        ridge: Nonnegative = 0.0,
        codes: Cloud | None = None,
    ) -> None:
        self.starts = known_starts(codes)
        self.parts = parts_of(map, std, features, ridge)
        if isinstance(map, RiemannianMetric):
            if std is not None or features is not None or ridge:
                raise ValueError("std, features and ridge belong to decoders; build them into the metric instead")
            self.metric_field = map
        else:
            stds = None if std is None else listed(std, "std")
            features = None if features is None else listed(features, "features")[0]
            self.metric_field = PullbackMetric(stacked(listed(map, "a decoder"), stds, features, ridge))

    def metric(self, z: Tensor) -> Tensor:
        """M(z), (n, k) -> (n, k, k), differentiable; one pass in forward mode, which costs about 1 + k evaluations.

        Raises:
            ValueError: z is no finite cloud, or the decoder returns another shape.
        """
        check_codes(z, "z")
        return check_finite(self.metric_field.matrix(z))

    def inner(self, z: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """uᵀM(z)v, (n,), for z, u, v (n, k), without forming M."""
        check_codes(z, "z")
        u, v = check_alike(z, u=u, v=v)
        return self.metric_field.inner(z, u, v)

    def log_volume(self, z: Tensor) -> Tensor:
        """log √det M(z), (n,): the logarithm of the magnification factor; −inf where M is singular.

        Source: Bishop, Svensén, Williams, Magnification factors for the GTM, 1997,
        https://doi.org/10.1049/cp:19970703

        Example:
            >>> float(LatentGeometry(lambda z: 3 * z).log_volume(torch.zeros(1, 2)).exp().round())
            9.0
        """
        return log_volume(self.metric(z))

    def curvature(self, z: Tensor, u: Tensor | None = None, v: Tensor | None = None) -> Tensor:
        """The sectional curvature ⟨R(u, v)v, u⟩ / (‖u‖²‖v‖² − ⟨u, v⟩²) of the planes spanned by u, v (n, k), (n,).

        For k = 2 there is one plane, and u, v may be left out: it is the Gauss curvature, 1/r² on a sphere.

        Raises:
            ValueError: u, v missing for k != 2, parallel u, v, or M singular.

        Source: do Carmo, Riemannian Geometry, 1992, chapter 4

        Example:
            >>> sphere = lambda z: 2 * torch.stack([z[:, 0].sin() * z[:, 1].cos(), z[:, 0].sin() * z[:, 1].sin(),
            ...     z[:, 0].cos()], dim=1)
            >>> LatentGeometry(sphere).curvature(torch.tensor([[1.0, 0.3]])).round(decimals=3)
            tensor([0.2500])
        """
        check_codes(z, "z")
        if u is None or v is None:
            if z.shape[1] != 2:
                raise ValueError(f"in dimension {z.shape[1]} a curvature needs the plane: give u and v")
            u, v = (axis.expand_as(z) for axis in torch.eye(2, dtype=z.dtype, device=z.device))
        u, v = check_alike(z, u=u, v=v)
        return flow.curvature(self.metric_field, z, u, v)

    def length(self, curve: Curve | Geodesics | Tensor) -> Tensor:
        """∫ ‖γ'‖_M dt, (B,), by 4 Gauss points a piece; nodes (B, T + 1, k) are joined by straight segments."""
        return lengths.curve_length(self.metric_field, as_curve(curve))

    def energy(self, curve: Curve | Geodesics | Tensor) -> Tensor:
        """∫ ‖γ'‖²_M dt, (B,), at least length². It is the curve's own: more nodes on it change nothing."""
        return lengths.curve_energy(self.metric_field, as_curve(curve))

    @by_segments
    def constant_speed(self, curve: Curve | Tensor, *, segments: Segments = 16) -> Spline:
        """The curve run through at constant speed, as a spline through segments + 1 of its points."""
        return lengths.constant_speed(self.metric_field, as_curve(curve), segments)

    @by_segments
    def geodesic(
        self,
        z0: Tensor,
        z1: Tensor,
        *,
        segments: Segments = 16,
        start: First | Sequence[First] | None = None,
        tol: Tolerance = 1e-3,
        rounds: Count = 60,
        accuracy: Tolerance = 1e-4,
        refinements: Refinements = 3,
    ) -> Geodesics:
        """Geodesics from z0 to z1, (B, k) each, all at once.

        They minimise the energy of T `segments` by damped Gauss-Newton steps. A minimum is local: the start decides
        which, and the result's `claim` says so. The segments are too few, and may cut corners, where the lengths of the
        spline and that predicted by the chords differ by more than a relative `accuracy`. Those curves are solved again
        with twice as many segments, and all curves are returned with that many.

        Args:
            z0, z1: end points.
            segments: their number T, even, >= 4: there are T − 1 free nodes.
            start: a rule for first curves (`Line()`, `Graph(codes)`), curves (B, ?, k), or several of these; the
                shortest result is kept. None means the geometry's own `starts`.
            tol: a curve has converged when less than tol²/4 of its energy is left to gain, by an estimate.
            rounds: the most steps; curves that need more are returned as they are, with converged = False.
            accuracy: of the lengths, relative.
            refinements: how often the number of segments may be doubled.

        Raises:
            ValueError: end points of different shapes or not finite, odd or too few segments, a start of another shape,
                M singular or not finite at an end point, or a start through points where the decoder is not finite.

        Source: Shao, Kumar, Fletcher, The Riemannian geometry of deep generative models, 2018,
        https://arxiv.org/abs/1711.08014

        Example:
            >>> from ot_gen.geometry import conformal
            >>> hyperbolic = LatentGeometry(conformal(lambda z: z[:, 1] ** -2))
            >>> a, b = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 2.0]])
            >>> round(float(hyperbolic.geodesic(a, b).length), 4)  # log 2
            0.6931
        """
        z0, z1 = check_ends(self.metric_field, z0, z1)
        starts = check_starts(self.starts if start is None else start, z0)
        return connect(self.metric_field, z0, z1, starts, Effort(segments, tol, rounds, accuracy, refinements))

    @by_segments
    def distance(self, z0: Tensor, z1: Tensor, *, segments: Segments = 16, start: First | None = None) -> Tensor:
        """Lengths of geodesics, (B,), differentiable in z0, z1 and the parameters of the decoder.

        By the envelope theorem the derivative is that of the energy with the inner nodes held still: nothing is
        unrolled. At z0 = z1 it is taken as 0. Second derivatives are not those of the distance.

        Source: Arvanitidis, Hauberg, Hennig, Schober, 2019, https://arxiv.org/abs/1901.07229

        Example:
            >>> z0 = torch.zeros(1, 2, requires_grad=True)
            >>> d = LatentGeometry(lambda z: 2 * z).distance(z0, torch.tensor([[3.0, 4.0]]))
            >>> d.backward()
            >>> d.detach(), z0.grad
            (tensor([10.]), tensor([[-1.2000, -1.6000]]))
        """
        squared = self.squared_distance(z0, z1, segments=segments, start=start)
        positive = squared > 0
        return torch.where(positive, torch.where(positive, squared, 1).sqrt(), 0)

    @by_segments
    def squared_distance(
        self, z0: Tensor, z1: Tensor, *, segments: Segments = 16, start: First | None = None
    ) -> Tensor:
        """The square of `distance`, smooth at z0 = z1."""
        geodesics = self.geodesic(z0, z1, segments=segments, start=start)
        return squared_distance(self.metric_field, geodesics, *torch.broadcast_tensors(z0, z1))

    @by_segments
    def pairwise(
        self,
        z: Tensor,
        *,
        segments: Segments = 16,
        start: Start | Sequence[Start] | None = None,
        progress: bool = False,
    ) -> Tensor:
        """Distances between all pairs of z (n, k), (n, n), computed in batches of pairs. No graph.

        A `RuntimeWarning` gives the number of pairs whose search did not converge; their best curves count.

        Args:
            z: points, (n, k).
            segments, start: as in `geodesic`. If it is left out, each search begins at that of the geometry's `starts`
                which has least energy. Without codes more than 16 points themselves are taken for codes.
            progress: show a bar on stderr.

        Example:
            >>> LatentGeometry(lambda z: 2 * z).pairwise(torch.tensor([[0.0], [1.0]]))
            tensor([[0., 2.],
                    [2., 0.]])
        """
        z, _ = check_ends(self.metric_field, z, z, ("z", "z"))
        starts = check_starts(pairs.warm_start(z, self.starts) if start is None else start, z)
        return pairs.pairwise(self.metric_field, z, starts, Effort(segments, accuracy=1e-3, rounds=200), progress)

    def graph_pairwise(self, z: Tensor, graph: Graph) -> Tensor:
        """Lengths of smoothed shortest paths in a graph of codes, (n, n): some per cent too long, much faster."""
        check_codes(z, "z")
        return graph.lengths(self.metric_field, z.detach())

    @keyword_only
    @checked
    def exp(self, z: Tensor, v: Tensor, *, tol: Tolerance = 1e-8) -> Tensor:
        """γ(1) for the geodesic with γ(0) = z and γ'(0) = v, (n, k).

        It solves γ'' = −Γ(γ', γ'), for a pullback metric Mγ'' = −Jᵀ d²F(γ', γ'), by an explicit Runge-Kutta method of
        order 8 with error control. No graph.

        Args:
            z, v: points and velocities, (n, k).
            tol: relative error allowed in a step, at least 10 times the rounding of the points.

        Raises:
            ValueError: other shapes, M singular on the way, or a geodesic that leaves every bounded set before t = 1,
                or needs more than 250 steps.

        Source: Hairer, Nørsett, Wanner, Solving Ordinary Differential Equations I, 1993,
        https://doi.org/10.1007/978-3-540-78862-1

        Example:
            >>> LatentGeometry(lambda z: 2 * z).exp(torch.zeros(1, 2), torch.ones(1, 2))
            tensor([[1., 1.]])
        """
        check_codes(z, "z")
        return flow.exponential(self.metric_field, z, check_alike(z, v=v)[0], tol)

    @by_segments
    def log(
        self, z0: Tensor, z1: Tensor, *, segments: Segments = 32, start: First | None = None, tol: Tolerance = 1e-6
    ) -> Tensor:
        """The velocity at z0 of the geodesic that is at z1 at t = 1, (B, k).

        The velocity of `geodesic` is corrected by Newton's method on `exp`, until exp(z0, log(z0, z1)) = z1. No graph.

        Raises:
            ValueError: as `geodesic` and `exp`, or the correction does not reach z1 to a relative `tol`.

        Example:
            >>> LatentGeometry(lambda z: 2 * z).log(torch.zeros(1, 2), torch.ones(1, 2)).round(decimals=4)
            tensor([[1., 1.]])
        """
        z0, z1 = check_ends(self.metric_field, z0, z1)
        geodesics = self.geodesic(z0, z1, segments=segments, start=start)
        return flow.logarithm(self.metric_field, geodesics, z1, tol)

    def transport(self, curve: Curve | Geodesics, w: Tensor) -> Tensor:
        """w (B, k) carried parallel along the curves from t = 0 to t = 1: w' = −Γ(γ', w). It keeps inner products.

        No graph. The error is O(T⁻⁴).

        Raises:
            ValueError: w of another shape, or M singular on a curve.

        Example:
            >>> geo = LatentGeometry(lambda z: 2 * z)
            >>> geo.transport(geo.geodesic(torch.zeros(1, 2), torch.ones(1, 2)), torch.tensor([[1.0, 0.0]]))
            tensor([[1., 0.]])
        """
        curve = as_curve(curve)
        return flow.transport(self.metric_field, curve, check_alike(curve.nodes[:, 0], w=w)[0])
