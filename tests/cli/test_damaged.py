"""Damaged and strange files in a run's folder: one line that says what is wrong, from every command that reads it."""

import json
import os
import shutil
from pathlib import Path

import pytest

from ot_gen.execution import LARGEST
from ot_gen.runs.record import read_metrics, read_record

RECORDS = Path(__file__).parents[1] / "records"
TINY = ("trainer=smoke", "trainer.steps=2", "trainer.batch_size=8", "evaluation.samples=16", "metrics=none")
TINY += ("data.size=32", "data.test_size=32")
JUDGES = {"evaluate": ("evaluate",), "geometry": ("geometry",), "sample": ("sample", "--output", "samples.npy")}

pytestmark = pytest.mark.usefixtures("clean_process", "undrawn")


def bomb(levels):
    """Each line names the one before it nine times: 9^levels words of text, were it read."""
    lines = ["a0: &a0 [lol]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


def fifo(path):
    path.unlink()
    os.mkfifo(path)


def loop(path):
    path.unlink()
    path.symlink_to(path.name)


def folder(path):
    path.unlink()
    path.mkdir()


def text(words):
    return lambda path: path.write_text(words if isinstance(words, str) else words(path.read_text()))


CONFIGS = {
    "tab": text(lambda told: told.replace("\n  ", "\n\t", 1)),
    "duplicate key": text(lambda told: told + "\nseed: 1\nseed: 2\n"),
    "flipped byte": lambda path: path.write_bytes(b"\x80" + path.read_bytes()[1:]),
    "control character": lambda path: path.write_bytes(path.read_bytes() + b"\x00"),
    "anchor bomb": text(bomb(30)),
    "anchor": text(lambda told: told + "\nx: &x [1]\ny: *x\n"),
    "no mapping": text("[1, 2]"),
    "text": text("words"),
    "empty": text(""),
    "open bracket": text("data: {"),
    "deep": text("[" * 3000 + "]" * 3000),
    "huge": text("data: " + "x" * 2**20),
    "a python object": text("data: !!python/object/apply:os.getcwd []"),
    "null data": text("data: null"),
    "fifo": fifo,
    "loop": loop,
    "folder": folder,
}


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("judge", JUDGES)
def test_a_damaged_configuration_is_said_in_one_line(judge, name, command):
    run = Path(shutil.copytree(RECORDS / "wgan_sn", "run"))
    CONFIGS[name](run / "config.yaml")
    code, _, err = command(*JUDGES[judge], "--run", run)
    assert code == 2 and err.startswith("ot-gen: error: ") and err.count("\n") == 1
    assert "config.yaml" in err and len(err) < 1000


RUNS = {
    "empty": text(""),
    "deep": text("[" * 100_000),
    "not a number": text('{"status": "finished", "seed": NaN}'),
    "huge number": text('{"status": "finished", "seed": ' + "9" * 5000 + "}"),
    "beyond floats": text('{"status": "finished", "seconds": ' + "9" * 400 + "}"),
    "beyond doubles": text('{"status": "finished", "steps": 1e400}'),
    "huge": text(json.dumps({"status": "finished", "solver": "x" * (LARGEST + 1)})),
    "no object": text("3"),
    "another status": text('{"status": "splendid"}'),
    "latin": lambda path: path.write_bytes(b'{"status": "\xe9"}'),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_damaged_record_is_said_in_one_line(name, command):
    run = Path(shutil.copytree(RECORDS / "wgan_sn", "run"))
    RUNS[name](run / "run.json")
    for arguments in (*((*judge, "--run", run) for judge in JUDGES.values()), (*TINY, f"hydra.run.dir={run}")):
        code, _, err = command(*arguments)
        assert code == 2 and err.count("\n") == 1 and "run.json is damaged" in err and len(err) < 1000


@pytest.mark.parametrize("put", [fifo, loop, folder])
def test_what_is_no_file_is_no_record(put, command):
    run = Path(shutil.copytree(RECORDS / "wgan_sn", "run"))
    put(run / "run.json")
    for judge in JUDGES.values():
        code, _, err = command(*judge, "--run", run)
        assert code == 2 and err.count("\n") == 1 and "holds no run.json" in err


def test_halves_of_surrogates_are_replaced(tmp_path):
    (tmp_path / "run.json").write_text('{"status": "finished", "solver": "\\ud800"}')
    assert read_record(tmp_path).solver == "?"


def test_a_judgement_is_no_run(command):
    code, _, err = command("evaluate", "--run", RECORDS / "evaluated")
    assert code == 2 and err.count("\n") == 1 and "holds a judgement of" in err


TABLES = ("step,value\n1,many\n", "step,value\nx,1\n")


@pytest.mark.parametrize("damage", TABLES, ids=range(len(TABLES)))
def test_a_damaged_table_of_metrics_is_named(damage, tmp_path):
    (tmp_path / "metrics.csv").write_text(damage)
    with pytest.raises(ValueError, match=r"metrics.csv is damaged .* move it away"):
        read_metrics(tmp_path)
