"""Surfaces in closed form: charts with the distance between points, where there is a formula."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from scipy.integrate import solve_ivp
from torch import Tensor


class Surface(NamedTuple):
    """A chart, pairs of points in it, and their true distance."""

    map: Callable[[Tensor], Tensor]
    pairs: Callable[[int], tuple[Tensor, Tensor]]
    distance: Callable[[Tensor, Tensor], Tensor]


def sphere(z):
    """(θ, φ), θ from the pole."""
    theta, phi = z.T
    return torch.stack([theta.sin() * phi.cos(), theta.sin() * phi.sin(), theta.cos()], dim=1)


def stereographic(z):
    square = z.square().sum(dim=1, keepdim=True)
    return torch.cat([2 * z, square - 1], dim=1) / (1 + square)


def cylinder(z):
    return torch.stack([z[:, 0].cos(), z[:, 0].sin(), z[:, 1]], dim=1)


def cone(z):
    """(r, φ), half angle 30°: unrolled, a sector of angle φ/2."""
    r, phi = z.T
    return torch.stack([r * phi.cos() / 2, r * phi.sin() / 2, r * 3**0.5 / 2], dim=1)


def torus(z):
    theta, phi = z.T
    ring = 2 + theta.cos()
    return torch.stack([ring * phi.cos(), ring * phi.sin(), theta.sin()], dim=1)


def paraboloid(z):
    return torch.cat([z, z.square().sum(dim=1, keepdim=True)], dim=1)


def tractricoid(z):
    """The pseudosphere, K = −1: (x, log y) of the upper half plane, y >= 1."""
    x, y = z[:, 0], z[:, 1].exp()
    root = (1 - y**-2).clamp_min(1e-12).sqrt()
    return torch.stack([x.cos() / y, x.sin() / y, y.acosh() - root], dim=1)


def arc(f):
    def distance(a, b):
        return 2 * torch.asin((torch.linalg.vector_norm(f(a) - f(b), dim=1) / 2).clamp_max(1))

    return distance


def flat(unroll):
    def distance(a, b):
        return torch.linalg.vector_norm(unroll(a) - unroll(b), dim=1)

    return distance


def sector(z):
    return torch.stack([z[:, 0] * (z[:, 1] / 2).cos(), z[:, 0] * (z[:, 1] / 2).sin()], dim=1)


def half_plane(a, b):
    """The hyperbolic plane in (x, log y)."""
    y = a[:, 1].exp() * b[:, 1].exp()
    gap = (a[:, 0] - b[:, 0]).square() + (a[:, 1].exp() - b[:, 1].exp()).square()
    return torch.acosh(1 + gap / (2 * y))


def box(low, high):
    low, high = torch.tensor(low, dtype=torch.float64), torch.tensor(high, dtype=torch.float64)

    def pairs(n):
        return tuple(low + (high - low) * torch.rand(2, n, 2, dtype=torch.float64))

    return pairs


SPHERE = Surface(sphere, box([0.3, 0.0], [2.8, 3.0]), arc(sphere))
STEREOGRAPHIC = Surface(stereographic, box([-1.5, -1.5], [1.5, 1.5]), arc(stereographic))
CYLINDER = Surface(cylinder, box([0.0, -2.0], [3.1, 2.0]), flat(lambda z: z))
CONE = Surface(cone, box([0.5, 0.0], [2.0, 3.0]), flat(sector))
PSEUDOSPHERE = Surface(tractricoid, box([0.0, 0.3], [3.0, 2.0]), half_plane)
TORUS = Surface(torus, box([-1.0, -1.0], [1.0, 1.0]), None)
PARABOLOID = Surface(paraboloid, box([-1.0, -1.0], [1.0, 1.0]), None)


def torus_rate(state):
    """The geodesic equation of the torus, (θ, φ, θ', φ') -> its derivative, by Clairaut."""
    theta, _, dtheta, dphi = state
    ring = 2 + math.cos(theta)
    return [dtheta, dphi, -ring * math.sin(theta) * dphi**2, 2 * math.sin(theta) / ring * dtheta * dphi]


def paraboloid_rate(state):
    """The geodesic equation of the paraboloid of height ‖z‖², (x, y, x', y') -> its derivative."""
    x, y, dx, dy = state
    pull = -4 * (dx**2 + dy**2) / (1 + 4 * x**2 + 4 * y**2)
    return [dx, dy, pull * x, pull * y]


def shot(rate, z, v):
    """Where geodesics from z with velocity v are at t = 1, to 12 digits: their ends are ‖v‖_M apart."""
    ends = []
    for point, velocity in zip(z.tolist(), v.tolist(), strict=True):
        done = solve_ivp(lambda t, y: rate(y), (0, 1), point + velocity, method="DOP853", rtol=1e-12, atol=1e-12)
        ends.append(done.y[:2, -1].tolist())
    return torch.tensor(ends, dtype=z.dtype)


CLOSED_FORMS = {
    "sphere": SPHERE,
    "stereographic": STEREOGRAPHIC,
    "cylinder": CYLINDER,
    "cone": CONE,
    "pseudosphere": PSEUDOSPHERE,
}
