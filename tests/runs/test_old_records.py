"""Seven run folders from before the record had a format number are read, shown, judged, studied and continued."""

import ast
import csv
import json
import shutil
import sys
from pathlib import Path

import pytest

from ot_gen import cli
from ot_gen.cli.finished import read_run
from ot_gen.execution import read_progress
from ot_gen.report.compare import write_comparison
from ot_gen.report.runs import find_runs
from ot_gen.runs.formats import RENAMED, reworded
from ot_gen.runs.parts import Status
from ot_gen.runs.record import RUN, read_metrics, read_record, write_record
from ot_gen.training import CHECKPOINT_NAME

RECORDS = Path(__file__).parents[1] / "records"
STATUSES = dict.fromkeys(("evaluated", "learned_mixture", "semidiscrete", "swae", "wgan_sn"), Status.FINISHED)
STATUSES |= {"failed": Status.FAILED, "interrupted": Status.INTERRUPTED}

pytestmark = pytest.mark.usefixtures("clean_process", "undrawn")


@pytest.fixture
def old(tmp_path):
    """A copy of an old folder, by name."""
    return lambda name: shutil.copytree(RECORDS / name, tmp_path / name)


@pytest.fixture
def ot_gen(monkeypatch, capsys):
    """ot-gen in this process: arguments -> stdout, after a good end."""
    monkeypatch.setattr("ot_gen.cli.evaluate.draw", lambda *_: None)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["ot-gen", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as stop:
            assert not stop.code, capsys.readouterr().err
        out, err = capsys.readouterr()
        assert err == ""
        return out

    return call


def test_the_folders_are_of_the_format_without_a_number():
    assert {path.name for path in RECORDS.iterdir()} == set(STATUSES)
    assert not any("format" in json.loads((RECORDS / name / RUN).read_text()) for name in STATUSES)


@pytest.mark.parametrize("name", STATUSES)
def test_an_old_record_is_read_whole_and_written_anew_it_is_the_same(name, tmp_path):
    told, record = json.loads((RECORDS / name / RUN).read_text()), read_record(RECORDS / name)
    assert record.status is STATUSES[name]
    for field in ("solver", "data", "generator", "seed", "composition", "started", "steps", "seconds", "error", "cell"):
        assert getattr(record, field) == told.get(field), field
    assert record.overrides == tuple(told["overrides"]) and record.versions == told["versions"]
    for field in ("value", "penalty"):
        assert getattr(record.objective, field, None) == told.get("objective", {}).get(field)
    for field, part in (("judgement", record.judgement), ("judgement_reference", record.judgement_reference)):
        assert (part is None) == (field not in told)
        assert all(getattr(part, key) == value for key, value in told.get(field, {}).items())
    for metric, row in told.get("metrics", {}).items():
        found = record.measured(metric)
        assert {key: getattr(found, key) for key in row} == row
    if "encoder" in told:
        present = {name.replace("_error", "_se"): value for name, value in told["encoder"].items()}
        assert record.encoder._asdict() == present
    if "certificate" in told:
        flat = {key: value for key, value in told["certificate"].items() if not key.startswith(("reference", "inter"))}
        assert {key: getattr(record.certificate, key) for key in flat} == flat
        assert list(record.certificate.interval) == told["certificate"]["interval"]
        assert record.certificate.reference[0] == told["certificate"]["reference_lower"]
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record


@pytest.mark.parametrize("name", sorted(STATUSES.keys() - {"evaluated"}))
def test_all_parts_of_an_old_configuration_are_built_without_a_warning(name):
    """Warnings are errors here. The folder left out is of samples that were judged: no part of their model is kept."""
    _, cfg = read_run(RECORDS / name)
    cli.assembled(cfg)
    for part in ("metrics", "certificate", "ex_post"):
        cli.build(cfg.get(part))


def test_every_argument_that_was_renamed_is_translated_in_records():
    """Those of constructors and functions, which a `_target_` can name; methods have no place in a configuration."""
    package = Path(cli.__file__).parents[1]
    found = {}
    for path in package.rglob("*.py"):
        for owner in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for function in getattr(owner, "body", []) if isinstance(owner, ast.Module | ast.ClassDef) else []:
                for call in getattr(function, "decorator_list", []):
                    if not isinstance(call, ast.Call) or ast.unparse(call.func) != "renamed":
                        continue
                    if isinstance(owner, ast.Module) or function.name == "__init__":
                        name = function.name if isinstance(owner, ast.Module) else owner.name
                        found[name] = {item.arg: ast.literal_eval(item.value) for item in call.keywords}
    assert "SlicedWasserstein" in found
    assert {name: names for name, names in found.items() if RENAMED.get(name) != names} == {}


def test_only_the_words_that_changed_are_reworded():
    kept = {"_target_": "mine.SlicedWasserstein", "projections": 3, "law": [{"_target_": "ot_gen.MLP", "in_dim": 2}]}
    assert reworded(kept) == kept
    old = {"_target_": "ot_gen.report.trackers.WandB", "cost": {"_target_": "ot_gen.geometry.GeodesicCost", "nodes": 8}}
    cost = {"_target_": "ot_gen.geometry.GeodesicCost", "segments": 8}
    assert reworded(old) == {"_target_": "ot_gen.runs.trackers.WandB", "cost": cost}


def test_all_stand_on_one_page_and_in_one_table(tmp_path):
    page = write_comparison(RECORDS, tmp_path).read_text(encoding="utf-8")
    assert all(f">{name}</small>" in page for name in STATUSES)
    assert "damaged" not in page
    with (tmp_path / "comparison.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["folder"]: row for row in csv.DictReader(file)}
    assert {name: row["status"] for name, row in rows.items()} == {name: str(kind) for name, kind in STATUSES.items()}
    told = json.loads((RECORDS / "swae" / RUN).read_text())
    known = {"w1": told["judgement"]["w1"], "w1_se": told["metrics"]["w1"]["se"]}
    known |= {"metric_mmd_floor": told["metrics"]["mmd"]["floor"], "reference_w1": told["judgement_reference"]["w1"]}
    known |= {"certificate_reference_upper": told["certificate"]["reference_upper"], "encoder_mmd": 0.12204933166503906}
    assert {name: float(rows["swae"][name]) for name in known} == known
    assert not [name for name in rows["swae"] if name.startswith(("metric_w1", "metric_w2"))]
    assert {run.folder.name: run.status for run in find_runs(RECORDS)}["interrupted"] == "interrupted"


@pytest.mark.parametrize("name", ["swae", "learned_mixture", "semidiscrete"])
def test_an_old_run_is_judged_again_with_the_same_figures(name, old, ot_gen, tmp_path):
    folder = old(name)
    out = ot_gen("evaluate", "--run", folder, "metrics=none", "evaluation.samples=64", "--output", tmp_path / "again")
    before, after = read_record(folder), read_record(tmp_path / "again")
    for field in ("judgement", "judgement_reference"):
        ours, theirs = getattr(after, field), getattr(before, field)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            exact = ("n", "w1", "w1_floor", "w2_squared", "w2_squared_floor")
            assert [getattr(ours, key) for key in exact] == pytest.approx([getattr(theirs, key) for key in exact])
    assert (after.encoder is None) == (name == "semidiscrete")
    assert (after.solver, after.steps, after.objective) == (before.solver, before.steps, before.objective)
    assert f"{before.solver} on eight_gaussians" in out


@pytest.mark.parametrize("name", ["swae", "learned_mixture"])
def test_geodesics_are_found_in_an_old_run(name, old, ot_gen):
    folder = old(name)
    out = ot_gen("geometry", "--run", folder, "pairs=2", "segments=4", "start=line", "ridge=1e-3")
    assert "of 2 geodesics" in out
    study = json.loads((folder / "geometry.json").read_text(encoding="utf-8"))
    assert (study["solver"], study["pairs"]) == (read_record(folder).solver, 2)


def test_an_interrupted_old_run_is_continued_from_its_checkpoint(old, ot_gen):
    folder = old("interrupted")
    done, rows = read_progress(folder / CHECKPOINT_NAME)["step"], read_metrics(folder)
    assert 0 < len(rows) <= done  # the folder keeps the first of them
    overrides = [item for item in read_record(folder).overrides if not item.startswith("trainer.steps")]
    ot_gen(*overrides, f"trainer.steps={done + 2}", f"resume={folder}", f"hydra.run.dir={folder}")
    record = read_record(folder)
    assert (record.status, record.steps_done) == (Status.FINISHED, done + 2)
    assert read_metrics(folder)[: len(rows)] == rows
    assert [row["step"] for row in read_metrics(folder)[len(rows) :]] == [done + 1, done + 2]
