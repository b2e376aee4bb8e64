"""Exact cells on the line and in the plane: masses, their derivatives, invariances, and solves that end by them."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal, Uniform

from ot_gen import Empirical, LaguerreCells, SquaredEuclidean, semidiscrete, standard_gaussian, uniform_cube
from ot_gen.costs import InnerProduct
from ot_gen.data import parallel_lines, two_moons
from ot_gen.execution import Ending
from ot_gen.semidual.exact import ExactCells
from ot_gen.semidual.line import LineProblem
from ot_gen.semidual.newton import CellProblem
from ot_gen.semidual.problem import SemidiscreteProblem
from ot_gen.semidual.standard_laws import GaussianLaw, SquareLaw

SQUARES = SquaredEuclidean()
LAWS = [GaussianLaw(), SquareLaw()]
NAMES = ["gaussian", "square"]
SPACES = pytest.mark.parametrize(
    ("law", "dim"), [(LAWS[0], 2), (LAWS[1], 2), (LAWS[0], 3)], ids=[*NAMES, "gaussian in space"]
)


def rng(seed=0):
    return np.random.default_rng(seed)


def drawn(law, n, dim=2):
    points = rng().random((n, dim))
    return law.quantiles(np.clip(points, 1e-12, 1 - 1e-12))


def counted(x, atoms, psi):
    parts = (np.bincount((part @ atoms.T - psi).argmax(axis=1), minlength=len(psi)) for part in np.array_split(x, 50))
    return sum(parts) / len(x)


def lattice(side, dim):
    line = np.arange(side) - (side - 1) / 2
    return np.stack(np.meshgrid(*[line] * dim), axis=-1).reshape(-1, dim)


def clouds(dim):
    line = rng().normal(size=40)
    return {
        "cloud": rng().normal(size=(60, dim)),
        "simplex": np.concatenate([np.eye(dim), -np.ones((1, dim))]),
        "odd lattice": lattice(5, dim),
        "even lattice": lattice(4, dim),  # many cells meet in the middle of the law, and cells at infinity tie
        "curve": np.stack([np.cos(line), np.sin(line), line][:dim], axis=1),
    }


def tables(atoms):
    squares = np.square(atoms).sum(axis=1)
    noise = 0.1 * rng(1).normal(size=len(atoms))
    shifted = 0.1 * squares - atoms[:, :2] @ [0.3, 0.2]
    return {"Voronoi": squares / 2, "none": 0 * squares, "shifted": shifted, "noise": noise}


@SPACES
@pytest.mark.parametrize("name", clouds(2))
def test_masses_are_those_of_a_large_sample_and_sum_to_one(law, dim, name):
    atoms, x = clouds(dim)[name], drawn(law, 50_000, dim)
    for psi in tables(atoms).values():
        masses = law.cells(atoms, psi).masses
        assert masses.sum() == pytest.approx(1, abs=1e-10)
        assert masses.min() > -1e-12
        noise = math.sqrt(2 / math.pi / len(x)) * np.sqrt(masses.clip(0)).sum()
        assert np.abs(counted(x, atoms, psi) - masses).sum() < 2 * noise + 5 / math.sqrt(len(x))


@SPACES
def test_the_flow_along_edges_is_the_derivative_of_the_masses(law, dim):
    atoms = clouds(dim)["cloud"]
    psi = tables(atoms)["Voronoi"] / 2
    flow = np.zeros((60, 60))
    _, pairs, along = law.cells(atoms, psi)
    for (i, j), each in zip(pairs, along, strict=True):
        flow[i, j] = flow[j, i] = each
    for j in range(0, 60, 7):
        step = 1e-5 * np.eye(60)[j]
        above, below = (law.cells(atoms, psi + sign * step).masses for sign in (1, -1))
        derivative = (above - below) / 2e-5
        derivative[j] = 0
        assert np.allclose(derivative, flow[j], atol=1e-6)


@SPACES
@pytest.mark.parametrize("spread", ["even", "over six orders"])
@pytest.mark.parametrize("name", [*clouds(2), "clusters", "far", "tails"])
def test_newton_gives_each_atom_its_mass(law, dim, spread, name):
    centres = rng().normal(size=(10, dim)).repeat(10, axis=0)
    atoms = {
        "clusters": centres + 1e-4 * rng(1).normal(size=(100, dim)),
        "far": np.concatenate([rng().normal(size=(100, dim)), 1e6 * np.ones((1, dim))]),
        "tails": rng().standard_cauchy(size=(100, dim)),
        **clouds(dim),
    }[name]
    weights = np.ones(len(atoms)) if spread == "even" else np.logspace(0, -6, len(atoms))
    problem = CellProblem(law, atoms / np.abs(atoms).max(), weights / weights.sum())
    assert np.abs(problem.masses(problem.solve()) - problem.b).sum() < 1e-6


@pytest.mark.parametrize("law", LAWS, ids=NAMES)
def test_the_line_is_solved_in_closed_form(law):
    atoms, weights = rng().normal(size=200), rng().random(200) + 0.01
    problem = LineProblem(law, atoms, weights / weights.sum())
    psi = problem.solve()
    assert np.abs(problem.masses(psi) - problem.b).sum() < 1e-10
    bad = psi + 0.1 * rng(1).normal(size=200)  # most cells are empty
    x = drawn(law, 20_000, 1)
    assert np.abs(problem.masses(bad) - counted(x, atoms[:, None], bad)).sum() < 0.1


@pytest.mark.parametrize("law", LAWS, ids=NAMES)
def test_rounding_moves_the_masses_by_as_much_as_is_said(law):
    for kind, shape in ((LineProblem, 100), (CellProblem, (100, 2))):
        atoms = rng().normal(size=shape)
        problem = kind(law, atoms, np.full(100, 0.01))
        psi, size = problem.solve(), np.full(100, 1e-5)
        masses, blur = problem.measured(psi, size)
        moved = [np.abs(problem.masses(psi + size * rng(s).normal(size=100)) - masses).sum() for s in (1, 2)]
        assert blur / 3 < np.mean(moved) < 3 * blur


# Of problems with units


def exact(mu, y, weights=None, cost=SQUARES, epsilon=0.0):
    return ExactCells.of(SemidiscreteProblem(mu, Empirical(y, weights), cost), epsilon)


def cloud(m, d=2):
    return torch.from_numpy(rng().normal(size=(m, d)))


def normal(shift, scale):
    return Independent(Normal(torch.as_tensor(shift).double(), torch.as_tensor(scale).double()), 1)


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("of_law", [1e-4, 1.0, 1e4])
def test_the_table_scales_and_moves_with_atoms_and_law(unit, of_law):
    y, shift = cloud(200), torch.tensor([3.0, -5.0]).double()
    plain = exact(normal([0.0, 0.0], [1.0, 1.0]), y).solve()
    cells = exact(normal(unit * shift, [of_law, of_law]), unit * (y + shift))
    # Of the squared distance from the mean the mixed term alone couples x and y: h̃_j = ‖y_j‖² − 2ψ_j before.
    squares = y.square().sum(dim=1)
    expected = unit**2 * squares - unit * of_law * (squares - plain)
    found = cells.solve()
    assert torch.allclose(found, expected - expected.mean(), rtol=0, atol=1e-6 * float(found.abs().max()))
    assert cells.error(found) < 1e-5


def test_every_gaussian_is_a_standard_one_in_other_coordinates():
    y, factor = cloud(100), torch.tensor([[2.0, 0.0], [1.5, 0.5]]).double()
    law = MultivariateNormal(torch.tensor([1.0, 2.0]).double(), scale_tril=factor)
    cells = exact(law, y)
    table = cells.solve()
    x = torch.tensor([1.0, 2.0]).double() + torch.from_numpy(drawn(GaussianLaw(), 50_000)) @ factor.T
    counts = torch.bincount((SQUARES.matrix(x, y) - table).argmin(dim=1), minlength=100)
    assert float((counts / len(x) - 0.01).abs().sum()) < 0.06


def test_inner_products_have_the_same_cells():
    y, mu = cloud(50), normal([1.0, -2.0], [0.5, 2.0])
    squares, products = (exact(mu, y, cost=cost).solve() for cost in (SQUARES, InnerProduct()))
    twice = y.square().sum(dim=1) + 2 * products
    assert torch.allclose(squares, twice - twice.mean(), atol=1e-7)


@pytest.mark.parametrize(("dim", "rank"), [(2, 1), (3, 1), (3, 2)])
def test_flat_clouds_are_solved_in_the_space_that_they_span(dim, rank):
    y = torch.zeros(40, dim).double()
    y[:, :rank] = cloud(40, rank)
    mu = normal([0.5] * dim, [2.0] * dim)
    table = exact(mu, y).solve()
    assert torch.allclose(table, exact(normal([0.5] * rank, [2.0] * rank), y[:, :rank]).solve(), atol=1e-7)
    turn = torch.linalg.qr(cloud(dim, dim))[0]
    turned = exact(normal([0.0] * dim, [2.0] * dim), (y - 0.5) @ turn)
    assert turned is None or torch.allclose(turned.solve(), table, atol=1e-6)


def test_large_products_have_the_masses_that_are_stated():
    """Inner products of size 5e5: rounding to single precision would move what exact masses do not know."""
    mu = Independent(Uniform(torch.tensor([513.0]), torch.tensor([533.0])), 1)
    y = 1000 + 0.1 * cloud(10, 1).float()
    solution = solved(mu, y, cost=InnerProduct(), tol=0.05, max_samples=2**17)
    scores = InnerProduct().matrix(mu.sample((100_000,)).double(), y.double()) - solution.h_tilde
    counts = torch.bincount(scores.argmin(dim=1), minlength=10)
    error = float((counts / 100_000 - 0.1).abs().sum())
    assert error < solution.marginal_error + 3 * solution.marginal_error_se + 0.02


@pytest.mark.parametrize(
    ("mu", "y", "keywords"),
    [
        (normal([0.0] * 4, [1.0] * 4), cloud(9, 4), {}),
        (uniform_cube(3, 0.0, 1.0).double(), cloud(9, 3), {}),
        (normal([0.0] * 2, [1.0] * 2), cloud(9), {"epsilon": 0.1}),
        (uniform_cube(2, 0.0, 1.0).double(), cloud(9) * torch.tensor([1.0, 0.0]), {}),
        (normal([0.0] * 2, [1.0] * 2), cloud(9) * torch.tensor([1.0, 1e-9]), {}),
        (Empirical(cloud(9)), cloud(9), {}),
    ],
    ids=["four dimensions", "a cube", "soft", "on a line", "nearly on a line", "sample"],
)
def test_other_problems_are_left_to_samples(mu, y, keywords):
    assert exact(mu, y, **keywords) is None


# Solves


def solved(mu, y, **keywords):
    torch.manual_seed(0)
    return semidiscrete(mu, Empirical(y), keywords.pop("cost", SQUARES), **keywords)


def seen(mu, solution):
    """‖P − b‖₁ on fresh samples, the noise of counting removed, and this noise."""
    x, y = mu.sample(200_000), solution.nu.atoms
    counts = torch.bincount(LaguerreCells(SQUARES, y, solution.h_tilde)(x)[1], minlength=len(y))
    observed = float((counts / len(x) - solution.nu.weights).abs().sum())
    noise = math.sqrt(2 * len(y) / math.pi / len(x))
    return math.sqrt(max(0.0, observed**2 - noise**2)), noise


@pytest.mark.slow
@pytest.mark.parametrize("mu", [standard_gaussian(2), uniform_cube(2)], ids=NAMES)
@pytest.mark.parametrize("tol", [0.05, 0.01, 0.002])
def test_two_moons_are_certified(mu, tol):
    torch.manual_seed(0)
    solution = solved(mu, two_moons().sample(2000), tol=tol)
    assert solution.converged
    assert solution.marginal_error + 2 * solution.marginal_error_se <= tol
    error, noise = seen(mu, solution)
    assert error < noise / 3
    assert solution.lower <= solution.upper + 3 * solution.upper_se


def test_a_stop_ends_newtons_method(monkeypatch):
    cells, calls = GaussianLaw.cells, []

    def stopped(self, atoms, psi):
        calls.append(psi)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return cells(self, atoms, psi)

    monkeypatch.setattr(GaussianLaw, "cells", stopped)
    solution = solved(standard_gaussian(2), cloud(200).float(), tol=1e-3)
    assert solution.ending is Ending.STOPPED and not solution.converged
    assert bool(torch.isfinite(solution.h_tilde).all())


@pytest.mark.slow
def test_clusters_in_space_are_certified():
    mu, centres = standard_gaussian(3), cloud(20, 3).repeat_interleave(50, dim=0)
    solution = solved(mu, (centres + 0.2 * cloud(1000, 3)).float(), tol=0.01)
    assert solution.converged and solution.marginal_error < 1e-4
    error, noise = seen(mu, solution)
    assert error < noise / 3


@pytest.mark.slow
def test_what_rounding_spoils_is_certified_in_a_wider_dtype():
    """On two lines many atoms lie closer than single precision resolves."""
    torch.manual_seed(0)
    mu, y = standard_gaussian(2), parallel_lines().sample(2000)
    solution = solved(mu, y, tol=0.02)
    assert solution.converged and solution.h_tilde.dtype == torch.float64
    error, noise = seen(mu, solution)
    assert error < noise / 3


@pytest.mark.parametrize("low", [0.0, 1000.0])
def test_a_rectangle_is_known_wherever_it_lies(low, float64):
    mu = Independent(Uniform(torch.tensor([low, low]), torch.tensor([low + 1, low + 3])), 1)
    solution = solved(mu, cloud(100) + low, tol=1e-6)
    assert solution.converged
    assert solution.marginal_error < 1e-6


@pytest.mark.parametrize("mu", [standard_gaussian(1), uniform_cube(1)], ids=NAMES)
def test_a_line_of_many_atoms_is_certified(mu):
    solution = solved(mu, cloud(1000, 1).float(), tol=0.05)
    assert solution.converged
    assert seen(mu, solution)[0] < 0.05
