"""What the page computes: paired differences, certificates, scales, thinned curves, pictures within a budget."""

import csv
import json
import math
import os
import re
import statistics
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import stats
from test_compare import judged, page_of, record, table_of, write_run

from ot_gen.display import LinearAxis, LogAxis
from ot_gen.report.compare import write_comparison
from ot_gen.report.paired import holm, paired_difference
from ot_gen.report.pictures import embedded
from ot_gen.report.quantities import metrics
from ot_gen.report.runs import find_runs
from ot_gen.report.traces import Trace, panel, read_trace, thinned
from ot_gen.runs.record import decoded

numbers = st.floats(-1e6, 1e6)
BOUNDS = {"lower": 1.0, "lower_se": 0.01, "upper": 1.2, "upper_se": 0.02, "level": 0.95, "cost": "Euclidean()"}


def test_the_paired_difference_is_students():
    first, second = {0: 1.0, 1: 2.5, 2: 2.0, 5: 9.0}, {0: 0.5, 1: 1.0, 2: 1.9, 7: 3.0}
    found = paired_difference(first, second)
    differences = [0.5, 1.5, 0.1]
    test = stats.ttest_rel([1.0, 2.5, 2.0], [0.5, 1.0, 1.9])
    low, high = test.confidence_interval(0.95)
    assert found.seeds == 3 and found.left_out == 0
    assert found.mean == pytest.approx(statistics.fmean(differences))
    assert (found.low, found.high, found.p) == pytest.approx((low, high, test.pvalue))


def test_swapping_the_two_turns_the_sign():
    first, second = {0: 1.0, 1: 2.5, 2: 2.0}, {0: 0.5, 1: 1.0, 2: 1.9}
    a, b = paired_difference(first, second), paired_difference(second, first)
    assert (a.mean, a.low, a.high, a.p) == pytest.approx((-b.mean, -b.high, -b.low, b.p))


def test_an_effect_common_to_a_seed_cancels():
    noise = {seed: 10.0 * seed for seed in range(4)}
    first = {seed: value + 1 + 0.01 * (-1) ** seed for seed, value in noise.items()}
    found = paired_difference(first, noise)
    assert found.mean == pytest.approx(1.0) and 0.9 < found.low < found.high < 1.1


def test_of_one_seed_nothing_follows_and_diverged_ones_are_counted():
    assert paired_difference({0: 1.0}, {1: 2.0}) is None
    assert paired_difference({0: math.nan}, {0: 2.0}) is None
    assert paired_difference({0: 3.0}, {0: 2.0}) == (1.0, None, None, None, 1, 0)
    found = paired_difference({0: 3.0, 1: math.inf, 2: 3.0}, {0: 2.0, 1: 1.0, 2: 2.5})
    assert (found.seeds, found.left_out) == (2, 1)
    assert paired_difference({0: 1.0, 1: 2.0}, {0: 1.0, 1: 2.0}).p == 1.0  # nothing differs
    assert paired_difference({0: 2.0, 1: 3.0}, {0: 1.0, 1: 2.0}).p == 0.0  # both by exactly 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_raw_and_bonferronis_values_and_keeps_the_order(p):
    adjusted = holm(p)
    assert all(a <= b <= min(1.0, len(p) * a) + 1e-12 for a, b in zip(p, adjusted, strict=True))
    order = sorted(range(len(p)), key=p.__getitem__)
    assert all(adjusted[i] <= adjusted[j] for i, j in pairwise(order))


def test_the_interval_is_that_of_the_record_or_follows_from_its_errors():
    def read(**changes):
        return decoded({"status": "finished", "certificate": BOUNDS | changes}).certificate

    q = stats.norm.ppf(0.975)
    assert read().interval == pytest.approx((1.0 - q * 0.01, 1.2 + q * 0.02))
    assert read(interval=[0.5, 2.0]).interval == (0.5, 2.0)
    assert read(interval=[0.5, None]).interval == (0.5, math.inf)
    assert read(reference_lower=0.1, reference_upper=0.2).reference == (0.1, 0.2)
    assert read(reference_lower=None, reference_upper=None).reference is None
    assert decoded({"status": "finished", "certificate": {}}).certificate is None


