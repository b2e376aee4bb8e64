"""Mechanisms that hold a critic near or inside the 1-Lipschitz functions."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ot_gen import (
    MLP,
    ConvFeatures,
    Critic,
    DualSolver,
    Empirical,
    Euclidean,
    GradientPenalty,
    GroupSort,
    OneSidedPenalty,
    Orthogonal,
    Pushforward,
    SpectralNorm,
    WeightClip,
    add_head,
    fit,
    standard_gaussian,
)
from ot_gen.networks import is_contraction


def steepest(h, dim, n=400, width=3.0):
    """The largest slope seen: of secants, near and far, and of gradients."""
    x, y = width * torch.randn(n, dim), width * torch.randn(n, dim)
    x, y = torch.cat([x, x]), torch.cat([y, x + 0.3 * torch.randn(n, dim)])
    with torch.no_grad():
        secants = (h(x) - h(y)).abs() / (x - y).norm(dim=1)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(h(x).sum(), x)
    return max(float(secants.max()), float(gradient.norm(dim=1).max()))


@pytest.mark.slow
@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("lipschitz", [WeightClip(0.1), GradientPenalty(), OneSidedPenalty(), Orthogonal()], ids=str)
def test_a_trained_critic_is_higher_on_generated_samples(lipschitz):
    mu = Pushforward(nn.Linear(2, 2), standard_gaussian(2)).requires_grad_(False)
    nu = Empirical(torch.randn(200, 2) + 3)
    solver = DualSolver(Euclidean(), Critic(MLP(2, 1, hidden=(32,)), lipschitz), inner_steps=5)
    fit(mu, nu, solver, steps=60, batch_size=64)
    h = solver.potential
    with torch.no_grad():
        assert float(h(mu.sample(500)).mean()) > float(h(nu.atoms).mean())


# --- penalties


@pytest.mark.parametrize("penalty", [GradientPenalty(), OneSidedPenalty()], ids=str)
def test_the_penalty_has_no_gradient_in_theta(penalty):
    mu = Pushforward(nn.Linear(2, 2), standard_gaussian(2))
    solver = DualSolver(Euclidean(), Critic(MLP(2, 1, hidden=(16,)), penalty))
    estimate = solver(mu, Empirical(torch.randn(20, 2)), 8)
    gradients = torch.autograd.grad(estimate.penalty, list(mu.parameters()), allow_unused=True)
    assert all(g is None for g in gradients)


def test_gradient_penalties_vanish_on_unit_slopes_and_one_side_forgives_small_ones():
    x, y = torch.randn(8, 3), torch.randn(8, 3)

    def slope(s):
        return lambda points: s * points[:, 0]

    assert float(GradientPenalty().penalty(slope(1.0), x, y)) == pytest.approx(0)
    assert float(GradientPenalty(10).penalty(slope(0.5), x, y)) == pytest.approx(2.5)
    assert float(OneSidedPenalty(10).penalty(slope(0.5), x, y)) == 0
    assert float(OneSidedPenalty(10).penalty(slope(2.0), x, y)) == pytest.approx(10)


@pytest.mark.parametrize("penalty", [GradientPenalty(), OneSidedPenalty()], ids=str)
def test_gradient_penalties_of_a_flat_critic_have_a_finite_gradient(penalty):
    net = MLP(2, 1, hidden=(8,))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    penalty.penalty(net, torch.randn(4, 2), torch.randn(4, 2)).backward()
    assert all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in net.parameters())


@pytest.mark.parametrize("penalty", [GradientPenalty(), OneSidedPenalty()], ids=str)
@pytest.mark.parametrize("activation", [GroupSort, nn.SiLU, nn.Softplus, nn.Tanh])
def test_gradient_penalties_differentiate_twice_through_sorts_and_smooth_activations(penalty, activation):
    net = MLP(2, 1, hidden=(8, 8), activation=activation)
    with torch.no_grad():
        net.layers[0].weight.mul_(10)
    penalty.penalty(net, torch.randn(16, 2), torch.randn(16, 2)).backward()
    first, last = net.layers[0].weight.grad, net.layers[-1].weight.grad
    assert bool(torch.isfinite(first).all()) and bool(first.any()) and bool(last.any())


# --- sorts


@given(group=st.sampled_from([2, 3, 4, 6, None]), seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_group_sort_permutes_features_within_their_groups(group, seed):
    x = torch.randn(5, 12, generator=torch.Generator().manual_seed(seed))
    sort = GroupSort(group)
    groups, sorted_groups = (t.unflatten(1, (-1, group or 12)) for t in (x, sort(x)))
    assert torch.equal(groups.sort(dim=2).values, sorted_groups)
    jacobian = torch.autograd.functional.jacobian(sort, x[0])
    assert torch.equal(jacobian.sum(0), torch.ones(12)) and torch.equal(jacobian.sum(1), torch.ones(12))
    assert bool(((jacobian == 0) | (jacobian == 1)).all())


def test_sorts_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="group must be a whole number >= 2, got 1"):
        GroupSort(1)
    with pytest.raises(ValueError, match="multiple of 4, got 6 features"):
        GroupSort(4)(torch.zeros(2, 6))


# --- orthogonal layers


@pytest.mark.parametrize("spread", [0.3, 3.0, 30.0])
@pytest.mark.parametrize("group", [2, 4, None])
def test_an_orthogonal_critic_is_one_lipschitz_for_random_parameters(group, spread):
    critic = Critic(MLP(3, 1, hidden=(32, 16)), Orthogonal(group))
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.normal_(std=spread)
    assert steepest(critic, 3) <= 1 + 1e-5
    assert critic.bound == "lower"


def test_an_orthogonal_critic_is_one_lipschitz_after_training_and_reaches_slope_one():
    mu, nu = Empirical(torch.randn(300, 2)), Empirical(torch.randn(300, 2) + 2)
    critic = Critic(MLP(2, 1, hidden=(32, 32)), Orthogonal())
    fit(mu, nu, DualSolver(Euclidean(), critic, inner_steps=1), steps=200, batch_size=128)
    assert 0.99 < steepest(critic, 2) <= 1 + 1e-5


def test_the_weights_of_orthogonal_layers_are_semi_orthogonal():
    net = Orthogonal().attach(MLP(5, 1, hidden=(16, 8)))
    for layer in (m for m in net.modules() if isinstance(m, nn.Linear)):
        weight = layer.weight.detach()
        gram = weight @ weight.T if len(weight) < weight.shape[1] else weight.T @ weight
        assert torch.allclose(gram, torch.eye(len(gram)), atol=1e-5)


def test_orthogonal_puts_sorts_in_the_place_of_activations():
    net = Orthogonal(4).attach(add_head(MLP(2, hidden=(8, 8), activation=nn.LeakyReLU), 1))
    kinds = [type(m) for m in net.modules() if not list(m.children())]
    assert nn.LeakyReLU not in kinds
    assert kinds.count(GroupSort) == 2


@pytest.mark.parametrize(
    "net", [ConvFeatures((1, 8, 8)), nn.Sequential(nn.Linear(2, 4), nn.LayerNorm(4)), nn.Bilinear(2, 2, 1)]
)
def test_orthogonal_refuses_what_it_cannot_make_one_lipschitz(net):
    with pytest.raises(ValueError, match=r"for certain: it takes chains of linear layers.*GradientPenalty"):
        Orthogonal().attach(net)


# --- what else bounds a slope


@torch.no_grad()
def test_spectral_norm_makes_relu_networks_one_lipschitz():
    critic = Critic(MLP(2, 1, hidden=(32, 32)), SpectralNorm(power_iterations=50))
    x, y = torch.randn(500, 2), torch.randn(500, 2)
    slopes = (critic(x) - critic(y)).abs() / Euclidean()(x, y)
    assert float(slopes.max()) <= 1 + 1e-5
    assert critic.bound is None  # an estimate certifies nothing


@torch.no_grad()
def test_a_bounded_critic_stays_in_the_unit_interval():
    critic = Critic(nn.Linear(2, 1), WeightClip(5.0), output=nn.Sigmoid())
    h = critic(100 * torch.randn(50, 2))
    assert bool(((h >= 0) & (h <= 1)).all())


@pytest.mark.parametrize(
    ("output", "bound"),
    [
        (None, "lower"),
        (nn.Sigmoid(), "lower"),
        (nn.Sequential(nn.Tanh(), nn.ReLU()), "lower"),
        (nn.GELU(), None),
        (nn.LeakyReLU(1.5), None),
        (nn.Linear(1, 1), None),
    ],
)
def test_an_output_keeps_the_bound_where_it_is_known_to_be_one_lipschitz(output, bound):
    assert Critic(MLP(2, 1, hidden=(4,)), Orthogonal(), output=output).bound == bound
    assert Critic(MLP(2, 1, hidden=(4,)), GradientPenalty(), output=output).bound is None


@pytest.mark.parametrize(
    "module",
    [nn.Sigmoid(), nn.Tanh(), nn.ReLU(), nn.Softplus(), nn.LogSigmoid(), nn.Softsign(), nn.Hardtanh(), nn.LeakyReLU()],
    ids=str,
)
def test_the_known_contractions_are_contractions(module):
    x = torch.linspace(-8, 8, 4001, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(module(x).sum(), x)
    assert is_contraction(module)
    assert float(slope.abs().max()) <= 1


@pytest.mark.parametrize("before", [Orthogonal(), SpectralNorm()], ids=lambda m: type(m).__name__)
def test_layers_that_are_parametrized_are_not_made_orthogonal_once_more(before):
    with pytest.raises(ValueError, match=r"parametrization already.*made from"):
        Orthogonal().attach(before.attach(MLP(2, 1, hidden=(8,))))
