"""Entropic transport: Schrödinger potentials, and the debiased divergence between point clouds.

Sweeps are products of a kernel, K = exp((f + g − C) / ε), with vectors of scalings. When scalings grow large, the
potentials absorb them. A sweep takes a logarithm and an exponential of n numbers instead of n².
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ot_gen.arguments import Count, Interval, Nonnegative, Positive, checked
from ot_gen.costs import squared_distances
from ot_gen.execution import keyword_only
from ot_gen.measures import check_cloud, widened_pair
from ot_gen.transport.large_clouds import is_large, streamed_divergence
from ot_gen.transport.problem import NotConverged, normalised, problem
from ot_gen.transport.sweeps import CLAMP, WINDOW, relaxation

LARGE = 1e7  # ε beyond so many squared sizes of the points is replaced: the divergence differs by 1e-7 of them at most


@checked
def sinkhorn_potentials(
    C: Tensor,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    epsilon: Nonnegative,
    tol: Positive = 1e-4,
    max_iterations: Count = 10_000,
) -> tuple[Tensor, Tensor]:
    """The Schrödinger potentials (f, g): P = exp((f_i + g_j − C_ij) / ε) a_i b_j is the entropic plan.

        min { ⟨P, C⟩ + ε KL(P | a ⊗ b) : P 1 = a, Pᵀ 1 = b } = max over (f, g) of ⟨a, f⟩ + ⟨b, g⟩ + ε − ε Σ_ij P_ij

    For small ε the solve starts from larger ones. The sweeps are over-relaxed as much as their rate of convergence
    suggests.

    Args:
        C: costs, (n, m), finite.
        a, b: masses, (n,) and (m,); None means uniform, and others are divided by their total.
        epsilon: ε > 0, in the units of the cost.
        tol: largest marginal error accepted: Pᵀ 1 = b up to `tol` in total variation norm ‖·‖₁, P 1 = a to rounding.
        max_iterations: sweeps after which the solve fails, loudly.

    Returns:
        f, g: (n,) and (m,), float64; unique up to a constant. They are also defined where a mass is 0.

    Raises:
        ValueError: ε or max_iterations is not positive, C is not a finite matrix, or a or b no masses for it.
        NotConverged: `tol` was not reached.

    Source: Cuturi, 2013, https://arxiv.org/abs/1306.0895; absorption: Schmitzer, 2019,
    https://arxiv.org/abs/1610.06519; over-relaxation: Thibault et al., 2017, https://arxiv.org/abs/1711.01851

    Example:
        >>> f, g = sinkhorn_potentials(torch.zeros(2, 2), epsilon=0.1)
        >>> bool((f[:, None] + g).abs().max() < 1e-12)
        True
    """
    if epsilon == 0:
        raise ValueError("Schrödinger potentials need epsilon > 0, got 0; for epsilon = 0 use exact_plan")
    C, a, b = problem(C, a, b)
    f, g, _ = _potentials(C, a, b, epsilon, tol, max_iterations)
    return f, g


@keyword_only
@checked
def sinkhorn_divergence(
    x: Tensor,
    y: Tensor,
    *,
    epsilon: Annotated[float, Interval(0)],
    a: Tensor | None = None,
    b: Tensor | None = None,
    tol: Positive = 1e-3,
    max_iterations: Count = 10_000,
) -> Tensor:
    """The debiased Sinkhorn divergence between two weighted point clouds, with cost ‖x − y‖² (no ½).

        S_ε(α, β) = OT_ε(α, β) − ½ OT_ε(α, α) − ½ OT_ε(β, β) >= 0,   OT_ε = min ⟨π, c⟩ + ε KL(π | α ⊗ β)

    It is 0 at α = β, tends to W₂² as ε → 0 and to ‖E x − E y‖² as ε → ∞. By the envelope theorem the gradient has a
    closed form, ∇_{x_i} S_ε = 2 a_i (T_α x_i − T_β x_i), with T_β x_i the mean of β under the plan's row of x_i.

    Clouds whose dense matrices would take more than 8 GB (23,000 points in float32, 16,000 in float64) keep none:
    GeomLoss starts the solve, by its multiscale solver where KeOps is installed, d <= 3 and ε is not small, and from a
    sample of the points elsewhere. Streamed sweeps finish it. They save memory, not time: up to five times slower.

    Args:
        x, y: points, (n, d) and (m, d); both have gradients.
        epsilon: ε > 0, in the units of ‖x − y‖²; beyond 10⁷ squared sizes of the points, also ∞, the limit counts.
        a, b: masses, (n,) and (m,), positive; None means uniform, and others are divided by their total. No gradient.
        tol: largest marginal error accepted, in total variation norm. The value's error is of second order in it. The
            default is meant for training; below 1e-5 the computation is in float64.
        max_iterations: sweeps after which a solve fails, loudly.

    Returns:
        S_ε, (), which can be differentiated once.

    Raises:
        ValueError: ε is not positive, or the clouds do not match.
        NotConverged: `tol` was not reached.

    Source: Feydy et al., 2019, https://arxiv.org/abs/1810.08278

    Example:
        >>> x = torch.randn(30, 2)
        >>> bool(sinkhorn_divergence(x, x, epsilon=1.0).abs() < 1e-4)
        True
    """
    if epsilon == 0:
        raise ValueError("sinkhorn_divergence needs epsilon > 0, got 0; for epsilon = 0 use wasserstein")
    x, y = widened_pair(x, y)
    check_cloud(x, "x")
    check_cloud(y, "y")
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"sinkhorn_divergence compares points (n, d) and (m, d), got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    for name, mass, points in (("a", a, x), ("b", b, y)):
        if mass is not None and (
            not isinstance(mass, Tensor) or mass.shape != points.shape[:1] or not bool((mass > 0).all())
        ):
            raise ValueError(f"{name} must hold the {len(points)} positive masses of its points, got {mass}")
    a, b = (
        p.new_full((len(p),), 1 / len(p)) if mass is None else normalised(name, mass).to(p)
        for name, p, mass in (("a", x, a), ("b", y, b))
    )
    value: Tensor = _Divergence.apply(x, y, a, b, epsilon, tol, max_iterations)
    return value


class _Divergence(torch.autograd.Function):
    """S_ε with its gradient, which costs a product of each kernel with the points."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, a: Tensor, b: Tensor, epsilon: float, tol: float, max_iterations: int
    ) -> Tensor:
        centre = y.mean(dim=0)
        x_, y_ = x - centre, y - centre
        # In units of their size: squares, and sums of them, leave the range of single precision.
        unit = 2.0 ** math.frexp(max(float(x_.abs().max()), float(y_.abs().max())))[1]
        epsilon = min(epsilon / unit / unit, LARGE * x.shape[1])
        # The value is a difference of terms of the size of ε, each with an error of ε tol².
        tol = tol / max(1.0, epsilon / x.shape[1]) ** 0.5
        single = x.dtype == torch.float32 and tol >= 1e-5 and epsilon <= x.shape[1]
        dtype = torch.float32 if single else torch.float64
        x_, y_ = (x_ / unit).to(dtype), (y_ / unit).to(dtype)
        a, b = (mass.to(dtype) / mass.to(dtype).sum() for mass in (a, b))
        solve = streamed_divergence if is_large(x_, y_) else _dense_divergence
        value, *moves = solve(x_, y_, a, b, epsilon, tol, max_iterations)
        ctx.save_for_backward(
            *(
                (2 * unit * mass[:, None] * move).to(x.dtype) if needed else None
                for mass, move, needed in zip((a, b), moves, ctx.needs_input_grad, strict=False)
            )
        )
        value = (value.double() * unit * unit).to(x.dtype)
        if not bool(torch.isfinite(value)):
            raise ValueError(f"the divergence of points of size {unit:.2g} overflows {x.dtype}; use a larger unit")
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        parts = (None if part is None else gradient * part for part in ctx.saved_tensors)
        return (*parts, None, None, None, None, None)


