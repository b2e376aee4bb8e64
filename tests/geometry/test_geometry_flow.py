"""Initial value problems, transport and derivatives of distances."""

import math

import pytest
import torch
from surfaces import SPHERE, STEREOGRAPHIC, cylinder, sphere
from torch import nn

from ot_gen import GeodesicCost, LatentGeometry, c_transform, exact_plan
from ot_gen.geometry import Spline, conformal
from ot_gen.geometry.jets import directional

pytestmark = pytest.mark.usefixtures("float64")


def mlp(k=2, d=20):
    return nn.Sequential(nn.Linear(k, 32), nn.Tanh(), nn.Linear(32, d))


@pytest.mark.parametrize("dtype, tol", [(torch.float32, 1e-4), (torch.float64, 1e-6)])
def test_exp_on_the_sphere_is_the_great_circle(dtype, tol):
    geo = LatentGeometry(sphere)
    z = SPHERE.pairs(16)[0].to(dtype)
    v = torch.randn(16, 2).to(dtype) / 2
    x, along = sphere(z), directional(sphere, z, v)[1]
    speed = torch.linalg.vector_norm(along, dim=1, keepdim=True)
    truth = x * speed.cos() + along / speed * speed.sin()
    assert float((sphere(geo.exp(z, v)) - truth).abs().max()) <= tol


def test_exp_in_the_hyperbolic_plane_goes_up_exponentially():
    geo = LatentGeometry(conformal(lambda z: z[:, 1] ** -2))
    end = geo.exp(torch.tensor([[0.5, 2.0]]), torch.tensor([[0.0, 3.0]]))
    assert torch.allclose(end, torch.tensor([[0.5, 2 * math.exp(1.5)]]))


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 2, 4])
def test_exp_and_log_are_inverse(k):
    geo = LatentGeometry(mlp(k).requires_grad_(False))
    a, b = torch.randn(2, 4, k)
    v = geo.log(a, b)
    assert torch.allclose(geo.exp(a, v), b, atol=1e-5)
    assert torch.allclose(geo.inner(a, v, v).sqrt(), geo.distance(a, b), rtol=1e-4)
    assert torch.equal(geo.log(a, a), torch.zeros_like(a))


@pytest.mark.slow
def test_the_two_ways_to_a_geodesic_agree():
    """The solution of the boundary value problem lies on that of the initial value problem."""
    geo = LatentGeometry(mlp().requires_grad_(False))
    a, b = torch.randn(2, 4, 2)
    found = geo.geodesic(a, b, segments=64, tol=1e-6)
    v = geo.log(a, b)
    for t in (0.25, 0.5, 0.75):
        assert torch.allclose(geo.exp(a, t * v), found(torch.tensor([t]))[:, 0], atol=1e-4)


def test_transport_keeps_inner_products_and_the_velocity_of_a_geodesic():
    geo = LatentGeometry(STEREOGRAPHIC.map)
    a, b = STEREOGRAPHIC.pairs(5)
    found = geo.geodesic(a, b, segments=64, tol=1e-6)
    start, end = found.velocity(torch.tensor([0.0, 1.0])).unbind(dim=1)
    assert torch.allclose(geo.transport(found, start), end, atol=2e-2)
    w, u = torch.randn(2, 5, 2)
    moved_w, moved_u = geo.transport(found, w), geo.transport(found, u)
    assert torch.allclose(geo.inner(b, moved_w, moved_u), geo.inner(a, w, u), rtol=1e-4)


def test_transport_around_a_circle_of_latitude_turns_by_the_enclosed_area():
    theta = 1.0
    t = torch.linspace(0, 1, 201)
    circle = torch.stack([torch.full_like(t, theta), 2 * math.pi * t], dim=1)
    moved = LatentGeometry(sphere).transport(Spline(circle[None]), torch.tensor([[1.0, 0.0]]))
    angle = 2 * math.pi * math.cos(theta)
    assert torch.allclose(moved, torch.tensor([[math.cos(angle), -math.sin(angle) / math.sin(theta)]]), atol=1e-5)


def test_transport_on_a_flat_surface_changes_nothing():
    w = torch.randn(3, 2)
    curve = Spline(torch.randn(3, 9, 2))
    assert torch.allclose(LatentGeometry(cylinder).transport(curve, w), w, atol=1e-6)


