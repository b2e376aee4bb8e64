"""Potentials (h, h̃) with h(x) + h̃(y) <= c(x, y): the dual way to hold the auxiliary variable ξ.

h lives on the model's side and h̃ on the data's, so a trained h is higher on generated samples than on data, and θ
always descends ∫ h(g_θ(z)) dζ(z).
"""

from ot_gen.potentials.bridge import SchrodingerBridge
from ot_gen.potentials.by_label import LabelPotential
from ot_gen.potentials.critics import AnchorCritic, BatchCritic, Critic
from ot_gen.potentials.discrete import DiscretePotential, NaturalDescent
from ot_gen.potentials.frame import Frame
from ot_gen.potentials.matrices import DiagonalMatrices, FullMatrices, Matrices, gaussian_matrix
from ot_gen.potentials.mixture import MixturePotential
from ot_gen.potentials.potential import Potential
from ot_gen.potentials.w2 import BrenierPotential, Displacement, Paraboloid

__all__ = [
    "AnchorCritic",
    "BatchCritic",
    "BrenierPotential",
    "Critic",
    "DiagonalMatrices",
    "DiscretePotential",
    "Displacement",
    "Frame",
    "FullMatrices",
    "LabelPotential",
    "Matrices",
    "MixturePotential",
    "NaturalDescent",
    "Paraboloid",
    "Potential",
    "SchrodingerBridge",
    "gaussian_matrix",
]
