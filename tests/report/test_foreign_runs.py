"""One run's fault is that run's row: whatever stands in its folder, the page has every other run, in bounded time."""

import io
import json
import math
import os
import shutil
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from test_compare import judged, page_of, record, table_of, write_hydra, write_run

from ot_gen.report.compare import main
from ot_gen.report.runs import find_runs
from ot_gen.report.traces import read_trace
from ot_gen.runs.configuration import read_yaml
from ot_gen.runs.record import read_metrics, read_record

ROWS = "step,value,penalty,images,seconds\n" + "".join(f"{i},{5 / i:g},0,{128 * i},{i / 10:g}\n" for i in range(1, 30))
FULL = record(
    seed=7,
    metrics={"mmd": {"value": 0.1, "se": 0.01, "floor": 0.05, "floor_se": 0.01}},
    certificate={"lower": 1.0, "lower_se": 0.01, "upper": 1.2, "upper_se": 0.02, "level": 0.95, "interval": [0.9, 1.3]},
    encoder={
        **{"n": 10, "reconstruction": 1.0, "active_units": 2, "latent_dim": 2, "mismatch_n": 5},
        **{"mmd": 0.1, "mmd_floor": 0.1, "sinkhorn": 0.1, "sinkhorn_floor": 0.1},
    },
)


def picture():
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


FILES = {
    "run.json": json.dumps(FULL).encode(),
    "metrics.csv": ROWS.encode(),
    "samples.png": picture(),
    ".hydra/overrides.yaml": b"- solver=primal/vae\n- seed=7\n",
    ".hydra/hydra.yaml": b"hydra: {runtime: {choices: {solver: primal/vae, data: ring}}}\n",
    ".hydra/config.yaml": b"seed: 7\n",
}


@pytest.fixture
def folder(tmp_path):
    """Two runs that are whole, and a third one."""
    for seed in range(2):
        good = record(seed=seed, judgement=judged(5.0 + seed), metrics={"mmd": {"value": 0.1 + seed}})
        write_run(tmp_path / "good" / str(seed), good, figures=["samples"])
    (tmp_path / "third" / ".hydra").mkdir(parents=True)
    for name, content in FILES.items():
        (tmp_path / "third" / name).write_bytes(content)
    return tmp_path


def is_whole(folder):
    """The page of the folder, which has the two good runs and their mean as ever."""
    began = time.perf_counter()
    page = page_of(folder)
    assert time.perf_counter() - began < 20
    assert "5.000" in page.row("good/0") and "6.000" in page.row("good/1")
    assert len(page.having("img", alt="samples of primal/vae, seed 0 on ring")) == 1
    return page


WORDS = [
    b"1e308",
    b"-1e308",
    b"1e-320",
    b"NaN",
    b"Infinity",
    b"9" * 30,
    b"9" * 5000,
    b"null",
    b"[]",
    b"{}",
    b"-1",
    b"x",
]
WORDS += [b'"\\ud800"', b"[" * 2000, b"\0", b"\xff", b"true", b'"' + b"a" * 140_000 + b'"', b"2.5", b"\n", b",", b"x"]


@settings(max_examples=6, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(
        st.tuples(
            st.sampled_from(list(FILES)),
            st.floats(0, 1),
            st.integers(0, 12),
            st.one_of(st.sampled_from(WORDS), st.binary()),
        ),
        min_size=1,
        max_size=4,
    )
)
@example(changes=[("run.json", 0.5, 10**9, b"")])
@example(changes=[("metrics.csv", 0.0, 0, b"9" * 140_000)])
def test_random_damage_of_a_run_stays_in_its_row(changes, folder):
    for name, content in FILES.items():
        for other, place, length, word in changes:
            if other == name:
                at = round(place * len(content))
                content = content[:at] + word + content[at + length :]
        (folder / "third" / name).write_bytes(content)
    page = is_whole(folder)
    assert any("third" in row for row in page.rows)


EXTREME = [1e308, -1e308, 1e-320, math.nan, math.inf, 10**300, 2**63, -(10**20), 10**400, "NaN", "wide", None, [], {}]


@pytest.mark.parametrize("value", EXTREME, ids=lambda value: str(value)[:8])
def test_no_number_of_a_record_is_too_large_for_the_page(value, folder):
    def changed(facts, path, *names):
        return {**facts, path: changed(facts[path], *names) if names else value}

    paths = [("seed",), ("steps",), ("images_per_second",), ("judgement", "w1"), ("judgement", "w2_squared_floor")]
    paths += [("objective", "value"), ("metrics", "mmd", "se"), ("certificate", "upper"), ("encoder", "sinkhorn")]
    paths += [("certificate", "interval"), ("overrides",), ("versions",), ("solver",)]
    for number, path in enumerate(paths):
        write_run(folder / f"extreme{number}", json.dumps(changed(FULL, *path)))
    page = is_whole(folder)
    assert sum("extreme" in row for row in page.rows) >= len(paths)
    assert len(table_of(folder)) == 3 + len(paths)


