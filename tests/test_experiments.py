"""The experiments that ship with expected numbers: each is documented, checked, and one command."""

import importlib.util
import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "experiments"
FOLDERS = sorted(path.parent for path in ROOT.glob("*/README.md"))
sys.path.insert(0, str(ROOT))

from tolerances import misses  # noqa: E402


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_experiment_has_its_command_its_figure_and_its_tolerances(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert f"python experiments/{folder.name}/run.py" in text
    for figure in re.findall(r"!\[.*?\]\((\S+?)\)", text):
        assert (folder / figure).is_file(), figure
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


@pytest.mark.slow
def test_disjoint_supports_gives_its_numbers(tmp_path):
    run = subprocess.run(
        [sys.executable, str(ROOT / "disjoint_supports" / "run.py"), "--output", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"results.csv", "figure.png"}


@pytest.mark.slow
def test_duality_meets_its_tolerances_also_on_a_small_budget(tmp_path, monkeypatch):
    """Fewer samples to solve with and to judge, a shorter training; in this process, as the other is a command."""
    spec = importlib.util.spec_from_file_location("duality", ROOT / "duality" / "run.py")
    duality = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(duality)
    monkeypatch.setattr(duality, "closing", partial(duality.closing, fresh=4096))
    assert misses(duality.main(tmp_path, samples=2**13, steps=40), ROOT / "duality" / "expected.json") == []
    assert {path.name for path in tmp_path.iterdir()} == {"bracket.csv", "gradients.csv", "figure.png"}
