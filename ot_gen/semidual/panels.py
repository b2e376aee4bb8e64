"""The scores c(x_i, y_j) − h̃_j of points against panels of consecutive atoms, which bound the memory.

Scores are laid out (atoms, points), so that reductions over atoms run along whole cache lines.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor

from ot_gen.costs import Cost

NARROW = 16  # up to so many columns a bias is cheaper as one more column than as one more pass over the scores
NARROW_PANEL = 2**18  # entries of the atoms in a panel, which is a copy of them
WIDE_PANEL = 2**21
LEAST_PANEL = 2**10


class Panel(ABC):
    """Consecutive atoms, from the number `first` on, made ready to be scored part by part."""

    tile: int  # scores that a part makes at a time

    def __init__(self, first: int, *tensors: Tensor) -> None:
        self.first = first
        self.tensors = tensors

    def __len__(self) -> int:
        return len(self.tensors[0])

    def parts(self, size: int) -> Iterator[tuple[Tensor, ...]]:
        """What `scores` needs of `size` atoms after another."""
        return zip(*(tensor.split(size) for tensor in self.tensors), strict=True)

    @abstractmethod
    def scores(self, points: Tensor, part: tuple[Tensor, ...], scale: float, out: Tensor) -> Tensor:
        """scale · (c(x_i, y_j) − h̃_j) up to a constant of each point, (t, n); in `out` where the cost can do so.

        The points, (n, K), come from `Scores.points`, with the same scale.
        """


@final
class NarrowPanel(Panel):
    """[v_j, s_j − h̃_j + max h̃, 1]·[u_i, 1, r_i] = c − h̃ + max h̃, a product of few columns.

    `nonnegative` says whether these scores are known to be >= 0.
    """

    tile = 3 * 2**16  # under 1 MB in float32, which stays in the cache of a core

    def __init__(self, first: int, right: Tensor, nonnegative: bool) -> None:
        super().__init__(first, right)
        self.nonnegative = nonnegative

    def scores(self, points: Tensor, part: tuple[Tensor, ...], scale: float, out: Tensor) -> Tensor:
        return torch.mm(part[0], points.T, out=out)


@final
class WidePanel(Panel):
    """v_j·u_i + s_j − h̃_j, the atoms as they are and the bias apart."""

    tile = 2**21

    def scores(self, points: Tensor, part: tuple[Tensor, ...], scale: float, out: Tensor) -> Tensor:
        right, bias = part
        return torch.addmm(bias.unsqueeze(1), right, points.T, beta=scale, out=out)


@final
class MatrixPanel(Panel):
    """c(x_i, y_j) − h̃_j of a cost that is no product."""

    tile = 2**20

    def __init__(self, first: int, y: Tensor, h_tilde: Tensor, cost: Cost) -> None:
        super().__init__(first, y, h_tilde)
        self.cost = cost

    def scores(self, points: Tensor, part: tuple[Tensor, ...], scale: float, out: Tensor) -> Tensor:
        y, h_tilde = part
        return (self.cost.matrix(points, y.to(points.dtype)) - h_tilde).mul_(scale).T


@final
class Scores:
    """All scores c(x, y_j) − h̃_j of a table over atoms, in panels that are made while they are iterated over.

    Args:
        cost: the ground cost c.
        y: atoms, (m, d).
        h_tilde: potentials, (m,).
    """

    def __init__(self, cost: Cost, y: Tensor, h_tilde: Tensor) -> None:
        self.cost, self.y, self.h_tilde = cost, y.detach(), h_tilde.detach()
        with torch.no_grad():
            self.form = cost.bilinear(self.y)
            self.columns = y.shape[1] if self.form is None else self.form.right(self.y[:1])[0].shape[1]
        self.narrow = self.form is not None and self.columns <= NARROW
        entries = NARROW_PANEL if self.narrow else WIDE_PANEL
        self.size = max(LEAST_PANEL, entries // max(self.columns, y.shape[1]))
        self.dtype = torch.float32 if torch.finfo(y.dtype).bits < 32 else y.dtype

    def points(self, x: Tensor, scale: float = 1.0) -> tuple[Tensor, Tensor | float]:
        """What the panels ask of points (n, d), (n, K), times `scale`; and the constants, (n,), that scores lack."""
        if self.form is None:
            return x, 0.0
        u, r = self.form.left(x)
        if not self.narrow:
            return scale * u, r
        return scale * torch.cat([u, torch.ones_like(u[:, :1]), r.unsqueeze(1)], dim=1), 0.0

    @torch.no_grad()
    def __iter__(self) -> Iterator[Panel]:
        highest = self.h_tilde.max().to(self.dtype)
        for first in range(0, len(self.y), self.size):
            y, h_tilde = (tensor[first : first + self.size] for tensor in (self.y, self.h_tilde))
            if self.form is None:
                yield MatrixPanel(first, y, h_tilde, self.cost)
                continue
            v, s = self.form.right(y)
            bias = s - h_tilde
            if not self.narrow:
                yield WidePanel(first, v, bias)
                continue
            if not bool(torch.isfinite(bias.sum())) and not bool(torch.isfinite(bias).all()):
                raise ValueError(f"atoms {first} to {first + len(y) - 1} hold NaN or Inf; remove or repair these rows")
            rows = (v.T, (bias + highest).unsqueeze(0), torch.ones_like(v[:, :1]).T)
            yield NarrowPanel(first, torch.cat(rows).T, self.form.nonnegative)

    def pull(
        self, points: Tensor, y: Tensor, part: tuple[Tensor, ...], shares: Tensor, scale: float, needs_y: bool
    ) -> tuple[Tensor, Tensor | None]:
        """The gradients Σ_j w_ij ∂s_ij in the points, (n, K), and Σ_i w_ij ∂s_ij in the atoms y (t, d) of a part.

        The weights w_ij of the scores s_ij are `shares`, (t, n).
        """
        if self.form is None:
            with torch.enable_grad():
                points, y = points.detach().requires_grad_(), y.detach().to(self.dtype).requires_grad_()
                by_points, by_y = torch.autograd.grad(self.cost.matrix(points, y), (points, y), scale * shares.T)
            return by_points, by_y
        by_points = shares.T @ part[0]
        if not needs_y:
            return by_points, None
        with torch.enable_grad():
            y = y.detach().requires_grad_()
            v, s = self.form.right(y)
            paired = (v * (shares @ points[:, : self.columns])).sum() + (s * (scale * shares.sum(dim=1))).sum()
            (by_y,) = torch.autograd.grad(paired, y)
        return by_points, by_y
