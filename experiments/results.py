"""Where an experiment leaves its results: in runs/, and in its own folder only when asked.

Its own folder holds what its README shows, which git tracks; another machine's figures differ in their last digits.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tolerances import report

SHOWN = ("figure.png", "results.csv", "table.md")


def options(script: str, words: str | None) -> argparse.ArgumentParser:
    """A parser with the options of every experiment: `script` is its `__file__`, `words` its `__doc__`."""
    parser = argparse.ArgumentParser(description=words, formatter_class=argparse.RawDescriptionHelpFormatter)
    own = Path(script).resolve().parent
    output = own.parents[1] / "runs" / "experiments" / own.name
    shown = f"where results go; the default is runs/experiments/{own.name}"
    parser.add_argument("--output", type=made, default=str(output), help=shown)  # a string passes `made`
    parser.add_argument("--update", action="store_true", help="then change what the experiment's own folder shows, too")
    parser.set_defaults(own=own)
    return parser


def made(folder: str | Path) -> Path:
    """The folder, which need not exist."""
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    return path


def conclude(arguments: argparse.Namespace, found: Mapping[str, float], parts: Sequence[str] = ("",)) -> int:
    """With --update copy what the experiment shows into its folder; then `report`, whose exit code is returned."""
    if arguments.update:
        for name in SHOWN:
            if (arguments.output / name).is_file():
                shutil.copyfile(arguments.output / name, arguments.own / name)
    print(f"results in {arguments.output}")
    return report(found, arguments.own / "expected.json", parts)