@pytest.mark.parametrize(
    "found",
    [
        {"certificate": BOUNDS | {"upper": None}},
        {"certificate": BOUNDS | {"lower": "low"}},
        {"certificate": BOUNDS | {"level": 95}},
        {"certificate": BOUNDS | {"interval": [1]}},
        {"certificate": [1.0, 2.0]},
        {"metrics": {"mmd": 0.5}},
        {"metrics": {"mmd": {"se": 0.5}}},
        {"metrics": {"mmd": {"value": True}}},
    ],
)
def test_a_malformed_certificate_or_metric_is_a_damaged_record(tmp_path, found):
    write_run(tmp_path / "it", record(**found))
    (run,) = find_runs(tmp_path)
    assert run.status == "damaged" and "its record is damaged" in run.error


def test_certificates_and_metrics_stand_in_the_table_and_in_the_csv(tmp_path):
    mmd = {"value": 0.0123, "se": 0.0004, "floor": 0.001, "floor_se": 0.0001}
    told = {"certificate": BOUNDS | {"converged": False, "message": "too <slow>", "interval": [0.98, 1.24]}}
    write_run(tmp_path / "a", record(**told, metrics={"mmd": mmd, "own <b>": {"value": 3.0}}, metrics_n=500))
    write_run(tmp_path / "b", record("dual/wgan_gp"))
    page = page_of(tmp_path)
    assert "[0.980, 1.240]" in page.row("primal/vae a 0") and "not converged: too <slow>" in page.row("primal/vae a 0")
    assert "0.0123 s.e. 0.0004 (0.0010)" in page.row("primal/vae a 0")
    assert "own <b>" in page.row("solver seed")
    first, second = sorted(table_of(tmp_path), key=lambda row: row["folder"])
    assert (first["certificate_lower"], first["certificate_interval_upper"]) == ("1.0", "1.24")
    assert (first["metric_mmd"], first["metric_mmd_floor_se"], first["metrics_n"]) == ("0.0123", "0.0001", "500")
    assert not any(value for key, value in second.items() if key.startswith(("certificate_", "metric")))


def test_the_page_says_which_levels_are_not_warranted_and_what_was_assumed(tmp_path):
    doubtful = {"warranted": False, "doubt": "one <sample> makes 40 %", "reference_doubt": "heavy & far"}
    for name, changes in {"a": doubtful, "b": {"warranted": True, "assuming": "Box(0, 1)"}}.items():
        write_run(tmp_path / name, record(solver=f"primal/{name}", certificate=BOUNDS | changes))
    page = page_of(tmp_path)
    assert "level not warranted: one <sample> makes 40 %" in page.row("primal/a a 0")
    assert "level of real data not warranted: heavy & far" in page.row("primal/a a 0")
    assert "assuming Box(0, 1)" in page.row("primal/b b 0") and "not warranted" not in page.row("primal/b b 0")
    text = (tmp_path / "comparison.html").read_text() if (tmp_path / "comparison.html").exists() else page.text
    assert "for 1 of 2 runs" in text
    first, second = sorted(table_of(tmp_path), key=lambda row: row["folder"])
    assert (first["certificate_warranted"], second["certificate_assuming"]) == ("False", "Box(0, 1)")


def test_a_foreign_sampler_has_its_exact_distances_from_the_metrics(tmp_path):
    known = {"w1": {"value": 0.7, "floor": 0.5}, "mmd": {"value": 0.1}}
    write_run(tmp_path / "it", record(judgement=None, metrics=known, metrics_n=300))
    (run,) = find_runs(tmp_path)
    w1 = run.record.measured("w1")
    assert (w1.value, w1.floor, run.record.measured("w2_squared"), run.record.n) == (0.7, 0.5, None, 300)
    assert [quantity.name for quantity in metrics([run])] == ["mmd"]


def test_no_difference_within_the_noise_is_called_one(tmp_path):
    values = {"primal/vae": (1.0, 1.3, 1.1), "dual/wgan_gp": (1.2, 1.1, 1.25), "primal/plan": (0.5, 0.79, 0.61)}
    for solver, found in values.items():
        for seed, w1 in enumerate(found):
            write_run(tmp_path / f"{solver[-3:]}{seed}", record(solver, seed=seed, judgement=judged(w1)))
    page = page_of(tmp_path)
    found = {row[: row.index(" 3 ")]: row for row in reversed(page.rows) if " 3 " in row}
    assert found["primal/vae dual/wgan_gp"].endswith("not distinguished")
    assert found["primal/plan primal/vae"].endswith("first is lower")
    assert not page.having("b") + page.having("strong")


