"""A run's folder belongs to one process at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ot_gen.execution import remove_leftovers
from ot_gen.runs.record import read_record

LOCK = ".lock"

log = logging.getLogger("ot_gen")


@contextmanager
def claimed(folder: Path, patience: float = 30.0) -> Iterator[None]:
    """Hold `folder` as long as the block runs. The operating system frees the folders of a process that died.

    Files that such a process left half written are removed.

    Args:
        folder: made where it does not exist; the lock is its file `.lock`.
        patience: seconds to wait for another process: long enough for one that is about to stop.

    Raises:
        ValueError: another process still works in the folder.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with claimed(folder), claimed(folder, patience=0.0):
        ...     pass
        Traceback (most recent call last):
            ...
        ValueError: another process works in ...; wait for it, stop it, or choose another folder
    """
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
