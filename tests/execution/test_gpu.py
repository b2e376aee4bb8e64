"""On a GPU the library does what it does on the CPU: `make test-gpu`.

Where there is none a pretended device (`elsewhere`) stands in, with a few of the solvers, so that these tests are known
to work. What it cannot do (forward-mode derivatives, autocast, processes) is tried on the CPU instead.
"""

import contextlib
import json
from functools import partial
from pathlib import Path

import pytest
import torch
from elsewhere import pretended
from launched import train_on_device
from test_contracts import BATCH, SOLVERS, parts
from torch import nn

from ot_gen import (
    MLP,
    Empirical,
    Euclidean,
    LatentGeometry,
    Lp,
    MixedPrecision,
    PlanCoupling,
    PrimalSolver,
    Processes,
    Pushforward,
    SquaredEuclidean,
    barycentre,
    c_transform,
    certify,
    exact_plan,
    fit,
    judge,
    launch,
    semidiscrete,
    sinkhorn_plan,
    standard_gaussian,
)
from ot_gen.runs.run import Experiment
from ot_gen.transport import sinkhorn_divergence

GPU = pytest.param("cuda", marks=pytest.mark.gpu)
CELLS = ("primal/exact_plan", "primal/vae", "primal/flow_exact", "dual/semidiscrete", "dual/wgan_gp")
COSTS = (SquaredEuclidean(), Euclidean(), Lp(3.0))


@contextlib.contextmanager
def on(name):
    """The device of a name; "pretended" is there within the context alone."""
    with pretended() if name == "pretended" else contextlib.nullcontext(torch.device(name)) as device:
        yield device


@pytest.fixture(params=["pretended", GPU])
def device(request):
    with on(request.param) as device:
        yield device


def cloud(n, d=3, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "solver"),
    [("pretended", solver) for solver in CELLS]
    + [pytest.param("cuda", solver, marks=pytest.mark.gpu) for solver in SOLVERS],
)
def test_a_solver_trains_resumes_and_is_judged(name, solver, load, tmp_path):
    """A kill in the second of three steps and a resume end where three steps end, to rounding: sums have any order."""
    cfg, data = load("eight_gaussians", f"solver={solver}")
    file = tmp_path / "checkpoint.safetensors"

    def killed(progress):
        if progress.step == 2:
            raise ChildProcessError

    def train(**options):
        mu, part, trainer = parts(cfg, data)
        part.warmup_steps = 0
        Experiment(data, mu, part, {}, None, str(device)).move()
        trainer |= {"steps": 3, "batch_size": BATCH, "checkpoint_every": 1}
        torch.manual_seed(1)
        fit(mu, data.train, part, **trainer, **options)
        return mu

    with on(name) as device:
        mu = train()
        with pytest.raises(ChildProcessError):
            train(checkpoint=file, callbacks=[killed])
        rest = train(resume=file)
        for one, two in zip(mu.parameters(), rest.parameters(), strict=True):
            assert one.device.type == device.type
            assert torch.allclose(one.detach().cpu(), two.detach().cpu(), rtol=1e-3, atol=1e-5)
        assert judge(mu, data.train, data.test, n=32).w1 > 0
        for moved in (data.train, data.test):  # they are shared with other tests
            moved.to("cpu")


def test_a_run_is_recorded(device, command, clean_process, undrawn):
    small = ("trainer=smoke", "trainer.steps=4", "trainer.batch_size=16", "evaluation.samples=40", "data.size=64")
    run = (*small, "data.test_size=64", f"device={device}", "solver=primal/vae", "ex_post=gmm", "hydra.run.dir=run")
    code, _, err = command(*run)
    assert code == 0, err
    told = json.loads(Path("run/run.json").read_text())
    assert told["status"] == "finished" and told["judgement"]["w1"] > 0


