"""The page shows what each class of a model that generates by class is worth."""

import pytest
from test_compare import page_of, record, table_of, write_run

from ot_gen.report.classes import OPEN
from ot_gen.report.compare import write_comparison


def row(value, floor=None):
    return {"value": value} | ({} if floor is None else {"floor": floor})


def classes(*accuracies, **more):
    return {
        "judge": "digit_classes",
        "n": [20] * (len(accuracies) - 1) + [30],
        "metrics": {"class_accuracy": [row(value, 1.0) for value in accuracies], **more},
    }


def labelled(whole, seed=0, **parts):
    return record(seed=seed, metrics={"class_accuracy": row(whole, 0.984)}, metrics_n=1000, **parts)


def test_each_class_has_its_figures_beside_their_floors(tmp_path):
    write_run(tmp_path / "a", labelled(0.75, classes=classes(0.5, 1.0, w1=[row(2.5, 0.125), None])))
    write_run(tmp_path / "b", record("primal/swae"))
    page = page_of(tmp_path)
    assert page.row("class accuracy", "0.500").split()[-6:] == [
        "0.750",
        "(0.984)",
        "0.500",
        "(1.000)",
        "1.000",
        "(1.000)",
    ]
    assert page.row("W₁ ↓", "2.50").split()[-3:] == ["2.50", "(0.125)", "–"]
    (text,) = [row for row in table_of(tmp_path) if row["folder"] == "a"]
    assert text["metric_class_accuracy"] == "0.75" and text["metric_class_accuracy_floor"] == "0.984"
    html = (tmp_path / "comparison.html").read_text("utf-8")
    assert "digit_classes. Of each class there are 20 to 30 samples a side" in html


def test_seeds_are_means_with_their_spread(tmp_path):
    for seed, value in enumerate((0.5, 0.7)):
        write_run(tmp_path / f"{seed}", labelled(value, seed, classes=classes(value, value)))
    assert page_of(tmp_path).row("class accuracy", "± 0.141").split()[-4:] == ["0.600", "±", "0.141", "(1.000)"]


def test_without_classes_there_is_no_table(tmp_path):
    write_run(tmp_path / "a", record())
    assert "Generation by class" not in write_comparison(tmp_path, tmp_path).read_text("utf-8")


@pytest.mark.parametrize(("number", "is_open"), [(2, True), (OPEN[1] + 1, False)])
def test_a_long_table_is_folded(tmp_path, number, is_open):
    write_run(tmp_path / "a", labelled(0.5, classes=classes(*[0.5] * number)), figures=("classes",))
    html = write_comparison(tmp_path, tmp_path).read_text("utf-8")
    assert (f"<details data-holds open><summary>Figures of {number} classes" in html) == is_open
    assert "Samples by class" in html and 'alt="classes of primal/vae' in html


def test_of_very_many_classes_the_first_have_a_column(tmp_path):
    write_run(tmp_path / "a", labelled(0.5, classes=classes(*[0.5] * 2000)))
    html = write_comparison(tmp_path, tmp_path).read_text("utf-8")
    assert "Figures of the first 100 of 2000 classes" in html and len(html) < 10**5


@pytest.mark.parametrize(
    "strange",
    [
        {"judge": "x"},
        {"judge": "x", "n": [3], "metrics": {"w1": [None, row(1.0), row(2.0)]}},
        {"judge": "x", "n": [3, 3], "metrics": {"w1": []}},
        {"judge": "<u>", "n": [], "metrics": {"<u>": [row("NaN", "Infinity")]}},
    ],
)
def test_records_of_others_do_not_break_the_page(tmp_path, strange):
    write_run(tmp_path / "a", labelled(0.5, classes=strange))
    write_run(tmp_path / "b", labelled(0.5, classes=classes(0.5, 0.6)))
    html = write_comparison(tmp_path, tmp_path).read_text("utf-8")
    assert "<u>" not in html
    assert "0.600" in html
