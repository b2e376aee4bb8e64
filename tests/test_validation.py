"""A validation every k steps: its figures, the best weights, an early end, and that a resume repeats all of it."""

import math
from functools import partial

import pytest
import torch
from torch.optim import Adam, lr_scheduler

from ot_gen import (
    MLP,
    Critic,
    DualSolver,
    Empirical,
    Euclidean,
    GradientPenalty,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    Validation,
    exact_plan,
    fit,
    load_weights,
    standard_gaussian,
)

NU = Empirical(torch.randn(64, 2, generator=torch.Generator().manual_seed(0)) + 2)
SOLVERS = {
    "critic": lambda: DualSolver(Euclidean(), Critic(MLP(2, 1, hidden=(8,)), GradientPenalty()), inner_steps=2),
    "plan": lambda: PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan)),
}
FAST = partial(Adam, lr=0.1)  # so fast that figures go up and down


class Trained:
    """A training whose model is judged by the distance of its mean from that of the data."""

    def __init__(self, kind="plan", validated=True, steps=12, every=2, metric="gap", patience=None, **options):
        torch.manual_seed(0)
        self.mu = Pushforward(MLP(2, 2, hidden=(8,)), standard_gaussian(2))
        self.solver = SOLVERS[kind]()
        self.seen = []
        judged = Validation(self.measure, every, metric, patience) if validated else None
        options = {"optimizer": FAST, "batch_size": 16} | options
        self.progress = fit(self.mu, NU, self.solver, steps=steps, validation=judged, **options)

    def measure(self):
        torch.manual_seed(7)
        torch.rand(3)
        self.seen.append(self.weights())
        assert not self.mu.training
        return {"gap": (self.mu.sample(64).mean(0) - NU.rows.mean(0)).norm(), "noise": torch.rand(())}

    def weights(self):
        states = (part.state_dict().values() for part in (self.mu, self.solver))
        return torch.cat([value.double().flatten() for values in states for value in values])

    @property
    def figures(self):
        rows = (self.progress.rows, self.progress.validations)
        return [[{name: value for name, value in row.items() if name != "seconds"} for row in part] for part in rows]


@pytest.mark.parametrize("kind", SOLVERS)
@pytest.mark.parametrize("average", [None, 0.7])
def test_the_model_ends_with_the_weights_of_the_best_validation(kind, average):
    run = Trained(kind, average=average)
    rows = run.progress.validations
    assert [row["step"] for row in rows] == [2, 4, 6, 8, 10, 12]
    best = min(range(len(rows)), key=lambda index: rows[index]["gap"])
    assert torch.equal(run.weights(), run.seen[best])
    # What trains is another matter: the steps are those of no validation.
    free = Trained(kind, average=average, validated=False)
    assert run.figures[0] == free.figures[0]
    assert torch.equal(Trained(kind, average=average, metric=None).weights(), free.weights())


@pytest.mark.parametrize("kind", SOLVERS)
@pytest.mark.parametrize("average", [None, 0.7])
@pytest.mark.parametrize("at", [3, 6, 9])
def test_early_stopping_and_the_best_weights_resume_bit_for_bit(kind, average, at, tmp_path):
    options = {"kind": kind, "average": average, "patience": 3, "steps": 40}
    whole = Trained(**options)
    assert whole.progress.stopped == "gap was not better in 3 validations" and 9 < whole.progress.step < 40
    file = tmp_path / "checkpoint.safetensors"
    stop = lambda progress: progress.step == at and progress.stop()  # noqa: E731
    stopped = Trained(**options, callbacks=[stop], checkpoint=file)
    rest = Trained(**options, resume=file)
    assert torch.equal(rest.weights(), whole.weights())
    assert rest.figures == [whole.figures[0][at:], whole.figures[1]]
    assert rest.progress.stopped == whole.progress.stopped
    # The checkpoint holds the best model itself, which is what is sampled.
    load_weights(file, whole.mu)
    assert all(map(torch.equal, whole.mu.state_dict().values(), stopped.mu.state_dict().values()))


def test_a_finished_training_that_goes_on_ends_at_once(tmp_path):
    file = tmp_path / "checkpoint.safetensors"
    whole = Trained(patience=2, steps=40, checkpoint=file)
    again = Trained(patience=2, steps=40, resume=file, checkpoint=file)
    assert again.progress.rows == [] and torch.equal(again.weights(), whole.weights())
    assert Trained(patience=9, steps=40, resume=file).progress.step > whole.progress.step


@pytest.mark.parametrize("metric", ["noise", None])
def test_another_metric_does_not_go_on_from_the_best_of_this_one(metric, tmp_path):
    file = tmp_path / "checkpoint.safetensors"
    Trained(checkpoint=file, steps=4)
    with pytest.raises(ValueError, match=r"resume with|another composition"):
        Trained(metric=metric, resume=file, every=1)


def test_the_highest_figure_may_be_the_best_and_none_is_that_is_not_finite():
    rows = [{"a": math.nan}, {"a": 1.0}, {"a": math.inf}, {"a": 3.0}, {"a": 3.0}]
    low, high = (Validation(dict, 1, "a", 3, higher_is_better=flag) for flag in (False, True))
    assert (low.best(rows), high.best(rows), low.best(rows[:1])) == (1, 3, None)
    assert (low.is_over(rows), high.is_over(rows), low.is_over(rows[:3])) == (True, False, False)
    assert low.is_over([{"a": math.nan}] * 3) and not Validation(dict, 1, "a").is_over(rows * 9)


def test_a_plateau_lowers_the_rates_as_the_metric_says(tmp_path):
    kept, rates = [], []

    def adam(parameters):
        kept.append(Adam(parameters, lr=0.1))
        return kept[-1]

    note = lambda _: rates.append(kept[-1].param_groups[0]["lr"])  # noqa: E731
    plateau = partial(lr_scheduler.ReduceLROnPlateau, patience=0, factor=0.5)
    options = {"schedule": plateau, "optimizer": adam, "steps": 14}
    whole = Trained(**options, callbacks=[note])
    gaps = [row["gap"] for row in whole.progress.validations]
    worse = [not gap < min(gaps[:index]) * (1 - 1e-4) for index, gap in enumerate(gaps) if index]
    assert any(worse[:-1])
    assert rates[-1] == pytest.approx(0.1 * 0.5 ** sum(worse[:-1]))
    file = tmp_path / "checkpoint.safetensors"
    Trained(**options, checkpoint=file, callbacks=[lambda progress: progress.step == 9 and progress.stop()])
    assert torch.equal(Trained(**options, resume=file).weights(), whole.weights())
    with pytest.raises(ValueError, match="no validation names one"):
        Trained(**options, metric=None)


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        (lambda: {"w2": 1.0}, "decides by 'w1', and its figures are w2"),
        (lambda: 3.0, "measure must return numbers by name"),
        (lambda: {"w1": "low"}, "measure must return numbers by name"),
    ],
)
def test_a_measure_that_does_not_fit_is_refused(measure, words):
    mu = Pushforward(MLP(2, 2, hidden=(8,)), standard_gaussian(2))
    with pytest.raises(ValueError, match=words):
        fit(mu, NU, SOLVERS["plan"](), steps=1, batch_size=8, validation=Validation(measure, 1, "w1"))


def test_patience_needs_a_metric():
    with pytest.raises(ValueError, match="patience waits for a better metric"):
        Validation(dict, every=10, patience=3)
