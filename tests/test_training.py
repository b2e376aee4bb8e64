import math
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from ot_gen import (
    MLP,
    Critic,
    DiracEncoder,
    DiscretePotential,
    DualSolver,
    Empirical,
    EncoderCoupling,
    Euclidean,
    GaussianEncoder,
    GradientPenalty,
    Interrupted,
    NonFiniteLoss,
    OneSidedPenalty,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    SlicedWasserstein,
    SquaredEuclidean,
    c_transform,
    data,
    exact_plan,
    fit,
    judge,
    linear_decay,
    load_weights,
    standard_gaussian,
)


def toy():
    return data.toy(data.eight_gaussians(), size=200, test_size=200)


def model():
    return Pushforward(MLP(2, 2, hidden=(16,)), standard_gaussian(2))


def solver(name="critic"):
    return {
        "plan": lambda: PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan)),
        "encoder": lambda: PrimalSolver(
            SquaredEuclidean(), EncoderCoupling(DiracEncoder(MLP(2, 2, hidden=(16,))), SlicedWasserstein(), 1.0)
        ),
        "critic": lambda: DualSolver(Euclidean(), Critic(MLP(2, 1, hidden=(16,)), GradientPenalty()), inner_steps=2),
        "table": lambda: DualSolver(SquaredEuclidean(), DiscretePotential(5), inner_steps=2, warmup_steps=3),
    }[name]()


KINDS = pytest.mark.parametrize("kind", ["plan", "encoder", "critic", "table"])


def weights(*modules):
    return torch.cat([value.flatten().double() for module in modules for value in module.state_dict().values()])


def train(kind, **options):
    torch.manual_seed(0)
    mu, xi = model(), solver(kind)
    progress = fit(mu, toy().train, xi, **{"steps": 8, "batch_size": 16} | options)
    return mu, xi, progress


def without_seconds(progress):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in progress.rows]


@KINDS
def test_one_seed_gives_one_result(kind):
    first, second = train(kind), train(kind)
    assert torch.equal(weights(*first[:2]), weights(*second[:2]))
    assert without_seconds(first[2]) == without_seconds(second[2])


