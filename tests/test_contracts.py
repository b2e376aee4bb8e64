"""Every data set and solver of conf/ keep the contract: found by globbing, so that a new entry is covered at once."""

from itertools import product

import numpy as np
import pytest
import torch
from entries import composed, entries
from omegaconf import OmegaConf

from ot_gen import (
    AnchorCritic,
    BatchCritic,
    BrenierPotential,
    Critic,
    DebiasedPlanCoupling,
    DiscretePotential,
    EncoderCoupling,
    ImportanceCoupling,
    MixturePotential,
    PlanCoupling,
    TablePairing,
    VelocityRegression,
    cli,
    fit,
)
from ot_gen.cli import build
from ot_gen.execution import load_weights

BATCH = 16
CELLS = {  # of the README's 2x2 table: class of ξ -> (sense, kind, bound)
    PlanCoupling: (1, "table", "upper"),
    DebiasedPlanCoupling: (1, "table", None),
    EncoderCoupling: (1, "network", None),
    ImportanceCoupling: (1, "network", None),
    VelocityRegression: (1, "flow", None),
    DiscretePotential: (-1, "table", "lower"),
    Critic: (-1, "network", None),
    AnchorCritic: (-1, "network", "lower"),
    BatchCritic: (-1, "network", None),
    BrenierPotential: (-1, "network", None),
    MixturePotential: (-1, "network", None),  # what it bounds is an entropic cost
}
BOUNDS = {  # where an entry's part changes what its class bounds
    "dual/wgan_orthogonal": "lower",  # its mechanism is certain
    "primal/unbalanced_plan": None,
    "primal/partial_plan": None,
}
XI = {
    "primal/exact_plan": PlanCoupling,
    "primal/sinkhorn_plan": PlanCoupling,
    "primal/unbalanced_plan": PlanCoupling,
    "primal/partial_plan": PlanCoupling,
    "primal/sinkhorn_divergence": DebiasedPlanCoupling,
    "primal/debiased_exact_plan": DebiasedPlanCoupling,
    "primal/vae": EncoderCoupling,
    "primal/beta_vae": EncoderCoupling,
    "primal/iwae": ImportanceCoupling,
    "primal/info_vae": EncoderCoupling,
    "primal/wae_mmd": EncoderCoupling,
    "primal/wae_gan": EncoderCoupling,
    "primal/sinkhorn_ae": EncoderCoupling,
    "primal/swae": EncoderCoupling,
    "primal/cwae": EncoderCoupling,
    "primal/ot_ae": EncoderCoupling,
    "primal/debiased_ot_ae": EncoderCoupling,
    "primal/rae": EncoderCoupling,
    "primal/latent_flow": EncoderCoupling,
    **{f"primal/flow_{pairs}": VelocityRegression for pairs in ("independent", "exact", "sinkhorn", "semidiscrete")},
    "dual/semidiscrete": DiscretePotential,
    "dual/wgan_clip": Critic,
    "dual/wgan_gp": Critic,
    "dual/wgan_lp": Critic,
    "dual/wgan_sn": Critic,
    "dual/wgan_orthogonal": Critic,
    "dual/anchors": AnchorCritic,
    "dual/batch_critic": BatchCritic,
    "dual/w2_maxmin": BrenierPotential,
    "dual/w2_icnn": BrenierPotential,
    "dual/light_sb": MixturePotential,
}


def has_warmup(solver):
    return solver.startswith("dual/")


DATA, SOLVERS = entries("data"), entries("solver")
ON_IMAGES = ("primal/vae", "primal/exact_plan", "dual/semidiscrete", "dual/wgan_gp")  # a solver of each cell


def quick(data, solver):
    return data == "eight_gaussians" or (data == "digits" and solver in ON_IMAGES)


COMBINATIONS = [  # all of them work as they are: none is left out, and the fast tests take a toy and some images
    pytest.param(data, solver, marks=() if quick(data, solver) else pytest.mark.slow)
    for data, solver in product(DATA, SOLVERS)
]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Nets this small gain nothing from more threads, and on a busy machine these wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def parts(cfg, data, seed=0):
    made = cli.assembled(cfg, data, seed)
    if isinstance(pairing := getattr(made.solver.xi, "pairing", None), TablePairing):
        pairing.tol, pairing.max_samples = 1.0, 2**14  # its solve has tests of its own
    return made.mu, made.solver, dict(made.trainer)


