"""Neural W₂ duals: convexity, monotone maps, known optimal maps, the envelope gradient and the frame."""

import importlib.util
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ot_gen import (
    ICNN,
    MLP,
    BrenierPotential,
    Displacement,
    DualSolver,
    Empirical,
    Euclidean,
    Frame,
    Paraboloid,
    Pushforward,
    SquaredEuclidean,
    exact_plan,
    fit,
    linear_decay,
    standard_gaussian,
)

PAIRS = Path(__file__).parents[2] / "benchmarks" / "w2_maps.py"


class Affine(nn.Module):
    def __init__(self, matrix, offset):
        super().__init__()
        self.register_buffer("matrix", torch.as_tensor(matrix))
        self.register_buffer("offset", torch.as_tensor(offset))

    def forward(self, x):
        return x @ self.matrix + self.offset


class Monotone(nn.Module):
    """x -> x/2 + 2 tanh(2x), coordinate by coordinate: increasing, so optimal."""

    def forward(self, x):
        return x / 2 + 2 * torch.tanh(2 * x)


def free(dim, width=32, **options):
    mover = Displacement(MLP(dim, dim, (width, width), activation=nn.SiLU))
    return BrenierPotential(Paraboloid(MLP(dim, 1, (width, width), activation=nn.SiLU)), mover, **options)


def convex(dim, **options):
    mover = Displacement(MLP(dim, dim, (32, 32), activation=nn.SiLU))
    return BrenierPotential(ICNN(dim, hidden=(32,), pieces=16), mover, **options)


def bound(potential, mu, nu):
    solver = DualSolver(SquaredEuclidean(), potential)
    solver.prepare(mu, nu)
    return solver


def uvp(found, truth):
    return 100 * float((found - truth).square().sum(1).mean() / truth.var(0).sum())


# --- convexity


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    dim=st.integers(1, 6),
    hidden=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    size=st.floats(0.1, 30),
    share=st.floats(0, 1),
)
def test_an_icnn_is_convex_for_every_parameter_value(seed, dim, hidden, size, share):
    torch.manual_seed(seed)
    phi = ICNN(dim, hidden, pieces=5).double()
    with torch.no_grad():
        for parameter in phi.parameters():
            parameter.normal_().mul_(size)
        u, v = 3 * torch.randn(2, 50, dim, dtype=torch.float64)
        between, chord = phi(share * u + (1 - share) * v), share * phi(u) + (1 - share) * phi(v)
    assert bool((between <= chord + 1e-9 * (1 + chord.abs())).all())


@pytest.mark.parametrize("seed", range(3))
def test_the_map_of_an_icnn_is_monotone_whatever_the_pair(seed, float64):
    torch.manual_seed(seed)
    mu = Pushforward(Affine(torch.randn(3, 3), torch.randn(3)), standard_gaussian(3))
    nu = Empirical(torch.randn(400, 3) ** 3)
    potential = convex(3)
    bound(potential, mu, nu)
    x, other = mu.sample(300), mu.sample(300)
    products = ((potential.map(x) - potential.map(other)) * (x - other)).sum(1)
    assert bool((products > 0).all())


def test_the_map_is_the_gradient_of_the_potential(float64):
    mu, nu = Empirical(torch.randn(300, 3)), Empirical(2 * torch.randn(300, 3) + 1)
    potential = free(3)
    bound(potential, mu, nu)
    x = mu.sample(20).requires_grad_()
    (gradient,) = torch.autograd.grad(potential(x).sum(), x)
    assert torch.allclose(potential.map(x), x - gradient / 2)


# --- the frame


def test_in_its_frame_both_laws_have_one_covariance_and_inner_products_keep_their_scale(float64):
    x, y = torch.randn(500, 3) @ torch.randn(3, 3) + 5, torch.randn(500, 3) @ torch.randn(3, 3) - 2
    frame = Frame()
    frame.match(x, y)
    u, v = frame.of_model(x), frame.of_data(y)
    assert torch.allclose(torch.cov(u.T), torch.cov(v.T), atol=1e-2)
    assert float(torch.cov(u.T).trace()) == pytest.approx(3, rel=1e-2)
    assert torch.allclose(frame.to_model(u), x)
    assert torch.allclose(frame.to_data(v), y)
    inner = ((x - x.mean(0)) * (y - y.mean(0))).sum(1)
    assert torch.allclose(frame.scale**2 * (u * v).sum(1), inner)


