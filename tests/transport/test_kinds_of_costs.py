"""Costs and points of every kind of number: integers and half precision are computed, the rest is refused."""

import pytest
import torch

from ot_gen import SquaredEuclidean, exact_plan, partial_plan, sinkhorn_plan, unbalanced_plan
from ot_gen.transport import (
    assignment,
    assignment_potentials,
    gaussian_maps,
    sinkhorn_divergence,
    sinkhorn_potentials,
)

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
        ("W2", "C must be a torch tensor, an array or a list of numbers, got a str"),
        ([[0.0, 1.0], [1.0]], "in rows of one length"),
        (torch.ones(3, 3, dtype=torch.complex64), "imaginary part would be lost"),
        (torch.eye(3).to_sparse(), "dense"),
        (torch.ones(3), "cost matrix"),
    ],
)
def test_what_is_no_cost_matrix_is_named(solve, C, message):
    with pytest.raises(ValueError, match=message):
        solve(C)


def test_masses_and_points_of_another_kind_are_named():
    with pytest.raises(ValueError, match=r"a must have shape \(2,\)"):
        exact_plan(torch.ones(2, 2), [0.5, 0.25, 0.25])
    with pytest.raises(ValueError, match="complex64"):
        exact_plan(torch.ones(2, 2), b=torch.ones(2, dtype=torch.complex64))
    with pytest.raises(ValueError, match=r"x must be a torch tensor.* got a str"):
        sinkhorn_divergence("x", torch.zeros(1, 1), epsilon=1.0)
    with pytest.raises(ValueError, match="x must be real"):
        sinkhorn_divergence(torch.zeros(2, 1, dtype=torch.complex64), torch.zeros(1, 1), epsilon=1.0)


def test_lists_and_arrays_are_costs_masses_and_points():
    C, a = torch.tensor([[0.0, 2.0], [1.0, 0.0]]), torch.tensor([0.25, 0.75])
    expected = exact_plan(C, a).matrix
    assert torch.equal(exact_plan(C.tolist(), a.tolist()).matrix, expected)
    assert torch.equal(exact_plan(C.numpy(), a.double().numpy()).matrix, expected)
    assert torch.equal(assignment(C.numpy()), assignment(C))
    f, _ = assignment_potentials(C.tolist(), assignment(C).tolist())
    assert torch.equal(f, assignment_potentials(C, assignment(C))[0])
    x, y = torch.rand(5, 2), torch.rand(4, 2)
    assert sinkhorn_divergence(x.numpy(), y.tolist(), epsilon=1.0) == sinkhorn_divergence(x, y, epsilon=1.0)


@pytest.mark.parametrize("plan", [exact_plan(torch.rand(5, 7)), sinkhorn_plan(torch.rand(5, 7), epsilon=1.0)])
def test_points_that_a_plan_does_not_join_are_named(plan):
    x, y = torch.rand(5, 2), torch.rand(7, 2)
    with pytest.raises(ValueError, match=r"a plan \(5, 7\) joins x \(n, d\) and y \(m, d\)"):
        plan.cost_of(SquaredEuclidean(), y, x)
    with pytest.raises(ValueError, match="y must hold the 7 points of the columns"):
        plan.barycentric(x)
    with pytest.raises(ValueError, match=r"y must be a tensor \(n, d\)"):
        plan.barycentric(y[:, 0])
    with pytest.raises(ValueError, match="NaN or Inf"):
        plan.barycentric(y * torch.nan)
    assert torch.allclose(plan.barycentric(y.double()), plan.barycentric(y).double(), atol=1e-6)
    assert plan.barycentric(y.half()).dtype == torch.float32


def test_covariances_that_are_none_are_named():
    with pytest.raises(ValueError, match="must have one shape"):
        gaussian_maps(torch.eye(2), torch.eye(3))
    with pytest.raises(ValueError, match="finite covariance"):
        gaussian_maps(torch.eye(2) * torch.nan, torch.eye(2))
    assert gaussian_maps(torch.eye(2).half(), torch.eye(2).double()).forth.dtype == torch.float64
