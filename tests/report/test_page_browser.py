"""The comparison page in a real browser: sorting, filtering, silence, width, both colour schemes, two hundred runs."""

import json
import math
import os

import pytest
from PIL import Image
from test_compare import judged, record, write_run

from ot_gen.report.compare import write_comparison

SOLVERS = (("primal/plan", "table"), ("primal/vae", "network"), ("dual/wgan", "network"), ("dual/cells", "table"))

pytestmark = pytest.mark.slow


def certificate(w1):
    bounds = {"lower": w1 - 0.1, "lower_se": 0.01, "upper": w1 + 0.1, "upper_se": 0.01, "level": 0.95}
    return bounds | {"cost": "Euclidean()", "reference_lower": 0.2, "reference_upper": 0.4, "converged": True}


def noise(folder, name, size=(460, 460)):
    """A picture that does not compress: the worst case for the page's size."""
    Image.frombytes("RGB", size, os.urandom(3 * size[0] * size[1])).save(folder / f"{name}.png", compress_level=0)


def write_many(folder, data, seeds, steps=40):
    for i, name in enumerate(data):
        for j, (solver, cell) in enumerate(SOLVERS):
            for seed in range(seeds):
                w1 = 2 + i + 0.5 * j + 0.1 * math.sin(1 + seed * (j + 1))
                metrics = {"mmd": {"value": w1 / 10, "se": 0.01, "floor": 0.02, "floor_se": 0.001}}
                facts = record(solver, name, seed, cell=cell, judgement=judged(w1, w1_floor=0.5))
                run = folder / f"{name}-{j}-{seed}"
                write_run(run, facts | {"certificate": certificate(w1), "metrics": metrics, "metrics_n": 500})
                rows = [f"{k},{0.01 * k},{128 * k},{w1 + 5 / k}" for k in range(1, steps)]
                (run / "metrics.csv").write_text("\n".join(["step,seconds,images,value", *rows]))


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_many(folder, ("ring", "grid"), 3)
    error = "ValueError: </script><script>alert('no')</script> the loss became NaN"
    write_run(folder / "failed", record("dual/wgan", "ring", 7, status="failed", error=error, steps_done=3))
    for name in ("ring-0-0", "ring-1-0", "ring-1-1", "grid-0-0"):
        noise(folder / name, "samples", (60, 60))
    return write_comparison(folder, folder)


@pytest.fixture
def unfolded(visit, comparison):
    """The page with the table of every run open."""
    page = visit(comparison)
    page.locator("details.every").evaluate_all("all => all.forEach(e => { e.open = true })")
    return page


def shown(page, selector):
    return [text.strip() for text in page.locator(f"{selector}:visible").all_inner_texts()]


def ring(page):
    return page.locator("section", has=page.locator("h2", has_text="ring"))


def first_column(page):
    return [name.strip() for name in ring(page).locator("table.every-run tr.mean th").all_inner_texts()]


def test_a_click_on_a_header_sorts_up_then_down_then_back(unfolded):
    page = unfolded
    header = ring(page).locator("table.every-run thead th", has_text="certified interval")
    written = first_column(page)
    assert header.get_attribute("aria-sort") == "none"
    order = ["primal/plan", "primal/vae", "dual/wgan", "dual/cells"]  # of W₁, by construction
    assert written == ["primal/plan", "primal/vae", "dual/cells", "dual/wgan"]
    header.locator("button").click()
    assert (first_column(page), header.get_attribute("aria-sort")) == (order, "ascending")
    header.locator("button").press("Enter")  # the keyboard does the same
    assert (first_column(page), header.get_attribute("aria-sort")) == (order[::-1], "descending")
    header.locator("button").press("Space")
    assert (first_column(page), header.get_attribute("aria-sort")) == (written, "none")


def test_within_a_solver_seeds_are_sorted_and_runs_without_a_value_come_last_both_ways(unfolded):
    page = unfolded
    body = ring(page).locator("table.every-run tbody", has_text="dual/wgan")
    header = ring(page).locator("table.every-run thead th", has_text="W₁ ↓").locator("button")
    seen = []
    for _ in range(2):
        header.click()
        values = body.locator("tr.seed td.distance:nth-of-type(4)").evaluate_all("all => all.map(e => e.dataset.value)")
        seen.append([None if value is None else float(value) for value in values])
        assert body.locator("tr").first.get_attribute("class") == "mean"
        assert body.locator("tr").last.get_attribute("data-runs") == body.locator(
            "tr", has_text="failed"
        ).get_attribute("data-runs")
    assert seen[0][:3] == sorted(seen[0][:3]) and seen[1][:3] == seen[0][:3][::-1]