def _dense_divergence(
    x: Tensor, y: Tensor, a: Tensor, b: Tensor, epsilon: float, tol: float, max_iterations: int
) -> tuple[Tensor, Tensor, Tensor]:
    """S_ε, and T_α − T_β at the points of both clouds, by matrices that are kept."""
    f, g, K = _potentials(squared_distances(x, y), a, b, epsilon, tol, max_iterations)
    value = a @ f + b @ g
    moves = []
    for points, others, weights, kernel, mine in ((x, y, b, K, a), (y, x, a, K.T, b)):
        h, own = _symmetric_potential(points, mine, epsilon, tol, max_iterations)
        value = value - h
        moves.append(_barycentres(own, mine, points) - _barycentres(kernel, weights, others))
    return value, moves[0], moves[1]


def _barycentres(K: Tensor, b: Tensor, y: Tensor) -> Tensor:
    """The mean of Σ_j b_j δ_{y_j} under each row of the kernel."""
    return (K @ (b[:, None] * y)) / (K @ b)[:, None]


def _potentials(
    C: Tensor, a: Tensor, b: Tensor, epsilon: float, tol: float, max_iterations: int
) -> tuple[Tensor, Tensor, Tensor]:
    """f, g, and the kernel exp((f + g − C) / ε)."""
    f = C.amin(dim=1)
    K = C - f[:, None]
    g = K.amin(dim=0)
    level = max(epsilon, 0.1 * float(K.mean()))
    sweeps = 0
    while True:
        torch.sub(C, g, out=K)
        K.sub_(f[:, None]).mul_(-1 / level).clamp_(-CLAMP, CLAMP).exp_()
        final = level <= epsilon
        limit = max_iterations - sweeps if final else min(12, max_iterations - sweeps)
        u, v, error, used = _scalings(K, a, b, tol if final else max(tol, 0.03), limit)
        sweeps += used
        f, g = f + level * u.log(), g + level * v.log()
        if final and error <= tol:
            return f, g, K.mul_(u[:, None]).mul_(v)
        if sweeps >= max_iterations or not math.isfinite(error):
            raise NotConverged(
                f"Sinkhorn left a marginal error of {error:.2g} > tol = {tol:g} after {sweeps} iterations at "
                f"epsilon = {level:g}; raise epsilon (mean cost: {float(C.mean()):.3g}), tol or max_iterations"
            )
        if not final:
            level = max(level / 4, epsilon)


