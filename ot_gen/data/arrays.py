"""Arrays of numbers in files: the one reader of what users and strangers hand over as .npy, .npz or .csv."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import IO, Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from ot_gen.data.tables import read_table
from ot_gen.execution import absolute, opened, reason

KINDS = ".npy, .npz or .csv"


# What arrays are called in .npz files, the first ones first.
POINTS = ("points", "images", "x", "X", "data")
LABELS = ("labels", "label", "y", "Y", "targets", "target")


@final
class Read(NamedTuple):
    """What a file of numbers holds.

    Attributes:
        array: real numbers, (n, ...).
        labels: of the rows, of any kind, where there are some.
        names: of the columns of a .csv file that has a line of names.
    """

    array: NDArray[Any]
    labels: NDArray[Any] | None = None
    names: list[str] = []  # never changed


def read_array(path: str | Path, mmap_bytes: int = 2**30) -> NDArray[Any]:
    r"""The array of an .npy, .npz or .csv file, of real numbers of any dtype; one line of names in a .csv is left out.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     written = (Path(folder) / "a.csv").write_text("x,y\n1,2\n")
        ...     read_array(Path(folder) / "a.csv")
        array([[1., 2.]])
    """
    return read_labelled(path, None, mmap_bytes).array


def read_labelled(path: str | Path, label: str | None = None, mmap_bytes: int = 2**30) -> Read:
    r"""The array of a file, with the labels of its rows.

    Nothing is unpickled, and no more is allocated than the file can hold.

    Args:
        path: of the file. An .npz file holds one array, or one of the name `points`, `images`, `x`, `X` or `data`.
        label: the name of the labels: a column of a .csv file, or a key of an .npz file. None takes the key `labels`,
            `label`, `y`, `targets` or `target` beside the array, if there is one, and no column.
        mmap_bytes: an .npy file from this size on is mapped, copy-on-write, and not read.

    Raises:
        ValueError: no such file, one that cannot be read or is of another kind, pickled objects, no real numbers, or no
            labels of this name.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     written = (Path(folder) / "a.csv").write_text("x,y,kind\n1,2,cat\n3,4,dog\n")
        ...     read_labelled(Path(folder) / "a.csv", "kind").labels
        array(['cat', 'dog'], dtype='<U3')
    """
    file = absolute(path)
    remedy = f"save the points as an {KINDS} file of numbers, (n, d)"
    try:
        present = file.is_file()
    except OSError as error:  # a name that no file can have, or a folder that must not be searched
        raise ValueError(f"{file} cannot be read ({reason(error)}); {remedy}") from error
    if not present:
        other = " (what has that name is no regular file)" if file.exists() else ""
        raise ValueError(f"there is no file {file}{other}; give the path of an {KINDS} file")
    try:
        match file.suffix.lower():
            case ".npy" | ".npz":
                read = _read_numpy(file, label, mmap_bytes)
            case ".csv":
                table = read_table(file, label)
                read = Read(table.numbers, table.labels, table.names)
            case suffix:
                raise ValueError(f"files of kind {suffix!r} are not known")
    except Exception as error:  # a damaged archive raises nearly anything: BadZipFile, zlib.error, TokenError, ...
        raise ValueError(f"{file} cannot be read ({reason(error)}); {remedy}") from error
    if read.array.dtype.kind not in "biuf":
        raise ValueError(f"{file} holds {read.array.dtype}, not real numbers; {remedy}")
    return read


def _read_numpy(file: Path, label: str | None, mmap_bytes: int) -> Read:
    with opened(file) as stream:  # given a path, numpy leaves damaged archives open
        magic, size = stream.read(6), os.fstat(stream.fileno()).st_size
        stream.seek(0)
        if magic == b"\x93NUMPY":
            if label is not None:
                raise ValueError(f"an .npy file has no labels {label!r}; save both in an .npz file")
            _check_size(stream, size)
            if size >= mmap_bytes:
                # "c" is copy-on-write: torch wants memory that it may write to, and the file is to stay as it is.
                return Read(np.lib.format.open_memmap(file, mode="c"))
            stream.seek(0)
            return Read(np.asarray(np.load(stream, allow_pickle=False)))
        if not magic.startswith(b"PK"):  # else numpy would suggest to unpickle it
            raise ValueError("it is no NumPy file, or a truncated one")
        arrays = np.load(stream, allow_pickle=False)
        name, of_labels = _keys(arrays.files, label)
        asked = [name] if of_labels is None else [name, of_labels]
        for member in {*asked, *(f"{key}.npy" for key in asked)} & set(arrays.zip.namelist()):
            with arrays.zip.open(member) as part:
                _check_size(part, arrays.zip.getinfo(member).file_size)
        return Read(np.asarray(arrays[name]), None if of_labels is None else np.asarray(arrays[of_labels]))


def _check_size(stream: IO[bytes], size: int) -> None:
    """Refuse pickled objects, and a header that promises more than the `size` bytes hold; numpy allocates first."""
    version = np.lib.format.read_magic(stream)
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in headers:  # 3.0 is for the names of fields alone
        raise ValueError(f"its format {version} is of records with named fields")
    shape, _, dtype = headers[version](stream)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects, and to unpickle them could run any code")
    promised, held = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if promised > held or min(shape, default=0) < 0:
        raise ValueError(f"it is truncated: an array {shape} of {dtype} takes {promised} bytes, and {held} are there")


def _keys(names: list[str], label: str | None) -> tuple[str, str | None]:
    """The names of the array and of its labels."""
    if label is not None and label not in names:
        raise ValueError(f"it holds no array {label!r} of labels; its arrays are {names}")
    if label is None and len(names) > 1:
        label = next((name for name in LABELS if name in names), None)
    others = [name for name in names if name != label]
    name = others[0] if len(others) == 1 else next((name for name in POINTS if name in others), None)
    if name is None:
        raise ValueError(
            f"it holds the arrays {names}; save one array, or name the points 'points', images 'images', and labels "
            "'labels'"
        )
    return name, label
