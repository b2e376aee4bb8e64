"""A semi-discrete problem made ready: a checked sampler, distinct atoms of positive mass, and their scores."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Protocol, final

import torch
from torch import Tensor
from torch.distributions import Distribution

from ot_gen.arguments import described
from ot_gen.costs import Cost
from ot_gen.display import structure
from ot_gen.execution import fingerprint
from ot_gen.measures import Empirical, Measure, Pixels, Reference, advice
from ot_gen.measures.pixels import taken
from ot_gen.semidual.aim import Aim
from ot_gen.semidual.scores import PANEL_ATOMS, SEEN_ENTRIES, Scores
from ot_gen.semidual.stream import Stream
from ot_gen.transport import Unbalanced

SAMPLE = 512  # by which a law is known
WIDENED = 2**28  # bytes of atoms that may become twice as many


class Sampler(Protocol):
    """Anything that makes samples: a `Measure`, or another object with `sample(n)` -> (n, d)."""

    def sample(self, n: int) -> Tensor:
        """n samples, (n, d)."""


@final
class SemidiscreteProblem:
    """W_c(μ, ν) in the form that is solved, with the way back to all atoms of ν.

    Coinciding atoms become one: the hard minimum would give their common cell to any of them. Atoms of mass 0 leave.

    Args:
        mu: a `Measure`, a torch `Distribution` of vectors, or an object with `sample(n)`.
        nu: the atoms.
        cost: the ground cost.
        dtype: of the numbers that are computed, None for that of the atoms.
        marginals: the price at which the masses of ν may be left, None to keep them.

    Raises:
        ValueError: μ, ν and the cost do not fit together.

    Example:
        >>> from ot_gen import SquaredEuclidean
        >>> nu = Empirical(torch.tensor([[0.0], [1.0], [0.0]]))
        >>> problem = SemidiscreteProblem(nu, nu, SquaredEuclidean())
        >>> problem.weights, problem.expand(torch.tensor([1.0, 2.0]), 0.0)
        (tensor([0.6667, 0.3333]), tensor([1., 2., 1.]))
    """

    def __init__(
        self,
        mu: Sampler | Distribution,
        nu: Empirical,
        cost: Cost,
        marginals: Unbalanced | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self._given = mu, nu, cost, marginals
        law = _measure(mu, nu.dim)
        self.law: Measure = law
        self.mu = law.mu
        # Where it is known by more than samples.
        self.source = law.mu.law if isinstance(law.mu, Reference) else getattr(law.mu, "mixture", None)
        self.nu = nu
        self.cost = cost
        self.marginals = marginals
        law.check(law.sample(2), nu.rows[:1])
        law.dtype = dtype
        self.first, self.group = _groups(nu)
        whole = len(self.first) == len(nu)
        self.atoms = nu.rows if whole else taken(nu.rows, self.first)
        if isinstance(self.atoms, Pixels) and self.atoms.numel() <= SEEN_ENTRIES:
            self.atoms = self.atoms[:]
        self.atoms = self.atoms if dtype is None else self.atoms.to(dtype)
        present = self.group >= 0
        masses = torch.zeros(len(self.first), dtype=torch.float64, device=nu.weights.device)
        masses.index_add_(0, self.group[present], nu.weights[present].double())
        self.weights = (masses / masses.sum()).to(nu.weights if dtype is None else dtype)
        self.aim = Aim(self.weights, marginals)
        self.rows = Scores(cost, self.atoms)
        self.largest = 0.0 if bool(present.all()) else self._largest(self.law.sample(512))

    @torch.no_grad()
    def _largest(self, x: Tensor) -> float:
        return max(float(self.cost.matrix(x, tile.to(x)).abs().max()) for tile in self.nu.rows.split(PANEL_ATOMS))

    @property
    def wide(self) -> bool:
        """Whether it is posed in a wider dtype than that of the atoms."""
        return self.weights.dtype != self.nu.weights.dtype

    @property
    def widens(self) -> bool:
        """Whether it may be posed in double precision, and is not."""
        atoms, device = self.atoms, self.weights.device.type
        few = isinstance(atoms, Tensor) and atoms.nbytes <= WIDENED
        return few and self.weights.dtype == torch.float32 and device != "mps"  # which has no float64

    def widened(self) -> SemidiscreteProblem:
        """The same in double precision."""
        return SemidiscreteProblem(*self._given, dtype=torch.float64)

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """What tells this problem from others, for checkpoints; a law by a sample, where a seed repeats it."""
        one, again = (Stream(self.law, 0).draw(SAMPLE).to(self.nu.weights) for _ in range(2))
        model = one if torch.equal(one, again) else type(self.law).__name__
        relaxed = {} if self.marginals is None else {"marginals": structure(self.marginals)}
        return fingerprint(model=model, data=self.nu, cost=structure(self.cost), **relaxed)

    def reduce(self, h_tilde: Tensor) -> Tensor:
        """The table over the distinct atoms, from one over all: the maximum over coinciding atoms."""
        present = self.group >= 0
        h_tilde = h_tilde.to(self.weights)
        start = h_tilde.new_full((len(self.first),), -torch.inf)
        return start.scatter_reduce(0, self.group[present], h_tilde[present], "amax")

    def expand(self, h_tilde: Tensor, below: float) -> Tensor:
        """The table over all atoms; an atom of mass 0 has the minimum less `below`."""
        table = h_tilde[self.group.clamp_min(0)]
        return torch.where(self.group >= 0, table, h_tilde.min() - below)

    def share(self, masses: Tensor) -> Tensor:
        """Masses of all atoms from those of the distinct ones, in proportion to b among coinciding atoms."""
        part = self.nu.weights / self.weights[self.group.clamp_min(0)].clamp_min(1e-30)
        shared = torch.where(self.group >= 0, masses.to(part)[self.group.clamp_min(0)] * part, 0.0)
        return shared.to(self.nu.weights)


class _Law(Measure):
    """μ, with every sample checked."""

    def __init__(self, mu: Sampler, dim: int) -> None:
        super().__init__()
        self.mu = mu
        self.dim = dim
        self.dtype: torch.dtype | None = None  # what samples become
        self.cube_dim = mu.cube_dim if isinstance(mu, Measure) else None

    def sample(self, n: int) -> Tensor:
        return self._checked(self.mu.sample(n), n)

    def from_cube(self, u: Tensor) -> Tensor:
        if not isinstance(self.mu, Measure):
            return super().from_cube(u)
        return self._checked(self.mu.from_cube(u), len(u))

    def _checked(self, x: Tensor, n: int) -> Tensor:
        if not isinstance(x, Tensor) or x.shape != (n, self.dim):
            got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(
                f"mu.sample({n}) must return a tensor of shape ({n}, {self.dim}), as the atoms have dimension "
                f"{self.dim}; got {got}"
            )
        if not bool(torch.isfinite(x.sum())) and not bool(torch.isfinite(x).all()):
            bad = int((~torch.isfinite(x)).any(dim=1).sum())
            raise ValueError(f"mu returned NaN or Inf in {bad} of {n} samples; repair the sampler or its weights")
        return x if self.dtype is None else x.to(self.dtype)

    def check(self, x: Tensor, atoms: Tensor) -> None:
        """Raise a `ValueError` unless samples and atoms share dtype and device."""
        if (x.dtype, x.device) != (atoms.dtype, atoms.device):
            raise ValueError(
                f"mu makes {x.dtype} samples on {x.device} and the atoms are {atoms.dtype} on {atoms.device}; "
                "give both one dtype and one device, e.g. atoms.float()"
            )


def _measure(mu: Sampler | Distribution, dim: int) -> _Law:
    if isinstance(mu, Distribution):
        mu = Reference(mu)
    check_sampler(mu, dim, "mu")
    return _Law(mu, dim)


def check_sampler(mu: object, dim: int, name: str) -> None:
    """Raise a `ValueError` unless μ can be sampled; draws nothing."""
    if isinstance(mu, type) or not callable(getattr(mu, "sample", None)):
        got = f"{described(mu)}; {advice(mu)}"
        raise ValueError(f"{name} needs a method sample(n) that returns (n, {dim}) samples, got {got}")


def _groups(nu: Empirical) -> tuple[Tensor, Tensor]:
    """The first of each group of coinciding atoms of positive mass, and the group of each atom (−1: no mass)."""
    keys = torch.cat([_keys(tile) for tile in nu.rows.split(PANEL_ATOMS)])
    group: dict[int, int] = {}
    first: list[int] = []
    numbers = []
    for j, (key, mass) in enumerate(zip(keys.tolist(), (nu.weights > 0).tolist(), strict=True)):
        if mass and key not in group:
            group[key] = len(first)
            first.append(j)
        numbers.append(group[key] if mass else -1)
    device = nu.rows.device
    return torch.tensor(first, device=device), torch.tensor(numbers, device=device)


def _keys(rows: Tensor) -> Tensor:
    """A 64-bit key of each row, equal for equal rows."""
    array = (rows.detach().cpu() + 0.0).numpy()  # −0 and 0 are one number
    return torch.tensor([hash(row.tobytes()) for row in array], device="cpu")
