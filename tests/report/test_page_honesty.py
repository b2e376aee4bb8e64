"""The page says only what is so: data with an identity, each model once, judges apart, axes that know their words."""

import os
import statistics
import time

import pytest
from test_compare import judged, page_of, record, table_of, write_run

from ot_gen.display import LinearAxis, LogAxis
from ot_gen.report.compare import main
from ot_gen.report.data import by_data
from ot_gen.report.runs import find_runs
from ot_gen.report.standing import judged_once
from ot_gen.runs.data_identity import recorded_data
from ot_gen.runs.draw import undraw
from ot_gen.runs.record import read_record


def identity(fingerprint, **more):
    return {"fingerprint": fingerprint, "dim": 2, "train": 80, "test": 20} | more


def seeds(folder, solver, values, **facts):
    for seed, w1 in enumerate(values):
        write_run(folder / f"{solver[-3:]}{seed}", record(solver, seed=seed, judgement=judged(w1), **facts))


def signs(page):
    """The cells of all matrices."""
    return [found["class"] for found in page.having("td") if found.get("class") in ("better", "worse")]


FILES = ["data=points", "data.path=a.npy"], ["data=points", "data.path=b.npy"]
DIFFERENT = {
    "content": ({"dataset": identity("aa", path="a.npy")}, {"dataset": identity("bb", path="b.npy")}),
    "content of one path": ({"dataset": identity("aa", path="a.npy")}, {"dataset": identity("bb", path="a.npy")}),
    "old, path": ({"overrides": FILES[0]}, {"overrides": FILES[1]}),
    "old, width": (
        {"units": {"standardize": "columns", "shift": [0.0, 0.0], "scale": [1.0, 1.0]}},
        {"units": {"standardize": "columns", "shift": [0.0] * 3, "scale": [1.0] * 3}},
    ),
}


@pytest.mark.parametrize("kind", DIFFERENT)
def test_other_data_of_one_name_have_another_section_and_no_pairs_across(tmp_path, kind):
    first, second = DIFFERENT[kind]
    seeds(tmp_path, "primal/vae", (1.0, 1.1, 1.2), data="points", **first)
    seeds(tmp_path, "dual/wgan", (5.0, 5.1, 5.2), data="points", **second)
    page = page_of(tmp_path)
    titles = [data.label for data in by_data(find_runs(tmp_path))]
    assert len(set(titles)) == 2 and len(page.having("section")) == 2
    assert all(title.startswith("points") for title in titles) and not signs(page)


def test_old_records_with_other_floors_are_of_other_data(tmp_path):
    for name, floor in {"a": 5.0, "b": 5.001, "c": 9.0}.items():
        write_run(tmp_path / name, record(judgement=judged(9.0, w1_floor=floor, w2_squared_floor=8 * floor)))
    write_run(tmp_path / "d", record(status="interrupted", judgement=None))  # nothing says otherwise
    found = by_data(find_runs(tmp_path))
    assert [[run.folder.name for run in data.runs] for data in found] == [["a", "b", "d"], ["c"]]
    assert [data.label for data in found] == ["ring: floor 5 at n = 1000", "ring: floor 9 at n = 1000"]


def test_equal_data_share_a_section_wherever_they_lie_and_with_old_records_of_their_floor(tmp_path):
    write_run(tmp_path / "a", record(dataset=identity("aa", path="x/a.npy")))
    write_run(tmp_path / "b", record(seed=1, dataset=identity("aa", path="copy.npy")))
    write_run(tmp_path / "c", record("dual/wgan"))
    (data,) = by_data(find_runs(tmp_path))
    assert len(data.runs) == 3 and data.label == "ring" and "fingerprint aa" in data.words


def test_a_fingerprint_is_of_the_content_alone():
    import torch

    from ot_gen.data import Dataset
    from ot_gen.measures import Pixels

    points = torch.randn(50, 3, dtype=torch.float64)
    one = recorded_data(Dataset.split(points))
    assert (one.dim, one.train, one.test) == (3, 40, 10)
    assert recorded_data(Dataset.split(points.clone()), "a.npy").fingerprint == one.fingerprint
    for other in (points * 1e-60, points[:, :2], points[:49], points.roll(1, 1)):
        assert recorded_data(Dataset.split(other)).fingerprint != one.fingerprint
    labels = torch.arange(50) % 2
    assert recorded_data(Dataset.split(points, labels=labels)).fingerprint != one.fingerprint
    images = torch.randint(256, (20, 1, 4, 4), dtype=torch.uint8)
    stored = Dataset.split(Pixels(images), shape=(1, 4, 4))
    rows = Dataset.split(Pixels(images)[:], shape=(1, 4, 4))
    assert recorded_data(stored) == recorded_data(rows)


