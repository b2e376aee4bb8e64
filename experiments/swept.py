"""What the experiments that train by a sweep share: run it or what is left of it, and write their table."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path


def sweep(name: str, folder: Path) -> None:
    """Run `ot-gen -m sweep=name` in the folder, or what is left of it, a job for each core."""
    own = [sys.executable, "-m", "ot_gen", "-m", f"sweep={name}"]
    subprocess.run([*own, "hydra/launcher=joblib", f"hydra.sweep.dir={folder}"], check=True)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """A CSV file of rows, floats to six digits."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow(f"{value:.6g}" if isinstance(value, float) else value for value in row)
