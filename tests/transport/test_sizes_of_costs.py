"""Exact and partial plans are exact whatever the unit of the costs, and whatever a few of them are."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ot_gen import SquaredEuclidean, exact_plan, partial_plan, sinkhorn_plan, unbalanced_plan, wasserstein

pytestmark = pytest.mark.usefixtures("float64")

SIZES = [10.0**power for power in (-300, -200, -100, -30, -14, -8, 8, 30, 100, 200, 280)]


def costs(n, m, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, m, generator=generator), torch.rand(n, generator=generator) + 0.1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("plan", [exact_plan, lambda *given: partial_plan(*given, mass=0.6)], ids=["exact", "partial"])
def test_the_plan_does_not_depend_on_the_unit_of_the_costs(plan, size):
    C, a = costs(20, 30)
    whole, scaled = plan(C, a / a.sum()), plan(C * size, a / a.sum())
    assert float(scaled.value) == pytest.approx(size * float(whole.value), rel=1e-9)
    assert float(scaled.dual_value) == pytest.approx(float(scaled.value), rel=1e-8)
    assert float(scaled.mass) == pytest.approx(float(whole.mass))


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 9),
    m=st.integers(1, 9),
    seed=st.integers(0, 999),
    power=st.integers(-40, 40),
    offset=st.sampled_from([0.0, -1.0, 3.0]),
)
def test_both_sides_of_duality_meet_at_every_size(n, m, seed, power, offset):
    C, a = costs(n, m, seed)
    C = (C + offset) * 10.0**power
    for plan in (exact_plan(C, a / a.sum()), partial_plan(C, a / a.sum(), mass=0.7)):
        assert abs(float(plan.value - plan.dual_value)) <= 1e-8 * float(C.abs().max())


@pytest.mark.parametrize("forbidden", [1e6, 1e10, 1e14, 1e20, 1e100])
def test_the_price_of_a_forbidden_pair_does_not_matter(forbidden):
    C, a = costs(60, 80, seed=1)
    banned = torch.rand(60, 80, generator=torch.Generator().manual_seed(2)) < 0.3
    dear, cheap = (exact_plan(torch.where(banned, price, C), a / a.sum()) for price in (forbidden, 1e3))
    assert float(dear.value) == pytest.approx(float(cheap.value), rel=1e-9)
    assert float(dear.matrix[banned].sum()) == 0


def test_a_dear_pair_is_paid_where_there_is_no_other_way():
    C = torch.tensor([[0.0, 1e20, 1.0], [1e20, 1e20, 1e20]])
    plan = exact_plan(C, torch.tensor([0.5, 0.5]), torch.tensor([0.3, 0.3, 0.4]))
    assert float(plan.value) == pytest.approx(0.5e20)


def test_clusters_far_apart_are_solved_as_precisely_as_each_alone():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randint(0, 99, (40, 2), generator=generator), torch.randint(0, 99, (60, 2), generator=generator)
    far = torch.tensor([2.0**24, 0.0])  # whole numbers, so that the costs themselves are exact
    x, y = x.double(), y.double()
    x[20:], y[30:] = x[20:] + far, y[30:] + far
    C = (x[:, None] - y).square().sum(dim=2)
    parts = [float(exact_plan(C[i, j]).value) for i, j in ((slice(20), slice(30)), (slice(20, 40), slice(30, 60)))]
    assert float(exact_plan(C).value) == pytest.approx(sum(parts) / 2, rel=1e-9)


@pytest.mark.parametrize("scale", [1e-9, 1e-6, 1e-3, 1e6])
def test_the_distance_of_scaled_samples_scales(scale):
    x, y = torch.randn(50, 2), torch.randn(70, 2)
    cost = SquaredEuclidean()
    assert wasserstein(scale * x, scale * y, cost) == pytest.approx(scale**2 * wasserstein(x, y, cost), rel=1e-9)


@pytest.mark.parametrize("value", [0.0, -3.0, 2.0])
def test_equal_costs_give_their_value(value):
    assert float(exact_plan(torch.full((3, 4), value)).value) == pytest.approx(value)
    assert float(partial_plan(torch.full((3, 4), value), mass=0.25).value) == pytest.approx(value / 4)


@pytest.mark.parametrize("unit", [1.0, 0.7, 1 / 3, 1.1])
def test_samples_with_copies_do_not_send_the_simplex_in_circles(unit):
    """In units that round, reduced costs of ties are rounding, on which it pivoted for ever."""
    rows = torch.randn(400, 2)[torch.randint(400, (4096,))] + 1.0
    C = (rows[:, None] - torch.randn(64, 2)).norm(dim=2) * unit
    plan = exact_plan(C)
    assert float(plan.dual_value) == pytest.approx(float(plan.value), rel=1e-8)


@pytest.mark.parametrize("penalty", [1.0, 1e3, 1e8, 1e12, 1e14, 1e16, 1e20, 1e100])
def test_an_unbalanced_plan_becomes_exact_and_keeps_its_duality_as_its_penalty_grows(penalty):
    C = torch.rand(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plan, exact = unbalanced_plan(C, penalty=penalty), float(exact_plan(C).value)
    low, high = plan.bracket.lower, plan.bracket.upper
    assert low <= high + 1e-14 and high <= exact + 1e-14 and high - low <= 1e-3 * exact
    assert abs(high - exact) <= 1 / penalty + 1e-14


@pytest.mark.parametrize("epsilon", [1e-2, 1.0, 1e6, 1e12, 1e18, 1e100])
def test_an_entropic_plan_keeps_its_duality_as_epsilon_grows(epsilon):
    C = torch.rand(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plan = sinkhorn_plan(C, epsilon=epsilon)
    low, high = plan.bracket.lower, plan.bracket.upper
    assert low <= high + 1e-14 and high - low <= 1e-5
    assert epsilon < 1e6 or high == pytest.approx(float(C.mean()), rel=1e-6)  # the plan tends to the product
