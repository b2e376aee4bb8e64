"""A kept index of Laguerre cells: the c-transform of one table at many points."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ot_gen.arguments import checked
from ot_gen.costs import Cost
from ot_gen.display import line
from ot_gen.measures import Pixels
from ot_gen.semidual.envelope import EnvelopeTree
from ot_gen.semidual.scores import Scores, attained
from ot_gen.semidual.transform import check_points, check_table, widened_to

INDEXED = 3  # columns of the product up to which cells are looked up
MANY = 700  # atoms from which on a lookup beats the stream


@final
@checked
class LaguerreCells:
    """The c-transform of a fixed table h̃: x -> (h(x), the atom whose cell holds x), `c_transform`'s answer.

    Some costs are a product u(x)·v_j + s_j + r(x) of at most three columns: `SquaredEuclidean`, `InnerProduct` in
    d <= 3, features in R³. Then c(·, y_j) − h̃_j is affine in u, and an `EnvelopeTree` looks cells up, in float64. Its
    box is three times as wide as that of the atoms; points outside of it are streamed. For other costs, what the
    stream prepares of the atoms is kept, such as their features. Later changes of the atoms or the table are not seen.

    A tree takes seconds to build: three for 100,000 atoms in d = 2, or for 20,000 in d = 3. It pays where a table is
    queried for many batches of points, and keeps some hundred numbers an atom. Without one, at most a copy of the atoms
    (or their features) is kept.

    Args:
        cost: the ground cost c.
        atoms: y_j, (m, d).
        h_tilde: potentials h̃_j, (m,).

    Attributes:
        tree: the index that cells are looked up in, None where the atoms are streamed.

    Raises:
        ValueError: arguments of another kind, shapes, dtypes or devices that do not fit, NaN or Inf.

    Source: Aurenhammer, 1987, https://doi.org/10.1137/0216006 (power diagrams as lower envelopes)

    Example:
        >>> from ot_gen import SquaredEuclidean
        >>> cells = LaguerreCells(SquaredEuclidean(), torch.tensor([[0.0], [3.0]]), torch.tensor([0.0, 1.0]))
        >>> cells(torch.tensor([[1.0], [2.0]]))
        (tensor([1., 0.]), tensor([0, 1]))
    """

    def __init__(self, cost: Cost, atoms: Tensor | Pixels, h_tilde: Tensor) -> None:
        self._given = atoms.dtype
        if isinstance(atoms, Tensor):
            atoms = widened_to(h_tilde, atoms)
        check_table(atoms, h_tilde)
        self.cost, self.atoms, self.h_tilde = cost, atoms.detach(), h_tilde.detach()
        self.tree: EnvelopeTree | None = None
        self._scores = Scores.streamed(cost, self.atoms)
        if len(atoms) >= MANY and self._scores.columns <= INDEXED:
            self.tree = self._envelope()
        else:
            self._scores = Scores(cost, self.atoms)

    def __repr__(self) -> str:
        m, d = self.atoms.shape
        looked = "streamed" if self.tree is None else "in a tree"
        return line("LaguerreCells", repr(self.cost), f"{m:,} atoms in dimension {d}", looked)

    @torch.no_grad()
    def _envelope(self) -> EnvelopeTree | None:
        form = self._scores.form
        if form is None:
            return None
        slopes, offsets = form.right(self.atoms[:])
        offsets = offsets.double() - self.h_tilde
        if not bool(torch.isfinite(offsets).all() & torch.isfinite(slopes).all()):
            raise ValueError("atoms hold NaN or Inf; remove or repair these rows")
        places = form.left(self.atoms[:])[0].double()
        low, high = places.amin(dim=0), places.amax(dim=0)
        half = 1.5 * (high - low)
        half = torch.where(half > 0, half, half.max().clamp_min(1))
        return EnvelopeTree(slopes, offsets, (low + high) / 2 - half, (low + high) / 2 + half)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(h(x), argmin), each (n,), for points (n, d)."""
        if x.dtype == self._given:
            x = widened_to(self.h_tilde, x)
        check_points(x, self.atoms)
        form = self._scores.form
        if self.tree is None or form is None:
            return self._scores.hard(x, self.h_tilde)
        with torch.no_grad():
            argmin = self.tree(form.left(x)[0])
            unknown = (argmin < 0).nonzero().squeeze(1)
            if len(unknown):
                argmin[unknown] = self._scores.hard(x[unknown], self.h_tilde)[1]
        return attained(self.cost, x, self.atoms, self.h_tilde, argmin), argmin
