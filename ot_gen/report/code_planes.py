"""Planes of a latent space, and what a generator does on a grid of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ot_gen.arguments import Cloud, checked
from ot_gen.geometry import PullbackMetric
from ot_gen.measures import Pushforward, labelled
from ot_gen.runs.manifold import geometry_of

INSIDE = 0.005  # of the codes may lie beyond each side of a plane
MARGIN = 0.06  # of the codes' range
TRIALS = 256  # points at which the interpolated metric is compared with the true one
ALL_PAIRS = 4  # coordinates of which every pair has a plane


@final
@dataclass(frozen=True, eq=False)
class Plane:
    """The plane w ↦ origin + w₁ e₁ + w₂ e₂ of a latent space R^k.

    Attributes:
        name: what it is called.
        axes: the names of w₁ and w₂.
        origin: (k,).
        directions: e₁ and e₂, orthonormal, (2, k).
    """

    name: str
    axes: tuple[str, str]
    origin: Tensor
    directions: Tensor

    def codes(self, w: Tensor) -> Tensor:
        """The codes of points of the plane, (n, 2) -> (n, k)."""
        return torch.nn.functional.linear(w, self.directions.T, self.origin)

    def places(self, z: Tensor) -> Tensor:
        """The points of the plane that are nearest to codes, (n, k) -> (n, 2)."""
        return (z - self.origin) @ self.directions.T


@checked
def planes(codes: Cloud, asked: Sequence[tuple[int, int]] = ()) -> list[Plane]:
    """The planes of a latent space to look at, the most telling one first.

    For k = 2 there is one. Else the first goes through the mean of the codes along the two directions in which they
    vary most, a second one along the next two. The pairs of coordinates that are asked for follow, the others at their
    means. If none are, all pairs up to k = 4, and beyond the two coordinates that vary most.

    Args:
        codes: (n, k).
        asked: pairs of different coordinates, counted from 1.

    Raises:
        ValueError: k = 1, or coordinates that there are not.

    Example:
        >>> [plane.name for plane in planes(torch.randn(9, 2))]
        ['z₁, z₂']
        >>> [plane.name for plane in planes(torch.randn(9, 5), [(5, 2)])]
        ['principal directions 1, 2', 'principal directions 3, 4', 'z₅, z₂']
    """
    k = codes.shape[1]
    if k < 2:
        raise ValueError(
            "the explorer shows planes of codes, and this latent space is a line; train with two dimensions"
        )
    for pair in asked:
        if not all(1 <= number <= k for number in pair) or pair[0] == pair[1]:
            raise ValueError(
                f"a plane is of two different coordinates from 1 to {k}, got {pair[0]},{pair[1]}; give two of these"
            )
    mean = codes.mean(dim=0)
    centred = codes - mean
    if k == 2:
        return [_of_coordinates((1, 2), torch.zeros_like(mean))]
    _, scales, directions = torch.linalg.svd(centred, full_matrices=False)
    shares = (scales.square() / scales.square().sum().clamp_min(torch.finfo(codes.dtype).tiny)).tolist()
    shown = []
    for first in range(0, min(4, len(shares) - 1), 2):
        axes = [f"direction {n + 1} ({100 * shares[n]:.0f} % of the variance)" for n in (first, first + 1)]
        name = f"principal directions {first + 1}, {first + 2}"
        shown.append(Plane(name, (axes[0], axes[1]), mean, directions[first : first + 2]))
    pairs = list(asked)
    if not pairs and k <= ALL_PAIRS:
        pairs = [(i, j) for i in range(1, k + 1) for j in range(i + 1, k + 1)]
    elif not pairs:
        first, second = sorted((centred.square().mean(dim=0).topk(2).indices + 1).tolist())
        pairs = [(first, second)]
    return [*shown, *(_of_coordinates(pair, mean) for pair in pairs)]


def _of_coordinates(pair: tuple[int, int], mean: Tensor) -> Plane:
    places = torch.tensor(pair, device=mean.device) - 1
    names = [f"z{str(number).translate(str.maketrans('0123456789', '₀₁₂₃₄₅₆₇₈₉'))}" for number in pair]
    directions = torch.eye(len(mean), dtype=mean.dtype, device=mean.device)[places]
    return Plane(", ".join(names), (names[0], names[1]), mean.index_fill(0, places, 0), directions)


@final
@dataclass(frozen=True, eq=False)
class Square:
    """A square of a plane, and nodes on it: row by row upwards, each from left to right.

    Attributes:
        left, bottom, size: of the square.
    """

    left: float
    bottom: float
    size: float

    def nodes(self, side: int, like: Tensor) -> Tensor:
        """side² points from corner to corner, (side², 2)."""
        share = torch.linspace(0, 1, side, dtype=like.dtype, device=like.device)
        across, up = self.left + self.size * share, self.bottom + self.size * share
        return torch.cartesian_prod(up, across).flip(1)


def square_of(*clouds: Tensor) -> Square:
    """The square that holds nearly all points of some clouds (n, 2), with a margin.

    Example:
        >>> square_of(torch.tensor([[0.0, 0.0], [2.0, 1.0]]))
        Square(left=-0.10..., bottom=-0.60..., size=2.21...)
    """
    levels = clouds[0].new_tensor([INSIDE, 1 - INSIDE])
    ends = torch.stack([torch.quantile(cloud, levels, dim=0) for cloud in clouds])
    low, high = ends[:, 0].amin(dim=0), ends[:, 1].amax(dim=0)
    size = float((high - low).max()) * (1 + 2 * MARGIN) or 1.0
    left, bottom = ((low + high - size) / 2).tolist()
    return Square(left, bottom, size)


def density(points: Tensor, square: Square, side: int) -> Tensor:
    """The density of a cloud (n, 2) at the nodes of a square, (side²,), by Gaussian kernels of Scott's width.

    Points are shared among the four nodes around them first, so that the cost does not grow with n times the nodes.

    Example:
        >>> values = density(torch.randn(5000, 2), Square(-4.0, -4.0, 8.0), 33)
        >>> bool((values.sum() * (8 / 32) ** 2 - 1).abs() < 0.01)  # it integrates to one
        True
    """
    cell = square.size / (side - 1)
    corner = points.new_tensor([square.left, square.bottom])
    place = ((points - corner) / cell).double()
    whole = place.floor()
    rest, column, row = place - whole, whole[:, 0].long(), whole[:, 1].long()
    counts = rest.new_zeros(side, side)
    for up in (0, 1):
        for right in (0, 1):
            weight = (rest[:, 0] if right else 1 - rest[:, 0]) * (rest[:, 1] if up else 1 - rest[:, 1])
            i, j = row + up, column + right
            inside = (i >= 0) & (i < side) & (j >= 0) & (j < side)
            counts.index_put_((i[inside], j[inside]), weight[inside], accumulate=True)
    steps = torch.arange(side, dtype=counts.dtype, device=counts.device)
    for axis in (1, 0):  # columns are those of the first coordinate
        width = float(points[:, 1 - axis].double().std()) * len(points) ** (-1 / 6) / cell
        kernel = torch.exp(-0.5 * ((steps[:, None] - steps) / max(width, 0.3)).square())
        kernel = kernel / kernel[side // 2].sum()
        counts = counts @ kernel if axis == 1 else kernel @ counts
    return (counts / (len(points) * cell * cell)).flatten()


@final
@dataclass(frozen=True, eq=False)
class CodePlane:
    """A plane of codes, and what a generator does on it.

    Attributes:
        plane: of codes.
        label: the class, None where there are none.
        square: the part that is shown.
        side: nodes of the grid along either side.
        points: the codes' places, (n, 2).
        labels: their classes, (n,), or None.
        metric: M₁₁, M₁₂, M₂₂ of the decoder's metric on the plane at the nodes, (side², 3).
        error: the relative error of lengths in the metric between the nodes, of 95 % of random directions.
        density: of ζ, seen along the plane, at the nodes, (side²,).
    """

    plane: Plane
    label: int | None
    square: Square
    side: int
    points: Tensor
    labels: Tensor | None
    metric: Tensor
    error: float
    density: Tensor

    def rows(self, w: Tensor) -> Tensor:
        """The rows that the generator takes at points of the plane."""
        return rows_at(self.plane, self.label, w)


def rows_at(plane: Plane, label: int | None, w: Tensor) -> Tensor:
    """The codes at points of a plane (n, 2), with the class where there is one."""
    codes = plane.codes(w)
    return codes if label is None else labelled(codes, torch.full((len(w),), label, device=w.device))


def metric_on(mu: Pushforward, plane: Plane, label: int | None) -> PullbackMetric:
    """The metric that the generator gives a plane: that of its latent space along the plane's own directions."""
    to_data: Callable[[Tensor], Tensor] = mu
    if label is None:
        field = geometry_of(mu.map)[0].metric_field
        assert isinstance(field, PullbackMetric)  # a generator is a map
        to_data = field.f
    return PullbackMetric(lambda w: to_data(rows_at(plane, label, w)))