def again(source, w1, started, **changes):
    return record(judgement=judged(w1), run=str(source), started=started, seconds=None, **changes)


def test_a_run_that_was_judged_again_is_one_seed_by_its_latest_judgement(tmp_path):
    write_run(tmp_path / "a", record(seed=0, judgement=judged(6.0)), ["samples"])
    write_run(tmp_path / "b", record(seed=1, judgement=judged(7.0)))
    write_run(tmp_path / "c", again((tmp_path / "a").resolve(), 6.5, "2026-11-23T12:00:00+0000"))
    write_run(tmp_path / "d", again((tmp_path / "a").resolve(), 6.4, "2026-11-23T11:00:00+0000"))
    page = page_of(tmp_path)
    mean, spread = statistics.fmean([6.5, 7.0]), statistics.stdev([6.5, 7.0])
    assert f"{mean:.3f} ± {spread:.3f}" in page.row("2 seeds") and "40.0 ± 0.0" in page.row("2 seeds")
    notes = {row["folder"]: row["note"] for row in table_of(tmp_path)}
    assert notes == {
        "a": "judged again: c counts",
        "b": "",
        "c": "the latest judgement of a, which counts",
        "d": "an earlier judgement of a: c counts",
    }
    assert "an earlier judgement" in page.row(" d 0") and len(page.having("img")) == 1


def test_a_judgement_knows_the_run_and_the_data_that_it_is_of(tmp_path):
    write_run(tmp_path / "a", record(dataset=identity("aa", path="a.npy", shape=[1, 1, 2])))
    run = read_record(tmp_path / "a")
    judgement = run.to_be_judged_again(tmp_path / "a")
    assert judgement.run_started == run.started and judgement.dataset == run.dataset
    assert run.dataset.shape == (1, 1, 2) and not [name for name in run.figures() if name.startswith("dataset")]


def test_one_run_judged_twice_has_no_spread(tmp_path):
    write_run(tmp_path / "a", record(judgement=judged(6.0)))
    write_run(tmp_path / "b", again((tmp_path / "a").resolve(), 6.0, "2026-11-23T12:00:00+0000"))
    write_run(tmp_path / "c", record(judgement=judged(6.0), started="2026-11-23T09:00:00+0000"))  # the same seed before
    page = page_of(tmp_path)
    assert "±" not in " ".join(page.rows) and not page.having("tr", **{"class": "mean"})


def test_a_judgement_of_a_run_that_was_overwritten_counts_for_nothing(tmp_path):
    write_run(tmp_path / "a", record(judgement=judged(6.0), started="2026-11-23T13:00:00+0000"))
    write_run(tmp_path / "b", again((tmp_path / "a").resolve(), 2.0, "2026-11-23T12:00:00+0000"))
    later = again((tmp_path / "a").resolve(), 3.0, "2026-11-23T14:00:00+0000", run_started="2026-11-23T10:00:00+0000")
    write_run(tmp_path / "c", later)
    counts = {run.folder.name: run.is_counted for run in judged_once(find_runs(tmp_path))}
    assert counts == {"a": True, "b": False, "c": False}
    assert "which was overwritten since" in page_of(tmp_path).row(" b 0")


def test_pictures_of_an_overwritten_run_are_not_shown_as_the_new_runs(tmp_path):
    write_run(tmp_path / "a", record(), ["samples", "codes"])
    old = time.mktime((2026, 11, 22, 0, 0, 0, 0, 0, 0))
    os.utime(tmp_path / "a" / "codes.png", (old, old))
    (tmp_path / "a" / "metrics.csv").write_text("step,seconds,images,value\n1,1,1,3\n2,2,2,2\n")
    assert "seconds of training (log)" in page_of(tmp_path).texts
    os.utime(tmp_path / "a" / "metrics.csv", (old, old))
    (run,) = find_runs(tmp_path)
    assert list(run.figures) == ["samples"] and "seconds of training (log)" not in page_of(tmp_path).texts


def test_a_run_that_begins_leaves_no_picture_of_the_run_that_it_replaces(tmp_path):
    write_run(tmp_path / "a", record(), ["samples", "codes"])
    undraw(tmp_path / "a")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["run.json"]