def step(mu, solver, trainer, data, steps=1, **options):
    solver.warmup_steps = min(solver.warmup_steps, steps - 1)
    return fit(mu, data.train, solver, **trainer | {"steps": steps, "batch_size": BATCH}, **options)


def one_step(cfg, data, **options):
    mu, solver, trainer = parts(cfg, data)
    return mu, solver, step(mu, solver, trainer, data, **options)


def gradients(objective, module):
    parameters = list(module.parameters())
    return torch.autograd.grad(objective, parameters, retain_graph=True, allow_unused=True) if parameters else ()


def assert_all_reached(found, module):
    reached = dict(zip((name for name, _ in module.named_parameters()), found, strict=True))
    assert [name for name, gradient in reached.items() if gradient is None] == []
    assert all(bool(torch.isfinite(gradient).all()) for gradient in found)
    if found:
        assert any(bool(gradient.any()) for gradient in found)


def test_the_entries_that_the_project_promises_exist():
    assert set(XI) <= set(SOLVERS)
    assert {"digits", "mnist", "mnist_full", "points", "image_folder", "eight_gaussians"} <= set(DATA)


@pytest.mark.parametrize(("data", "solver"), COMBINATIONS)
def test_every_data_and_solver_take_a_step_that_moves_both_sides_and_reach_every_parameter(data, solver, load):
    cfg, found = load(data, f"solver={solver}")
    text = OmegaConf.to_yaml(cfg, resolve=True)
    assert "???" not in text
    assert "${" not in text
    assert OmegaConf.missing_keys(cfg) == set()

    mu, solver, trainer = parts(cfg, found)
    before = [p.detach().clone() for p in mu.parameters()]
    progress = step(mu, solver, trainer, found)
    (row,) = progress.rows
    assert all(np.isfinite(value) for value in row.values())
    assert any(not torch.equal(old, new) for old, new in zip(before, mu.parameters(), strict=True))
    assert all(bool(torch.isfinite(p).all()) for p in [*mu.parameters(), *solver.parameters()])

    mu.train()
    solver.train()
    value, penalty = solver(mu, found.train, BATCH)
    assert value.shape == penalty.shape == ()
    assert_all_reached(gradients(value, mu), mu)
    assert_all_reached(gradients(solver.sense * value + penalty, solver.xi), solver.xi)
    if penalty.requires_grad:
        assert all(gradient is None for gradient in gradients(penalty, mu))


@pytest.mark.slow
@pytest.mark.parametrize(
    "override",
    [
        f"{group}={entry}"
        for group in ("generator", "cost", "reference")
        for entry in entries(group)
        # A likelihood needs a law p(·|z), which comes with noise=..., a flow the solver that trains its velocity, and
        # codes the run of their encoder: tests/cli/test_code_cost.py.
        if entry not in ("likelihood", "flow", "run_encoder")
    ],
)
def test_every_generator_cost_and_reference_takes_a_step_on_images(override, load):
    cfg, found = load("digits", "solver=primal/exact_plan", override)
    mu, _, progress = one_step(cfg, found)
    assert np.isfinite(progress.rows[0]["value"])
    assert mu.sample(3).shape == (3, found.dim)


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        *[("primal/ot_ae", f"encoder={entry}") for entry in entries("encoder")],
        *[("primal/vae", f"noise={entry}") for entry in entries("noise")],
        *[("primal/iwae", f"noise={entry}") for entry in entries("noise")],
        *[("primal/info_vae", f"encoder={entry}") for entry in ("gaussian", "full_gaussian", "flow")],
        *[("primal/swae", "encoder=sphere", f"reference={entry}") for entry in entries("reference")],
        *[("primal/vae", f"reference={entry}") for entry in ("gaussian", "mixture", "learned_mixture")],
        *[("primal/vae", "encoder=flow", f"reference={entry}") for entry in ("mixture", "learned_mixture")],
    ],
    ids=" ".join,
)
def test_encoders_references_and_noise_are_parts_that_combine(overrides, load):
    cfg, found = load("digits", f"solver={overrides[0]}", *overrides[1:])
    mu, solver, _ = parts(cfg, found)
    solver.prepare(mu, found.train)
    value, penalty = solver(mu, found.train, BATCH)
    assert_all_reached(gradients(value + penalty, solver.xi), solver.xi)
    mu, solver, progress = one_step(cfg, found)
    assert np.isfinite(progress.rows[0]["value"])
    assert mu.sample(3).shape == (3, found.dim)