def test_of_one_seed_the_page_says_in_a_sentence_that_nothing_can_be_said(tmp_path):
    for name, solver in {"a": "primal/vae", "b": "dual/wgan_gp", "c": "primal/plan"}.items():
        write_run(tmp_path / name, record(solver, judgement=judged(9.0)))
    page = page_of(tmp_path)
    assert "Nothing can be said of differences between solvers: one seed each; add seed=0,1,2." in page.texts
    assert not page.having("table", **{"class": "matrix"})
    write_run(tmp_path / "d", record(seed=1))
    words = "no two of them have two seeds in common; add seed=0,1,2."
    assert [text for text in page_of(tmp_path).texts if text.endswith(words)]


@given(low=numbers, width=st.floats(1e-3, 1e6))
def test_ticks_are_few_ascending_and_within(low, width):
    axis = LinearAxis(low, low + width)
    assert 1 <= len(axis.ticks) <= 6 and axis.ticks == sorted(set(axis.ticks))
    assert all(-1e-6 <= (tick - low) / width <= 1 + 1e-6 for tick in axis.ticks)
    assert axis.at(low - 1) == 0 and axis.at(low + 2 * width) == axis.at(math.inf) == 1


def test_a_logarithmic_axis_turns_ratios_into_lengths():
    axis = LogAxis(0.1, 1000.0)
    assert [axis.at(value) for value in (-1.0, 0.1, 10.0, 1e9)] == pytest.approx([0, 0, 0.5, 1])


@given(st.lists(numbers, min_size=1, max_size=300), st.integers(2, 40))
def test_thinning_keeps_the_range_and_loses_no_step(values, points):
    steps = [float(i + 1) for i in range(len(values))]
    found = thinned(Trace(steps, steps, values), points)
    assert len(found.value) <= points + 1
    assert min(values) - 1e-6 <= min(found.value) <= max(found.value) <= max(values) + 1e-6
    assert found.images == sorted(found.images)
    assert found.images[0] == 1.0


def test_a_curve_leaves_out_what_is_not_finite_and_a_line_cut_short(tmp_path):
    rows = ["step,seconds,images,value", "1,0.1,8,4.0", "2,0.2,16,nan", "3,0.3,24,2.0", "4,0.4,3"]
    (tmp_path / "metrics.csv").write_text("\n".join(rows))
    assert read_trace(tmp_path) == ([0.1, 0.3], [8.0, 24.0], [4.0, 2.0])
    for damaged in ("", "step,value\n1,2.0", "seconds,images,value\n1,x,2"):
        (tmp_path / "metrics.csv").write_text(damaged)
        assert read_trace(tmp_path) is None


def test_a_panel_is_logarithmic_only_where_that_is_honest():
    x = [1.0, 10.0, 100.0]
    assert isinstance(panel({0: Trace(x, x, [1.0, 10.0, 100.0])}, "images").y, LogAxis)
    assert isinstance(panel({0: Trace(x, x, [-1.0, 10.0, 100.0])}, "images").y, LinearAxis)
    assert isinstance(panel({0: Trace(x, x, [1.0, 1.5, 2.0])}, "images").y, LinearAxis)
    assert panel({0: Trace([0.0], [0.0], [1.0])}, "images") is None


def noisy(folder, side):
    facts = record(seed=len(list(folder.parent.glob("*"))))
    write_run(folder, facts)
    for name in ("samples", "codes"):
        Image.frombytes("RGB", (side, side), os.urandom(3 * side * side)).save(folder / f"{name}.png")


def test_pictures_are_kept_as_they_are_or_shrunk_to_the_budget(tmp_path):
    for index in range(3):
        noisy(tmp_path / str(index), 200)
    runs = find_runs(tmp_path)
    names = {run.folder: ("samples", "codes") for run in runs}
    whole = embedded(runs, names)
    assert len(whole) == 6 and all(picture.url.startswith("data:image/png;") for picture in whole.values())
    assert {(picture.width, picture.height) for picture in whole.values()} == {(200, 200)}
    small = embedded(runs, names, budget=60_000)
    assert sum(0.75 * len(picture.url) for picture in small.values()) <= 61_000
    wide, narrow = ({small[run.figures[name]].width for run in runs} for name in ("samples", "codes"))
    assert min(wide) > max(narrow)  # samples have the larger share


def test_a_picture_that_cannot_be_read_is_told(tmp_path):
    write_run(tmp_path / "it", record(), ["samples"])
    whole = (tmp_path / "it" / "samples.png").read_bytes()
    for damaged in (b"", b"text", whole[:-20]):
        (tmp_path / "it" / "samples.png").write_bytes(damaged)
        assert "samples.png cannot be read" in write_comparison(tmp_path, tmp_path).read_text(encoding="utf-8")


