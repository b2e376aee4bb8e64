"""Semi-discrete solves against answers that are known to quadrature precision."""

import pytest
import torch
from problems import GaussianCells

from ot_gen import Empirical, SquaredEuclidean, semidiscrete, standard_gaussian


def random_cells(d, n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randn(n, d, generator=generator)
    b = 0.1 + torch.rand(n, generator=generator)
    return GaussianCells(y, b / b.sum(), lines=400)


def test_the_reference_in_the_plane_agrees_with_quantiles_on_the_line():
    flat = random_cells(1, 8)
    # Atoms on the second axis: the first coordinate costs E x₁² = 1, whatever the cell.
    plane = flat._replace(y=torch.cat([torch.zeros(8, 1), flat.y], dim=1))
    (_, value, left), (_, above, also_left) = flat.solve(), plane.solve()
    assert left < 1e-6 and also_left < 1e-6
    assert above == pytest.approx(value + 1, abs=1e-6)


def test_the_reference_on_the_line_is_the_monotone_map():
    cells = random_cells(1, 8)
    order = cells.y[:, 0].argsort()
    ends = torch.special.ndtri(cells.b.double()[order].cumsum(0)[:-1])
    h_tilde, value, _ = cells.solve()
    y, h = cells.y.double()[order, 0], h_tilde[order]
    # Between neighbours the boundary lies where both cost the same.
    assert torch.allclose((y.square() - h).diff() / (2 * y.diff()), ends, atol=1e-6)
    x = torch.special.ndtri((torch.arange(10**6, dtype=torch.float64) + 0.5) / 10**6)
    assert value == pytest.approx(float((x - y[torch.searchsorted(ends, x)]).square().mean()), abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("d", "n"), [(1, 10), (2, 10), (2, 30)])
def test_semidiscrete_reaches_the_known_value_and_states_its_true_marginal_error(d, n):
    cells = random_cells(d, n)
    _, value, left = cells.solve()
    assert left < 1e-4
    solution = semidiscrete(standard_gaussian(d), Empirical(cells.y, cells.b), SquaredEuclidean(), tol=0.02)
    masses, dual = cells._replace(lines=4000).masses_and_dual(solution.h_tilde)
    error = float((masses - cells.b.double()).abs().sum())
    assert solution.converged
    assert solution.lower == pytest.approx(dual, abs=3 * solution.lower_se)
    assert dual < value + 1e-5
    assert solution.lower == pytest.approx(value, abs=3 * solution.lower_se)
    assert solution.upper == pytest.approx(value, abs=3 * solution.upper_se)
    # Without its noise an error on many atoms is measured to about a standard error, but nothing is below 0.
    assert solution.marginal_error == pytest.approx(error, abs=3 * solution.marginal_error_se + 1e-4)
    assert error <= 0.02 + 3 * solution.marginal_error_se
