"""Joining ξ to its problem: one act, which is idempotent and leaves nothing of the problem before."""

import gc
import shutil
import weakref
from functools import partial
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from safetensors import safe_open
from torch import nn

from ot_gen import (
    KL,
    MLP,
    AnchorCritic,
    BatchCritic,
    BrenierPotential,
    Critic,
    DiscretePotential,
    Displacement,
    DualSolver,
    Empirical,
    EncoderCoupling,
    Euclidean,
    FeatureCost,
    GaussianEncoder,
    GradientPenalty,
    ImportanceCoupling,
    MixturePotential,
    Paraboloid,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    exact_plan,
    fit,
    learned_mixture,
    standard_gaussian,
)
from ot_gen.cli import assembled
from ot_gen.execution import load_weights

RECORDS = Path(__file__).parents[1] / "records"
K, D = 2, 3


def data(n=64):
    return Empirical(torch.randn(n, D))


def model(reference):
    return Pushforward(MLP(K, D, (8,)), reference)


def encoder():
    return GaussianEncoder(MLP(D, 2 * K, (8,)))


COUPLINGS = {
    "encoder": lambda: EncoderCoupling(encoder(), KL(), weight=0.1),
    "importance": lambda: ImportanceCoupling(encoder(), weight=0.1, samples=3),
}


def keys(file):
    with safe_open(file, framework="pt") as opened:
        return {key for key in opened.keys() if key.startswith("solver.")}  # noqa: SIM118


def tensor(file, key):
    with safe_open(file, framework="pt") as opened:
        return opened.get_tensor(key)


@pytest.mark.parametrize("name", COUPLINGS)
def test_a_solver_used_again_trains_and_keeps_only_the_present_models_reference(name, tmp_path):
    solver, nu, file = PrimalSolver(SquaredEuclidean(), COUPLINGS[name]()), data(), tmp_path / "checkpoint.safetensors"
    bare = {f"solver.{key}" for key in solver.state_dict()}
    train = partial(fit, steps=2, batch_size=8, checkpoint=file)

    first, second, fixed = model(learned_mixture(K, 2)), model(learned_mixture(K, 4)), model(standard_gaussian(K))
    train(first, nu, solver)
    of_first = [p.detach().clone() for p in first.parameters()]
    assert keys(file) > bare

    start = [p.detach().clone() for p in second.base.parameters()]
    train(second, nu, solver)
    assert all(torch.equal(old, new) for old, new in zip(of_first, first.parameters(), strict=True))
    assert all(not torch.equal(old, new) for old, new in zip(start, second.base.parameters(), strict=True))
    assert torch.equal(tensor(file, "solver.coupling.reference.family.means"), second.base.family.means)
    of_second = [p.detach().clone() for p in second.parameters()]

    train(fixed, nu, solver)
    assert keys(file) == bare
    ours = {id(p) for p in solver.parameters()}
    assert not ours & {id(p) for earlier in (first, second) for p in earlier.parameters()}
    assert all(torch.equal(old, new) for old, new in zip(of_second, second.parameters(), strict=True))


@pytest.mark.parametrize("name", COUPLINGS)
def test_a_binding_that_is_refused_leaves_the_one_before(name):
    coupling, nu, mu = COUPLINGS[name](), data(), model(learned_mixture(K, 2))
    coupling.bind(mu, nu, SquaredEuclidean())
    with pytest.raises(ValueError, match="dimension, 5"):
        coupling.bind(Pushforward(MLP(5, D), learned_mixture(5, 2)), nu, SquaredEuclidean())
    assert coupling.reference is mu.base


POTENTIALS = {
    "discrete": DiscretePotential,
    "critic": lambda: Critic(MLP(D, 1, (8,)), GradientPenalty()),
    "anchors": lambda: AnchorCritic(4, 0),
    "batch": lambda: BatchCritic(MLP(D, 1, (8,))),
    "w2": lambda: BrenierPotential(Paraboloid(MLP(D, 1, (8,))), Displacement(MLP(D, D, (8,)))),
    "mixture": lambda: MixturePotential(0.5, 4),
}


def problems(cost):
    return [(model(learned_mixture(K, 2)), data(), cost()), (model(standard_gaussian(K)), data(), cost())]


@pytest.mark.parametrize("name", [*COUPLINGS, "plan", *POTENTIALS])
def test_binding_twice_is_binding_once_and_two_solvers_bound_last_to_one_problem_are_alike(name):
    """The second never saw the first problem; what has learned may differ, its names do not."""
    make = COUPLINGS.get(name) or POTENTIALS.get(name) or (lambda: PlanCoupling(exact_plan))
    cost = SquaredEuclidean if name in (*COUPLINGS, "plan", "w2", "mixture") else Euclidean
    earlier, present = problems(cost)
    used, fresh = make(), make()
    used.bind(*earlier)
    used.bind(*present)
    fresh.bind(*present)
    once = {key: value.clone() for key, value in fresh.state_dict().items()}
    parts = [type(part) for part in fresh.modules()]
    fresh.bind(*present)
    assert [type(part) for part in fresh.modules()] == parts == [type(part) for part in used.modules()]
    assert fresh.state_dict().keys() == once.keys() == used.state_dict().keys()
    assert all(torch.equal(value, once[key]) for key, value in fresh.state_dict().items())
    theirs = {id(p) for module in earlier for p in module.parameters()}
    assert not theirs & {id(p) for p in used.parameters()}


@pytest.mark.parametrize("name", ["discrete", "anchors", "batch"])
def test_a_cost_with_parameters_is_no_part_of_the_potential(name):
    cost, potential = FeatureCost(nn.Linear(D, 2), Euclidean(), is_metric=True), POTENTIALS[name]()
    potential.bind(standard_gaussian(D), data(), cost)
    assert not {id(p) for p in cost.parameters()} & {id(p) for p in potential.parameters()}
    solver = DualSolver(cost, potential, 1)
    assert sum(key.endswith("features.weight") for key in solver.state_dict()) == 1


def test_a_plan_keeps_neither_the_floor_nor_the_data_that_it_has_left():
    coupling, cost, seen, floors = PlanCoupling(exact_plan), SquaredEuclidean(), [], []
    for spread in (10.0, 1.0):
        nu = Empirical(spread * torch.randn(32, D))
        seen.append(weakref.ref(nu))
        coupling.bind(nu, nu, cost)
        assert coupling.diagnostics() == {}
        coupling(nu, nu, cost, 8)
        floors.append(coupling.diagnostics()["floor"])
    assert floors[1] < 0.1 * floors[0]
    gc.collect()
    assert seen[0]() is None


@pytest.mark.parametrize("record", ["learned_mixture", "wgan_sn"])
def test_a_run_from_before_loads_and_resumes(record, tmp_path):
    """The first holds its reference under mu and, once more, under the solver; the second a rewritten network."""
    cfg, file = OmegaConf.load(RECORDS / record / "config.yaml"), tmp_path / "checkpoint.safetensors"
    shutil.copy(RECORDS / record / file.name, file)

    made = assembled(cfg)
    made.solver.prepare(made.mu, made.data.train)
    load_weights(file, made.mu)
    load_weights(file, made.solver, "solver")
    assert {f"solver.{key}" for key in made.solver.state_dict()} == keys(file)
    again = assembled(cfg)
    progress = fit(again.mu, again.data.train, again.solver, steps=22, batch_size=32, resume=file)
    assert progress.step == 22 and len(progress.rows) == 2
    assert all(not torch.equal(old, new) for old, new in zip(made.mu.parameters(), again.mu.parameters(), strict=True))
