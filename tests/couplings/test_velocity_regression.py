"""The regression of a velocity: its minimiser in closed form, its figures, resumed and in several processes."""

import math
import multiprocessing
import shutil
import signal
from functools import partial

import pytest
import torch
from couplings.pairs import PAIRINGS, at_each_step, losses_in_processes, problem, quiet, state, trained
from networks.flows import energy_of_independent, independent, optimal
from torch import nn

from ot_gen import (
    MLP,
    DenseVelocity,
    DualSolver,
    Empirical,
    Euclidean,
    FlowMap,
    IndependentPairing,
    Interrupted,
    Pairing,
    PlanPairing,
    PrimalSolver,
    Processes,
    Pushforward,
    Reference,
    SquaredEuclidean,
    TablePairing,
    VelocityRegression,
    exact_plan,
    fit,
    gaussian_mixture,
    launch,
    semidiscrete,
    standard_gaussian,
)
from ot_gen.execution import inner_file

MEAN, SCALE, D = 1.0, 0.5, 2
W2 = D * (MEAN**2 + (SCALE - 1) ** 2)


class Matched(Pairing):
    """The optimal coupling of N(0, I) and N(m, s²), y = m + s z."""

    def forward(self, zeta, nu, cost, n):
        z = zeta.sample(n)
        return z, MEAN + SCALE * z


def gaussian(mean, scale):
    return Reference(torch.distributions.Independent(torch.distributions.Normal(torch.full((D,), mean), scale), 1))


CLOSED = {  # the pairing, its minimiser, E Var(y − z | x_t) and the path energy
    "independent": (IndependentPairing, independent, D * SCALE * math.pi / 2, D * energy_of_independent(MEAN, SCALE)),
    "optimal": (Matched, optimal, 0.0, W2),
}


def regressed(pairing, v, batches=60, n=500):
    """The values of the regression at a velocity, and the coupling that took them."""
    mu, nu, regression = (
        Pushforward(FlowMap(v), standard_gaussian(D)),
        gaussian(MEAN, SCALE),
        VelocityRegression(pairing),
    )
    return torch.stack([regression(mu, nu, SquaredEuclidean(), n).value for _ in range(batches)]), regression


# --- the minimiser


@pytest.mark.parametrize("name", CLOSED)
def test_at_the_minimiser_value_and_energy_are_those_of_the_closed_form(name):
    pairing, velocity, least, energy = CLOSED[name]
    values, regression = regressed(pairing(), velocity(MEAN, SCALE))
    assert values.mean().item() == pytest.approx(least, abs=4 * values.std().item() / math.sqrt(60) + 1e-10)
    assert regression.diagnostics() == {"path_energy": pytest.approx(energy, rel=0.05)}
    assert energy > W2 - 1e-9 and least + energy == pytest.approx(
        W2 if name == "optimal" else D * (MEAN**2 + 1 + SCALE**2), rel=1e-5
    )  # E|v*|² + E Var = E|y − z|²


@pytest.mark.parametrize("name", CLOSED)
def test_the_minimiser_is_one_in_every_direction(name):
    """d/dε of the value at v* + ε φ is −2 E⟨y − z − v*, φ⟩ = 0, and its second derivative is 2 E‖φ‖²."""
    pairing, velocity, _, _ = CLOSED[name]
    v, phi = velocity(MEAN, SCALE), MLP(D, D, (16,))

    class Moved(nn.Module):
        def __init__(self):
            super().__init__()
            self.epsilon = nn.Parameter(torch.zeros(()))

        def forward(self, t, x):
            return v(t, x) + self.epsilon * (phi(x) + t[:, None] * x.sin()).detach()

    moved = Moved()
    values, _ = regressed(pairing(), moved)
    slopes = torch.stack([torch.autograd.grad(value, moved.epsilon, retain_graph=True)[0] for value in values])
    assert abs(slopes.mean()) <= 4 * slopes.std() / math.sqrt(len(slopes)) + 1e-6
    with torch.no_grad():
        moved.epsilon.fill_(1.0)
    assert regressed(pairing(), moved)[0].mean() > values.mean() + 0.05


def test_a_trained_flow_of_the_exact_coupling_on_the_line_is_the_monotone_map():
    nu = Empirical(1 + 0.5 * standard_gaussian(1).sample(2000))
    z = torch.linspace(-1.5, 1.5, 31)[:, None]
    error = {}
    for name, pairing in (("plan", PlanPairing(exact_plan, 64)), ("independent", IndependentPairing())):
        mu = Pushforward(FlowMap(DenseVelocity(1, width=32, depth=2), 1, "euler"), standard_gaussian(1))
        fit(mu, nu, PrimalSolver(SquaredEuclidean(), VelocityRegression(pairing)), steps=300, batch_size=64)
        with torch.no_grad():
            error[name] = (mu.map(z) - (nu.atoms.mean() + nu.atoms.std() * z)).abs().mean()
    assert error["plan"] < 0.2 and error["independent"] > 0.25  # whose one step leads to the mean of ν


