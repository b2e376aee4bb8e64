"""The user's own data: a file of points, or a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ot_gen.data.dataset import Dataset
from ot_gen.data.standard import Standardize, column_names, is_standardised, standardised
from ot_gen.execution import keyword_only
from ot_gen.measures import check_cloud

_IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp"})
_MODES = {1: "L", 3: "RGB"}


@keyword_only
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
        path: an .npy file, an .npz file (of one array, or with the key `points`), or a .csv file (numbers separated
            by commas, with or without one line of names first).
        test_fraction: the share of the rows that is held out, in (0, 1).
        seed: of the split.
        mmap_bytes: from this size on, .npy files are mapped.
        standardize: "shared" gives standard coordinates (y − b)/a, b the mean and a one scale for all columns, and
            "columns" one scale for each column, which makes distances others. The difference is taken in the file's own
            precision, and `Dataset.own` keeps the rows as they are. Rows of a mapped file are standardised as they are
            drawn; others are copied. "none" leaves them alone.

    Raises:
        ValueError: no such file, another kind of file, pickled objects, entries that are not finite numbers, not two
            axes, fewer than four rows, or a fraction outside (0, 1).

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     np.save(Path(folder) / "cloud.npy", np.zeros((10, 3)))
        ...     data = points(Path(folder) / "cloud.npy")
        >>> len(data.train), len(data.test), data.dim
        (8, 2, 3)
    """
    file = Path(path).expanduser().absolute()
    if not file.is_file():
        raise ValueError(f"there is no file {file}; give the path of an .npy, .npz or .csv file")
    array = read_array(file, mmap_bytes)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{file} holds {array.dtype}, not real numbers; save an array of numbers, of shape (n, d)")
    mapped = isinstance(array, np.memmap) and array.dtype == np.float32
    exact = np.float64 if is_standardised(standardize) and array.dtype.itemsize > 2 else np.float32
    dtype = np.float32 if array.dtype == np.float32 else exact
    with np.errstate(over="ignore"):  # too large for float32: reported with its row below
        cloud = torch.from_numpy(array if mapped else np.array(array, dtype=dtype))
    # Before the split, so that an error names the row of the file.
    check_cloud(cloud, f"the points of {file}")
    if mapped:
        return standardised(Dataset.split(cloud, test_fraction, seed=None, max_test=10_000), standardize, copy=False)
    return standardised(Dataset.split(cloud, test_fraction, seed), standardize, column_names(file))


