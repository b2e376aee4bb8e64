"""A law against finitely many atoms: the c-transform, its Laguerre cells, and the semi-discrete solve."""

from ot_gen.semidual.laguerre import LaguerreCells
from ot_gen.semidual.progress import SolveProgress
from ot_gen.semidual.sharded import ShardedAtoms
from ot_gen.semidual.solution import SemidiscreteSolution
from ot_gen.semidual.solve import semidiscrete
from ot_gen.semidual.transform import c_transform

__all__ = [
    "LaguerreCells",
    "SemidiscreteSolution",
    "ShardedAtoms",
    "SolveProgress",
    "c_transform",
    "semidiscrete",
]
