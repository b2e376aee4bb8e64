"""Flows as maps: orders, closed forms, inverses, densities, and what they do where other maps stand."""

import math
import sys
from functools import partial

import numpy as np
import pytest
import torch
from networks.flows import Function, energy_of_independent, independent, linear, optimal
from torch import nn
from torch.distributions import (
    AffineTransform,
    Categorical,
    Dirichlet,
    Gamma,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    Poisson,
    RelaxedOneHotCategorical,
    TransformedDistribution,
)

from ot_gen import (
    MLP,
    DenseVelocity,
    Empirical,
    FlowMap,
    LatentGeometry,
    PlanPairing,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    UniformSphere,
    VelocityRegression,
    certify,
    exact_plan,
    fit,
    judge,
    standard_gaussian,
    uniform_cube,
    uniform_sphere,
)
from ot_gen.networks import RungeKutta, change_of_volume, evaluations
from ot_gen.networks.runge_kutta import METHODS

ORDERS = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4}
MEAN, SCALE = torch.tensor([1.0, -2.0], dtype=torch.float64), 0.5


def gaussian(d, dtype=torch.float64):
    return Independent(Normal(torch.zeros(d, dtype=dtype), torch.ones(d, dtype=dtype)), 1)


# --- methods


@pytest.mark.parametrize("method", ORDERS)
def test_the_error_of_a_method_falls_by_its_order_when_steps_are_halved(method):
    v, z = Function(lambda t, x: (1 + 2 * t) * x.sin() + t.exp()), torch.randn(50, 2, dtype=torch.float64)
    exact = FlowMap(v, 512, "rk4")(z)
    errors = [float((FlowMap(v, steps, method)(z) - exact).norm()) for steps in (16, 32)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(ORDERS[method], abs=0.25)


@pytest.mark.parametrize("name", METHODS)
def test_a_tableau_counts_its_evaluations(name):
    v = Function(lambda t, x: x)
    FlowMap(v, 3, name)(torch.ones(1, 2))
    assert v.calls == 3 * METHODS[name].stages == FlowMap(v, 3, name).evaluations


def test_a_tableau_of_ones_own_is_a_method():
    third = RungeKutta([[], [1 / 3], [0, 2 / 3]], [0.25, 0, 0.75])  # Heun's of order three
    z = torch.randn(50, 2, dtype=torch.float64)
    errors = [float((FlowMap(independent(MEAN, SCALE), n, third)(z) - MEAN - SCALE * z).abs().max()) for n in (32, 64)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(3, abs=0.15)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([[], [1]], [1.0], "0 entries, got"),
        ([[1]], [1.0], "got .1."),
        ([[]], [0.5], "sum 1, got 0.5"),
        ([], [], "got"),
        ("ab", [1.0], "a must be"),
    ],
)
def test_a_tableau_that_is_none_is_refused(a, b, message):
    with pytest.raises(ValueError, match=message):
        RungeKutta(a, b)


# --- the flow


