"""SIGKILL at any moment loses no finished run of a sweep and corrupts no file."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import load_file

KILLS = 22

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")]


def outcome(folder):
    """All that a run found, each file of its record read: figures, rows and weights, without times."""
    facts = json.loads((folder / "run.json").read_text())
    with (folder / "metrics.csv").open(newline="") as file:
        rows = [{name: x for name, x in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    OmegaConf.load(folder / "config.yaml")
    pictures = sorted(path.name for path in folder.glob("*.png"))
    for name in pictures:
        with Image.open(folder / name) as image:
            image.load()
    told = {name: facts[name] for name in ("status", "judgement", "objective", "images", "steps_done", "composition")}
    return told, rows, pictures, load_file(folder / "checkpoint.safetensors")


def test_a_sweep_killed_at_random_moments_ends_as_if_it_had_not_been(tmp_path):
    script = Path(__file__).with_name("sweep_kills.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path, str(KILLS), "0"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["kills"] >= 20
    assert len(answer["met"]) > 1  # of beginning, training, judging, drawing, between runs
    whole = {path.parent.name: outcome(path.parent) for path in tmp_path.glob("whole/*/run.json")}
    assert len(whole) == 2
    for number in range(answer["sweeps"]):
        found = {path.parent.name: outcome(path.parent) for path in tmp_path.glob(f"{number}/*/run.json")}
        assert found.keys() == whole.keys()
        for name, (told, rows, pictures, weights) in found.items():
            assert (told, rows, pictures) == whole[name][:3]
            assert [int(row["step"]) for row in rows] == list(range(1, 61))
            assert told["status"] == "finished"
            assert weights.keys() == whole[name][3].keys()
            assert all(torch.equal(weights[key], value) for key, value in whole[name][3].items())
