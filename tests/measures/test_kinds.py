"""Arguments of another kind, or of another dtype, are named with what to do."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from ot_gen import (
    Dirac,
    Empirical,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    Reference,
    SlicedWasserstein,
    SquaredEuclidean,
    exact_plan,
    fit,
    judge,
    standard_gaussian,
    uniform_cube,
    uniform_sphere,
    wasserstein,
)

SOLVER = PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan))
X = torch.zeros(4, 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_atoms_in_half_precision_have_weights_that_sum_to_one(dtype):
    for m in range(2, 1001):
        nu = Empirical(torch.zeros(m, 1, dtype=dtype))
        assert nu.weights.dtype == torch.float32
        assert float(nu.weights.sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_given_in_half_precision_are_divided_by_their_sum(dtype):
    for m in range(2, 300):
        nu = Empirical(torch.zeros(m, 1), torch.full((m,), 1 / m, dtype=dtype))
        assert float(nu.weights.double().sum()) == pytest.approx(1, abs=1e-5)


def test_a_move_to_half_precision_keeps_the_weights():
    nu = Empirical(torch.zeros(700, 1))
    assert nu.half().atoms.dtype == torch.float16 and torch.equal(nu.weights, torch.full((700,), 1 / 700))
    assert nu.double().weights.dtype == torch.float64


@pytest.mark.parametrize("law", [standard_gaussian, uniform_cube, uniform_sphere])
@pytest.mark.parametrize("dim", [0, -1, 2.0, True, "2", None])
def test_a_dimension_is_a_whole_number_from_one_on(law, dim):
    with pytest.raises(ValueError, match=r"dim must be a whole number >= 1, got"):
        law(dim)


def test_other_references_that_make_no_sense():
    for low, high in ((1.0, 1.0), (2.0, 1.0)):
        with pytest.raises(ValueError, match="finite bounds low < high"):
            uniform_cube(2, low, high)
    with pytest.raises(ValueError, match="low must be a number, got nan"):
        uniform_cube(2, float("nan"), 1.0)
    with pytest.raises(ValueError, match=r"high must be a number \(finite\), got inf"):
        uniform_cube(2, 0.0, float("inf"))
    with pytest.raises(ValueError, match=r"event_shape \(0,\)"):
        Reference(Independent(Normal(torch.zeros(0), torch.ones(0)), 1))
    with pytest.raises(ValueError, match=r"law must be a torch Distribution or a torch module, got a tensor"):
        Reference(X)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((Empirical(X), SOLVER, Empirical(X)), r"nu must be a Measure, got a PrimalSolver; .*order is \(mu, nu, sol"),
        ((Empirical(X), X, SOLVER), r"nu must be a Measure.* got a tensor \(4, 2\); wrap points: Empirical\(points\)"),
        ((Empirical(X), X.numpy(), SOLVER), r"got a ndarray; wrap points: Empirical\(torch.as_tensor\(points\)\)"),
        ((nn.Linear(2, 2), Empirical(X), SOLVER), r"Pushforward\(generator, zeta\)"),
        ((Normal(0, 1), Empirical(X), SOLVER), r"Reference\(law\)"),
        ((Empirical, Empirical(X), SOLVER), "the class Empirical; call the class"),
        ((Empirical(X), Empirical(X), "primal"), "solver must be a .*Solver, got '?(a str|primal)"),
    ],
)
def test_arguments_of_fit_of_another_kind_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit(*arguments, steps=1, batch_size=2)


def test_a_divergence_of_points_says_how_to_make_laws_of_them():
    with pytest.raises(ValueError, match=r"got a tensor \(4, 2\) as q. Points are laws too: Dirac\(x\) and Empirical"):
        SlicedWasserstein()(X, X)
    with pytest.raises(ValueError, match="as zeta"):
        SlicedWasserstein()(Dirac(X), X)
    assert float(SlicedWasserstein()(Dirac(X), Empirical(X))) == 0


def test_wasserstein_and_judge_name_what_is_no_tensor_and_no_measure():
    for array in (np.zeros((4, 2)), [[0.0, 0.0]]):
        assert wasserstein(array, X) == 0
    with pytest.raises(ValueError, match="must be real"):
        wasserstein(X.cfloat(), X)
    assert wasserstein(torch.tensor([[0, 255]], dtype=torch.uint8), torch.zeros(1, 2)) == 255**2
    with pytest.raises(ValueError, match="mu must be a Measure"):
        judge(X, Empirical(X), Empirical(X))


def test_half_precision_atoms_are_sampled_and_weighed():
    nu = Empirical(torch.zeros(5, 2).half(), torch.tensor([0.2] * 5))
    assert nu.sample(3).dtype == torch.float16
    assert Pushforward(nn.Linear(2, 2).bfloat16(), standard_gaussian(2).bfloat16()).dim == 2
