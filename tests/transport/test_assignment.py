from itertools import permutations

import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from ot_gen import Euclidean, SquaredEuclidean, data
from ot_gen.transport import assignment, assignment_potentials

F64 = torch.float64


def clouds(n, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(n, d, generator=generator, dtype=F64) for _ in range(2))


def total(C, sigma):
    return float(C.double()[torch.arange(len(C)), sigma].sum())


def optimum(C):
    rows, columns = linear_sum_assignment(C.double().numpy())
    return float(C.double().numpy()[rows, columns].sum())


def assert_certified(C):
    """σ is a permutation, and feasible potentials that are tight on it prove that none costs less."""
    sigma = assignment(C)
    f, g = assignment_potentials(C, sigma)
    C = C.double()
    scale = float(C.abs().max()) or 1.0
    assert sigma.sort().values.tolist() == list(range(len(C)))
    assert float((f[:, None] + g - C).max()) <= 1e-9 * scale
    assert total(C, sigma) == pytest.approx(float(f.sum() + g.sum()), abs=1e-9 * scale * len(C))
    assert total(C, sigma) == pytest.approx(optimum(C), rel=1e-12, abs=1e-12 * scale)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 6), seed=st.integers(0, 999), integer=st.booleans())
def test_no_permutation_costs_less(n, seed, integer):
    generator = torch.Generator().manual_seed(seed)
    C = torch.randn(n, n, generator=generator, dtype=F64)
    C = C.round() if integer else C
    assert total(C, assignment(C)) == pytest.approx(min(total(C, list(s)) for s in permutations(range(n))), abs=1e-12)
    assert_certified(C)


@pytest.mark.parametrize("cost", [SquaredEuclidean(), Euclidean()], ids=str)
@pytest.mark.parametrize(("n", "d"), [(100, 2), (300, 1), (300, 2), (600, 2), (300, 8), (600, 64)])
def test_optimality_is_certified_by_the_dual_problem(n, d, cost):
    x, y = clouds(n, d)
    assert_certified(cost.matrix(x, y))
    assert_certified(cost.matrix(x, y).float())


@pytest.mark.parametrize(("seed", "shift"), [(1, 2.5), (3, 1.5), (5, 2.0)])
def test_scalings_beyond_single_precision_leave_the_plan_exact(seed, shift):
    """A model that sits on a few of the data's modes: here the annealed scalings overflow."""
    torch.manual_seed(seed)
    y = data.eight_gaussians().sample(600)
    x = 0.7 * torch.randn(600, 2) + torch.tensor([shift, 0.0])
    assert_certified(SquaredEuclidean().matrix(x, y).double())


def test_the_value_is_that_of_the_linear_programme():
    x, y = clouds(256, 2)
    C = SquaredEuclidean().matrix(x, y)
    uniform = C.new_full((256,), 1 / 256).numpy()
    assert total(C, assignment(C)) / 256 == pytest.approx(ot.emd2(uniform, uniform, C.numpy()), rel=1e-12)


def test_in_one_dimension_it_sorts():
    x, y = clouds(400, 1)
    sigma = assignment(SquaredEuclidean().matrix(x, y))
    order = x[:, 0].argsort()
    assert torch.equal(y[sigma[order], 0], y[:, 0].sort().values)


@pytest.mark.parametrize("n", [20, 300])
def test_potentials_move_no_assignment(n):
    x, y = clouds(n, 3)
    C = SquaredEuclidean().matrix(x, y)
    f, g = torch.randn(n, 1, dtype=F64), 100 * torch.randn(n, dtype=F64)
    assert torch.equal(assignment(C), assignment(C + f + g))
    assert torch.equal(assignment(C), assignment(C - float(C.max())))


@pytest.mark.parametrize("n", [20, 300])
@pytest.mark.parametrize("scale", [1e-200, 1e-8, 1e8, 1e150])
def test_the_scale_of_the_costs_moves_no_assignment(n, scale):
    x, y = clouds(n, 3)
    C = SquaredEuclidean().matrix(x, y)
    assert torch.equal(assignment(C), assignment(C * scale))


