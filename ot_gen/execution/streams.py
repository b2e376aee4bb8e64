"""What a command writes to a terminal, a file or a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper


@contextmanager
def plain_streams() -> Iterator[None]:
    """Around a command: letters that a stream cannot encode are escaped, and a reader that left is no error.

    A stream that was closed before the command began is as /dev/null.

    Raises:
        OSError: the standard output cannot be written, as on a full disk; what is left of it is dropped.

    Example:
        >>> with plain_streams():
        ...     print("W₁")
        W₁
    """
    sys.stdout, sys.stderr = (stream or _nowhere() for stream in (sys.stdout, sys.stderr))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            _flush()
    except BrokenPipeError:  # of `| head`
        pass


def _flush() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        drop_output()
        raise


def drop_output() -> None:
    """From now on the standard output, which cannot be written, is as /dev/null, at exit too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _nowhere() -> TextIOWrapper:
    return open(os.devnull, "w", encoding="utf-8")  # for as long as the process lives