def test_the_times_of_a_batch_are_an_even_grid_that_is_shifted_and_shuffled():
    times = []

    class Watched(nn.Module):
        def forward(self, t, x):
            times.append(t)
            return x

    regressed(IndependentPairing(), Watched(), batches=400, n=10)
    times = torch.stack([t for t in times if len(t) == 10])  # others are the model's trial of its map
    assert bool(((times >= 0) & (times < 1)).all())
    torch.testing.assert_close(times.sort(dim=1).values.diff(), torch.full((400, 9), 0.1))
    first = times[:, 0]
    assert abs(first.mean() - 0.5) < 4 / math.sqrt(12 * 400) and abs(first.var() - 1 / 12) < 0.02


# --- figures


def test_the_path_energy_is_a_weighted_mean_that_a_first_step_fills():
    _, regression = regressed(Matched(), optimal(MEAN, SCALE), batches=1)
    once = regression.diagnostics()["path_energy"]
    assert once == pytest.approx(W2, rel=0.2)
    regression.bind(
        Pushforward(FlowMap(DenseVelocity(D)), standard_gaussian(D)), gaussian(0.0, 1.0), SquaredEuclidean()
    )
    assert regression.diagnostics() == {}


@pytest.mark.slow
def test_the_normalised_energy_is_told_where_the_pairing_knows_w2():
    _, solver, progress = trained(TablePairing(tol=0.2))
    row, lower = progress.rows[-1], solver.coupling.pairing.bracket.lower
    assert row["normalised_path_energy"] == pytest.approx(abs(row["path_energy"] - lower) / lower)
    assert 0 < row["pair_marginal_error"] < 0.2 and row["penalty"] == 0
    mu, nu, _ = problem(TablePairing(tol=0.2))
    of_another_cost = PrimalSolver(Euclidean(), VelocityRegression(TablePairing(tol=0.2)))
    assert "normalised_path_energy" not in fit(mu, nu, of_another_cost, steps=1, batch_size=8).rows[0]
    assert isinstance(of_another_cost.priced, SquaredEuclidean)


# --- what is refused


def test_a_model_whose_map_is_no_flow_is_named():
    solver = PrimalSolver(SquaredEuclidean(), VelocityRegression(IndependentPairing()))
    nu = Empirical(torch.randn(20, 2))
    for mu, got in (
        (Pushforward(MLP(2, 2), standard_gaussian(2)), "a Pushforward of MLP"),
        (standard_gaussian(2), "Reference"),
        (Pushforward(nn.Sequential(FlowMap(DenseVelocity(2))), standard_gaussian(2)), "a Pushforward of Sequential"),
    ):
        with pytest.raises(ValueError, match=f"velocity of a flow, got {got}; make the model Pushforward"):
            fit(mu, nu, solver, steps=1, batch_size=8)


def test_problems_that_do_not_fit_are_named_before_the_first_step():
    mu, nu, solver = problem(IndependentPairing())
    with pytest.raises(ValueError, match="dimension 2 and the data in dimension 3"):
        fit(mu, Empirical(torch.randn(20, 3)), solver, steps=1, batch_size=8)
    with pytest.raises(ValueError, match="needs the atoms of an Empirical"):
        fit(mu, gaussian_mixture(torch.eye(2), 0.1), problem(TablePairing())[2], steps=1, batch_size=8)
    labelled = Pushforward(nn.Identity(), standard_gaussian(2))
    labelled.map = FlowMap(DenseVelocity(2, width=4, classes=3))
    with pytest.raises(ValueError, match="needs labels"):
        fit(labelled, nu, solver, steps=1, batch_size=8)
    with pytest.raises(ValueError, match="velocity must be a"):
        FlowMap(lambda t, x: x)
    with pytest.raises(ValueError, match="pairing must be a"):
        VelocityRegression(exact_plan)
    with pytest.raises(ValueError, match="coupling must be a"):
        PrimalSolver(SquaredEuclidean(), IndependentPairing())
    with pytest.raises(ValueError, match="potential must be a"):
        DualSolver(Euclidean(), VelocityRegression(IndependentPairing()))


# --- resumed


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRINGS)
def test_a_training_that_is_resumed_is_the_one_that_was_not_stopped(name, tmp_path):
    make, file = PAIRINGS[name], tmp_path / "checkpoint.safetensors"

    def stop(progress):
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        trained(make(), checkpoint=file, callbacks=[stop])
    assert not inner_file(file).exists()
    assert torch.equal(state(*trained(make(), resume=file)), state(*trained(make())))


