"""What `fit` does besides the steps: clipping, schedulers of torch, rows, stopping, the progress bar."""

import math
from functools import partial

import pytest
import torch
from torch.optim import SGD, Adam, lr_scheduler

from ot_gen import (
    MLP,
    Critic,
    DualSolver,
    Empirical,
    Euclidean,
    GradientPenalty,
    Pushforward,
    cli,
    fit,
    standard_gaussian,
)
from ot_gen.execution import ALONE, Descent, MixedPrecision

NU = Empirical(torch.randn(64, 2, generator=torch.Generator().manual_seed(0)) + 2)


def trained(steps=8, inner_steps=2, **options):
    torch.manual_seed(0)
    mu = Pushforward(MLP(2, 2, hidden=(8,)), standard_gaussian(2))
    critic = Critic(MLP(2, 1, hidden=(8,)), GradientPenalty())
    progress = fit(mu, NU, DualSolver(Euclidean(), critic, inner_steps), steps=steps, batch_size=16, **options)
    weights = torch.cat([p.detach().flatten() for part in (mu, critic) for p in part.parameters()])
    return weights, progress


def without_seconds(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(
    ("norms", "expected"), [((1.0, None), (1, 1)), ((1.0, math.inf), (1, 50)), ((None, 2.0), (30, 2))]
)
def test_a_gradient_is_scaled_down_to_its_norm_for_each_side_by_itself(norms, expected, together):
    theta, xi = torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(2))
    factory = partial(SGD, lr=1.0)
    descent = Descent([theta], [xi], factory, None if together else factory, MixedPrecision(), ALONE, *norms)
    direction = torch.tensor([0.6, -0.8])
    loss = 30 * (direction @ theta) + 50 * (direction @ xi)
    descent.step(loss, theta=True, xi=True)
    for parameter, norm in zip((theta, xi), expected, strict=True):
        assert torch.allclose(parameter.detach(), -norm * direction, rtol=1e-5)


def test_a_gradient_that_is_short_is_left_alone_and_a_clipped_training_differs():
    free, _ = trained()
    assert torch.equal(free, trained(clip_norm=1e9)[0])
    assert not torch.equal(free, trained(clip_norm=1e-3)[0])
    assert not torch.equal(free, trained(inner_clip_norm=1e-3)[0])
    with pytest.raises(ValueError, match="clip_norm"):
        trained(clip_norm=0.0)


SCHEDULERS = {
    "step": partial(lr_scheduler.StepLR, step_size=2, gamma=0.5),
    "cosine": partial(lr_scheduler.CosineAnnealingLR, T_max=8),
    "one_cycle": partial(lr_scheduler.OneCycleLR, max_lr=1e-2, total_steps=8),
    "lambda": partial(lr_scheduler.LambdaLR, lr_lambda=lambda step: 1 / (1 + step)),
    "sequence": partial(
        lr_scheduler.SequentialLR,
        schedulers=[partial(lr_scheduler.ConstantLR, factor=0.5), partial(lr_scheduler.ExponentialLR, gamma=0.5)],
        milestones=[3],
    ),
}


@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_of_torch_sets_the_rates_it_would_alone_and_resumes_bit_for_bit(name, tmp_path):
    seen, kept = [], []

    def adam(parameters):
        kept.append(Adam(parameters, lr=1e-3))
        return kept[-1]

    schedule = SCHEDULERS[name]
    noted = lambda progress: seen.append([optimizer.param_groups[0]["lr"] for optimizer in kept])  # noqa: E731
    whole, progress = trained(optimizer=adam, schedule=schedule, callbacks=[noted])
    alone = Adam([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    given = {**schedule.keywords}
    if "schedulers" in given:
        given["schedulers"] = [part(alone) for part in given["schedulers"]]
    scheduler = schedule.func(alone, **given)
    for rates in seen:
        assert rates == pytest.approx([alone.param_groups[0]["lr"]] * 2, rel=1e-12)
        alone.step()
        scheduler.step() if rates is not seen[-1] else None
    path = tmp_path / "checkpoint.safetensors"
    trained(optimizer=adam, schedule=schedule, callbacks=[lambda p: p.step == 5 and p.stop()], checkpoint=path)
    again, rest = trained(optimizer=adam, schedule=schedule, resume=path)
    assert torch.equal(again, whole)
    assert without_seconds(rest.rows) == without_seconds(progress.rows[5:])


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (lr_scheduler.StepLR, "the scheduler cannot be built.*step_size"),
        (partial(lr_scheduler.ReduceLROnPlateau, patience=2), "ReduceLROnPlateau follows a metric"),
        (lambda fraction: -1.0, "finite factor"),
    ],
)
def test_a_scheduler_that_cannot_be_is_refused(schedule, words):
    with pytest.raises(ValueError, match=words):
        trained(schedule=schedule)


def test_the_row_of_a_critic_holds_its_loss_and_its_penalty():
    _, progress = trained()
    assert all(row["penalty"] > 0 for row in progress.rows)
    # By hand, from the same random state: the first step of the critic alone.
    torch.manual_seed(0)
    mu = Pushforward(MLP(2, 2, hidden=(8,)), standard_gaussian(2))
    solver = DualSolver(Euclidean(), Critic(MLP(2, 1, hidden=(8,)), GradientPenalty()), 1)
    value, penalty = solver(mu, NU, 16)
    first = trained(steps=1, inner_steps=1)[1].rows[0]
    assert first["penalty"] == pytest.approx(penalty.item(), rel=1e-5)
    assert first["inner_loss"] == pytest.approx((penalty - value).item(), rel=1e-5)


def test_a_callback_that_stops_loses_nothing(tmp_path):
    def stop(progress):
        if progress.step == 5:
            progress.stop("far enough")

    path = tmp_path / "checkpoint.safetensors"
    weights, progress = trained(callbacks=[stop], checkpoint=path)
    assert (progress.step, progress.steps, len(progress.rows), progress.stopped) == (5, 8, 5, "far enough")
    assert "far enough" in repr(progress)
    assert torch.equal(weights, trained(steps=5)[0])
    assert torch.equal(trained(resume=path)[0], trained()[0])


def test_a_progress_bar_is_shown_where_it_is_asked_for_and_changes_nothing(capsys):
    weights, _ = trained(progress=True)
    shown = capsys.readouterr().err
    assert "8/8" in shown and "value" in shown
    assert torch.equal(weights, trained()[0])
    assert capsys.readouterr().err == ""


def test_the_command_line_clips_and_takes_schedulers_of_torch(load):
    scheduler = ("trainer.schedule._target_=torch.optim.lr_scheduler.StepLR", "+trainer.schedule.step_size=1")
    cfg, found = load("eight_gaussians", "solver=primal/exact_plan", "trainer.clip_norm=0.5", *scheduler)
    made = cli.assembled(cfg, found, seed=0)
    assert made.trainer["clip_norm"] == 0.5
    progress = fit(made.mu, found.train, made.solver, **made.trainer | {"steps": 2, "batch_size": 16})
    assert progress.step == 2
    cfg, found = load("eight_gaussians", "+trainer.progress=true")
    with pytest.raises(ValueError, match="no setting progress"):
        cli.assembled(cfg, found, seed=0)
