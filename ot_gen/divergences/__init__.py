"""Divergences D(q, ζ) between the codes of an encoder and the reference: the relaxed constraint P1#π = ζ.

q is the batched posterior q(·|y_i), batch_shape (n,). The aggregate is q̄ = 1/n Σ_i q(·|y_i), an estimate of P1#π.
"""

from .conditional import KL
from .divergence import Divergence
from .kernels import MMD, GaussianKernel, InverseMultiquadric
from .sinkhorn import SinkhornDivergence
from .sliced import SlicedWasserstein

__all__ = [
    "KL",
    "MMD",
    "Divergence",
    "GaussianKernel",
    "InverseMultiquadric",
    "SinkhornDivergence",
    "SlicedWasserstein",
]
