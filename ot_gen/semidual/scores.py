"""Scores of points against atoms, c(x_i, y_j) − h̃_j: their minima and their soft assignments, tile by tile.

The constants were measured over (n, m, d) by benchmarks/c_transform.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import final

import torch
from torch import Tensor

from ot_gen.costs import Cost
from ot_gen.measures import Pixels
from ot_gen.semidual.tiles import WIDE, MatrixPanel, Panel, ProductPanel, Tile

TILE_ENTRIES, FEWEST_ROWS, MOST_ROWS = 2**18, 128, 2**12  # scores of a tile, 1 MB in float32, and its points
PANEL_ATOMS, PANEL_ENTRIES = 2**13, 2**21  # atoms of a panel, and entries of them, which may be a copy
MATRIX_ATOMS, MATRIX_ENTRIES = 15 * 2**7, 2**17  # the same of a cost that is no product
PART_ENTRIES, PAIR_ENTRIES = 2**20, 2**18  # entries of points taken together: against all atoms, or each with its own
CHUNK_ROWS, CHUNK_ENTRIES = 512, 2**20  # of a chunk against all atoms: its points, and its scores
# On another device, times as much: it has no such cache, and each of its steps should outlast its launch. Reckoned in
# docs/scaling.md, not measured.
MORE_ATOMS, MORE_SCORES = 2**3, 2**6
LEAST_SHARE = -60.0  # logarithm; denormal numbers are slow on a CPU, and so is an exp that underflows
SEEN_ENTRIES = 2**24  # pixels that are made numbers together
KEPT_BYTES = 2**30  # atoms above this size are read panel by panel, so that they may live on disk


@final
class Scores:
    """All scores c(x, y_j) − h̃_j of points against fixed atoms, for any table h̃.

    What depends on the atoms alone, such as their features, is made once and kept, up to atoms of `KEPT_BYTES`.
    Beyond that, and in `Scores.streamed`, it is made panel by panel at every use.

    Args:
        cost: the ground cost c.
        atoms: y_j, (m, d), or `Pixels`, which become numbers panel by panel.

    Example:
        >>> from ot_gen import SquaredEuclidean
        >>> scores = Scores(SquaredEuclidean(), torch.eye(2))
        >>> [(part, costs)] = scores.costs(torch.zeros(1, 2))
        >>> costs
        tensor([[1., 1.]])
        >>> scores.hard(torch.tensor([[0.0, 2.0]]), torch.zeros(2))
        (tensor([1.]), tensor([1]))
    """

    _kept: list[Panel] | None

    def __init__(self, cost: Cost, atoms: Tensor | Pixels) -> None:
        self._prepare(cost, atoms)
        if atoms.nbytes <= KEPT_BYTES:
            self._kept = list(self._made())

    @classmethod
    def streamed(cls, cost: Cost, atoms: Tensor | Pixels) -> Scores:
        """Scores for one use: nothing is kept but a single panel."""
        scores = cls.__new__(cls)
        scores._prepare(cost, atoms)
        if scores.size >= len(atoms):
            scores._kept = list(scores._made())
        return scores

    @torch.no_grad()
    def _prepare(self, cost: Cost, atoms: Tensor | Pixels) -> None:
        self.cost, self.atoms = cost, atoms
        m, d = atoms.shape
        self.dtype = torch.float32 if torch.finfo(atoms.dtype).bits < 32 else atoms.dtype
        self.form = cost.bilinear(_seen(atoms))
        wider, larger = (1, 1) if atoms.device.type == "cpu" else (MORE_ATOMS, MORE_SCORES)
        self.chunk = min(CHUNK_ROWS, max(64, larger * CHUNK_ENTRIES // m))
        self.part = larger * PART_ENTRIES
        most = min(wider * PANEL_ATOMS, max(2**11, wider * PANEL_ENTRIES // d))
        self.entries = larger * TILE_ENTRIES
        if self.form is None:  # each tile makes its matrix anew, in several steps: small ones reuse memory
            most, self.entries = min(most, wider * MATRIX_ATOMS), larger * MATRIX_ENTRIES
        even = -(-m // -(-m // most))
        self.size = -(-even // WIDE) * WIDE
        if self.form is None and self.size % 2**10 == 0:  # see `Tile`
            self.size += WIDE
        self._kept = None

    @property
    def columns(self) -> int:
        """The number K of columns of the product; d where the cost is none."""
        if self.form is None:
            return self.atoms.shape[1]
        return self.form.right(self.atoms[:1].detach())[0].shape[1]

    def points(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the panels ask of points (n, d), (n, K), and the constants that scores lack, (n,), or None."""
        if self.form is None:
            return x.to(self.dtype), None
        u, r = self.form.left(x)
        return u.to(self.dtype), r

    def panels(self) -> Iterable[Panel]:
        """The atoms, panel after panel."""
        return self._made() if self._kept is None else self._kept

    @torch.no_grad()
    def _made(self) -> Iterator[Panel]:
        for first in range(0, len(self.atoms), self.size):
            y = self.atoms.detach()[first : first + self.size]
            if self.form is None:
                yield MatrixPanel(first, len(y), self.cost.against(y.to(self.dtype)))
                continue
            v, s = self.form.right(y)
            if not all_finite(s):
                bad = f"atoms {first} to {first + len(y) - 1}"
                if all_finite(y):
                    raise ValueError(f"the costs of {bad} overflow {s.dtype}; use a wider dtype or a larger unit")
                raise ValueError(f"{bad} hold NaN or Inf; remove or repair these rows")
            yield ProductPanel(first, v, s)

    def rows(self, n: int) -> int:
        """The number of points in a tile against a panel, of n points."""
        if self.form is None:
            return min(n, max(1, self.entries // min(self.size, len(self.atoms))))
        # Each tile reads its panel anew, which takes longer than a narrow product over few points.
        fewest = max(FEWEST_ROWS, min(MOST_ROWS // 8, self.atoms.shape[1] // 2))
        return min(n, MOST_ROWS, max(fewest, self.entries // min(self.size, len(self.atoms))))

    def pull(
        self, panel: Panel, points: Tensor, weights: Tensor, factor: Tensor, needs_y: bool
    ) -> tuple[Tensor, Tensor | None]:
        """The gradients Σ_j p_ij ∂c_ij in the points, (n, K), and Σ_i p_ij ∂c_ij in the atoms of a panel, (t, d).

        The weights are p_ij = factor_i · weights_ij, (n, t).
        """
        y = self.atoms.detach()[panel.atoms]
        if not isinstance(panel, ProductPanel) or self.form is None:
            with torch.enable_grad():
                points, y = points.detach().requires_grad_(), y.to(self.dtype).requires_grad_()
                by_points, by_y = torch.autograd.grad(
                    self.cost.matrix(points, y), (points, y), factor.unsqueeze(1) * weights
                )
            return by_points, by_y
        by_points = factor.unsqueeze(1) * (weights @ panel.v)
        if not needs_y:
            return by_points, None
        with torch.enable_grad():
            y = y.requires_grad_()
            v, s = self.form.right(y)
            paired = (v * (weights.T @ (factor.unsqueeze(1) * points))).sum() + s @ (factor @ weights)
            (by_y,) = torch.autograd.grad(paired, y)
        return by_points, by_y

    def hard(self, x: Tensor, h_tilde: Tensor) -> tuple[Tensor, Tensor]:
        """The c-transform of h̃ and the atom that attains it, each (n,); differentiable in x, the atoms and h̃."""
        size = max(1, self.part // x.shape[1])
        if len(x) <= size:
            minimum, argmin = self._minimum(x, h_tilde)
            return attained(self.cost, x, self.atoms, h_tilde, argmin, minimum), argmin
        parts = [self.hard(part, h_tilde) for part in x.split(size)]
        return torch.cat([value for value, _ in parts]), torch.cat([argmin for _, argmin in parts])

    @torch.no_grad()
    def _minimum(self, x: Tensor, h_tilde: Tensor) -> tuple[Tensor, Tensor]:
        """The smallest score of each point, up to its constant, and its atom."""
        points, _ = self.points(x)
        size = max(1, self.rows(len(x)))
        value = index = points.new_empty(0)
        tile: Tile | None = None
        for panel in self.panels():
            count = panel.atoms.stop - panel.first
            if tile is None or tile.atoms != count:
                tile = Tile(size, count, points)
            table = panel.table(h_tilde)
            minima = []
            for part in points.split(size):
                rows = slice(len(part))
                panel.scores(part, table, 1.0, tile[rows])
                minima.append(tile.minimum(rows))
            smallest, at = minima[0] if len(minima) == 1 else (torch.cat(each) for each in zip(*minima, strict=True))
            if panel.first == 0:
                value, index = smallest, at
                continue
            better = below(smallest, value)
            value, index = torch.where(better, smallest, value), torch.where(better, at + panel.first, index)
        return value, index

    def soft(self, x: Tensor, h_tilde: Tensor, epsilon: float) -> Iterator[tuple[Tensor, Tensor]]:
        """Soft assignments (z, w), a chunk of points at a time, valid until the next one.

        w_i z_ij = softmax_j((h̃_j − c(x_i, y_j)) / ε). Shares below e⁻⁶⁰ of the largest are raised to that.
        """
        tables = None if self._kept is None else [(panel, panel.table(h_tilde)) for panel in self._kept]
        for part, room in self._chunks(x):
            points, _ = self.points(part)
            for panel, table in tables or ((panel, panel.table(h_tilde)) for panel in self.panels()):
                panel.scores(points, table, -1 / epsilon, room[:, panel.atoms])
            room.sub_(room.amax(dim=1, keepdim=True)).clamp_(min=LEAST_SHARE).exp_()
            yield room, 1 / room.sum(dim=1)

    def costs(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """(x_i, c(x_i, y_j)), a chunk of points at a time; valid until the next one."""
        for part, room, constants in self._costs(x):
            yield part, room if constants is None else room.add_(constants.unsqueeze(1))

    def reduced(self, x: Tensor) -> Iterator[Tensor]:
        """c(x_i, y_j) less what all atoms share, (n, m), as `costs`; far from the origin that part hides the rest."""
        for _, room, _ in self._costs(x):
            yield room

    def _costs(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        for part, room in self._chunks(x):
            points, constants = self.points(part)
            for panel in self.panels():
                panel.costs(points, room[:, panel.atoms])
            yield part, room, constants

    def _chunks(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Points, a chunk at a time, and room for their scores against all atoms."""
        m = len(self.atoms)
        # See `Tile` for rows that lie a multiple of 4 kB apart.
        room = x.new_empty(min(self.chunk, len(x)), m + 16 if m % 1024 == 0 else m, dtype=self.dtype)[:, :m]
        for part in x.split(self.chunk):
            yield part, room[: len(part)]


def attained(
    cost: Cost, x: Tensor, y: Tensor | Pixels, h_tilde: Tensor, argmin: Tensor, least: Tensor | float = 0.0
) -> Tensor:
    """c(x_i, y_j) − h̃_j at j = argmin_i, (n,), through which all gradients flow; `least` is the minimal score."""
    value = _paired(cost, x, y, argmin) - h_tilde.index_select(0, argmin)
    if not all_finite(value.detach() + least):
        raise ValueError(
            f"the smallest cost of a point is NaN or Inf: atoms hold NaN or Inf, or the costs less potentials of size "
            f"{float(h_tilde.detach().abs().max()):.3g} overflow {value.dtype}; repair atoms or table, or use a "
            "wider dtype"
        )
    return value.to(x.dtype)  # half precision is widened by the cost


def _paired(cost: Cost, x: Tensor, y: Tensor | Pixels, argmin: Tensor) -> Tensor:
    size = max(1, PAIR_ENTRIES // x.shape[1])
    if len(x) <= size:
        return cost._paired(x, y.index_select(0, argmin))
    parts = zip(x.split(size), argmin.split(size), strict=True)
    return torch.cat([cost._paired(part, y.index_select(0, at)) for part, at in parts])


def _seen(atoms: Tensor | Pixels) -> Tensor:
    """Atoms by which a cost chooses its form: it looks at all of few, and of many pixels at some from all places."""
    if isinstance(atoms, Tensor):
        return atoms.detach()
    return atoms[:] if atoms.numel() <= SEEN_ENTRIES else atoms[:: -(-len(atoms) // 1024)]


def all_finite(tensor: Tensor) -> bool:
    """Whether no entry is NaN or Inf: a sum is finite only if each entry is, and is quicker to look at."""
    return math.isfinite(tensor.detach().sum()) or bool(torch.isfinite(tensor).all())


def below(new: Tensor, old: Tensor) -> Tensor:
    """new < old, where a NaN counts as below everything, so it is kept and noticed."""
    return (new < old) | new.isnan()


def shares(scores: Tensor, low: Tensor) -> Tensor:
    """exp(low_i − s_ij) for low (n, 1), in place, not below e⁻⁶⁰: see `LEAST_SHARE`."""
    return torch.sub(low, scores, out=scores).clamp_(min=LEAST_SHARE).exp_()
