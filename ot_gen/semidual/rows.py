"""Costs, and soft and hard assignments, of samples against fixed atoms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor

from ot_gen.costs import Cost

# Entries of a chunk of scores, 4 MB in float32: it stays in the cache between the product and the softmax.
CHUNK_ENTRIES = 2**20
# Atoms above this size in bytes are read tile by tile, so that they may live on disk.
KEPT_BYTES = 2**30
TILE_ATOMS = 2**14


@final
class CostRows:
    """Costs, and soft assignments, of samples against fixed atoms, chunk by chunk of rows, in one buffer.

    Args:
        cost: the ground cost c.
        atoms: y_j, (m, d); in tiles of their own where they fill more than `KEPT_BYTES`.

    Example:
        >>> from ot_gen import SquaredEuclidean
        >>> rows = CostRows(SquaredEuclidean(), torch.eye(2))
        >>> [(part, costs)] = rows.costs(torch.zeros(1, 2))
        >>> costs
        tensor([[1., 1.]])
    """

    def __init__(self, cost: Cost, atoms: Tensor) -> None:
        self.cost = cost
        self.atoms = atoms
        self.chunk = min(512, max(64, CHUNK_ENTRIES // len(atoms)))
        fits = atoms.nbytes <= KEPT_BYTES
        form = cost.bilinear(atoms) if fits else None
        self.kept = None if form is None else (form.left, *form.right(atoms))
        self.against = cost.against(atoms) if fits and form is None else None

    def soft(self, x: Tensor, h_tilde: Tensor, epsilon: float) -> Iterator[tuple[Tensor, Tensor]]:
        """Soft assignments (z, w), a chunk of rows at a time, valid until the next one.

        w_i z_ij = softmax_j((h̃_j − c(x_i, y_j)) / ε). Shares below e⁻⁶⁰ of the largest are raised to that: denormal
        numbers, which a softmax of small ε is full of, are several times slower on a CPU.
        """
        for z in self._biased(x, h_tilde, -1 / epsilon):
            z.sub_(z.amax(dim=1, keepdim=True)).clamp_(min=-60).exp_()
            yield z, 1 / z.sum(dim=1)

    @torch.no_grad()
    def hard(self, x: Tensor, h_tilde: Tensor) -> tuple[Tensor, Tensor]:
        """The c-transform of h̃ and its argmin, each (n,); faster than `c_transform` for a few thousand atoms."""
        # `min` is vectorised along rows, `argmin` is not.
        argmin = torch.cat([rows.min(dim=1).indices for rows in self._biased(x, h_tilde, 1.0)])
        return self.cost(x, self.atoms[argmin]) - h_tilde[argmin], argmin

    def _biased(self, x: Tensor, h_tilde: Tensor, scale: float) -> Iterator[Tensor]:
        """scale · (c(x_i, y_j) − h̃_j) up to a constant of each row, in one buffer."""
        if self.kept is None:
            for _, costs in self.costs(x):
                yield costs.sub_(h_tilde).mul_(scale)
            return
        left, v, s = self.kept
        bias = scale * (s - h_tilde)
        buffer = x.new_empty(min(self.chunk, len(x)), len(self.atoms))
        for part in x.split(self.chunk):
            yield torch.addmm(bias, left(part)[0], v.T, alpha=scale, out=buffer[: len(part)])

    def costs(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """(x_i, c(x_i, y_j)), a chunk of rows at a time; valid until the next one."""
        if self.against is not None:
            for part in x.split(self.chunk):
                yield part, self.against(part)
            return
        buffer = x.new_empty(min(self.chunk, len(x)), len(self.atoms))
        for part in x.split(self.chunk):
            rows = buffer[: len(part)]
            if self.kept is not None:
                left, v, s = self.kept
                u, r = left(part)
                yield part, torch.addmm(s, u, v.T, out=rows).add_(r.unsqueeze(1))
                continue
            for start in range(0, len(self.atoms), TILE_ATOMS):
                tile = self.atoms[start : start + TILE_ATOMS]
                rows[:, start : start + len(tile)] = self.cost.matrix(part, tile)
            yield part, rows
