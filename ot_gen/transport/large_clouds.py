"""The Sinkhorn divergence of large clouds: GeomLoss starts, streamed sweeps finish and check, no (n, m) array is kept.

GeomLoss does not say whether it converged. So each of its solves is checked by a sweep over blocks of rows, and more
sweeps follow until the tolerance is met. With KeOps and up to three coordinates its multiscale solver starts from all
points. Elsewhere it solves a sample of the points, and a soft c-transform carries the potentials to all of them.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import math
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor

from ot_gen.costs import squared_distances_to
from ot_gen.costs.squared import is_scattered
from ot_gen.transport.problem import NotConverged
from ot_gen.transport.sweeps import CLAMP, WINDOW, relaxation

# Bytes of dense matrices beyond which a solve is streamed: 23,000 points in float32. On a CPU dense matrices are as
# quick or up to five times quicker as long as they fit, by benchmarks/sinkhorn_divergence.py --large.
DENSE_BYTES = 8 * 2**30
SAMPLE = 1_500  # points of a cloud that GeomLoss solves without KeOps
BLOCK = 2**17  # entries of the kernel at a time: they stay in the cache
STEPS = (1 / (1.5 - 8**-0.5), 1 / (1.5 + 8**-0.5))
COARSE = 3.0  # sides of a voxel beyond so many blurs, √(ε / 2), are too coarse
CELLS = 200  # occupied voxels below which the coarse problem says too little about the fine one


def is_large(x: Tensor, y: Tensor) -> bool:
    """Whether the divergence of clouds (n, d) and (m, d) is streamed: four dense matrices would take too much memory.

    Example:
        >>> is_large(torch.zeros(100, 2), torch.zeros(200, 2)), is_large(torch.zeros(100, 2), torch.zeros(10**5, 2))
        (False, True)
    """
    return 4 * max(len(x), len(y)) ** 2 * x.element_size() > DENSE_BYTES


@torch.no_grad()
def streamed_divergence(
    x: Tensor, y: Tensor, a: Tensor, b: Tensor, epsilon: float, tol: float, max_iterations: int
) -> tuple[Tensor, Tensor, Tensor]:
    """S_ε(α, β), and T_α − T_β at the points of both clouds, in memory that grows with n + m alone.

        S_ε(α, β) = OT_ε(α, β) − ½ OT_ε(α, α) − ½ OT_ε(β, β), with cost ‖x − y‖²;   ∇_{x_i} S_ε = 2 a_i (T_α − T_β) x_i

    Args:
        x, y: points, (n, d) and (m, d), of one dtype, centred and of a size near 1.
        a, b: positive masses of total 1, (n,) and (m,), of that dtype.
        epsilon: ε > 0.
        tol: largest marginal error accepted in each of the three problems, in total variation norm.
        max_iterations: streamed sweeps after which a solve fails.

    Returns:
        S_ε, (); T_α x_i − T_β x_i, (n, d); T_β y_j − T_α y_j, (m, d).

    Raises:
        NotConverged: `tol` was not reached.

    Source: multiscale solver: Feydy, 2020, https://www.jeanfeydy.com/geometric_data_analysis.pdf, section 3.3

    Example:
        >>> x, a = torch.randn(30, 2), torch.full((30,), 1 / 30)
        >>> bool(streamed_divergence(x, x, a, a, 1.0, 1e-3, 100)[0].abs() < 1e-4)
        True
    """
    value, of_x, of_y = _cross(x, y, a, b, epsilon, tol, max_iterations)
    for points, masses, means in ((x, a, of_x), (y, b, of_y)):
        half, own = _symmetric(points, masses, epsilon, tol, max_iterations)
        value = value - half
        means.neg_().add_(own)
    return value, of_x, of_y


def _kernels(x: Tensor, y: Tensor, f: Tensor, g: Tensor, epsilon: float) -> Iterator[tuple[slice, Tensor]]:
    """exp((f + g − C) / ε), rows and rows of it."""
    size = max(1, BLOCK // len(y))
    blocks = [slice(first, first + size) for first in range(0, len(x), size)]
    if is_scattered(x) and is_scattered(y):  # then (f_i + g_j − ‖x_i − y_j‖²) / ε is a matrix product
        above, beside = ((h - p.square().sum(dim=1)).div_(epsilon)[:, None] for p, h in ((x, f), (y, g)))
        left = torch.cat([x * (2 / epsilon), above, torch.ones_like(above)], dim=1)
        right = torch.cat([y, torch.ones_like(beside), beside], dim=1).T
        for rows in blocks:
            yield rows, (left[rows] @ right).clamp_(-CLAMP, CLAMP).exp_()
        return
    squares = squared_distances_to(y)
    for rows in blocks:
        K = squares(x[rows]).sub_(g).sub_(f[rows, None])
        yield rows, K.mul_(-1 / epsilon).clamp_(-CLAMP, CLAMP).exp_()


def _cross(
    x: Tensor, y: Tensor, a: Tensor, b: Tensor, epsilon: float, tol: float, max_iterations: int
) -> tuple[Tensor, Tensor, Tensor]:
    """OT_ε(α, β), T_β x_i and T_α y_j."""
    f, g = _start(x, y, a, b, epsilon)
    omega, error, before = 1.0, math.inf, math.inf
    for sweep in range(1, max_iterations + 1):
        # With exact rows, all of the error is in the columns.
        check = sweep == 1 or error <= tol or sweep == max_iterations
        power = 1.0 if check else omega
        columns, of_x, of_y = torch.zeros_like(b), torch.empty_like(x), torch.zeros_like(y)
        for rows, K in _kernels(x, y, f, g, epsilon):
            row = torch.mv(K, b)
            masses = a[rows] * row.pow(-power)
            columns.add_(torch.mv(K.T, masses))
            f[rows] -= power * epsilon * row.log()
            if check:
                of_x[rows] = (K @ (b[:, None] * y)) / row[:, None]
                of_y.addmm_(K.T, masses[:, None] * x[rows])
        error = float((b * (columns - 1).abs()).sum())
        if check and error <= tol:
            return a @ f + b @ g, of_x, of_y.div_(columns[:, None])
        if not math.isfinite(error):
            break
        if sweep % WINDOW == 0:
            omega, before = relaxation(omega, error / before), error
        g -= omega * epsilon * columns.log()
    raise _unfinished(error, tol, sweep, epsilon)


def _symmetric(x: Tensor, a: Tensor, epsilon: float, tol: float, max_iterations: int) -> tuple[Tensor, Tensor]:
    """½ OT_ε(α, α) and T_α x_i, by damped sweeps.

    Near the solution a step θ multiplies errors by 1 − θ (1 + λ), with λ from 0 to 1, since the kernel is positive
    definite. Two Chebyshev steps in turns divide them by 17.
    """
    f, g = _start(x, x, a, a, epsilon)
    f, error = (f + g) / 2, math.inf
    for sweep in range(1, max_iterations + 1):
        check = sweep in (1, max_iterations) or error <= 4 * tol
        row, means = torch.empty_like(a), torch.empty_like(x)
        for rows, K in _kernels(x, x, f, f, epsilon):
            row[rows] = torch.mv(K, a)
            if check:
                means[rows] = (K @ (a[:, None] * x)) / row[rows, None]
        error = float((a * (row - 1).abs()).sum())
        if check and error <= tol:
            return a @ f + epsilon * (1 - a @ row) / 2, means
        if not math.isfinite(error):
            break
        f = f - STEPS[sweep % 2] * epsilon * row.log()
    raise _unfinished(error, tol, sweep, epsilon)


def _unfinished(error: float, tol: float, sweeps: int, epsilon: float) -> NotConverged:
    return NotConverged(
        f"Sinkhorn left a marginal error of {error:.2g} > tol = {tol:g} after {sweeps} iterations at epsilon = "
        f"{epsilon:g}; raise epsilon, tol or max_iterations, or compute in float64"
    )


def _start(x: Tensor, y: Tensor, a: Tensor, b: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Potentials by GeomLoss, near those of the entropic plan."""
    if _voxels(x, y, epsilon):
        return _geomloss(x, y, a, b, epsilon, "multiscale")
    few_x, few_y = (slice(None, None, math.ceil(len(points) / SAMPLE)) for points in (x, y))
    alpha, beta = a[few_x] / a[few_x].sum(), b[few_y] / b[few_y].sum()
    f, g = _geomloss(x[few_x], y[few_y], alpha, beta, epsilon, "tensorized")
    return _transform(x, y[few_y], g, beta, epsilon), _transform(y, x[few_x], f, alpha, epsilon)


