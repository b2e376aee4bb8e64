"""Pairings: every pair is of the coupling that it says."""

import copy
import math
from collections import Counter
from functools import partial

import pytest
import torch
from couplings.pairs import PAIRINGS, Fixed, problem
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import discrete

from ot_gen import (
    Empirical,
    Euclidean,
    FeatureCost,
    IndependentPairing,
    PlanPairing,
    Reference,
    SquaredEuclidean,
    TablePairing,
    data,
    exact_plan,
    partial_plan,
    sinkhorn_plan,
    standard_gaussian,
    unbalanced_plan,
)
from ot_gen.transport import Pairs, SparsePlan

COST = SquaredEuclidean()
LINE = standard_gaussian(1)


def drawn(pairing, zeta, nu, batches, n, cost=COST):
    parts = [pairing(zeta, nu, cost, n) for _ in range(batches)]
    return tuple(torch.cat([part[side] for part in parts]) for side in (0, 1))


def weighted(m, d, dtype=torch.float32):
    weights = torch.rand(m, dtype=dtype) + 0.2
    return Empirical(torch.randn(m, d, dtype=dtype), weights=weights / weights.sum())


def once(plan, C):
    """The plan of these costs, made once, and of others, made anew."""
    kept = plan(C)
    return lambda other: kept if other.shape == C.shape else plan(other)


def counts(y, atoms):
    return (y[:, None] == atoms).all(dim=2).sum(dim=0)


@pytest.fixture
def atoms():
    return weighted(40, 2)


# --- the product


def test_the_independent_pairing_is_the_product(atoms):
    n = 40_000
    z, y = IndependentPairing()(standard_gaussian(2), atoms, COST, n)
    covariance = (z - z.mean(dim=0)).T @ (y - y.mean(dim=0)) / n
    assert covariance.abs().max() < 5 * y.std() / math.sqrt(n)
    error = (counts(y, atoms.atoms) / n - atoms.weights).abs() / (atoms.weights / n).sqrt()
    assert error.max() < 5


# --- plans


@pytest.mark.parametrize(("size", "n"), [(128, 32), (100, 32), (32, 32), (30, 7), (20, 50)])
def test_a_permutation_repeats_no_point_within_a_plan(size, n):
    """Each plan's pairs are monotone on the line, wherever batches begin and end."""
    batches = 2 * size if n <= size else 3
    pairing, nu = PlanPairing(exact_plan, size), Reference(LINE.law)
    pairing.bind(LINE, nu, COST)
    z, y = drawn(pairing, LINE, nu, batches, n)
    of_a_plan = max(size, n)
    for first in range(0, batches * n, of_a_plan):
        own_z, own_y = (part[first : first + of_a_plan, 0] for part in (z, y))
        assert len(own_z.unique()) == len(own_y.unique()) == len(own_z)
        assert bool((own_y[own_z.argsort()].diff() > -1e-4).all())  # nearer points swap at no cost in float32


def test_consecutive_batches_are_no_sorted_parts_of_a_plan():
    z, _ = drawn(PlanPairing(exact_plan, 64), LINE, LINE, 1, 32)
    assert not bool((z[:, 0].diff() > 0).all())
    assert abs(z.mean()) < 5 / math.sqrt(32)


@pytest.mark.parametrize("name", ["exact", "sinkhorn", "partial"])
def test_pairs_left_over_are_part_of_the_state(name):
    """What is stored after 10 of 24 pairs goes on as what was never stored."""
    mu, nu, _ = problem(PAIRINGS[name]())
    first, second = PAIRINGS[name](), PAIRINGS[name]()
    first.bind(mu.base, nu, COST)
    second.bind(mu.base, nu, COST)
    drawn(first, mu.base, nu, 1, 10)
    second.load_state_dict(first.state_dict())
    random = torch.get_rng_state()
    one = drawn(first, mu.base, nu, 5, 9)
    torch.set_rng_state(random)
    other = drawn(second, mu.base, nu, 5, 9)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_what_is_drawn_stays_when_the_next_plan_is_made():
    pairing = PlanPairing(exact_plan, 8)
    pairing.bind(LINE, LINE, COST)
    z, y = pairing(LINE, LINE, COST, 8)
    before = z.clone(), y.clone()
    pairing(LINE, LINE, COST, 8)
    assert torch.equal(z, before[0]) and torch.equal(y, before[1])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([SquaredEuclidean(), Euclidean()]))
