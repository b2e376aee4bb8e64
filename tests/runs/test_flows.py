"""What a run of a flow records: its samples at few evaluations, and its path energy against W₂²(ζ, ν)."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from ot_gen import (
    Empirical,
    FlowMap,
    IndependentPairing,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    Units,
    VelocityRegression,
    data,
    evaluation,
    standard_gaussian,
)
from ot_gen.data import Dataset
from ot_gen.runs.flows import at_few, bracket_of, flows_in, judge_flow, plane_paths, samples_at_few
from ot_gen.runs.judging import Judging, judge_model
from ot_gen.runs.parts import Status
from ot_gen.runs.record import RunRecord, decoded

SMALL = ("data=two_moons", "data.size=200", "data.test_size=200", "trainer.steps=3", "trainer.batch_size=32")
SMALL = (*SMALL, "velocity.width=16", "metrics=none", "evaluation.samples=50")
JUDGING = Judging({"samples": 100, "seed": 0}, evaluation.Metrics({"points": evaluation.View(evaluation.EXACT)}))
SOLVER = PrimalSolver(SquaredEuclidean(), VelocityRegression(IndependentPairing()))


class Constant(nn.Module):
    """v(t, x) = (3, 4): every path is straight and of energy 25."""

    def forward(self, t, x):
        return torch.tensor([3.0, 4.0]).expand_as(x)


def moved(method="heun", steps=16):
    return Pushforward(FlowMap(Constant(), steps, method), standard_gaussian(2))


def gaussian_data(scale=1.0):
    """A sample of N((3, 4), I), in units of a scale where that is not 1."""
    points = (torch.randn(400, 2, generator=torch.Generator().manual_seed(0)) + torch.tensor([3.0, 4.0])) * scale
    own = Dataset(Empirical(points[:200]), Empirical(points[200:]))
    return own if scale == 1 else own.standardised(Units(torch.zeros(2), torch.tensor(scale)))


def test_few_evaluations_are_those_below_the_flows_own_and_the_flow_is_put_back():
    mu = moved(steps=2)
    assert [(number, flows_in(mu)[0].evaluations) for number in at_few(mu)] == [(1, 1), (2, 2)]
    assert (mu.map.steps, mu.map.method) == (2, "heun")
    adaptive = moved("dopri5")
    assert [number for number in at_few(adaptive)] == [1, 2, 4, 8] and adaptive.map.method == "dopri5"


@pytest.mark.slow
def test_straight_paths_give_the_same_samples_and_judgement_at_every_number():
    mu, given = moved(), gaussian_data()
    samples = samples_at_few(mu, 20, seed=3)
    assert list(samples) == ["1 evaluation", *(f"{k} evaluations" for k in (2, 4, 8, 32))]
    assert all(made.allclose(samples["1 evaluation"], atol=1e-5) for made in samples.values())
    record = judge_flow(judge_model(RunRecord(Status.FINISHED), mu, given, JUDGING), mu, mu, SOLVER, given, JUDGING)
    assert [few.number for few in record.flow.few] == [1, 2, 4, 8] and record.flow.evaluations == 32
    for few in record.flow.few:
        for name in ("w1", "w2_squared"):
            assert few.measured(name).value == pytest.approx(record.measured(name).value, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_the_path_energy_is_that_of_the_paths_in_the_datas_own_units(scale):
    given, mu = gaussian_data(scale), moved()
    own = Pushforward(mu.map, mu.base, given.units).in_own_units()
    flow = judge_flow(RunRecord(Status.FINISHED), mu, own, SOLVER, given, JUDGING).flow
    assert flow.path_energy == pytest.approx(25 * scale**2, rel=1e-5) and flow.path_energy_se < 1e-3 * scale**2
    assert flow.w2_squared_lower <= flow.w2_squared_upper
    # W₂² of N(0, I) and a sample of N((3, 4), I) is 25 up to that sample's noise.
    assert flow.w2_squared_lower == pytest.approx(25 * scale**2, rel=0.1)
    expected = abs(flow.path_energy - flow.w2_squared_lower) / flow.w2_squared_lower
    assert flow.normalised_path_energy == pytest.approx(expected)


def test_a_model_that_is_no_flow_has_nothing_to_add():
    mu, record = Pushforward(nn.Linear(2, 2), standard_gaussian(2)), RunRecord(Status.FINISHED)
    assert judge_flow(record, mu, mu, SOLVER, gaussian_data(), JUDGING) is record


def test_no_bracket_is_solved_where_it_would_take_long_or_there_are_no_atoms():
    mu, given = moved(), gaussian_data()
    law = Dataset(data.two_moons(), given.test)
    assert bracket_of(mu, SOLVER, law, 0) is None
    wide = Dataset(Empirical(torch.rand(20_000, 784)), Empirical(torch.rand(10, 784)))
    assert bracket_of(moved(), SOLVER, wide, 0) is None


def test_paths_of_the_plane_are_in_the_datas_own_units():
    given, mu = gaussian_data(10.0), moved()
    paths = plane_paths(Pushforward(mu.map, mu.base, given.units).in_own_units(), 5, 0)
    assert paths.shape == (17, 5, 2)
    torch.testing.assert_close(paths[-1] - paths[0], torch.tensor([30.0, 40.0]).expand(5, 2))


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["flow_exact", "flow_semidiscrete"])
def test_a_run_of_a_flow_records_draws_and_judges_it_again(solver, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(*SMALL, f"solver=primal/{solver}", "hydra.run.dir=runs/a")[0] == 0
    assert {"evaluations.png", "trajectories.png"} <= {path.name for path in Path("runs/a").iterdir()}
    record = decoded(json.loads(Path("runs/a/run.json").read_text()))
    assert [few.number for few in record.flow.few] == [1, 2, 4, 8] and record.flow.normalised_path_energy > 0
    assert record.cell == "flow"
    assert command("evaluate", "--run", "runs/a", "--output", "runs/b", *SMALL[-2:])[::2] == (0, "")
    again = decoded(json.loads(Path("runs/b/run.json").read_text()))
    assert again.flow.few == record.flow.few and again.flow.path_energy == record.flow.path_energy
