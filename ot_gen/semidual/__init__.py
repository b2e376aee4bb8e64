"""Semi-discrete optimal transport: a law that is sampled against finitely many atoms, to a stated accuracy."""

from .solution import SemidiscreteSolution
from .solve import SolveProgress, semidiscrete

__all__ = ["SemidiscreteSolution", "SolveProgress", "semidiscrete"]