def table():
    return TablePairing(tol=0.06)


@pytest.fixture(scope="module")
def whole():
    """The state after a training whose solve nothing stopped, and the number of steps of the solve."""
    numbers = []
    with torch.random.fork_rng(), at_each_step(numbers.append):
        return state(*trained(table())), len(numbers)


def stopped(file, number, at, **options):
    def act(step):
        if step == at:
            signal.raise_signal(number)

    with at_each_step(act), pytest.raises(Interrupted, match="before step 1, while the solver settled"):
        trained(table(), checkpoint=file, **options)


def resumed(file, **options):
    with at_each_step(quiet):
        return state(*trained(table(), resume=file, **options))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
def test_a_solve_that_a_signal_stops_goes_on_bit_for_bit(number, part, whole, tmp_path):
    file, before = tmp_path / "checkpoint.safetensors", signal.getsignal(number)
    stopped(file, number, at=1 + int(part * (whole[1] - 1)))
    assert signal.getsignal(number) is before
    assert file.exists() and inner_file(file).exists()
    assert torch.equal(resumed(file, checkpoint=file), whole[0])
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.slow
def test_a_solve_that_is_killed_goes_on_bit_for_bit_from_its_last_test(whole, tmp_path):
    """Files are written atomically, so a copy of them at any moment is what a kill leaves."""
    file, copies = tmp_path / "run" / "checkpoint.safetensors", tmp_path / "copies"
    copies.mkdir()
    with at_each_step(lambda step: shutil.copytree(file.parent, copies / str(step))):
        trained(table(), checkpoint=file)
    folders = sorted(copies.iterdir(), key=lambda path: int(path.name))
    with_state = [folder for folder in folders if inner_file(folder / file.name).exists()]
    assert len(folders) == whole[1] and 0 < len(with_state) < len(folders)
    for folder in (folders[0], with_state[0], folders[-1]):
        assert torch.equal(resumed(folder), whole[0])


@pytest.mark.slow
def test_a_state_of_another_solve_is_not_taken(whole, tmp_path):
    file, other = tmp_path / "checkpoint.safetensors", tmp_path / "other" / "checkpoint.safetensors"
    stopped(other, signal.SIGINT, at=3, m=50)

    def end(step):
        raise ZeroDivisionError

    shutil.copy(inner_file(other), inner_file(file))
    with pytest.raises(ZeroDivisionError), at_each_step(end):
        trained(table(), checkpoint=file)
    assert not inner_file(file).exists()  # a fresh training took it away
    assert torch.equal(resumed(file), whole[0])
    shutil.copy(inner_file(other), inner_file(file))
    with pytest.raises(ValueError, match="another"):
        resumed(file)
    trained(IndependentPairing(), checkpoint=file)  # one that solves nothing takes it away as well
    assert not inner_file(file).exists()


def test_a_signal_in_the_last_test_of_a_solve_keeps_the_solved_table(whole, monkeypatch, tmp_path):
    file = tmp_path / "checkpoint.safetensors"

    def signalled(*arguments, **options):
        solution = semidiscrete(*arguments, **options)
        signal.raise_signal(signal.SIGTERM)
        return solution

    monkeypatch.setattr("ot_gen.couplings.table_pairing.semidiscrete", signalled)
    with pytest.raises(Interrupted), at_each_step(quiet):
        trained(table(), checkpoint=file)
    assert not inner_file(file).exists()
    monkeypatch.setattr("ot_gen.couplings.table_pairing.semidiscrete", None)  # nothing is left to solve
    assert torch.equal(state(*trained(table(), resume=file)), whole[0])


def test_the_seconds_of_the_solve_count():
    _, _, progress = trained(TablePairing(tol=0.2), steps=0)
    assert progress.seconds > 0
    assert trained(IndependentPairing(), steps=0)[2].seconds == 0


# --- in several processes and in low precision


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one_for_every_pairing(monkeypatch):
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["couplings.pairs"])
    monkeypatch.setattr("ot_gen.execution.launching.mp.get_context", lambda _: server)
    for dtype, lowered, tolerance in ((torch.float64, False, 1e-10), (torch.float32, True, 2e-2)):
        alone = losses_in_processes(Processes(), dtype, lowered)
        together = launch(losses_in_processes, dtype, lowered, size=2, timeout=60)
        for name in PAIRINGS:
            assert together[name] == pytest.approx(alone[name], rel=tolerance), name


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRINGS)
def test_in_bfloat16_the_losses_are_those_of_float32_to_its_rounding(name):
    mine = partial(losses_in_processes, Processes())
    exact, lowered = (mine(torch.float32, flag)[name] for flag in (False, True))
    assert lowered == pytest.approx(exact, rel=0.03) and lowered != exact
