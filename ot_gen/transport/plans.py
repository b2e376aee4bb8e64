"""Exact and entropic plans."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor


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
    # A constant moves no plan, and the simplex takes costs < 0 for an infeasible problem.
    C64 = C64 - C64.min()
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
