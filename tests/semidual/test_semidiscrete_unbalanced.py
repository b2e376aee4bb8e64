"""Semi-discrete transport whose data may be left at a price: closed forms, limits, duality, resuming."""

import math

import pytest
import torch
from scipy.optimize import brentq

from ot_gen import (
    ChiSquaredMarginal,
    Empirical,
    KLMarginal,
    SquaredEuclidean,
    Unbalanced,
    semidiscrete,
    standard_gaussian,
    uniform_cube,
)

SQUARES = SquaredEuclidean()


def outliers(unit=1.0, dtype=torch.float32):
    """Thirty atoms around (3, 0), two of which lie far away."""
    y = torch.randn(30, 2, generator=torch.Generator().manual_seed(0)) / 2 + torch.tensor([3.0, 0.0])
    y[28:] += torch.tensor([0.0, 12.0])
    return Empirical((unit * y).to(dtype))


@pytest.mark.parametrize("penalty", [KLMarginal, ChiSquaredMarginal])
def test_two_atoms_of_an_interval_share_it_as_first_order_conditions_say(penalty):
    rho, far, b = 2.0, 3.0, torch.tensor([0.4, 0.6])
    marginals = Unbalanced(penalty(rho))
    solution = semidiscrete(
        uniform_cube(1, 0.0, 1.0), Empirical(torch.tensor([[0.0], [far]]), b), SQUARES, marginals=marginals, tol=0.01
    )

    def excess(q):  # of the first atom's mass, where [0, q] is its cell
        table = torch.tensor([q**2 - (q - far) ** 2, 0.0], dtype=torch.float64)
        return q - float(marginals.masses(table, b.double())[0])

    q = brentq(excess, 1e-9, 1 - 1e-9)
    shares = torch.tensor([q, 1 - q]) / b
    cost = q**3 / 3 + ((far - q) ** 3 - (far - 1) ** 3) / 3
    value = cost + float(b @ marginals.data.divergence(shares))
    assert solution.converged
    assert solution.reweighted.tolist() == pytest.approx([q, 1 - q], abs=0.01)
    assert solution.lower == pytest.approx(value, abs=3 * solution.lower_se + 0.01)
    assert solution.lower - 3 * solution.lower_se <= value <= solution.upper + 3 * solution.upper_se


def test_outliers_lose_their_mass_and_the_value_is_bracketed_below_the_balanced_one():
    nu, mu = outliers(), standard_gaussian(2)
    balanced = semidiscrete(mu, nu, SQUARES, tol=0.05)
    solution = semidiscrete(mu, nu, SQUARES, tol=0.05, marginals=Unbalanced(KLMarginal(5.0)))
    assert solution.converged and "certified" in solution.message
    assert float(solution.reweighted.sum()) == pytest.approx(1, abs=1e-5)
    assert float(solution.reweighted[28:].sum()) < 1e-6
    assert float((solution.masses - solution.reweighted).abs().sum()) < 0.1
    assert solution.lower <= solution.upper + 3 * solution.upper_se and solution.gap < 0.02
    assert solution.upper < balanced.lower
    # Weak duality: at any masses q, the balanced solve and their price are an upper bound.
    q = solution.reweighted
    fixed = semidiscrete(mu, Empirical(nu.atoms, q), SQUARES, tol=0.05)
    price = float(nu.weights @ KLMarginal(5.0).divergence(q / nu.weights))
    assert fixed.lower + price == pytest.approx(solution.lower, rel=0.02)


@pytest.mark.parametrize("penalty", [KLMarginal, ChiSquaredMarginal])
def test_a_large_strength_is_the_balanced_problem_and_a_small_one_takes_what_is_near(penalty):
    nu, mu = outliers(), standard_gaussian(2)
    balanced = semidiscrete(mu, nu, SQUARES, tol=0.05)
    strong = semidiscrete(mu, nu, SQUARES, tol=0.05, marginals=Unbalanced(penalty(1e7)))
    assert strong.converged
    assert strong.lower == pytest.approx(balanced.lower, abs=3 * math.hypot(strong.lower_se, balanced.lower_se) + 0.02)
    assert torch.allclose(strong.reweighted, nu.weights, atol=1e-4)


def test_a_small_strength_takes_what_is_near():
    nu, mu = outliers(), standard_gaussian(2)
    near = semidiscrete(mu, nu, SQUARES, tol=0.1, marginals=Unbalanced(KLMarginal(0.1)))
    nearest = SQUARES.matrix(mu.sample(20_000), nu.atoms).amin(dim=1)
    assert near.lower == pytest.approx(float(nearest.mean()), rel=0.1)


def test_the_solve_is_equivariant_to_units():
    solutions = []
    for unit in (1.0, 2.0**-20):
        torch.manual_seed(0)
        mu = uniform_cube(2, -unit, unit)
        marginals = Unbalanced(KLMarginal(5 * unit**2))
        solutions.append(semidiscrete(mu, outliers(unit), SQUARES, tol=0.1, marginals=marginals))
    one, other = solutions
    assert other.lower == pytest.approx(one.lower * 2.0**-40, rel=1e-3)
    assert torch.allclose(one.reweighted, other.reweighted, atol=1e-3)


def test_a_solve_that_was_stopped_goes_on_bit_for_bit(tmp_path):
    nu, mu, marginals = outliers(), standard_gaussian(2), Unbalanced(ChiSquaredMarginal(5.0))

    def solve(**options):
        torch.manual_seed(0)
        return semidiscrete(mu, nu, SQUARES, tol=0.02, marginals=marginals, **options)

    whole, stops = solve(), []

    def stop(progress):
        if progress.samples > 8000 and not stops:
            stops.append(progress)
            raise KeyboardInterrupt

    solve(callbacks=[stop], checkpoint=tmp_path / "solve")
    resumed = solve(resume=tmp_path / "solve")
    assert torch.equal(resumed.h_tilde, whole.h_tilde)
    assert torch.equal(resumed.reweighted, whole.reweighted)
    with pytest.raises(ValueError, match="marginals"):
        torch.manual_seed(0)
        other = Unbalanced(ChiSquaredMarginal(6.0))
        semidiscrete(mu, nu, SQUARES, tol=0.02, marginals=other, resume=tmp_path / "solve")
    with pytest.raises(ValueError, match="keeps the masses of mu"):
        semidiscrete(mu, nu, SQUARES, marginals=Unbalanced(KLMarginal(1.0), KLMarginal(1.0)))


def test_atoms_that_coincide_or_weigh_nothing_share_what_is_left():
    nu = outliers(dtype=torch.float64)
    atoms = torch.cat([nu.atoms, nu.atoms[:1], nu.atoms[:1]])
    doubled = Empirical(atoms, torch.cat([torch.ones(31), torch.zeros(1)]).double() / 31)
    mu = standard_gaussian(2).double()
    solution = semidiscrete(mu, doubled, SQUARES, tol=0.1, marginals=Unbalanced(KLMarginal(5.0)))
    q = solution.reweighted
    assert q[31] == 0 and q[30] == pytest.approx(float(q[0]))
    assert float(q.sum()) == pytest.approx(1)
