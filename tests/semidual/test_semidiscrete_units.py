"""The same cells wherever the atoms lie and in whatever unit: rounding to a dtype is no property of a problem."""

import pytest
import torch

from ot_gen import Empirical, LaguerreCells, SquaredEuclidean, c_transform, semidiscrete, standard_gaussian

SQUARES = SquaredEuclidean()


class Plain:
    """A sampler of N(0, I) that is no `Measure`."""

    def __init__(self, dtype):
        self.dtype = dtype

    def sample(self, n):
        return torch.randn(n, 2).to(self.dtype)


def cloud(m, dim=2, seed=0):
    return torch.randn(m, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def solved(mu, y, **keywords):
    torch.manual_seed(0)
    return semidiscrete(mu, Empirical(y), SQUARES, **keywords)


def largest_error(mu, solution, n=200_000):
    """‖P − b‖₁ as counted on fresh samples in double precision, whose noise is about (2m / πn)^½."""
    x, y = mu.sample(n).double(), solution.nu.atoms.double()
    cells = LaguerreCells(SQUARES, y, solution.h_tilde.double())(x)[1]
    return float((torch.bincount(cells, minlength=len(y)) / n - solution.nu.weights.double()).abs().sum())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("known", [True, False], ids=["known", "sampled"])
@pytest.mark.parametrize(("unit", "shift"), [(1e-4, 0.0), (1e4, 0.0), (1.0, 1e4)], ids=["small", "large", "far"])
def test_atoms_alone_may_be_in_any_unit_and_anywhere(unit, shift, known, dtype):
    mu = standard_gaussian(2).to(dtype) if known else Plain(dtype)
    solution = solved(mu, (unit * cloud(70) + shift).to(dtype), tol=0.1)
    assert solution.converged
    assert largest_error(mu, solution) < 0.1 + 0.03
    assert solution.map(mu.sample(3)).dtype == dtype


@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_the_cells_move_with_the_atoms(shift):
    """h̃_j moves by ‖y_j + t‖² − ‖y_j‖², up to a constant."""
    y = (cloud(70) + shift).float().double() - shift  # numbers that single precision has when they are moved
    here, there = (solved(standard_gaussian(2).double(), atoms, tol=0.1).h_tilde for atoms in (y, y + shift))
    moved = here + 2 * shift * y.sum(dim=1)
    rounded = 1e-6 + 1e-12 * float(there.abs().max())
    assert torch.allclose(there, moved - moved.mean(), rtol=0, atol=rounded)


def test_copies_closer_than_single_precision_resolves_are_told_apart():
    y = cloud(50)
    solution = solved(standard_gaussian(2), torch.cat([y, y + 1e-6 * cloud(50, seed=1)]).float(), tol=0.05)
    assert solution.converged and "float64" in solution.message
    assert largest_error(standard_gaussian(2), solution) < 0.05
    assert solution.masses.dtype == torch.float32


def test_a_wide_solve_goes_on_from_its_checkpoint(tmp_path):
    y, file = (1e6 * cloud(70)).float(), tmp_path / "solve"
    first = solved(Plain(torch.float32), y, tol=0.03, max_samples=2**17, checkpoint=file)
    assert first.h_tilde.dtype == torch.float64 and not first.converged
    again = solved(Plain(torch.float32), y, tol=0.1, resume=file)
    assert again.converged and again.samples >= first.samples


def test_a_wider_table_decides_the_dtype():
    x, y, h_tilde = cloud(20).float(), cloud(900, seed=1).float(), 1e-9 * cloud(900, 1, seed=2)[:, 0]
    for m in (9, 900):
        expected = c_transform(SQUARES, x.double(), y[:m].double(), h_tilde[:m])
        for values, cells in (
            c_transform(SQUARES, x, y[:m], h_tilde[:m]),
            LaguerreCells(SQUARES, y[:m], h_tilde[:m])(x),
        ):
            assert torch.equal(cells, expected[1])
            assert torch.allclose(values, expected[0], rtol=1e-12)
