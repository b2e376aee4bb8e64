"""A run's folder belongs to one process at a time, and what is finished in it stays."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ot_gen.execution import CHECKPOINT_NAME, checkpoint_in, remove_leftovers
from ot_gen.runs.parts import Status
from ot_gen.runs.record import METRICS, read_record

LOCK = ".lock"
# What is opened, or entered, in a run's folder by its name; all else is written beside its name, and renamed.
ENTERED = (LOCK, METRICS, "ot-gen.log", ".hydra", "tensorboard", "wandb")

log = logging.getLogger("ot_gen")


@contextmanager
def claimed(folder: Path, patience: float = 30.0) -> Iterator[None]:
    """Hold `folder` as long as the block runs. The operating system frees the folders of a process that died.

    Files that such a process left half written are removed.

    Args:
        folder: made where it does not exist; the lock is its file `.lock`.
        patience: seconds to wait for another process: long enough for one that is about to stop.

    Raises:
        ValueError: another process still works in the folder, or a link in it would lead what is written elsewhere.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with claimed(folder), claimed(folder, patience=0.0):
        ...     pass
        Traceback (most recent call last):
            ...
        ValueError: another process works in ...; wait for it, stop it, or choose another folder
    """
    check_no_links(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0.0)
    except Timeout:
        log.info("%s is in use; waiting up to %g s", folder, patience)
        try:
            lock.acquire(timeout=patience)
        except Timeout:
            record = read_record(folder)
            who = f" (process {record.process} on {record.host})" if record is not None and record.process else ""
            raise ValueError(
                f"another process works in {folder}{who}; wait for it, stop it, or choose another folder"
            ) from None
    try:
        remove_leftovers(folder)
        yield
    finally:
        lock.release()


def check_no_links(folder: Path) -> None:
    """Refuse a folder, which may be a stranger's, in which a link would lead what a run writes to another place.

    Raises:
        ValueError: the link.

    Example:
        >>> check_no_links(Path("no/such/folder"))
    """
    for name in ENTERED:
        if (path := folder / name).is_symlink():
            raise ValueError(f"{path} is a link, and what a run writes there would go elsewhere; remove the link")


def unclaimed(folder: Path) -> Path:
    """A new folder of this name, or of this name and a number where it is taken: no two callers get the same.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp()) / "run"
        >>> unclaimed(folder).name, unclaimed(folder).name
        ('run', 'run-2')
    """
    for number in itertools.count(1):
        candidate = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            candidate.mkdir(parents=True)
        except FileExistsError:
            continue
        break
    return candidate


def reached(folder: Path) -> str | None:
    """What an earlier run left in `folder` that must not be lost by mistake, in words; None where there is nothing.

    Example:
        >>> reached(Path("no/such/run"))
    """
    record = read_record(folder)
    if record is None:
        return None
    if record.status is Status.FINISHED:
        return "finished run"
    return f"run ({record.status}) with a checkpoint" if (folder / CHECKPOINT_NAME).exists() else None


def check_free(folder: Path, resume: str | Path | None = None) -> None:
    """Refuse a folder in which a new run would overwrite what an earlier one reached.

    Args:
        folder: where the new run is to write.
        resume: what it continues, if anything; to continue the run of this very folder is no loss.

    Raises:
        ValueError: the folder holds a finished run, or one that stopped with a checkpoint.
    """
    state = reached(folder)
    if state is None:
        return
    file = None if resume is None else checkpoint_in(resume)
    if file is not None and folder.resolve() in (file.parent.resolve(), file.resolve().parent):  # it may be a link
        return
    raise ValueError(
        f"{folder} holds a {state}, which a new run would overwrite; choose another folder (hydra.run.dir=FOLDER), go "
        f"on from it (resume={folder}), or replace it (overwrite=true)"
    )
