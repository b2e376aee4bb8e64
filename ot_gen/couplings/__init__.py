"""Couplings π of the latent reference ζ with the data ν: the primal way to hold the auxiliary variable ξ.

A plan is a table between samples and has no parameters; an encoder is a network. Either returns an `Estimate` of
(E_π c(g_θ(z), y), penalty). A pairing is a coupling of ζ and ν in one space; the regression of a velocity on its pairs
trains a flow.
"""

from ot_gen.couplings.coupling import Coupling, Estimate
from ot_gen.couplings.debiased import DebiasedPlanCoupling
from ot_gen.couplings.encoder import EncoderCoupling
from ot_gen.couplings.importance import ImportanceCoupling, iwae_bound
from ot_gen.couplings.label_pairing import LabelPairing
from ot_gen.couplings.matched import OF_THE_DATA, GaussianMap, MatchedPlanCoupling, Moments, weighted_moments
from ot_gen.couplings.pairings import IndependentPairing, Pairing, PlanPairing
from ot_gen.couplings.plan import PlanCoupling
from ot_gen.couplings.table_pairing import TablePairing
from ot_gen.couplings.velocity import VelocityRegression, flow_model

__all__ = [
    "OF_THE_DATA",
    "Coupling",
    "DebiasedPlanCoupling",
    "EncoderCoupling",
    "Estimate",
    "GaussianMap",
    "ImportanceCoupling",
    "IndependentPairing",
    "LabelPairing",
    "MatchedPlanCoupling",
    "Moments",
    "Pairing",
    "PlanCoupling",
    "PlanPairing",
    "TablePairing",
    "VelocityRegression",
    "flow_model",
    "iwae_bound",
    "weighted_moments",
]
