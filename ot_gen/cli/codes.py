"""A ground cost between codes: those of the encoder of a finished run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import torch

from ot_gen.arguments import Count, checked
from ot_gen.cli.finished import load_run
from ot_gen.costs import FeatureCost, SquaredEuclidean
from ot_gen.networks import CodeMean

ATOMS = 4096  # whose codes say how far codes lie apart
_loading: ContextVar[tuple[Path, ...]] = ContextVar("_loading", default=())


@checked
def code_cost(run: str | Path, dim: Count | None = None) -> FeatureCost:
    """The squared distance between codes of a finished run's encoder, which no label trained.

        c(x, y) = s ‖f(x) − f(y)‖²,      f(y) = E q(·|y),      s = Var(ν) / Var(f#ν) on the data ν of that run

    Two points of ν are on average as far apart as by their squared distance. So ε and weights, which entries count in
    the variance of the data, keep their meaning. Points are in the data's own units. On the command line it is
    `cost=run_encoder cost.run=FOLDER`.

    A run that trains with such a cost keeps its weights. It reads the folder again whenever it is loaded, and that must
    hold the same kind of encoder.

    Args:
        run: the folder, loaded as `load_run` does it. It is never trusted: of an encoder of a kind of your own make
            `FeatureCost(CodeMean(load_run(run, trust=True).encoder), SquaredEuclidean())`.
        dim: d of the points that are to be compared; None: not checked here.

    Raises:
        ValueError: a run that `load_run` refuses, one without an encoder, with classes, on points of another dimension,
            one that maps its data to a single code, or one whose own cost is that of this very run.

    Source: Salimans et al., 2018, https://arxiv.org/abs/1803.05573, where the features train along.

    Example:
        >>> cost = code_cost("runs/vae")  # doctest: +SKIP
        >>> solver = PrimalSolver(cost, DebiasedPlanCoupling(exact_plan))  # doctest: +SKIP
    """
    folder = Path(run)
    with _once(folder):
        loaded = load_run(folder)
    if loaded.mu.classes is not None:
        raise ValueError(
            f"the encoder of the run in {folder.absolute()} was told classes, condition=label, so its codes depend on "
            "them; give a run that was trained without"
        )
    if loaded.encoder is None:
        raise ValueError(
            f"the run in {folder.absolute()} has no encoder, as its solver is {loaded.record.solver}; give a run of a "
            "solver that trains one, such as primal/rae or primal/vae"
        )
    data = loaded.data
    if dim is not None and data.dim != dim:
        raise ValueError(
            f"the encoder of the run in {folder.absolute()} reads points of dimension {data.dim}, and these have "
            f"dimension {dim}; give a run that was trained on the same kind of data"
        )
    atoms = data.atoms
    rows = atoms.rows[torch.linspace(0, len(atoms) - 1, min(len(atoms), ATOMS), device="cpu").round().long()]
    with torch.no_grad():
        variance = float(CodeMean(loaded.encoder)(rows).double().var(dim=0, correction=0).sum())
    if not variance > 0:
        raise ValueError(
            f"the encoder of the run in {folder.absolute()} maps all of its data to one code, so that all costs are 0; "
            "give a run whose codes differ"
        )
    return FeatureCost(CodeMean(loaded.encoder, (data.variance / variance) ** 0.5), SquaredEuclidean())


@contextmanager
def _once(folder: Path) -> Iterator[None]:
    """Refuse to load a run while it is loaded for a cost already: folders may name one another in a circle."""
    open_, here = _loading.get(), folder.resolve()
    if here in open_:
        raise ValueError(
            f"the run in {here} has a cost over its own codes, by the runs that its cost names; give another run"
        )
    token = _loading.set((*open_, here))
    try:
        yield
    finally:
        _loading.reset(token)