def test_a_learned_reference_belongs_to_xi_and_moves(load):
    """The penalty trains it: its parameters are ξ's and not θ's too, so that it moves once a step."""
    cfg, found = load("eight_gaussians", "solver=primal/vae", "reference=learned_mixture")
    mu, solver, _ = parts(cfg, found)
    before = [p.detach().clone() for p in mu.base.parameters()]
    sets = []

    def watched(parameters):
        sets.append([id(p) for p in parameters])
        return torch.optim.SGD(parameters, lr=0.1)

    fit(mu, found.train, solver, steps=1, batch_size=BATCH, optimizer=watched, inner_optimizer=watched)
    theta, xi = sets
    assert sorted(theta) == sorted(id(p) for p in mu.map.parameters())
    assert {id(p) for p in mu.base.parameters()} <= set(xi)
    assert all(not torch.equal(old, new) for old, new in zip(before, mu.base.parameters(), strict=True))
    sets.clear()
    fit(mu, found.train, solver, steps=1, batch_size=BATCH, optimizer=watched)
    (joint,) = sets  # both sides always move together: one optimizer, each parameter once
    assert sorted(joint) == sorted(theta + xi)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_solver_entry_lies_in_the_cell_of_the_table_that_its_xi_says(solver, load):
    side = solver.split("/")[0]
    built = parts(*load("eight_gaussians", f"solver={solver}"))[1]
    assert built.sense == {"primal": 1, "dual": -1}[side]
    assert built.xi.kind in ("table", "network", "flow")
    assert built.xi.bound in {"primal": (None, "upper"), "dual": (None, "lower")}[side]
    if solver in XI:
        assert type(built.xi) is XI[solver]
        sense, kind, bound = CELLS[XI[solver]]
        assert (built.sense, built.xi.kind) == (sense, kind)
        assert built.xi.bound == BOUNDS.get(solver, bound)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_solver_entry_brings_a_cost_that_it_can_use(solver):
    cost = build(composed("data=eight_gaussians", f"solver={solver}").cost)
    assert cost.is_metric or XI.get(solver) is not Critic


def figures(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def assert_same_weights(left, right):
    for one, other in zip(left, right, strict=True):
        ours, theirs = one.state_dict(), other.state_dict()
        assert ours.keys() == theirs.keys()
        assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_two_fits_with_one_seed_are_identical(solver, load):
    cfg, found = load("eight_gaussians", f"solver={solver}")
    (mu, xi, first), (mu_again, xi_again, second) = (one_step(cfg, found, steps=4) for _ in range(2))
    assert figures(first.rows) == figures(second.rows)
    assert_same_weights((mu, xi), (mu_again, xi_again))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("solver", "warmup"),
    [(s, 0) for s in SOLVERS]
    + [pytest.param(s, n, marks=pytest.mark.slow) for s in filter(has_warmup, SOLVERS) for n in (2, 5)],
)
def test_a_resumed_fit_equals_an_uninterrupted_one_bit_for_bit(solver, warmup, load, tmp_path):
    """Six steps at once, or a kill in the fifth and a resume from the third, before, within or after the warm-up."""
    cfg, found = load("eight_gaussians", f"solver={solver}")
    file = tmp_path / "checkpoint.safetensors"

    def train(seed, **options):
        mu, xi, trainer = parts(cfg, found, seed)
        xi.warmup_steps = warmup
        trainer |= {"steps": 6, "batch_size": BATCH, "checkpoint_every": 3}
        return mu, xi, fit(mu, found.train, xi, **trainer, **options)

    earlier = []

    def killed(progress):
        earlier[:] = progress.rows
        if progress.step == 5:
            raise ChildProcessError("killed")

    mu, xi, whole = train(seed=0)
    with pytest.raises(ChildProcessError):
        train(seed=0, checkpoint=file, callbacks=[killed])
    torch.rand(17)  # a resume depends on nothing that happened meanwhile
    mu_again, xi_again, rest = train(seed=99, resume=file)
    assert rest.step == whole.step == 6
    assert rest.images == whole.images
    assert figures(earlier[:3] + rest.rows) == figures(whole.rows)
    assert_same_weights((mu, xi), (mu_again, xi_again))


def test_a_checkpoint_gives_its_model_to_another_program(load, tmp_path):
    cfg, found = load("eight_gaussians", "solver=primal/exact_plan")
    mu, _, _ = one_step(cfg, found, checkpoint=tmp_path / "model.safetensors")
    fresh, _, _ = parts(cfg, found, seed=5)
    load_weights(tmp_path / "model.safetensors", fresh)
    assert_same_weights((mu,), (fresh,))
