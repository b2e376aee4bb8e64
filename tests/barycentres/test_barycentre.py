"""Barycentres: known answers, what does not change them, and the bracket."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from torch import nn

from ot_gen import (
    MLP,
    DebiasedPlanCoupling,
    Dirac,
    DiscretePotential,
    DualSolver,
    Empirical,
    Euclidean,
    Lp,
    MatchedPlanCoupling,
    Measures,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    Reference,
    SquaredEuclidean,
    SumSolver,
    adam,
    barycentre,
    exact_plan,
    fit,
    gradient_flow,
    standard_gaussian,
)
from ot_gen.transport import gaussian_barycentre, gaussian_maps

SQUARED = SquaredEuclidean()


def cloud(n, d, seed, scale=1.0):
    return scale * torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def masses(n, seed):
    b = torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1
    return b / b.sum()


def spd(d, seed):
    root = cloud(d, d, seed)
    return root @ root.T / d + 0.2 * torch.eye(d, dtype=torch.float64)


def programme(costs, bs, weights):
    """min over a of Σ λ W(a, ν_k), as one linear programme with all its columns."""
    n = len(costs[0])
    sizes = [n * len(b) for b in bs]
    price = np.concatenate([w * C.flatten().numpy() for w, C in zip(weights, costs, strict=True)] + [np.zeros(n)])
    rows, right, place = [], [], 0
    for b, size in zip(bs, sizes, strict=True):
        for i in range(n):
            row = np.zeros(len(price))
            row[place + i * len(b) : place + (i + 1) * len(b)] = 1
            row[sum(sizes) + i] = -1
            rows.append(row)
            right.append(0.0)
        for j in range(len(b)):
            row = np.zeros(len(price))
            row[place + j : place + size : len(b)] = 1
            rows.append(row)
            right.append(float(b[j]))
        place += size
    return linprog(price, A_eq=np.array(rows), b_eq=right, bounds=(0, None)).fun


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([SQUARED, Euclidean(), Lp(3)]), st.integers(1, 3))
def test_on_a_support_the_bracket_is_the_linear_programme(seed, cost, several):
    bs = [masses(4 + k, seed + k) for k in range(several)]
    nus = [Empirical(cloud(len(b), 2, seed + 10 + k), b) for k, b in enumerate(bs)]
    support, weights = cloud(7, 2, seed + 20), masses(several, seed + 30)
    result = barycentre(nus, weights, cost, support=support)
    truth = programme([cost.matrix(support, nu.atoms) for nu in nus], bs, weights.tolist())
    assert result.converged
    assert result.lower <= truth + 1e-9 and truth <= result.upper + 1e-9
    assert result.upper - result.lower <= 2e-4 * abs(truth)
    assert float(result.masses.sum()) == pytest.approx(1)


def test_a_smooth_barycentre_says_how_far_from_the_exact_one_it_is():
    nus = [Empirical(cloud(5, 2, k)) for k in range(2)]
    support = cloud(9, 2, 5)
    exact, smooth = (
        barycentre(nus, None, SQUARED, support=support, epsilon=epsilon, tol=1e-6) for epsilon in (0.0, 0.5)
    )
    assert smooth.converged and bool((smooth.masses > 0).all())
    assert smooth.lower <= exact.upper + 1e-9 and smooth.upper >= exact.lower - 1e-9
    assert smooth.gap > exact.gap


@pytest.mark.parametrize("cost", [SQUARED, Euclidean()])
def test_the_barycentre_of_one_measure_is_that_measure(cost):
    nu = Empirical(cloud(12, 2, 0), masses(12, 1))
    free = barycentre([nu], None, cost)
    fixed = barycentre([nu], None, cost, support=nu.atoms)
    for result in (free, fixed):
        assert torch.allclose(result.atoms, nu.atoms) and torch.allclose(result.masses, nu.weights)
        assert result.lower == pytest.approx(0, abs=1e-6) and result.upper == pytest.approx(0, abs=1e-6)


def test_a_measure_of_weight_zero_is_none():
    first, second = Empirical(cloud(8, 2, 0)), Empirical(cloud(9, 2, 1))
    assert torch.equal(barycentre([first, second], [0.0, 1.0], SQUARED).atoms, second.atoms)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 0.9))
def test_of_two_translated_clouds_it_is_the_cloud_between(seed, share):
    y, shift = cloud(10, 3, seed), cloud(1, 3, seed + 1)
    result = barycentre([Empirical(y), Empirical(y + shift)], [1 - share, share], SQUARED)
    value = share * (1 - share) * float(shift.square().sum())
    assert torch.allclose(result.atoms.sort(dim=0).values, (y + share * shift).sort(dim=0).values)
    assert result.lower == pytest.approx(value) and result.upper == pytest.approx(value)


def test_on_the_line_quantiles_average():
    tables = [cloud(20, 1, k, scale=k + 1.0).sort(dim=0).values for k in range(3)]
    weights = masses(3, 7)
    result = barycentre([Empirical(y) for y in tables], weights, SQUARED)
    quantiles = sum(w * y for w, y in zip(weights, tables, strict=True))
    assert torch.allclose(result.atoms.sort(dim=0).values, quantiles)
    assert result.lower == pytest.approx(result.upper) and result.converged


def test_for_a_distance_two_points_have_any_point_between():
    left, right = Empirical(torch.zeros(2, 2).double()), Empirical(torch.tensor([[2.0, 0.0]] * 2).double())
    result = barycentre([left, right], [0.25, 0.75], Euclidean())
    assert result.lower == pytest.approx(0.5)  # the triangle inequality: all mass at the heavier one
    assert result.upper <= 0.5 * 3 + 1e-6


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6))
def test_order_units_and_shifts_change_nothing(seed):
    tables = [cloud(9, 2, seed + k) for k in range(3)]
    weights = masses(3, seed)
    plain = barycentre([Empirical(y) for y in tables], weights, SQUARED)
    for factor, shift in ((1e-3, 0.0), (1e4, 5.0)):
        moved = barycentre([Empirical(factor * (y + shift)) for y in tables], weights, SQUARED)
        assert torch.allclose(moved.atoms / factor - shift, plain.atoms, atol=1e-6)
        assert moved.upper / factor**2 == pytest.approx(plain.upper, rel=1e-6)
        assert moved.lower / factor**2 == pytest.approx(plain.lower, rel=1e-5)
    turned = barycentre([Empirical(y) for y in tables[::-1]], weights.flip(0), SQUARED)
    assert turned.lower == pytest.approx(plain.lower, rel=1e-6)
    support = cloud(12, 2, seed + 9)
    values = [
        barycentre(
            [Empirical(factor * tables[k]) for k in order], weights[list(order)], SQUARED, support=factor * support
        ).upper
        / factor**2
        for order, factor in (((0, 1, 2), 1.0), ((2, 0, 1), 1.0), ((0, 1, 2), 1e-3), ((0, 1, 2), 1e3))
    ]
    assert values == pytest.approx([values[0]] * 4, rel=2e-4)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6))
def test_the_lower_bound_is_below_every_law(seed):
    """The weighted means of triples hold a barycentre, so their programme is the minimum over all laws."""
    tables = [cloud(4, 2, seed + k) for k in range(3)]
    weights = masses(3, seed)
    nus = [Empirical(y) for y in tables]
    free = barycentre(nus, weights, SQUARED)
    triples = sum(
        w * y[index]
        for w, y, index in zip(weights, tables, torch.cartesian_prod(*[torch.arange(4)] * 3).T, strict=True)
    )
    exact = barycentre(nus, weights, SQUARED, support=triples)
    assert free.lower <= exact.upper + 1e-9
    assert exact.lower <= free.upper + 1e-9


def test_gaussians_have_the_fixed_point_of_their_covariances():
    covariances, weights = [spd(5, k) for k in range(3)], masses(3, 0)
    centre = gaussian_barycentre(covariances, weights)
    maps = sum(w * gaussian_maps(centre.covariance, S).forth for w, S in zip(weights, covariances, strict=True))
    assert torch.allclose(maps, torch.eye(5, dtype=torch.float64), atol=1e-5)
    one = gaussian_barycentre([covariances[0]], torch.ones(1)).covariance
    assert torch.allclose(one, covariances[0])
    diagonal = [torch.diag(masses(4, k)) for k in range(3)]  # of one frame: standard deviations average
    roots = sum(w * S.sqrt() for w, S in zip(weights, diagonal, strict=True))
    assert torch.allclose(gaussian_barycentre(diagonal, weights).covariance, roots.square(), atol=1e-6)


class Affine(nn.Module):
    def __init__(self, matrix, shift):
        super().__init__()
        self.register_buffer("matrix", matrix.float())
        self.shift = shift

    def forward(self, z):
        return z @ self.matrix + self.shift


def test_a_matched_plan_is_unbiased_between_gaussians():
    mu, A = standard_gaussian(4), spd(4, 0)
    nu = Pushforward(Affine(A, 1.0), standard_gaussian(4))
    truth = 4 + float((A - torch.eye(4)).square().sum())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        coupling = MatchedPlanCoupling(exact_plan)
        coupling.bind(mu, nu, SQUARED)
        values = torch.stack([coupling(mu, nu, SQUARED, 32).value for _ in range(200)])
        plain = torch.stack([PlanCoupling(exact_plan)(mu, nu, SQUARED, 32).value for _ in range(50)]).mean()
    assert abs(float(values.mean()) - truth) < 4 * float(values.std()) / 200**0.5 + 0.02 * truth
    assert float(plain) > 1.1 * truth
    with pytest.raises(ValueError, match="squared distance"):
        coupling.bind(mu, nu, Euclidean())


@pytest.mark.slow
def test_the_default_generator_of_laws_is_the_gaussian_barycentre():
    roots, weights = [spd(6, k) for k in range(2)], torch.tensor([0.4, 0.6])
    nus = [Pushforward(Affine(A, float(k)), standard_gaussian(6)) for k, A in enumerate(roots)]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        result = barycentre(nus, weights, SQUARED, steps=20, samples=200)
        x = result.mu.sample(40_000).double()
    S = gaussian_barycentre([A @ A for A in roots], weights).covariance
    C = torch.cov(x.T)
    distance = (x.mean(dim=0) - 0.6).square().sum() + S.trace() + C.trace() - 2 * gaussian_maps(S, C).overlap
    assert float(distance / S.trace()) < 0.01
    truth = sum(
        w * ((k - 0.6) ** 2 * 6 + S.trace() + (A @ A).trace() - 2 * gaussian_maps(S, A @ A).overlap)
        for k, (w, A) in enumerate(zip(weights, roots, strict=True))
    )
    assert abs(result.lower - float(truth)) < 4 * result.lower_se + 0.02 * float(truth)
    assert result.atoms is None and result.lower < result.upper


def test_a_sum_of_solvers_is_the_weighted_sum_of_their_estimates():
    nus = Measures([standard_gaussian(2), Empirical(torch.randn(8, 2))], [0.25, 0.75])
    mu = Pushforward(MLP(2, 2, (4,)), standard_gaussian(2))
    terms = [PrimalSolver(SQUARED, DebiasedPlanCoupling(exact_plan)) for _ in range(2)]
    solver = SumSolver(terms)
    solver.prepare(mu, nus)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        together = solver(mu, nus, 16).value
        torch.manual_seed(3)
        apart = 0.25 * terms[0](mu, nus.part(0), 16).value + 0.75 * terms[1](mu, nus.part(1), 16).value
    assert torch.equal(together, apart)
    assert set(solver.diagnostics()) == {f"{name}_{k}" for name in ("floor", "spread") for k in range(2)}


def test_tables_as_terms_train_a_generator():
    """The semi-discrete dual: towards two clouds of one shape, the generator's mean goes to the mean between them."""
    nus = [Empirical(torch.randn(6, 2) + shift) for shift in (0.0, 4.0)]
    mu = Pushforward(nn.Linear(2, 2), standard_gaussian(2))
    terms = [DualSolver(SQUARED, DiscretePotential(), inner_steps=1) for _ in nus]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        fit(mu, Measures(nus, [0.5, 0.5]), SumSolver(terms), steps=150, batch_size=64, optimizer=partial(adam, lr=3e-2))
        mean = mu.sample(2000).mean(dim=0)
    assert torch.allclose(mean, sum(nu.atoms.mean(dim=0) for nu in nus) / 2, atol=0.4)


