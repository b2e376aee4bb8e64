"""Matrices of distances, and where their searches start."""

import math

import pytest
import torch
from surfaces import SPHERE
from torch import nn

from ot_gen import GeodesicCost, LatentGeometry
from ot_gen.costs import squared_distances
from ot_gen.geometry import Best, Graph, Line
from ot_gen.geometry.geodesics import Effort
from ot_gen.geometry.pairs import pairwise

pytestmark = pytest.mark.usefixtures("float64")


def horseshoe():
    """Codes on 3/4 of a circle, with uncertainty off them."""
    angle = torch.linspace(0.25 * math.pi, 1.75 * math.pi, 400)
    codes = torch.stack([angle.cos(), angle.sin()], dim=1)

    def std(z):
        near = torch.exp(-20 * squared_distances(z, codes[::10])).sum(dim=1, keepdim=True)
        return (400 * near + 0.5).rsqrt()

    mean = nn.Linear(2, 32).requires_grad_(False)
    return LatentGeometry(mean, std=lambda z: std(z).expand(-1, 32)), codes


def test_a_bar_is_shown_on_request(capsys):
    geo, (z, _) = LatentGeometry(SPHERE.map), SPHERE.pairs(4)
    geo.pairwise(z)
    assert capsys.readouterr() == ("", "")
    geo.pairwise(z, progress=True)
    assert "6/6" in capsys.readouterr().err


def test_many_points_on_the_sphere_start_at_the_better_of_two_and_end_at_the_truth():
    geo, (z, _) = LatentGeometry(SPHERE.map), SPHERE.pairs(20)
    truth = torch.stack([SPHERE.distance(z, point.expand_as(z)) for point in z])
    assert torch.allclose(geo.pairwise(z), truth, rtol=1e-3, atol=1e-7)


def test_the_best_of_several_starts_is_that_of_least_energy_for_each_pair():
    geo, codes = horseshoe()
    a, b = codes[:2], codes[[-1, 1]]
    rules = (Line(), Graph(codes))
    best = Best(*rules)(geo.metric_field, a, b, 8)
    curves = [rule(geo.metric_field, a, b, 8) for rule in rules]
    assert torch.equal(best[0], curves[1][0])  # around the gap
    energies = torch.stack([geo.metric_field.squares(nodes).fine.sum(dim=1) for nodes in (*curves, best)])
    assert torch.equal(energies[2], energies[:2].amin(dim=0))
    with pytest.raises(ValueError, match="no starts"):
        Best()


@pytest.mark.slow
def test_a_matrix_of_distances_walks_around_a_hole_unasked():
    geo, codes = horseshoe()
    z = codes[::22]
    found = geo.pairwise(z, segments=16)
    around = float(geo.geodesic(z[:1], z[-1:], segments=32, start=Graph(codes)).length)
    straight = float(geo.geodesic(z[:1], z[-1:], segments=32).length)
    assert float(found[0, -1]) <= 1.02 * around < 1.2 * around <= straight


def test_a_geometry_that_knows_its_codes_walks_around_a_hole_unasked():
    geo, codes = horseshoe()
    knowing = LatentGeometry(geo.metric_field, codes=codes)
    a, b = codes[:1], codes[-1:]
    straight, around = geo.geodesic(a, b), knowing.geodesic(a, b)
    assert float(straight.length) > 1.1 * float(around.length)
    for told in (knowing.distance(a, b), knowing.pairwise(torch.cat([a, b]))[0, 1:]):
        assert float(told) == pytest.approx(float(around.length), rel=1e-2)
    assert GeodesicCost(knowing)(a, b).sqrt().item() == pytest.approx(float(around.length), rel=1e-2)
    assert "searched from the segment; curves" in straight.claim and "local minima" in straight.claim
    assert "from the segment and from the shortest path among codes" in around.claim


@pytest.mark.slow
def test_the_cost_walks_around_a_hole_when_told():
    geo, codes = horseshoe()
    ends = codes[:1], codes[-1:]
    straight, around = (float(GeodesicCost(geo, start=start).matrix(*ends)) for start in (Line(), Graph(codes)))
    assert around == pytest.approx(float(geo.geodesic(*ends, start=Graph(codes)).length) ** 2)
    assert 1.4 * around <= straight


def test_one_point_has_a_matrix_too():
    assert torch.equal(LatentGeometry(SPHERE.map).pairwise(torch.ones(1, 2)), torch.zeros(1, 1))


def test_a_matrix_with_unfinished_searches_says_so():
    effort = Effort(4, tol=1e-9, rounds=1, refinements=0)
    with pytest.warns(RuntimeWarning, match="3 of 3 geodesics have not converged"):
        pairwise(LatentGeometry(SPHERE.map).metric_field, SPHERE.pairs(3)[0], [Line()], effort)
