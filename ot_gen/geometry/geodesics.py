"""Geodesics between pairs of points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, final

import torch
from torch import Tensor

from ot_gen.arguments import Count, Interval, Vector, checked
from ot_gen.display import card, facts, line
from ot_gen.geometry.curves import Spline
from ot_gen.geometry.lengths import squared_speed
from ot_gen.geometry.metrics import RiemannianMetric, Squares, energy, length
from ot_gen.geometry.minimise import Minimum, minimise, pick
from ot_gen.geometry.starts import Start

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Segments = Annotated[int, Interval(4, 10**9)]
Tolerance = Annotated[float, Interval(0, 1, "(")]  # relative
Refinements = Annotated[int, Interval(0, 20)]  # each doubles the segments
UNEVEN = 1.05  # mean square of the chords' lengths over the square of their mean beyond which no speed is constant
LOST = 0.05  # a curve whose length has a larger relative error is no start for a better one


@final
@dataclass(frozen=True, repr=False)
@checked
class Geodesics:
    """B curves of locally minimal energy, as a solver left them. Callable at t.

    Attributes:
        metric: the one in which they are geodesic.
        curve: the cubic spline through the nodes.
        length: (B,), extrapolated from 2T and T chords of the curve, (4L_2T − L_T)/3: the error is O(T⁻⁴).
        energy: (B,), extrapolated in the same way; it is length² where the speed is constant.
        converged: (B,). Where it is False the curve is the best one found, never longer than its start. So it is where
            the points are so close that the decoder's rounding hides their distance.
        rounds: (B,), steps of the solver.
        starts: from which curves the searches began.
    """

    metric: RiemannianMetric
    curve: Spline
    length: Tensor
    energy: Tensor
    converged: Tensor
    rounds: Tensor
    starts: tuple[str, ...] = ()

    @property
    def claim(self) -> str:
        """What the curves are, in words: local minima, and from where they were searched."""
        searched = f", searched from {' and from '.join(self.starts)}" if self.starts else ""
        kept = "; the shorter is kept" if len(self.starts) > 1 else ""
        return f"local minima of the energy{searched}{kept}; curves far from these may be shorter"

    @property
    def nodes(self) -> Tensor:
        """(B, T + 1, k)."""
        return self.curve.nodes

    def __call__(self, t: Vector) -> Tensor:
        return self.curve(t)

    def velocity(self, t: Vector) -> Tensor:
        """γ'(t), (S,) -> (B, S, k)."""
        return self.curve.velocity(t)

    @torch.no_grad()
    @checked
    def residual(self, samples: Count = 16) -> Tensor:
        """How far the curves are from the geodesic equation, (B,): the mean over t of ‖γ'' + Γ(γ', γ')‖_M / length².

        It is the mean curvature of γ in the manifold times its length, 0 for a geodesic at constant speed and O(T⁻²)
        for its spline. A constant curve has residual 0. No graph.

        Raises:
            ValueError: M is singular on a curve.
        """
        return residual(self.metric, self.curve, self.length, samples)

    @torch.no_grad()
    @checked
    def speed_variation(self, samples: Count = 64) -> Tensor:
        """The largest |‖γ'(t)‖_M / mean − 1|, (B,). No graph."""
        speed = squared_speed(self.metric, self.curve, midpoints(samples, self.nodes)).sqrt()
        mean = speed.mean(dim=1, keepdim=True)
        return torch.where(self.length[:, None] > 0, speed / mean - 1, 0).abs().amax(dim=1)

    def __repr__(self) -> str:
        return line("Geodesics", *self._words())

    def _repr_html_(self) -> str:
        lost = int((~self.converged).sum())
        doubt = f"{lost} of {len(self.converged)} did not converge: see .converged." if lost else ""
        return card("Geodesics", ", ".join(self._words()), facts({"what they are": self.claim}), note=doubt)

    def _words(self) -> list[str]:
        count, nodes, k = self.nodes.shape
        lengths = [f"lengths {float(self.length.min()):.4g} to {float(self.length.max()):.4g}"] if count else []
        converged = f"{int(self.converged.sum())} converged"
        return [f"{count:,} in dimension {k}", f"{nodes - 1} segments", *lengths, converged]

    def plot(self, axes: Axes, samples: Count = 100, **style: Any) -> None:
        """Draw the curves into matplotlib axes, for k = 2."""
        self.curve.plot(axes, samples, **style)


@final
@dataclass(frozen=True)
class Effort:
    """How hard to try; see `LatentGeometry.geodesic`.

    Raises:
        ValueError: an odd number of segments.
    """

    segments: int
    tol: float = 1e-3
    rounds: int = 60
    accuracy: float = 1e-4
    refinements: int = 3

    def __post_init__(self) -> None:
        if self.segments % 2:
            raise ValueError(f"geodesics need an even number of segments, got segments={self.segments}")


class _Solution(NamedTuple):
    """The tensors of `Geodesics`, before the curve is made."""

    nodes: Tensor
    length: Tensor
    energy: Tensor
    converged: Tensor
    rounds: Tensor