def test_the_search_starts_at_the_optimal_map_of_gaussians():
    first, second = torch.tensor([[1.0, 0.4], [0.4, 0.7]]), torch.tensor([[0.6, -0.5], [-0.5, 2.0]])
    base, nothing = standard_gaussian(2), torch.zeros(2)
    mu = Pushforward(Affine(first, torch.tensor([100.0, 0.0])), base)
    optimal = Affine(second, torch.tensor([-30.0, 7.0]))  # symmetric and positive: a gradient of a convex function
    nu = Pushforward(nn.Sequential(mu.map, optimal), base)
    potential = BrenierPotential(
        Paraboloid(Affine(torch.zeros(2, 1), torch.zeros(1))), Displacement(Affine(0 * first, nothing))
    )
    bound(potential, mu, nu)
    x = mu.sample(1000)
    assert uvp(potential.map(x), optimal(x)) < 0.1
    assert uvp(potential.inverse_map(optimal(x)), x) < 0.1
    y = nu.sample(100_000)
    x = mu.sample(100_000)
    expected = float((optimal(x) - x).square().sum(1).mean())
    with torch.no_grad():
        value = float(potential(x).mean() + potential.conjugate_mean(x[:50], y))
    assert value == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_a_change_of_units_and_origin_changes_nothing_but_the_units(scale, float64):
    def trained(unit, shift):
        torch.manual_seed(3)
        mu, nu = Empirical(unit * torch.randn(200, 2)), Empirical(unit * (torch.rand(200, 2) + shift))
        potential = free(2, width=8)
        fit(mu, nu, DualSolver(SquaredEuclidean(), potential, inner_steps=1), steps=5, batch_size=32)
        return potential.map(mu.atoms), unit, shift

    plain, _, _ = trained(1.0, 0.0)
    moved, unit, shift = trained(scale, 2.0)
    assert torch.allclose(moved / unit - shift, plain, atol=1e-6)


def test_a_model_that_moves_is_seen_in_the_units_of_the_data():
    mu = Pushforward(nn.Linear(2, 2), standard_gaussian(2))
    nu = Empirical(50 * torch.randn(1000, 2) + 300)
    potential = free(2)
    bound(potential, mu, nu)
    v = potential.frame.of_data(nu.atoms)
    assert torch.allclose(v.mean(0), torch.zeros(2), atol=0.2)
    assert float(v.var(0).mean()) == pytest.approx(1, rel=0.1)
    assert torch.equal(potential.frame.of_model(nu.atoms), v)


def test_bound_again_it_keeps_its_frame_as_a_warm_start():
    mu = standard_gaussian(2)
    potential = free(2)
    bound(potential, mu, Empirical(torch.randn(100, 2)))
    before = potential.frame.q.clone()
    bound(potential, mu, Empirical(torch.randn(100, 2) + 5))
    assert torch.equal(potential.frame.q, before)


# --- the objective


def test_theta_receives_the_envelope_gradient_and_nothing_from_the_conjugate():
    mu, nu = Pushforward(nn.Linear(2, 2), standard_gaussian(2)), Empirical(torch.randn(64, 2))
    potential = free(2)
    solver = bound(potential, mu, nu)
    theta = list(mu.parameters())
    torch.manual_seed(1)
    value, penalty = solver(mu, nu, 32)
    torch.manual_seed(1)
    direct = potential(mu.rsample(32)).mean()
    for one, other in zip(torch.autograd.grad(value, theta), torch.autograd.grad(direct, theta), strict=True):
        assert torch.allclose(one, other)
    assert not penalty.requires_grad
    x = mu.rsample(16)
    reached = torch.autograd.grad(potential.conjugate_mean(x, nu.atoms), theta, allow_unused=True)
    assert all(gradient is None for gradient in reached)


@pytest.mark.slow
def test_ascending_the_value_draws_the_mover_to_the_conjugate_points():
    mu, nu = standard_gaussian(2), Empirical(torch.randn(256, 2) ** 3)
    potential = free(2, descents=20)
    bound(potential, mu, nu)
    for parameter in potential.phi.parameters():
        parameter.requires_grad_(False)
    optimizer = torch.optim.Adam(potential.mover.parameters(), lr=5e-3)
    ways = []
    for _ in range(200):
        loss = -potential.conjugate_mean(mu.sample(2), nu.atoms)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            proposed = potential.frame.to_model(potential.mover(potential.frame.of_data(nu.atoms)))
            ways.append(float((proposed - potential.inverse_map(nu.atoms)).square().mean()))
    assert ways[-1] < 0.05 * ways[0]


@pytest.mark.parametrize("size", [1.0, 100.0])
@pytest.mark.parametrize("make", [free, convex])
def test_no_parameters_lift_the_value_above_the_cost_of_the_batch(size, make, float64):
    """h̃(y_j) <= c(x_i, y_j) − h(x_i) for every pair of the batch: h cannot run away where S does not look."""
    mu, nu = Empirical(torch.randn(100, 2)), Empirical(torch.randn(100, 2) + 1)
    potential = make(2)
    bound(potential, mu, nu)
    with torch.no_grad():
        for parameter in potential.parameters():
            parameter.normal_().mul_(size)
        x, y = mu.sample(32), nu.sample(32)
        value = float(potential(x).mean() + potential.conjugate_mean(x, y))
        C = SquaredEuclidean().matrix(x, y)
    assert value <= float(exact_plan(C).value) + 1e-6 * size**2