@pytest.mark.parametrize("method", [*ORDERS, "dopri5"])
def test_the_velocity_of_the_optimal_coupling_arrives_in_one_step_and_has_the_least_energy(method):
    """Paths are straight: W₂² = ‖m‖² + d (s − 1)² is the energy of each method and number of steps."""
    z = torch.randn(20_000, 2, dtype=torch.float64)
    flow = FlowMap(optimal(MEAN, SCALE), 1, method, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(flow(z), MEAN + SCALE * z, rtol=1e-6, atol=1e-6)
    energy = flow.path_energy(z)
    torch.testing.assert_close(energy, (MEAN + (SCALE - 1) * z).square().sum(dim=1), rtol=1e-5, atol=1e-5)


def test_the_velocity_of_the_independent_coupling_has_the_same_flow_and_more_energy():
    z = torch.randn(4000, 1, dtype=torch.float64)
    z = (z - z.mean()) / z.std(correction=0)
    flow = FlowMap(independent(1.0, SCALE), 100, "rk4")
    torch.testing.assert_close(flow(z), 1 + SCALE * z)
    energy, w2 = float(flow.path_energy(z).mean()), 1 + (SCALE - 1) ** 2
    assert energy == pytest.approx(energy_of_independent(1.0, SCALE), rel=1e-6)
    assert w2 < energy < 1 + 1 + SCALE**2  # E|y − z|²


@pytest.mark.parametrize("method", [*ORDERS, "dopri5"])
def test_a_trajectory_begins_at_the_point_and_ends_at_its_image(method):
    z = torch.randn(7, 2, dtype=torch.float64)
    flow = FlowMap(independent(MEAN, SCALE), 8, method)
    path = flow.trajectory(z)
    assert path.shape == (9, 7, 2) and torch.equal(path[0], z)
    torch.testing.assert_close(path[-1], flow(z), rtol=1e-4, atol=1e-4)
    if method == "rk4":
        middle = MEAN / 2 + math.sqrt(0.25 + (SCALE / 2) ** 2) * z
        torch.testing.assert_close(path[4], middle, rtol=1e-4, atol=1e-4)


def test_the_flow_is_differentiable_in_the_point_and_the_parameters():
    flow, z = FlowMap(DenseVelocity(2, width=8), steps=2).double(), torch.randn(3, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(flow, z.requires_grad_())
    flow(z).sum().backward()
    assert all(p.grad is not None for p in flow.parameters())


# --- the inverse


@pytest.mark.parametrize("method", [*ORDERS, "dopri5"])
@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("d", [2, 80])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_inverse_is_of_the_map_as_it_is_computed(method, steps, d, dtype):
    flow = FlowMap(DenseVelocity(d, width=32), steps, method, rtol=1e-6, atol=1e-6).to(dtype)
    z = torch.randn(40, d, dtype=dtype)
    with torch.no_grad():
        x = flow(z)
    error = 1e-4 if method == "dopri5" else 2e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(flow.inverse(x), z, rtol=error, atol=error)
    with torch.no_grad():
        assert (x - z).abs().max() > 0.01  # it does move them


@pytest.mark.parametrize("d", [3, 80])
@pytest.mark.parametrize("factor", [0.5, -0.5])
def test_a_step_far_from_the_identity_is_inverted_while_it_is_a_bijection(factor, d):
    z = torch.randn(9, d, dtype=torch.float64)
    flow = FlowMap(Function(lambda t, x: factor * x + 0.1 * x.sin()), 1, "euler")
    torch.testing.assert_close(flow.inverse(flow(z)), z)


def test_a_nearly_singular_step_needs_newtons_method():
    z = torch.randn(9, 3, dtype=torch.float64)
    flow = FlowMap(Function(lambda t, x: -0.99 * x), 1, "euler")
    torch.testing.assert_close(flow.inverse(flow(z)), z)


@pytest.mark.parametrize("d", [1, 80])
@pytest.mark.parametrize("method", ["inverse", "log_prob"])
def test_a_map_that_is_no_bijection_says_so(method, d):
    flow = FlowMap(Function(lambda t, x: x.square() - x), 1, "euler")  # x -> x²
    arguments = (standard_gaussian(d),) if method == "log_prob" else ()
    with pytest.warns(UserWarning, match="1 steps of euler.*no bijection") as told_of:
        getattr(flow, method)(-torch.ones(1, d), *arguments)
    assert told_of[0].filename == __file__


# --- the density


@pytest.mark.slow
@pytest.mark.parametrize("method", ["rk4", "dopri5"])
def test_the_density_of_a_gaussian_flow_is_that_of_the_gaussian(method):
    x = torch.randn(50, 2, dtype=torch.float64)
    flow = FlowMap(independent(MEAN, SCALE), 30, method, rtol=1e-7, atol=1e-7)
    exact = MultivariateNormal(MEAN, SCALE**2 * torch.eye(2, dtype=torch.float64)).log_prob(x)
    torch.testing.assert_close(flow.log_prob(x, gaussian(2)), exact, rtol=1e-5, atol=1e-5)
    bits = -exact / (2 * math.log(2))
    torch.testing.assert_close(flow.bits_per_dim(x, gaussian(2)), bits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(flow.bits_per_dim(x, gaussian(2), levels=256), bits + 8, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("d", [2, 80])
def test_one_step_of_a_straight_flow_has_the_density_of_its_image(d):
    flow, x = FlowMap(optimal(1.0, SCALE), 1, "euler"), torch.randn(50, d, dtype=torch.float64)
    exact = Independent(Normal(torch.ones_like(x), SCALE), 1).log_prob(x)
    if d == 2:  # the determinant of the step as it is
        torch.testing.assert_close(flow.log_prob(x, gaussian(d)), exact)
    else:  # the divergence along the flow, whose slope is diagonal: signs do not matter
        flow = FlowMap(optimal(1.0, SCALE), 20, "rk4")
        torch.testing.assert_close(flow.log_prob(x, gaussian(d)), exact, rtol=1e-6, atol=1e-6)


def test_beyond_64_dimensions_the_estimate_is_unbiased_and_drawn_anew():
    """For v = A x the exact change is tr A; εᵀ A ε has this mean over the rows' signs."""
    A = torch.randn(65, 65, dtype=torch.float64) / 20
    flow, x = FlowMap(linear(A), 4, "rk4"), torch.zeros(2000, 65, dtype=torch.float64)
    first, second = ((flow.log_prob(x, gaussian(65)) - gaussian(65).log_prob(x)) for _ in range(2))
    assert not torch.equal(first, second)
    assert abs(first.mean() + A.trace()) < 4 * first.std() / math.sqrt(len(x))
    assert first.std() > 0


@pytest.fixture(scope="module")
def trained():
    """A flow from the normal law to points on a ring, trained a little."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        angle = 2 * math.pi * torch.rand(500)
        nu = Empirical(torch.stack([angle.cos(), angle.sin()], dim=1) + 0.3 * torch.randn(500, 2))
        mu = Pushforward(FlowMap(DenseVelocity(2, width=32, depth=2)), standard_gaussian(2))
        solver = PrimalSolver(SquaredEuclidean(), VelocityRegression(PlanPairing(exact_plan, size=64)))
        fit(mu, nu, solver, steps=300, batch_size=64)
    return mu.double()


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "method"), [(1, "euler"), (2, "euler"), (4, "heun"), (16, "heun")])
def test_the_density_of_a_trained_flow_has_integral_one_for_any_number_of_steps(trained, steps, method):
    line = torch.arange(-4.5, 4.5, 0.15, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    flow = FlowMap(trained.map.velocity, steps, method)
    density = flow.log_prob(grid, gaussian(2)).exp()
    assert float(density.sum()) * 0.15**2 == pytest.approx(1, abs=2e-3)
    with torch.no_grad():
        x = flow(torch.randn(4000, 2, dtype=torch.float64))
    moments = (density[:, None] * grid).sum(dim=0) * 0.15**2  # it is the density of the samples
    torch.testing.assert_close(moments, x.mean(dim=0), rtol=0, atol=0.08)


def test_outside_of_a_bounded_reference_the_density_is_zero():
    flow = FlowMap(Function(lambda t, x: torch.ones_like(x)), 2)
    log_prob = flow.log_prob(torch.tensor([[1.5, 1.5], [0.5, 1.5]]), uniform_cube(2, 0.0, 1.0))
    assert log_prob.tolist() == [0.0, -math.inf]


def test_rows_go_with_their_labels_in_whatever_blocks(monkeypatch):
    flow = FlowMap(DenseVelocity(2, width=16, classes=3), steps=2, method="euler").double()
    z, label = torch.randn(20, 2, dtype=torch.float64), torch.arange(20) % 3
    with torch.no_grad():
        x = flow(z, label)
        other = flow(z, label.flip(0))
    assert not torch.allclose(x, other)
    whole = flow.log_prob(x, gaussian(2), label)
    monkeypatch.setattr(change_of_volume, "HELD", 6)
    torch.testing.assert_close(flow.log_prob(x, gaussian(2), label), whole)
    torch.testing.assert_close(flow.inverse(x, label), z)
    assert flow.trajectory(z, label)[-1].allclose(x) and flow.path_energy(z, label).shape == (20,)


@pytest.mark.parametrize("zeta", ["empirical", "scalar", "wide", "batch"])
def test_a_reference_without_such_a_density_is_refused(zeta):
    flow = FlowMap(DenseVelocity(2, width=4))
    laws = {
        "empirical": Empirical(torch.randn(5, 2)),
        "scalar": Gamma(1.0, 1.0),
        "wide": standard_gaussian(3),
        "batch": Normal(torch.zeros(2), torch.ones(2)),
    }
    with pytest.raises(ValueError, match="with a density" if zeta == "empirical" else "dimension 2.*standard_gaussian"):
        flow.log_prob(torch.randn(5, 2), laws[zeta])


THIN = {
    "sphere": UniformSphere(torch.zeros(2)),
    "reference": uniform_sphere(2),
    "moved sphere": TransformedDistribution(UniformSphere(torch.zeros(2)), AffineTransform(1.0, 2.0, event_dim=1)),
    "simplex": Dirichlet(torch.ones(2)),
    "relaxed": RelaxedOneHotCategorical(torch.tensor(1.0), torch.ones(2)),
    "counts": Independent(Poisson(torch.ones(2)), 1),
    "corners": OneHotCategorical(torch.ones(2)),
    "mixture": MixtureSameFamily(Categorical(torch.ones(3)), Independent(Poisson(torch.ones(3, 2)), 1)),
}


@pytest.mark.parametrize("name", THIN)
def test_a_law_on_a_surface_or_on_points_has_no_density_in_the_plane(name):
    flow = FlowMap(Function(lambda t, x: x))
    with pytest.raises(ValueError, match=r"with a density on R\^d, got [^;]*on a surface or on points; give"):
        flow.log_prob(torch.tensor([[math.e, 0.0]]), THIN[name])
    with pytest.raises(ValueError, match="with a density"):
        flow.bits_per_dim(torch.zeros(0, 2), THIN[name])


@pytest.mark.parametrize("method", [*ORDERS, "dopri5"])
@pytest.mark.parametrize("d", [2, 70])
def test_of_no_points_there_are_no_values(method, d):
    flow, none = FlowMap(DenseVelocity(d, width=8), 2, method), torch.zeros(0, d)
    zeta = standard_gaussian(d)
    assert flow(none).shape == flow.inverse(none).shape == (0, d) and flow.trajectory(none).shape == (3, 0, d)
    assert flow.log_prob(none, zeta).shape == flow.bits_per_dim(none, zeta).shape == (0,)
    assert flow.path_energy(none).shape == (0,)


@pytest.mark.parametrize("make", [list, tuple, np.array, partial(np.array, dtype=np.uint16), torch.tensor])
def test_labels_are_whole_numbers_of_any_container(make):
    flow, x = FlowMap(DenseVelocity(2, width=8, classes=3), steps=2), torch.randn(3, 2)
    label, zeta = torch.tensor([2, 0, 1]), standard_gaussian(2)
    for function in (flow, flow.inverse, flow.trajectory, flow.path_energy):
        assert torch.equal(function(x, make([2, 0, 1])), function(x, label))
    assert torch.equal(flow.log_prob(x, zeta, make([2, 0, 1])), flow.log_prob(x, zeta, label))
    assert torch.equal(flow.velocity(torch.zeros(3), x, make([2, 0, 1])), flow.velocity(torch.zeros(3), x, label))
    assert flow(x[:0], []).shape == (0, 2)
    with pytest.raises(ValueError, match="labels must be whole numbers"):
        flow(x, [2.0, 0.0, 1.0])


@pytest.mark.parametrize("module", [nn.Linear(2, 2), MLP(2, 2), nn.Sequential(nn.Linear(2, 2))])
def test_a_module_of_points_alone_is_no_velocity(module):
    with pytest.raises(ValueError, match=r"v\(t, x\), and an? \w+ does not; give DenseVelocity\(d\)"):
        FlowMap(module)


def test_points_without_an_inverse_that_is_finite_are_named():
    flow = FlowMap(Function(lambda t, x: x.square()), 1, "euler")
    for x, message in (
        (torch.full((1, 2), 3e38), r"not finite at points of size 3e\+38, in torch.float32"),
        (torch.ones(1, 2, dtype=torch.int64), r"floats \(n, d\), d >= 1, got torch.int64"),
        (torch.ones(1, 0), r"got torch.float32 \(1, 0\)"),
    ):
        with pytest.raises(ValueError, match=message):
            flow.inverse(x)
        with pytest.raises(ValueError, match=message if x.shape[1] else "dimension 0"):
            flow.log_prob(x, standard_gaussian(2))


# --- among other parts


@pytest.mark.slow
def test_a_flow_is_judged_and_certified_like_any_model(trained):
    mu = Pushforward(FlowMap(trained.map.velocity, 4), trained.base).float()
    nu = Empirical(torch.randn(200, 2))
    interval = certify(mu, nu, SquaredEuclidean(), max_samples=2**12, max_seconds=20.0)
    assert 0 < interval.lower <= interval.upper
    assert judge(mu, nu, Empirical(torch.randn(200, 2)), n=100)
    trained.double()


def test_the_latent_metric_of_a_linear_flow_is_that_of_its_exponential():
    A = torch.randn(2, 2, dtype=torch.float64) / 2
    metric = LatentGeometry(FlowMap(linear(A), 50, "rk4")).metric(torch.randn(3, 2, dtype=torch.float64))
    J = torch.linalg.matrix_exp(A)
    torch.testing.assert_close(metric, (J.T @ J).expand(3, 2, 2), rtol=1e-6, atol=1e-6)


def test_evaluations_hold_for_every_flow_of_a_model_while_the_context_lasts():
    v = Function(lambda t, x: x)
    flow = FlowMap(v, 16, "rk4")
    mu = Pushforward(nn.Sequential(flow, MLP(2, 5, (4,))), standard_gaussian(2))
    for number, method in ((1, "euler"), (2, "euler"), (8, "euler"), (16, "rk4"), (20, "rk4"), (18, "euler")):
        with evaluations(mu, number):
            v.calls = 0
            assert mu.sample(3).shape == (3, 5)
            assert v.calls == number == flow.evaluations and flow.method == method
    with pytest.raises(ZeroDivisionError), evaluations(mu, 4):
        raise ZeroDivisionError
    assert (flow.steps, flow.method) == (16, "rk4")


def test_a_number_of_evaluations_makes_an_adaptive_flow_one_of_fixed_steps():
    flow = FlowMap(Function(lambda t, x: x), 3, "dopri5")
    assert flow.evaluations is None
    with evaluations(flow, 5):
        torch.testing.assert_close(flow(torch.ones(1, 1)), torch.full((1, 1), 1.2**5))
    assert flow.method == "dopri5"


def test_a_model_without_a_flow_has_no_number_of_evaluations():
    with pytest.raises(ValueError, match="this model has none; leave it out"), evaluations(nn.Linear(2, 2), 3):
        pass


# --- what is refused


@pytest.mark.parametrize("value", [torch.zeros(3, 1), torch.zeros(2), None])
def test_a_velocity_of_another_shape_is_named(value):
    with pytest.raises(ValueError, match=r"shape of x, here \(3, 2\), got .* from Function"):
        FlowMap(Function(lambda t, x: value))(torch.zeros(3, 2))


def test_steps_methods_and_points_that_do_not_fit_are_named():
    v = DenseVelocity(2, width=4)
    for arguments, message in (
        ({"steps": 0}, r"steps must be a whole number in \[1, 10000\], got 0"),
        ({"method": "rk5"}, "method must be"),
        ({"rtol": 0.0}, "rtol must be"),
    ):
        with pytest.raises(ValueError, match=message):
            FlowMap(v, **arguments)
    with pytest.raises(ValueError, match=r"moves points \(n, 2\), got \(4, 3\)"):
        FlowMap(v)(torch.zeros(4, 3))


def test_without_its_library_the_adaptive_method_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchdiffeq", None)
    with pytest.raises(ValueError, match=r"needs the library torchdiffeq; install it, pip install ot_gen\[ode\]"):
        FlowMap(DenseVelocity(2, width=4), method="dopri5")


def test_an_accuracy_out_of_reach_is_named():
    flow = FlowMap(Function(lambda t, x: x.square()), method="dopri5")
    with pytest.raises(ValueError, match="dopri5 does not reach rtol=1e-05"):
        flow(torch.full((1, 1), 2.0))  # 1 / (1/2 − t)
