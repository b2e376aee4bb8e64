"""Several processes train as one: the gradients, the weights and the cells of a single process, in all of them."""

import json
import multiprocessing
import sys
from functools import partial

import pytest
import torch
from entries import composed
from launched import fail, hang, stop, train_until
from test_contracts import SOLVERS, parts
from torch import nn
from torch.optim import SGD
from torch.optim.optimizer import register_optimizer_step_pre_hook

from ot_gen import (
    MLP,
    Critic,
    DiscretePotential,
    DualSolver,
    Empirical,
    Euclidean,
    GradientPenalty,
    Interrupted,
    Lp,
    PlanCoupling,
    PrimalSolver,
    Processes,
    Pushforward,
    ShardedAtoms,
    SquaredEuclidean,
    c_transform,
    exact_plan,
    fit,
    launch,
    standard_gaussian,
)
from ot_gen.cli import build, main
from ot_gen.execution import is_rowwise, row_maps
from ot_gen.runs.record import read_metrics

ATOMS, BATCH = 64, 16
CASES = [
    *(("eight_gaussians", f"solver={solver}") for solver in SOLVERS),
    *(("digits", "generator=conv", f"solver={name}") for name in ("dual/wgan_gp", "dual/wgan_sn", "dual/semidiscrete")),
    *(("digits", f"solver=primal/{name}") for name in ("vae", "iwae")),
    ("digits", "solver=primal/exact_plan", "cost=features"),
    *(
        ("eight_gaussians", "solver=primal/vae", part)
        for part in (
            "reference=learned_mixture",
            "noise=rbf",
            "noise=pixelwise",
            "encoder=flow",
            "encoder=full_gaussian",
        )
    ),
]
# Where a difference of nearly equal numbers is the gradient, float32 itself is further off than 1e-6.
CANCELLING = ("solver=dual/semidiscrete", "solver=dual/anchors", "solver=dual/batch_critic")
RESUMED = ("dual/semidiscrete", "dual/wgan_sn", "primal/wae_gan", "primal/iwae")
COSTS = (SquaredEuclidean(), Euclidean(), Lp(3.0))


