"""What a flow's samples are worth at few evaluations of its velocity, and what its paths cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ot_gen.costs import SquaredEuclidean, cost_of_points, price
from ot_gen.couplings import VelocityRegression
from ot_gen.data import Dataset
from ot_gen.measures import Empirical, Placed, Pushforward, Unlabelled, WithLabel, undisturbed
from ot_gen.networks import FlowMap, evaluations
from ot_gen.runs.judging import Judging, judge_model
from ot_gen.runs.parts import RecordedEvaluations, RecordedFlow, Status
from ot_gen.runs.record import RunRecord
from ot_gen.semidual import semidiscrete
from ot_gen.solvers import Solver
from ot_gen.transport import Bracket

FEW = (1, 2, 4, 8)  # evaluations of the velocity at which a flow is judged, beside all of them
SOLVE = 2**34  # numbers that the bracket's solve may read: some seconds
TOLERANCE = 0.1  # of its marginal error: its lower end errs by the square


def flows_in(mu: Pushforward) -> list[FlowMap]:
    """The flows that a model is made of: its map, or a prior on its codes.

    Example:
        >>> from ot_gen import MLP, standard_gaussian
        >>> flows_in(Pushforward(MLP(2, 2), standard_gaussian(2)))
        []
    """
    return [part for part in mu.modules() if isinstance(part, FlowMap)]


def judge_flow(
    record: RunRecord, trained: Pushforward, mu: Pushforward, solver: Solver, data: Dataset, judging: Judging
) -> RunRecord:
    """The record with what is known of the model's flow; as it is where the model has none.

    Args:
        record: with the judgement of `mu`.
        trained: the model as it was trained, in the coordinates of `data`.
        mu: the model that is judged, in the data's own units.
        solver: that trained it.
        data: as it was trained on.
        judging: how.
    """
    flows = flows_in(mu)
    if not flows:
        return record
    few = []
    for number in at_few(mu):
        judged = judge_model(RunRecord(Status.RUNNING), mu, data.own, replace(judging, certificate=None))
        few.append(RecordedEvaluations(number, judged.judgement, judged.metrics))
    flow = RecordedFlow(flows[0].evaluations or 0, tuple(few))
    if isinstance(trained.map, FlowMap):
        worth = price(SquaredEuclidean(), data.units).factor
        with undisturbed(trained):
            torch.manual_seed(judging.seed)
            energies = trained.map.path_energy(trained.base.sample(judging.samples))
        bracket = bracket_of(trained, solver, data, judging.seed)
        flow = replace(
            flow,
            path_energy=worth * float(energies.mean()),
            path_energy_se=worth * float(energies.std() / len(energies) ** 0.5),
            w2_squared_lower=None if bracket is None else worth * bracket.lower,
            w2_squared_upper=None if bracket is None else worth * bracket.upper,
        )
    return replace(record, flow=flow)


def at_few(mu: Pushforward) -> Iterator[int]:
    """1, 2, 4 and 8 in turn, as far as they are fewer than the flow's own; meanwhile it takes so many evaluations.

    Example:
        >>> from ot_gen import DenseVelocity, standard_gaussian
        >>> flow = FlowMap(DenseVelocity(2, width=8), steps=2)
        >>> [(number, flow.evaluations) for number in at_few(Pushforward(flow, standard_gaussian(2)))]
        [(1, 1), (2, 2)]
    """
    own = flows_in(mu)[0].evaluations
    for number in FEW:
        if own is None or number < own:
            with evaluations(mu, number):
                yield number


def bracket_of(trained: Pushforward, solver: Solver, data: Dataset, seed: int) -> Bracket | None:
    """A bracket of W₂²(ζ, ν) in the coordinates of training: the pairing's own, or one that is solved now.

    None where the data have no atoms, or too many or too wide ones for a solve of some seconds.
    """
    coupling: Any = solver.xi
    if isinstance(cost_of_points(solver.cost), SquaredEuclidean) and isinstance(coupling, VelocityRegression):
        known: Bracket | None = coupling.pairing.bracket
        if known is not None:
            return known
    nu = data.train
    if not isinstance(nu, Empirical):
        return None
    samples = min(2**20, SOLVE // nu.rows.numel())
    if samples < 32 * len(nu):
        return None
    with undisturbed(trained):
        torch.manual_seed(seed)
        solution = semidiscrete(trained.base, nu, SquaredEuclidean(), tol=TOLERANCE, max_samples=samples)
    return solution.bracket


def samples_at_few(mu: Pushforward, n: int, seed: int) -> dict[str, Tensor]:
    """n samples of a flow from the same latent points, at few evaluations and at all of them, by a picture's words."""
    made = {}
    for number in at_few(mu):
        made[f"{number} evaluation{'s' if number > 1 else ''}"] = _sample(mu, n, seed)
    own = flows_in(mu)[0].evaluations
    made["adaptive" if own is None else f"{own} evaluations"] = _sample(mu, n, seed)
    return made


def flow_paths(law: Pushforward, z: Tensor) -> Tensor | None:
    """The paths of points z of ζ under a law that is the image of ζ by a flow, in its own units; None of other laws.

    Args:
        law: a model, or the prior of a model.
        z: points of its ζ, (n, k), with their classes as last column where there are any.

    Returns:
        (steps + 1, n, d), from z on.

    Example:
        >>> from ot_gen import MLP, standard_gaussian
        >>> flow_paths(Pushforward(MLP(2, 2), standard_gaussian(2)), torch.zeros(3, 2)) is None
        True
    """
    flow, units = law.map, None
    while isinstance(flow, Placed | Unlabelled | WithLabel):
        units = flow.units if isinstance(flow, Placed) else units
        flow = flow.map
    if not isinstance(flow, FlowMap):
        return None
    paths = flow.trajectory(z)[..., : z.shape[1] - flow.keeps_label]
    return paths if units is None else units(paths)


def plane_paths(mu: Pushforward, n: int, seed: int) -> Tensor | None:
    """The paths of n points of ζ under a flow of the plane, (steps + 1, n, 2), in the data's own units; else None."""
    if mu.dim != 2:
        return None
    with undisturbed(mu):
        torch.manual_seed(seed)
        return flow_paths(mu, mu.base.sample(n))


def _sample(mu: Pushforward, n: int, seed: int) -> Tensor:
    with undisturbed(mu):
        torch.manual_seed(seed)
        return mu.sample(n)