def test_the_page_of_a_record_full_of_odd_numbers_is_whole(tmp_path):
    odd = BOUNDS | {"upper": math.inf, "upper_se": math.nan, "reference_lower": math.nan, "reference_upper": math.inf}
    values = {"mmd": {"value": math.nan, "se": math.inf, "floor": -math.inf}, "recall": {"value": math.inf}}
    for seed in range(2):
        write_run(tmp_path / str(seed), record(seed=seed, certificate=odd, metrics=values, metrics_n=5))
    page = page_of(tmp_path)
    assert "nan" in page.row("2 seeds")
    for _, found in page.elements:
        drawn = [found[key] for key in ("x", "x1", "x2", "width", "data-value", "d", "style") if found.get(key)]
        assert not any(word in value for value in drawn for word in ("nan", "inf"))


def test_the_page_and_csv_of_old_records_have_no_empty_columns(tmp_path):
    write_run(tmp_path / "it", record())
    text = write_comparison(tmp_path, tmp_path).read_text(encoding="utf-8")
    assert "certified interval" not in text and "The other metrics" not in text
    with (tmp_path / "comparison.csv").open(newline="") as file:
        header = next(csv.reader(file))
    assert not [name for name in header if name.startswith("metric_")]
    assert json.loads((tmp_path / "it" / "run.json").read_text())["judgement"]["w1"] == 6.0


def test_a_section_says_at_most_two_sentences_at_a_time(tmp_path):
    """What they mean is behind "What does this mean?", which is closed, as is every run and every figure."""
    certificate = {"lower": 1.0, "lower_se": 0.1, "upper": 2.0, "upper_se": 0.1, "level": 0.95, "reference_lower": 0.2}
    for solver in ("primal/vae", "dual/wgan"):
        for seed in (0, 1):
            facts = record(solver, seed=seed, certificate=certificate | {"reference_upper": 0.4})
            write_run(tmp_path / f"{solver[:4]}{seed}", facts | {"metrics": {"mmd": {"value": 1.0}}, "metrics_n": 50})
            rows = "step,seconds,images,value\n1,0.1,10,3\n2,0.2,20,2\n"
            (tmp_path / f"{solver[:4]}{seed}" / "metrics.csv").write_text(rows)
    page = write_comparison(tmp_path, tmp_path).read_text(encoding="utf-8")
    folded = re.compile(r"<details(?:(?!<details|</details>).)*</details>", re.DOTALL)
    while folded.search(page):
        page = folded.sub("", page)
    blocks = re.split(r"<h[123][^>]*>", page[page.index("<h2>") :].split("<footer>")[0])[1:]
    assert [block.split("</h")[0].strip() for block in blocks][1:] == [
        *("At a glance", "Differences over seeds", "Value against time and against images"),
    ]
    for block in blocks:
        words = re.sub(r"<[^>]+>", "", " ".join(re.findall(r"<p>.*?</p>", block, re.DOTALL)))
        assert len(re.findall(r"[.!?](?:\s|$)", words)) <= 2, words


def test_real_data_stand_beside_the_samples_once_a_section(tmp_path):
    for name in ("a", "b"):
        write_run(tmp_path / name, record(seed=len(name)), ["samples"])
        Image.new("RGB", (5, 7), "blue").save(tmp_path / name / "data.png")
    page = write_comparison(tmp_path, tmp_path).read_text(encoding="utf-8")
    assert page.count(".held-out-0 {") == 1 and "aspect-ratio: 5 / 7" in page
    assert page.index("<b>real data</b>") < page.index('alt="samples of')
    assert page.count("data:image/png") == 3  # two samples, and the data once


def test_a_glance_shows_the_interval_and_the_metrics_that_are_asked_first(tmp_path):
    metrics = {name: {"value": 1.0, "floor": 0.5} for name in ("sliced_w2", "frechet", "coverage")}
    write_run(tmp_path / "a", record(metrics=metrics, metrics_n=50))
    page = write_comparison(tmp_path, tmp_path).read_text(encoding="utf-8")
    look = page[page.index('class="runs look') :].split("</table>")[0]
    heads = [re.sub(r"<[^>]+>", "", head) for head in re.findall(r"<th scope=\"col\".*?</th>", look)]
    assert heads == ["solver", "seeds", "W₁ ↓ (real)", "Fréchet distance ↓ (real)", "coverage ↑ (real)", "seconds"]
