"""The comparison: every run below a folder gets a row, a mean over its seeds, and its figures on one page."""

import base64
import csv
import json
import math
import os
import re
import statistics
from html.parser import HTMLParser

import pytest
from PIL import Image

from ot_gen.evaluation import EncoderJudgement
from ot_gen.report.compare import main, write_comparison
from ot_gen.report.runs import find_runs

VOID = {"meta", "img", "input", "br", "rect", "line", "wbr"}


class Page(HTMLParser):
    """A page's elements, its rows as texts, and a check that every tag is closed in order."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.open, self.rows, self.texts, self.space = [], [], [], [], " "
        # The table for a glance repeats rows of the whole one, which these tests are about.
        self.feed(re.sub(r'<table class="runs look.*?</table>', "<table></table>", html, flags=re.DOTALL))
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.space = "" if tag == "wbr" else " "
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append("")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data.strip())
        if "tr" in self.open:
            self.rows[-1] = " ".join(f"{self.rows[-1]}{self.space}{data}".split())
        self.space = " "

    def having(self, tag, **attributes):
        return [found for name, found in self.elements if name == tag and attributes.items() <= found.items()]

    def row(self, *parts):
        (found,) = [row for row in self.rows if all(part in row for part in parts)]
        return found


def record(solver="primal/vae", data="ring", seed=0, **changes):
    steps = {"steps": 2000, "steps_done": 2000, "batch_size": 128, "images": 256000}
    return {
        "status": "finished",
        **{"solver": solver, "side": solver.split("/")[0], "cell": "network", "bound": None},
        **{"cost": "SquaredEuclidean()", "data": data, "generator": "mlp", "seed": seed, **steps},
        **{"seconds": 40.0, "images_per_second": 6400.0, "started": "2026-11-23T10:00:00+0000"},
        "objective": {"value": 20.0, "penalty": 3.0},
        "judgement": judged(6.0),
        "versions": {"python": "3.11.7", "torch": "2.5.0", "machine": "x86_64"},
        "overrides": [f"solver={solver}", f"seed={seed}", f"data={data}", "steps=2000"],
    } | changes


def judged(w1, **changes):
    return {"n": 1000, "w1": w1, "w1_floor": 5.0, "w2_squared": 38.0, "w2_squared_floor": 39.0} | changes


def write_run(folder, facts, figures=()):
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(facts if isinstance(facts, str) else json.dumps(facts))
    for name in figures:
        Image.new("RGB", (4, 4), "red").save(folder / f"{name}.png")


def write_hydra(folder, **files):
    (folder / ".hydra").mkdir(parents=True)
    for name, text in files.items():
        (folder / ".hydra" / f"{name}.yaml").write_text(text)


def page_of(folder):
    return Page(write_comparison(folder, folder).read_text(encoding="utf-8"))


def table_of(folder):
    with (folder / "comparison.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("payload", ["=HYPERLINK(1)", "+1+1", "-2+3", "@SUM(A1)", "\t=1+1"])
def test_no_cell_of_the_table_is_a_formula(payload, tmp_path):
    write_run(tmp_path / "a", record(solver=payload, overrides=[payload], cost=payload, error=payload))
    write_run(tmp_path / "b", record(objective={"value": -20.0, "penalty": 0.0}))
    write_comparison(tmp_path, tmp_path)
    rows = table_of(tmp_path)
    texts = [value for row in rows for value in row.values() if value and not is_number(value)]
    assert "'" + payload.replace("\t=", "\t'=") in texts  # some readers end a cell at a tab
    assert not [text for text in texts if text.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert {row["value"] for row in rows} == {"20.0", "-20.0"}


def is_number(text):
    try:
        return bool(float(text)) or True
    except ValueError:
        return False


def test_runs_are_found_at_any_depth_primal_first_then_table_name_and_seed(tmp_path):
    write_run(tmp_path / "b" / "0", record("dual/wgan_gp", seed=0))
    write_run(tmp_path / "multirun" / "day" / "time" / "11", record("primal/vae", seed=1))
    write_run(tmp_path / "multirun" / "day" / "time" / "2", record("primal/vae", seed=0))
    write_run(tmp_path / "c", record("primal/zz_plan", cell="table"))
    write_run(tmp_path / "c" / ".trash" / "old", record())
    assert [(run.record.solver, run.record.seed) for run in find_runs(tmp_path)] == [
        ("primal/zz_plan", 0),
        ("primal/vae", 0),
        ("primal/vae", 1),
        ("dual/wgan_gp", 0),
    ]


def test_seeds_are_summarised_by_mean_and_sample_deviation(tmp_path):
    values = [6.0, 6.3, 6.9]
    for seed, w1 in enumerate(values):
        write_run(tmp_path / str(seed), record(seed=seed, judgement=judged(w1)))
    page = page_of(tmp_path)
    summary = page.row("3 seeds")
    assert f"{statistics.fmean(values):.3f} ± {statistics.stdev(values):.3f}" in summary
    assert "6.400 ± 0.458" in summary
    assert len(page.having("tr", **{"class": "seed"})) == 3


def test_only_runs_that_differ_in_the_seed_alone_are_summarised(tmp_path):
    settings = ["steps=2000", "solver.weight=10"]
    write_run(tmp_path / "a", record(seed=0, overrides=["seed=0", *settings]))
    write_run(tmp_path / "b", record(seed=1, overrides=["++seed=1", "resume=x", *reversed(settings)]))
    write_run(tmp_path / "c", record(seed=2, overrides=["seed=2", "steps=2000", "solver.weight=1"]))
    write_run(tmp_path / "d", record(seed=3, overrides=["seed=3", *settings], generator="convolutional"))
    page = page_of(tmp_path)
    assert "solver.weight=10" in page.row("2 seeds")
    assert page.row("solver.weight=1 c 2 finished")
    assert len(page.having("tr", **{"class": "single"})) == 2


def test_runs_that_did_not_finish_enter_no_mean(tmp_path):
    for seed, status in enumerate(["finished", "finished", "failed", "interrupted"]):
        w1 = 6.0 if status == "finished" else 1e6
        write_run(tmp_path / str(seed), record(seed=seed, status=status, judgement=judged(w1)))
    summary = page_of(tmp_path).row("2 seeds")
    assert "2 of 4" in summary
    assert "6.000 ± 0.000" in summary


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"status": "failed", "error": "ValueError: no", "steps_done": 12}, "failed", "After 12 of 2000 steps"),
        ({"status": "failed", "error": "ValueError: no", "steps_done": None}, "failed", "ValueError: no"),
        ({"status": "interrupted", "steps_done": 7}, "interrupted", "After 7 of 2000 steps"),
        ({"status": "running", "steps_done": None}, "unfinished", "killed, or still running"),
    ],
)
def test_a_run_that_did_not_finish_says_why(tmp_path, changes, status, words):
    write_run(tmp_path / "it", {**record(objective=None, judgement=None, seconds=None), **changes})
    row = page_of(tmp_path).row("primal/vae", "SquaredEuclidean", status)
    assert words in row


def test_a_killed_runs_steps_are_those_of_its_metrics(tmp_path):
    facts = {key: value for key, value in record(status="running").items() if key != "steps_done"}
    write_run(tmp_path / "it", facts)
    (tmp_path / "it" / "metrics.csv").write_text("step,value\n1,3.0\n2,2.5\n3")
    assert "After 2 of 2000 steps: killed" in page_of(tmp_path).row("unfinished")


def test_a_run_that_failed_before_it_started_is_read_from_hydra(tmp_path):
    write_run(tmp_path / "0", record(seed=0))
    write_hydra(tmp_path / "1", overrides="[solver=primal/vae, data=ring, +seed=1]")
    write_hydra(
        tmp_path / "2",
        overrides="[seed=4]",
        hydra="{hydra: {runtime: {choices: {solver: dual/clip, data: grid, generator: mlp}}}}",
    )
    write_hydra(tmp_path / "3", overrides="[: not yaml", hydra="hydra: {runtime: cut", config="{seed: 9}")
    write_run(tmp_path / "4", {"status": "failed", "solver": "primal/vae", "error": "built nothing"})
    page, runs = page_of(tmp_path), {run.folder.name: run for run in find_runs(tmp_path)}
    assert sum("failed before it started" in row for row in page.rows) == 3
    told = {name: (run.record.side, run.record.cell, run.record.data, run.record.seed) for name, run in runs.items()}
    assert told["1"] == ("primal", "network", "ring", 1)
    assert told["2"] == ("dual", None, "grid", 4)
    assert told["3"] == (None, None, None, 9)
    assert told["4"][:2] == ("primal", "network") and runs["4"].error == "built nothing"


DAMAGED = [
    *["", '{"status": "fini', "[1, 2]", "{}", "\x00", '{"status": "finished", "seconds": "fast"}'],
    *['{"status": "finished", "encoder": {"mmd": "small"}}', '{"status": "finished", "encoder": 3}'],
    '{"status": "finished", "encoder": {"mmd": 0.1}}',
    *[
        '{"status": "finished", "seed": 1e999}',
        '{"status": "well"}',
        "[" * 100_000,
        '{"status": "failed", "format": "new"}',
    ],
    *['{"status": "finished", "judgement": [1]}', '{"status": "failed", "overrides": "seed=1"}'],
]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_record_gets_a_row_that_says_so(tmp_path, text):
    write_run(tmp_path / "torn", text)
    write_run(tmp_path / "bare", {"status": "finished"})  # knows nothing else, and is whole
    page = page_of(tmp_path)
    assert "its record is damaged" in page.row("torn")
    assert "unknown solver" in page.row("bare", "finished")


def test_what_others_wrote_is_escaped(tmp_path):
    error, name = "<script>alert('no')</script> & more", "<b>ring</b>"
    write_run(tmp_path / "it", record(status="failed", error=error, data=name, solver="dual/<i>"), ["samples"])
    text = write_comparison(tmp_path, tmp_path).read_text(encoding="utf-8")
    page = Page(text)
    assert error in page.row("it", "failed")
    assert len(page.having("script")) == 2  # both the page's own
    (fact,) = json.loads(re.search(r'id="facts">(.*?)</script>', text)[1])
    assert "alert('no')" in fact["text"] and fact["data"] == name
    assert page.having("img")[0]["alt"] == "samples of dual/<i>, seed 0 on <b>ring</b>"


def test_the_page_needs_nothing_but_itself_and_shows_every_figure(tmp_path):
    write_run(tmp_path / "a", record(), ["samples", "reconstructions", "codes", "manifold", "interpolations", "curves"])
    write_run(tmp_path / "b", record("dual/wgan_gp", data="grid"), ["samples", "curves"])
    write_run(tmp_path / "c", record("dual/wgan_gp", data="grid", seed=1, status="failed", error="no"))
    page = page_of(tmp_path)
    images = [image for image in page.having("img") if image["alt"]]
    assert len(images) == 8
    assert all(base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))[1:4] == b"PNG" for image in images)
    assert not page.having("link") + [found for found in page.having("script") if "src" in found]
    links = {found["href"] for _, found in page.elements if "href" in found}
    assert links == {f"#run-{number}" for number in range(3)}
    assert links == {"#" + found["id"] for found in page.having("tr") if "id" in found}
    text = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert not re.search(r"url\(|@import|https?://", text)
    assert str(tmp_path) not in text
    assert all(found.get("scope") in ("row", "col") for found in page.having("th"))


def test_each_solver_stands_in_its_cell_and_under_its_bound(tmp_path):
    write_run(tmp_path / "a", record("primal/plan", cell="table", bound="upper"))
    write_run(tmp_path / "b", record("primal/vae"))
    write_run(tmp_path / "c", record("dual/semidiscrete", cell="table", bound="lower"))
    page = page_of(tmp_path)
    assert page.row("min over couplings") == "primal min over couplings primal/plan ring 0 primal/vae ring 0"
    assert page.row("max over potentials") == "dual max over potentials dual/semidiscrete ring 0 –"
    text = re.sub(r"<.*?>|\s+", " ", (tmp_path / "comparison.html").read_text(encoding="utf-8"))
    assert re.search(r"an upper bound of W c +for primal/plan\.", text)
    assert re.search(r"a lower bound of W c +for dual/semidiscrete\.", text)


def test_values_at_unequal_n_carry_a_warning(tmp_path):
    write_run(tmp_path / "a", record())
    assert "at equal n only" not in write_comparison(tmp_path, tmp_path).read_text(encoding="utf-8")
    write_run(tmp_path / "b", record("dual/wgan_gp", judgement=judged(9.0, n=500, w1_floor=8.0)))
    text = write_comparison(tmp_path, tmp_path).read_text(encoding="utf-8")
    assert "at n = 500, 1000: compare values at equal n only" in text
    assert "W₁ 5.000 to 8.000" in text


def test_a_run_that_diverged_neither_breaks_the_page_nor_shrinks_the_others(tmp_path):
    for seed, w1 in enumerate([6.0, 6.0, math.nan, math.inf, 1e9]):
        write_run(tmp_path / str(seed), record(seed=seed, judgement=judged(w1), steps=2000 + seed))
    write_run(tmp_path / "nan", record(seed=5, judgement=judged(math.nan)))
    page = page_of(tmp_path)
    widths = [float(found["width"]) for found in page.having("rect", **{"class": "bar"})]
    assert min(widths) > 20
    assert len(page.having("rect", **{"class": "beyond"})) == 2
    assert "nan ± nan" in page.row("2 seeds")
    assert not re.search(r'="[^"]*\b(nan|inf)\b', (tmp_path / "comparison.html").read_text(encoding="utf-8"))


def test_the_table_holds_every_scalar_and_nothing_where_nothing_is_known(tmp_path):
    write_run(tmp_path / "day" / "0", record())
    write_hydra(tmp_path / "day" / "1", overrides="[data=ring]")
    write_comparison(tmp_path, tmp_path)
    whole, empty = table_of(tmp_path)
    facts = record()
    flat = facts | facts["objective"] | facts["judgement"]
    scalars = {key: value for key, value in flat.items() if not isinstance(value, (dict, list)) and value is not None}
    assert {key: whole[key] for key in scalars} == {key: str(value) for key, value in scalars.items()}
    assert whole["folder"] == "day/0"
    assert whole["overrides"] == "solver=primal/vae seed=0 data=ring steps=2000"
    known = {"folder", "status", "error", "data", "overrides"}
    assert {key for key, value in empty.items() if value} == known


def encoded(**changes):
    known = {"n": 500, "reconstruction": 21.5, "active_units": 7, "latent_dim": 8, "mismatch_n": 400}
    known |= {"mmd": 0.0123, "mmd_floor": -0.0004, "sinkhorn": 1.5, "sinkhorn_floor": 1.25}
    told = {"information_n": 300, "conditional_kl": 11.2, "aggregate_kl": 3.9, "mutual_information": 5.7, "gap": 0.01}
    likelihood = {"likelihood_n": 200, "samples": 64, "negative_elbo": 104.5, "negative_iwae": 101.25}
    return dict.fromkeys(EncoderJudgement._fields) | known | told | likelihood | changes


def test_the_figures_of_encoders_stand_in_a_table_of_their_own(tmp_path):
    none = dict.fromkeys(("information_n", "conditional_kl", "aggregate_kl", "mutual_information", "gap"))
    none |= dict.fromkeys(("likelihood_n", "samples", "negative_elbo", "negative_iwae"))
    write_run(tmp_path / "vae0", record(encoder=encoded()))
    write_run(tmp_path / "vae1", record(seed=1, encoder=encoded(reconstruction=22.5, active_units=8)))
    write_run(tmp_path / "wae", record("primal/wae_mmd", encoder=encoded(**none)))
    write_run(tmp_path / "plan", record("primal/exact_plan", cell="table", bound="upper"))
    write_run(tmp_path / "grid", record(data="grid", encoder=encoded(n=80)))
    write_run(tmp_path / "wgan", record("dual/wgan_gp", data="square"))
    page = page_of(tmp_path)
    row = page.row("primal/vae 2 22.0 ± 0.7 7.5 of 8")
    assert "0.0123 ± 0.0000 (−0.0004)" in row and row.endswith(
        "11.20 ± 0.00 3.90 ± 0.00 5.70 ± 0.00 0.01 ± 0.00 104.50 ± 0.00 101.25 ± 0.00"
    )
    assert page.row("primal/wae_mmd 1 21.5 7 of 8").endswith("– – – – – –")
    assert len([found for found in page.rows if found.startswith("solver runs E c(g(z), y)")]) == 2
    text = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert text.count("none of these figures bounds") == 1 and "figures are explained above" in text
    assert "On n = 500 points (400 for the mismatch, 300 for the information, 200 for the likelihood by K = 64" in text
    assert "On n = 80 points" in text
    row = {row["folder"]: row for row in table_of(tmp_path)}
    assert (row["vae0"]["encoder_negative_iwae"], row["vae0"]["encoder_n"], row["vae0"]["n"]) == (
        "101.25",
        "500",
        "1000",
    )
    assert row["wae"]["encoder_gap"] == row["plan"]["encoder_mmd"] == ""


def test_a_plans_value_stands_next_to_its_floor(tmp_path):
    plan = record("primal/exact_plan", cell="table", bound="upper")
    write_run(tmp_path / "a", plan | {"objective": {"value": 0.51, "penalty": 0.0, "floor": 0.084}})
    write_run(tmp_path / "b", record())
    page = page_of(tmp_path)
    assert "0.510 (floor 0.0840) upper bound" in page.row("primal/exact_plan", "finished")
    assert "objective (floor)" in page.row("solver seed")
    assert "floor 0." not in page.row("primal/vae", "finished")
    assert [row["floor"] for row in table_of(tmp_path)] == ["0.084", ""]


def test_with_an_ex_post_prior_both_judgements_are_shown(tmp_path):
    write_run(tmp_path / "a", record(ex_post="ex_post_prior", judgement_reference=judged(7.25, w2_squared=44.0)))
    write_run(tmp_path / "b", record(seed=5, steps=1))
    page = page_of(tmp_path)
    assert "6.000 at ζ: 7.250" in page.row("primal/vae a 0") and "at ζ: 44.00" in page.row("primal/vae a 0")
    assert "at ζ" not in page.row("primal/vae b 5")
    first, second = table_of(tmp_path)
    assert {first["reference_w1"], second["reference_w1"]} == {"7.25", ""}
    assert {first["ex_post"], second["ex_post"]} == {"ex_post_prior", ""}


def test_the_command_prints_the_page_and_a_second_time_overwrites_it(tmp_path, capsys, monkeypatch):
    runs, output = tmp_path / "runs", tmp_path / "new" / "place"
    write_run(runs / "a", record())
    assert main([str(runs), "--output", str(output)]) == 0
    assert capsys.readouterr().out == f"{output / 'comparison.html'}\n"
    write_run(runs / "b", record("dual/wgan_gp"))
    assert main([str(runs), "--output", str(output)]) == 0
    assert sorted(os.listdir(output)) == ["comparison.csv", "comparison.html"]
    assert len(table_of(output)) == 2
    monkeypatch.chdir(runs / "a")  # a run itself, named from within
    assert main(["."]) == 0
    assert "<h1>a: comparison of 1 run<" in (runs / "a" / "comparison.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("folder", "output", "words"),
    [
        ("missing", "out", "is not a folder; give"),
        ("empty", "out", "start one with `ot-gen`"),
        ("runs", "file", "File exists: .*--output"),
    ],
)
def test_what_the_caller_can_mend_is_an_error_of_one_line(tmp_path, capsys, folder, output, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("in the way")
    write_run(tmp_path / "runs" / "a", record())
    assert main([str(tmp_path / folder), "--output", str(tmp_path / output)]) == 2
    out, error = capsys.readouterr()
    assert not out and re.fullmatch(f"ot-gen-compare: error: .*{words}.*\n", error)


def few(number, w2_squared):
    return {"number": number, "judgement": judged(2.0, w2_squared=w2_squared)}


def test_flows_are_compared_by_evaluations(tmp_path):
    flow = {"evaluations": 32, "few": [few(1, 61.0), few(8, 43.0)], "path_energy": 5.0, "w2_squared_lower": 4.0}
    write_run(tmp_path / "a", record("primal/flow_exact", cell="flow", flow=flow, judgement=judged(2.0)))
    write_run(tmp_path / "b", record("primal/vae"))
    page = page_of(tmp_path)
    row = page.row("primal/flow_exact", "W₂² ↓", "61.0")
    assert re.search(r"W₂² ↓ 61\.0 43\.0 38\.0 39\.0 5\.00 4\.00 0\.250$", row)
    assert "pairs train a flow" in page.row("ξ is a table")
    write_run(tmp_path / "only/b", record("primal/vae"))
    assert "Flows, by evaluations" not in write_comparison(tmp_path / "only", tmp_path / "only").read_text("utf-8")
