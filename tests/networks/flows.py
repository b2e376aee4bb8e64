"""Velocities with known flows."""

import torch
from torch import nn


class Function(nn.Module):
    """v(t, x) = f(t, x) for t (n, 1)."""

    def __init__(self, f):
        super().__init__()
        self.f = f
        self.calls = 0

    def forward(self, t, x):
        self.calls += 1
        return self.f(t[:, None], x)


def independent(mean, scale):
    """E[y − z | x_t = x] for independent z ~ N(0, I) and y ~ N(m, s²): its flow is z -> m + s z."""

    def v(t, x):
        variance = (1 - t).square() + (t * scale).square()
        return mean + (t * scale**2 - (1 - t)) / variance * (x - t * mean)

    return Function(v)


def optimal(mean, scale):
    """The same for the optimal coupling, y = m + s z."""
    return Function(lambda t, x: mean + (scale - 1) / (1 - t + t * scale) * (x - t * mean))


def linear(A):
    """v(t, x) = A x."""
    return Function(lambda t, x: x @ A.T)


def energy_of_independent(mean, scale, points=20001):
    """∫ E‖v_t(x_t)‖² dt of `independent` on the line, by the trapezium rule: x_t ~ N(t m, (1 − t)² + t² s²)."""
    t = torch.linspace(0, 1, points, dtype=torch.float64)
    variance = (1 - t).square() + (t * scale).square()
    slope = (t * scale**2 - (1 - t)) / variance
    return float(torch.trapezoid(mean**2 + slope.square() * variance, t))