def test_a_generator_is_trained_in_place_and_its_terms_may_be_given():
    target = Dirac(torch.tensor([1.0, 0.0])), Dirac(torch.tensor([3.0, 2.0]))
    mu = Pushforward(nn.Linear(1, 2), standard_gaussian(1))
    before = mu.map.bias.detach().clone()
    terms = [PrimalSolver(Euclidean(), PlanCoupling(exact_plan)) for _ in target]
    with pytest.warns(UserWarning, match="did not arrive: nothing but the bracket"):
        result = barycentre(
            [Reference(law) for law in target], None, Euclidean(), mu=mu, terms=terms, steps=3, samples=50
        )
    assert result.mu is mu and not torch.equal(before, mu.map.bias)
    assert not result.converged and result.lower <= result.upper


def test_a_solve_that_is_cut_short_says_so():
    nus = [Empirical(cloud(40, 2, k)) for k in range(3)]
    with pytest.warns(UserWarning, match="more steps would lower it"):
        assert not barycentre(nus, None, SQUARED, steps=1, tol=1e-9).converged


def test_a_flow_goes_straight_to_one_measure_and_downhill_to_several():
    nus = [Empirical(cloud(15, 2, k)) for k in range(2)]
    start = cloud(15, 2, 7, scale=0.3)
    path = gradient_flow(nus[:1], None, SQUARED, start, time=3.0, steps=30)
    assert path.shape == (31, 15, 2) and torch.equal(path[0], start)
    assert float(exact_plan(SQUARED.matrix(path[-1], nus[0].atoms)).value) < 1e-2
    directions = nn.functional.normalize(path[1:-1] - path[:1], dim=2)
    assert torch.allclose(directions[0], directions[-1], atol=1e-6)  # of one plan, so the rays are straight
    down = gradient_flow(nus, None, Euclidean(), start, time=0.5, steps=5)
    values = [sum(float(exact_plan(Euclidean().matrix(x, nu.atoms)).value) for nu in nus) for x in down]
    assert values == sorted(values, reverse=True)


