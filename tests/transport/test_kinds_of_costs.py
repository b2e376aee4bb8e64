"""Costs and points of every kind of number: integers and half precision are computed, the rest is refused."""

import pytest
import torch

from ot_gen import exact_plan, partial_plan, sinkhorn_plan, unbalanced_plan
from ot_gen.transport import assignment, sinkhorn_divergence, sinkhorn_potentials

COSTS = [[3, 1, 4], [1, 5, 9], [2, 6, 5]]
KINDS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
PLANS = {
    "exact": exact_plan,
    "weighted": lambda C: exact_plan(C, torch.tensor([1, 2, 1]), torch.tensor([1, 1, 1])),
    "entropic": lambda C: sinkhorn_plan(C, epsilon=0.5),
    "unbalanced": lambda C: unbalanced_plan(C, penalty=10.0),
    "partial": lambda C: partial_plan(C, mass=0.7),
}


def test_the_exact_plan_of_whole_costs_is_known():
    plan = exact_plan(torch.tensor(COSTS))  # 1 + 1 + 5, three ways round
    assert float(plan.value) == pytest.approx(7 / 3) and float(plan.mass) == pytest.approx(1)
    assert plan.matrix.dtype == torch.get_default_dtype()


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("dtype", KINDS)
def test_plans_of_whole_costs_are_those_of_the_same_real_costs(name, dtype):
    whole, real = (PLANS[name](torch.tensor(COSTS, dtype=kind)) for kind in (dtype, torch.float32))
    assert torch.equal(whole.matrix, real.matrix)
    assert torch.equal(whole.value, real.value) and torch.equal(whole.dual_value, real.dual_value)
    assert float(whole.mass) > 0.5


@pytest.mark.parametrize("name", PLANS)
def test_plans_of_yes_and_no_costs_and_of_half_precision_are_in_float32(name):
    yes = torch.tensor([[True, False, True], [False, True, True], [True, True, False]])
    assert torch.equal(PLANS[name](yes).matrix, PLANS[name](yes.float()).matrix)
    for dtype in (torch.float16, torch.bfloat16):
        plan = PLANS[name](torch.tensor(COSTS, dtype=dtype))
        assert plan.value.dtype == plan.potentials[0].dtype == torch.float32
        assert torch.equal(plan.value, PLANS[name](torch.tensor(COSTS, dtype=torch.float32)).value)


def test_large_whole_costs_keep_all_their_digits_inside():
    C = 2**40 + torch.tensor([[1, 0], [0, 1]])
    assert exact_plan(C).pairs.j.tolist() == assignment(C).tolist() == [1, 0]


def test_potentials_and_assignments_of_whole_costs():
    C = torch.tensor(COSTS)
    assert torch.equal(assignment(C), assignment(C.double()))
    for whole, real in zip(*(sinkhorn_potentials(c, epsilon=0.5) for c in (C, C.double())), strict=True):
        assert torch.equal(whole, real)


def test_the_sinkhorn_divergence_of_whole_points():
    x, y = torch.tensor([[0, 250], [3, 7]], dtype=torch.uint8), torch.tensor([[255, 1], [9, 2]], dtype=torch.uint8)
    value = sinkhorn_divergence(x, y, epsilon=100.0)
    assert value.dtype == torch.float32
    assert torch.equal(value, sinkhorn_divergence(x.float(), y.float(), epsilon=100.0))
    assert sinkhorn_divergence(x.half(), y.half(), epsilon=100.0).dtype == torch.float32


@pytest.mark.parametrize("solve", [*PLANS.values(), assignment, lambda C: sinkhorn_potentials(C, epsilon=1.0)])
@pytest.mark.parametrize(
    ("C", "message"),
    [
        ([[0.0, 1.0], [1.0, 0.0]], "as a torch tensor, got a list; use torch.as_tensor"),
        (torch.ones(2, 2).numpy(), "got a ndarray"),
        (torch.ones(3, 3, dtype=torch.complex64), "imaginary part would be lost"),
        (torch.ones(3), "cost matrix"),
    ],
)
def test_what_is_no_cost_matrix_is_named(solve, C, message):
    with pytest.raises(ValueError, match=message):
        solve(C)


def test_masses_and_points_of_another_kind_are_named():
    with pytest.raises(ValueError, match=r"a must be a tensor of real masses, \(2,\), got a list"):
        exact_plan(torch.ones(2, 2), [0.5, 0.5])
    with pytest.raises(ValueError, match="complex64"):
        exact_plan(torch.ones(2, 2), b=torch.ones(2, dtype=torch.complex64))
    with pytest.raises(ValueError, match=r"x must be a torch tensor .* got a list"):
        sinkhorn_divergence([[0.0]], torch.zeros(1, 1), epsilon=1.0)
    with pytest.raises(ValueError, match="x must be real"):
        sinkhorn_divergence(torch.zeros(2, 1, dtype=torch.complex64), torch.zeros(1, 1), epsilon=1.0)