@pytest.mark.slow
@pytest.mark.parametrize(("make", "lr"), [(free, 5e-3), (convex, 2e-2)])
def test_a_known_map_and_its_inverse_are_found(make, lr):
    base, optimal = standard_gaussian(2), Monotone()
    nu = Pushforward(optimal, base)
    potential = make(2, lr=lr)
    solver = DualSolver(SquaredEuclidean(), potential, inner_steps=1)
    progress = fit(base, nu, solver, steps=1000, batch_size=128, schedule=linear_decay)
    x = base.sample(4000)
    truth = optimal(x)
    assert uvp(potential.map(x), truth) < 2
    assert uvp(potential.inverse_map(truth), x) < 4
    exact = float((truth - x).square().sum(1).mean())
    last = sum(row["value"] for row in progress.rows[-200:]) / 200
    assert last == pytest.approx(exact, rel=0.06)


@pytest.mark.slow
def test_a_generator_is_trained_through_the_one_loop():
    mu = Pushforward(nn.Linear(2, 2), standard_gaussian(2))
    nu = Empirical(torch.randn(500, 2) @ torch.tensor([[1.0, 0.3], [0.0, 0.5]]) + 4)
    solver = DualSolver(SquaredEuclidean(), free(2), inner_steps=3, warmup_steps=10)
    adam = torch.optim.Adam
    fit(mu, nu, solver, steps=300, batch_size=64, optimizer=lambda p: adam(p, lr=5e-2), schedule=linear_decay)
    x = mu.sample(20_000)
    assert torch.allclose(x.mean(0), nu.atoms.mean(0), atol=0.25)
    assert torch.allclose(torch.cov(x.T), torch.cov(nu.atoms.T), atol=0.25)


# --- bad input


def test_costs_that_have_no_gradient_map_are_refused():
    mu = standard_gaussian(2)
    with pytest.raises(ValueError, match=r"needs the squared distance.*use SquaredEuclidean\(\)"):
        DualSolver(Euclidean(), free(2)).prepare(mu, mu)


@pytest.mark.parametrize(
    ("phi", "mover", "message"),
    [
        (nn.Linear(2, 3), nn.Linear(2, 2), "φ maps points of shape .* to \\(2, 3\\)"),
        (nn.Linear(2, 1), nn.Linear(2, 1), "the mover maps points of shape .* to \\(2, 1\\)"),
        (nn.Linear(5, 1), nn.Linear(2, 2), "φ does not accept points of shape \\(n, 2\\)"),
    ],
)
def test_networks_of_other_shapes_are_refused(phi, mover, message):
    mu = standard_gaussian(2)
    with pytest.raises(ValueError, match=message):
        DualSolver(SquaredEuclidean(), BrenierPotential(phi, mover)).prepare(mu, mu)


def test_a_law_that_is_a_point_is_refused():
    with pytest.raises(ValueError, match="a single point"):
        bound(free(2), standard_gaussian(2), Empirical(torch.ones(5, 2)))


def test_a_sampler_of_nan_is_refused():
    mu = Pushforward(Affine(torch.full((2, 2), torch.nan), torch.zeros(2)), standard_gaussian(2))
    with pytest.raises(ValueError, match="samples of the model hold NaN or Inf"):
        bound(free(2), mu, Empirical(torch.randn(9, 2)))


@pytest.mark.parametrize("options", [{"descents": 0}, {"step": 0.0}, {"lr": -1.0}])
def test_a_potential_that_could_not_be_trained_is_refused(options):
    with pytest.raises(ValueError, match=r"(descents must be a whole number >= 1|(step|lr) must be a number > 0), got"):
        free(2, **options)


@pytest.mark.parametrize("options", [{"hidden": ()}, {"pieces": 0}])
def test_an_icnn_without_width_is_refused(options):
    with pytest.raises(ValueError, match=r"at least one hidden layer|pieces must be a whole number >= 1, got 0"):
        ICNN(2, **options)


# --- the benchmark's pairs


@pytest.mark.skipif(not PAIRS.is_file(), reason="the benchmarks are not part of this distribution")
@pytest.mark.parametrize("name", ["gaussian", "lse"])
@pytest.mark.parametrize("dim", [2, 8])
def test_the_maps_of_the_benchmark_are_optimal(name, dim, float64):
    spec = importlib.util.spec_from_file_location("w2_maps", PAIRS)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    pair = benchmark.PAIRS[name](dim, seed=5)
    x = pair.mu.sample(150)
    y = pair.map(x)
    C = SquaredEuclidean().matrix(x, y)
    assert float(exact_plan(C).value) == pytest.approx(float(C.diagonal().mean()), rel=1e-9)