@pytest.fixture
def forked(monkeypatch):
    """Processes fork from one that has imported all, which takes seconds; a sweep below starts them as users do."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["launched", "test_distributed", "torch._dynamo"])
    monkeypatch.setattr("ot_gen.execution.launching.mp.get_context", lambda _: server)


def composition(cfg):
    """Fresh parts of a configuration and a few atoms, the same in every process."""
    whole = build(cfg.data)
    mu, solver, trainer = parts(cfg, whole)
    solver.warmup_steps = 0
    return mu, solver, trainer, whole.train.atoms[:ATOMS]


def gradients_of(processes, cfg, dtype, steps):
    """What the optimizers meet in some steps from different random states, of which that of process 0 counts."""
    mu, solver, _, atoms = composition(cfg)
    seen = []

    def record(optimizer, *_):
        found = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        seen.append(torch.cat([gradient.flatten().double() for gradient in found]))

    sgd = partial(SGD, lr=1e-3)  # Adam would blow the rounding of a gradient that is 0 up to a whole step
    torch.manual_seed(1 + processes.rank)
    handle = register_optimizer_step_pre_hook(record)
    try:
        fit(
            mu.to(dtype),
            Empirical(atoms.to(dtype)),
            solver.to(dtype),
            steps=steps,
            batch_size=BATCH,
            optimizer=sgd,
            inner_optimizer=None if isinstance(solver.xi, DiscretePotential) else sgd,
            processes=processes,
        )
    finally:
        handle.remove()
    return seen


def all_gradients(processes, configurations):
    torch.set_num_threads(1)
    toy = {case: cfg for case, cfg in configurations.items() if len(case) == 2 and case[0] == "eight_gaussians"}
    exact = {case: gradients_of(processes, cfg, torch.float64, 2) for case, cfg in configurations.items()}
    return exact, {case[1]: gradients_of(processes, cfg, torch.float32, 1) for case, cfg in toy.items()}


@pytest.mark.slow
def test_two_processes_meet_the_gradients_of_one_for_every_solver(forked):
    """Both sides, every inner step of two outer ones; in float32 the first, after which rounding has its own life."""
    configurations = {case: composed(f"data={case[0]}", *case[1:]) for case in CASES}
    alone = all_gradients(Processes(), configurations)
    together = launch(all_gradients, configurations, size=2, timeout=30)
    exact, rounded = (
        {case: differences(one[case], two[case]) for case in one} for one, two in zip(alone, together, strict=True)
    )
    assert {case: found for case, found in exact.items() if max(found) > 1e-11} == {}
    assert len(rounded) == len(SOLVERS)
    within = {solver: 5e-5 if solver in CANCELLING else 1e-6 for solver in rounded}
    assert {solver: found[0] for solver, found in rounded.items() if found[0] > within[solver]} == {}


def differences(one, two):
    return [float((a - b).norm() / a.norm()) for a, b in zip(one, two, strict=True)]


def trained(processes, cfg, steps, **options):
    mu, solver, trainer, atoms = composition(cfg)
    trainer |= {"steps": steps, "batch_size": BATCH, "checkpoint_every": 3, "processes": processes}
    torch.manual_seed(5)
    fit(mu, Empirical(atoms), solver, **trainer, **options)
    return torch.cat([tensor.flatten() for module in (mu, solver) for tensor in module.state_dict().values()])


class Killed(Exception):
    pass


def kill(progress):
    if progress.step == 5:
        raise Killed


def several_things(processes, configurations, folder):
    """What several processes do right together: resume, agree, and share the atoms of a c-transform."""
    torch.set_num_threads(1)
    resumed = {}
    for name, cfg in configurations.items():
        file = folder / f"{name.replace('/', '-')}.safetensors"
        whole = trained(processes, cfg, 6)
        with pytest.raises(Killed):
            trained(processes, cfg, 6, checkpoint=file, callbacks=[kill])
        processes.any(True)  # all wait until the file is written
        rest = trained(processes, cfg, 6, resume=file)
        everywhere = processes.stack(whole)
        resumed[name] = torch.equal(whole, rest), bool((everywhere == everywhere[0]).all())
    return resumed, [sharded(processes, cost, epsilon) for cost in COSTS for epsilon in (0.0, 0.3)]


def sharded(processes, cost, epsilon):
    """The c-transform over atoms in unequal parts, and its gradients in x and in this process's potentials."""
    x, y, h_tilde = cloud()
    cut = 700 if processes.size > 1 else len(y)  # the first process has 700 of 1000
    own = slice(0, cut) if processes.rank == 0 else slice(cut, None)
    x.requires_grad_()
    table = h_tilde[own].clone().requires_grad_()
    atoms = ShardedAtoms(processes, y[own])
    assert (atoms.first, atoms.count) == (own.start, len(y))
    h, argmin = atoms.c_transform(cost, x, table, epsilon)
    (h * torch.arange(len(h))).sum().backward()
    masses = torch.zeros(len(y), dtype=y.dtype)
    masses[own] = table.grad
    return h.detach(), argmin, x.grad, processes.sum(masses)


def cloud():
    generator = torch.Generator().manual_seed(3)
    x, y = (torch.randn(n, 5, generator=generator, dtype=torch.float64) for n in (40, 1000))
    return x, y, 0.1 * torch.randn(1000, generator=generator, dtype=torch.float64)


