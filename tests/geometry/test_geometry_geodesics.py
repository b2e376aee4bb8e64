"""Geodesics between points: truth on surfaces with closed forms, and what holds for every decoder."""

import math

import pytest
import torch
from surfaces import (
    CLOSED_FORMS,
    PARABOLOID,
    SPHERE,
    TORUS,
    arc,
    cylinder,
    paraboloid_rate,
    shot,
    sphere,
    stereographic,
    torus_rate,
)
from torch import nn

from ot_gen import LatentGeometry
from ot_gen.costs import squared_distances
from ot_gen.geometry import Graph, Line, Spline, conformal, euclidean
from ot_gen.geometry.minimise import secant
from ot_gen.geometry.tridiagonal import solve

pytestmark = pytest.mark.usefixtures("float64")


def mlp(k=2, d=20, width=32, activation=nn.Tanh):
    return nn.Sequential(nn.Linear(k, width), activation(), nn.Linear(width, d), nn.Sigmoid()).requires_grad_(False)


def excess(geo, found, truth):
    return geo.length(found) / truth - 1


@pytest.mark.parametrize("segments, median, worst", [(16, 1e-5, 1e-4), (32, 1e-6, 1e-5)])
@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_geodesics_of_closed_forms(name, segments, median, worst):
    surface = CLOSED_FORMS[name]
    geo, (a, b) = LatentGeometry(surface.map), surface.pairs(24)
    found = geo.geodesic(a, b, segments=segments)
    truth = surface.distance(a, b)
    over = excess(geo, found, truth)
    assert bool(found.converged.all())
    assert float(over.median()) <= median and float(over.max()) <= worst
    assert float((found.length / truth - 1).abs().max()) <= 1e-3
    assert torch.allclose(found.energy, truth.square(), rtol=2e-3)


@pytest.mark.parametrize(
    "surface, rate", [(TORUS, torus_rate), (PARABOLOID, paraboloid_rate)], ids=["torus", "paraboloid"]
)
def test_geodesics_of_the_torus_and_the_paraboloid(surface, rate):
    geo, (a, v) = LatentGeometry(surface.map), surface.pairs(12)
    v = v / geo.inner(a, v, v).sqrt()[:, None] * torch.linspace(0.1, 1.0, 12)[:, None]
    b = shot(rate, a, v)
    over = excess(geo, geo.geodesic(a, b, segments=16), geo.inner(a, v, v).sqrt())
    assert float(over.abs().max()) <= 1e-5
    assert torch.allclose(geo.exp(a, v), b, atol=1e-7)


def test_great_circles_across_nearly_antipodal_points():
    theta = torch.tensor([0.4, 1.0, 1.5])
    a = torch.stack([theta, torch.zeros(3)], dim=1)
    b = torch.stack([math.pi - theta, torch.full((3,), math.pi - 0.02)], dim=1)
    for chart, ends in [(sphere, (a, b)), (stereographic, tuple(plane(sphere(z)) for z in (a, b)))]:
        geo = LatentGeometry(chart)
        found = geo.geodesic(*ends, segments=32)
        assert float(excess(geo, found, arc(chart)(*ends)).max()) <= 1e-5
        assert bool(found.converged.all())


def plane(x):
    """The stereographic coordinates of points on the sphere."""
    return x[:, :2] / (1 - x[:, 2:])


def test_the_hyperbolic_plane_as_a_conformal_metric():
    geo = LatentGeometry(conformal(lambda z: z[:, 1] ** -2))
    a, b = torch.rand(2, 16, 2) * torch.tensor([4.0, 2.0]) + torch.tensor([0.0, 0.3])
    truth = torch.acosh(1 + (a - b).square().sum(dim=1) / (2 * a[:, 1] * b[:, 1]))
    found = geo.geodesic(a, b, segments=32)
    over = excess(geo, found, truth)
    assert bool(found.converged.all())
    assert float(over.median()) <= 1e-6 and float(over.max()) <= 1e-5
    assert float(found.residual().max()) <= 0.02


