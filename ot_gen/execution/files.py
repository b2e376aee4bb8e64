"""Files that are whole or not there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ot_gen.arguments import checked

UNIQUE = 16  # hexadecimal digits: no other process, on no other machine, has them


@contextmanager
@checked
def written(path: str | Path) -> Iterator[Path]:
    """A name beside `path` to write a file to, which becomes `path` at the end of the block.

    No reader ever sees half of it, and several writers do not meet: the last to end wins. The file is on the disk
    before it gets its name, so a loss of power leaves the old file or the new one. An exception in the block leaves
    the old file and nothing else. A kill may leave the temporary one, see `remove_leftovers`.

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
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(UNIQUE // 2)}.tmp")
    temporary.touch()
    usual = temporary.stat().st_mode  # as the umask has it, which safetensors does not ask
    temporary.unlink()
    try:
        yield temporary
        temporary.chmod(usual)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
