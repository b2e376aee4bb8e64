"""The experiments that ship with expected numbers: each is documented, checked, and one command."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from results import SHOWN, conclude, options
from tolerances import misses

ROOT = Path(__file__).parent.parent / "experiments"
FOLDERS = sorted(path.parent for path in ROOT.glob("*/README.md"))


def contents(folder):
    """All that git would look at: {path: bytes}."""
    paths = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture
def copied(tmp_path):
    """A copy of the experiments' folder, alone in a checkout of its own."""
    return shutil.copytree(ROOT, tmp_path / "experiments", ignore=shutil.ignore_patterns("__pycache__"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_experiment_has_its_command_its_figure_and_its_tolerances(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert f"python experiments/{folder.name}/run.py" in text
    for figure in re.findall(r"!\[.*?\]\((\S+?)\)", text):
        assert (folder / figure).is_file() and figure in SHOWN, figure
    assert "figure.png" in text
    assert json.loads((folder / "expected.json").read_text(encoding="utf-8"))


def test_a_figure_outside_its_tolerance_is_named(tmp_path):
    expected = tmp_path / "expected.json"
    expected.write_text('{"a": {"value": 1.0, "within": 0.1}, "b": {"at_most": 2}, "c": {"at_least": 0, "at_most": 1}}')
    assert misses({"a": 1.05, "b": -7.0, "c": 0.5}, expected) == []
    told = misses({"a": 1.2, "b": 2.5}, expected)
    assert [line.split(" = ")[0] for line in told] == ["a", "b", "c"]  # c was not found
    assert len(misses({"a": 1.2}, expected, parts=["a"])) == 1 and not misses({"a": 1.0}, expected, parts=["a"])
    expected.write_text('{"a": {"about": 1.0}}')
    with pytest.raises(ValueError, match="about"):
        misses({}, expected)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_script_knows_its_own_folder_only_to_import_and_to_ask_for_its_options(folder):
    """So that all it writes goes to the output, and only `conclude` changes what git tracks."""
    source = (folder / "run.py").read_text(encoding="utf-8")
    allowed = ("sys.path.insert(0, str(Path(__file__).parents[1]))", "options(__file__, __doc__)")
    assert all(source.count(words) == 1 for words in allowed) and source.count("conclude(") == 1
    for words in allowed:
        source = source.replace(words, "")
    forbidden = (
        "__file__",
        "sys.argv[0]",
        "chdir",
        "getcwd",
        "cwd(",
        "arguments.own",
        "chosen.own",
        'Path("',
        "Path('",
    )
    assert not [words for words in forbidden if words in source]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_results_go_to_a_folder_that_git_ignores(folder, copied):
    output = options(str(copied / folder.name / "run.py"), "words").parse_args([]).output
    assert output == copied.parent / "runs" / "experiments" / folder.name and output.is_dir()
    assert "/runs/" in (ROOT.parent / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert set(SHOWN) & set(contents(folder)) >= set(
        re.findall(r"\]\((\w+\.\w+)\)", (folder / "README.md").read_text())
    )


@pytest.mark.parametrize("asked", [[], ["--update"]])
def test_what_git_tracks_changes_only_when_asked(asked, copied, capsys):
    own, before = copied / "duality", contents(copied)
    arguments = options(str(own / "run.py"), "words").parse_args(asked)
    (arguments.output / "figure.png").write_bytes(b"new")
    (arguments.output / "bracket.csv").write_bytes(b"new")
    assert conclude(arguments, {}) == 1 and "MISSED" in capsys.readouterr().out
    assert contents(copied) == before | ({"duality/figure.png": b"new"} if asked else {})


@pytest.mark.slow
def test_disjoint_supports_gives_its_numbers_and_leaves_the_checkout_as_it_was(copied):
    before = contents(copied)
    script = copied / "disjoint_supports" / "run.py"
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=script.parent)
    assert run.returncode == 0, run.stdout + run.stderr
    assert contents(copied) == before
    assert set(contents(copied.parent / "runs")) == {
        *("experiments/disjoint_supports/results.csv", "experiments/disjoint_supports/figure.png"),
    }


@pytest.mark.slow
def test_duality_meets_its_tolerances_also_on_a_small_budget(tmp_path, monkeypatch):
    """Fewer samples to solve with and to judge, a shorter training; in this process, as the other is a command."""
    spec = importlib.util.spec_from_file_location("duality", ROOT / "duality" / "run.py")
    duality = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(duality)
    monkeypatch.setattr(duality, "closing", partial(duality.closing, fresh=4096))
    assert misses(duality.main(tmp_path, samples=2**13, steps=40), ROOT / "duality" / "expected.json") == []
    assert {path.name for path in tmp_path.iterdir()} == {"bracket.csv", "gradients.csv", "figure.png"}