def test_the_callers_random_state_moves_by_one_number():
    nus = [Empirical(cloud(6, 2, k)) for k in range(2)]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        barycentre(nus, None, SQUARED)
        after = torch.rand(1)
        torch.manual_seed(0)
        torch.randint(2**30, ())
        assert torch.equal(after, torch.rand(1))


A, B = Empirical(torch.zeros(2, 2)), Empirical(torch.ones(2, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: barycentre([], None, SQUARED), "needs measures, got none"),
        (lambda: barycentre([A, B], [1.0], SQUARED), r"weights must have shape \(2,\)"),
        (lambda: barycentre([A, B], [0.7, 0.7], SQUARED), "sum to 1"),
        (lambda: barycentre([A, Empirical(torch.ones(2, 3))], None, SQUARED), "share one space"),
        (lambda: barycentre([A, Empirical(torch.ones(2, 2).double())], None, SQUARED), "share one space, dtype"),
        (lambda: barycentre([A], None, SQUARED, support=torch.ones(4, 3)), "support must have points of dimension 2"),
        (lambda: barycentre([A], None, SQUARED, support=torch.ones(4, 2), mu=A), "two forms"),
        (lambda: barycentre([A], None, SQUARED, epsilon=0.1), "there is none; give support"),
        (lambda: barycentre([A], None, SQUARED, mu=Empirical(torch.ones(2, 3))), "mu must have points of dimension 2"),
        (lambda: barycentre([A], None, SQUARED, terms=[]), "terms are the solvers that train a generator"),
        (lambda: gradient_flow([A], None, SQUARED, torch.ones(3, 4)), "start must have points of dimension 2"),
        (lambda: SumSolver([]), "got none"),
        (
            lambda: SumSolver([PrimalSolver(SQUARED, c(exact_plan)) for c in (PlanCoupling, DebiasedPlanCoupling)]),
            "of one kind, got DebiasedPlanCoupling and PlanCoupling",
        ),
        (
            lambda: SumSolver([PrimalSolver(SQUARED, PlanCoupling(exact_plan))] * 2),
            "share one coupling",
        ),
        (lambda: gaussian_barycentre([torch.eye(2)], torch.tensor([0.5, 0.5])), "one number for each covariance"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_sum_of_solvers_takes_as_many_measures_as_terms():
    solver = SumSolver([PrimalSolver(SQUARED, PlanCoupling(exact_plan))])
    mu = Pushforward(nn.Linear(2, 2), standard_gaussian(2))
    with pytest.raises(ValueError, match="has 1 terms and got a Empirical"):
        fit(mu, A, solver, steps=1, batch_size=2)
