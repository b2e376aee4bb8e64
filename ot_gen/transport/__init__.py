"""Discrete optimal transport as functions of a cost matrix: plans between weighted samples, with their potentials.

C is a cost matrix (n, m); a (n,) and b (m,) are probability vectors. POT is imported inside the functions, because
its import takes seconds that `--help` and every job of a sweep would pay.
"""

from .assignment import assignment, assignment_potentials
from .entropic import sinkhorn_divergence, sinkhorn_potentials
from .plan import DensePlan, Dual, Pairs, Plan, SparsePlan
from .plans import exact_plan, sinkhorn_plan
from .problem import NotConverged
from .relaxed import partial_plan, unbalanced_plan

__all__ = [
    "DensePlan",
    "Dual",
    "NotConverged",
    "Pairs",
    "Plan",
    "SparsePlan",
    "assignment",
    "assignment_potentials",
    "exact_plan",
    "partial_plan",
    "sinkhorn_divergence",
    "sinkhorn_plan",
    "sinkhorn_potentials",
    "unbalanced_plan",
]