def test_what_is_no_regular_file_is_not_waited_for(folder):
    for number, name in enumerate(("run.json", "metrics.csv", "samples.png")):
        for kind in ("pipe", "folder", "device", "nowhere", "unreadable"):
            run = folder / f"{kind}{number}"
            shutil.copytree(folder / "third", run)
            (run / name).unlink()
            match kind:
                case "pipe":
                    os.mkfifo(run / name)
                case "folder":
                    (run / name).mkdir()
                case "device":
                    (run / name).symlink_to("/dev/zero")
                case "nowhere":
                    (run / name).symlink_to("nowhere")
                case "unreadable":
                    (run / name).symlink_to("/proc/self/mem")
    page = is_whole(folder)
    statuses = {run.folder.name: run.status for run in find_runs(folder)}
    assert len(statuses) == 2 + 1 + 15
    assert {statuses[name] for name in statuses if name.endswith("0") and name != "0"} == {"damaged"}
    assert {statuses[name] for name in statuses if name.endswith(("d1", "r1", "e1", "d2", "r2", "e2"))} == {"finished"}
    assert len([text for text in page.texts if "samples.png cannot be read" in text]) == 5


@pytest.mark.parametrize("kind", ["pipe", "folder", "nowhere"])
def test_the_reader_of_records_names_what_is_no_file(kind, tmp_path):
    if kind == "pipe":
        os.mkfifo(tmp_path / "run.json")
    elif kind == "folder":
        (tmp_path / "run.json").mkdir()
    else:
        assert read_record(tmp_path) is None
        return
    with pytest.raises(ValueError, match=rf"run\.json is damaged \(it is a {kind}, not a regular file\)"):
        read_record(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\x1a\n" + bytes(4),
        b"a text",
        picture()[:-20],
        picture()[:200] + b"\0" + picture()[201:],
        picture() + b"more",
        picture()[:16] + b"\xff\xff\xff\xff" + picture()[20:],
        b"\x89PNG\r\n\x1a\n" + bytes(2**24),
    ],
    ids=["empty", "12 bytes", "text", "cut", "flipped", "longer", "wide", "huge"],
)
def test_a_picture_that_cannot_be_read_is_a_note_in_its_place(content, folder):
    (folder / "third" / "samples.png").write_bytes(content)
    page = is_whole(folder)
    assert [text for text in page.texts if "cannot be read" in text] == ["samples.png cannot be read"]


@pytest.mark.parametrize(
    "rows",
    [
        "step,value\n1,2,3\n4\n5,6\n",
        "step,value,images,seconds\n" + "9" * 140_000 + ",1,1,1\n",
        "step,value,images,seconds\n1,1e308,1,1\n2,-1e308,2,1e308\n3,nan,inf,2\n4,1,1,1\n",
        'step,value,images,seconds\n"1,2',
        "step,value,images,seconds\n1,\0,1,1\n",
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        "x" * 300_000,
    ],
    ids=["ragged", "a wide field", "extreme", "a quote", "NUL", "no text", "one line"],
)
def test_damaged_rows_of_metrics_cost_nothing_but_the_curve(rows, folder):
    (folder / "third" / "metrics.csv").write_text(rows, encoding="latin-1")
    running = {key: value for key, value in FULL.items() if key != "steps_done"} | {"status": "running"}
    write_run(folder / "running", json.dumps(running))
    (folder / "running" / "metrics.csv").write_text(rows, encoding="latin-1")
    page = is_whole(folder)
    assert "finished" in page.row("third") and "unfinished" in page.row(" running")
    for reader in (read_trace, read_metrics):
        try:
            reader(folder / "third")
        except ValueError as error:
            assert "metrics.csv" in str(error) and "\n" not in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [1]\nb: [*a, *a]\n",
        "[" * 5000,
        "a: !!python/object:os.system {}\n",
        "a: b: c",
        "\t- x",
        "a: '",
        "x" * 300_000,
    ],
    ids=["repeated", "deep", "code", "no YAML", "tab", "quote", "large"],
)
def test_configurations_are_plain_values_or_refused(text, folder):
    write_hydra(folder / "fourth", config=text, overrides=text, hydra=text)
    assert "failed before it started" in is_whole(folder).row("fourth")
    with pytest.raises(ValueError):
        read_yaml(folder / "fourth" / ".hydra" / "config.yaml")


@pytest.mark.slow
def test_names_that_are_no_text_and_deep_folders_stand_on_the_page(folder, capsys):
    write_run(
        folder / os.fsdecode(b"caf\xe9"), FULL | {"error": "\ud800", "solver": "a\udcffb", "overrides": ["\ud800"]}
    )
    deep = [folder / "/".join("d" * level) for level in range(1, 1100)]
    for level in deep:
        level.mkdir()
    (deep[-1] / "run.json").write_text(json.dumps(FULL | {"seed": 77}))
    page = is_whole(folder)
    (deep[-1] / "run.json").unlink()
    for level in reversed(deep):  # as pytest removes folders by recursion
        level.rmdir()
    assert any("a?b" in row and "caf?" in row for row in page.rows)
    assert any(" 77 " in row for row in page.rows)
    assert main([str(folder), "--output", str(folder / "third" / "run.json")]) == 2
    assert "None" not in capsys.readouterr().err


def test_a_metric_without_a_value_is_a_dash_with_its_reason(folder):
    reason = "all held-out points are <b>training points"
    write_run(folder / "a", FULL | {"metrics": {"memorisation": None}, "metrics_failed": {"memorisation": reason}})
    page = is_whole(folder)
    assert f"without memorisation ({reason})" in page.row(" a 7")
    assert page.having("span", title=reason, **{"class": "none"})
    (row,) = [row for row in table_of(folder) if row["folder"] == "a"]
    assert row["metric_memorisation"] == ""
