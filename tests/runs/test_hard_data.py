"""What cannot be measured is null with its reason, and costs a trained model nothing else that can."""

import json
import math

import pytest
import torch
from recorded import experiment, record_run

from ot_gen import (
    KL,
    Empirical,
    EncoderCoupling,
    Euclidean,
    GaussianEncoder,
    NotConverged,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    standard_gaussian,
)
from ot_gen.data import Dataset
from ot_gen.evaluation import EXACT, Memorisation, Metrics, Precision, View, certify, transports
from ot_gen.report.compare import write_comparison
from ot_gen.runs import judging as judging_module
from ot_gen.runs.judging import Judging, judge_model, judge_run, metric_table
from ot_gen.runs.parts import Status
from ot_gen.runs.record import RUN, RunRecord, read_record, write_record

SIZES = {"samples": 12, "seed": 0}
METRICS = Metrics({"points": View(EXACT | {"precision": Precision()})}, Memorisation())


@pytest.fixture
def integers():
    """Points of a small grid: each held-out point is also a training point."""
    grid = torch.cartesian_prod(torch.arange(2.0), torch.arange(2.0))
    return Dataset(Empirical(grid.repeat(9, 1)), Empirical(grid.repeat(3, 1)))


@pytest.fixture
def mu():
    return Pushforward(torch.nn.Linear(2, 2), standard_gaussian(2))


def written(folder, record):
    """run.json of the record, after a check that it is read back as it is."""
    write_record(folder, record)
    assert read_record(folder) == record
    return json.loads((folder / RUN).read_text())


def test_where_the_data_are_copies_memorisation_alone_is_null(tmp_path, mu, integers):
    record = judge_model(RunRecord(Status.FINISHED), mu, integers, Judging(SIZES, METRICS))
    facts = written(tmp_path / ".", record)
    assert facts["metrics"]["memorisation"] is None and facts["metrics"]["precision"]["value"] >= 0
    assert "all held-out points are training points" in facts["metrics_failed"]["memorisation"]
    assert facts["judgement"]["w1"] > 0
    assert "memorisation: not computed, all held-out points" in metric_table(record)
    assert "metrics.memorisation.value" not in record.figures()


@pytest.mark.parametrize("metrics", [METRICS, None, Metrics({"points": View({"precision": Precision()})})])
def test_without_w1_the_other_figures_stand(metrics, tmp_path, mu, integers, monkeypatch):
    solve, count = transports.exact_plan, iter(range(99))

    def failing(C):
        if next(count) == 0:
            raise NotConverged("the gap stays open")
        return solve(C)

    monkeypatch.setattr(transports, "exact_plan", failing)
    record = judge_model(RunRecord(Status.FINISHED), mu, integers, Judging(SIZES, metrics))
    facts = written(tmp_path, record)
    assert "judgement" not in facts and record.n == 12
    assert facts["metrics"]["w1"] is None and facts["metrics_failed"]["w1"] == "the gap stays open"
    assert record.measured("w1") is None and record.measured("w2_squared").value > 0
    assert "the gap stays open" in write_comparison(tmp_path, tmp_path).read_text()


def test_an_encoder_or_a_certificate_without_figures_costs_no_others(tmp_path, mu, integers, monkeypatch):
    def failing(*_, **__):
        raise NotConverged("the codes are too far apart")

    monkeypatch.setattr(judging_module, "judge_encoder", failing)
    solver = PrimalSolver(SquaredEuclidean(), EncoderCoupling(GaussianEncoder(torch.nn.Linear(2, 4)), KL(), 1.0))
    judging = Judging(SIZES, METRICS, lambda _, nu, reference: certify(reference.atoms, nu, Euclidean()))
    record, _ = judge_run(RunRecord(Status.FINISHED), tmp_path, mu, solver, integers, judging)
    facts = written(tmp_path, record)
    assert record.judgement.w1 > 0 and record.encoder is None and record.certificate is None
    assert set(facts["metrics_failed"]) == {"encoder", "memorisation", "certificate"}
    assert facts["metrics_failed"]["encoder"] == "the codes are too far apart"
    assert "from 36 samples" in facts["metrics_failed"]["certificate"]


@pytest.mark.slow
def test_a_run_on_integers_finishes_with_w1(tmp_path, undrawn):
    table = torch.randint(0, 3, (60, 2))
    (tmp_path / "a.csv").write_text("\n".join(",".join(map(str, row)) for row in table.tolist()))
    made = experiment("solver=primal/exact_plan", "data=points", f"data.path={tmp_path / 'a.csv'}", "trainer=smoke")
    assert math.isfinite(record_run(tmp_path / "run", made))
    record = read_record(tmp_path / "run")
    assert record.status is Status.FINISHED and set(record.metrics_failed) == {"memorisation"}
