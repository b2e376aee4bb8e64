"""The built site: its links, and in a Chromium its search, navigation, colours and equations.

`make docs-check` builds it first.
"""

import functools
import http.server
import importlib.util
import re
import shutil
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import ot_gen

SITE = Path(__file__).parents[2] / "docs/_build/html"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZES = [(1300, 900), (360, 740)]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("sphinx") is None, reason="the extra `docs` is not installed"),
    pytest.mark.skipif(not (SITE / "index.html").is_file(), reason="the site is not built: make docs"),
]


class Names(HTMLParser):
    """What a page links to, what it loads, and the names that it gives."""

    def __init__(self):
        super().__init__()
        self.links, self.loads, self.ids = [], [], set()

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids.update(filter(None, (given.get("id"), given.get("name"))))
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        elif (tag == "link" and "stylesheet" in given.get("rel", "")) or given.get("src"):
            self.loads.append(given.get("src") or given["href"])


@functools.cache
def names(path):
    parser = Names()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser


PAGES = sorted(path for path in SITE.rglob("*.html") if "_static" not in path.parts)


def test_every_link_leads_somewhere():
    lost = []
    for page in PAGES:
        for link in names(page).links:
            parts = urlsplit(link)
            if parts.scheme or link == "#":
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not target.exists():
                lost.append(f"{page.relative_to(SITE)}: {link}")
            elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in names(target).ids:
                lost.append(f"{page.relative_to(SITE)}: {link}, no such place")
    assert lost == []


def test_a_page_loads_nothing_from_elsewhere():
    loaded = {load for page in PAGES for load in names(page).loads}
    assert loaded and not {
        load for load in loaded if urlsplit(load).scheme not in ("", "data") or load.startswith("//")
    }


def test_every_public_name_has_a_place():
    places = {place for page in PAGES for place in names(page).ids}
    things = {name: getattr(ot_gen, name) for name in ot_gen.__all__}
    own = {name for name, thing in things.items() if getattr(thing, "__module__", None) and thing.__name__ == name}
    assert {name for name in own if f"ot_gen.{name}" not in places} == set()


def test_every_equation_is_drawn():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        prose = re.sub(r"<(pre|script|code)\b.*?</\1>", "", text, flags=re.DOTALL)
        assert "$$" not in prose, page
    assert "<math" in (SITE / "dual.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser():
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on the PATH")
    with driver.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def served():
    """The site at an address of this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(params=["disk", "server"])
def root(request):
    return SITE.as_uri() + "/" if request.param == "disk" else request.getfixturevalue("served")


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}px")
def page(browser, root, request):
    """A page that is watched: it complains of nothing and asks for nothing outside of the site."""
    context = browser.new_context(viewport=dict(zip(("width", "height"), request.param, strict=True)))
    opened, complaints, asked = context.new_page(), [], []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("request", lambda request: asked.append(request.url))
    yield opened
    context.close()
    assert complaints == []
    assert asked and not [url for url in asked if not url.startswith((root, "data:"))]


def narrow(page):
    return page.viewport_size["width"] < 500


def fits(page):
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_reader_navigates_and_pages_fit_their_width(page, root):
    page.goto(root + "index.html")
    for name in ("dual", "methods", "generated/api/couplings", "generated/notebooks/first_run"):
        if narrow(page):
            page.locator("label[for=__navigation]:visible").first.click()
        link = page.locator(f".sidebar-drawer a[href$='{name}.html']").first
        if not link.is_visible():  # below a folded heading
            page.goto(root + name + ".html")
        else:
            link.click()
        page.wait_for_url(re.compile(re.escape(name) + r"\.html"))
        assert page.locator("h1").first.is_visible() and fits(page), name


def test_the_search_finds_a_name_and_a_word(page, root):
    for word, place in (("sinkhorn_plan", "generated/api/transport"), ("Laguerre", "dual")):
        page.goto(f"{root}search.html?q={word}")
        page.wait_for_selector("#search-results li a")
        page.wait_for_function("document.querySelector('.search-summary')?.innerText.length > 0")
        addresses = page.locator("#search-results li a").evaluate_all("links => links.map(link => link.href)")
        assert any(place in address for address in addresses), addresses
        assert fits(page)


def test_dark_mode_changes_the_page_and_keeps_text_legible(page, root):
    page.goto(root + "primal.html")
    grounds = set()
    for theme in ("light", "dark"):
        page.evaluate(f"document.body.dataset.theme = '{theme}'")
        ground, ink = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor,"
            " getComputedStyle(document.querySelector('article p')).color]"
        )
        light = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ground, ink)]
        assert abs(light[0] - light[1]) > 300, (theme, ground, ink)
        grounds.add(ground)
    assert len(grounds) == 2
    page.reload()
    before = page.evaluate("document.body.dataset.theme")
    page.locator(".theme-toggle:visible").first.click()
    assert page.evaluate("document.body.dataset.theme") != before


def test_equations_are_drawn_and_scroll_in_their_own_box(page, root):
    page.goto(root + "dual.html")
    boxes = page.locator("div.equation")
    assert boxes.count() >= 5
    for i in range(boxes.count()):
        height, inside = boxes.nth(i).evaluate(
            "box => [box.querySelector('math').getBoundingClientRect().height, box.clientWidth]"
        )
        assert height > 12 and inside <= page.viewport_size["width"]
    assert page.locator("div.equation munder, div.equation msub").first.is_visible()
