"""The record of a run: what is written is what is read, in whatever it holds; what is damaged says where."""

import dataclasses
import json
import math
from collections.abc import Mapping
from enum import Enum
from typing import get_args, get_origin

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Independent, Normal

from ot_gen import (
    KL,
    Empirical,
    EncoderCoupling,
    Euclidean,
    GaussianEncoder,
    PrimalSolver,
    Pushforward,
    Reference,
    SquaredEuclidean,
    judge,
    standard_gaussian,
)
from ot_gen.data import Dataset
from ot_gen.evaluation import ExactTransport, Judgement, Metrics, Precision, View, transports
from ot_gen.runs.codec import is_part, kinds, present
from ot_gen.runs.formats import FORMAT
from ot_gen.runs.judging import Judging, judge_model, judge_run
from ot_gen.runs.parts import RecordedMetric, Status
from ot_gen.runs.record import RUN, RunRecord, decoded, read_record, write_record

# --- what is written is what is read ---------------------------------------------------------------------------------


def values(kind, name=""):
    """Random values of a field's type: None, NaN, infinities, any text that a file can hold, and parts of parts."""
    if present(kind) is not kind:
        return st.none() | values(present(kind), name)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is tuple:
        several = inner[-1] is Ellipsis
        return st.lists(values(inner[0]), max_size=2).map(tuple) if several else st.tuples(*map(values, inner))
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(st.text(max_size=8), values(inner[1]), max_size=2)
    if is_part(kind):
        return st.builds(kind, **{field: values(inner, field) for field, inner in kinds(kind).items()})
    if issubclass(kind, Enum):
        return st.sampled_from(kind)
    if name == "level":
        return st.floats(0, 1, exclude_min=True, exclude_max=True)
    simple = {str: st.text(max_size=8), bool: st.booleans(), int: st.integers(-(2**63), 2**63), float: st.floats()}
    return simple[kind]


@pytest.mark.slow
@given(values(RunRecord))
def test_reading_what_was_written_gives_the_record(tmp_path_factory, record):
    folder = tmp_path_factory.getbasetemp()
    write_record(folder, record)
    found = read_record(folder)
    assert repr(found) == repr(record)  # as values: NaN is NaN
    json.loads((folder / RUN).read_text(), parse_constant=pytest.fail)  # and every reader of JSON takes it


def test_every_part_of_a_record_is_frozen_and_every_field_but_the_status_may_be_unknown():
    assert RunRecord(Status.RUNNING) == decoded({"status": "running"})
    for name, kind in kinds(RunRecord).items():
        inner = present(kind)
        part = next((one for one in (inner, *get_args(inner)) if is_part(one)), None)
        assert part is None or issubclass(part, tuple) or part.__dataclass_params__.frozen, name
    with pytest.raises(dataclasses.FrozenInstanceError):
        RunRecord(Status.RUNNING).status = Status.FINISHED


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=3), st.lists), st.data())
def test_no_value_of_any_field_breaks_the_reader(value, data):
    name = data.draw(st.sampled_from(sorted(kinds(RunRecord))))
    try:
        record = decoded({"status": "finished", name: value})
    except ValueError as error:
        assert name in str(error) or "status" in str(error)
    else:
        assert isinstance(record, RunRecord)


# --- formats ---------------------------------------------------------------------------------------------------------


def test_what_a_later_version_adds_is_left_out_and_what_it_changes_is_said():
    later = {"format": FORMAT + 1, "status": "finished", "seed": 3, "colour": "red", "objective": {"value": 1.0}}
    assert decoded(later | {"objective": {"value": 1.0, "penalty": 0.0, "other": 2}}).seed == 3
    with pytest.raises(ValueError, match=rf"objective lacks penalty; it has format {FORMAT + 1}.*upgrade"):
        decoded(later)


ROW = {"value": 2.0, "se": 0.1, "floor": 1.0, "floor_se": 0.2}
JUDGED = {"n": 9, "w1": 2.0, "w1_floor": 1.0, "w2_squared": 5.0, "w2_squared_floor": 4.0}


def test_in_the_first_format_figures_that_stand_twice_become_one_with_its_errors():
    found = decoded({"status": "finished", "judgement": JUDGED, "metrics": {"w1": ROW, "mmd": ROW}})
    assert found.judgement == Judgement(**JUDGED, w1_se=0.1, w1_floor_se=0.2)
    assert found.metrics == {"mmd": RecordedMetric(**ROW)}
    assert found.measured("w1") == found.measured("mmd")