def test_figures_by_different_judges_are_never_compared(tmp_path):
    def judge(name, solver, values):
        metrics = [{"frechet": {"value": value, "se": 0.1}} for value in values]
        for seed, found in enumerate(metrics):
            facts = record(solver, seed=seed, judge=name, metrics=found, metrics_n=500, judgement=judged(6.0 + seed))
            write_run(tmp_path / f"{solver[-3:]}{seed}", facts)

    judge("points, digit_features", "primal/vae", (1.0, 1.1, 1.2))
    judge("points, not digit_features: no labels", "dual/wgan", (50.0, 51.0, 52.0))
    page = page_of(tmp_path)
    assert not signs(page) and "not digit_features: no labels, n = 500" in " ".join(page.texts)
    assert "judge: points, digit_features, n = 500" in page.row("vae0")
    judge("points, digit_features", "dual/clip", (50.0, 51.1, 52.0))
    assert sorted(signs(page_of(tmp_path))) == ["better", "worse"]  # of the one pair with one judge


def test_a_mean_over_seeds_that_different_judges_saw_is_none(tmp_path):
    for seed, (name, n) in enumerate((("points", 500), ("points, digit_features", 500))):
        found = {"frechet": {"value": 1.0 + seed}}
        facts = record(seed=seed, judge=name, metrics=found, metrics_n=n, judgement=judged(6.0, n=500 + seed))
        write_run(tmp_path / str(seed), facts)
    row = page_of(tmp_path).row("2 seeds")
    assert row.count("by 2 judges") == 3 and "1.500" not in row  # W₁ and W₂² at other n too


def test_an_axis_knows_what_it_is_called(tmp_path):
    assert (LinearAxis(1.0, 100.0).words, LogAxis(1.0, 100.0).words) == ("", " (log)")
    # Values within a factor of 20 have a linear axis, though with its margins its ends are a factor of 400 apart.
    write_run(tmp_path / "a", record())
    rows = ["step,seconds,images,value", *(f"{i},{i},{i},{value}" for i, value in enumerate((1.0, 10.0, 20.0), 1))]
    (tmp_path / "a" / "metrics.csv").write_text("\n".join(rows))
    texts = page_of(tmp_path).texts
    assert "value" in texts and "value (log)" not in texts and "seconds of training (log)" in texts


def test_failed_starts_are_one_line_with_their_reason_in_no_section(tmp_path):
    write_run(tmp_path / "good", record())
    for number in range(9):
        facts = record(seed=number, status="failed", error="ValueError: no file a.npy", steps_done=None, data="points")
        write_run(tmp_path / f"bad{number}", facts | {"judgement": None, "objective": None})
    page = page_of(tmp_path)
    (line,) = [text for text in page.texts if "no file a.npy" in text and text.startswith(":")]
    assert "9 × failed" in page.texts and len(page.having("section")) == 1
    assert [text for text in page.texts if text == "9 of them never came to a step"] and line
    (folded,) = [found for found in page.having("details") if found.get("class") == "unstarted"]
    assert "open" not in folded


def test_a_run_that_stopped_midway_can_be_hidden_and_stays_in_its_section(tmp_path):
    write_run(tmp_path / "a", record())
    write_run(tmp_path / "b", record(seed=1, status="interrupted", steps_done=7))
    page = page_of(tmp_path)
    assert page.having("input", **{"class": "stops"}) and len(page.having("tr", **{"class": "single stop"})) == 1


def test_the_matrix_of_verdicts_says_which_is_lower(tmp_path):
    for solver, values in {
        "primal/vae": (6.0, 6.1, 6.2),
        "dual/wgan": (8.0, 8.1, 8.3),
        "primal/zzz": (6, 6.2, 6.1),
    }.items():
        seeds(tmp_path, solver, values)
    page = page_of(tmp_path)
    rows = [row.split()[1:] for row in page.rows if row.startswith(("1 primal/vae", "2 primal/zzz", "3 dual/wgan"))]
    assert rows[:3] == [["primal/vae", "≈", "<"], ["primal/zzz", "≈", "<"], ["dual/wgan", ">", ">"]]
    assert all("<" not in row and ">" not in row for row in rows[3:])  # of W₂², which are all equal
    assert sorted(signs(page)) == ["better"] * 2 + ["worse"] * 2


def test_several_folders_stand_on_one_page(tmp_path, capsys):
    for name in ("x", "y/deep", "z"):
        write_run(tmp_path / name / "run", record(data=name[0]))
    folders = [str(tmp_path / name) for name in ("x", "y", "z", "y/deep")]
    assert main([*folders, "--output", str(tmp_path / "page")]) == 0
    assert sorted(row["folder"] for row in table_of(tmp_path / "page")) == ["x/run", "y/deep/run", "z/run"]
    assert main(folders) == 2
    assert "say where the page goes: --output FOLDER" in capsys.readouterr().err
