"""Networks in half the bits: near the result in float32, and everything outside of them in full."""

import pytest
import torch
from entries import composed
from test_contracts import SOLVERS, parts
from torch import nn

from ot_gen import (
    MLP,
    DiscretePotential,
    DualSolver,
    Empirical,
    MixedPrecision,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    exact_plan,
    fit,
    linear_decay,
    standard_gaussian,
    wasserstein,
)
from ot_gen.cli import build
from ot_gen.execution import Doors, networks

ATOMS, BATCH = 64, 16


def trained(dtype, solver, steps=200):
    torch.manual_seed(0)
    angle = torch.arange(256) * (torch.pi / 128)
    nu = Empirical(torch.stack([angle.cos(), angle.sin()], dim=1))
    mu = Pushforward(MLP(2, 2, hidden=(64, 64)), standard_gaussian(2))
    fit(mu, nu, solver, steps=steps, batch_size=64, schedule=linear_decay, precision=MixedPrecision(dtype))
    torch.manual_seed(1)
    return float(wasserstein(mu.sample(256), nu.atoms, SquaredEuclidean())), mu


@pytest.mark.slow
@pytest.mark.parametrize(
    "solver",
    [
        lambda: PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan)),
        lambda: DualSolver(SquaredEuclidean(), DiscretePotential(20.0), inner_steps=2, warmup_steps=20),
    ],
    ids=["primal", "dual"],
)
def test_bf16_learns_a_circle_as_well_as_float32(solver):
    w_full, _ = trained(torch.float32, solver())
    w_half, mu = trained(torch.bfloat16, solver())
    assert w_full < 0.1
    assert abs(w_half - w_full) < 0.03
    assert all(p.dtype == torch.float32 for p in mu.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_trains_in_bf16_with_values_near_those_in_float32(solver):
    cfg = composed("data=eight_gaussians", f"solver={solver}")
    whole = build(cfg.data)

    def first_value(precision):
        mu, part, trainer = parts(cfg, whole)
        part.warmup_steps = 0
        trainer |= {"steps": 2, "batch_size": BATCH, "precision": precision}
        return fit(mu, Empirical(whole.train.atoms[:ATOMS]), part, **trainer).rows[0]["value"]

    full, half = first_value(MixedPrecision()), first_value(MixedPrecision(torch.bfloat16))
    assert half == pytest.approx(full, rel=0.1, abs=0.05)


def test_a_lowered_network_gives_back_the_dtype_it_got_and_computes_in_its_own():
    net = nn.Linear(64, 1)
    x = torch.randn(8, 64)
    exact = net(x)
    with Doors(([net], MixedPrecision(torch.bfloat16).lower)):
        rounded = net(x)
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).abs().max() < 0.05
    assert torch.equal(net(x), exact)


def test_costs_potentials_and_means_are_no_networks():
    solver = DualSolver(SquaredEuclidean(), DiscretePotential())
    assert networks(solver) == []


def test_fp16_scales_its_losses_resumes_and_leaves_out_steps_that_overflow(tmp_path):
    def train(seed, steps, **options):
        torch.manual_seed(seed)
        mu = Pushforward(MLP(2, 2, hidden=(16,)), standard_gaussian(2))
        solver = PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan))
        nu = Empirical(torch.randn(64, 2, generator=torch.Generator().manual_seed(0)))
        fit(mu, nu, solver, steps=steps, batch_size=16, precision=MixedPrecision(torch.float16), **options)
        return torch.cat([p.flatten() for p in mu.parameters()])

    file = tmp_path / "checkpoint.safetensors"
    whole = train(0, 12)
    train(0, 6, checkpoint=file)
    assert torch.equal(train(9, 12, resume=file), whole)
    assert not torch.equal(train(0, 0), whole)


def test_other_dtypes_are_refused():
    with pytest.raises(ValueError, match=r"bfloat16 or torch\.float16, got torch\.float64"):
        MixedPrecision(torch.float64)


def test_callbacks_see_the_networks_in_full_precision():
    mu = Pushforward(MLP(2, 2, hidden=(8,)), standard_gaussian(2))
    z = torch.randn(4, 2)
    seen = []

    def look(progress):
        with torch.no_grad():
            seen.append(torch.equal(mu(z), mu.map.layers(z)))

    solver = PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan))
    fit(
        mu,
        Empirical(torch.randn(8, 2)),
        solver,
        steps=2,
        batch_size=4,
        callbacks=[look],
        precision=MixedPrecision(torch.bfloat16),
    )
    assert seen == [True, True]
