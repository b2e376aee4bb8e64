"""Laguerre cells, where one atom attains the c-transform: transforms streamed over the atoms, and kept indices."""

from .cells import LaguerreCells
from .transform import c_transform

__all__ = ["LaguerreCells", "c_transform"]
