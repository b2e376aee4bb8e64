"""Linear assignment (stand-in)."""

from __future__ import annotations

import torch
from torch import Tensor


def assignment(C: Tensor) -> Tensor:
    """The permutation σ that minimises Σ_i C_{i σ(i)}, (n,) int64."""
    from scipy.optimize import linear_sum_assignment

    return torch.from_numpy(linear_sum_assignment(C.detach().cpu().numpy())[1])
