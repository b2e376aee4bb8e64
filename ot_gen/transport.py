"""Discrete optimal transport as pure functions: plans between weighted samples, and the streamed c-transform.

C is a cost matrix (n, m); a (n,) and b (m,) are probability vectors. POT is imported inside the functions, because
its import takes seconds that `--help` and every job of a sweep would pay.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .costs import Cost

# Entries of a tile of the cost matrix that a c-transform holds at a time, 16 MB in float32, and its most rows.
TILE_ENTRIES = 2**22
MAX_ROWS = 2**13


class NotConverged(RuntimeError):
    """A solver did not reach its tolerance; it never returns less than was asked for."""


def exact_plan(C: Tensor, a: Tensor | None = None, b: Tensor | None = None) -> Tensor:
    """An optimal plan P of the linear programme min { ⟨P, C⟩ : P 1 = a, Pᵀ 1 = b, P >= 0 }.

    Solved in float64 on the CPU by the network simplex of POT (Bonneel et al., 2011,
    https://doi.org/10.1145/2070781.2024192).

    Args:
        C: costs, (n, m), finite.
        a, b: masses, (n,) and (m,), positive total 1; None means uniform.

    Returns:
        P, (n, m), in C's dtype and device, without a graph: by the envelope theorem the gradient of the transport
        cost is that of (P * C).sum() with P held fixed.

    Raises:
        ValueError: C is not a finite matrix.
        NotConverged: the simplex did not finish.

    Example:
        >>> exact_plan(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
        tensor([[0.5000, 0.0000],
                [0.0000, 0.5000]])
    """
    import ot

    C64, a64, b64 = _problem(C, a, b)
    plan, log = ot.emd(a64.numpy(), b64.numpy(), C64.numpy(), numItermax=20_000_000, log=True)
    if log["warning"] is not None:
        raise NotConverged(f"the exact plan of a {tuple(C.shape)} problem was not found: {log['warning']}")
    return torch.from_numpy(plan).to(C)


def sinkhorn_plan(
    C: Tensor,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    epsilon: float,
    tol: float = 1e-4,
    max_iterations: int = 10_000,
) -> Tensor:
    """The entropic plan P = argmin { ⟨P, C⟩ + ε KL(P | a ⊗ b) : P 1 = a, Pᵀ 1 = b }.

    Log-domain Sinkhorn iterations of POT (Cuturi, 2013, https://arxiv.org/abs/1306.0895), stable for small ε.
    ⟨P, C⟩ is at least the exact transport cost up to the marginal error.

    Args:
        C: costs, (n, m), finite.
        a, b: masses; None means uniform.
        epsilon: ε > 0, in the units of the cost.
        tol: largest marginal error accepted, ‖P 1 − a‖₂ and ‖Pᵀ 1 − b‖₂.
        max_iterations: after these without reaching `tol` the solve fails, loudly.

    Returns:
        P, (n, m), without a graph.

    Raises:
        ValueError: ε is not positive, or C is not a finite matrix.
        NotConverged: `tol` was not reached.

    Example:
        >>> P = sinkhorn_plan(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), epsilon=0.1)
        >>> bool((P.sum(dim=0) - 0.5).abs().max() < 1e-4)
        True
    """
    import ot

    if not epsilon > 0:
        raise ValueError(f"an entropic plan needs epsilon > 0, got {epsilon}; for epsilon = 0 use exact_plan")
    C64, a64, b64 = _problem(C, a, b)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a failure is raised below instead
        plan, _ = ot.bregman.sinkhorn_log(
            a64, b64, C64, reg=epsilon, numItermax=max_iterations, stopThr=tol, log=True, warn=False
        )
    error = max(float((plan.sum(dim=1) - a64).norm()), float((plan.sum(dim=0) - b64).norm()))
    if not error <= tol:
        raise NotConverged(
            f"Sinkhorn left a marginal error of {error:.2g} > tol = {tol:g} after {max_iterations} iterations at "
            f"epsilon = {epsilon:g}; raise epsilon (mean cost: {float(C64.mean()):.3g}), tol or max_iterations"
        )
    return plan.to(C)


def c_transform(cost: Cost, x: Tensor, y: Tensor, h_tilde: Tensor, epsilon: float = 0.0) -> tuple[Tensor, Tensor]:
    """The c-transform of a table of potentials, streamed over tiles of atoms.

    ε = 0:  h(x) = min_j  c(x, y_j) − h̃_j
    ε > 0:  h(x) = −ε log Σ_j exp((h̃_j − c(x, y_j)) / ε), which lies between min − ε log m and min

    It is a min: then h(x) + h̃_j <= c(x, y_j), for every ε >= 0, so that E[h] + Σ_j b_j h̃_j <= W_c (weak duality).
    Memory stays bounded whatever n·m. Gradients in x and h̃ follow from the envelope theorem: for ε = 0 the
    gradient of c(x, y_j*) − h̃_j* at the minimiser j*, for ε > 0 the softmax average, recomputed tile by tile.

    Args:
        cost: the ground cost c.
        x: points, (n, d).
        y: atoms y_j, (m, d).
        h_tilde: potentials h̃_j, (m,).
        epsilon: ε >= 0, in the units of the cost.

    Returns:
        (values, argmin): h(x_i), (n,), and the atom that attains the hard minimum, (n,), int64.

    Raises:
        ValueError: shapes that do not fit, NaN or Inf in h̃, or ε < 0.

    Source: Genevay, Cuturi, Peyré, Bach, 2016, https://arxiv.org/abs/1605.08527

    Example:
        >>> from ot_gen.costs import SquaredEuclidean
        >>> y, h_tilde = torch.tensor([[0.0], [3.0]]), torch.tensor([0.0, 1.0])
        >>> c_transform(SquaredEuclidean(), torch.tensor([[1.0], [2.0]]), y, h_tilde)
        (tensor([1., 0.]), tensor([0, 1]))
    """
    _check_c_transform(x, y, h_tilde, epsilon)
    rows = x.split(MAX_ROWS)
    parts = [_c_transform(cost, part, y, h_tilde, epsilon, keep=len(rows) == 1) for part in rows]
    return torch.cat([value for value, _ in parts]), torch.cat([argmin for _, argmin in parts])


def _c_transform(
    cost: Cost, x: Tensor, y: Tensor, h_tilde: Tensor, epsilon: float, keep: bool
) -> tuple[Tensor, Tensor]:
    tile = max(128, TILE_ENTRIES // max(1, len(x)))
    tiles = list(zip(y.split(tile), h_tilde.split(tile), strict=True))
    if epsilon == 0:
        with torch.no_grad():
            found = [_row_min(cost.matrix(x, y_t) - h_t) for y_t, h_t in tiles]
        value, argmin = _merge(found, tile)
        if torch.is_grad_enabled() and (x.requires_grad or y.requires_grad or h_tilde.requires_grad):
            value = cost(x, y[argmin]) - h_tilde[argmin]
        return value, argmin

    def soft_max(x: Tensor, y: Tensor, h_tilde: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scores = h_tilde - cost.matrix(x, y)
        least, index = _row_min(-scores.detach())
        return _SoftMax.apply(scores, index, epsilon), least, index

    if keep and len(tiles) == 1:
        value, _, argmin = soft_max(x, *tiles[0])
        return -value, argmin
    # Each tile is recomputed in the backward pass instead of being kept.
    parts = [checkpoint(soft_max, x, *part, use_reentrant=False, preserve_rng_state=False) for part in tiles]
    _, argmin = _merge([(least, index) for _, least, index in parts], tile)
    return -epsilon * torch.logsumexp(torch.stack([value for value, _, _ in parts]) / epsilon, dim=0), argmin


class _SoftMax(torch.autograd.Function):
    """ε log Σ_j exp(s_ij / ε) of each row, given the column of its largest entry.

    Through softmax, since on a CPU exp (and so `torch.logsumexp`) is an order of magnitude slower where it underflows,
    and the softmax is the gradient.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, largest: Tensor, epsilon: float) -> Tensor:
        shares = torch.softmax(scores / epsilon, dim=1)
        ctx.save_for_backward(shares)
        column = largest.unsqueeze(1)
        return (scores.gather(1, column) - epsilon * shares.gather(1, column).log()).squeeze(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (shares,) = ctx.saved_tensors
        return gradients[0].unsqueeze(1) * shares, None, None


def _merge(found: list[tuple[Tensor, Tensor]], tile: int) -> tuple[Tensor, Tensor]:
    """The row minima over all tiles, and their columns, from those of each tile."""
    value, index = found[0]
    for number, (tile_value, tile_index) in enumerate(found[1:], start=1):
        index = torch.where(tile_value < value, tile_index + number * tile, index)
        value = torch.minimum(tile_value, value)
    return value, index


def _row_min(scores: Tensor, block: int = 128) -> tuple[Tensor, Tensor]:
    """Row minima and their columns.

    On a CPU `Tensor.min(dim)` is several times slower than `amin` over blocks and an argmin in the winning block.
    """
    n, m = scores.shape
    whole = m - m % block
    if whole <= block:
        value, index = scores.min(dim=1)
        return value, index
    blocks = scores[:, :whole].unflatten(1, (-1, block))
    winner = blocks.amin(dim=2).argmin(dim=1)
    inside = blocks[torch.arange(n, device=scores.device), winner]
    value, index = inside.min(dim=1)
    index = index + winner * block
    if whole < m:
        rest, rest_index = scores[:, whole:].min(dim=1)
        index = torch.where(rest < value, rest_index + whole, index)
        value = torch.minimum(rest, value)
    return value, index


def _problem(C: Tensor, a: Tensor | None, b: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    if C.ndim != 2 or C.numel() == 0:
        raise ValueError(f"a plan needs a non-empty cost matrix (n, m), got shape {tuple(C.shape)}")
    if not torch.isfinite(C).all():
        raise ValueError("the cost matrix holds NaN or Inf; check the generator's output and the data")
    C64 = C.detach().to("cpu", torch.float64)
    marginals = []
    for name, mass, size in (("a", a, C.shape[0]), ("b", b, C.shape[1])):
        if mass is None:
            mass = C64.new_full((size,), 1.0 / size)
        if mass.shape != (size,):
            raise ValueError(
                f"{name} must have shape ({size},) for a cost matrix {tuple(C.shape)}, got {tuple(mass.shape)}"
            )
        mass = mass.detach().to("cpu", torch.float64)
        marginals.append(mass / mass.sum())  # equal totals to the last bit, as the simplex requires
    return C64, marginals[0], marginals[1]


def _check_c_transform(x: Tensor, y: Tensor, h_tilde: Tensor, epsilon: float) -> None:
    if x.ndim != 2 or y.ndim != 2 or len(y) == 0:
        raise ValueError(
            f"c_transform needs x (n, d) and atoms y (m, d), m >= 1, got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    if h_tilde.shape != (len(y),):
        raise ValueError(f"h_tilde must have shape ({len(y)},), one value for each atom, got {tuple(h_tilde.shape)}")
    if not torch.isfinite(h_tilde).all():
        raise ValueError("h_tilde holds NaN or Inf; a potential is finite on every atom")
    if not epsilon >= 0:
        raise ValueError(f"epsilon must be >= 0 (0 is the hard minimum), got {epsilon}")
