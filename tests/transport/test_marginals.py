"""Marginals at a price: conjugates, the best constant, and duality with plans that may leave their marginals."""

import math

import pytest
import torch

from ot_gen import ChiSquaredMarginal, KLMarginal, SquaredEuclidean, Unbalanced, exact_plan, unbalanced_plan

PENALTIES = [KLMarginal(0.7), ChiSquaredMarginal(0.7)]


def problem(n=6, m=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(k, 2, generator=generator, dtype=torch.float64) for k in (n, m))
    b = torch.rand(m, generator=generator, dtype=torch.float64) + 0.2
    return SquaredEuclidean().matrix(x, y), torch.full((n,), 1 / n, dtype=torch.float64), b / b.sum()


def feasible(C, seed=0):
    """Potentials of a random table: h is its c-transform."""
    h_tilde = torch.randn(C.shape[1], generator=torch.Generator().manual_seed(seed), dtype=C.dtype)
    return (C - h_tilde).amin(dim=1), h_tilde


@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
def test_conjugate_density_and_curvature_belong_to_the_divergence(penalty):
    s, t = torch.linspace(0, 40, 200_001, dtype=torch.float64), torch.linspace(-5, 2, 29, dtype=torch.float64)
    assert bool((penalty.divergence(s) >= 0).all()) and float(penalty.divergence(torch.ones(1))) == 0
    by_search = (s * t[:, None] - penalty.divergence(s)).amax(dim=1)
    assert torch.allclose(penalty.conjugate(t), by_search, atol=1e-5)
    t.requires_grad_()
    (slope,) = torch.autograd.grad(penalty.conjugate(t).sum(), t)
    assert torch.allclose(slope, penalty.density(t).detach())
    difference = (penalty.density(t.detach() + 1e-6) - penalty.density(t.detach() - 1e-6)) / 2e-6
    assert torch.allclose(penalty.curvature(t.detach()), difference, atol=1e-6)
    density = penalty.density(t.detach())
    young = penalty.divergence(density) + penalty.conjugate(t.detach())
    assert torch.allclose(young, density * t.detach(), atol=1e-12)


@pytest.mark.parametrize("model", [None, *PENALTIES], ids=str)
@pytest.mark.parametrize("data", PENALTIES, ids=str)
def test_the_constant_is_the_best_one_and_its_masses_are_the_gradient(data, model):
    C, _, b = problem()
    h, h_tilde = feasible(C)
    marginals = Unbalanced(data, model)
    value = marginals.dual(h, h_tilde.requires_grad_(), b)
    (q,) = torch.autograd.grad(value, h_tilde)
    value, h_tilde = value.detach(), h_tilde.detach()
    assert torch.allclose(q, marginals.masses(h_tilde, b, h))
    # h and h̃ shifted against each other are as good, and no fixed constant is better.
    assert float(marginals.dual(h - 3, h_tilde + 3, b)) == pytest.approx(float(value), abs=1e-9)
    for t in (-0.5, 0.0, 0.5):
        kept = (h - t).mean() if model is None else -model.conjugate(t - h).mean()
        assert float(kept - b @ data.conjugate(-h_tilde - t)) <= float(value) + 1e-12


@pytest.mark.parametrize("data", PENALTIES, ids=str)
def test_the_tables_term_is_concave_and_its_curvature_is_that_of_differences(data):
    _, _, b = problem()
    marginals = Unbalanced(data)
    one, other = (torch.randn(8, generator=torch.Generator().manual_seed(k), dtype=torch.float64) for k in (3, 4))
    middle = marginals.table_value((one + other) / 2, b)
    assert middle >= (marginals.table_value(one, b) + marginals.table_value(other, b)) / 2
    w, step = marginals.curvature(one, b), torch.linspace(-1, 1, 8, dtype=torch.float64)
    step = step - w @ step / w.sum()  # the part that Newton's steps have
    change = (marginals.masses(one + 1e-6 * step, b) - marginals.masses(one - 1e-6 * step, b)) / 2e-6
    assert torch.allclose(change, -w * step, atol=1e-7)


@pytest.mark.parametrize("strength", [0.05, 1.0, 30.0])
def test_no_potentials_exceed_the_unbalanced_plan_and_its_own_attain_it(strength):
    C, a, b = problem()
    marginals = Unbalanced(KLMarginal(strength), KLMarginal(strength))
    plan = unbalanced_plan(C, a, b, penalty=strength, tol=1e-6)
    cost = float(plan.value + plan.penalty)
    for seed in range(20):
        assert float(marginals.dual(*feasible(C, seed), b)) <= cost + 1e-9
    f, g = plan.potentials
    assert float(marginals.dual(f, g, b)) == pytest.approx(cost, rel=1e-5)
    assert torch.allclose(marginals.masses(g, b, f), plan.marginals[1], atol=1e-3)


@pytest.mark.parametrize("penalty", [KLMarginal, ChiSquaredMarginal])
def test_a_large_strength_keeps_the_marginals(penalty):
    C, a, b = problem()
    f, g = exact_plan(C, a, b).potentials
    balanced = float(f.mean() + b @ g)
    for model in (None, penalty(1e9)):
        marginals = Unbalanced(penalty(1e9), model)
        assert float(marginals.dual(f, g, b)) == pytest.approx(balanced, rel=1e-7)
        assert torch.allclose(marginals.masses(g, b, f), b, atol=1e-7)


def test_two_points_apart_keep_the_mass_of_the_closed_form():
    c, rho, one = 3.0, 2.0, torch.ones(1, dtype=torch.float64)
    both = Unbalanced(KLMarginal(rho), KLMarginal(rho))
    # min over masses q of q c + 2ρ (q log q − q + 1)
    assert float(both.dual(c * one, 0 * one, one)) == pytest.approx(2 * rho * (1 - math.exp(-c / (2 * rho))))
    assert float(both.masses(0 * one, one, c * one)) == pytest.approx(math.exp(-c / (2 * rho)))
    # Where all of the model's mass counts, it must travel.
    assert float(Unbalanced(KLMarginal(rho)).dual(c * one, 0 * one, one)) == pytest.approx(c)


def test_one_point_and_two_atoms_have_a_soft_minimum_of_their_costs():
    costs, b, rho = torch.tensor([1.0, 5.0]).double(), torch.tensor([0.3, 0.7]).double(), 2.0
    marginals = Unbalanced(KLMarginal(rho))
    # At h̃ = c all atoms tie for the point.
    value = marginals.dual(torch.zeros(1).double(), costs, b)
    assert float(value) == pytest.approx(-rho * math.log(float(b @ (-costs / rho).exp())))
    assert torch.allclose(marginals.masses(costs, b), torch.softmax(b.log() - costs / rho, dim=0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("penalty", [KLMarginal, ChiSquaredMarginal])
def test_values_scale_with_the_cost(penalty, unit, dtype):
    C, _, b = problem()
    h, h_tilde = (part.to(dtype) for part in feasible(C))
    values = [
        float(Unbalanced(penalty(0.7 * u), model and model(0.7 * u)).dual(u * h, u * h_tilde, b.to(dtype))) / u
        for u in (1.0, unit)
        for model in (None, penalty)
    ]
    assert values[:2] == pytest.approx(values[2:], rel=1e-5)


def test_masses_of_both_sides_free_ask_for_both_potentials():
    with pytest.raises(ValueError, match="give h"):
        Unbalanced(*PENALTIES).masses(torch.zeros(2), torch.ones(2) / 2)
    with pytest.raises(ValueError, match="strength"):
        KLMarginal(0.0)