def test_a_metric_that_has_only_the_name_in_common_stays_a_metric():
    other = decoded({"status": "finished", "judgement": JUDGED, "metrics": {"w1": ROW | {"value": 7.0}}})
    assert other.judgement.w1_se is None and other.metrics["w1"].value == 7.0


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "names no status"),
        ({"status": "well"}, "status is 'well'"),
        ({"format": 0}, "format is 0"),
        ({"format": True}, "format is True"),
        ({"seed": 1.5}, "seed is 1.5, not a whole number"),
        ({"seed": True}, "seed is True"),
        ({"seed": 10**400}, "seed is 1000"),
        ({"overrides": ["seed=1", 2]}, "overrides is 2"),
        ({"judgement": {"n": 3}}, "judgement lacks w1, w1_floor, w2_squared, w2_squared_floor"),
        ({"metrics": {"mmd": {"se": 1}}}, "metrics.mmd lacks value"),
        ({"attempts": [{"error": "x"}]}, "attempts lacks status"),
        ({"certificate": {"lower": 1, "upper": 2, "level": 95, "interval": [1, 2]}}, "level is 95"),
    ],
)
def test_a_damaged_record_says_what_is_wrong_with_which_of_its_fields(facts, words):
    with pytest.raises(ValueError) as error:
        decoded({"status": "finished"} | facts if facts else facts)
    assert words in str(error.value)


def test_halves_of_surrogate_pairs_do_not_reach_the_page():
    assert decoded({"status": "failed", "error": "a\udcffb"}).error == "a?b"


# --- figures are measured once ---------------------------------------------------------------------------------------


@pytest.fixture
def plans(monkeypatch):
    """The sizes of the exact plans that are solved."""
    solved = []
    solve = transports.exact_plan

    def counted(C):
        solved.append(tuple(C.shape))
        return solve(C)

    monkeypatch.setattr(transports, "exact_plan", counted)
    return solved


@pytest.fixture
def toy():
    points = torch.randn(120, 2)
    return Dataset(Empirical(points[:60]), Empirical(points[60:]))


EXACT = {"w1": ExactTransport(Euclidean()), "w2_squared": ExactTransport(SquaredEuclidean())}
SIZES = {"samples": 30, "seed": 0}


@pytest.mark.parametrize(
    ("views", "solved", "kept"),
    [
        ({"points": View(EXACT | {"precision": Precision()})}, 4, {"precision"}),
        ({"points": View({"precision": Precision()})}, 4, {"precision"}),
        ({}, 4, set()),
        ({"features": View(EXACT, torch.tanh)}, 8, {"w1", "w2_squared"}),  # of features: not the judgement's
        ({"points": View({"w1": ExactTransport(SquaredEuclidean())})}, 6, {"w1"}),
    ],
    ids=["among the metrics", "not among them", "no metrics", "of features", "of another cost"],
)
def test_exact_distances_are_solved_once_and_stand_once(views, solved, kept, toy, plans):
    mu = Pushforward(torch.nn.Linear(2, 2), standard_gaussian(2))
    found = judge_model(RunRecord(Status.RUNNING), mu, toy, Judging(SIZES, Metrics(views)))
    assert len(plans) == solved
    assert set(found.metrics) == kept
    assert found.judgement == judge(mu, toy.train, toy.test, n=30)
    assert found.judgement.w1_se > 0 and found.judgement.w2_squared_floor_se > 0


def test_the_judgement_before_the_ex_post_prior_solves_no_floor_again(tmp_path, toy, plans, parts_of_a_vae):
    mu, solver, prior = parts_of_a_vae
    judging = Judging(SIZES, Metrics({"points": View(EXACT)}))
    record = RunRecord(Status.RUNNING)
    found, sampled = judge_run(record, tmp_path, mu, solver, toy, judging, lambda encoder, nu: prior)
    assert len(plans) == 6  # the model with the prior and at ζ, and real data: once for each cost
    assert found.judgement_reference == judge(mu, toy.train, toy.test, n=30)
    assert found.judgement == judge(sampled, toy.train, toy.test, n=30)
    assert found.judgement.w1 > found.judgement_reference.w1


@pytest.fixture
def parts_of_a_vae():
    solver = PrimalSolver(SquaredEuclidean(), EncoderCoupling(GaussianEncoder(torch.nn.Linear(2, 4)), KL(), 1.0))
    far = Reference(Independent(Normal(torch.full((2,), 40.0), 1.0), 1))
    return Pushforward(torch.nn.Linear(2, 2), standard_gaussian(2)), solver, far


def test_a_diverged_models_record_is_whole(tmp_path):
    record = RunRecord(Status.FINISHED, judgement=Judgement(9, math.nan, 1.0, math.inf, 2.0, w1_se=math.inf))
    write_record(tmp_path, record)
    assert read_record(tmp_path).judgement[3] == math.inf
    assert "Infinity" in (tmp_path / RUN).read_text()