def connect(
    metric: RiemannianMetric, z0: Tensor, z1: Tensor, starts: Sequence[Start | Tensor], effort: Effort
) -> Geodesics:
    """Geodesics from z0 to z1, (B, k): the shortest that the starts lead to. No graph."""
    with torch.no_grad():
        moving = (z0 != z1).any(dim=1)
        if bool(moving.all()):
            best = _shortest(metric, z0, z1, starts, effort)
        else:
            best = _resting(z0, effort.segments)
            if bool(moving.any()):
                starts = [start[moving] if isinstance(start, Tensor) else start for start in starts]
                moved = _shortest(metric, z0[moving], z1[moving], starts, effort)
                best = _resting(z0, moved.nodes.shape[1] - 1)
                for part, new in zip(best, moved, strict=True):
                    part[moving] = new
    words = tuple("given curves" if isinstance(start, Tensor) else start.words for start in starts)
    return Geodesics(metric, Spline(best.nodes), *best[1:], words)


def _shortest(
    metric: RiemannianMetric, z0: Tensor, z1: Tensor, starts: Sequence[Start | Tensor], effort: Effort
) -> _Solution:
    solutions = [_refined(metric, z0, z1, start, effort) for start in starts]
    segments = max(solution.nodes.shape[1] for solution in solutions) - 1
    best, *others = (solution._replace(nodes=_resampled(solution.nodes, segments)) for solution in solutions)
    for other in others:
        shorter = other.length < best.length
        best = _Solution(*(pick(shorter, a, b) for a, b in zip(other, best, strict=True)))
    return best


def _resting(z: Tensor, segments: int) -> _Solution:
    """Constant curves, which are the geodesics from a point to itself."""
    rest = z.new_zeros(len(z))
    nodes = z.unsqueeze(1).repeat(1, segments + 1, 1)
    return _Solution(nodes, rest, rest.clone(), torch.ones_like(rest, dtype=torch.bool), torch.zeros_like(rest).long())


def residual(metric: RiemannianMetric, curve: Spline, length: Tensor, samples: int) -> Tensor:
    """See `Geodesics.residual`."""
    t = midpoints(samples, curve.nodes)
    moving = length > 0
    out = torch.zeros_like(length)
    if bool(moving.any()):
        z, v, a = (part[moving].flatten(0, 1) for part in (curve(t), curve.velocity(t), curve.acceleration(t)))
        turn = a + metric.connection(z, v, v)
        norm = metric.inner(z, turn, turn).clamp_min(0).sqrt().unflatten(0, (-1, samples))
        out[moving] = norm.mean(dim=1) / length[moving] ** 2
    return out


def midpoints(samples: int, like: Tensor) -> Tensor:
    """(i + ½)/S."""
    return (torch.arange(samples, dtype=like.dtype, device=like.device) + 0.5) / samples


def _refined(metric: RiemannianMetric, z0: Tensor, z1: Tensor, start: Start | Tensor, effort: Effort) -> _Solution:
    def first(rows: Tensor, segments: int) -> Tensor:
        if isinstance(start, Tensor):
            return _resampled(start[rows], segments)
        return start(metric, z0[rows], z1[rows], segments)

    rows, segments = torch.arange(len(z0), device=z0.device), effort.segments
    solution = _solution(minimise(metric, first(rows, segments), effort.tol, effort.rounds))
    for _ in range(effort.refinements):
        segments *= 2
        finer = _resampled(solution.nodes[rows], segments)
        squares = metric.squares(finer)
        lengths = length(squares)
        gap = (lengths / solution.length[rows].clamp_min(torch.finfo(z0.dtype).tiny) - 1).abs()
        solution.length[rows], solution.energy[rows] = lengths, energy(squares)
        inaccurate = gap > effort.accuracy
        rows, finer, gap = rows[inaccurate], finer[inaccurate], gap[inaccurate]
        if not len(rows):
            break
        # Chords that cut a corner lead to a curve far from any geodesic: those curves begin again.
        starts = pick(gap > LOST, first(rows, segments), finer)
        again = _solution(minimise(metric, starts, effort.tol, effort.rounds))
        again = again._replace(rounds=again.rounds + solution.rounds[rows])
        solution = solution._replace(nodes=_resampled(solution.nodes, segments))
        for part, new in zip(solution, again, strict=True):
            part[rows] = new
    return solution


def _solution(minimum: Minimum) -> _Solution:
    squares = minimum.squares
    return _Solution(
        minimum.nodes, length(squares), energy(squares), minimum.converged & _resolved(squares), minimum.rounds
    )


def _resolved(squares: Squares) -> Tensor:
    """Whether the chords can be those of a geodesic, (B,): about equally long, and of squares that the dtype holds.

    Between points that differ chords of length 0 are lost to rounding, and say nothing of the distance.
    (Σ √s_i)² <= T Σ s_i, with equality at constant speed. One chord that jumps over all of a curve is far from it.
    """
    fine = squares.fine.double()
    mean = fine.mean(dim=1)
    held = mean >= 16 * torch.finfo(squares.fine.dtype).tiny
    return held & (mean <= UNEVEN * fine.sqrt().mean(dim=1).square())


def _resampled(nodes: Tensor, segments: int) -> Tensor:
    """The spline through the nodes at other steps."""
    if nodes.shape[1] == segments + 1:
        return nodes
    t = torch.linspace(0, 1, segments + 1, dtype=nodes.dtype, device=nodes.device)
    sampled = Spline(nodes)(t)
    sampled[:, -1] = nodes[:, -1]
    return sampled
