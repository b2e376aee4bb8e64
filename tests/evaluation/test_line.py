"""On the line the certificate sorts: its coupling and its table are optimal, and its bracket is the narrower one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_certificate import PROBLEMS, cloud

from ot_gen import Empirical, Euclidean, Lp, SquaredEuclidean, c_transform, certify, exact_plan
from ot_gen.evaluation import certificate, replicates
from ot_gen.evaluation.line import convex_on_the_line, monotone_cost, monotone_table
from ot_gen.semidual.problem import SemidiscreteProblem

COSTS = [SquaredEuclidean(), Euclidean(), Lp(3.0)]


@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(2, 12), st.sampled_from(COSTS), st.booleans())
@settings(max_examples=40, deadline=None)
def test_sorting_solves_the_transport_problem_and_its_dual(seed, n, m, cost, ties):
    generator = torch.Generator().manual_seed(seed)
    x, y = (3 * torch.randn(size, 1, generator=generator, dtype=torch.float64) for size in (n, m))
    if ties:
        x, y = x.round(), torch.cat([y.round(), y.round().max()[None, None] + 1]).unique()[:, None]
    b = torch.rand(len(y), generator=generator, dtype=torch.float64) + 0.01
    nu, f = Empirical(y, b / b.sum()), convex_on_the_line(cost, 1)
    exact = float(exact_plan(cost.matrix(x, y), None, nu.weights).value)
    assert monotone_cost(f, x, y, nu.weights) == pytest.approx(exact, abs=1e-9)
    problem = SemidiscreteProblem(nu, nu, cost)
    table = monotone_table(f, problem, x)
    dual = c_transform(cost, x, problem.atoms, table)[0].mean() + table @ problem.weights
    assert float(dual) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("name", ["line W1", "line W2"])
def test_the_bracket_of_the_line_lies_within_the_general_one(name, monkeypatch):
    mu, nu, cost, value = PROBLEMS[name]
    given = {"max_samples": 2**13, "width": None}
    line = certify(mu, nu, cost, **given)
    for module in (certificate, replicates):
        monkeypatch.setattr(module, "convex_on_the_line", lambda *_: None)
    general = certify(mu, nu, cost, **given)
    noise = 3 * (line.upper_se + general.upper_se)
    for found in (line, general):
        assert found.interval[0] <= value <= found.interval[1]
    assert general.lower - noise <= line.lower and line.upper <= general.upper + noise
    assert line.upper - line.lower <= general.upper - general.lower


@pytest.mark.parametrize("cost", COSTS, ids=str)
def test_equal_and_weightless_atoms_are_no_trouble_on_the_line(cost):
    y = torch.tensor([[0.0], [1.0], [0.0], [5.0]])
    nu = Empirical(y, torch.tensor([0.25, 0.5, 0.25, 0.0]))
    x = Empirical(torch.tensor([[0.5], [2.0]]))
    exact = float(exact_plan(cost.matrix(x.atoms, y[:2]), None, torch.tensor([0.5, 0.5])).value)
    low, high = certify(x, nu, cost, max_samples=2**12, width=0.1).interval
    assert low <= exact <= high


def test_the_atoms_of_the_line_may_be_many():
    nu = Empirical(cloud(3000, 1, seed=1))
    found = certify(torch.randn(3000, 1, generator=torch.Generator().manual_seed(2)), nu, Euclidean(), width=0.5)
    assert found.interval[1] < 0.15 and found.seconds < 20
