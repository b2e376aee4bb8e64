"""A sweep killed at random moments, for test_sweep_kill.py: python sweep_kills.py FOLDER KILLS SEED.

One process imports everything once and forks the sweeps, so that a kill falls on a sweep's work and not on its imports.
FOLDER/whole holds an undisturbed sweep, FOLDER/0, FOLDER/1, ... those that were killed until they finished. The answer
is one line of JSON: the kills, and at how many of them each stage was met.
"""

import importlib
import io
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from matplotlib.figure import Figure

from ot_gen import cli

STEPS = 60
RUN = ("trainer=smoke", f"trainer.steps={STEPS}", "trainer.checkpoint_every=7", "trainer.batch_size=16", "threads=1")
RUN += ("evaluation.samples=40", "metrics=none", "data.size=64", "data.test_size=64")
SWEEP = (*RUN, "solver=primal/exact_plan,dual/wgan_gp")


def warmed():
    """What each sweep would look up again: what is imported late, hydra's plugins, its grammar, the fonts."""
    for late in ("ot", "scipy.optimize", "torch._dynamo"):
        importlib.import_module(late)
    cli.composed(RUN)
    Figure().savefig(io.BytesIO())


def started(folder):
    """A sweep in a process of its own."""
    child = os.fork()
    if child:
        return child
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    sys.argv = ["ot-gen", "-m", *SWEEP, f"hydra.sweep.dir={folder}"]
    code = 1
    try:
        cli.main()
        code = 0
    finally:
        os._exit(code)


def ended(child, delay):
    """Whether the sweep ended by itself within `delay` seconds; if not, it is killed."""
    until = time.monotonic() + delay
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0, status
            return True
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def stage(folder):
    """What the killed sweep was at, as its folders tell."""
    records = {path.parent: json.loads(path.read_text()) for path in folder.glob("*/run.json")}
    at = [run for run, record in records.items() if record["status"] == "running"]
    if not at:
        return "between runs"
    began = (at[0] / "run.json").stat().st_mtime  # what is older is of an earlier start
    if any(path.stat().st_mtime > began for path in at[0].glob("*.png")):
        return "drawing"
    rows = (at[0] / "metrics.csv").read_text().count("\n") - 1 if (at[0] / "metrics.csv").exists() else 0
    return {0: "beginning", STEPS: "judging"}.get(rows, "training")


def main(folder, kills, seed):
    """Sweeps until there were so many kills, each of them at a moment drawn at random."""
    torch.set_num_threads(1)
    warmed()
    draw = random.Random(seed)
    began = time.monotonic()
    assert ended(started(folder / "whole"), 100.0)
    whole = time.monotonic() - began
    done, met, kept = 0, {}, {}
    for number in range(kills):
        target = folder / str(number)
        while not ended(started(target), draw.uniform(0.0, 0.6 * whole) if done < kills else 100.0):
            done += 1
            met[stage(target)] = met.get(stage(target), 0) + 1
            for path, content in kept.items():
                assert path.read_bytes() == content, f"{path} of a finished run has changed"
            for path in target.glob("*/run.json"):
                if json.loads(path.read_text())["status"] == "finished":
                    kept |= {file: file.read_bytes() for file in path.parent.glob("[a-z]*") if file.suffix != ".log"}
        if done >= kills:
            break
    sys.stdout.write(json.dumps({"kills": done, "met": met, "sweeps": number + 1, "whole": round(whole, 2)}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