@pytest.mark.parametrize("epsilon", [0.0, 0.3])
@pytest.mark.parametrize("cost", COSTS, ids=str)
def test_a_c_transform_is_that_of_the_cpu(cost, epsilon, device):
    x, y, h_tilde = cloud(300), cloud(1000, seed=1), 0.1 * cloud(1000, 1, seed=2)[:, 0]

    def transformed(place):
        points, table = (tensor.clone().to(place).requires_grad_() for tensor in (x, h_tilde))
        value, argmin = c_transform(cost, points, y.to(place), table, epsilon)
        value.sum().backward()
        return [tensor.detach().cpu() for tensor in (value, argmin, points.grad, table.grad)]

    (value, argmin, *here), (other, place, *there) = transformed("cpu"), transformed(device)
    assert torch.allclose(value, other, rtol=1e-5, atol=1e-5)
    at_its_own = cost(x, y[place]) - h_tilde[place]  # two atoms may tie to rounding
    assert torch.allclose(at_its_own, cost(x, y[argmin]) - h_tilde[argmin], rtol=1e-5, atol=1e-5)
    if epsilon or torch.equal(argmin, place):
        assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(here, there, strict=True))


def test_plans_are_those_of_the_cpu(device):
    C = SquaredEuclidean().matrix(cloud(30), cloud(40, seed=1))
    for plan in (exact_plan, partial(sinkhorn_plan, epsilon=0.5)):
        here, there = plan(C), plan(C.to(device))
        assert there.matrix.device.type == there.potentials[0].device.type == device.type
        assert float(here.value) == pytest.approx(float(there.value), rel=1e-5)
    x, y = cloud(30), cloud(40, seed=1)
    of_both = [float(sinkhorn_divergence(x.to(p), y.to(p), epsilon=0.5)) for p in ("cpu", device)]
    assert of_both[0] == pytest.approx(of_both[1], rel=1e-4)


@pytest.mark.slow
def test_a_semidiscrete_solve_and_its_certificate_are_those_of_the_cpu(device):
    nu, cost = Empirical(cloud(10)), Euclidean()
    here = semidiscrete(standard_gaussian(3), nu, cost, tol=0.3)
    mu, there = standard_gaussian(3).to(device), Empirical(nu.atoms.to(device))
    solution = semidiscrete(mu, there, cost, tol=0.3)
    assert here.converged and solution.converged
    assert solution.h_tilde.device == solution.map(mu.sample(5)).device == there.atoms.device
    assert solution.lower == pytest.approx(here.lower, rel=0.05)
    low, high = certify(mu, there, cost, solution.h_tilde, width=0.3, max_samples=2**10).interval
    assert low <= here.upper and here.lower <= high


def test_a_barycentre_is_that_of_the_cpu(device):
    laws = [cloud(20), cloud(20, seed=1) + 2]
    uppers = []
    for place in ("cpu", device):
        torch.manual_seed(0)
        uppers.append(barycentre([Empirical(law.to(place)) for law in laws], None, SquaredEuclidean(), tol=0.1).upper)
    assert uppers[0] == pytest.approx(uppers[1], rel=0.05)


@pytest.mark.parametrize("name", ["cpu", GPU])
def test_geodesics_are_those_of_the_cpu(name):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 16), nn.Softplus(), nn.Linear(16, 3))
    z0, z1 = cloud(4, 2), cloud(4, 2, seed=1)
    here = LatentGeometry(net.double()).geodesic(z0.double(), z1.double())
    there = LatentGeometry(net.float().to(name)).geodesic(z0.to(name), z1.to(name))
    assert there.converged.all() and there.nodes.device.type == name
    assert torch.allclose(there.length.double().cpu(), here.length, rtol=1e-3)


@pytest.mark.parametrize("name", ["cpu", GPU])
def test_networks_in_bf16_are_near_those_in_float32(name):
    def value(dtype):
        torch.manual_seed(0)
        mu = Pushforward(MLP(2, 2, (16,)), standard_gaussian(2)).to(name)
        solver, precision = PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan)), MixedPrecision(dtype)
        rows = fit(mu, Empirical(cloud(64, 2).to(name)), solver, steps=3, batch_size=32, precision=precision).rows
        return rows[-1]["value"]

    assert value(torch.bfloat16) == pytest.approx(value(torch.float32), rel=0.05)


@pytest.mark.gpu
def test_two_processes_each_with_a_gpu_of_its_own_train_as_one():
    """NCCL does what Gloo does in test_processes.py."""
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs: each process has one of its own")
    together = launch(train_on_device, size=2, device="cuda", timeout=60)
    assert torch.allclose(together, train_on_device(Processes(device="cuda")), atol=1e-5)
