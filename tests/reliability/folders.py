"""What a run's folder holds, and whether it is whole."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from ot_gen.execution import read_progress
from ot_gen.training import CHECKPOINT_NAME

STEPS = 30
TINY = (
    "trainer=smoke",
    f"trainer.steps={STEPS}",
    "trainer.checkpoint_every=3",
    "trainer.batch_size=16",
    "data.size=64",
)
TINY += ("data.test_size=64", "evaluation.samples=40", "metrics=none")


def content(folder: Path) -> dict[str, bytes]:
    """Every file that a reader would miss."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in (".lock", "ot-gen.log"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if not path.name.endswith(".tmp")}


def torn(folder: Path) -> list[str]:
    """The files of a folder, under their own names, that are not whole."""
    return [str(path) for path in sorted(folder.rglob("*")) if path.is_file() and not _is_whole(path)]


def _is_whole(path: Path) -> bool:
    try:
        if path.name.endswith((".tmp", ".log", ".lock")):
            return True  # no name that a reader looks for; a log may end anywhere
        if path.suffix == ".json":
            return isinstance(json.loads(path.read_text()), dict)
        if path.suffix == ".yaml":
            return isinstance(yaml.safe_load(path.read_text()), dict | list)
        if path.suffix == ".csv":
            rows = list(csv.reader(path.open(newline="")))
            return len({len(row) for row in rows[:-1]}) <= 1
        if path.suffix == ".png":
            Image.open(path).verify()
        elif path.suffix == ".safetensors":
            read_progress(path)
        elif path.suffix == ".html":
            return path.read_text().rstrip().endswith("</html>")
    except Exception:  # whatever a reader raises, the file is torn
        return False
    return True


def is_finished(folder: Path) -> bool:
    record = folder / "run.json"
    return record.exists() and json.loads(record.read_text())["status"] == "finished"


def same_weights(one: Path, other: Path) -> bool:
    """Whether the checkpoints of two folders hold the same tensors, bit for bit."""
    a, b = (load_file(folder / CHECKPOINT_NAME) for folder in (one, other))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
