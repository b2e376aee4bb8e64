"""Planar laws as mixtures of Gaussians or of uniform laws on squares: exactly, or by quadrature along their curves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal, Uniform

SPACING = 1.2  # of components along a curve, in deviations: a sum in place of the integral is then right to 1e-5
MOST = 2000  # components


def on_squares(corners: Tensor, side: float) -> Distribution:
    """The uniform law on squares with these lower corners, (K, 2)."""
    squares = Independent(Uniform(corners, corners + side), 1)
    return MixtureSameFamily(Categorical(torch.ones_like(corners[:, 0])), squares)


def on_circles(radii: Sequence[float], noise: float) -> Distribution | None:
    """Circles of equal mass with Gaussian noise; None without it, or where it is too small."""
    counts = [8 + math.ceil(2 * math.pi * r / (SPACING * noise)) if noise > 0 else MOST for r in radii]
    if sum(counts) > MOST:
        return None
    angles = [torch.arange(n, device="cpu") * (2 * math.pi / n) for n in counts]
    points = torch.cat([r * _direction(angle) for r, angle in zip(radii, angles, strict=True)])
    return _mixture(points, torch.cat([torch.full((n,), 1 / n, device="cpu") for n in counts]), noise)


def on_moons(noise: float) -> Distribution | None:
    """Those of `two_moons`."""
    rule = _rule(1.5 * math.pi, noise)
    if rule is None:
        return None
    arc = 1.5 * (_direction(math.pi * rule[0]) - torch.tensor([0.5, 0.25], device="cpu"))
    return _mixture(torch.cat([arc, -arc]), rule[1].repeat(2), noise)


def on_roll(noise: float) -> Distribution | None:
    """That of `swiss_roll`."""
    rule = _rule(2 * math.hypot(1, 4.5 * math.pi) * 2 / 3, noise)
    if rule is None:
        return None
    t = (1 + 2 * rule[0]) / 3
    return _mixture(2 * t[:, None] * _direction(4.5 * math.pi * t), rule[1], noise)


def _rule(length: float, noise: float) -> tuple[Tensor, Tensor] | None:
    """Gauss's nodes in (0, 1) and their weights for a curve of such a length, or of such a speed."""
    from numpy.polynomial.legendre import leggauss

    wanted = math.pi / 2 * length / (SPACING * noise) if noise > 0 else math.inf
    if wanted > MOST / 2:
        return None
    nodes, weights = leggauss(8 + math.ceil(wanted))
    return torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)


def _mixture(points: Tensor, weights: Tensor, noise: float) -> Distribution:
    points = points.double()
    components = Independent(Normal(points, torch.full_like(points, noise)), 1)
    return MixtureSameFamily(Categorical(weights.double()), components)


def _direction(angle: Tensor) -> Tensor:
    return torch.stack((angle.cos(), angle.sin()), dim=-1)
