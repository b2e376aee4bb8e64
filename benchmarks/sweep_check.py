"""Runs every launcher, the search and every tracker for real, in an environment of its own: `make sweep-check`.

Ray's launcher holds cloudpickle and dateutil at older versions than those of constraints.txt, so that it cannot live
in `.venv`. About five minutes, most of them the installation.

    python benchmarks/sweep_check.py [ENVIRONMENT, .venv-sweeps]
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = "sweep,slurm,ray,optuna,tensorboard,mlflow,wandb"
TOOLS = ("pytest", "pytest-xdist", "hypothesis")
HELD_BACK = ("cloudpickle", "python-dateutil")  # by hydra-ray-launcher and by its botocore


def call(*command):
    subprocess.run([str(part) for part in command], cwd=ROOT, check=True)


def main(environment):
    python = environment / "bin" / "python"
    if not python.exists():
        call(sys.executable, "-m", "venv", environment)
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    constraints = environment / "constraints.txt"
    constraints.write_text("\n".join(line for line in lines if not line.startswith(HELD_BACK)) + "\n", encoding="utf-8")
    install = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", constraints)
    call(*install, "torch==2.13.0")
    call(*install, f".[{EXTRAS}]", *TOOLS)
    os.environ["PYTHONPATH"] = str(ROOT)
    # What is skipped is missing: with -rs the report says so.
    call(python, "-m", "pytest", "-q", "-rs", "-n", "0", "tests/test_sweeps.py", "tests/test_trackers.py")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / ".venv-sweeps"))