@pytest.mark.parametrize("k", [1, 2, 5, 32])
def test_geodesics_of_an_affine_map_are_straight(k):
    net = nn.Linear(k, 40).requires_grad_(False)
    a, b = torch.randn(2, 4, k)
    for geo in (LatentGeometry(net), LatentGeometry(euclidean())):
        found = geo.geodesic(a, b, segments=4)
        line = Line()(geo.metric_field, a, b, 4)
        assert torch.allclose(found.nodes, line, atol=1e-10) and bool(found.converged.all())
        assert float(found.residual().max()) <= 1e-8 and float(found.speed_variation().max()) <= 1e-8
    assert torch.allclose(LatentGeometry(net).distance(a, b), torch.linalg.vector_norm(net(a) - net(b), dim=1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_search_that_starts_at_the_minimum_has_converged(dtype):
    a, b = torch.zeros(2, 3, dtype=dtype), torch.ones(2, 3, dtype=dtype)
    for geo in (LatentGeometry(lambda z: 2 * z), LatentGeometry(euclidean())):
        found = geo.geodesic(a, b)  # the gradient is 0, to the last bit
        assert bool(found.converged.all()) and int(found.rounds.max()) == 0 and torch.equal(found.nodes[:, 4], b / 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1, 2, 3, 8])
def test_a_geodesic_is_never_longer_than_the_segment_and_obeys_the_equation(k, dtype):
    geo = LatentGeometry(mlp(k).to(dtype))
    a, b = 2 * torch.randn(2, 10, k).to(dtype)
    found = geo.geodesic(a, b, segments=16)
    straight = geo.length(Line()(geo.metric_field, a, b, 16))
    assert found.nodes.dtype == dtype and bool(found.converged.all())
    assert bool((geo.length(found) <= straight * (1 + 1e-6)).all())
    assert float(found.speed_variation().max()) <= 0.1
    assert torch.allclose(found(torch.tensor([0.0, 1.0], dtype=dtype)), torch.stack([a, b], dim=1))
    assert float(found.residual().max()) <= 0.5


def test_the_residual_shrinks_with_the_square_of_the_segments():
    geo = LatentGeometry(mlp())
    a, b = 2 * torch.randn(2, 10, 2)
    coarse, fine = (geo.geodesic(a, b, segments=segments, tol=1e-6, refinements=0).residual() for segments in (16, 64))
    assert float(fine.max()) <= 0.02
    assert float((fine / coarse).median()) <= 1 / 8


def test_distances_are_symmetric_and_satisfy_the_triangle_inequality():
    geo, (a, b) = LatentGeometry(SPHERE.map), SPHERE.pairs(12)
    c, _ = SPHERE.pairs(12)
    assert torch.allclose(geo.distance(a, b), geo.distance(b, a), rtol=1e-6)
    assert bool((geo.distance(a, c) <= geo.distance(a, b) + geo.distance(b, c) + 1e-6).all())


def test_length_knows_no_coordinates():
    a, b = torch.rand(2, 6, 2) + 0.5
    twisted = LatentGeometry(lambda z: SPHERE.map(z + 0.2 * z.flip(1).sin()))

    def untwist(point):
        z = point.clone()
        for _ in range(60):
            z = point - 0.2 * z.flip(1).sin()
        return z

    plain = LatentGeometry(SPHERE.map)
    assert torch.allclose(twisted.distance(untwist(a), untwist(b)), plain.distance(a, b), rtol=1e-6)
    t = torch.linspace(0, 1, 200)
    curve = torch.stack([t + 0.5, (3 * t).sin()], dim=1)
    slow = torch.stack([t**2 + 0.5, (3 * t**2).sin()], dim=1)
    one, other = plain.length(Spline(curve[None])), plain.length(Spline(slow[None]))
    assert torch.allclose(one, other, rtol=1e-6)
    assert float(plain.energy(Spline(slow[None]))) > float(plain.energy(Spline(curve[None])))


def test_the_energy_does_not_depend_on_the_number_of_nodes():
    geo = LatentGeometry(cylinder)
    t = torch.linspace(0, 1, 9)[None, :, None]
    line = torch.cat([3 * t, 4 * t], dim=2)
    for curve in (line, line[:, ::2], line[:, ::8]):
        assert torch.allclose(geo.energy(curve), torch.tensor([25.0]))
    assert torch.allclose(geo.geodesic(line[:, 0], line[:, -1]).energy, torch.tensor([25.0]), rtol=1e-4)


def test_constant_speed_keeps_the_points_and_evens_the_steps():
    geo = LatentGeometry(cylinder)
    t = torch.linspace(0, 1, 65)[None, :, None] ** 2
    curve = Spline(torch.cat([2 * t, t], dim=2))
    even = geo.constant_speed(curve, segments=32)
    speed = geo.inner(*(part[0] for part in (even(t.flatten()), *2 * [even.velocity(t.flatten())]))).sqrt()
    assert float((speed / speed.mean() - 1).abs().max()) <= 1e-2
    assert torch.allclose(geo.length(even), geo.length(curve), rtol=1e-5)


def test_a_search_ends_in_the_minimum_near_its_start_and_the_shortest_is_kept():
    def annulus(z):
        return 0.02 + 20 * torch.exp(-4 * z.square().sum(dim=1))

    geo = LatentGeometry(conformal(annulus))
    angle = torch.rand(300) * 2 * math.pi
    codes = torch.stack([angle.cos(), angle.sin()], dim=1) * (1.4 + 0.4 * torch.rand(300, 1))
    a, b = torch.tensor([[1.5, 0.0]]), torch.tensor([[-1.5, 0.1]])
    around = geo.geodesic(a, b, segments=32, start=Graph(codes))
    middle = Graph(codes)(geo.metric_field, a, b, 8)[0, 4]
    assert float(torch.linalg.vector_norm(middle)) > 1
    straight = geo.geodesic(a, b, segments=32)
    both = geo.geodesic(a, b, segments=32, start=[Line(), Graph(codes)])
    assert float(both.length) == pytest.approx(min(float(around.length), float(straight.length)))
    again = geo.geodesic(a, b, segments=32, start=around.nodes)
    assert torch.allclose(again.length, around.length, rtol=1e-6)


def test_paths_in_a_graph_in_parts_are_joined_and_not_shorter_than_the_truth():
    codes = torch.cat([torch.randn(30, 2) * 0.2, torch.randn(30, 2) * 0.2 + 5, torch.full((5, 2), 2.0)])
    graph, geo = Graph(codes, neighbours=4), LatentGeometry(euclidean())
    z = torch.cat([codes[:5], codes[30:35], codes[:1]])
    lengths, truth = graph.lengths(geo.metric_field, z), torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist")
    assert bool((lengths >= truth - 1e-9).all()) and bool((lengths <= 1.5 * truth + 1e-9).all())
    assert torch.equal(lengths, lengths.T) and float(lengths[0, -1]) <= 1e-9


@pytest.mark.slow
def test_a_hole_in_the_data_is_walked_around():
    """A horseshoe of codes with uncertainty off them: from the segment, every search stays in the gap."""
    angle = torch.linspace(0.25 * math.pi, 1.75 * math.pi, 400)
    codes = torch.stack([angle.cos(), angle.sin()], dim=1)

    def std(z):
        near = torch.exp(-20 * squared_distances(z, codes[::10])).sum(dim=1, keepdim=True)
        return (400 * near + 0.5).rsqrt()

    mean = nn.Linear(2, 32).requires_grad_(False)
    geo = LatentGeometry(mean, std=lambda z: std(z).expand(-1, 32))
    a, b = codes[:1], codes[-1:]
    found = geo.geodesic(a, b, segments=32, start=Graph(codes))
    best = geo.geodesic(a, b, segments=64, start=codes[None, ::4], tol=1e-5, rounds=200)
    straight = geo.geodesic(a, b, segments=32)
    assert float(geo.length(found)) <= 1.01 * float(geo.length(best))
    assert float(geo.length(straight)) > 1.5 * float(geo.length(best))


def test_identical_ends_give_a_constant_curve():
    geo, (a, b) = LatentGeometry(SPHERE.map), SPHERE.pairs(3)
    b[1] = a[1]
    found = geo.geodesic(a, b)
    assert float(found.length[1]) == 0 and float(found.energy[1]) == 0 and bool(found.converged[1])
    assert torch.equal(found.nodes[1], a[1].expand_as(found.nodes[1]))
    assert bool(torch.isfinite(found.residual()).all()) and float(found.residual()[1]) == 0
    assert float(found.speed_variation()[1]) == 0


def test_a_decoder_with_kinks_still_returns_a_shorter_curve():
    geo = LatentGeometry(mlp(activation=nn.ReLU))
    a, b = 2 * torch.randn(2, 6, 2)
    found = geo.geodesic(a, b)
    straight = geo.length(Line()(geo.metric_field, a, b, 64))
    assert bool((geo.length(found) <= straight * (1 + 1e-3)).all())
    assert bool(torch.isfinite(found.residual()).all())


def test_too_few_rounds_are_reported_and_the_best_curve_is_returned():
    geo, (a, b) = LatentGeometry(SPHERE.map), SPHERE.pairs(12)
    hasty = geo.geodesic(a, b, rounds=1, refinements=0)
    assert not bool(hasty.converged.all())
    straight = geo.length(Line()(geo.metric_field, a, b, 64))
    assert bool((geo.length(hasty) <= straight * (1 + 1e-2)).all())


@pytest.mark.slow
@pytest.mark.parametrize("k", [5, 8])
def test_searches_converge_where_the_hessian_is_indefinite_on_the_way(k):
    centres, weights = torch.randn(40, k), torch.randn(40, 30).abs() / 4
    net = nn.Sequential(nn.Linear(k, 30), nn.Tanh()).requires_grad_(False)

    def std(z):
        return (torch.exp(-squared_distances(z, centres)) @ weights + 0.01).rsqrt()

    found = LatentGeometry(net, std=std).geodesic(*torch.randn(2, 30, k), segments=8, refinements=0)
    assert int(found.converged.sum()) >= 29 and int(found.rounds.max()) > 20


@pytest.mark.parametrize("n, k", [(1, 2), (2, 3), (8, 2), (15, 4), (15, 5), (33, 2), (66, 1), (2, 40), (1, 70)])
def test_cyclic_reduction_solves_block_tridiagonal_systems(n, k):
    diagonal, upper, b = torch.randn(5, n, k, k), torch.randn(5, n - 1, k, k), torch.randn(5, n, k)
    diagonal = diagonal @ diagonal.mT + torch.tensor([0.0, 1.0, 4.0, 20.0, 40.0]).reshape(5, 1, 1, 1) * torch.eye(k)
    whole = torch.zeros(5, n, k, n, k)
    for i in range(n):
        whole[:, i, :, i] = diagonal[:, i]
    for i in range(n - 1):
        whole[:, i, :, i + 1], whole[:, i + 1, :, i] = upper[:, i], upper[:, i].mT
    whole = whole.reshape(5, n * k, n * k)
    x, definite = solve(diagonal, upper, b)
    assert torch.equal(definite, torch.linalg.eigvalsh(whole)[:, 0] > 0) and bool(definite[-1])
    wanted = torch.linalg.solve(whole, b.flatten(1))
    assert torch.allclose(x.flatten(1)[definite], wanted[definite])


def test_secants_tell_the_second_derivatives_along_a_step():
    metric = LatentGeometry(mlp()).metric_field
    nodes = torch.lerp(torch.randn(3, 1, 2), torch.randn(3, 1, 2), torch.linspace(0, 1, 9)[:, None])
    gaps = []
    for size in (1e-1, 1e-2):
        step = size * torch.randn(3, 7, 2, generator=torch.Generator().manual_seed(0))
        moved = nodes + torch.nn.functional.pad(step, (0, 0, 1, 1))
        bend = secant(torch.zeros(3, 7, 2, 2), metric.model(nodes), metric.model(moved), step)
        wanted = (metric.second_order(nodes)[0] + metric.second_order(moved)[0]) / 2 @ step.unsqueeze(3)
        gaps.append(float((bend @ step.unsqueeze(3) - wanted).abs().max()))
        assert torch.allclose(bend, bend.mT)
    assert gaps[1] < 1e-2 * gaps[0] < 1e-4  # the error is O(δ³)


def test_a_matrix_of_distances_holds_those_of_pairs(monkeypatch):
    monkeypatch.setattr("ot_gen.geometry.pairs.BATCH", 4)
    geo, (z, _) = LatentGeometry(SPHERE.map), SPHERE.pairs(6)
    lengths = geo.pairwise(z)
    truth = torch.stack([SPHERE.distance(z, point.expand_as(z)) for point in z])
    assert torch.allclose(lengths, truth, rtol=1e-3, atol=1e-7)
    assert torch.equal(lengths, lengths.T)


def test_distances_in_a_dense_graph_are_slightly_too_long():
    geo, (z, _) = LatentGeometry(SPHERE.map), SPHERE.pairs(6)
    graph = Graph(SPHERE.pairs(1500)[0], neighbours=12)
    truth = torch.stack([SPHERE.distance(z, point.expand_as(z)) for point in z])
    ratio = (geo.graph_pairwise(z, graph) / truth)[~torch.eye(6, dtype=torch.bool)]
    assert float(ratio.min()) >= 0.999 and float(ratio.max()) <= 1.1
