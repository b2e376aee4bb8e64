"""Runs every launcher, the search and every tracker for real, in environments of their own: `make sweep-check`.

Ray's launcher holds cloudpickle, and with it joblib, and dateutil at older versions than those of constraints.txt, so
that it cannot live in `.venv`.

    python benchmarks/sweep_check.py [FOLDER, .venv-sweeps]
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHECKS = {  # a test file -> the extras that it needs
    "tests/cli/test_sweeps.py": "sweep,slurm,ray,optuna",
    "tests/runs/test_trackers.py": "tensorboard,mlflow,wandb",
}
TOOLS = ("pytest", "pytest-xdist", "hypothesis")
HELD_BACK = ("cloudpickle", "joblib", "python-dateutil")  # by hydra-ray-launcher and by its botocore


def call(*command):
    subprocess.run([str(part) for part in command], cwd=ROOT, check=True)


def check(tests, extras, environment):
    python = environment / "bin" / "python"
    if not python.exists():
        call(sys.executable, "-m", "venv", environment)
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    constraints = environment / "constraints.txt"
    held_back = HELD_BACK if "ray" in extras else ()
    constraints.write_text("\n".join(line for line in lines if not line.startswith(held_back)) + "\n", encoding="utf-8")
    install = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", constraints)
    call(*install, "torch==2.13.0")
    call(*install, f".[{extras}]", *TOOLS)
    # What is skipped is missing: with -rs the report says so.
    call(python, "-m", "pytest", "-q", "-rs", "-n", "0", tests)


if __name__ == "__main__":
    os.environ["PYTHONPATH"] = str(ROOT)
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / ".venv-sweeps").absolute()
    for tests, extras in CHECKS.items():
        check(tests, extras, folder / Path(tests).stem)
