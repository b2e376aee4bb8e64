"""Laguerre cells whose masses are known exactly: which problems have them, and the table that is optimal there."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, final

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MixtureSameFamily, MultivariateNormal, Normal, Uniform

from ot_gen.costs import SquaredEuclidean
from ot_gen.costs.distances import InnerProduct
from ot_gen.semidual.line import LineProblem
from ot_gen.semidual.mixture_cells import GaussianMixtureLaw, MixtureParts, PartedLaw, RectanglesLaw
from ot_gen.semidual.newton import CellProblem
from ot_gen.semidual.plane import HALF
from ot_gen.semidual.power_diagram import Floats
from ot_gen.semidual.problem import SemidiscreteProblem
from ot_gen.semidual.standard_laws import CellLaw, GaussianLaw, SquareLaw, StandardLaw

MOST_ATOMS = {1: 2**20, 2: 10**5, 3: 2 * 10**4}  # by dimension; a triangulation of them takes a second
FEW, FOR_EACH, MANY = 2**14, 300, 2**19  # samples; those for each atom in space
SPACE, FEW_ATOMS = 3, 64  # dimensions with exact cells, and atoms by which others are seen to lie in them
FLAT, THIN = 1e-13, 1e-7  # widths of a cloud of atoms, in lengths: of one in a smaller space, and of one nearly so


@final
class ExactMasses(NamedTuple):
    """The masses P of cells, (m,), in float64, ‖P − b‖₁, and what rounding in the dtype of the table adds to it."""

    masses: Tensor
    error: float
    rounding: float


@final
class ExactCells:
    """The cells of tables h̃ with their exact masses, and the table that gives each atom its own.

    Let x = m + L z, z of a standard law. With c(x, y) = ‖x − y‖² the atom of x has the largest z·a_j − ψ_j, where

        a_j = Lᵀ(y_j − ȳ) / s        ψ_j = (‖y_j − m‖² − h̃_j) / 2s        s² = Σ_j b_j ‖Lᵀ(y_j − ȳ)‖²

    So all that is computed scales and moves with the problem. For the inner product ψ_j = −(m·y_j + h̃_j) / s.

    Args:
        problem: that of a_j, b and the standard law.
        level: what h̃ is where ψ = 0, (m,).
        unit: h̃ = level − unit · ψ.
        scores: s_j of the cost's product (`Cost.bilinear`), (m,), less which h̃ is rounded to the dtype of the atoms.
        weights: b, (m,), in the dtype and on the device of tables.
    """

    def __init__(
        self, problem: LineProblem | CellProblem, level: Floats, unit: float, scores: Floats, weights: Tensor
    ) -> None:
        self.problem, self.level, self.unit, self.scores, self.weights = problem, level, unit, scores, weights
        self._solved: Tensor | None = None

    @classmethod
    def of(cls, problem: SemidiscreteProblem, epsilon: float) -> ExactCells | None:
        """Those of a problem, or None where they are not known.

        They are for ε = 0, squared distances or inner products, and a Gaussian law, the uniform one on an interval or
        a rectangle, or mixtures of either in the plane, with masses b that
        are kept. The atoms span up to three dimensions; for a Gaussian they may do so in any.
        """
        if problem.marginals is not None:
            return None
        products = isinstance(problem.cost, InnerProduct)
        placed = None if problem.source is None else _placed(problem.source)
        if epsilon or placed is None or not (products or isinstance(problem.cost, SquaredEuclidean)):
            return None
        m, dim = problem.atoms.shape
        if not 1 < m <= max(MOST_ATOMS.values()):
            return None
        known = (1, *placed.law.dims) if isinstance(placed.law, StandardLaw) else placed.law.dims
        flat = dim > SPACE and _turns(placed.law) and _is_flat(problem.atoms[:])
        if not (flat or dim in known):
            return None
        y, b = _numbers(problem.atoms[:]), _numbers(problem.weights)
        b = b / b.sum()
        with np.errstate(over="ignore", invalid="ignore"):
            atoms = (y - b @ y) @ placed.factor
            size = math.sqrt(b @ np.square(atoms).sum(axis=1))
            level = -y @ placed.shift if products else np.square(y - placed.shift).sum(axis=1)
        if not (0 < size < math.inf and np.isfinite(level).all()):
            return None
        atoms /= size
        held = (
            torch.finfo(problem.atoms.dtype).eps * float(np.abs(y).max()) * float(np.linalg.norm(placed.factor)) / size
        )
        form = problem.rows.form
        scores = level if form is None else _numbers(form.right(problem.atoms[:])[1])
        unit = size if products else 2 * size
        standard = _standard(placed.law, atoms, b, held)
        return None if standard is None else cls(standard, level, unit, scores, problem.weights)

    def measured(self, h_tilde: Tensor) -> ExactMasses | None:
        """The masses of the cells; None where rounding leaves none."""
        from scipy.spatial import QhullError

        table = _numbers(h_tilde)
        rounding = torch.finfo(h_tilde.dtype).eps / 2 * np.hypot(self.scores, self.scores - table)
        try:
            masses, blur = self.problem.measured((self.level - table) / self.unit, rounding / self.unit)
        except (QhullError, ArithmeticError):
            return None
        return ExactMasses(torch.from_numpy(masses), float(np.abs(masses - self.problem.b).sum()), blur)

    def error(self, h_tilde: Tensor) -> float:
        """‖P − b‖₁, infinite where P is not known."""
        exact = self.measured(h_tilde)
        return math.inf if exact is None else exact.error

    @property
    def worth(self) -> int:
        """The number of samples whose steps take about as long as `solve`."""
        if isinstance(self.problem, CellProblem) and isinstance(self.problem.law, PartedLaw):
            return MANY
        in_space = self.problem.atoms.shape[1:] == (SPACE,)
        return min(max(FEW, FOR_EACH * len(self.level)), MANY) if in_space else FEW

    def better(self, h_tilde: Tensor, spent: Callable[[], bool]) -> Tensor:
        """The optimal table, made once, or this one, (m,), if its error is less."""
        from scipy.spatial import QhullError

        if self._solved is None:
            self._solved = h_tilde  # where the user or rounding ends it
            with suppress(QhullError, ArithmeticError):
                self._solved = self.solve(spent)
        return min((h_tilde, self._solved), key=self.error)

    def solve(self, spent: Callable[[], bool] = lambda: False) -> Tensor:
        """h̃, (m,), with P = b and Σ_j b_j h̃_j = 0; less exact where rounding or `spent` ends it.

        Raises:
            scipy.spatial.QhullError, ArithmeticError: rounding leaves no triangulation, or no step.
        """
        table = self.level - self.unit * self.problem.solve(spent)
        return torch.from_numpy(table - self.problem.b @ table).to(self.weights)


def _standard(law: CellLaw, atoms: Floats, b: Floats, held: float) -> LineProblem | CellProblem | None:
    """The problem of atoms (m, d) of size 1, or None where rounding, which moves each by up to `held`, decides it.

    Atoms that span a smaller space but for rounding count as in it.
    """
    m = len(atoms)
    _, lengths, axes = np.linalg.svd(atoms, full_matrices=False)
    rank = int((lengths > max(FLAT * lengths[0], held * math.sqrt(m))).sum())
    if not rank or lengths[rank - 1] <= THIN * lengths[0] or m > MOST_ATOMS.get(rank, 0):
        return None
    if rank < atoms.shape[1]:
        if not _turns(law):
            return None
        atoms = atoms @ axes[:rank].T
    if rank not in (1, *law.dims) or len(np.unique(atoms, axis=0)) < m:
        return None
    if rank > 1:
        return CellProblem(law, atoms, b)
    return LineProblem(law, atoms[:, 0], b) if isinstance(law, StandardLaw) else None


def _turns(law: CellLaw) -> bool:
    return isinstance(law, StandardLaw) and law.turns


def _is_flat(y: Tensor) -> bool:
    """Whether a few of many-dimensional atoms (m, d) span no more than a space, to rounding."""
    some = _numbers(y[:: max(1, len(y) // FEW_ATOMS)])
    lengths = np.linalg.svd(some - some.mean(axis=0), compute_uv=False)
    held = torch.finfo(y.dtype).eps * float(np.abs(some).max()) * math.sqrt(some.size)
    return bool((lengths[SPACE:] <= held).all())


@final
class _Placed(NamedTuple):
    """The law of shift + factor z, z of a standard law."""

    shift: Floats
    factor: Floats
    law: CellLaw


def _placed(source: Distribution) -> _Placed | None:
    if isinstance(source, MixtureSameFamily) and not source.batch_shape:
        return _mixed(source)
    if isinstance(source, MultivariateNormal):
        return _Placed(_numbers(source.loc), _numbers(source.scale_tril), GaussianLaw())
    if not isinstance(source, Independent) or source.reinterpreted_batch_ndims != 1:
        return None
    coordinates = source.base_dist
    if isinstance(coordinates, Normal):
        return _Placed(_numbers(coordinates.loc), np.diag(_numbers(coordinates.scale)), GaussianLaw())
    if isinstance(coordinates, Uniform):
        low, high = _numbers(coordinates.low), _numbers(coordinates.high)
        return _Placed((low + high) / 2, np.diag(high - low) / (2 * HALF), SquareLaw())
    return None


def _mixed(source: MixtureSameFamily) -> _Placed | None:
    """That of a mixture of Gaussians or rectangles in the plane."""
    weights, law = _numbers(source.mixture_distribution.probs), source.component_distribution
    made: type[PartedLaw] = GaussianMixtureLaw
    if source.event_shape != (2,):
        return None
    if isinstance(law, MultivariateNormal):
        means, factors = _numbers(law.loc), _numbers(law.scale_tril)
    elif not isinstance(law, Independent) or not isinstance(law.base_dist, Normal | Uniform):
        return None
    elif isinstance(law.base_dist, Normal):
        means, factors = _numbers(law.base_dist.loc), _diagonals(_numbers(law.base_dist.scale))
    else:
        low, high, made = _numbers(law.base_dist.low), _numbers(law.base_dist.high), RectanglesLaw
        means, factors = (low + high) / 2, _diagonals((high - low) / (2 * HALF))
    parts = MixtureParts(weights / weights.sum(), means, factors)
    shift, factor = parts.mean, parts.factor
    if made is RectanglesLaw:  # rectangles stay upright
        factor = np.diag(np.sqrt((factor**2).sum(axis=1)))
    return _Placed(shift, factor, made(parts.seen_from(shift, factor)))


def _diagonals(scales: Floats) -> Floats:
    return scales[:, :, None] * np.eye(scales.shape[1])


def _numbers(tensor: Tensor) -> Floats:
    return tensor.detach().double().cpu().numpy()