def code_plane(
    mu: Pushforward, plane: Plane, label: int | None, codes: Tensor, labels: Tensor | None, draws: Tensor, side: int
) -> CodePlane:
    """A plane of codes with its metric and the density of ζ. No graph; the caller sees to modes and random states.

    Args:
        mu: the model.
        plane: of its codes.
        label: the class that the generator is told, or None.
        codes: those to show, (n, k), and
        labels: their classes, (n,), or None.
        draws: of ζ, (m, k), for its density.
        side: nodes along either side.

    Raises:
        ValueError: a metric that is not finite.
    """
    points, cloud = plane.places(codes), plane.places(draws)
    square = square_of(points, cloud)
    field = metric_on(mu, plane, label)
    metric = field.matrix(square.nodes(side, codes))[:, [0, 0, 1], [0, 1, 1]]
    if not bool(torch.isfinite(metric).all()):
        raise ValueError(
            f"the metric of the decoder is not finite on the plane of {plane.name}; train again, with smooth "
            "activations, or choose another plane"
        )
    error = _error(field, metric, square, side)
    return CodePlane(plane, label, square, side, points, labels, metric, error, density(cloud, square, side))


def between(values: Tensor, square: Square, side: int, w: Tensor) -> Tensor:
    """Values at the nodes (side², p), interpolated bilinearly at points w (n, 2): (n, p), as the page does it.

    Example:
        >>> square = Square(0.0, 0.0, 1.0)
        >>> nodes = square.nodes(3, torch.zeros(1))
        >>> between(nodes, square, 3, torch.tensor([[0.2, 0.7]]))
        tensor([[0.2000, 0.7000]])
    """
    place = (w - w.new_tensor([square.left, square.bottom])) * ((side - 1) / square.size)
    corner = place.floor().clamp(0, side - 2)
    s, t = (place - corner)[:, :1], (place - corner)[:, 1:]
    first = (corner[:, 1] * side + corner[:, 0]).long()
    low = (1 - s) * values[first] + s * values[first + 1]
    return (1 - t) * low + t * ((1 - s) * values[first + side] + s * values[first + side + 1])


def _error(field: PullbackMetric, metric: Tensor, square: Square, side: int) -> float:
    share = torch.rand(TRIALS, 2, dtype=metric.dtype, device=metric.device)
    w = share * square.size + share.new_tensor([square.left, square.bottom])
    turn = 2 * math.pi * torch.rand(TRIALS, dtype=metric.dtype, device=metric.device)
    v = torch.stack([turn.cos().square(), 2 * turn.cos() * turn.sin(), turn.sin().square()], dim=1)
    exact = field.matrix(w)[:, [0, 0, 1], [0, 1, 1]]
    lengths = [(v * values).sum(dim=1).clamp_min(0).sqrt() for values in (between(metric, square, side, w), exact)]
    floor = torch.finfo(metric.dtype).tiny
    return float(torch.quantile((lengths[0] / lengths[1].clamp_min(floor) - 1).abs(), 0.95))
