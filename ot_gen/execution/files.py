"""Files that are whole or not there."""

from __future__ import annotations

import errno
import glob
import os
import platform
import re
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from safetensors import SafetensorError

from ot_gen.arguments import checked

UNIQUE = 16  # hexadecimal digits: of the machine, of the process, and four of chance


@contextmanager
@checked
def written(path: str | Path) -> Iterator[Path]:
    """A name beside `path` to write a file to, which becomes `path` at the end of the block.

    No reader ever sees half of it, and several writers do not meet: the last to end wins. The file is on the disk
    before it gets its name, so a loss of power leaves the old file or the new one. An exception in the block leaves
    the old file and nothing else. A kill may leave the temporary one, which the next writer of `path` removes.

    Raises:
        ValueError: `path` has no name, or is a folder, a pipe or a device, which a file must not replace.
        OSError: the file cannot be written, with its name whatever library wrote it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with written(Path(folder) / "a.txt") as temporary:
        ...         _ = temporary.write_text("whole")
        ...     [file.name for file in Path(folder).iterdir()], (Path(folder) / "a.txt").read_text()
        (['a.txt'], 'whole')
    """
    path = Path(path)
    if not path.name:
        raise ValueError(f"a file needs a name, got the path {str(path)!r}")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is a folder, a pipe or a device, and no file to write; give another name")
    temporary = path.with_name(f"{path.name}.{_here()}{os.getpid():08x}{secrets.token_hex(2)}.tmp")
    try:
        _remove_of_the_dead(path)
        temporary.touch()
        usual = temporary.stat().st_mode  # as the umask has it, which safetensors does not ask
        temporary.unlink()
        yield temporary
        temporary.chmod(usual)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise naming(error, path) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _remove_of_the_dead(path: Path) -> None:
    """Remove the temporary files of `path` whose writers, on this machine, are no more."""
    if os.name != "posix":  # elsewhere nobody can be asked whether he lives
        return
    mark = _here()
    for file in path.parent.glob(f"{glob.escape(path.name)}.{mark}{'[0-9a-f]' * (UNIQUE - len(mark))}.tmp"):
        writer = int(file.name.removesuffix(".tmp")[-UNIQUE + len(mark) :][:8], 16)
        try:
            os.kill(writer, 0)
        except ProcessLookupError:
            file.unlink(missing_ok=True)
        except (PermissionError, OverflowError):  # another user's, who lives; no process at all
            continue


@cache
def _here() -> str:
    """Four digits for this machine, or this container: where a process number means a process."""
    space = Path("/proc/self/ns/pid")
    words = f"{platform.node()} {space.stat().st_ino if space.exists() else ''}"
    return f"{zlib.crc32(words.encode()) & 0xFFFF:04x}"


def naming(error: OSError | SafetensorError, path: Path) -> OSError:
    """The error of a library that could not write a file, as one of the system that names it.

    Example:
        >>> naming(SafetensorError("I/O error: No space left on device (os error 28)"), Path("a.safetensors"))
        OSError(28, 'No space left on device')
        >>> naming(SafetensorError('IoError(Os { code: 27, kind: FileTooLarge })'), Path("a.safetensors")).errno
        27
    """
    number = error.errno if isinstance(error, OSError) else None
    # safetensors' words, of versions since 0.5 and of earlier ones
    if number is None and (match := re.search(r"\(os error (\d+)\)|\bcode: (\d+)", str(error))):
        number = int(match[1] or match[2])
    if number is None:
        return OSError(errno.EIO, str(error) or os.strerror(errno.EIO), str(path))
    return OSError(number, os.strerror(number), str(path))


@checked
def write_text(path: str | Path, text: str) -> None:
    """Write a text file, in UTF-8, as `written` does."""
    with written(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@checked
def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of writers that were killed; nobody else may write to the folder now.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     (Path(folder) / "a.txt.0123456789abcdef.tmp").touch()
        ...     remove_leftovers(Path(folder))
        ...     list(Path(folder).iterdir())
        []
    """
    for file in folder.glob(f"*.{'[0-9a-f]' * UNIQUE}.tmp"):
        file.unlink(missing_ok=True)
