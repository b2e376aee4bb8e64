"""Entropic potentials."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from .problem import problem


def sinkhorn_potentials(
    C: Tensor,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    epsilon: float,
    tol: float = 1e-4,
    max_iterations: int = 10_000,
) -> tuple[Tensor, Tensor]:
    """The Schrödinger potentials (f (n,), g (m,)), in float64: P = exp((f + g − C) / ε) a ⊗ b is the entropic plan.

    Example:
        >>> f, g = sinkhorn_potentials(torch.zeros(2, 2), epsilon=0.1)
        >>> bool((f[:, None] + g).abs().max() < 1e-12)
        True
    """
    import ot

    C, a, b = problem(C, a, b)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a failure is the caller's to raise
        _, log = ot.bregman.sinkhorn_log(
            a, b, C, reg=epsilon, numItermax=max_iterations, stopThr=tol, log=True, warn=False
        )
    f = -epsilon * torch.logsumexp(log["log_v"] - C / epsilon, dim=1)
    completed = -epsilon * torch.logsumexp(log["log_u"][:, None] - C / epsilon, dim=0)
    return f, torch.where(b > 0, epsilon * (log["log_v"] - b.log()), completed)