@KINDS
def test_resuming_equals_not_stopping(kind, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    whole = train(kind)
    train(kind, steps=5, checkpoint=path)
    torch.manual_seed(123)  # whatever the random state at the resume, the checkpoint's is restored
    mu, xi = model(), solver(kind)
    progress = fit(mu, toy().train, xi, steps=8, batch_size=16, resume=path)
    assert torch.equal(weights(mu, xi), weights(*whole[:2]))
    assert without_seconds(progress) == without_seconds(whole[2])[5:]
    assert progress.images == whole[2].images


@KINDS
def test_evaluation_does_not_disturb_training(kind):
    held = toy()
    torch.manual_seed(0)
    mu, xi = model(), solver(kind)
    fit(mu, held.train, xi, steps=8, batch_size=16, callbacks=[lambda _: judge(mu, held.train, held.test, n=20)])
    assert torch.equal(weights(mu, xi), weights(*train(kind)[:2]))
    assert mu.training


def test_schedules_scale_the_learning_rates_and_survive_a_resume(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    seen = []

    def adam(parameters):
        seen.append(torch.optim.Adam(parameters, lr=1e-2))
        return seen[-1]

    def stop(progress):
        if progress.step == 5:
            signal.raise_signal(signal.SIGINT)

    options = {"optimizer": adam, "schedule": linear_decay}
    whole = train("critic", **options)
    assert seen[0].param_groups[0]["lr"] == pytest.approx(1e-2 * linear_decay(7 / 8))
    with pytest.raises(Interrupted):
        train("critic", callbacks=[stop], checkpoint=path, **options)
    assert torch.equal(weights(*train("critic", resume=path, **options)[:2]), weights(*whole[:2]))


def test_theta_rests_during_the_warm_up():
    torch.manual_seed(0)
    mu, xi = model(), solver("table")
    before = weights(mu)
    fit(mu, toy().train, xi, steps=3, batch_size=16)
    assert torch.equal(before, weights(mu))
    assert xi.potential.h_tilde.std().item() > 0
    fit(mu, toy().train, xi, steps=4, batch_size=16)
    assert not torch.equal(before, weights(mu))


def test_a_model_without_parameters_trains_the_potential_alone():
    p, q = Empirical(torch.randn(300, 2)), Empirical(torch.randn(300, 2) + torch.tensor([2.0, 0.0]))
    xi = DualSolver(Euclidean(), Critic(MLP(2, 1, hidden=(32,)), GradientPenalty()), inner_steps=5)
    progress = fit(p, q, xi, steps=150, batch_size=64)
    assert sum(row["value"] for row in progress.rows[-20:]) / 20 == pytest.approx(2.0, abs=0.35)


@pytest.mark.slow
def test_the_table_knows_when_its_cells_have_the_right_mass():
    mu, nu = Empirical(torch.randn(500, 2)), Empirical(torch.randn(50, 2) + 1)
    xi = DualSolver(SquaredEuclidean(), DiscretePotential(3), inner_steps=10)
    errors = [row["cell_mass_error"] for row in fit(mu, nu, xi, steps=60, batch_size=50).rows]
    counts = torch.bincount(c_transform(xi.cost, mu.atoms, nu.atoms, xi.potential.h_tilde)[1], minlength=50)
    assert float((50 * (counts / 500 - 1 / 50).square()).sum()) < 1
    assert abs(errors[-1]) < 0.7
    lost = DiscretePotential(3)
    lost.bind(mu, nu, SquaredEuclidean())
    with torch.no_grad():
        lost.h_tilde[0] += 100  # one atom takes everything: Σ (p − b)² / b = m − 1
    for _ in range(300):
        lost(mu.sample(50))
    assert lost.diagnostics()["cell_mass_error"] == pytest.approx(49, rel=0.02)


@pytest.mark.slow
def test_semidiscrete_training_does_not_collapse_to_nearest_neighbours():
    held = data.toy(data.eight_gaussians(), size=400, test_size=400)
    mu = Pushforward(MLP(2, 2, hidden=(64, 64)), standard_gaussian(2))
    xi = DualSolver(SquaredEuclidean(), DiscretePotential(20), inner_steps=5, warmup_steps=20)
    fit(mu, held.train, xi, steps=250, batch_size=128)
    centres = data.eight_gaussians().law.component_distribution.mean
    nearest = torch.cdist(mu.sample(2000), centres).argmin(1)
    shares = torch.bincount(nearest, minlength=8) / 2000
    assert float(shares.min()) > 0.05


# --- checkpoints


def test_a_checkpoint_is_safetensors_and_gives_its_weights_back(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    mu, _, _ = train("critic", checkpoint=path)
    with safe_open(path, framework="pt") as file:
        names = file.keys()
    assert any(name.startswith("mu.map.") for name in names)
    fresh = model()
    load_weights(path, fresh)
    assert torch.equal(weights(mu), weights(fresh))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind_of_path", [str, Path])
def test_a_checkpoint_is_named_by_a_str_or_a_path(tmp_path, kind_of_path):
    path = tmp_path / "made" / "for" / "it.safetensors"  # its folder is made
    whole = train("plan")
    train("plan", steps=5, checkpoint=kind_of_path(path))
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    resumed = train("plan", resume=kind_of_path(path))
    assert torch.equal(weights(*resumed[:2]), weights(*whole[:2]))


def test_a_run_folder_stands_for_its_checkpoint(tmp_path):
    train("plan", steps=5, checkpoint=tmp_path / "checkpoint.safetensors")
    assert torch.equal(weights(*train("plan", resume=str(tmp_path))[:2]), weights(*train("plan")[:2]))


@pytest.mark.parametrize("option", ["checkpoint", "resume"])
def test_places_of_checkpoints_that_cannot_be_are_refused_before_the_first_step(tmp_path, option):
    steps = []
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "file" / "x.safetensors", 3, b"x"):
        with pytest.raises(ValueError, match=f"checkpoint|{option} must be a path"):
            train("plan", callbacks=[steps.append], **{option: place})
    assert steps == []


@pytest.mark.parametrize("other", ["plan", "encoder", "table"])
def test_a_checkpoint_of_another_composition_is_refused(tmp_path, other):
    path = tmp_path / "checkpoint.safetensors"
    train("critic", checkpoint=path)
    with pytest.raises(ValueError, match="checkpoint of another composition"):
        train(other, resume=path)


def test_a_checkpoint_of_another_size_is_refused(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    train("plan", checkpoint=path)
    wide = Pushforward(MLP(2, 2, hidden=(32,)), standard_gaussian(2))
    with pytest.raises(ValueError, match=r"mu\.map\.layers\.0\.weight has shape \(16, 2\) in the file and \(32, 2\)"):
        fit(wide, toy().train, solver("plan"), steps=9, batch_size=16, resume=path)


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", None])
def test_damaged_or_missing_checkpoints_are_named(tmp_path, content):
    path = tmp_path / "checkpoint.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=str(path)):
        train("plan", resume=path)


def test_a_truncated_checkpoint_is_named(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    train("plan", checkpoint=path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="damaged"):
        train("plan", resume=path)


# --- stops


@KINDS
def test_a_loss_that_becomes_nan_stops_and_keeps_the_checkpoint(kind, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    kept = []

    torch.manual_seed(0)
    mu, xi = model(), solver(kind)

    def poison(progress):
        if progress.step == 5:
            kept.append(path.read_bytes())
            with torch.no_grad():
                next(mu.parameters()).fill_(float("nan"))

    with pytest.raises((NonFiniteLoss, ValueError), match=r"step 6|NaN") as caught:
        fit(mu, toy().train, xi, steps=8, batch_size=16, callbacks=[poison], checkpoint=path, checkpoint_every=2)
    assert path.read_bytes() == kept[0]
    if isinstance(caught.value, NonFiniteLoss):
        assert type(xi).__name__ in str(caught.value) and str(path) in str(caught.value)


def test_nan_weights_are_never_written(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    mu, xi = model(), solver("plan")

    def poison(progress):
        with torch.no_grad():
            next(mu.parameters()).fill_(float("nan"))

    with pytest.raises(ValueError, match="refused to write"):
        fit(mu, toy().train, xi, steps=1, batch_size=16, callbacks=[poison], checkpoint=path)
    assert not path.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_between_two_steps_with_a_checkpoint(tmp_path, number):
    path = tmp_path / "checkpoint.safetensors"
    before = signal.getsignal(number)

    def interrupt(progress):
        if progress.step == 3:
            signal.raise_signal(number)

    with pytest.raises(Interrupted, match="stopped after step 3 of 8"):
        train("encoder", checkpoint=path, callbacks=[interrupt])
    assert signal.getsignal(number) is before
    resumed = train("encoder", resume=path)
    assert torch.equal(weights(*resumed[:2]), weights(*train("encoder")[:2]))


def test_fit_works_outside_the_main_thread():
    results = []
    thread = threading.Thread(target=lambda: results.append(train("plan")[2].step))
    thread.start()
    thread.join()
    assert results == [8]


# --- sizes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 201}, "batch_size 201 is larger than the data, 200 atoms"),
        ({"batch_size": 1}, "batch_size must be a whole number"),
        ({"steps": -1}, "steps must be a whole number >= 0"),
        ({"checkpoint_every": 0}, "checkpoint_every must be a whole number >= 1"),
    ],
)
def test_sizes_that_make_no_sense_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        train("plan", **options)


WRONG = {
    "precision": (torch.bfloat16, "precision must be a MixedPrecision, got a dtype"),
    "processes": (2, "processes must be a Processes, got an int"),
    "callbacks": (len, "callbacks must be a list"),
    "schedule": (0.5, "schedule must be a function"),
    "optimizer": (lambda parameters: None, "an optimizer is made of parameters.*got None"),
    "inner_optimizer": (torch.optim.LBFGS, "LBFGS does not train here"),
    "steps": (True, "steps must be a whole number"),
}


@pytest.mark.parametrize("name", WRONG)
def test_arguments_of_another_kind_are_named(name):
    value, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        train("critic", **{name: value})


@pytest.mark.parametrize("schedule", [lambda fraction: None, lambda fraction: math.nan, nn.Linear(1, 1)])
def test_a_schedule_takes_a_fraction_and_returns_a_factor(schedule):
    with pytest.raises(ValueError, match=r"a schedule (takes the fraction|returns a finite factor)"):
        train("plan", schedule=schedule)


def test_counts_of_numpy_are_counts():
    assert fit(model(), toy().train, solver("plan"), steps=np.int64(2), batch_size=np.int32(8)).step == 2


def test_model_and_data_in_the_wrong_order_are_named():
    with pytest.raises(ValueError, match="nu has parameters, which are not trained"):
        fit(toy().train, model(), solver("critic"), steps=1)


@pytest.mark.parametrize(("inner", "warmup"), [(0, 0), (1, -1)])
def test_a_dual_solver_moves_xi_before_theta(inner, warmup):
    with pytest.raises(ValueError, match=r"inner_steps must be .* >= 1|warmup_steps must be .* >= 0"):
        DualSolver(Euclidean(), DiscretePotential(), inner_steps=inner, warmup_steps=warmup)


def test_networks_of_the_wrong_shape_are_named():
    with pytest.raises(ValueError, match="2k values"):
        GaussianEncoder(nn.Linear(2, 3))(torch.zeros(1, 2))


def test_equal_costs_leave_the_table_finite():
    mu, nu = Empirical(torch.zeros(2, 1)), Empirical(torch.tensor([[-4.0], [4.0]]))  # every cost is 16: no scale for ε
    xi = DualSolver(SquaredEuclidean(), DiscretePotential(2), inner_steps=5)
    fit(mu, nu, xi, steps=20, batch_size=2)
    assert bool(torch.isfinite(xi.potential.h_tilde).all())
    assert xi.potential.epsilon.item() > 0


def test_natural_descent_fills_an_empty_cell_by_epsilon_a_step():
    from ot_gen.potentials import NaturalDescent

    nu = Empirical(torch.tensor([[0.0], [1.0]]), torch.tensor([0.25, 0.75]))
    h = DiscretePotential(1.5)
    h.bind(nu, nu, SquaredEuclidean())
    before = h.h_tilde.detach().clone()
    h.h_tilde.grad = torch.tensor([0.75, -0.75])  # P − b where the first cell takes everything
    NaturalDescent([h.h_tilde], h).step()
    assert torch.allclose(h.h_tilde.detach() - before, float(h.epsilon) * torch.tensor([-3.0, 1.0]))


def test_preparing_changes_no_buffer_of_the_networks():
    net = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
    mu = Pushforward(net, standard_gaussian(2))
    xi = solver("encoder")
    before = weights(mu, xi)
    xi.prepare(mu, toy().train)
    assert torch.equal(before, weights(mu, xi))
    assert mu.training and xi.training


def test_time_ends_a_training_and_drives_its_schedule():
    mu, nu, factors = model(), Empirical(torch.randn(64, 2)), []

    def schedule(fraction):
        factors.append(fraction)
        return 1.0

    progress = fit(mu, nu, solver("plan"), steps=10**6, max_seconds=0.3, batch_size=16, schedule=schedule)
    assert progress.step == len(factors) < 10**6
    assert progress.rows[-2]["seconds"] < 0.3 <= progress.seconds
    assert factors == sorted(factors) and 0.5 < factors[-1] < 1


@pytest.mark.parametrize("seconds", [0, -1.0, math.nan, "1"])
def test_a_time_that_is_none_is_refused(seconds):
    with pytest.raises(ValueError, match="max_seconds must be a number"):
        fit(model(), toy().train, solver("plan"), max_seconds=seconds)


@pytest.mark.parametrize("mechanism", [GradientPenalty(10.0), OneSidedPenalty(10.0)], ids=lambda m: type(m).__name__)
def test_the_penalty_of_a_step_is_the_one_that_the_critic_paid(mechanism):
    """Of θ's own estimate it is 0, which says nothing of the critic."""
    mu, nu = Pushforward(MLP(2, 2, hidden=(8,)), standard_gaussian(2)), Empirical(torch.randn(64, 2) + 5)
    solver = DualSolver(Euclidean(), Critic(MLP(2, 1, hidden=(8,)), mechanism), inner_steps=2, warmup_steps=2)
    paid = []
    real = solver.potential.penalty
    solver.potential.penalty = lambda x, y: paid.append(real(x, y)) or paid[-1]
    rows = fit(mu, nu, solver, steps=5, batch_size=16).rows
    assert [row["penalty"] for row in rows] == [penalty.item() for penalty in paid[1::2]]
    assert isinstance(mechanism, OneSidedPenalty) or all(row["penalty"] > 0 for row in rows)


@KINDS
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_training_is_the_same_under_a_mode_without_gradients(kind, mode):
    ends = []
    for mode_ in (torch.enable_grad, mode):
        torch.manual_seed(0)
        mu, nu, xi = model(), toy().train, solver(kind)
        with mode_():
            fit(mu, nu, xi, steps=3, batch_size=16)
        ends.append(weights(mu, xi))
    assert torch.equal(*ends)


def test_networks_that_no_gradient_passes_are_named():
    with torch.inference_mode():
        mu, nu = model(), toy().train
    with pytest.raises(ValueError, match=r"mu holds tensors that were made under torch\.inference_mode"):
        fit(mu, toy().train, solver(), steps=3, batch_size=16)
    with pytest.raises(ValueError, match=r"nu holds tensors that were made under torch\.inference_mode"):
        fit(model(), nu, solver(), steps=3, batch_size=16)
