"""Couplings π of the latent reference ζ with the data ν: the primal way to hold the auxiliary variable ξ.

A plan is a table between samples and has no parameters; an encoder is a network. Either returns an `Estimate` of
(E_π c(g_θ(z), y), penalty).
"""

from ot_gen.couplings.coupling import Coupling, Estimate
from ot_gen.couplings.encoder import EncoderCoupling
from ot_gen.couplings.importance import ImportanceCoupling, iwae_bound
from ot_gen.couplings.plan import PlanCoupling

__all__ = ["Coupling", "EncoderCoupling", "Estimate", "ImportanceCoupling", "PlanCoupling", "iwae_bound"]
