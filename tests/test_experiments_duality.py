"""`experiments/duality` at a small budget: its files, and its numbers within their tolerances."""

import importlib.util
import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "experiments" / "duality"


def experiment():
    spec = importlib.util.spec_from_file_location("duality_run", FOLDER / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_both_sides_meet_and_both_gradients_are_one(tmp_path):
    found = experiment().main(tmp_path, samples=2**14, steps=40)
    expected = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
    assert set(found) == set(expected)
    for name, row in expected.items():
        assert found[name] == pytest.approx(row["value"], abs=row["tolerance"]), name
    assert json.loads((tmp_path / "figures.json").read_text(encoding="utf-8")) == found
    for name, columns in (("bracket.csv", 5), ("gradients.csv", 4)):
        header, *rows = (tmp_path / name).read_text(encoding="utf-8").splitlines()
        assert len(header.split(",")) == columns and len(rows) >= 5
    assert (tmp_path / "duality.png").stat().st_size > 10_000
