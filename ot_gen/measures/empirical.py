"""The data ν as atoms with masses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, final

import torch
from torch import Tensor

from ot_gen.arguments import Count, checked, default_dtype
from ot_gen.measures.measure import Measure, advice, check_cube
from ot_gen.measures.pixels import Pixels
from ot_gen.measures.points import check_cloud, check_weights


@final
@checked
class Empirical(Measure):
    """The data ν = Σ_j b_j δ_{y_j}.

    Args:
        atoms: the points y_j, (m, d), m >= 2, finite. A tensor keeps its dtype; an array or a list gets torch's default
            one, in which networks compute. `Pixels` stay as they are stored, and become numbers where they are read.
        weights: the masses b_j, (m,), non-negative, summing to 1; None means b_j = 1/m. They are kept in the dtype of
            the atoms, and in float32 for atoms in half precision.

    Raises:
        ValueError: atoms that are not a finite (m, d) cloud of at least two points, rows of an array that are equal in
            torch's default dtype, or weights that are not a probability vector of length m.

    Atoms and weights are buffers that stay out of the state dict: a checkpoint holds the model, not the data. `rows`
    are the atoms to be read a part at a time, `rows[index]`; of pixels `atoms` makes all numbers anew at each use.

    Example:
        >>> nu = Empirical(torch.tensor([[0.0, 0.0], [1.0, 0.0]]), weights=torch.tensor([0.25, 0.75]))
        >>> len(nu), nu.dim
        (2, 2)
    """

    atoms: Tensor
    weights: Tensor
    pixels: Pixels | None

    def __init__(self, atoms: default_dtype | Pixels, weights: Tensor | None = None) -> None:
        super().__init__()
        if isinstance(atoms, Tensor):
            check_cloud(atoms, "atoms")
        m = len(atoms)
        if m < 2:
            raise ValueError(
                f"the data have {m} atom{'s' if m != 1 else ''}, (m, d) = {tuple(atoms.shape)}: "
                "there is nothing to learn from fewer than two points; give at least two"
            )
        self.is_uniform = weights is None
        if weights is None:
            weights = torch.full((m,), 1.0 / m, dtype=torch.float64, device="cpu")
        check_weights(weights, m)
        is_half = weights.is_floating_point() and torch.finfo(weights.dtype).bits < 32
        weights = weights.to(atoms.device, torch.promote_types(atoms.dtype, torch.float32))
        if isinstance(atoms, Pixels):
            self.pixels = atoms
        else:
            self.pixels = None
            self.register_buffer("atoms", atoms, persistent=False)
        self.register_buffer("weights", weights / weights.sum() if is_half else weights, persistent=False)
        self.dim = atoms.shape[1]
        self.cube_dim = 1

    @staticmethod
    def instead_of(thing: object) -> str:
        """What makes atoms of something else, in the words of an error."""
        is_law = isinstance(thing, Measure) and not isinstance(thing, type)
        return "draw atoms once: Empirical(nu.sample(n))" if is_law else advice(thing)

    @property
    def rows(self) -> Tensor | Pixels:
        """The atoms, of which `rows[index]` reads some, (n, d)."""
        return self.atoms if self.pixels is None else self.pixels

    def __getattr__(self, name: str) -> Any:
        pixels = self.__dict__.get("_modules", {}).get("pixels")
        return pixels[:] if name == "atoms" and pixels is not None else super().__getattr__(name)

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, n: Count) -> Tensor:
        """n independent draws y ~ ν, (n, d), with replacement."""
        if self.is_uniform:
            index = torch.randint(len(self), (n,), device=self.rows.device)
        else:
            index = torch.multinomial(self.weights, n, replacement=True)
        return self.rows.index_select(0, index)

    def from_cube(self, u: Tensor) -> Tensor:
        """The atoms in whose share of [0, 1] the u fall, (n, d): evenly spread u visit all atoms evenly."""
        check_cube(u, 1)
        shares = self.weights.double().cumsum(0)
        index = torch.searchsorted(shares, u[:, 0].contiguous().to(shares) * shares[-1])
        return self.rows[index.clamp_max(len(self) - 1)]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # Masses of many atoms do not sum to 1 in half precision: a move to it leaves them as they are.
        weights = self.weights
        super()._apply(fn, recurse)
        if torch.finfo(self.weights.dtype).bits < 32:
            self.weights = weights.to(self.weights.device)
        return self

    def extra_repr(self) -> str:
        return f"atoms={len(self)}, dim={self.dim}, uniform={self.is_uniform}"
