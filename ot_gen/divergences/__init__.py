"""Divergences D(q, ζ) between the codes of an encoder and the reference: the relaxed constraint P1#π = ζ.

q is the batched posterior q(·|y_i), batch_shape (n,). The aggregate is q̄ = 1/n Σ_i q(·|y_i), an estimate of P1#π.
"""

from .adversarial import AdversarialJS
from .aggregate import MinibatchWeightedKL, StratifiedKL
from .conditional import KL, CodeNorm, sampled_kl
from .cramer_wold import CramerWold
from .divergence import Divergence
from .kernels import MMD, GaussianKernel, InverseMultiquadric
from .sinkhorn import SinkhornDivergence
from .sliced import MaxSlicedWasserstein, SlicedWasserstein
from .transport import BatchTransport, DebiasedTransport
from .weighted import WeightedSum

__all__ = [
    "KL",
    "MMD",
    "AdversarialJS",
    "BatchTransport",
    "CodeNorm",
    "CramerWold",
    "DebiasedTransport",
    "Divergence",
    "GaussianKernel",
    "InverseMultiquadric",
    "MaxSlicedWasserstein",
    "MinibatchWeightedKL",
    "SinkhornDivergence",
    "SlicedWasserstein",
    "StratifiedKL",
    "WeightedSum",
    "sampled_kl",
]
