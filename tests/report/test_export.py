"""What leaves for a paper: tables, figures, sentences, references and commands that say no more than the numbers."""

import csv
import json
import re
import shlex
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from ot_gen.cli.command import COMMANDS
from ot_gen.report.card import model_card
from ot_gen.report.compare import main
from ot_gen.report.latex import escaped
from ot_gen.report.references import bibliography, keys
from ot_gen.report.results import MeanRow, VerdictRow
from ot_gen.report.table import comparison_csv

PROJECT = Path(__file__).parents[2]
DATA = {"fingerprint": "ab12", "dim": 784, "shape": [1, 28, 28], "train": 8000, "test": 2000}


def record(solver, seed, w1, **changes):
    frechet = {"value": 10 * w1 - 50, "se": 0.1, "floor": 0.4, "floor_se": 0.02}
    return {
        **{
            "format": 4,
            "status": "finished",
            "solver": solver,
            "side": solver.split("/")[0],
            "cell": "network",
            "seed": seed,
        },
        **{"data": "mnist", "dataset": DATA, "cost": "SquaredEuclidean()", "seconds": 40.0, "steps": 100},
        "judgement": {"n": 1000, "w1": w1, "w1_floor": 5.0, "w2_squared": 38.0, "w2_squared_floor": 39.0},
        **{"metrics": {"frechet": frechet}, "metrics_n": 1000, "judge": "points, digit_features"},
        "overrides": [f"solver={solver}", "data=mnist", f"seed={seed}", "generator.hidden=[200, 400]"],
        "versions": {"torch": "2.5.0"},
    } | changes


def write(root, records):
    for number, facts in enumerate(records):
        folder = root / f"run{number}"
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps(facts))
    return root


def certified(low, high):
    bounds = {"lower": low, "lower_se": 0.01, "upper": high, "upper_se": 0.01, "interval": [low, high]}
    return bounds | {"level": 0.95, "cost": "Euclidean()", "reference": [4.9, 5.3]}


def two_methods():
    """A VAE that is lower by about 1 on each of three seeds, and a WGAN."""
    near = [record("primal/vae", seed, 6 + 0.01 * seed, certificate=certified(5.5, 6.5)) for seed in range(3)]
    far = [record("dual/wgan_gp", seed, 7 + 0.02 * seed) for seed in range(3)]
    return near + far


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    root = tmp_path_factory.mktemp("paper")
    failed = {"status": "failed", "solver": "primal/vae", "data": "mnist", "seed": 3, "error": "x", "dataset": DATA}
    write(root / "runs", [*two_methods(), failed])
    assert main([str(root / "runs"), "--export", str(root / "out")]) == 0
    assert not (root / "runs" / "comparison.html").exists()
    return root / "out"


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_means_and_spreads_are_those_of_the_seeds(exported):
    rows = {(row["method"], row["metric"]): row for row in rows_of(exported / "means.csv")}
    vae = rows["primal/vae", "w1"]
    assert (float(vae["mean"]), float(vae["sd"])) == pytest.approx((6.01, 0.01))
    assert (vae["seeds"], vae["n"], vae["better"], float(vae["floor"])) == ("3", "1000", "lower", 5.0)
    assert float(rows["primal/vae", "certificate_upper"]["mean"]) == 6.5
    table = (exported / "mnist_means.tex").read_text()
    assert (
        r"primal/vae & 3 & [5.50, 6.50] & \textbf{6.01 $\pm$ 0.01} & \textbf{10.1 $\pm$ 0.1} & 40 $\pm$ 0 \\" in table
    )
    assert r"dual/wgan\_gp & 3 & -- & 7.02 $\pm$ 0.02" in table
    assert r"real data &  & [4.90, 5.30] & 5.00 & 0.4" in table


