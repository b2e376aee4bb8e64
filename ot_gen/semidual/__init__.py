"""Semi-discrete optimal transport: a law that is sampled against finitely many atoms, to a stated accuracy."""

from .progress import SolveProgress
from .solution import SemidiscreteSolution
from .solve import semidiscrete

__all__ = ["SemidiscreteSolution", "SolveProgress", "semidiscrete"]
