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

    Example:
        >>> with plain_streams():
        ...     print("W₁")
        W₁
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # of `| head`; nothing more can be written there, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
