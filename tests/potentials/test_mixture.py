"""The entropic dual of a mixture: its transform, its bound, known plans, equivariance and the Schrödinger bridge."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ot_gen import (
    DiagonalMatrices,
    DualSolver,
    Empirical,
    Euclidean,
    FullMatrices,
    MixturePotential,
    Pushforward,
    SchrodingerBridge,
    SquaredEuclidean,
    fit,
    linear_decay,
    standard_gaussian,
)
from ot_gen.potentials import gaussian_matrix
from ot_gen.potentials.matrices import gaussian_diagonal

COST, EPSILON = SquaredEuclidean(), 0.6
FAMILIES = (FullMatrices, DiagonalMatrices)


def numbers(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def laws(dim, n=400, seed=0):
    """Two clouds with different means and covariances, in float64."""
    x = numbers(n, dim, seed=seed) @ (0.5 * numbers(dim, dim, seed=seed + 1) + torch.eye(dim)) + 1
    return Empirical(x), Empirical(1.5 * numbers(n, dim, seed=seed + 2).tanh() - 2)


def bound(dim, components=3, family=FullMatrices, seed=0, epsilon=EPSILON):
    """A potential with random parameters, bound to `laws`."""
    h = MixturePotential(epsilon, components, family())
    torch.manual_seed(seed)
    h.bind(*laws(dim, seed=seed), COST)
    with torch.no_grad():
        for i, parameter in enumerate(h.parameters()):
            parameter += 0.3 * numbers(*parameter.shape, seed=seed + i)
    return h.requires_grad_(False)


def random_plan(dim, components=4, epsilon=EPSILON, seed=0):
    factors = 0.4 * numbers(components, dim, dim, seed=seed) + torch.eye(dim)
    matrices = 0.5 * factors @ factors.mT + 0.1 * torch.eye(dim)
    centres = 2 * numbers(components, dim, seed=seed + 1)
    return SchrodingerBridge(numbers(components, seed=seed + 2), centres, matrices, epsilon)


def value(h, x, y):
    return h(x).mean() + h.conjugate_mean(x, y)


# --- the transform


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dim", [1, 2])
def test_h_is_the_soft_c_transform_by_quadrature(dim, family):
    h = bound(dim, family=family)
    line = torch.linspace(-16, 16, 3201 if dim == 1 else 641, dtype=torch.float64)
    y = torch.cartesian_prod(*[line] * dim).reshape(-1, dim)
    cell = (line[1] - line[0]) ** dim
    for x in laws(dim)[0].atoms[:4]:
        integral = ((h.conjugate(y) - (x - y).square().sum(dim=1)) / EPSILON).exp().sum() * cell
        assert torch.isclose(h(x[None])[0], -EPSILON * integral.log(), atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), dim=st.integers(1, 5), family=st.sampled_from(FAMILIES), epsilon=st.floats(0.05, 20))
def test_the_potentials_are_the_density_of_the_bridges_plan_and_its_h_function(seed, dim, family, epsilon):
    h = bound(dim, family=family, seed=seed, epsilon=epsilon)
    bridge, (mu, nu) = h.bridge(), laws(dim, seed=seed)
    x, y = mu.atoms[:20], nu.atoms[:20]
    density = (h(x) + h.conjugate(y) - COST(x, y)) / epsilon
    assert torch.allclose(bridge(x).log_prob(y), density, rtol=1e-6, atol=1e-6 * (1 + density.abs().max()))
    assert torch.allclose(h(x), -epsilon * bridge.log_h(0.0, x), atol=1e-7 * float(1 + h(x).abs().max()))
    end = epsilon * (bridge.log_h(1.0, y) - 0.5 * dim * math.log(math.pi * epsilon))
    assert torch.allclose(h.conjugate(y), end, rtol=1e-6, atol=1e-6 * float(1 + end.abs().max()))


# --- the value


@pytest.mark.parametrize("seed", [0, 1])
def test_the_value_lies_below_the_entropic_cost_by_epsilon_times_the_divergence_of_the_plans(seed):
    """∫h dμ + ∫h̃ dν = E[c + ε log π*(y|x)] − ε KL, so it is a lower bound that the true plan alone attains."""
    truth, h = random_plan(2), bound(2, seed=seed)
    torch.manual_seed(seed)
    x = numbers(20_000, 2, seed=9)
    law = truth(x)
    y = law.sample()
    entropic = COST(x, y) + EPSILON * law.log_prob(y)
    divergences = law.log_prob(y) - h.bridge()(x).log_prob(y)
    values = h(x) + h.conjugate(y)
    assert torch.allclose(
        values, entropic - EPSILON * divergences, rtol=1e-6, atol=1e-5
    )  # for each pair, before the mean
    assert divergences.mean() > 0
    assert h.bound is None  # W_c itself it does not bound


def test_the_true_potential_has_a_larger_value_than_any_that_is_perturbed():
    truth = random_plan(2, seed=3)
    torch.manual_seed(0)
    x = numbers(50_000, 2, seed=9)
    y = truth(x).sample()

    def worth(plan):
        return EPSILON * float((plan.log_h(1.0, y) - plan.log_h(0.0, x)).mean())

    best, matrices = worth(truth), truth.axes @ torch.diag_embed(truth.spectra) @ truth.axes.mT
    for seed in range(10):
        noise = 0.2 * numbers(4, 2, seed=seed)
        for plan in (
            SchrodingerBridge(truth.log_weights, truth.centres + noise, matrices, EPSILON),
            SchrodingerBridge(truth.log_weights + numbers(4, seed=seed), truth.centres, matrices, EPSILON),
            SchrodingerBridge(truth.log_weights, truth.centres, matrices * (1 + noise[:, :1, None].abs()), EPSILON),
        ):
            assert worth(plan) < best


# --- known plans


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), dim=st.integers(1, 6), epsilon=st.floats(1e-3, 1e3))
def test_one_component_starts_at_the_plan_of_gaussians(seed, dim, epsilon):
    """The closed form of Janati et al.: S C S + (ε/2) S = D."""
    mu, nu = laws(dim, seed=seed)
    h = MixturePotential(epsilon, components=1)
    torch.manual_seed(seed)
    h.bind(mu, nu, COST)
    bridge = h.bridge()
    S = (bridge.axes @ torch.diag_embed(bridge.spectra) @ bridge.axes.mT)[0]
    torch.manual_seed(seed)
    C, D = (torch.cov(law.atoms.T, correction=0).reshape(dim, dim) for law in (mu, nu))
    assert torch.dist(S @ C @ S + epsilon / 2 * S, D) < 0.15 * torch.linalg.matrix_norm(D)  # moments are of a sample
    exact = gaussian_matrix(C, D, epsilon)
    assert torch.allclose(exact @ C @ exact + epsilon / 2 * exact, D, rtol=1e-6, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_known_plan_is_learned(family):
    epsilon, mu = 1.0, standard_gaussian(2)
    centres = torch.tensor([[-4.0, 0.0], [4.0, 1.0], [0.0, 4.0]])
    truth = SchrodingerBridge(torch.zeros(3), centres, torch.eye(2).repeat(3, 1, 1), epsilon)
    torch.manual_seed(0)
    nu = Pushforward(truth, mu)
    h = MixturePotential(epsilon, 8, family())
    fit(mu, nu, DualSolver(COST, h, inner_steps=1), steps=400, batch_size=256, schedule=linear_decay)
    x = mu.sample(2000)
    error = (h.bridge().map(x) - truth.map(x)).square().sum(dim=1).mean()
    assert error < 0.01 * nu.sample(2000).var(dim=0).sum() / 2


# --- equivariance


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_scale_and_shift_change_nothing_but_the_units(scale, family):
    mu, nu = laws(2)
    plans = []
    for a, b, c in ((1.0, 0.0, 0.0), (scale, 20 * scale, -30 * scale)):
        torch.manual_seed(0)
        h = MixturePotential(EPSILON * a**2, 3, family())
        P, Q = Empirical(a * mu.atoms + b), Empirical(a * nu.atoms + c)
        fit(P, Q, DualSolver(COST, h, inner_steps=1), steps=20, batch_size=64)
        plans.append(h.bridge())
    x = mu.atoms[:50]
    moved = plans[1].map(scale * x + 20 * scale)
    assert torch.allclose((moved + 30 * scale) / scale, plans[0].map(x), atol=1e-5)
    drift = plans[1].drift(0.4, scale * (x - 2)) / scale
    assert torch.allclose(drift, plans[0].drift(0.4, x - 2 - 0.6 * 20 + 0.4 * 30) - 50, atol=1e-4)


# --- the bridge


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), dim=st.integers(1, 4), t=st.floats(0, 1), epsilon=st.floats(0.1, 10))
def test_the_drift_is_the_gradient_of_log_h(seed, dim, t, epsilon):
    bridge = random_plan(dim, epsilon=epsilon, seed=seed)
    bridge.p, bridge.q = numbers(dim, seed=seed + 5), numbers(dim, seed=seed + 6)
    x = numbers(9, dim, seed=seed + 7).requires_grad_()
    (gradient,) = torch.autograd.grad(bridge.log_h(t, x).sum(), x)
    drift = bridge.drift(t, x.detach())
    assert torch.allclose(0.5 * epsilon * gradient, drift, atol=1e-8)
    assert torch.allclose(bridge.drift(torch.full((9,), t, dtype=x.dtype), x.detach()), drift)


def test_h_is_a_martingale_of_brownian_motion():
    """h_t(x) = E[h_1(x + W_{1−t})], by quadrature on a line."""
    bridge = random_plan(1)
    bridge.p, bridge.q = torch.tensor([0.5]).double(), torch.tensor([-1.0]).double()
    y = torch.linspace(-30, 30, 20_001, dtype=torch.float64)[:, None]
    for t, at in ((0.0, 0.3), (0.7, -1.0)):
        x = torch.tensor([[at]], dtype=torch.float64)
        kernel = torch.distributions.Normal(at, math.sqrt(0.5 * EPSILON * (1 - t))).log_prob(y[:, 0])
        integral = (bridge.log_h(1.0, y) + kernel).logsumexp(0) + math.log(60 / 20_000)
        assert torch.allclose(bridge.log_h(t, x)[0], integral, atol=1e-5)


def test_the_bridge_has_the_laws_as_its_ends_and_its_two_samplers_agree():
    torch.manual_seed(0)
    bridge, x = random_plan(2, seed=1), numbers(6000, 2, seed=2)
    y, path = bridge(x).sample(), bridge.path(x, steps=64)
    assert torch.equal(bridge.between(0.0, x), x) and torch.equal(path[0], x)

    def same(first, second, tol):
        apart = (first.mean(0) - second.mean(0)).norm() + (torch.cov(first.T) - torch.cov(second.T)).norm()
        return float(apart / torch.cov(second.T).norm()) < tol

    assert same(bridge.between(1.0, x), y, 0.06)
    assert same(path[-1], y, 0.1)
    assert same(path[32], bridge.between(0.5, x), 0.1)
    assert torch.allclose(bridge.map(x), bridge(x).mean)


# --- contracts


@pytest.mark.parametrize("family", FAMILIES)
def test_a_training_that_stops_continues_bit_for_bit(tmp_path, family):
    mu, nu = laws(2)

    def trained(steps, **options):
        torch.manual_seed(0)
        solver = DualSolver(COST, MixturePotential(EPSILON, 3, family()), inner_steps=1)
        fit(mu, nu, solver, steps=steps, batch_size=32, **options)
        return solver.potential.state_dict()

    whole = trained(10)
    trained(5, checkpoint=tmp_path / "run.safetensors")
    again = trained(10, resume=tmp_path / "run.safetensors")
    assert all(torch.equal(tensor, again[name]) for name, tensor in whole.items())


def test_what_does_not_fit_is_refused():
    mu, nu = laws(2)
    with pytest.raises(ValueError, match="squared distance as its cost"):
        MixturePotential(0.5).bind(mu, nu, Euclidean())
    with pytest.raises(ValueError, match="single point"):
        MixturePotential(0.5, 2).bind(mu, Empirical(torch.ones(5, 2).double()), COST)
    with pytest.raises(ValueError, match="no problem yet"):
        MixturePotential(0.5).bridge()
    with pytest.raises(ValueError, match="positive definite"):
        SchrodingerBridge(torch.zeros(1), torch.zeros(1, 2), -torch.eye(2)[None], 0.5)
    with pytest.raises(ValueError, match="one weight, centre and matrix"):
        SchrodingerBridge(torch.zeros(2), torch.zeros(1, 2), torch.eye(2)[None], 0.5)
    with pytest.raises(ValueError, match="t must be one time"):
        random_plan(2).drift(torch.tensor(1.5), torch.zeros(3, 2).double())


def test_the_plan_of_diagonal_gaussians_needs_no_matrices():
    first, second = torch.rand(2, 5, dtype=torch.float64) + 0.1
    whole = gaussian_matrix(first.diag(), second.diag(), 0.3)
    assert torch.allclose(gaussian_diagonal(first, second, 0.3).diag(), whole)
    one, other = DiagonalMatrices(), DiagonalMatrices()
    one.start(whole, 3)
    other.start(whole.diagonal(), 3)
    assert torch.equal(one.diagonals(), other.diagonals())
