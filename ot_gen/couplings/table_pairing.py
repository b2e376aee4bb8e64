"""Pairs of the semi-discrete table: a point of ζ goes to the atom of its Laguerre cell."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, final

import torch
from torch import Tensor

from ot_gen.arguments import Count, Interval, checked
from ot_gen.costs import Cost
from ot_gen.couplings.pairings import Pairing
from ot_gen.execution import Ending, stop_signal
from ot_gen.measures import Empirical, Measure
from ot_gen.semidual import LaguerreCells, SemidiscreteSolution, semidiscrete
from ot_gen.transport import Bracket

log = logging.getLogger("ot_gen")
BRACKET = ("lower", "lower_se", "upper", "upper_se")
FIGURES = (*BRACKET, "marginal_error", "chi_squared", "is_solved")


@final
@checked
class TablePairing(Pairing):
    """Pairs z ↦ y_j with j = argmin_j c(z, y_j) − h̃_j: the optimal coupling of the law ζ with ν itself.

    The table h̃ is solved once, before training, by `semidiscrete` to a stated accuracy. A pair then costs one
    c-transform, and no batch biases it. The atoms have their masses b_j up to the marginal error.

    Args:
        tol: the marginal error ‖P − b‖₁ to certify, in (0, 2).
        max_samples: of the solve. Where it ends uncertified a warning says so, and the table serves as it is.
        max_seconds: wall time of the solve; None: no limit. With one no run repeats another bit for bit.
        progress: shows the progress bar of the solve, on a terminal.

    Raises:
        ValueError: when it is bound, data without atoms, or with an atom of mass 0; when it is called, another ζ, ν or
            cost than those of the table.

    Source: Genevay, Cuturi, Peyré, Bach, 2016, https://arxiv.org/abs/1605.08527;
        Mousavi-Hosseini et al., 2026, https://arxiv.org/abs/2509.25519

    Example:
        >>> from ot_gen import SquaredEuclidean, standard_gaussian
        >>> zeta, nu, cost = standard_gaussian(1), Empirical(torch.tensor([[-1.0], [1.0]])), SquaredEuclidean()
        >>> pairing = TablePairing(tol=0.1)
        >>> pairing.settle(zeta, nu, cost, None, None)
        >>> z, y = pairing(zeta, nu, cost, 100)
        >>> bool((z.sign() == y).float().mean() > 0.9)
        True
    """

    h_tilde: Tensor
    figures: Tensor

    def __init__(
        self,
        tol: Annotated[float, Interval(0, 2, "()")] = 0.05,
        max_samples: Count = 2**22,
        max_seconds: Annotated[float, Interval(0, math.inf, "(")] | None = None,
        progress: bool = False,
    ) -> None:
        super().__init__()
        self.tol, self.max_samples, self.max_seconds = float(tol), max_samples, max_seconds
        self.progress = progress
        self._cells: tuple[Empirical, Cost, LaguerreCells] | None = None
        self.register_buffer("h_tilde", torch.zeros(0))
        self.register_buffer("figures", torch.zeros(len(FIGURES), dtype=torch.float64))

    def bind(self, zeta: Measure, nu: Measure, cost: Cost) -> None:
        super().bind(zeta, nu, cost)
        data = _with_atoms(nu)
        self.h_tilde = data.weights.new_zeros(len(data))
        self.figures = torch.zeros_like(self.figures)
        self._cells = None

    @property
    def is_settled(self) -> bool:
        """Whether the table is solved."""
        return self._figure("is_solved") > 0

    def settle(self, zeta: Measure, nu: Measure, cost: Cost, keep: Path | None, resume: Path | None) -> None:
        if self.is_settled:
            self._check(zeta, nu, cost)
            return
        with stop_signal() as stopped:
            solution = semidiscrete(
                zeta,
                _with_atoms(nu),
                cost,
                tol=self.tol,
                max_samples=self.max_samples,
                max_seconds=self.max_seconds or math.inf,
                callbacks=[partial(_stop_between_steps, stopped)],
                progress=self.progress and sys.stderr.isatty(),
                checkpoint=keep,
                resume=resume if resume is not None and resume.exists() else None,
            )
            if solution.ending is Ending.STOPPED:
                raise KeyboardInterrupt
            self._take(solution)
            self._bound = zeta, nu, cost
            _stop_between_steps(stopped)
        if not solution.converged:
            log.warning(
                "the table of the pairs is not certified: %s; its marginal error is %.3g, asked was %.3g",
                *(solution.message, solution.marginal_error, self.tol),
            )

    def _take(self, solution: SemidiscreteSolution) -> None:
        weights = solution.nu.weights
        chi_squared = float(((solution.masses.to(weights) - weights).square() / weights).sum())
        bracket = [getattr(solution, name) for name in BRACKET]
        figures = [*bracket, solution.marginal_error, chi_squared, 1.0]
        self.h_tilde = solution.h_tilde.to(weights)
        self.figures = self.figures.new_tensor(figures)

    def forward(self, zeta: Measure, nu: Measure, cost: Cost, n: Count) -> tuple[Tensor, Tensor]:
        if not self.is_settled:
            raise ValueError("this TablePairing is not solved yet: call settle first, as `fit` does")
        self._check(zeta, nu, cost)
        data = _with_atoms(nu)
        with torch.no_grad():
            z = zeta.sample(n)
            _, j = self._index(data, cost)(z)
        return z, data.rows.index_select(0, j)

    def _check(self, zeta: Measure, nu: Measure, cost: Cost) -> None:
        if not self._is_of(zeta, nu, cost):
            raise ValueError(
                "the table of this TablePairing was solved for another reference, data or cost; bind and settle a new "
                "one for these"
            )

    def _index(self, nu: Empirical, cost: Cost) -> LaguerreCells:
        """The cells, made once for the same data, cost and table."""
        if self._cells is not None:
            of, by, cells = self._cells
            alike = of is nu and by is cost and cells.h_tilde.device == self.h_tilde.device
            if alike and cells.h_tilde.equal(self.h_tilde):
                return cells
        cells = LaguerreCells(cost, nu.rows, self.h_tilde.clone())
        self._cells = nu, cost, cells
        return cells

    @property
    def bracket(self) -> Bracket | None:
        if not self.is_settled:
            return None
        return Bracket(**{name: self._figure(name) for name in BRACKET})

    def diagnostics(self) -> dict[str, float]:
        """`pair_marginal_error` = ‖P − b‖₁ and `pair_chi_squared` = Σ_j (p_j − b_j)²/b_j as counted, with its noise."""
        if not self.is_settled:
            return {}
        return {f"pair_{name}": self._figure(name) for name in ("marginal_error", "chi_squared")}

    def _figure(self, name: str) -> float:
        return float(self.figures[FIGURES.index(name)])

    def extra_repr(self) -> str:
        return f"tol={self.tol:g}, max_samples={self.max_samples}, max_seconds={self.max_seconds}"


def _with_atoms(nu: Measure) -> Empirical:
    if not isinstance(nu, Empirical):
        raise ValueError(
            f"a TablePairing needs the atoms of an Empirical, got {nu}, which is sampled afresh; fix a training set "
            "(toy(law, size=2000)), or take PlanPairing or IndependentPairing"
        )
    if not bool((nu.weights > 0).all()):
        raise ValueError(f"{int((nu.weights <= 0).sum())} atoms have mass 0, so no cell is theirs; remove them")
    return nu


def _stop_between_steps(stopped: Callable[[], bool], _: object = None) -> None:
    if stopped():
        raise KeyboardInterrupt
