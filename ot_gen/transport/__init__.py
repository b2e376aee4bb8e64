"""Discrete optimal transport as pure functions: plans between weighted samples.

C is a cost matrix (n, m); a (n,) and b (m,) are probability vectors. POT is imported inside the functions, because
its import takes seconds that `--help` and every job of a sweep would pay.
"""

from .assignment import assignment, assignment_potentials
from .plans import NotConverged, exact_plan, sinkhorn_plan

__all__ = ["NotConverged", "assignment", "assignment_potentials", "exact_plan", "sinkhorn_plan"]