def test_no_pairs_cost_less_than_the_optimal_ones(seed, cost):
    """E_π c >= W_c for the product and an entropic plan, equal for the exact plan of all points."""
    known = discrete(cost, n=8, m=8, seed=seed, uniform=True)
    zeta, nu = Fixed(known.x), Fixed(known.y)
    means = {}
    for name, plan in (("exact", exact_plan), ("entropic", partial(sinkhorn_plan, epsilon=2.0))):
        z, y = drawn(PlanPairing(once(plan, known.C), 8), zeta, nu, 1 if name == "exact" else 100, 8, cost)
        means[name] = float(cost(z, y).mean())
    assert means["exact"] == pytest.approx(known.value, rel=1e-9)
    assert known.value < means["entropic"]
    assert float(known.C.mean()) > known.value


@pytest.mark.slow
@pytest.mark.parametrize(
    "plan",
    [partial(sinkhorn_plan, epsilon=0.5), partial(partial_plan, mass=0.6), partial(unbalanced_plan, penalty=0.5)],
)
def test_pairs_appear_as_often_as_the_plan_says(plan):
    known, repeats = discrete(COST, n=6, m=6, uniform=True), 1500
    plan = once(plan, known.C)
    P = plan(known.C).matrix
    z, y = drawn(PlanPairing(plan, 6), Fixed(known.x), Fixed(known.y), repeats, 6)
    i, j = (torch.cdist(part, points).argmin(dim=1) for part, points in ((z, known.x), (y, known.y)))
    seen = torch.zeros(6, 6, dtype=torch.float64).index_put_((i, j), torch.ones(len(i)).double(), accumulate=True)
    shares = P.sum(dim=1) / P.sum()
    taken = seen.sum(dim=1) / repeats
    assert bool(((taken - 6 * shares).abs() < 1).all())  # ⌊6 p⌋ or ⌈6 p⌉ each time
    partners = P / P.sum(dim=1, keepdim=True)
    for row in range(6):
        if taken[row] > 0:
            noise = (partners[row] * (1 - partners[row]) / seen[row].sum()).sqrt()
            assert bool(((seen[row] / seen[row].sum() - partners[row]).abs() <= 5 * noise + 1e-9).all())


@pytest.mark.parametrize("plan", [partial(partial_plan, mass=0.75), partial(unbalanced_plan, penalty=1.0)])
@pytest.mark.parametrize("side", [0, 1])
def test_outliers_of_either_side_are_left_out(plan, side):
    points = [torch.randn(16, 2, dtype=torch.float64) for _ in range(2)]
    points[side][:3] += 100
    pairs = drawn(PlanPairing(plan, 16), *map(Fixed, points), 20, 16)
    assert pairs[side].max() < 50


def test_a_plan_without_mass_has_no_pairs():
    def empty(C):
        return SparsePlan(C, None, lambda: None, Pairs.of(torch.zeros_like(C)))

    with pytest.raises(ValueError, match=r"carries no mass, so there are no pairs"):
        PlanPairing(empty, 4)(LINE, LINE, COST, 4)


def test_weighted_atoms_are_met_as_often_as_they_weigh(atoms):
    pairing = PlanPairing(exact_plan, 64)
    pairing.bind(standard_gaussian(2), atoms, COST)
    n = 64 * 60
    _, y = drawn(pairing, standard_gaussian(2), atoms, 60, 64)
    error = (counts(y, atoms.atoms) / n - atoms.weights).abs() / (atoms.weights / n).sqrt()
    assert error.max() < 5


# --- what is refused, and what binding does


