"""Couplings π of the latent reference ζ with the data ν: the primal way to hold the auxiliary variable ξ.

A plan is a table between samples and has no parameters; an encoder is a network. Either returns an `Estimate` of
(E_π c(g_θ(z), y), penalty).
"""

from .coupling import Coupling, Estimate
from .encoder import EncoderCoupling
from .importance import ImportanceCoupling
from .plan import PlanCoupling

__all__ = ["Coupling", "EncoderCoupling", "Estimate", "ImportanceCoupling", "PlanCoupling"]
