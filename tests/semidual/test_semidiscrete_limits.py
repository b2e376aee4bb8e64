"""Semi-discrete transport at its limits: odd atoms and samplers, stops and resumes, budgets, bad input."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal

from ot_gen import Cost, Empirical, Euclidean, Pushforward, SquaredEuclidean, standard_gaussian
from ot_gen.costs import InnerProduct
from ot_gen.execution import Ending
from ot_gen.semidual import judge, scores, semidiscrete


def cloud(m, d, dtype=torch.float32):
    return torch.randn(m, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)


pytestmark = pytest.mark.slow


def solved(*arguments, seed=0, **keywords):
    """A solve from a seed of its own."""
    torch.manual_seed(seed)
    return semidiscrete(*arguments, **keywords)


class Constant(Cost):
    """c = 3."""

    def forward(self, x, y):
        return 0 * (x * y).sum(dim=-1) + 3

    def matrix(self, x, y):
        return x.new_full((len(x), len(y)), 3.0)


class Plain:
    """A sampler that is no `Measure`."""

    def __init__(self, sample):
        self.sample = sample


PLANE = Empirical(cloud(30, 2))
GAUSS = standard_gaussian(2)
SQUARES = SquaredEuclidean()


# Atoms


def test_coinciding_atoms_have_one_potential_and_share_their_mass():
    y = torch.cat([PLANE.atoms, PLANE.atoms[:5]])
    b = torch.cat([torch.full((5,), 0.25), torch.full((25,), 1.0), torch.full((5,), 0.75)]) / 30
    once, twice = (solved(GAUSS, nu, SQUARES, tol=0.05) for nu in (PLANE, Empirical(y, b)))
    assert torch.equal(twice.h_tilde[:5], twice.h_tilde[30:])
    assert torch.allclose(twice.h_tilde[:30], once.h_tilde, atol=1e-4)
    assert torch.allclose(twice.masses[30:], 3 * twice.masses[:5])
    assert torch.equal(twice.barycentres[30:], twice.barycentres[:5])
    assert float(twice.masses.sum()) == pytest.approx(1, abs=1e-5)


def test_atoms_that_are_all_equal_leave_nothing_to_choose():
    solution = solved(GAUSS, Empirical(torch.ones(5, 2)), SQUARES, tol=0.01)
    assert solution.converged
    assert solution.h_tilde.tolist() == [0.0] * 5
    assert torch.allclose(solution.masses, torch.full((5,), 0.2))
    assert solution.lower == pytest.approx(4, abs=0.01)
    assert solution.upper == pytest.approx(4, abs=0.01)


@pytest.mark.parametrize("far", [1.0, 100.0])
@pytest.mark.parametrize("cost", [SQUARES, InnerProduct()], ids=lambda cost: type(cost).__name__)
def test_an_atom_without_mass_has_an_empty_cell(cost, far):
    y = torch.cat([torch.full((1, 2), far), PLANE.atoms])
    b = torch.cat([torch.zeros(1), torch.full((30,), 1 / 30)])
    solution = solved(GAUSS, Empirical(y, b), cost, tol=0.1)
    assert solution.converged
    assert bool(torch.isfinite(solution.h_tilde).all())
    assert float(solution.masses[0]) == 0
    assert bool(solution.barycentres[0].isnan().all())
    assert not bool((solution.map(GAUSS.sample(10_000)) == y[0]).all(dim=1).any())


def test_weights_over_six_orders_of_magnitude():
    b = torch.logspace(0, -6, 40)
    solution = solved(GAUSS, Empirical(cloud(40, 2), b / b.sum()), SQUARES, tol=0.05)
    assert solution.converged
    assert solution.marginal_error <= 0.05
    assert bool(torch.isfinite(solution.h_tilde).all())
    assert solution.lower <= solution.upper


@pytest.mark.parametrize("light", [0.5, 0.1, 0.01])
def test_two_atoms_part_a_gaussian_at_a_quantile(light):
    nu = Empirical(torch.tensor([[-1.0], [1.0]]), torch.tensor([1 - light, light]))
    solution = solved(standard_gaussian(1), nu, SQUARES, tol=light / 5)
    assert solution.converged
    boundary = float(solution.h_tilde[0] - solution.h_tilde[1]) / 4  # (x + 1)² − h̃_1 = (x − 1)² − h̃_2
    assert norm.sf(boundary) == pytest.approx(light, rel=0.1)


@pytest.mark.parametrize("far", [100.0, 1000.0])
def test_atoms_far_from_the_samples_are_shared_out(far):
    solution = solved(GAUSS, Empirical(PLANE.atoms + far), SQUARES, tol=0.05)
    assert solution.converged
    assert solution.marginal_error <= 0.05


def test_a_constant_cost_has_its_value_whatever_the_cells():
    solution = solved(GAUSS, PLANE, Constant(), tol=0.05, max_samples=2**15)
    assert solution.lower == pytest.approx(3)
    assert solution.upper == pytest.approx(3)
    assert not solution.converged and solution.ending is Ending.BUDGET
    assert bool(torch.isfinite(solution.h_tilde).all())


def test_double_precision_is_kept(float64):
    nu = Empirical(cloud(10, 2, dtype=torch.float64))
    solution = solved(standard_gaussian(2), nu, SQUARES, tol=0.05)
    assert solution.h_tilde.dtype == solution.masses.dtype == solution.barycentres.dtype == torch.float64
    assert float(nu.weights @ solution.h_tilde) == pytest.approx(0, abs=1e-9)


def test_atoms_may_live_on_disk(tmp_path, monkeypatch, float64):
    mu, nu = standard_gaussian(3), Empirical(cloud(50, 3, dtype=torch.float64))
    kept = solved(mu, nu, SQUARES, tol=0.1)
    np.save(tmp_path / "atoms.npy", nu.atoms.numpy())
    mapped = Empirical(torch.from_numpy(np.load(tmp_path / "atoms.npy", mmap_mode="c")))
    assert torch.equal(solved(mu, mapped, SQUARES, tol=0.1).h_tilde, kept.h_tilde)
    for module in (scores, judge):
        monkeypatch.setattr(module, "KEPT_BYTES", 0)
    monkeypatch.setattr(scores, "PANEL_ATOMS", 16)
    tiled = solved(mu, mapped, SQUARES, tol=0.1)
    assert tiled.barycentres is None
    assert torch.allclose(tiled.h_tilde, kept.h_tilde, atol=1e-6)
    assert tiled.lower == pytest.approx(kept.lower, abs=1e-9)


# Samplers and the random state


def test_a_solve_is_reproducible_and_draws_one_number():
    first, second, third = (solved(GAUSS, PLANE, SQUARES, tol=0.1, seed=seed) for seed in (0, 0, 1))
    after = torch.get_rng_state()
    assert torch.equal(first.h_tilde, second.h_tilde)
    assert first.upper == second.upper
    assert not torch.equal(first.h_tilde, third.h_tilde)
    torch.manual_seed(1)
    torch.randint(2**30, ())
    assert torch.equal(torch.get_rng_state(), after)


def test_a_generator_in_training_is_left_as_it_was():
    net = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    solution = solved(Pushforward(net, GAUSS), PLANE, SQUARES, tol=0.2)
    assert solution.converged
    assert all(part.training for part in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in net.parameters())


@pytest.mark.parametrize(
    "mu",
    [
        Independent(Normal(torch.zeros(2), torch.ones(2)), 1),
        MultivariateNormal(torch.zeros(2), torch.eye(2)),
        Plain(lambda n: torch.randn(n, 2)),
    ],
    ids=["product", "dependent", "plain"],
)
def test_samplers_of_every_kind_give_the_same_value(mu):
    solution, reference = (solved(law, PLANE, SQUARES, tol=0.1) for law in (mu, GAUSS))
    assert solution.converged
    assert abs(solution.lower - reference.lower) < 4 * math.hypot(solution.lower_se, reference.lower_se)


# Starts, stops and resumes


def test_a_solution_is_a_start_that_needs_few_steps():
    cold = solved(GAUSS, PLANE, SQUARES, tol=0.02)
    warm = solved(GAUSS, PLANE, SQUARES, tol=0.05, h_tilde=cold.h_tilde, seed=1)
    assert warm.converged
    assert warm.iterations <= 3


@pytest.mark.parametrize("size", [1.0, 10.0])
def test_a_bad_start_is_left_behind(size):
    solution = solved(GAUSS, PLANE, SQUARES, tol=0.05, h_tilde=size * torch.randn(30), max_samples=2**20)
    assert solution.converged
    assert solution.lower == pytest.approx(solved(GAUSS, PLANE, SQUARES, tol=0.05).lower, abs=0.02)


def raising(error, at):
    def callback(progress):
        if progress.iterations == at:
            raise error

    return callback


@pytest.mark.parametrize(
    ("mu", "at"), [(GAUSS, 1), (GAUSS, 40), (Plain(lambda n: torch.randn(n, 2)), 5)], ids=["first", "late", "plain"]
)
def test_a_solve_that_was_interrupted_goes_on_as_if_it_were_not(tmp_path, mu, at):
    whole = solved(mu, PLANE, SQUARES, tol=0.03)
    assert whole.iterations > 40
    path = tmp_path / "solve.safetensors"
    stop = raising(KeyboardInterrupt, at)
    part = solved(mu, PLANE, SQUARES, tol=0.03, callbacks=[stop], checkpoint=path)
    assert part.ending is Ending.STOPPED and "stopped by the user" in part.message
    assert part.iterations == at
    assert bool(torch.isfinite(part.h_tilde).all())
    resumed = solved(mu, PLANE, SQUARES, tol=0.03, resume=path, seed=7)
    assert torch.equal(resumed.h_tilde, whole.h_tilde)
    for name in ("lower", "marginal_error", "samples", "iterations", "converged", "upper"):
        assert getattr(resumed, name) == getattr(whole, name), name


def test_a_solve_that_failed_goes_on_from_its_last_test(tmp_path):
    def fail(progress):
        if not math.isnan(progress.marginal_error):  # a test has failed, so that a checkpoint stands
            raise RuntimeError("disk full")

    path = tmp_path / "solve.safetensors"
    mu, nu = standard_gaussian(12), Empirical(torch.randn(100, 12))  # random samples: the first test comes early
    whole = solved(mu, nu, Euclidean(), tol=0.05)
    with pytest.raises(RuntimeError, match="disk full"):
        solved(mu, nu, Euclidean(), tol=0.05, callbacks=[fail], checkpoint=path)
    resumed = solved(mu, nu, Euclidean(), tol=0.05, resume=path, seed=7)
    assert torch.equal(resumed.h_tilde, whole.h_tilde)
    assert resumed.upper == whole.upper


def test_a_checkpoint_of_other_atoms_is_refused(tmp_path):
    path = tmp_path / "solve.safetensors"
    solved(GAUSS, PLANE, SQUARES, tol=0.2, checkpoint=path)
    with pytest.raises(ValueError, match="shape"):
        solved(GAUSS, Empirical(PLANE.atoms[:20]), SQUARES, tol=0.2, resume=path)


def test_callbacks_hear_of_every_step():
    heard = []
    solution = solved(GAUSS, PLANE, SQUARES, tol=0.05, callbacks=[heard.append])
    assert [progress.iterations for progress in heard] == list(range(1, solution.iterations + 1))
    assert heard[-1].samples == solution.samples
    assert torch.equal(heard[-1].h_tilde, solution.h_tilde)
    assert math.isnan(heard[0].marginal_error)
    assert heard[-1].epsilon < heard[0].epsilon


# Budgets and bad input


def test_a_tolerance_beyond_the_budget_is_named_with_what_it_takes():
    solution = solved(Plain(GAUSS.sample), PLANE, SQUARES, tol=1e-4, max_samples=2**14)
    assert not solution.converged
    assert "max_samples = 16384 ended; tol = 0.0001 with 30 atoms takes about 3819718636 ind" in solution.message
    assert solution.samples <= 2**15
    assert solution.lower <= solution.upper


def test_time_ends_a_solve():
    solution = solved(Plain(GAUSS.sample), PLANE, SQUARES, tol=1e-4, max_seconds=0.05)
    assert not solution.converged
    assert "max_seconds = 0.05 ended" in solution.message


def sampler(x):
    return Plain(lambda n: x(n))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"h_tilde": torch.zeros(29)}, r"shape \(30,\), one value for each atom, got \(29,\)"),
        ({"h_tilde": torch.full((30,), math.nan)}, "h_tilde holds NaN"),
        ({"h_tilde": torch.zeros(30), "resume": Path("solve.safetensors")}, "two starts of one solve"),
        ({"epsilon": -0.1}, "epsilon must be a number >= 0"),
        ({"epsilon": math.nan}, "epsilon must be a number >= 0"),
        ({"epsilon": math.inf}, "epsilon must be a number >= 0"),
        ({"tol": 0.0}, r"must be a number in \(0, 2\), got 0"),
        ({"tol": 2.0}, r"must be a number in \(0, 2\)"),
        ({"tol": math.nan}, r"must be a number in \(0, 2\), got nan"),
        ({"gap_tol": 0.0}, r"must be a number in \(0, 1\)"),
        ({"gap_tol": 1.0}, r"must be a number in \(0, 1\)"),
        ({"max_samples": 0}, "max_(samples|seconds) must be a"),
        ({"max_seconds": 0.0}, "max_(samples|seconds) must be a"),
        ({"max_seconds": math.nan}, "max_(samples|seconds) must be a"),
        ({"nu": PLANE.atoms}, "an Empirical, got a tensor"),
        ({"mu": object()}, r"needs a method sample\(n\)"),
        ({"mu": Normal(torch.zeros(2), torch.ones(2))}, r"Independent\(law, 1\)"),
        ({"mu": standard_gaussian(3)}, r"shape \(2, 2\), as the atoms have dimension 2; got \(2, 3\)"),
        ({"mu": sampler(lambda n: torch.zeros(n))}, r"dimension 2; got \(2,\)"),
        ({"mu": sampler(lambda n: torch.zeros(n + 1, 2))}, r"got \(3, 2\)"),
        ({"mu": sampler(lambda n: np.zeros((n, 2)))}, "got ndarray"),
        ({"mu": sampler(lambda n: torch.zeros(n, 2).double())}, "float64 samples on cpu and the atoms are .*float32"),
        ({"mu": sampler(lambda n: torch.full((n, 2), math.nan))}, "NaN or Inf in 2 of 2 samples"),
        ({"mu": sampler(lambda n: torch.randn(n, 2).log() if n > 2 else torch.zeros(n, 2))}, "NaN or Inf in"),
    ],
)
def test_bad_input_is_named(changes, message):
    arguments = {"mu": GAUSS, "nu": PLANE, "cost": SQUARES, "tol": 0.1, **changes}
    with pytest.raises(ValueError, match=message):
        semidiscrete(**arguments)


def test_a_progress_bar_shows_on_request(capsys):
    solved(GAUSS, PLANE, SQUARES, tol=0.2, progress=True)
    shown = capsys.readouterr()
    assert "semidiscrete" in shown.err
    assert shown.out == ""