def test_filters_act_on_overview_table_curves_and_samples(unfolded):
    page = unfolded
    assert shown(page, "#count") == ["all 25 runs"]
    assert len(shown(page, "section h2")) == 2
    page.locator("input[name=data][value=ring]").check()
    assert shown(page, "section h2") == ["ring"]
    page.locator("input[name=solver][value='primal/vae']").check()
    assert shown(page, "#count") == ["3 of 25 runs"]
    assert len(shown(page, "tr.seed")) == 3 and len(shown(page, "tr.mean")) == 1
    assert page.locator("path.line[data-runs]:visible").count() == 6  # against seconds and against images
    assert len(shown(page, ".square a")) == 3
    assert page.locator(".gallery img:visible").count() == 2
    page.locator("input[name=seed][value='0']").check()
    assert page.locator(".gallery img:visible").count() == 1
    assert len(shown(page, "tr.seed")) == 1
    assert not shown(page, "tr.mean") and not shown(page, ".pairs")  # they speak of seeds that are hidden
    assert page.locator("#aggregates").is_visible()
    page.get_by_role("button", name="show all").click()
    page.get_by_text("all 25 runs").wait_for()
    page.locator("#find").fill("became nan")
    assert shown(page, "#count") == ["1 of 25 runs"]
    assert "After 3 of 2000 steps" in shown(page, "tr.seed")[0]
    page.locator("#find").fill("no such run")
    assert shown(page, "section h2") == [] and shown(page, "#count") == ["0 of 25 runs"]


def test_columns_and_seeds_fold_away(unfolded):
    page = unfolded
    column = "section:first-of-type .every-run th:has-text('certified interval')"
    assert page.locator(column).first.is_visible()
    page.locator(".columns summary").first.click()
    page.locator(".columns").first.get_by_label("certified interval").uncheck()
    assert not page.locator(column).first.is_visible()
    rows = page.locator("section").first.locator("tr.seed:visible")
    assert rows.count() == 12
    page.locator(".toggle").first.uncheck()
    assert rows.count() == 0


def test_a_number_of_the_overview_leads_to_its_run(visit, comparison):
    page = visit(comparison)
    link = page.locator(".square a").first
    link.click()
    target = page.locator(link.get_attribute("href"))
    box = target.bounding_box()
    assert target.get_attribute("data-runs") == link.get_attribute("data-runs")
    assert 0 <= box["y"] < 800


def test_what_a_run_wrote_is_text_even_within_the_script(visit, comparison):
    page = visit(comparison)
    assert "</script><script>alert('no')</script>" in page.locator(".failures").inner_text()
    assert page.locator("script").count() == 2


def test_a_phone_scrolls_tables_not_the_page(visit, comparison):
    page = visit(comparison, width=360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("details").evaluate_all("all => all.forEach(e => { e.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator(".scroll").evaluate_all("all => all.some(e => e.scrollWidth > e.clientWidth)")


def luminance(colour):
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_marks_stand_out_in_both_colour_schemes(visit, comparison, scheme):
    """Contrast as WCAG 2.1 asks it: 4.5 for text, 3 for drawings."""
    page = visit(comparison, color_scheme=scheme)
    style = "(e, name) => getComputedStyle(e)[name]"
    ground = luminance(page.locator("body").evaluate(style, "backgroundColor"))
    assert (ground < 0.1) == (scheme == "dark")
    wanted = [("p", "color", 4.5), (".quiet", "color", 4.5), ("td a", "color", 4.5), (".stopped", "color", 4.5)]
    wanted += [(f".span.{side}", "fill", 3) for side in ("primal", "dual")]
    wanted += [(f"path.line.{side}", "stroke", 3) for side in ("primal", "dual")]
    for selector, name, least in wanted:
        ink = luminance(page.locator(selector).first.evaluate(style, name))
        assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) >= least, selector


def test_without_scripts_everything_is_there(visit, comparison):
    page = visit(comparison, java_script_enabled=False)
    assert page.locator("table.look tbody tr:visible").count() == 8
    for summary in page.locator("details.every:has(.every-run) > summary").all():
        summary.click()
    assert page.locator("table.every-run tr.seed:visible").count() == 25
    assert not page.locator("#filters").is_visible()
    assert page.locator("path.line[data-runs]:visible").count() == 48  # the failed run left no metrics.csv


def test_two_hundred_runs_with_all_pictures_stay_small_and_answer_at_once(visit, tmp_path):
    write_many(tmp_path, [f"data{i}" for i in range(5)], 10, steps=400)
    source = tmp_path / "data0-0-0"
    names = ("samples", "reconstructions", "codes", "manifold", "interpolations")
    for name in names:
        noise(source, name, (230, 230))
    for run in tmp_path.glob("data*"):
        for name in names:
            if run != source:
                os.link(source / f"{name}.png", run / f"{name}.png")
    page = write_comparison(tmp_path, tmp_path)
    assert page.stat().st_size < 15e6
    opened = visit(page)
    assert opened.locator(".gallery img").count() == 200 * len(names)
    assert opened.locator("#filters").is_visible()
    opened.locator("input[name=data][value=data3]").check()
    opened.locator("table.look:visible thead th button").nth(3).click()
    assert shown(opened, "#count") == ["40 of 200 runs"]


def test_the_facts_are_json_whatever_the_runs_hold(comparison):
    text = comparison.read_text(encoding="utf-8")
    facts = json.loads(text.split('id="facts">')[1].split("</script>")[0])
    assert len(facts) == 25 and all(isinstance(value, str) for fact in facts for value in fact.values())
