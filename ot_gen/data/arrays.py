"""Arrays of numbers in files: the one reader of what users and strangers hand over as .npy, .npz or .csv."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ot_gen.data.tables import read_table
from ot_gen.execution import absolute, opened, reason

KINDS = ".npy, .npz or .csv"


def read_array(path: str | Path, mmap_bytes: int = 2**30) -> NDArray[Any]:
    r"""The array of an .npy, .npz or .csv file, of real numbers of any dtype; one line of names in a .csv is left out.

    Nothing is unpickled, and no more is allocated than the file can hold.

    Args:
        path: of the file. An .npz file holds one array, or has the key `points`.
        mmap_bytes: an .npy file from this size on is mapped, copy-on-write, and not read.

    Raises:
        ValueError: no such file, one that cannot be read or is of another kind, pickled objects, or no real numbers.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     written = (Path(folder) / "a.csv").write_text("x,y\n1,2\n")
        ...     read_array(Path(folder) / "a.csv")
        array([[1., 2.]])
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
                array = _read_numpy(file, mmap_bytes)
            case ".csv":
                array = read_table(file)
            case suffix:
                raise ValueError(f"files of kind {suffix!r} are not known")
    except Exception as error:  # a damaged archive raises nearly anything: BadZipFile, zlib.error, TokenError, ...
        raise ValueError(f"{file} cannot be read ({reason(error)}); {remedy}") from error
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{file} holds {array.dtype}, not real numbers; {remedy}")
    return array


def _read_numpy(file: Path, mmap_bytes: int) -> NDArray[Any]:
    with opened(file) as stream:  # given a path, numpy leaves damaged archives open
        magic, size = stream.read(6), os.fstat(stream.fileno()).st_size
        stream.seek(0)
        if magic == b"\x93NUMPY":
            _check_size(stream, size)
            if size >= mmap_bytes:
                # "c" is copy-on-write: torch wants memory that it may write to, and the file is to stay as it is.
                return np.lib.format.open_memmap(file, mode="c")
            stream.seek(0)
            return np.asarray(np.load(stream, allow_pickle=False))
        if not magic.startswith(b"PK"):  # else numpy would suggest to unpickle it
            raise ValueError("it is no NumPy file, or a truncated one")
        arrays = np.load(stream, allow_pickle=False)
        name = _key(arrays.files)
        for member in {name, f"{name}.npy"} & set(arrays.zip.namelist()):
            with arrays.zip.open(member) as part:
                _check_size(part, arrays.zip.getinfo(member).file_size)
        return np.asarray(arrays[name])


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


def _key(names: list[str]) -> str:
    if "points" in names:
        return "points"
    if len(names) != 1:
        raise ValueError(f"it holds the arrays {names}; save one array, or name the points 'points'")
    return names[0]
