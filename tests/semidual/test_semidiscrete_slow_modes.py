"""Problems in which mass flows slowly, at every scale, and those that no table solves."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from ot_gen import Empirical, Euclidean, Reference, SquaredEuclidean, c_transform, semidiscrete, standard_gaussian
from ot_gen.costs import InnerProduct, Lp
from ot_gen.execution import Ending
from ot_gen.semidual.aim import Aim
from ot_gen.semidual.atomic import flat_mass, least_error
from ot_gen.semidual.exact import ExactCells
from ot_gen.semidual.line import sample_table
from ot_gen.semidual.problem import SemidiscreteProblem
from ot_gen.semidual.rivals import Rivals
from ot_gen.semidual.scores import Scores

SQUARES = SquaredEuclidean()


def cloud(m, d, seed=0):
    return torch.randn(m, d, generator=torch.Generator().manual_seed(seed))


class Plain:
    """A sampler that is no `Measure`."""

    def __init__(self, sample):
        self.sample = sample


def solved(mu, nu, cost=SQUARES, **keywords):
    torch.manual_seed(0)
    return semidiscrete(mu, nu, cost, **keywords)


def seen(mu, solution, n=200_000):
    """‖P − b‖₁ on fresh samples, the noise of counting removed."""
    y = solution.nu.atoms
    counts = torch.bincount(c_transform(solution.cost, mu.sample(n), y, solution.h_tilde)[1], minlength=len(y))
    observed = float((counts / n - solution.nu.weights).abs().sum())
    return math.sqrt(max(0.0, observed**2 - 2 * len(y) / math.pi / n))


def halves(d, far):
    ends = torch.zeros(2, d)
    ends[:, 0] = torch.tensor([-far / 2, far / 2])
    return ends


def two_clusters(d, far=100.0):
    """50/50 in the law against 30/70 in the atoms."""
    ends = halves(d, far)
    law = MixtureSameFamily(Categorical(torch.ones(2)), Independent(Normal(ends, torch.ones(2, d)), 1))
    weights = torch.tensor([0.3, 0.7]).repeat_interleave(100) / 100
    return Reference(law), Empirical(cloud(200, d) + ends.repeat_interleave(100, dim=0), weights)


def one_heavy(d):
    weights = torch.full((100,), 0.1 / 99)
    weights[0] = 0.9
    return Plain(lambda n: torch.randn(n, d)), Empirical(cloud(100, d), weights)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "cost"),
    [
        (two_clusters(2), SQUARES),
        (two_clusters(8), SQUARES),
        (one_heavy(3), SQUARES),
        ((Plain(lambda n: torch.randn(n, 2)), Empirical(cloud(200, 2) + 0.5)), Euclidean()),
    ],
    ids=["clusters", "clusters in eight dimensions", "one heavy atom", "distance in the plane"],
)
def test_mass_that_flows_slowly_is_certified(problem, cost):
    mu, nu = problem
    solution = solved(mu, nu, cost, tol=0.1)
    assert solution.converged
    assert seen(mu, solution) < 0.1
    assert solution.lower <= solution.upper + 3 * solution.upper_se


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("unit", [2.0**-14, 2.0**14, 2.0**30])
def test_a_problem_in_another_unit_has_the_same_cells(unit, dtype):
    y, weights = cloud(70, 2).to(dtype), torch.linspace(1, 3, 70).to(dtype) / 140
    plain, other = (
        solved(
            Plain(lambda n, s=s: s * cloud(n, 2, n).to(dtype)), Empirical(s * y, weights), tol=0.3, max_samples=2**16
        )
        for s in (1.0, unit)
    )
    assert torch.equal(other.h_tilde, unit**2 * plain.h_tilde)
    assert torch.equal(other.masses, plain.masses)


@pytest.mark.parametrize("unit", [1.0, 1e-5, 1e5])
def test_newtons_steps_on_a_sample_scale_and_give_each_atom_its_mass(unit):
    y, x, b = unit * cloud(30, 2).double(), unit * cloud(2000, 2, 1).double(), np.full(30, 1 / 30)
    aim = Aim(torch.from_numpy(b), None)
    scores, epsilon, table = Scores(SQUARES, y), unit**2, np.zeros(30)
    for _ in range(20):
        rivals = Rivals(scores, aim, x, table, epsilon)
        table = rivals.solve(rivals.at(rivals.table), 1e-9)
        epsilon = max(epsilon / 2, 0.01 * unit**2)
    left = Rivals(scores, aim, x, table, epsilon).at(table)
    assert np.abs(left.masses - b).sum() < 1e-3
    step = 1e-6 * unit**2 * np.eye(30)[3]
    slope = (rivals.at(table + step).value - rivals.at(table - step).value) / (2e-6 * unit**2)
    assert slope == pytest.approx(b[3] - rivals.at(table).masses[3], abs=1e-6)


def test_an_atom_that_is_nobodys_rival_is_raised_until_it_is_one():
    y, x = torch.tensor([[0.0], [1.0], [50.0]]), torch.linspace(0, 1, 100)[:, None]
    rivals = Rivals(Scores(SQUARES, y), Aim(torch.full((3,), 1 / 3), None), x, np.zeros(3), 1e-3)
    assert rivals.counts.min() > 0
    assert rivals.table[2] == pytest.approx(49.0**2, rel=1e-3)
    assert rivals.table[:2].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("known", [True, False], ids=["known", "seen"])
@pytest.mark.parametrize("points", [2, 40])
def test_points_of_mass_are_refused_at_once(points, known):
    source = Empirical(cloud(points, 2, 1))
    mu, nu = source if known else Plain(source.sample), Empirical(cloud(100, 2))
    solution = solved(mu, nu, tol=0.05)
    assert solution.ending is Ending.UNREACHABLE and not solution.converged
    assert "the source has points of mass" in solution.message
    assert solution.samples < 20_000
    least = float(solution.message.split("error of ")[1].split()[0])
    assert solution.marginal_error >= least - 3 * solution.marginal_error_se - 0.05 * least


def test_the_least_error_of_points_of_mass_is_one_of_the_best_table():
    b = torch.tensor([0.5, 0.25, 0.25])
    x = torch.tensor([[0.0], [1.0]])
    assert least_error(Empirical(x), b, x) == pytest.approx(0.5)  # P = (½, ½, 0)
    assert least_error(Empirical(cloud(1000, 2)), b, x) == 0
    assert least_error(object(), b, cloud(1000, 2)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("p", [1.0, math.inf])
def test_costs_that_differ_by_constants_are_refused_with_the_reason(p):
    mu, nu = Plain(lambda n: torch.randn(n, 2)), Empirical(cloud(200, 2))
    solution = solved(mu, nu, Lp(p), tol=0.03)
    assert solution.ending is Ending.UNREACHABLE
    assert "no table splits it" in solution.message
    assert solution.samples < 2**21


def test_strictly_convex_costs_are_flat_nowhere():
    x, y = cloud(500, 2), cloud(20, 2, 1)
    assert flat_mass(SQUARES, y, x, torch.zeros(20), 1.0) < 1e-3
    assert flat_mass(Lp(1.0), y, x, torch.zeros(20), 1.0) > 0.01


@pytest.mark.parametrize("cost", [SQUARES, InnerProduct()], ids=["squares", "products"])
@pytest.mark.parametrize(
    "mu",
    [Plain(lambda n: torch.randn(n, 1)), Empirical(cloud(20_000, 1, 3)), two_clusters(1, far=6.0)[0]],
    ids=["sampler", "sample", "mixture"],
)
def test_on_a_line_every_law_is_solved_by_its_quantiles(mu, cost):
    solution = solved(mu, Empirical(cloud(300, 1) + 0.5), cost, tol=0.05)
    assert solution.converged
    assert solution.iterations == 0
    assert seen(mu, solution) < 0.05


def test_cells_on_a_line_end_between_the_points_of_a_sample():
    x, y = cloud(600, 1, 1).double(), cloud(40, 1).double()
    b = torch.arange(1, 41).double() / 820
    table = sample_table(SQUARES, y, b, x, torch.full((600,), 1 / 600))
    counts = torch.bincount((SQUARES.matrix(x, y) - table).argmin(dim=1), minlength=40)
    assert float((counts / 600 - b).abs().max()) <= 1 / 600 + 1e-12
    assert float(table @ b) == pytest.approx(0, abs=1e-9)


def test_a_distance_on_the_line_is_refused_with_the_reason():
    solution = solved(Plain(lambda n: torch.randn(n, 1)), Empirical(cloud(200, 1) + 0.5), Euclidean(), tol=0.05)
    assert solution.ending is Ending.UNREACHABLE
    assert "differ by constants" in solution.message


@pytest.mark.parametrize("d", [3, 8])
def test_atoms_that_lie_on_a_line_but_for_rounding_are_solved_exactly(d):
    y = cloud(100, 1) @ cloud(1, d, 1) + 0.5
    solution = solved(standard_gaussian(d), Empirical(y), tol=0.2)
    assert solution.converged
    cells = ExactCells.of(SemidiscreteProblem(standard_gaussian(d), Empirical(y), SQUARES), 0.0)
    assert cells is not None and cells.error(cells.solve().double()) < 0.1