def test_tables_have_as_many_cells_as_columns_and_close_what_they_open(exported):
    for path in exported.glob("*.tex"):
        text = path.read_text()
        for name in ("table*", "tabular"):
            assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1
        assert text.count("{") == text.count("}")
        columns = len(re.search(r"@{}([lr]+)@{}", text).group(1))
        lines = [line for line in text.splitlines() if line.endswith(r" \\")]
        assert len(lines) > 1 and {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {columns - 1}
        assert [text.index(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")]
        assert text.isascii() or set(re.sub("[\x00-\x7f]", "", text)) <= set("éä")


def test_verdicts_and_the_sentence_are_those_of_the_pairs(exported):
    (row,) = [row for row in rows_of(exported / "verdicts.csv") if row["metric"] == "w1"]
    assert (row["first"], row["second"], row["seeds"], row["verdict"]) == (
        *("primal/vae", "dual/wgan_gp", "3", "first is lower"),
    )
    assert float(row["difference"]) == pytest.approx(-1.01)
    assert r"$-$1.01$^\ast$ [$-$1.03, $-$0.99]" in (exported / "mnist_verdicts.tex").read_text()
    said = (exported / "sentences.md").read_text()
    assert (
        "primal/vae had the lowest mean, 6.01 ± 0.01 over 3 seeds; it was lower than dual/wgan_gp (difference " in said
    )
    assert "W₁ between the law of primal/vae and the held-out points lies in [5.5, 6.5] (seed 0)" in said
    assert "1 of 7 runs did not finish" in said


@pytest.mark.parametrize("shift", [0.0, -1.0])
def test_no_sentence_says_more_than_the_numbers(shift, tmp_path):
    """One seed each says nothing; noise about 0 is not distinguished, and never equal."""
    noise = (0.3, -0.2, 0.05)
    seeds = range(1) if shift else range(3)
    runs = [record("primal/vae", seed, 6.0) for seed in seeds]
    runs += [record("dual/wgan_gp", seed, 6.0 + shift + noise[seed]) for seed in seeds]
    write(tmp_path / "runs", runs)
    assert main([str(tmp_path / "runs"), "--export", str(tmp_path / "out")]) == 0
    said = (tmp_path / "out" / "sentences.md").read_text()
    assert "it was lower" not in said and "equal" not in said
    assert ("nothing can be said (one seed each)" if shift else "it was not distinguished from") in said
    assert r"\textbf" not in (tmp_path / "out" / "mnist_means.tex").read_text()
    assert (tmp_path / "out" / "mnist_verdicts.tex").exists() is not bool(shift)


def test_other_data_have_files_of_their_own_and_no_pairs_across(tmp_path):
    other = {"dataset": DATA | {"fingerprint": "cd34", "path": "b.npz"}, "overrides": ["data.path=b.npz"]}
    write(tmp_path / "runs", two_methods() + [record("primal/rae", seed, 1.0, **other) for seed in range(3)])
    assert main([str(tmp_path / "runs"), "--export", str(tmp_path / "out")]) == 0
    names = sorted(path.name for path in (tmp_path / "out").glob("*_means.tex"))
    assert names == ["mnist-b-npz_means.tex", "mnist_means.tex"]
    pairs = {(row["first"], row["second"]) for row in rows_of(tmp_path / "out" / "verdicts.csv")}
    assert pairs == {("primal/vae", "dual/wgan_gp")}


def test_figures_are_vectors_with_their_fonts_in_them_one_column_wide(exported):
    for name in ("intervals", "metrics"):
        pdf = (exported / f"mnist_{name}.pdf").read_bytes()
        assert pdf.startswith(b"%PDF") and b"/FontFile2" in pdf and b"/Type3" not in pdf
        assert float(re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", pdf).group(1)) == pytest.approx(3.25 * 72, abs=0.5)
        svg = ET.parse(exported / f"mnist_{name}.svg").getroot()
        kinds = {element.tag.rpartition("}")[2] for element in svg.iter()}
        assert "path" in kinds and not kinds & {"text", "image"}


def test_the_same_runs_give_the_same_bytes(exported, tmp_path):
    assert main([str(exported.parent / "runs"), "--export", str(tmp_path)]) == 0
    for path in exported.iterdir():
        if path.name != "reproduce.sh":  # it names the folder
            assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_the_commands_are_a_shell_script_that_trains_each_method_with_its_seeds(exported):
    script = exported / "reproduce.sh"
    subprocess.run(["sh", "-n", str(script)], check=True)
    lines = [shlex.split(line) for line in script.read_text().splitlines() if line.startswith("ot-gen -m")]
    wanted = ["ot-gen", "-m", "solver=primal/vae", "data=mnist", "generator.hidden=[200, 400]", "seed=0,1,2"]
    assert wanted in lines and len(lines) == 2
    assert "torch 2.5.0" in script.read_text()


def test_every_solver_has_its_reference_and_all_entries_are_whole():
    for path in (PROJECT / "conf" / "solver").glob("*/*.yaml"):
        assert len(keys(bibliography([f"{path.parent.name}/{path.stem}"]))) > 1, f"{path} is in no keywords"
    source = (PROJECT / "ot_gen" / "report" / "references.bib").read_text()
    assert len(keys(source)) == len(set(keys(source)))
    for entry in source.strip().split("\n\n"):
        assert entry.count("{") == entry.count("}") and {"author", "title", "year"} <= set(
            re.findall(r"(\w+) =", entry)
        )
    solvers = {f"{path.parent.name}/{path.stem}" for path in (PROJECT / "conf" / "solver").glob("*/*.yaml")}
    named = {name for words in re.findall(r"keywords = {(.*)}", source) for name in words.split(", ")}
    assert {name for name in named if "/" in name} == solvers


def test_the_page_documents_every_column_of_each_table_in_order():
    text = (PROJECT / "docs" / "export.md").read_text(encoding="utf-8")
    tables = re.split(r"\n### ", text)[1:]
    documented = [
        [
            name
            for line in table.splitlines()
            if line.startswith("| `")
            for name in re.findall("`(.*?)`", line.split("|")[1])
        ]
        for table in tables
    ]
    fixed = comparison_csv([], Path()).strip().split(",")
    patterns = [name for name in documented[0] if "NAME" in name]
    assert [name for name in documented[0] if name not in patterns] == fixed
    assert documented[1:] == [list(MeanRow._fields), list(VerdictRow._fields)]
    assert len(patterns) == 8


def test_figures_of_classes_have_columns(tmp_path):
    figures = [{"value": 0.9, "floor": 0.95}, None, {"value": 0.8, "floor": 0.95}]
    classes = {"judge": "knn", "n": [10, 10, 10], "metrics": {"class_accuracy": figures}}
    write(tmp_path / "runs", [record("primal/vae", 0, 6.0, classes=classes), record("primal/rae", 0, 6.0)])
    assert main([str(tmp_path / "runs"), "--export", str(tmp_path / "out")]) == 0
    rows = {row["solver"]: row for row in rows_of(tmp_path / "out" / "runs.csv")}
    assert [rows["primal/vae"][f"class_{k}_class_accuracy"] for k in range(3)] == ["0.9", "", "0.8"]
    assert rows["primal/vae"]["class_2_class_accuracy_floor"] == "0.95"
    assert rows["primal/rae"]["class_0_class_accuracy"] == ""
    means = [row for row in rows_of(tmp_path / "out" / "means.csv") if row["label"]]
    assert [(row["label"], row["mean"], row["judge"]) for row in means] == [("0", "0.9", "knn"), ("2", "0.8", "knn")]


def test_texts_of_strangers_are_typeset_and_do_nothing():
    assert escaped(r"\input{a}_$%&#~^") == (r"\textbackslash{}input\{a\}\_\$\%\&\#\textasciitilde{}\textasciicircum{}")
    assert "\n" not in escaped("a\nb")


def test_nothing_to_export_is_said_in_one_line(tmp_path, capsys):
    write(tmp_path / "runs", [{"status": "failed", "solver": "primal/vae", "data": "mnist", "error": "x"}])
    assert main([str(tmp_path / "runs"), "--export", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("ot-gen-compare: error: none of the 1 runs finished")


def test_a_card_says_what_is_known_and_what_is_not(tmp_path, capsys):
    memory = {"value": 0.8, "se": 0.01, "floor": 1.0, "floor_se": 0.01}
    facts = record("primal/vae", 0, 6.0, certificate=certified(5.5, 6.5), metrics={"memorisation": memory})
    write(tmp_path, [facts, record("a|b<script>", 1, 6.0)])
    (tmp_path / "run0" / "config.yaml").write_text("a: '````'\n")
    assert COMMANDS["card"](["--run", str(tmp_path / "run0"), "--licence", "cc-by-4.0"]) == 0
    text = (tmp_path / "run0" / "card.md").read_text()
    assert capsys.readouterr().out.strip() == str(tmp_path / "run0" / "card.md")
    for words in (
        *("license: cc-by-4.0", "fingerprint of the content: ab12", "| W₁ | 6 | 5 | lower |", "0.8 ± 0.01 times"),
        *("lies in [5.5, 6.5] with confidence 95 %", "by blur, or by copying", "licence: CC BY-SA 3.0", "`````yaml"),
    ):
        assert words in text, words
    bare = model_card(tmp_path / "run1")
    assert "The model: not stated" in bare and "Not measured" in bare and "<script>" not in bare
    mine = record("primal/vae", 0, 6.0, dataset=DATA | {"path": "my.npz"})
    write(tmp_path / "mine", [mine])
    assert "The data: not stated" in model_card(tmp_path / "mine" / "run0")


def test_a_card_is_of_a_finished_run(tmp_path, capsys):
    write(tmp_path, [{"status": "failed", "solver": "primal/vae", "data": "mnist"}])
    for folder in (tmp_path / "run0", tmp_path / "none"):
        assert COMMANDS["card"](["--run", str(folder)]) == 2
        assert capsys.readouterr().err.startswith("ot-gen: error: ")
