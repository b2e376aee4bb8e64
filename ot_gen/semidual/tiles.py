"""Tiles of scores: a few points against a panel of consecutive atoms, laid out (points, atoms).

A tile stays in the cache between the product that makes it and the reduction that reads it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

NARROW, WIDE, MANY = 64, 128, 2**10  # atoms whose minimum is taken together: few, and from MANY atoms on more
DIRECT = 192  # atoms up to which a plain minimum is as fast


class Panel(ABC):
    """Consecutive atoms, from the number `first` on, made ready to be scored."""

    def __init__(self, first: int, count: int) -> None:
        self.first = first
        self.atoms = slice(first, first + count)

    @abstractmethod
    def table(self, h_tilde: Tensor) -> Tensor:
        """What `scores` asks of a table h̃ (m,) over all atoms, (t,)."""

    @abstractmethod
    def scores(self, points: Tensor, table: Tensor, scale: float, out: Tensor) -> Tensor:
        """scale · (c(x_i, y_j) − h̃_j) up to a constant of each point, (n, t), in `out`.

        Points come from `Scores.points`, the table from `table`.
        """

    @abstractmethod
    def costs(self, points: Tensor, out: Tensor) -> Tensor:
        """c(x_i, y_j) up to the same constant, (n, t), in `out`."""


@final
class ProductPanel(Panel):
    """u_i·v_j + s_j, for a cost that is a product (`Cost.bilinear`)."""

    def __init__(self, first: int, v: Tensor, s: Tensor) -> None:
        super().__init__(first, len(v))
        self.v, self.s = v, s
        self.columns = v.T

    def table(self, h_tilde: Tensor) -> Tensor:
        return self.s - h_tilde[self.atoms]

    def scores(self, points: Tensor, table: Tensor, scale: float, out: Tensor) -> Tensor:
        return torch.addmm(table, points, self.columns, beta=scale, alpha=scale, out=out)

    def costs(self, points: Tensor, out: Tensor) -> Tensor:
        return torch.addmm(self.s, points, self.columns, out=out)


@final
class MatrixPanel(Panel):
    """c(x_i, y_j) of any other cost."""

    def __init__(self, first: int, count: int, against: Callable[[Tensor], Tensor]) -> None:
        super().__init__(first, count)
        self.against = against

    def table(self, h_tilde: Tensor) -> Tensor:
        return h_tilde[self.atoms]

    def scores(self, points: Tensor, table: Tensor, scale: float, out: Tensor) -> Tensor:
        torch.sub(self.against(points), table, out=out)
        return out if scale == 1 else out.mul_(scale)

    def costs(self, points: Tensor, out: Tensor) -> Tensor:
        return out.copy_(self.against(points))


@final
class Tile:
    """Room for scores of `rows` points against `atoms` atoms, in blocks that are padded with infinity.

    A row is an odd number of blocks: a product with rows a multiple of 4 kB apart is six times slower.
    """

    def __init__(self, rows: int, atoms: int, like: Tensor) -> None:
        self.block = NARROW if atoms < MANY else WIDE
        blocks = -(-atoms // self.block)
        width = atoms if atoms <= DIRECT and atoms % WIDE else self.block * (blocks + 1 - blocks % 2)
        self.room = like.new_empty(rows, width)
        self.room[:, atoms:] = math.inf
        self.atoms = atoms

    def __getitem__(self, rows: slice) -> Tensor:
        """The scores of these points, (rows, atoms)."""
        return self.room[rows, : self.atoms]

    def minimum(self, rows: slice) -> tuple[Tensor, Tensor]:
        """The smallest score of each of these points, and its atom; the lowest one where scores tie.

        `Tensor.min(dim)` is ten times slower than `amin`, so only the winning block is searched for its index.
        """
        if self.atoms <= DIRECT:
            value, index = self[rows].min(dim=1)
            return value, index
        blocks = self.room[rows].unflatten(1, (-1, self.block))
        n, count, _ = blocks.shape
        block = blocks.amin(dim=2).min(dim=1).indices
        winners = torch.arange(0, n * count, count, device=block.device).add_(block)
        value, index = blocks.view(-1, self.block).index_select(0, winners).min(dim=1)
        return value, index.add_(block, alpha=self.block)