def test_the_gradient_of_a_distance_in_its_end_points():
    geo = LatentGeometry(mlp().requires_grad_(False))
    a, b = torch.randn(6, 2, requires_grad=True), torch.randn(6, 2, requires_grad=True)
    ours = torch.autograd.grad(geo.distance(a, b, segments=32).sum(), (a, b))
    for index, (point, gradient) in enumerate(zip((a, b), ours, strict=True)):
        columns = []
        for axis in 1e-3 * torch.eye(2):
            ends = [[p.detach() + (sign * axis if p is point else 0) for p in (a, b)] for sign in (1, -1)]
            columns.append((geo.distance(*ends[0], segments=32) - geo.distance(*ends[1], segments=32)) / 2e-3)
        wanted = torch.stack(columns, dim=1)
        assert float(torch.cosine_similarity(gradient, wanted).min()) >= 0.9999, index
        assert torch.allclose(gradient, wanted, rtol=1e-2, atol=1e-3)


def test_the_gradient_at_an_end_is_the_unit_velocity():
    geo, (a, b) = LatentGeometry(SPHERE.map), SPHERE.pairs(6)
    a.requires_grad_()
    (gradient,) = torch.autograd.grad(geo.distance(a, b, segments=32).sum(), a)
    a = a.detach()
    v = geo.log(a, b)
    unit = v / geo.inner(a, v, v).sqrt()[:, None]
    wanted = -torch.einsum("nab,nb->na", geo.metric(a), unit)
    assert float(torch.cosine_similarity(gradient, wanted).min()) >= 0.9999


def test_the_gradient_of_a_distance_in_the_weights():
    net = mlp()
    geo, (a, b) = LatentGeometry(net), torch.randn(2, 4, 2)
    ours = torch.autograd.grad(geo.distance(a, b, segments=32).sum(), list(net.parameters()))
    directions = [torch.randn_like(p) for p in net.parameters()]
    values = []
    with torch.no_grad():
        for sign in (1, -2):
            for p, direction in zip(net.parameters(), directions, strict=True):
                p += sign * 1e-4 * direction
            values.append(float(geo.distance(a, b, segments=32).sum()))
    slope = (values[0] - values[1]) / 2e-4
    assert sum(float((g * d).sum()) for g, d in zip(ours, directions, strict=True)) == pytest.approx(slope, rel=1e-3)


def test_a_distance_of_zero_has_gradient_zero():
    a = torch.randn(2, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(LatentGeometry(mlp()).distance(a, a.detach()).sum(), a)
    assert torch.equal(gradient, torch.zeros_like(a))


def test_the_geodesic_cost_is_the_squared_distance_on_pairs_and_matrices():
    geo = LatentGeometry(SPHERE.map)
    cost, (x, y) = GeodesicCost(geo), SPHERE.pairs(4)
    y = y[:3]
    matrix = cost.matrix(x, y)
    truth = torch.stack([SPHERE.distance(x, point.expand_as(x)).square() for point in y], dim=1)
    assert torch.allclose(matrix, truth, rtol=1e-4)
    assert torch.allclose(cost(x[:3], y), matrix.diagonal())
    assert torch.allclose(cost(x[:, None], y[None]), matrix)
    assert not cost.is_metric and list(cost.parameters()) == []
    x.requires_grad_()
    assert torch.autograd.grad(cost.matrix(x, y).sum(), x)[0].shape == x.shape


def test_a_plan_accepts_the_cost():
    x, y = SPHERE.pairs(5)
    matrix = GeodesicCost(LatentGeometry(SPHERE.map)).matrix(x, y)
    truth = torch.stack([SPHERE.distance(x, point.expand_as(x)).square() for point in y], dim=1)
    assert torch.equal(exact_plan(matrix).matrix, exact_plan(truth).matrix)


def test_a_potential_accepts_the_cost():
    x, y = SPHERE.pairs(5)
    cost, h = GeodesicCost(LatentGeometry(SPHERE.map)), torch.rand(5)
    values, places = c_transform(cost, x, y, h)
    truth = torch.stack([SPHERE.distance(x, point.expand_as(x)).square() for point in y], dim=1)
    wanted = (truth - h).min(dim=1)
    assert torch.allclose(values, wanted.values, atol=1e-4) and torch.equal(places, wanted.indices)
