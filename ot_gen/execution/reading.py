"""Files that others wrote are read as data: regular files only, never more than a given size."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

LARGEST = 2**26  # bytes of a record, a configuration or a picture: 64 MB, many times what we write
CHUNK = 2**20


def absolute(path: str | Path) -> Path:
    """The absolute path, with ~ for the home folder.

    Raises:
        ValueError: ~ of a user who is not known.

    Example:
        >>> absolute("a.csv").name
        'a.csv'
    """
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:  # pathlib's, of an unknown user
        raise ValueError(f"{path} cannot be resolved ({error}); write the folder out") from error


def opened(path: str | Path) -> BinaryIO:
    """A regular file, open for reading: opening waits for nobody, as it would for the writer of a pipe.

    Raises:
        ValueError: a folder, a pipe, a socket or a device.
        OSError: no such file, or one that must not be read.

    Example:
        >>> opened(os.devnull)
        Traceback (most recent call last):
        ValueError: it is a device, not a regular file
    """
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(number).st_mode
    if not stat.S_ISREG(mode):
        os.close(number)
        raise ValueError(f"it is a {_kind(mode)}, not a regular file")
    return os.fdopen(number, "rb")


def read_bytes(path: str | Path, most: int = LARGEST) -> bytes:
    """The content of a regular file of at most `most` bytes.

    Raises:
        ValueError: no regular file, or a larger one.
        OSError: no such file, or one that must not be read.

    Example:
        >>> read_bytes(__file__, 2)
        Traceback (most recent call last):
        ValueError: it has more than 2 bytes
    """
    parts, size = [], 0
    with opened(path) as file:
        while part := file.read(CHUNK):
            parts.append(part)
            size += len(part)
            if size > most:
                raise ValueError(f"it has more than {most:,} bytes")
    return b"".join(parts)


def read_text(path: str | Path, most: int = LARGEST) -> str:
    """The content of a regular file of at most `most` bytes, in UTF-8.

    Raises:
        ValueError: no regular file, a larger one, or other bytes than UTF-8.
        OSError: no such file, or one that must not be read.
    """
    return read_bytes(path, most).decode("utf-8")


def _kind(mode: int) -> str:
    named = {stat.S_ISDIR: "folder", stat.S_ISFIFO: "pipe", stat.S_ISSOCK: "socket"}
    return next((name for test, name in named.items() if test(mode)), "device")
