"""What the record of a model that generates by class says of its classes."""

from dataclasses import replace

import pytest
import torch
from entries import composed
from torch import nn

from ot_gen import Empirical, Euclidean, Labelled, Pushforward, cli
from ot_gen.data import Dataset
from ot_gen.evaluation import EXACT, Metrics, View, digit_classes, wasserstein
from ot_gen.evaluation.metrics import draws
from ot_gen.evaluation.transports import FrechetDistance
from ot_gen.measures import Unlabelled
from ot_gen.runs.classes import class_table, judge_classes
from ot_gen.runs.judging import Judging
from ot_gen.runs.parts import RecordedClasses, RecordedMetric, Status
from ot_gen.runs.record import RunRecord, read_record, write_record

BLANK = RunRecord(Status.RUNNING)
MIDDLES = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])  # so near that no classifier is always right


def data(n=900, scale=1.0):
    labels = torch.arange(n) % 3
    points = (MIDDLES[labels] + torch.randn(n, 2, generator=torch.Generator().manual_seed(0))) * scale
    return Dataset.split(points, 0.5, labels=labels)


def of_class(measure, labels, k):
    return Empirical(measure.atoms[labels == k])


def model(parts):
    shares = torch.ones(3) / 3
    return Pushforward(Unlabelled(nn.Identity()), Labelled(parts, shares)).eval()


def perfect(given):
    """The law of the held-out points, class by class."""
    return model([of_class(given.test, given.test_labels, k) for k in range(3)])


def judging(samples=400, **more):
    return Judging({"samples": samples, "seed": 0}, Metrics({"points": View(EXACT)}, **more))


def test_the_accuracy_of_real_data_is_the_floor():
    given = data()
    record = judge_classes(BLANK, perfect(given), given, judging())
    found = record.metrics["class_accuracy"]
    assert abs(found.value - found.floor) < 4 * (found.se**2 + found.floor_se**2) ** 0.5
    assert 0.6 < found.floor < 0.9 and record.classes.judge == "5 nearest training points"
    assert sum(record.classes.n) == len(given.test)


def test_a_model_that_ignores_its_class_is_right_by_chance():
    given = data(1500)
    found = judge_classes(BLANK, model(given.test), given, judging(300)).metrics["class_accuracy"]
    assert abs(found.value - 1 / 3) < 4 * found.se < 0.1 < found.floor - found.value


@pytest.mark.parametrize("samples", [30, 1000])
def test_the_accuracy_of_all_is_that_of_the_classes_weighted_by_their_shares(samples):
    given = data()
    record = judge_classes(BLANK, perfect(given), given, judging(samples))
    counts = given.test_labels.bincount()
    assert record.classes.n == tuple(min(samples, count) for count in counts.tolist())
    rows, shares = record.classes.metrics["class_accuracy"], (counts / counts.sum()).tolist()
    for figure in ("value", "floor"):
        whole = sum(p * getattr(row, figure) for p, row in zip(shares, rows, strict=True))
        assert getattr(record.metrics["class_accuracy"], figure) == pytest.approx(whole)


def test_the_distance_of_a_class_is_between_draws_of_it_and_held_out_points_of_it():
    given = data(300)
    mu = perfect(given)
    record = judge_classes(BLANK, mu, given, judging(40))
    for k, row in enumerate(record.classes.metrics["w1"]):
        train, test = (
            of_class(*side, k) for side in ((given.train, given.train_labels), (given.test, given.test_labels))
        )
        drawn = draws(mu.given(k), train, test, 40, k)
        assert row.value == pytest.approx(wasserstein(drawn.fake, drawn.held_out, Euclidean()))
        assert row.floor == pytest.approx(wasserstein(drawn.real, drawn.held_out, Euclidean()))


def test_the_figures_know_no_other_units_and_change_nothing():
    given, scaled = data(300), data(300, 1e3)
    state = torch.get_rng_state()
    first, second = (judge_classes(BLANK, perfect(of), of, judging()) for of in (given, scaled))
    assert torch.equal(torch.get_rng_state(), state)
    assert first.metrics["class_accuracy"] == second.metrics["class_accuracy"]
    for one, other in zip(first.classes.metrics["w1"], second.classes.metrics["w1"], strict=True):
        assert other.value == pytest.approx(1e3 * one.value, rel=1e-5)
        assert other.floor_se == pytest.approx(1e3 * one.floor_se, rel=0.1)  # potentials are not unique


