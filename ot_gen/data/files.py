"""The user's own points, in a file."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch

from ot_gen.arguments import check_distinct, checked
from ot_gen.data.arrays import Read, read_labelled
from ot_gen.data.classes import Classes
from ot_gen.data.dataset import Dataset
from ot_gen.data.pictures import classes_of
from ot_gen.data.standard import Standardize, is_standardised, standardised
from ot_gen.execution import absolute, keyword_only
from ot_gen.measures import check_cloud


@keyword_only
@checked
def points(
    path: str | Path,
    *,
    test_fraction: float = 0.2,
    seed: int = 0,
    mmap_bytes: int = 2**30,
    standardize: Standardize = "none",
    label: str | None = None,
) -> Dataset:
    """The rows of a file of numbers, (n, d) with n >= 4, as float32, split at random.

    A float32 .npy file of at least `mmap_bytes` is mapped, copy-on-write, and not read into memory. It is split in
    the order of the file: its last rows, at most 10,000, are held out.

    Args:
        path: an .npy file, an .npz file (of one array, or with the key `points`), or a .csv file (numbers with decimal
            points, separated by commas, with or without one line of names first).
        test_fraction: the share of the rows that is held out, in (0, 1).
        seed: of the split.
        mmap_bytes: from this size on, .npy files are mapped.
        standardize: "shared" gives standard coordinates (y − b)/a, b the mean and a one scale for all columns, and
            "columns" one scale for each column, which makes distances others. The difference is taken in the file's own
            precision, and `Dataset.own` keeps the rows as they are. Rows of a mapped file are standardised as they are
            drawn; others are copied. "none" leaves them alone.
        label: the name of the classes of the rows, whole numbers or texts: a column of a .csv file, which is no
            coordinate then, or a key of an .npz file. None takes the key `labels` or `y` of an .npz file, if any.

    Raises:
        ValueError: no such file, another kind of file, pickled objects, entries that are not finite numbers (of a .csv
            file with their line), not two axes, fewer than four rows, rows that become equal in float32, labels that
            are no classes, or a fraction outside (0, 1).

    A first column of a .csv file that counts its rows and has no name is an index, and is left out with a warning. Any
    other column that counts the rows, or alone has no name, is kept with a warning.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     np.save(Path(folder) / "cloud.npy", np.zeros((10, 3)))
        ...     data = points(Path(folder) / "cloud.npy")
        >>> len(data.train), len(data.test), data.dim
        (8, 2, 3)
    """
    read = read_labelled(path, label, mmap_bytes)
    array = read.array
    if array.ndim in (3, 4) and array.size:
        raise ValueError(
            f"the points of {absolute(path)} must have shape (n, d), got {array.shape}; read images with the data set "
            "`images`"
        )
    labels, names = _classes(read, label, absolute(path)) or (None, None)
    mapped = isinstance(array, np.memmap) and array.dtype == np.float32
    exact = np.float64 if is_standardised(standardize) and array.dtype.itemsize > 2 else np.float32
    dtype = np.float32 if array.dtype == np.float32 else exact
    with np.errstate(over="ignore"):  # too large for float32: reported with its row below
        cloud = torch.from_numpy(array if mapped else np.array(array, dtype=dtype))
    if dtype == np.float32 and array.dtype.itemsize > 2 and array.dtype != np.float32 and array.ndim == 2:
        remedy = 'take standardize="shared", which does so in the precision of the file'
        name = f"the points of {absolute(path)}"
        check_distinct(torch.from_numpy(np.array(array, np.float64)), torch.float32, name, remedy)
    # Before the split, so that an error names the row of the file.
    check_cloud(cloud, f"the points of {absolute(path)}")
    if mapped:
        return standardised(Dataset.split(cloud, test_fraction, seed=None, max_test=10_000), standardize, copy=False)
    data = Dataset.split(cloud, test_fraction, seed, labels=labels, class_names=names)
    return standardised(data, standardize, read.names)


def _classes(read: Read, label: str | None, file: Path) -> Classes | None:
    """The classes of the rows; labels that were not asked for and are no classes are left out with a warning."""
    try:
        return classes_of(read.labels, len(read.array), f"the labels of {file}")
    except ValueError as error:
        if label is not None:
            raise
        warnings.warn(f"{error}; they are left out", stacklevel=3)
        return None
