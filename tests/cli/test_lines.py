"""One line, never a traceback: full disks, no memory, closed pipes, terminals that know few letters, signals."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from limits import no_file_beyond

from ot_gen import cli
from ot_gen.cli import conf_dir
from ot_gen.report.compare import main as compare
from ot_gen.runs import run as runs

RECORDS = Path(__file__).parents[1] / "records"
TINY = ("trainer=smoke", "trainer.steps=4", "trainer.checkpoint_every=2", "trainer.batch_size=16", "metrics=none")
TINY += ("evaluation.samples=40", "data.size=64", "data.test_size=64", "solver=primal/exact_plan")

pytestmark = [
    pytest.mark.usefixtures("clean_process"),
    pytest.mark.skipif(os.name == "nt", reason="limits and signals of POSIX"),
]


def content(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


@pytest.mark.parametrize("size", [10, 3000, 20_000])
def test_a_full_disk_gets_one_line(size, command, undrawn):
    with no_file_beyond(size):
        code, _, err = command(*TINY, "hydra.run.dir=out")
    assert code == 2 and err.startswith("ot-gen: error: ") and err.count("\n") == 1
    assert "File too large" in err and "free some space" in err and "None" not in err
    assert not list(Path("out").glob("*.tmp"))
    if size == 20_000:
        told = json.loads(Path("out/run.json").read_text())
        assert "out/checkpoint.safetensors" in err and told["status"] == "failed" and "too large" in told["error"]


@pytest.mark.slow
def test_a_full_disk_leaves_the_checkpoint_of_before(command, undrawn):
    assert command(*TINY, "hydra.run.dir=out")[0] == 0
    before = content("out")["checkpoint.safetensors"]
    with no_file_beyond(len(before) // 2):
        assert command(*TINY, "trainer.steps=6", "resume=out", "hydra.run.dir=out")[0] == 2
    assert content("out")["checkpoint.safetensors"] == before
    assert command(*TINY, "trainer.steps=6", "resume=out", "hydra.run.dir=out")[0] == 0


def test_a_full_disk_while_it_is_drawn_keeps_the_training(command, monkeypatch):
    def full(*_):
        raise OSError(28, os.strerror(28), "out/samples.png")

    monkeypatch.setattr(runs, "draw", full)
    code, _, err = command(*TINY, "hydra.run.dir=out")
    assert code == 2 and err.count("\n") == 1 and "samples.png" in err
    told = json.loads(Path("out/run.json").read_text())
    assert told["status"] == "failed" and told["steps_done"] == 4 and Path("out/checkpoint.safetensors").exists()


@pytest.mark.slow
@pytest.mark.parametrize("override", ["generator.hidden=[100000000,100000000]", "generator.hidden=[1e400]"])
def test_no_memory_gets_one_line(override, command, undrawn):
    code, _, err = command(*TINY, override, "hydra.run.dir=out")
    assert code == 2 and err.startswith("ot-gen: error: ") and err.count("\n") == 1
    if "e400" not in override:
        assert "the memory of this machine" in err and "trainer.batch_size" in err
    assert json.loads(Path("out/run.json").read_text())["status"] == "failed"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["it's", 'a "b"', "c\\", "\\'", "ζ, [x]=1"])
def test_a_folder_of_entries_may_have_any_name(name, tmp_path, command):
    entry = tmp_path / name / "solver" / "mine.yaml"
    entry.parent.mkdir(parents=True)
    shutil.copy(conf_dir() / "solver" / "primal" / "exact_plan.yaml", entry)
    assert cli.composed(["solver=mine"], tmp_path / name)[1]["solver"] == "mine"
    assert command("--config-dir", tmp_path / name, "solver=mine", "--cfg", "job")[0] == 0


def test_the_page_gets_one_line_too(capsys, tmp_path):
    assert compare(["--nope"]) == 2 == compare([str(tmp_path / "none")])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all(line.startswith("ot-gen-compare: error: ") for line in lines)
    with no_file_beyond(100):
        assert compare([str(RECORDS), "--output", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "comparison.csv" in err and "None" not in err and list(tmp_path.iterdir()) == []


# --- in processes of their own

OT_GEN, COMPARE = [sys.executable, "-m", "ot_gen"], [sys.executable, "-m", "ot_gen.report.compare"]


@pytest.mark.slow
def test_a_reader_that_leaves_and_a_terminal_of_few_letters():
    done = subprocess.run(
        f"{sys.executable} -m ot_gen --help | head -1", shell=True, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.count("\n") == 1 and done.stderr == ""
    settings = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*OT_GEN, "--help"], capture_output=True, env=settings, timeout=120)
    assert done.returncode == 0 and done.stderr == b"" and rb"\u03b8" in done.stdout
    done = subprocess.run([*OT_GEN, "data=ζ"], capture_output=True, env=settings, timeout=120)
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1 and b"Traceback" not in done.stderr


CLOSED = [
    ([*OT_GEN, "solver=primal/vae", "--cfg", "job"], 0),
    ([*OT_GEN, "nope=1"], 2),
    ([*OT_GEN, "evaluate", "--run", "nowhere"], 2),
    ([*COMPARE, str(RECORDS), "--output", "page"], 0),
    ([*COMPARE, "nowhere"], 2),
]


@pytest.mark.slow
@pytest.mark.parametrize(("words", "code"), CLOSED)
def test_a_stream_that_is_closed_or_full_is_no_traceback(words, code, tmp_path):
    def ended(ending):
        shell = ["sh", "-c", f'"$@" {ending}', "sh", *words]
        done = subprocess.run(shell, capture_output=True, text=True, timeout=120, cwd=tmp_path)
        assert "Traceback" not in done.stderr and "Exception" not in done.stderr and done.stderr.count("\n") <= 1
        return done.returncode

    assert ended(">&-") == ended("2>&-") == ended(">&- 2>&-") == code
    if Path("/dev/full").exists():
        assert ended(">/dev/full") == 2


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux which signals a process handles")
@pytest.mark.parametrize("words", [OT_GEN, [*OT_GEN, "evaluate", "--run", "x"], COMPARE], ids=["run", "judge", "page"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_the_imports_ends_with_one_line(number, words):
    started = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while started.poll() is None and not handles(started.pid):
            time.sleep(0.002)
        started.send_signal(number)
        _, err = started.communicate(timeout=60)
    finally:
        started.kill()
    name = "ot-gen-compare" if words is COMPARE else "ot-gen"
    assert (started.returncode, err) == (128 + number, f"{name}: interrupted\n")


def handles(process):
    """Whether a process has a handler for SIGHUP, the last of its handlers, and so has begun to import ot_gen."""
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{process}/status").read_text())
    return int(caught[1], 16) >> (signal.SIGHUP - 1) & 1
