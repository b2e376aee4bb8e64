"""Exact cells of mixtures in the plane: masses, their derivatives, and solves between the package's own laws."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from ot_gen import Empirical, LaguerreCells, Reference, SquaredEuclidean, gaussian_mixture, semidiscrete
from ot_gen.data import checkerboard, eight_gaussians, rings, swiss_roll, two_moons
from ot_gen.semidual.exact import ExactCells
from ot_gen.semidual.mixture_cells import GaussianMixtureLaw, MixtureParts
from ot_gen.semidual.plane import gaussian_cells
from ot_gen.semidual.power_diagram import PowerDiagram
from ot_gen.semidual.problem import SemidiscreteProblem

SQUARES = SquaredEuclidean()
FACTORS = torch.tensor([[[1.0, 0.0], [0.7, 0.2]], [[0.1, 0.0], [-0.3, 0.5]]])
CORRELATED = Reference(
    MixtureSameFamily(
        Categorical(torch.tensor([0.3, 0.7])),
        MultivariateNormal(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), scale_tril=FACTORS),
    )
)
LAWS = {
    "correlated": CORRELATED,
    "eight": eight_gaussians(),
    "moons": two_moons(),
    "roll": swiss_roll(),
    "rings": rings(),
    "board": checkerboard(),
}


def cloud(m, seed=0):
    return torch.randn(m, 2, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", LAWS)
def test_masses_are_those_of_a_sample_and_their_flow_is_the_derivative(name):
    y = 1.2 * cloud(80)
    cells = ExactCells.of(SemidiscreteProblem(LAWS[name], Empirical(y), SQUARES), 0.0)
    atoms, law = cells.problem.atoms, cells.problem.law
    psi = np.square(atoms).sum(axis=1) / 2 + 0.05 * np.sin(np.arange(80))
    masses, pairs, flow = law.cells(atoms, psi)
    assert masses.sum() == pytest.approx(1, abs=1e-12) and masses.min() > -1e-9
    torch.manual_seed(0)
    table = torch.from_numpy(cells.level - cells.unit * psi)
    counts = torch.bincount(LaguerreCells(SQUARES, y, table)(LAWS[name].sample(40_000))[1], minlength=80)
    assert np.abs(counts.numpy() / 40_000 - masses).sum() < 2 * math.sqrt(2 * 80 / math.pi / 40_000)
    for j in np.argsort(masses)[-3:]:
        step = 1e-6 * np.eye(80)[j]
        slopes = (law.cells(atoms, psi + step).masses - law.cells(atoms, psi - step).masses) / 2e-6
        expected = np.zeros(80)
        for (i, k), each in zip(pairs, flow, strict=True):
            expected[i if k == j else k] += each if j in (i, k) else 0
        slopes[j] = expected[j] = 0
        assert np.allclose(slopes, expected, atol=1e-5 * max(1, flow.max()))


def test_a_gaussian_in_any_parts_is_one_gaussian():
    atoms = cloud(50, 1).double().numpy()
    diagram = PowerDiagram.of(atoms, np.square(atoms).sum(axis=1) / 2)
    whole = gaussian_cells(diagram)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)  # N(0, I) = ∫ N((s, 0), diag(1/2, 1)) dN(s; 0, 1/2)
    means = np.stack([nodes * math.sqrt(0.5), 0 * nodes], axis=1)
    factors = np.tile(np.diag([math.sqrt(0.5), 1.0]), (60, 1, 1))
    parts = GaussianMixtureLaw(MixtureParts(weights / weights.sum(), means, factors)).of(diagram)
    assert np.abs(parts.masses - whole.masses).sum() < 1e-8
    assert np.allclose(parts.flow, whole.flow, atol=1e-8)


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e4])
def test_the_table_scales_and_moves_with_a_mixture(unit):
    y, means = cloud(60).double(), cloud(3, 1).double()
    plain, other = (
        ExactCells.of(
            SemidiscreteProblem(gaussian_mixture(s * (means + t), 0.3 * s), Empirical(s * (y + t)), SQUARES), 0.0
        ).solve()
        for s, t in ((1.0, 0.0), (unit, 5.0))
    )
    assert torch.allclose(other, unit**2 * plain, rtol=0, atol=1e-6 * float(other.abs().max()))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["eight", "board", "moons"])
def test_laws_without_mass_between_their_parts_are_certified(name):
    torch.manual_seed(1)
    y = two_moons().sample(300)
    torch.manual_seed(0)
    solution = semidiscrete(LAWS[name], Empirical(y), SQUARES, tol=0.02)
    assert solution.converged and solution.marginal_error < 1e-2
    cells = LaguerreCells(SQUARES, y, solution.h_tilde)(LAWS[name].sample(200_000))[1]
    observed = float((torch.bincount(cells, minlength=300) / 200_000 - 1 / 300).abs().sum())
    assert observed < 0.02 + 1.3 * math.sqrt(2 * 300 / math.pi / 200_000)
