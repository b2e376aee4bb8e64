"""Laguerre cells, where one atom attains the c-transform: transforms streamed over the atoms, and kept indices."""

from .cells import LaguerreCells
from .sharded import ShardedAtoms
from .transform import c_transform

__all__ = ["LaguerreCells", "ShardedAtoms", "c_transform"]
