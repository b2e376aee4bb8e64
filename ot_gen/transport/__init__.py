"""Discrete optimal transport as functions of a cost matrix: plans between weighted samples, with their potentials.

C is a cost matrix (n, m); a (n,) and b (m,) are probability vectors. POT and GeomLoss are imported inside the
functions: their imports take seconds, and `--help` and every job of a sweep would pay them.
"""

from ot_gen.transport.assignment import assignment, assignment_potentials
from ot_gen.transport.blocks import plan_by_blocks
from ot_gen.transport.bracket import Bracket
from ot_gen.transport.entropic import sinkhorn_divergence, sinkhorn_potentials
from ot_gen.transport.gaussian import GaussianBarycentre, GaussianMaps, gaussian_barycentre, gaussian_maps, powers
from ot_gen.transport.marginals import ChiSquaredMarginal, KLMarginal, MarginalPenalty, Unbalanced
from ot_gen.transport.plan import DensePlan, Dual, Pairs, Plan, SparsePlan
from ot_gen.transport.plans import exact_plan, sinkhorn_plan
from ot_gen.transport.problem import NotConverged
from ot_gen.transport.relaxed import partial_plan, unbalanced_plan

__all__ = [
    "Bracket",
    "ChiSquaredMarginal",
    "DensePlan",
    "Dual",
    "GaussianBarycentre",
    "GaussianMaps",
    "KLMarginal",
    "MarginalPenalty",
    "NotConverged",
    "Pairs",
    "Plan",
    "SparsePlan",
    "Unbalanced",
    "assignment",
    "assignment_potentials",
    "exact_plan",
    "gaussian_barycentre",
    "gaussian_maps",
    "partial_plan",
    "plan_by_blocks",
    "powers",
    "sinkhorn_divergence",
    "sinkhorn_plan",
    "sinkhorn_potentials",
    "unbalanced_plan",
]
