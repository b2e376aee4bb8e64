"""Initial value problems: geodesics from a velocity, parallel transport, curvature."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ot_gen.geometry.curves import Curve
from ot_gen.geometry.geodesics import Geodesics
from ot_gen.geometry.jets import directional
from ot_gen.geometry.metrics import RiemannianMetric

CORRECTIONS = 8
STEPS = 128  # of parallel transport, at least


def exponential(metric: RiemannianMetric, z: Tensor, v: Tensor, tol: float) -> Tensor:
    """γ(1), (n, k), of γ'' = −Γ(γ', γ') from γ(0) = z, γ'(0) = v."""

    def rate(t: float, state: Tensor) -> Tensor:
        point, velocity = state.chunk(2, dim=1)
        return torch.cat([velocity, -metric.connection(point, velocity, velocity)], dim=1)

    return _integrate(rate, torch.cat([z, v], dim=1), tol)[:, : z.shape[1]]


def logarithm(metric: RiemannianMetric, geodesics: Geodesics, z1: Tensor, tol: float) -> Tensor:
    """v with exp(z0, v) = z1, by Newton's method from the velocity of a geodesic; the Jacobian is formed once.

    Raises:
        ValueError: it does not get there.
    """
    z0, k = geodesics.nodes[:, 0], z1.shape[1]
    v = geodesics.velocity(z0.new_zeros(1)).squeeze(1)
    still = (geodesics.length == 0)[:, None]
    v = torch.where(still, 0, v)
    size = torch.linalg.vector_norm(v, dim=1, keepdim=True)
    # Columns of the Jacobian of exp by differences: errors there only slow the correction.
    offset = 1e-3 * size * torch.eye(k, dtype=v.dtype, device=v.device).unsqueeze(1)
    points = torch.cat([z0[None], z0.expand(k, -1, -1)]).flatten(0, 1)
    reached = exponential(metric, points, torch.cat([v[None], v + offset]).flatten(0, 1), tol / 10)
    end, *columns = reached.unflatten(0, (k + 1, -1))
    moved = torch.stack([(column - end) for column in columns], dim=2)
    eye = torch.eye(k, dtype=v.dtype, device=v.device)
    jacobian = torch.where(
        still.unsqueeze(2), eye, moved / (1e-3 * size.clamp_min(torch.finfo(v.dtype).tiny)).unsqueeze(2)
    )
    for _ in range(CORRECTIONS):
        gap = z1 - end
        far = torch.linalg.vector_norm(gap, dim=1) > tol * size.squeeze(1)
        if not bool(far.any()):
            return v
        correction = torch.linalg.solve(jacobian.double(), gap.double()).to(v.dtype)
        v = torch.where(far[:, None], v + correction, v)
        end = exponential(metric, z0, v, tol / 10)
    raise ValueError(
        f"the velocities of {int(far.sum())} of {len(v)} geodesics do not lead to their end points to a relative "
        f"{tol:g} (conjugate points, or a decoder with kinks): use geodesic(...).velocity, or a larger tol"
    )


def transport(metric: RiemannianMetric, curve: Curve, w: Tensor) -> Tensor:
    """w(1), (B, k), of w' = −Γ(γ', w), by the Magnus method of order 4 on steps that do not cross a node.

    The equation is linear, w' = A(t)w, so A is known at all times at once. Each step multiplies w by
    exp(½h(A₁ + A₂) − (√3/12)h²(A₁A₂ − A₂A₁)), with A₁, A₂ at the two Gauss points.

    Source: Blanes, Casas, Oteo, Ros, The Magnus expansion, 2009, https://arxiv.org/abs/0810.5488
    """
    steps = curve.segments * -(-STEPS // curve.segments)
    start = torch.arange(steps, dtype=w.dtype, device=w.device)
    t = torch.stack([start + 0.5 - math.sqrt(3) / 6, start + 0.5 + math.sqrt(3) / 6], dim=1).flatten() / steps
    z, v = curve(t), curve.velocity(t)
    axes = torch.eye(w.shape[1], dtype=w.dtype, device=w.device)
    with torch.no_grad():
        columns = [-metric.connection(z.flatten(0, 1), v.flatten(0, 1), e.expand_as(z).flatten(0, 1)) for e in axes]
    first, second = torch.stack(columns, dim=2).unflatten(0, (len(w), steps, 2)).unbind(dim=2)
    bracket = first @ second - second @ first
    turns = torch.linalg.matrix_exp((first + second) / (2 * steps) - math.sqrt(3) / (12 * steps**2) * bracket)
    out = w.unsqueeze(2)
    for turn in turns.unbind(dim=1):
        out = turn @ out
    return out.squeeze(2)


def curvature(metric: RiemannianMetric, z: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """⟨R(u, v)v, u⟩ / (‖u‖²‖v‖² − ⟨u, v⟩²), (n,), R(u, v)w = ∂_u Γ(v, w) − ∂_v Γ(u, w) + Γ(u, Γ(v, w)) − Γ(v, Γ(u, w)).

    Raises:
        ValueError: u and v are parallel.
    """

    def turning(direction: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return directional(lambda p: metric.connection(p, a, b), z, direction)

    vv, along_u = turning(u, v, v)
    uv, along_v = turning(v, u, v)
    riemann = along_u - along_v + metric.connection(z, u, vv) - metric.connection(z, v, uv)
    area = metric.inner(z, u, u) * metric.inner(z, v, v) - metric.inner(z, u, v).square()
    if not bool(((area > 0) & (area < torch.inf)).all()):
        raise ValueError(
            "u and v must span a plane at each point, got parallel ones, or so long ones that areas overflow"
        )
    return metric.inner(z, riemann, u) / area


def _integrate(rate: Callable[[float, Tensor], Tensor], start: Tensor, tol: float) -> Tensor:
    """y(1) of y' = rate(t, y), y(0) = start, all rows as one system in float64."""
    from scipy.integrate import solve_ivp

    def numbers(t: float, state: Any) -> Any:
        y = torch.from_numpy(state).reshape(start.shape).to(start)
        with torch.no_grad():
            return rate(t, y).double().cpu().numpy().ravel()

    first = start.detach().double().cpu().numpy().ravel()
    tol = max(tol, 10 * torch.finfo(start.dtype).eps)  # below it, steps would shrink to resolve rounding
    size = max(float(abs(first).max()), 1e-300)
    done = solve_ivp(numbers, (0.0, 1.0), first, method="DOP853", rtol=tol, atol=tol * size, t_eval=[1.0])
    if not done.success:
        raise ValueError(
            f"the geodesic equation could not be solved up to t = 1: {done.message} Shorten the velocity, or loosen tol"
        )
    return torch.from_numpy(done.y[:, -1].copy()).reshape(start.shape).to(start)
