"""Transport problems with known answers."""

from typing import NamedTuple

import numpy as np
import ot
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from ot_gen import Cost


class Discrete(NamedTuple):
    """A linear programme with its solution: plan P, potentials (h, h̃) and value."""

    x: Tensor
    y: Tensor
    a: Tensor
    b: Tensor
    C: Tensor
    plan: Tensor
    h: Tensor
    h_tilde: Tensor
    value: float


def discrete(cost: Cost, n: int = 7, m: int = 9, d: int = 3, seed: int = 0, uniform: bool = False) -> Discrete:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, d, generator=generator, dtype=torch.float64)
    y = torch.rand(m, d, generator=generator, dtype=torch.float64) + 0.3
    a, b = (torch.rand(size, generator=generator, dtype=torch.float64) + 0.1 for size in (n, m))
    if uniform:
        a, b = torch.ones_like(a), torch.ones_like(b)
    a, b = a / a.sum(), b / b.sum()
    C = cost.matrix(x, y)
    plan, log = ot.emd(a.numpy(), b.numpy(), C.numpy(), log=True, center_dual=False)
    h_tilde = torch.from_numpy(np.asarray(log["v"]))
    return Discrete(x, y, a, b, C, torch.from_numpy(plan), torch.from_numpy(log["u"]), h_tilde, float(log["cost"]))


def bures(mean_1, cov_1, mean_2, cov_2) -> float:
    """W₂² between Gaussians: ‖m₁ − m₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁^½ Σ₂ Σ₁^½)^½)."""
    root = sqrtm(cov_1)
    cross = sqrtm(root @ cov_2 @ root)
    return float(((mean_1 - mean_2) ** 2).sum() + np.trace(cov_1 + cov_2 - 2 * np.real(cross)))