DEGENERATE = {
    "equal costs": lambda x, y: torch.full((len(x), len(x)), 7.0),
    "few integers": lambda x, y: (x[:, :1] * y[:, 0] > 0).float(),
    "equal clouds": lambda x, y: SquaredEuclidean().matrix(x, x[torch.arange(len(x)).flip(0)]),
    "points that repeat": lambda x, y: SquaredEuclidean().matrix(x[torch.arange(len(x)) % 7], y),
    "clusters of unequal weight": lambda x, y: SquaredEuclidean().matrix(x + 40 * (x > 0), y + 40 * (y > 0.3)),
    "outliers": lambda x, y: SquaredEuclidean().matrix(torch.cat([1e4 * x[:3], x[3:]]), y),
    "forbidden pairs": lambda x, y: torch.where(x[:, :1] * y[:, 0] > 0.5, 1e7, SquaredEuclidean().matrix(x, y)),
    "a wide range": lambda x, y: torch.exp(5 * (x @ y.T)),
}


@pytest.mark.parametrize("n", [10, 300])
@pytest.mark.parametrize("matrix", DEGENERATE.values(), ids=DEGENERATE)
def test_ties_clusters_and_outliers_are_solved_all_the_same(n, matrix):
    assert_certified(matrix(*clouds(n, 2)))


def test_an_assignment_that_is_not_optimal_has_no_potentials():
    x, y = clouds(300, 2)
    C = SquaredEuclidean().matrix(x, y)
    with pytest.raises(ValueError, match="optimal assignment"):
        assignment_potentials(C, assignment(C).roll(1))
    with pytest.raises(ValueError, match="permutation"):
        assignment_potentials(C, torch.zeros(300, dtype=torch.int64))


def test_bad_costs_are_refused():
    for C in (torch.zeros(3, 4), torch.zeros(3), torch.empty(0, 0)):
        with pytest.raises(ValueError, match="square cost matrix"):
            assignment(C)
    for bad in (float("nan"), float("inf"), -float("inf")):
        C = torch.zeros(300, 300)
        C[7, 9] = bad
        with pytest.raises(ValueError, match="NaN or Inf"):
            assignment(C)


def unequal(n, seed=0):
    """Pairs of laws that differ, by name."""
    x, y = clouds(n, 2, seed)
    side = torch.arange(n) % 10
    return {
        "another Gaussian": (x, 0.5 * y + 1.5),
        "a point": (x, 1e-3 * y + 1.0),
        "narrow clusters": (x, 0.2 * y + 4 * torch.stack([side.double().sin(), (side % 3).double()], dim=1)),
        "two clusters, 30/70 against 50/50": (x + 100.0 * (side < 3)[:, None], y + 100.0 * (side < 5)[:, None]),
        "a grid": ((3 * x).round(), (2 * y + 1).round()),
        "a line": (x[:, :1], 0.5 * y[:, :1] + 2),
    }


@pytest.mark.parametrize("cost", [SquaredEuclidean(), Euclidean()], ids=str)
@pytest.mark.parametrize("name", unequal(1))
def test_assignments_between_laws_that_differ_are_certified(name, cost):
    assert_certified(cost.matrix(*unequal(100)[name]))
    assert_certified(cost.matrix(*unequal(390)[name]).float())


@pytest.mark.parametrize("name", ["another Gaussian", "a point", "narrow clusters"])
def test_laws_that_differ_are_solved_by_their_near_pairs(name, monkeypatch):
    """The dense problem, slower than all of POT's own, is left to ties."""
    solved, simplex = [], ot.emd
    monkeypatch.setattr(ot, "emd", lambda a, b, M, **options: solved.append(M) or simplex(a, b, M, **options))
    for seed in range(3):
        assignment(SquaredEuclidean().matrix(*unequal(600, seed)[name]))
    assert solved and all(M.nnz <= 40 * 600 for M in solved)


def test_the_scale_of_the_points_moves_no_assignment_between_laws_that_differ():
    for n in (100, 400):
        x, y = unequal(n)["another Gaussian"]
        for unit in (1e-6, 1e6):
            matrix = SquaredEuclidean().matrix
            assert torch.equal(assignment(matrix(unit * x, unit * y)), assignment(matrix(x, y)))
