"""The explorer: planes of codes, what stands on them, and the page that holds it."""

import base64
import io
import json
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from ot_gen import (
    DiracEncoder,
    DiscretePotential,
    DualSolver,
    Empirical,
    FlowMap,
    GaussianDecoder,
    LatentGeometry,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    c_transform,
    exact_plan,
    standard_gaussian,
)
from ot_gen.data import Dataset
from ot_gen.report.code_planes import Square, between, code_plane, density, planes, square_of
from ot_gen.report.explorer import explorer_page
from ot_gen.report.flow_steps import flow_steps
from ot_gen.report.sheets import sheet

FACTS = {"title": "mine on <b>data</b>", "folder": "runs/mine"}
PLANS = PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan))


def smooth(k, d):
    return nn.Sequential(nn.Linear(k, 16), nn.Tanh(), nn.Linear(16, d), nn.Sigmoid()).requires_grad_(False)


def points(n=60, d=2, **more):
    return Dataset(Empirical(torch.rand(n, d)), Empirical(torch.rand(n, d)), **more)


def held(page):
    return json.loads(re.search(r'id="held">(.*?)</script>', page, re.DOTALL).group(1))


def floats(text):
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), "<f4").copy())


def picture(made):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(made.url.split(",")[1]))).convert("RGB"))


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 7), st.integers(0, 99))
def test_a_plane_and_its_codes_are_one(k, seed):
    torch.manual_seed(seed)
    codes = torch.randn(40, k, dtype=torch.float64) * torch.arange(1, k + 1)
    for plane in planes(codes, [] if k == 2 else [(k, 1)]):
        w = torch.randn(5, 2, dtype=torch.float64)
        torch.testing.assert_close(plane.places(plane.codes(w)), w)
        torch.testing.assert_close(plane.directions @ plane.directions.T, torch.eye(2, dtype=torch.float64))
    first = planes(codes)[0]
    assert k == 2 or first.places(codes).var(dim=0).sum() >= codes.var(dim=0).topk(2).values.sum() - 1e-9


def test_a_plane_of_coordinates_has_their_values():
    codes = torch.randn(30, 5) + 3
    plane = planes(codes, [(4, 2)])[-1]
    assert plane.name == "z₄, z₂" and plane.axes == ("z₄", "z₂")
    torch.testing.assert_close(plane.places(codes), codes[:, [3, 1]])
    torch.testing.assert_close(plane.codes(torch.zeros(1, 2))[0, [0, 2, 4]], codes.mean(dim=0)[[0, 2, 4]])
    assert [len(planes(torch.randn(9, k))) for k in (2, 3, 4, 5)] == [1, 4, 8, 3]


@pytest.mark.parametrize(("k", "pair"), [(3, (1, 4)), (3, (2, 2)), (3, (0, 1)), (1, None)])
def test_planes_that_there_are_not_are_refused(k, pair):
    with pytest.raises(ValueError, match=r"two different coordinates from 1 to 3|two dimensions"):
        planes(torch.randn(9, k), [pair] if pair else [])


@pytest.mark.parametrize("noisy", [False, True])
def test_the_metric_is_that_of_the_latent_space_along_the_plane(noisy):
    mean, std = smooth(3, 8), smooth(3, 8)
    mu = Pushforward(GaussianDecoder(mean, std) if noisy else mean, standard_gaussian(3))
    codes = torch.randn(50, 3)
    plane = planes(codes)[0]
    made = code_plane(mu, plane, None, codes, None, codes, 5)
    z = plane.codes(made.square.nodes(5, codes))
    whole = (LatentGeometry(mean, std=std) if noisy else LatentGeometry(mean)).metric(z)
    expected = plane.directions @ whole @ plane.directions.T
    torch.testing.assert_close(made.metric, expected[:, [0, 0, 1], [0, 1, 1]])
    finer = code_plane(mu, plane, None, codes, None, codes, 17)
    assert finer.error < made.error / 3 and finer.error < 0.05  # what the page says of its interpolation


def test_interpolation_is_exact_for_what_is_bilinear():
    square = Square(-1.0, 2.0, 3.0)
    nodes = square.nodes(6, torch.zeros(1, dtype=torch.float64))
    w = torch.rand(40, 2, dtype=torch.float64) * 3 + torch.tensor([-1.0, 2.0])
    bilinear = lambda x: torch.stack([x[:, 0] * x[:, 1], 2 - x[:, 0]], dim=1)  # noqa: E731
    torch.testing.assert_close(between(bilinear(nodes), square, 6, w), bilinear(w))


def test_the_density_is_that_of_the_law():
    square = Square(-4.0, -4.0, 8.0)
    x = square.nodes(41, torch.zeros(1))
    law = torch.exp(-0.5 * x.square().sum(dim=1)) / (2 * math.pi)
    assert float((density(torch.randn(20_000, 2), square, 41) - law).abs().max()) < 0.1 * float(law.max())


