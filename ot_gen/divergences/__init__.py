"""Divergences D(q, ζ) between the codes of an encoder and the reference: the relaxed constraint P1#π = ζ.

q is the batched posterior q(·|y_i), batch_shape (n,). The aggregate is q̄ = 1/n Σ_i q(·|y_i), an estimate of P1#π.
"""

from ot_gen.divergences.adversarial import AdversarialJS
from ot_gen.divergences.aggregate import MinibatchWeightedKL, StratifiedKL
from ot_gen.divergences.by_label import ByLabel
from ot_gen.divergences.conditional import KL, CodeNorm, closed_kl, log_ratio, sampled_kl
from ot_gen.divergences.cramer_wold import CramerWold
from ot_gen.divergences.divergence import Divergence
from ot_gen.divergences.kernels import (
    CubicKernel,
    EnergyKernel,
    GaussianKernel,
    GaussianScales,
    InverseMultiquadric,
    Kernel,
)
from ot_gen.divergences.mmd import MMD, witnesses
from ot_gen.divergences.sinkhorn import SinkhornDivergence
from ot_gen.divergences.sliced import MaxSlicedWasserstein, SlicedWasserstein
from ot_gen.divergences.transport import BatchTransport, DebiasedTransport
from ot_gen.divergences.weighted import WeightedSum

__all__ = [
    "KL",
    "MMD",
    "AdversarialJS",
    "BatchTransport",
    "ByLabel",
    "CodeNorm",
    "CramerWold",
    "CubicKernel",
    "DebiasedTransport",
    "Divergence",
    "EnergyKernel",
    "GaussianKernel",
    "GaussianScales",
    "InverseMultiquadric",
    "Kernel",
    "MaxSlicedWasserstein",
    "MinibatchWeightedKL",
    "SinkhornDivergence",
    "SlicedWasserstein",
    "StratifiedKL",
    "WeightedSum",
    "closed_kl",
    "log_ratio",
    "sampled_kl",
    "witnesses",
]
