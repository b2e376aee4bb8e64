"""The explorer in a real browser: the pointer, two clicks, the slider, the keys, widths and schemes."""

import time
from pathlib import Path

import pytest
import torch
from torch import nn

from ot_gen import (
    Dirac,
    Empirical,
    FlowMap,
    LatentGeometry,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    exact_plan,
    standard_gaussian,
)
from ot_gen.data import Dataset
from ot_gen.report.explorer import explorer_page

pytestmark = pytest.mark.slow
PLANS = PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan))


class Half(nn.Module):
    def forward(self, y):
        return Dirac(4 * y[:, :2] - 2)


class Turn(nn.Module):
    def forward(self, t, x):
        return torch.stack([-x[:, 1], x[:, 0]], dim=1)


def decoder(d):
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(2, 24), nn.Tanh(), nn.Linear(24, d), nn.Sigmoid()).requires_grad_(False)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """An autoencoder of images whose prior is a flow, and a flow of the plane."""
    folder = tmp_path_factory.mktemp("explorers")
    labels = torch.arange(300) % 3
    images = Dataset(Empirical(torch.rand(300, 64)), Empirical(torch.rand(300, 64)), (1, 8, 8), labels, labels)
    flow = FlowMap(Turn(), steps=8)
    mu = Pushforward(decoder(64), Pushforward(flow, standard_gaussian(2)))
    plane = Dataset(Empirical(torch.randn(200, 2)), Empirical(torch.randn(200, 2)))
    made = {
        "images": explorer_page(mu, Half(), PLANS, images, None, {"title": "images", "folder": "a"}),
        "points": explorer_page(
            Pushforward(flow, standard_gaussian(2)), None, PLANS, plane, None, {"title": "points", "folder": "b"}
        ),
    }
    for name, page in made.items():
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return folder


def drawn(page):
    page.locator("body[data-drawn]").wait_for()
    return page


def settled(page, act):
    """What the page holds after something was done: the pixels of its canvases."""
    before = int(page.locator("body").get_attribute("data-drawn"))
    act()
    for _ in range(200):
        if int(page.locator("body").get_attribute("data-drawn")) > before:
            break
        page.wait_for_timeout(20)
    return page.evaluate("Object.fromEntries([...document.querySelectorAll('canvas')].map(c => [c.id, c.toDataURL()]))")


def spot(page, across, up):
    box = page.locator("#plane").bounding_box()
    return box["x"] + across * box["width"], box["y"] + (1 - up) * box["height"]


@pytest.mark.parametrize("kind", ["images", "points"])
def test_the_pointer_two_clicks_and_the_slider(kind, visit, pages):
    begun = time.perf_counter()
    page = drawn(visit(pages / f"{kind}.html", width=1300))
    opened = time.perf_counter() - begun
    assert (pages / f"{kind}.html").stat().st_size < 10e6 and opened < 30  # seconds of a busy machine
    first = settled(page, lambda: page.mouse.move(*spot(page, 0.4, 0.4)))
    told = page.locator("#readout").inner_text()
    second = settled(page, lambda: page.mouse.move(*spot(page, 0.7, 0.6)))
    assert page.locator("#readout").inner_text() != told and second["decoded"] != first["decoded"]
    settled(page, lambda: page.mouse.click(*spot(page, 0.3, 0.3)))
    assert "A is set" in page.locator("#hint").inner_text()
    both = settled(page, lambda: page.mouse.click(*spot(page, 0.75, 0.7)))
    assert "shorter than the straight line" in page.locator("#hint").inner_text()
    lengths = [
        float(page.locator(f"#{name}").inner_text().removeprefix("length ")) for name in ("straight", "shortest")
    ]
    assert 0 < lengths[1] <= lengths[0]
    assert kind == "points" or (both["line-strip"] != both["path-strip"] != second["path-strip"])
    assert page.locator("#when").inner_text().startswith("t = 1.00, step 8 of 8")
    slid = settled(page, lambda: page.locator("#time").fill("4"))
    assert page.locator("#when").inner_text() == "t = 0.50, step 4 of 8"
    moved = "plane" if kind == "images" else "decoded"
    assert slid[moved] != both[moved] and (kind == "points" or slid["stills"] != both["stills"])


def test_the_keyboard_does_what_the_pointer_does(visit, pages):
    page = drawn(visit(pages / "images.html"))
    page.locator("#plane").focus()
    before = page.locator("#readout").inner_text()
    settled(page, lambda: page.keyboard.press("ArrowRight"))
    assert page.locator("#readout").inner_text() != before
    settled(page, lambda: page.keyboard.press("Enter"))
    for key in ("ArrowUp", "Shift+ArrowLeft", "ArrowUp"):
        settled(page, lambda key=key: page.keyboard.press(key))
    settled(page, lambda: page.keyboard.press(" "))
    assert "shorter" in page.locator("#hint").inner_text()
    settled(page, lambda: page.keyboard.press("Escape"))
    assert "Click a point" in page.locator("#hint").inner_text() and page.locator("#shortest").inner_text() == ""
    page.locator("input[value=volume]").focus()
    shades = [settled(page, lambda: page.keyboard.press("ArrowRight"))["plane"] for _ in range(3)]
    assert len(set(shades)) == 3
    settled(page, lambda: page.get_by_role("button", name="1", exact=True).press("Enter"))
    assert page.get_by_role("button", name="1", exact=True).get_attribute("aria-pressed") == "false"


def test_paths_of_the_page_are_geodesics(visit, pages):
    """On a plane with a known distance, and beside the solver's own for a decoder."""
    page = drawn(visit(pages / "images.html"))
    length = page.evaluate(
        """() => {
          const grid = new Grid(91, [-1.5, 0.5, 3]), values = new Float32Array(3 * 91 * 91);
          for (let n = 0; n < 91 * 91; n++) values.set([grid.point(n)[1] ** -2, 0, grid.point(n)[1] ** -2], 3 * n);
          const metric = new Metric(grid, values), a = [-1, 1], b = [1, 1];
          return connect(metric, a, b, distances(metric, a)).path.length;
        }"""
    )
    assert length == pytest.approx(1.7627471740390859, rel=1e-3)  # arcosh 3
    ends = torch.tensor([[[-1.2, -1.0], [1.3, 0.9]], [[-0.5, 1.4], [1.0, -1.2]], [[0.2, 0.1], [0.4, -0.3]]])
    found = page.evaluate(
        "(ends) => ends.map(([a, b]) => connect(state.view.metric, a, b, distances(state.view.metric, a)).path.length)",
        ends.tolist(),
    )
    exact = LatentGeometry(decoder(64).double()).geodesic(*ends.double().unbind(dim=1))
    torch.testing.assert_close(torch.tensor(found).double(), exact.length, rtol=5e-3, atol=0)


@pytest.mark.parametrize(("kind", "scheme"), [("images", "dark"), ("points", "light")])
def test_it_fits_a_phone_in_both_schemes(kind, scheme, visit, pages):
    page = drawn(visit(pages / f"{kind}.html", width=360, color_scheme=scheme))
    page.locator("details").evaluate_all("all => all.forEach(e => { e.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    ground = page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
    assert (sum(map(int, ground.removeprefix("rgb(").removesuffix(")").split(","))) < 200) == (scheme == "dark")


def test_without_a_script_the_page_says_so(visit, pages):
    page = visit(Path(pages / "images.html"), java_script_enabled=False)
    assert "needs its own script" in page.locator("noscript").inner_text()