@pytest.mark.parametrize("name", PAIRINGS)
def test_spaces_that_differ_are_named(name):
    pairing = PAIRINGS[name]()
    with pytest.raises(ValueError, match=r"reference lives in dimension 3 and the data in dimension 2.*gaussian\(2\)"):
        pairing.bind(standard_gaussian(3), Empirical(torch.randn(5, 2)), COST)


@pytest.mark.parametrize("name", PAIRINGS)
def test_binding_is_idempotent_forgets_and_leaves_the_random_state(name):
    mu, nu, _ = problem(PAIRINGS[name]())
    used, fresh = PAIRINGS[name](), PAIRINGS[name]()
    used.bind(standard_gaussian(3), Empirical(torch.randn(9, 3)), COST)
    random = torch.get_rng_state()
    for pairing in (used, used, fresh):
        pairing.bind(mu.base, nu, COST)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(used.state_dict()[key], value) for key, value in fresh.state_dict().items())
    assert used.diagnostics() == fresh.diagnostics() == {}


@pytest.mark.parametrize("name", PAIRINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pairs_have_the_dtype_of_the_problem_and_no_graph(name, dtype):
    mu, nu, _ = problem(PAIRINGS[name](), dtype=dtype)
    pairing = PAIRINGS[name]()
    pairing.bind(mu.base, nu, COST)
    pairing.settle(mu.base, nu, COST, None, None)
    for part in pairing(mu.base, nu, COST, 10):
        assert part.shape == (10, 2) and part.dtype == dtype and not part.requires_grad


def test_a_function_that_makes_no_plan_is_refused():
    with pytest.raises(ValueError, match="returns a Plan, got a Tensor"):
        PlanPairing(lambda C: C)
    with pytest.raises(ValueError, match="size must be a whole number >= 1, got 0"):
        PlanPairing(exact_plan, 0)


# --- the table


@pytest.mark.slow
def test_on_the_line_the_table_is_the_monotone_map_with_the_atoms_masses():
    nu = weighted(30, 1, torch.float64)
    zeta, pairing = standard_gaussian(1).double(), TablePairing(tol=0.03)
    pairing.settle(zeta, nu, COST, None, None)
    n = 60_000
    z, y = pairing(zeta, nu, COST, n)
    assert bool((y[z[:, 0].argsort(), 0].diff() >= 0).all())
    shares = counts(y, nu.atoms) / n
    noise = (nu.weights / n).sqrt().sum()
    assert float((shares - nu.weights).abs().sum()) < 0.03 + 2 * noise
    assert pairing.diagnostics()["pair_marginal_error"] < 0.03
    bracket = pairing.bracket
    value = (z - y).square().sum(dim=1)
    error = 4 * float(value.std()) / math.sqrt(n)
    assert bracket.lower - 4 * bracket.lower_se - error < float(value.mean())
    exact = torch.distributions.Normal(0.0, 1.0)  # the quantile function of ν against that of ζ
    order = nu.atoms[:, 0].argsort()
    edges = exact.icdf(nu.weights[order].cumsum(0).clamp(1e-12, 1 - 1e-12))
    cell = torch.searchsorted(edges, z[:, 0].contiguous()).clamp_max(29)
    w2 = float((z[:, 0] - nu.atoms[order, 0][cell]).square().mean())
    assert w2 == pytest.approx(float(value.mean()), rel=0.02)
    assert bracket.lower - 3 * bracket.lower_se - error < w2 < bracket.upper + 3 * bracket.upper_se + error


def test_no_pairing_costs_less_than_the_lower_end_of_the_tables_bracket(atoms):
    zeta, table = standard_gaussian(2), TablePairing(tol=0.05)
    table.settle(zeta, atoms, COST, None, None)
    means = {}
    for name, pairing in (
        ("table", table),
        ("independent", IndependentPairing()),
        ("plan", PlanPairing(exact_plan, 32)),
    ):
        pairing.bind(zeta, atoms, COST) if name != "table" else None
        z, y = drawn(pairing, zeta, atoms, 300, 32)
        means[name] = float((z - y).square().sum(dim=1).mean())
    assert table.bracket.lower - 0.1 < means["table"] < means["plan"] < means["independent"]


def test_pairs_are_those_of_the_present_table():
    """Cells are kept from batch to batch: none of an earlier table."""
    zeta, nu, pairing = standard_gaussian(2), weighted(9, 2), TablePairing(tol=0.3)
    pairing.settle(zeta, nu, COST, None, None)
    for table in (pairing.h_tilde.clone(), torch.zeros(9), torch.randn(9)):
        with torch.no_grad():
            pairing.h_tilde.copy_(table)
        z, y = pairing(zeta, nu, COST, 200)
        assert torch.equal(y, nu.atoms[(COST.matrix(z, nu.atoms) - table).argmin(dim=1)])


def others(zeta, nu, cost):
    """Problems that differ in one part each."""
    moved = Reference(torch.distributions.Independent(torch.distributions.Normal(torch.ones(2), 1.0), 1))
    yield moved, nu, cost
    yield zeta, Empirical(nu.atoms + 1000, nu.weights), cost
    yield zeta, Empirical(nu.atoms, nu.weights.flip(0)), cost
    yield zeta, nu, Euclidean()


def test_a_table_is_of_one_problem():
    zeta, nu, pairing = standard_gaussian(2), weighted(9, 2), TablePairing(tol=0.3)
    pairing.settle(zeta, nu, COST, None, None)
    for other in others(zeta, nu, COST):
        for call in (lambda *of: pairing(*of, 8), lambda *of: pairing.settle(*of, None, None)):
            with pytest.raises(ValueError, match="solved for another reference, data or cost; bind and settle"):
                call(*other)
    pairing(standard_gaussian(2), Empirical(nu.atoms.clone(), nu.weights.clone()), SquaredEuclidean(), 8)
    second = Empirical(nu.atoms + 1000, nu.weights)
    pairing.bind(zeta, second, COST)
    pairing.settle(zeta, second, COST, None, None)
    assert float(pairing(zeta, second, COST, 8)[1].min()) > 900


@pytest.mark.parametrize("cost", [SquaredEuclidean(), FeatureCost(torch.nn.Linear(2, 2), SquaredEuclidean())])
def test_pairs_of_another_problem_are_none_that_were_held(cost):
    zeta, nu, pairing = standard_gaussian(2), weighted(40, 2), PlanPairing(exact_plan, 32)
    pairing.bind(zeta, nu, cost)
    pairing(zeta, nu, cost, 8)
    held = pairing.held.clone()
    for other in others(zeta, nu, cost):
        z, y = pairing(*other, 8)
        assert not bool((z[:, None] == held[None, :, 0]).all(dim=2).any())
        assert bool((y[:, None] == other[1].atoms).all(dim=2).any(dim=1).all())
    z, _ = pairing(standard_gaussian(2), Empirical(nu.atoms.clone(), nu.weights), copy.deepcopy(cost), 8)
    assert torch.equal(z, held[8:16, 0])


def test_a_table_that_is_not_certified_says_so_and_serves(atoms, caplog):
    pairing = TablePairing(tol=0.001, max_samples=2**12)
    pairing.settle(standard_gaussian(2), atoms, COST, None, None)
    assert "not certified" in caplog.text and "asked was 0.001" in caplog.text
    _, y = pairing(standard_gaussian(2), atoms, COST, 100)
    assert Counter(map(tuple, y.tolist())).keys() <= Counter(map(tuple, atoms.atoms.tolist())).keys()


def test_a_table_needs_atoms_with_mass_and_a_solve():
    law, pairing = data.two_moons(), TablePairing()
    for call in (pairing.bind, lambda *problem: pairing.settle(*problem, None, None)):
        with pytest.raises(ValueError, match=r"needs the atoms of an Empirical, got .* fix a training set"):
            call(standard_gaussian(2), law, COST)
        with pytest.raises(ValueError, match=r"1 atoms have mass 0.*remove them"):
            call(standard_gaussian(2), Empirical(torch.eye(2), weights=torch.tensor([0.0, 1.0])), COST)
    with pytest.raises(ValueError, match="not solved yet: call settle"):
        pairing(standard_gaussian(2), Empirical(torch.eye(2)), COST, 4)