def _transform(x: Tensor, y: Tensor, g: Tensor, b: Tensor, epsilon: float) -> Tensor:
    """f_i = −ε log Σ_j b_j exp((g_j − C_ij) / ε)."""
    squares, weights = squared_distances_to(y), g / epsilon + b.log()
    parts = (squares(block).mul_(-1 / epsilon).add_(weights) for block in x.split(max(1, BLOCK // len(y))))
    return torch.cat([part.logsumexp(dim=1) for part in parts]).mul_(-epsilon)


def _geomloss(x: Tensor, y: Tensor, a: Tensor, b: Tensor, epsilon: float, mode: str) -> tuple[Tensor, Tensor]:
    with _silence():
        from geomloss import SamplesLoss
    # Its cost has a ½, so that potentials double and ε halves. It also turns gradients on: no_grad restores them.
    blur = math.sqrt(epsilon / 2)
    with torch.no_grad():
        f, g = SamplesLoss("sinkhorn", blur=blur, scaling=0.9, debias=False, potentials=True, backend=mode)(a, x, b, y)
    return 2 * f, 2 * g


def _voxels(x: Tensor, y: Tensor, epsilon: float) -> bool:
    """Whether GeomLoss's multiscale solver applies: KeOps works, and its coarse voxels say much about the plan."""
    d = x.shape[1]
    if d > 3 or min(len(x), len(y)) < CELLS:
        return False
    low, high = (torch.stack([p(c, 0) for c in (x, y)]) for p in (torch.amin, torch.amax))
    side = float((high.amax(dim=0) - low.amin(dim=0)).norm()) / (math.sqrt(d) * 2000 ** (1 / d))
    if not 0 < side < COARSE * math.sqrt(epsilon / 2):  # finer plans take it many sweeps over all points
        return False
    occupied = (len((p / side).floor().unique(dim=0)) for p in (x, y))
    return min(occupied) >= CELLS and multiscale_works(d, x.dtype, x.device.type)


@functools.cache
def multiscale_works(d: int, dtype: torch.dtype, device: str) -> bool:
    """Whether KeOps is installed and compiles here; it does so once for each number of coordinates and dtype.

    Example:
        >>> multiscale_works(2, torch.float32, "cpu") in (True, False)
        True
    """
    if importlib.util.find_spec("pykeops") is None:
        return False
    x = torch.rand(64, d, generator=torch.Generator("cpu").manual_seed(0), device="cpu").to(device, dtype)
    a = x.new_full((64,), 1 / 64)
    try:
        with _silence():
            f, g = _geomloss(x, x, a, a, 0.1, "multiscale")
    except Exception:  # no compiler, no rights to its folder, another version: whatever it is, there is another way
        return False
    return bool(f.isfinite().all() and g.isfinite().all())


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """KeOps prints what it compiles, and warns where there is no GPU."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
