"""Problems of pairs, and the trainings of a flow that several tests start, each quick to import."""

from contextlib import contextmanager
from functools import partial

import pytest
import torch

from ot_gen import (
    DenseVelocity,
    Empirical,
    FlowMap,
    IndependentPairing,
    Measure,
    MixedPrecision,
    PlanPairing,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    TablePairing,
    VelocityRegression,
    exact_plan,
    fit,
    partial_plan,
    sinkhorn_plan,
    standard_gaussian,
)
from ot_gen.semidual.ascent import Ascent, samples_for

PAIRINGS = {
    "independent": IndependentPairing,
    "exact": lambda: PlanPairing(exact_plan, size=24),
    "sinkhorn": lambda: PlanPairing(partial(sinkhorn_plan, epsilon=1.0), size=24),
    "partial": lambda: PlanPairing(partial(partial_plan, mass=0.5), size=24),
    "table": lambda: TablePairing(tol=0.2),
}


class Fixed(Measure):
    """The same n points in the same order in each sample of n: a plan between two of them is known."""

    def __init__(self, points):
        super().__init__()
        self.register_buffer("points", points)
        self.dim = points.shape[1]

    def sample(self, n):
        assert n == len(self.points)
        return self.points


def problem(pairing, d=2, m=60, dtype=torch.float32):
    """A model, data and a solver, the same each time."""
    generator = torch.Generator().manual_seed(1)
    nu = Empirical(2 * torch.randn(m, d, generator=generator, dtype=torch.float64).to(dtype))
    with torch.random.fork_rng():
        torch.manual_seed(2)
        mu = Pushforward(FlowMap(DenseVelocity(d, width=16, depth=2)), standard_gaussian(d)).to(dtype)
    return mu, nu, PrimalSolver(SquaredEuclidean(), VelocityRegression(pairing))


def trained(pairing, steps=6, batch_size=16, m=60, **options):
    """The model, the solver and the progress of a short training."""
    mu, nu, solver = problem(pairing, m=m)
    torch.manual_seed(3)
    return mu, solver, fit(mu, nu, solver, steps=steps, batch_size=batch_size, **options)


def state(mu, solver, progress):
    return torch.cat([t.flatten().double() for module in (mu, solver) for t in module.state_dict().values()])


def losses_in_processes(processes, dtype, lowered):
    """The losses for each pairing, from other random states in each process."""
    torch.set_num_threads(1)
    rows = {}
    for name, make in PAIRINGS.items():
        mu, nu, solver = problem(make(), dtype=dtype)
        torch.manual_seed(3 + processes.rank)
        precision = MixedPrecision(torch.bfloat16) if lowered else None
        progress = fit(mu, nu, solver, steps=4, batch_size=16, processes=processes, precision=precision)
        rows[name] = [row["value"] for row in progress.rows]
    return rows


@contextmanager
def at_each_step(function):
    """Calls a function at each step of a solve, with the number of the step; the solve tests its table often."""
    step, count = Ascent.step, iter(range(1, 10**6))

    def watched(self, *arguments):
        step(self, *arguments)
        function(next(count))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ascent, "step", watched)
        for module in ("solving", "judge"):
            patch.setattr(f"ot_gen.semidual.{module}.samples_for", lambda tol, atoms: samples_for(tol, atoms) // 8)
        yield


def quiet(step):
    """Nothing happens at a step."""
