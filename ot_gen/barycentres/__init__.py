"""Barycentres: min over μ of Σ_k λ_k W_c(μ, ν_k), as a linear programme, by particles or by a generator."""

from ot_gen.barycentres.barycentre import Barycentre, barycentre
from ot_gen.barycentres.particles import gradient_flow
from ot_gen.barycentres.terms import Measures, SumSolver

__all__ = ["Barycentre", "Measures", "SumSolver", "barycentre", "gradient_flow"]
