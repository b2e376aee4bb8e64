"""The user's own data: a file of points, or a folder of images."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ot_gen.arguments import check_distinct, checked
from ot_gen.data.arrays import read_array
from ot_gen.data.dataset import Dataset
from ot_gen.data.images import read_images
from ot_gen.data.standard import Standardize, column_names, is_standardised, standardised
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

    Raises:
        ValueError: no such file, another kind of file, pickled objects, entries that are not finite numbers (of a .csv
            file with their line), not two axes, fewer than four rows, rows that become equal in float32, or a fraction
            outside (0, 1).

    A column of a .csv file that counts its rows, or alone has no name, is kept with a warning: it may be an index.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     np.save(Path(folder) / "cloud.npy", np.zeros((10, 3)))
        ...     data = points(Path(folder) / "cloud.npy")
        >>> len(data.train), len(data.test), data.dim
        (8, 2, 3)
    """
    array = read_array(path, mmap_bytes)
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
    return standardised(Dataset.split(cloud, test_fraction, seed), standardize, column_names(absolute(path)))


@keyword_only
@checked
def image_folder(
    path: str | Path,
    *,
    size: tuple[int, int] = (28, 28),
    channels: int = 1,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """All images below a folder, resized to one size, split at random.

    Rows are images of shape (channels, height, width), pixels / 255 in [0, 1], float32. PNG, JPEG, WebP, TIFF, BMP, GIF
    and PPM files are taken in the order of their paths, turned as their EXIF data say, and resized by an antialiased
    bilinear filter. Of several frames or pages the first counts, and transparency is left out. Hidden files and
    folders, and those of operating systems (.ipynb_checkpoints, __MACOSX), are no images. Links to folders are not
    followed. If all images lie in subfolders of `path`, their classes are these subfolders, numbered in alphabetical
    order; else there are none.

    Args:
        path: the folder; folders in it are searched too.
        size: (height, width).
        channels: 1 for grey, 3 for red, green and blue.
        test_fraction: the share of the images that is held out, in (0, 1).
        seed: of the split.

    Raises:
        ValueError: no such folder, fewer than four images, an image that cannot be read or has more than 2^26 pixels,
            a size that is not positive, other channels, or a fraction outside (0, 1).

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> with TemporaryDirectory() as folder:
        ...     for i in range(5):
        ...         Image.new("RGB", (40, 30)).save(Path(folder) / f"{i}.png")
        ...     data = image_folder(folder, size=(6, 8), channels=3)
        >>> len(data.train), len(data.test), data.shape
        (3, 2, (3, 6, 8))
    """
    folder = absolute(path)
    pixels, files = read_images(folder, size, channels)
    shape = (channels, *size)
    return Dataset.split(pixels, test_fraction, seed, shape=shape, labels=_classes(folder, files))


def _classes(folder: Path, files: list[Path]) -> Tensor | None:
    """The number of each file's subfolder, (n,), or None where a file lies in none."""
    below = [file.relative_to(folder).parts for file in files]
    if any(len(parts) == 1 for parts in below):
        return None
    names = sorted({parts[0] for parts in below})
    alike = {name.casefold(): name for name in names}
    if twice := [(name, alike[name.casefold()]) for name in names if alike[name.casefold()] != name]:
        warnings.warn(
            f"the folders {twice[0][0]} and {twice[0][1]} differ in case only and are two classes; if they are one, "
            "move their images into one folder",
            stacklevel=3,
        )
    numbers = {name: number for number, name in enumerate(names)}
    return torch.tensor([numbers[parts[0]] for parts in below])
