"""Planar laws with known shapes, sampled afresh without end, at one scale: within about [-2.5, 2.5]^2.

They are the usual first examples of generative modelling. Mixtures have separate modes. Moons, spiral, pinwheel and
rings have thin and curved supports. The checkerboard has sharp edges. The lines have no density.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from ot_gen.arguments import Count, Finite, Interval, Nonnegative, Positive, checked
from ot_gen.data.law import Law
from ot_gen.data.toy_mixtures import on_circles, on_moons, on_roll, on_squares
from ot_gen.measures import Reference

MOST_CELLS = 8  # a side, up to which the checkerboard is known as a mixture


@checked
def eight_gaussians(radius: Finite = 2.0, std: Positive = 0.1) -> Reference:
    """Eight Gaussians on a circle: y = radius (cos πK/4, sin πK/4) + std ε, K uniform on 0..7, ε ~ N(0, I_2).

    Its density is `law.log_prob`, and its eight modes, (8, 2), are `law.component_distribution.mean`.

    Raises:
        ValueError: std is not positive, or a number is not finite.

    Example:
        >>> nu = eight_gaussians()
        >>> nu.law.component_distribution.mean.shape, nu.law.log_prob(nu.sample(5)).shape
        (torch.Size([8, 2]), torch.Size([5]))
    """
    _check_finite(radius=radius)
    angle = torch.arange(8, device="cpu") * (math.pi / 4)
    return _gaussians(radius * _direction(angle), std)


@checked
def twenty_five_gaussians(spacing: Finite = 1.0, std: Positive = 0.05) -> Reference:
    """A 5 x 5 grid of Gaussians: y = spacing (I, J) + std ε, I and J uniform on -2..2, ε ~ N(0, I_2).

    Its density is `law.log_prob`, and its modes, (25, 2), are `law.component_distribution.mean`.

    Raises:
        ValueError: std is not positive, or a number is not finite.

    Example:
        >>> twenty_five_gaussians().law.component_distribution.mean.shape
        torch.Size([25, 2])
    """
    _check_finite(spacing=spacing)
    line = torch.arange(-2.0, 3.0, device="cpu")
    return _gaussians(spacing * torch.cartesian_prod(line, line), std)


@checked
def two_moons(noise: Nonnegative = 0.05) -> Law:
    """Two interleaved half circles: y = S (3/2) (cos T − 1/2, sin T − 1/4) + noise ε, S = ±1, T ~ U(0, π).

    The moons of scikit-learn's `make_moons`, centred (each is the mirror image of the other in 0) and 1.5 times as
    large. S is a fair sign and ε ~ N(0, I_2).

    Raises:
        ValueError: noise is negative or not finite.

    Example:
        >>> two_moons().sample(5).shape
        torch.Size([5, 2])
    """
    return Law(partial(_two_moons, noise=_checked_noise(noise)), f"two_moons(noise={noise})", _moon, on_moons(noise))


@checked
def swiss_roll(noise: Nonnegative = 0.05) -> Law:
    """A planar spiral: y = 2 (T / T_max) (cos T, sin T) + noise ε, T ~ U(3π/2, T_max), T_max = 9π/2, ε ~ N(0, I_2).

    Raises:
        ValueError: noise is negative or not finite.

    Example:
        >>> swiss_roll().sample(5).shape
        torch.Size([5, 2])
    """
    return Law(partial(_swiss_roll, noise=_checked_noise(noise)), f"swiss_roll(noise={noise})", mixture=on_roll(noise))


@checked
def pinwheel(arms: Count = 5, radial: Nonnegative = 0.3, tangential: Nonnegative = 0.05, rate: Finite = 0.25) -> Law:
    """A wheel of bent Gaussian arms: y = (5/4) R(2πK/arms + rate exp(r)) (r, s), r = 1 + radial ε₁, s = tangential ε₂.

    R(φ) is the rotation by the angle φ, K uniform on 0..arms-1, and ε ~ N(0, I_2). From Johnson et al., "Composing
    graphical models with neural networks for structured representations and fast inference", 2016
    (https://arxiv.org/abs/1603.06277).

    Raises:
        ValueError: there is no arm, radial or tangential is negative, or a number is not finite.

    Example:
        >>> pinwheel().sample(5).shape
        torch.Size([5, 2])
    """
    _check_finite(arms=arms, radial=radial, tangential=tangential, rate=rate)
    if arms < 1:
        raise ValueError(f"a pinwheel needs at least one arm, got arms={arms}")
    if not (radial >= 0 and tangential >= 0):
        raise ValueError(f"standard deviations must be non-negative, got radial={radial}, tangential={tangential}")
    draw = partial(_pinwheel, arms=arms, radial=radial, tangential=tangential, rate=rate)
    component = partial(_arm, arms=arms, rate=rate)
    return Law(draw, f"pinwheel(arms={arms}, radial={radial}, tangential={tangential}, rate={rate})", component)


@checked
def checkerboard(cells: Annotated[int, Interval(2, 1000)] = 4) -> Law:
    """The uniform law on the dark squares of a board of cells x cells squares over [-2, 2]^2.

    y = (4 / cells) ((I, J) + U) − 2, with (I, J) uniform on the squares where I + J is even, U uniform on [0, 1]^2.

    Raises:
        ValueError: a board of fewer than two cells a side.

    Example:
        >>> checkerboard().sample(5).shape
        torch.Size([5, 2])
    """
    _check_finite(cells=cells)
    if cells < 2:
        raise ValueError(f"a checkerboard needs at least two cells a side, got cells={cells}")
    squares = on_squares(4 / cells * _dark_squares(cells).double() - 2, 4 / cells) if cells <= MOST_CELLS else None
    return Law(partial(_checkerboard, cells=cells), f"checkerboard(cells={cells})", mixture=squares)


@checked
def rings(radii: Sequence[Nonnegative] = (0.5, 1.0, 1.5, 2.0), noise: Nonnegative = 0.05) -> Law:
    """Concentric rings of equal mass: y = r_K (cos T, sin T) + noise ε, K uniform, T ~ U(0, 2π), ε ~ N(0, I_2).

    Each ring has the mass 1 / len(radii), whatever its circumference.

    Raises:
        ValueError: no radius, a negative radius or noise, or a number that is not finite.

    Example:
        >>> rings().sample(5).shape
        torch.Size([5, 2])
    """
    _check_finite(radii=radii)
    if not radii or not all(r >= 0 for r in radii):
        raise ValueError(f"rings need at least one radius and none negative, got radii={tuple(radii)}")
    draw = partial(_rings, radii=tuple(radii), noise=_checked_noise(noise))
    component = partial(_nearest_ring, radii=tuple(radii))
    return Law(draw, f"rings(radii={tuple(radii)}, noise={noise})", component, on_circles(radii, noise))


@checked
def parallel_lines(offsets: Sequence[Finite] = (-1.0, 1.0)) -> Law:
    """Vertical segments of equal mass: y = (θ_K, U), K uniform on the offsets θ, U ~ U(-1, 1).

    The laws of different offsets have disjoint supports and no density. No f-divergence measures how far apart they
    are: W_1 between the segments at 0 and θ is |θ|, but their Jensen-Shannon divergence is log 2 for every θ ≠ 0.
    `offsets=(theta,)` is example 1 of Arjovsky, Chintala and Bottou, "Wasserstein GAN", 2017
    (https://arxiv.org/abs/1701.07875), on [-1, 1] in place of [0, 1].

    Raises:
        ValueError: no offset, or one that is not finite.

    Example:
        >>> parallel_lines(offsets=(0.5,)).sample(3)[:, 0]
        tensor([0.5000, 0.5000, 0.5000])
    """
    if not offsets:
        raise ValueError("parallel lines need at least one offset, got none; the default is (-1.0, 1.0)")
    _check_finite(offsets=offsets)
    draw, component = partial(_parallel_lines, offsets=tuple(offsets)), partial(_nearest_line, offsets=tuple(offsets))
    return Law(draw, f"parallel_lines(offsets={tuple(offsets)})", component)


def _gaussians(means: Tensor, std: float) -> Reference:
    _check_finite(std=std)
    if not std > 0:
        raise ValueError(f"std must be positive, got {std}: a mixture of Gaussians needs a density")
    components = Independent(Normal(means, torch.full_like(means, std)), 1)
    return Reference(MixtureSameFamily(Categorical(torch.ones_like(means[:, 0])), components))


def _checked_noise(noise: float) -> float:
    _check_finite(noise=noise)
    if not noise >= 0:
        raise ValueError(f"noise must be a non-negative standard deviation, got {noise}")
    return noise


def _check_finite(**parameters: float | Sequence[float]) -> None:
    """Refuse NaN, and what is infinite in float32: the points of such a law would be neither."""
    for name, value in parameters.items():
        if not bool(torch.isfinite(torch.as_tensor(value, dtype=torch.float32, device="cpu")).all()):
            raise ValueError(f"{name} must be finite in float32, got {value}; give a number of the size of the points")


def _direction(angle: Tensor) -> Tensor:
    return torch.stack((angle.cos(), angle.sin()), dim=-1)


def _two_moons(n: int, noise: float) -> Tensor:
    sign = 2 * torch.randint(2, (n, 1)) - 1
    arc = _direction(math.pi * torch.rand(n)) - torch.tensor([0.5, 0.25])
    return sign * 1.5 * arc + noise * torch.randn(n, 2)


def _moon(y: Tensor) -> Tensor:
    """0 for the upper moon, 1 for the lower: the nearer half circle."""
    distances = []
    for sign in (1, -1):
        arc = sign * y / 1.5 + torch.tensor([0.5, 0.25], device=y.device)
        ends = (arc - torch.tensor([[[1.0, 0.0]], [[-1.0, 0.0]]], device=y.device)).norm(dim=-1).amin(0)
        distances.append(torch.where(arc[:, 1] > 0, (arc.norm(dim=1) - 1).abs(), ends))
    return torch.stack(distances).argmin(0)


def _swiss_roll(n: int, noise: float) -> Tensor:
    t = (1 + 2 * torch.rand(n)) / 3  # T / T_max
    return 2 * t[:, None] * _direction(4.5 * math.pi * t) + noise * torch.randn(n, 2)


def _pinwheel(n: int, arms: int, radial: float, tangential: float, rate: float) -> Tensor:
    r, s = 1 + radial * torch.randn(n, 1), tangential * torch.randn(n, 1)
    along = _direction(2 * math.pi / arms * torch.randint(arms, (n,)) + rate * r.squeeze(1).exp())
    across = torch.stack((-along[:, 1], along[:, 0]), dim=-1)
    return 1.25 * (r * along + s * across)


def _arm(y: Tensor, arms: int, rate: float) -> Tensor:
    """The arm whose bent axis passes nearest in angle, at the radius of the point."""
    radius, angle = y.norm(dim=1) / 1.25, torch.atan2(y[:, 1], y[:, 0])
    return ((angle - rate * radius.exp()) * arms / (2 * math.pi)).round().long() % arms


def _dark_squares(cells: int) -> Tensor:
    line = torch.arange(cells, device="cpu")
    squares = torch.cartesian_prod(line, line)
    return squares[squares.sum(1) % 2 == 0]


def _checkerboard(n: int, cells: int) -> Tensor:
    dark = _dark_squares(cells)
    return 4 / cells * (dark[torch.randint(len(dark), (n,))] + torch.rand(n, 2)) - 2


def _rings(n: int, radii: tuple[float, ...], noise: float) -> Tensor:
    radius = torch.tensor(radii)[torch.randint(len(radii), (n, 1))]
    return radius * _direction(2 * math.pi * torch.rand(n)) + noise * torch.randn(n, 2)


def _nearest_ring(y: Tensor, radii: tuple[float, ...]) -> Tensor:
    return (y.norm(dim=1, keepdim=True) - torch.tensor(radii, device=y.device)).abs().argmin(1)


def _parallel_lines(n: int, offsets: tuple[float, ...]) -> Tensor:
    x = torch.tensor(offsets)[torch.randint(len(offsets), (n,))]
    return torch.stack((x, 2 * torch.rand(n) - 1), dim=-1)


def _nearest_line(y: Tensor, offsets: tuple[float, ...]) -> Tensor:
    return (y[:, :1] - torch.tensor(offsets, device=y.device)).abs().argmin(1)