@pytest.mark.slow
def test_processes_resume_bit_for_bit_agree_bit_for_bit_and_share_atoms(forked, tmp_path):
    configurations = {name: composed("data=eight_gaussians", f"solver={name}") for name in RESUMED}
    resumed, transforms = launch(several_things, configurations, tmp_path, size=2, timeout=30)
    assert resumed == {name: (True, True) for name in RESUMED}
    for found, (cost, epsilon) in zip(transforms, [(c, e) for c in COSTS for e in (0.0, 0.3)], strict=True):
        x, y, h_tilde = (tensor.requires_grad_() for tensor in cloud())
        h, argmin = c_transform(cost, x, y.detach(), h_tilde, epsilon)
        (h * torch.arange(len(h))).sum().backward()
        for one, two in zip((h.detach(), argmin, x.grad, h_tilde.grad), found, strict=True):
            assert torch.allclose(one, two, rtol=1e-12, atol=1e-12)
        if epsilon == 0:
            assert torch.equal(argmin, found[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("callback", "error", "message"),
    [
        (stop, Interrupted, "stopped after step 3 of 2000"),  # though one process alone heard the signal
        (fail, ZeroDivisionError, "in the third step"),
        (hang, RuntimeError, "(?i)timed out"),
    ],
)
def test_what_happens_to_one_process_happens_to_all(callback, error, message, forked, tmp_path, monkeypatch):
    monkeypatch.setattr("ot_gen.execution.launching.GRACE", 2.0)
    with pytest.raises(error, match=message) as caught:
        launch(train_until, tmp_path, callback, size=2, timeout=10 if callback is hang else 60)
    assert "in process" in caught.value.__notes__[0]
    assert (tmp_path / "checkpoint.safetensors").exists() == (callback is stop)


@pytest.mark.slow
def test_jobs_of_several_processes_follow_one_another_and_leave_the_record_of_one(
    tmp_path, undrawn, monkeypatch, capfd
):
    """Two jobs of a sweep, on two processes and on one: the same rows, one record each, nothing left behind."""
    sizes = ("trainer.steps=6", "trainer.batch_size=16", "evaluation.samples=40", "data.size=64", "data.test_size=64")
    folders = (f"hydra.sweep.dir={tmp_path}", "hydra.sweep.subdir=${trainer.processes}")
    settings = ("trainer=ddp", "trainer.processes=2,1", *sizes, *folders)
    monkeypatch.setattr(sys, "argv", ["ot-gen", "-m", *settings])
    main()
    assert capfd.readouterr().err == ""
    two, one = (read_metrics(tmp_path / size) for size in "21")
    assert len(two) == len(one) == 6
    for a, b in zip(two, one, strict=True):
        assert {k: a[k] for k in a if k != "seconds"} == pytest.approx({k: b[k] for k in b if k != "seconds"}, rel=1e-3)
    assert (tmp_path / "2" / "ot-gen.log").read_text().count("step 6 of 6") == 1
    assert json.loads((tmp_path / "2" / "run.json").read_text())["status"] == "finished"


def test_one_process_shares_nothing_and_changes_nothing():
    alone = Processes()
    x = torch.randn(4, 2)
    assert alone.share(torch.neg) is torch.neg
    assert torch.equal(alone.stack(x), x[None])
    assert torch.equal(alone.sum(x), x)
    assert alone.any(True)
    assert not alone.any(False)


@pytest.mark.parametrize(("rank", "size"), [(2, 2), (-1, 2), (0, 0)])
def test_ranks_beyond_the_size_are_refused(rank, size):
    with pytest.raises(ValueError, match=r"does not exist|rank must be .* >= 0|size must be .* >= 1"):
        Processes(rank, size)


@pytest.mark.parametrize("size", [0, 1.5, "two"])
def test_a_launch_needs_a_whole_number_of_processes(size):
    with pytest.raises(ValueError, match=r"size must be a whole number >= 1, got"):
        launch(repr, size=size)


def test_a_launch_refuses_a_device_that_is_not_there():
    with pytest.raises(ValueError, match="device=abacus is not available here"):
        launch(repr, size=2, device="abacus")


def test_a_batch_that_cannot_be_shared_out_is_refused_with_one_that_can():
    mu = Pushforward(nn.Linear(2, 2), standard_gaussian(2))
    solver = PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan))
    with pytest.raises(ValueError, match=r"3 processes share each batch .* take batch_size=18"):
        fit(mu, Empirical(torch.randn(64, 2)), solver, batch_size=16, processes=Processes(0, 3))


def test_what_couples_rows_is_no_map_of_rows_and_its_layers_are():
    coupling = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
    assert not is_rowwise(coupling)
    assert not is_rowwise(nn.Dropout())
    assert not is_rowwise(nn.Flatten(0))
    assert not is_rowwise(MLP(2, 8, output=nn.BatchNorm1d(8)))
    assert row_maps(coupling) == [coupling[0], coupling[3]]


def test_a_part_of_one_map_that_stands_elsewhere_too_is_no_map_by_itself():
    body = MLP(2)
    whole = nn.Sequential(body, nn.Linear(128, 1))
    assert row_maps(nn.ModuleDict({"a": body, "b": whole})) == [whole]
    solver = DualSolver(Euclidean(), Critic(whole, GradientPenalty()))
    assert row_maps(solver) == [whole]