def test_a_square_holds_nearly_all_and_one_point_too():
    cloud = torch.randn(2000, 2)
    square = square_of(cloud, 3 + cloud)
    inside = (cloud - cloud.new_tensor([square.left, square.bottom])) / square.size
    assert float(((inside > 0) & (inside < 1)).all(dim=1).float().mean()) > 0.97
    assert square_of(torch.zeros(3, 2)).size == 1


def test_a_sheet_holds_its_images_and_keeps_to_its_size():
    images = (torch.arange(6 * 12).reshape(6, 12) / 71).round(decimals=2)
    made = sheet(images, (1, 3, 4), 3, 10_000)
    shown = picture(made)[..., 0]
    assert shown.shape == (6, 12) and made.url.startswith("data:image/png")
    torch.testing.assert_close(
        torch.from_numpy(shown[3:, 4:8] / 255.0).float(), images[4].reshape(3, 4), atol=0.003, rtol=0
    )
    noise = torch.rand(64, 3 * 24 * 24)
    for size in (60_000, 12_000):
        small = sheet(noise, (3, 24, 24), 8, size)
        assert len(base64.b64decode(small.url.split(",")[1])) <= size and small.url.startswith("data:image/webp")


def test_a_page_holds_points_cells_and_no_address():
    data = points(train_labels=torch.arange(60) % 3)
    mu = Pushforward(smooth(2, 2), standard_gaussian(2))
    solver = DualSolver(SquaredEuclidean(), DiscretePotential())
    solver.prepare(mu, data.train)
    state = torch.get_rng_state()
    page = explorer_page(mu, None, solver, data, None, FACTS, grid=5)
    assert torch.equal(torch.get_rng_state(), state) and mu.training
    assert not re.search(r"https?:|<(link|iframe|script src)", page) and "<b>data</b>" not in page
    told = held(page)
    (view,), atoms = told["views"], told["atoms"]
    assert told["side"] == 13 and "near g(z)" in told["codes"] and told["classes"] == ["0", "1", "2"]
    left, bottom, size = view["square"]
    z = Square(left, bottom, size).nodes(13, torch.zeros(1))
    torch.testing.assert_close(floats(view["decoded"]).reshape(-1, 2), mu.map(z))
    cells = np.frombuffer(base64.b64decode(view["cells"]), "<u2").astype(int)
    owner = c_transform(solver.cost, mu.map(z), data.train.atoms, solver.potential.h_tilde)[1]
    torch.testing.assert_close(floats(atoms["points"]).reshape(-1, 2)[cells], data.train.atoms[owner])
    assert page == explorer_page(mu, None, solver, data, None, FACTS, grid=5)


def test_a_page_of_images_and_of_many_dimensions():
    data = points(d=12, shape=(1, 3, 4), test_labels=torch.arange(60) % 2)
    mu, encoder = Pushforward(smooth(3, 12), standard_gaussian(3)), DiracEncoder(nn.Linear(12, 3))
    told = held(explorer_page(mu, encoder, PLANS, data, None, FACTS, [(3, 1)], grid=5))
    assert [view["name"] for view in told["views"]] == ["principal directions 1, 2", "z₃, z₁"]
    assert told["isImages"] and told["latent"] == 3 and told["codes"] == "codes of 60 held-out points"
    assert all((view["sheet"]["width"], view["sheet"]["height"]) == (4, 3) for view in told["views"])


class Drift(nn.Module):
    def forward(self, t, x):
        return torch.ones_like(x)


def test_steps_of_a_flow_are_those_of_the_generator_or_of_the_prior():
    flow = FlowMap(Drift(), steps=40, method="euler")
    mu = Pushforward(flow, standard_gaussian(2))
    made = flow_steps(mu, False)
    assert len(made.times) == 33 and made.times[0] == 0 and made.times[-1] == 1 and not made.is_prior
    torch.testing.assert_close(
        made.paths - made.paths[0], made.times[:, None, None].expand_as(made.paths), atol=1e-4, rtol=0
    )
    decoder = smooth(2, 12)
    with torch.no_grad():
        prior = flow_steps(Pushforward(decoder, Pushforward(flow, standard_gaussian(2))), True)
    assert prior.is_prior and prior.images.shape == (33, 8, 12)
    torch.testing.assert_close(prior.images[5, 3], decoder(prior.paths[5, 3]))
    told = held(explorer_page(mu, None, PLANS, points(), None, FACTS, grid=5))
    mesh = floats(told["views"][0]["mesh"]).reshape(33, 25, 2)
    torch.testing.assert_close(mesh[-1], mesh[0] + 1, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_the_largest_page_stays_below_ten_megabytes():
    """Eight planes at the finest grid, each with the paths of a flow."""
    mu = Pushforward(FlowMap(Drift(), steps=40), standard_gaussian(4))
    page = explorer_page(mu, None, PLANS, points(d=4), None, FACTS, grid=41)
    assert len(held(page)["views"]) == 8 and len(page) < 10e6