def test_the_metrics_name_the_classifier_and_the_features():
    given = data(300)
    features = View({"fd": FrechetDistance(), **{f"{name}_too": metric for name, metric in EXACT.items()}}, torch.exp)
    found = judge_classes(
        BLANK,
        perfect(given),
        given,
        Judging({"samples": 40, "seed": 0}, Metrics({"features": features}, classifier=_never)),
    )
    assert found.classes.judge == "_never" and set(found.classes.metrics) == {"class_accuracy", "w1", "fd"}
    assert found.metrics["class_accuracy"].value == found.metrics["class_accuracy"].floor == 0
    assert cli.build(composed("data=mnist").metrics.classifier).func is digit_classes


def _never(y):
    return torch.full((len(y),), -1)


def test_a_class_without_held_out_points_is_left_out():
    given = data(300)
    few = given.test_labels != 2
    given = replace(given, test=Empirical(given.test.atoms[few]), test_labels=given.test_labels[few])
    shares = torch.ones(3) / 3
    whole = Pushforward(Unlabelled(nn.Identity()), Labelled(given.train, shares)).eval()
    record = judge_classes(BLANK, whole, given, judging())
    assert record.classes.n[2] == 0 and [rows[2] for rows in record.classes.metrics.values()] == [None, None]
    assert record.metrics["class_accuracy"].floor > 0.6
    assert class_table(record).splitlines()[-1].split() == ["2", "0", "–", "–"]


class Broken(nn.Module):
    """Finite for few points alone, as a model is that diverges somewhere."""

    def forward(self, rows):
        return rows[:, :-1] * (1.0 if len(rows) < 3 else float("nan"))


def test_a_model_that_diverged_has_no_figures_and_a_reason():
    given = data(300)
    broken = Pushforward(Broken(), Labelled(given.train, torch.ones(3) / 3)).eval()
    record = judge_classes(BLANK, broken, given, judging())
    assert record.metrics["class_accuracy"] is None and record.metrics_failed["class_accuracy"].startswith("class 0: ")
    assert record.classes.n == (0, 0, 0)


def test_without_classes_or_metrics_the_record_stays_as_it_is():
    given = data(300)
    assert judge_classes(BLANK, Pushforward(nn.Identity(), given.train), given, judging()) is BLANK
    for none in (None, Metrics({})):
        assert judge_classes(BLANK, perfect(given), given, Judging({"samples": 40, "seed": 0}, none)) is BLANK


def test_the_record_of_classes_is_read_as_it_was_written(tmp_path):
    rows = {"class_accuracy": (RecordedMetric(0.5, 0.1, 1.0, 0.1), None), "w1": (None, RecordedMetric(2.0))}
    record = RunRecord(Status.FINISHED, classes=RecordedClasses("a judge", (9, 0), rows))
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    assert not any(name.startswith("classes") for name in record.figures())


@pytest.mark.slow
def test_a_run_with_classes_records_them_and_evaluate_repeats_them(tmp_path, command, clean_process, undrawn):
    small = ("data=two_moons", "data.size=200", "data.test_size=80", "evaluation.samples=30", "generator.hidden=[8]")
    short = ("trainer=smoke", "trainer.steps=4", "trainer.batch_size=16")
    code, _, err = command("solver=primal/exact_plan", *small, *short, "condition=label", "hydra.run.dir=run")
    assert code == 0, err
    record = read_record(tmp_path / "run")
    assert record.classes.n == (30, 30) and record.metrics["class_accuracy"].floor > 0.9
    code, out, _ = command("evaluate", "--run", "run", "--output", "again", "evaluation.samples=30")
    again = read_record(tmp_path / "again")
    assert code == 0 and again.classes == record.classes and again.metrics == record.metrics
    assert "class_accuracy (floor)" in out