@keyword_only
def image_folder(
    path: str | Path,
    *,
    size: tuple[int, int] = (28, 28),
    channels: int = 1,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """All images below a folder, resized to one size, split at random.

    Rows are images of shape (channels, height, width), pixels / 255 in [0, 1], float32. The .png, .jpg, .jpeg and
    .bmp files are taken in the order of their paths, and resized by an antialiased bilinear filter. If all of them lie
    in subfolders of `path`, their classes are these subfolders, numbered in alphabetical order; else there are none.

    Args:
        path: the folder; folders in it are searched too.
        size: (height, width).
        channels: 1 for grey, 3 for red, green and blue.
        test_fraction: the share of the images that is held out, in (0, 1).
        seed: of the split.

    Raises:
        ValueError: no such folder, fewer than four images, an image that cannot be read, a size that is not
            positive, other channels, or a fraction outside (0, 1).

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
    folder = Path(path).expanduser().absolute()
    pixels, files = read_images(folder, size, channels)
    shape = (channels, *size)
    return Dataset.split(pixels, test_fraction, seed, shape=shape, labels=_classes(folder, files))


def read_images(folder: Path, size: tuple[int, int], channels: int) -> tuple[Tensor, list[Path]]:
    """All images below a folder as rows, (n, channels * height * width), in the order of their paths, and the paths.

    Raises:
        ValueError: no such folder, no image, an image that cannot be read, or another size or number of channels.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> with TemporaryDirectory() as folder:
        ...     Image.new("L", (4, 4)).save(Path(folder) / "a.png")
        ...     read_images(Path(folder), (2, 2), 1)[0]
        tensor([[0., 0., 0., 0.]])
    """
    if channels not in _MODES:
        raise ValueError(f"channels must be 1 (grey) or 3 (red, green, blue), got {channels}")
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size must be a positive (height, width), got {tuple(size)}")
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}; give the path of a folder of images")
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in _IMAGES and file.is_file())
    if not files:
        raise ValueError(f"{folder} holds no images; put {', '.join(sorted(_IMAGES))} files into it")
    height, width = size
    pixels = torch.empty(len(files), channels * height * width)
    for row, file in zip(pixels, files, strict=True):
        row.copy_(_pixels(file, height, width, channels))
    return pixels, files


def _classes(folder: Path, files: list[Path]) -> Tensor | None:
    """The number of each file's subfolder, (n,), or None where a file lies in none."""
    below = [file.relative_to(folder).parts for file in files]
    if any(len(parts) == 1 for parts in below):
        return None
    numbers = {name: number for number, name in enumerate(sorted({parts[0] for parts in below}))}
    return torch.tensor([numbers[parts[0]] for parts in below])


def read_array(file: Path, mmap_bytes: int = 2**30) -> NDArray[Any]:
    r"""The array of an .npy, .npz or .csv file; one line of names in a .csv is left out.

    Raises:
        ValueError: the file cannot be read, is of another kind, or holds pickled objects.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     written = (Path(folder) / "a.csv").write_text("x,y\n1,2\n")
        ...     read_array(Path(folder) / "a.csv")
        array([[1., 2.]])
    """
    try:
        match file.suffix.lower():
            case ".npy" | ".npz":
                return _read_numpy(file, mmap_bytes)
            case ".csv":
                return _read_csv(file)
            case suffix:
                raise ValueError(f"files of kind {suffix!r} are not known")
    except Exception as error:  # a damaged archive raises nearly anything: BadZipFile, zlib.error, TokenError, ...
        raise ValueError(
            f"{file} cannot be read ({error}); save the points as an .npy, .npz or .csv file of numbers, (n, d)"
        ) from error


def _read_numpy(file: Path, mmap_bytes: int) -> NDArray[Any]:
    if file.suffix.lower() == ".npy" and file.stat().st_size >= mmap_bytes:
        # "c" is copy-on-write: torch wants memory that it may write to, and the file is to stay as it is.
        return np.lib.format.open_memmap(file, mode="c")
    with file.open("rb") as stream:  # given a path, numpy leaves damaged archives open
        if not stream.read(6).startswith((b"\x93NUMPY", b"PK")):  # else numpy would suggest to unpickle it
            raise ValueError("it is no NumPy file, or a truncated one")
        stream.seek(0)
        loaded = np.load(stream, allow_pickle=False)
        return np.asarray(loaded[_key(loaded.files)] if isinstance(loaded, np.lib.npyio.NpzFile) else loaded)


def _key(names: list[str]) -> str:
    if "points" in names:
        return "points"
    if len(names) != 1:
        raise ValueError(f"it holds the arrays {names}; save one array, or name the points 'points'")
    return names[0]


def _read_csv(file: Path) -> NDArray[Any]:
    lines = [line for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if lines and not any(_is_number(entry) for entry in lines[0].split(",")):
        del lines[0]
    if not lines:
        raise ValueError("it holds no line of numbers")
    return np.loadtxt(lines, dtype=np.float64, delimiter=",", comments=None, ndmin=2)


def _is_number(entry: str) -> bool:
    try:
        float(entry)
    except ValueError:
        return False
    return True


def _pixels(file: Path, height: int, width: int, channels: int) -> Tensor:
    """One image as a row, channel first, (channels * height * width,)."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            if image.mode[0] in "IF":  # Pillow would clip them to 255
                raise ValueError(f"its pixels have more than 8 bits, mode {image.mode}")
            resized = image.convert(_MODES[channels]).resize((width, height), Image.Resampling.BILINEAR)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"the image {file} cannot be read ({error}); repair or remove it") from error
    pixels = torch.from_numpy(np.array(resized)).reshape(height, width, channels)
    return pixels.permute(2, 0, 1).flatten().float() / 255