def _scalings(K: Tensor, a: Tensor, b: Tensor, tol: float, limit: int) -> tuple[Tensor, Tensor, float, int]:
    """u, v with u_i Σ_j K_ij v_j b_j = 1 and v_j Σ_i K_ij u_i a_i = 1, the error of the second, and the sweeps used.

    It returns early when the scalings grow so much that the potentials must absorb them.
    """
    u, v = torch.mv(K, b).reciprocal_(), torch.ones_like(b)
    omega, error = 1.0, math.inf
    for sweep in range(1, limit + 1):
        column = torch.mv(K.T, a * u)
        if sweep % WINDOW == 0 or sweep == limit:
            before, error = error, float((b * (v * column - 1).abs()).sum())
            if error <= tol or sweep == limit:
                # With exact rows, all of the error is in the columns.
                u = torch.mv(K, b * v).reciprocal_()
                column = torch.mv(K.T, a * u)
                error = float((b * (v * column - 1).abs()).sum())
            if error <= tol or not error < math.inf or float(u.log().abs().max()) > CLAMP / 2:
                break
            omega = relaxation(omega, error / before)
        v.mul_(column.mul_(v).pow_(-omega))
        u.mul_(torch.mv(K, b * v).mul_(u).pow_(-omega))
    return u, v, error, sweep


def _symmetric_potential(
    x: Tensor, a: Tensor, epsilon: float, tol: float, max_iterations: int
) -> tuple[Tensor, Tensor]:
    """½ OT_ε(α, α), and the kernel exp((f + f − C) / ε) up to the scaling of its rows.

    The averaged sweep u ← √(u / (K a u)) at least halves the error, since the kernel is positive definite.
    """
    K = squared_distances(x, x).mul_(-1 / epsilon).clamp_(min=-CLAMP).exp_()
    u = torch.mv(K, a).rsqrt_()
    for sweep in range(1, max_iterations + 1):
        row = torch.mv(K, a * u)
        if sweep % 3 == 0 or sweep == max_iterations:
            error = float((a * (u * row - 1).abs()).sum())
            if error <= tol:
                mass = torch.dot(a * u, row)
                return epsilon * (torch.dot(a, u.log()) + (1 - mass) / 2), K.mul_(u)
        u = row.reciprocal_().mul_(u).sqrt_()
    raise NotConverged(
        f"Sinkhorn left a marginal error of {error:.2g} > tol = {tol:g} after {sweep} iterations at epsilon = "
        f"{epsilon:g}; raise epsilon, tol or max_iterations, or compute in float64"
    )
