"""Where a command is to write what it finds: looked at before the work, which may take long."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ot_gen.execution import read_text, reason
from ot_gen.runs.claim import check_no_links
from ot_gen.runs.record import RUN


def check_folder(folder: Path, option: str) -> None:
    """Refuse a folder that cannot be made, or that cannot be written to.

    Args:
        folder: that there is, or that is to be made.
        option: how the user gave it, for the message.

    Raises:
        ValueError: what is wrong with it.

    Example:
        >>> check_folder(Path(os.devnull), "--output")
        Traceback (most recent call last):
        ValueError: --output /dev/null is no folder; give another
    """
    there = folder
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not there.is_dir():
        said = "is no folder" if there == folder else f"cannot be made, since {there} is no folder"
        raise ValueError(f"{option} {folder} {said}; give another")
    if not os.access(there, os.W_OK | os.X_OK) or there.absolute().is_relative_to("/proc"):
        raise ValueError(f"{option} {folder} cannot be written to; give another")
    check_no_links(folder)


def check_study(folder: Path, run: Path) -> None:
    """Refuse a folder that belongs to another run than the one whose geometry is to be written there.

    Raises:
        ValueError: the folder is another run's, or holds its geometry.

    Example:
        >>> check_study(Path("no/such/folder"), Path("runs/NAME"))
    """
    check_folder(folder, "--output")
    if folder.resolve() == run.resolve():
        return
    if (folder / RUN).exists():
        raise ValueError(f"{folder.absolute()} holds a record of another run; give another folder as --output")
    try:
        theirs = json.loads(read_text(folder / "geometry.json")).get("run")
    except FileNotFoundError:
        return
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        theirs = f"something else ({reason(error)})"
    if theirs != str(run.absolute()):
        raise ValueError(f"{folder.absolute()} already holds the geometry of {theirs}; give another folder as --output")
