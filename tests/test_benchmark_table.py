"""The table of ratios to peers reads what the benchmarks print, and the page shows what was measured."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(
    not (ROOT / "benchmarks").is_dir(), reason="the benchmarks are not in this distribution"
)

PRINTED = """torch 2; one thread

| problem | ot_gen | POT emd | scipy | excess cost |
| --- | --- | --- | --- | --- |
| moved 256 x 2 | 2 (1–4) | 8 (6–10) |  | 0.0e+00 |
| moved 4096 x 2 | 1.5e+03 (1e+03–2e+03) | 3e+03 (3e+03–3e+03) | missing | 0.0e+00 |

| another | table |
| --- | --- |
| 1 (1–1) | 2 (2–2) |
"""
RACE = """### moons (20 atoms)

| contender | target | CPU s | certified |
| --- | --- | --- | --- |
| **ot_gen** | 0.2 | 0.5 (0.4–0.6) | 3 of 3 |
| OTT-JAX tuned: lr=1 | 0.2 | 2 (1–3) | |
| POT tuned: 0.1 | 0.2 | > 5 (> 5–> 5) | |
"""


@pytest.fixture(scope="module")
def table():
    spec = importlib.util.spec_from_file_location("benchmark_table", ROOT / "benchmarks" / "table.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_a_ratio_is_that_of_medians_and_its_range_that_of_the_repeats(table):
    entry = table.Entry("plans", (), "ot_gen", {"POT": "POT emd", "SciPy": "scipy"})
    first, second = table.rows(entry, PRINTED.splitlines())
    assert first["problem"] == "moved 256 x 2" and first["ot_gen"] == {"median": 2, "min": 1, "max": 4}
    assert first["peers"] == {"POT": {"median": 8, "min": 6, "max": 10, "ratio": 4, "ratio_low": 1.5, "ratio_high": 10}}
    assert second["peers"]["POT"]["ratio"] == 2


def test_a_race_is_read_by_its_contenders(table):
    entry = table.Entry("races", (), "**ot_gen**", {"OTT-JAX tuned": "", "POT tuned": ""}, "s")
    (race,) = table.rows(entry, RACE.splitlines())
    assert race["problem"] == "moons (20 atoms) to 0.2" and race["peers"].keys() == {"OTT-JAX tuned"}
    assert race["peers"]["OTT-JAX tuned"]["ratio"] == 4


@pytest.mark.slow
def test_a_benchmark_that_is_late_counts_with_what_it_printed(table, monkeypatch, tmp_path):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "late.py").write_text(f"import time\nprint({PRINTED!r})\ntime.sleep(60)")
    monkeypatch.setattr(table, "ROOT", tmp_path)
    lines, state = table.run(table.Entry("plans", ("late.py",), "ot_gen", {}), 5)
    assert state == "not finished in time" and PRINTED.splitlines()[2] in lines


def test_the_page_shows_the_figures_that_were_measured(table):
    record = json.loads((ROOT / "benchmarks" / "table.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    shown = page.split(table.START)[1].split(table.END)[0].strip()
    assert shown == "\n".join(table.drawn(record)).strip()
    assert {row["benchmark"] for row in record["benchmarks"]} <= {entry.name for entry in table.ENTRIES}
    assert all(row["rows"] for row in record["benchmarks"])
