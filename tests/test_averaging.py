"""The moving average of the weights: its recursion, and that it is what is kept, judged and sampled."""

import pytest
import torch
from torch import nn

import ot_gen
from ot_gen import (
    Critic,
    DualSolver,
    Empirical,
    Euclidean,
    GradientPenalty,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    exact_plan,
    fit,
    standard_gaussian,
)
from ot_gen.execution import WeightAverage, load_weights
from ot_gen.training import Interrupted

SOLVERS = {
    "plan": lambda: PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan)),
    "critic": lambda: DualSolver(
        Euclidean(), Critic(nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)), GradientPenalty()), 2, 2
    ),
}
DECAY = 0.7
NU = Empirical(torch.randn(64, 2, generator=torch.Generator().manual_seed(0)) + 3)


def trained(solver, steps=12, average=DECAY, seed=0, **options):
    torch.manual_seed(seed)
    mu = Pushforward(nn.Linear(2, 2), standard_gaussian(2))
    made = SOLVERS[solver]()
    progress = fit(mu, NU, made, steps=steps, batch_size=8, average=average, **options)
    return mu, made, progress


def weights(module):
    return torch.cat([torch.zeros(0), *(p.detach().flatten() for p in module.parameters())])


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_model_ends_at_the_recursion_of_the_weights_that_moved(solver):
    moved = []

    def note(progress):
        moved.append(weights(mu))

    torch.manual_seed(0)
    mu = Pushforward(nn.Linear(2, 2), standard_gaussian(2))
    mean = weights(mu)
    alone = fit(mu, NU, SOLVERS[solver](), steps=12, batch_size=8, callbacks=[note])
    rest = 2 if solver == "critic" else 0  # steps in which θ does not move
    for t, theta in enumerate(moved[rest:], start=1):
        beta = min(DECAY, t / (t + 9))
        mean = beta * mean + (1 - beta) * theta
    averaged, _, progress = trained(solver)
    assert torch.allclose(weights(averaged), mean, atol=1e-6)
    assert not torch.allclose(mean, moved[-1], atol=1e-4)
    rows, others = ([{k: v for k, v in row.items() if k != "seconds"} for row in p.rows] for p in (progress, alone))
    assert rows == others  # ξ and the losses met the weights that move


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_resumed_average_is_that_of_no_interruption_bit_for_bit(solver, tmp_path):
    file = tmp_path / "kept.safetensors"
    whole, xi, _ = trained(solver, checkpoint=tmp_path / "whole.safetensors")
    trained(solver, steps=7, checkpoint=file)
    resumed, again, _ = trained(solver, seed=1, checkpoint=file, resume=file)
    assert torch.equal(weights(resumed), weights(whole)) and torch.equal(weights(again), weights(xi))


def test_the_average_is_what_the_checkpoint_calls_the_model_and_callbacks_see(tmp_path):
    file, seen = tmp_path / "kept.safetensors", []

    def stop(progress):
        seen.append(weights(mu))
        if progress.step == 5:
            raise KeyboardInterrupt

    torch.manual_seed(0)
    mu = Pushforward(nn.Linear(2, 2), standard_gaussian(2))
    with pytest.raises(Interrupted):
        fit(mu, NU, SOLVERS["plan"](), batch_size=8, average=DECAY, checkpoint=file, callbacks=[stop])
    loaded = Pushforward(nn.Linear(2, 2), standard_gaussian(2))
    load_weights(file, loaded)
    assert torch.equal(weights(loaded), seen[-1]) and torch.equal(weights(mu), seen[-1])
    assert torch.equal(weights(trained("plan", steps=5)[0]), seen[-1])


def test_no_average_and_a_memory_of_nothing_are_the_last_weights():
    assert torch.equal(weights(trained("plan", average=None)[0]), weights(trained("plan", average=0.0)[0]))


def test_a_checkpoint_of_a_training_without_an_average_is_refused(tmp_path):
    file = tmp_path / "kept.safetensors"
    trained("plan", steps=3, average=None, checkpoint=file)
    with pytest.raises(ValueError, match="average"):
        trained("plan", resume=file)


def test_a_model_without_parameters_has_no_average():
    torch.manual_seed(0)
    assert fit(standard_gaussian(2), NU, SOLVERS["critic"](), steps=2, batch_size=8, average=0.9).step == 2


@pytest.mark.parametrize("average", [1.0, -0.1, float("nan"), "0.9", True])
def test_what_is_no_decay_is_refused(average):
    with pytest.raises(ValueError, match="average"):
        trained("plan", average=average)


def test_an_average_keeps_the_moving_weights_while_the_model_shows_it():
    net = nn.Linear(3, 3)
    net.bias.requires_grad_(False)
    average = WeightAverage(net.parameters(), 0.5)
    with average.moving():
        net.weight.data += 1
        average.update()
        theta = net.weight.detach().clone()
        with average.shown():
            assert torch.allclose(net.weight, theta - 0.1)
        assert torch.equal(net.weight, theta)
    assert torch.allclose(net.weight, theta - 0.1) and torch.equal(average.get_buffer("weight0"), theta)
    assert set(average.state_dict()) == {"weight0", "steps"}


@pytest.mark.usefixtures("clean_process", "undrawn")
def test_a_run_is_judged_and_sampled_with_its_average(command):
    words = ("data=two_moons", "solver=primal/exact_plan", "trainer=smoke", "trainer.average=0.95", "metrics=none")
    assert command(*words, "evaluation.samples=50", "data.size=64", "data.test_size=64", "hydra.run.dir=run")[0] == 0
    loaded = ot_gen.load_run("run")
    judged = ot_gen.judge(loaded.mu, loaded.data.train, loaded.data.test, n=50)
    assert judged.w1 == loaded.record.judgement.w1
    assert command(*words, "evaluation.samples=50", "data.size=64", "data.test_size=64", "trainer.average=1")[0] == 2
