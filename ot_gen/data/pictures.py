"""The user's own images: an array in a file, or a folder of pictures."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ot_gen.arguments import Count, Interval, checked
from ot_gen.data.arrays import read_labelled
from ot_gen.data.classes import Classes, numbered
from ot_gen.data.dataset import Dataset, Share
from ot_gen.data.image_files import read_images
from ot_gen.execution import absolute, keyword_only
from ot_gen.measures import Pixels

MOST_HELD_OUT = 10_000  # images, which every judgement reads
SLACK = 0.01  # this far outside [0, 1] pixels are taken for those of a resizing filter, further ones for another scale
CHANNELS = (1, 3)
Side = Annotated[int, Interval(1, 2**13)]


@keyword_only
@checked
def images(
    path: str | Path,
    *,
    label: str | None = None,
    shape: tuple[Count, Count, Count] | None = None,
    flip: bool = False,
    test_fraction: Share = 0.2,
    seed: int = 0,
    mmap_bytes: int = 2**30,
) -> Dataset:
    """The images of an array in a file, split at random; at most 10,000 are held out.

    Arrays are (n, h, w), (n, h, w, c) or (n, c, h, w), of bytes 0 to 255 or of floats in [0, 1], with one channel or
    three. Rows are images of shape (c, h, w) with pixels in [0, 1]. The array stays as it is stored: bytes as bytes, an
    .npy file of at least `mmap_bytes` on the disk. Pixels become floats where they are sampled.

    Args:
        path: an .npy file, or an .npz file with one array or the keys `images` and `labels` (or `x` and `y`).
        label: the key of the labels in an .npz file, whole numbers or texts, (n,). None takes `labels`, `y`, ...
        shape: (channels, height, width) of arrays (n, c·h·w), or where the axes are ambiguous.
        flip: whether training images are mirrored left to right by a fair coin; labels stay.
        test_fraction: the share of the images that is held out, in (0, 1).
        seed: of the split.
        mmap_bytes: from this size on, .npy files are mapped.

    Raises:
        ValueError: no such file, another kind of file, no images, pixels on another scale, labels that are no classes,
            fewer than four images, or a fraction outside (0, 1).

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     array = np.zeros((10, 8, 8, 3), np.uint8)
        ...     np.savez(Path(folder) / "a.npz", images=array, labels=["cat", "dog"] * 5)
        ...     data = images(Path(folder) / "a.npz")
        >>> len(data.train), len(data.test), data.shape, data.class_names
        (8, 2, (3, 8, 8), ('cat', 'dog'))
    """
    file = absolute(path)
    read = read_labelled(file, label, mmap_bytes)
    pixels = as_pixels(read.array, str(file), shape)
    classes = classes_of(read.labels, len(pixels), f"the labels of {file}")
    return pictured(pixels, classes, flip, test_fraction, seed)


@keyword_only
@checked
def image_folder(
    path: str | Path,
    *,
    size: tuple[int, int] = (28, 28),
    channels: int = 1,
    crop: Side | None = None,
    flip: bool = False,
    test_fraction: Share = 0.2,
    seed: int = 0,
) -> Dataset:
    """All images below a folder, resized to one size, split at random; at most 10,000 are held out.

    Rows are images of shape (channels, height, width), pixels / 255 in [0, 1]; they are kept as bytes. PNG, JPEG, WebP,
    TIFF, BMP, GIF and PPM files are taken in the order of their paths, turned as their EXIF data say, and resized by an
    antialiased bilinear filter. Of several frames or pages the first counts, and transparency is left out. Hidden files
    and folders, and those of operating systems (.ipynb_checkpoints, __MACOSX), are no images. Links to folders are not
    followed. If all images lie in subfolders of `path`, their classes are these subfolders, numbered in alphabetical
    order, with their names; else there are none.

    Args:
        path: the folder; folders in it are searched too.
        size: (height, width).
        channels: 1 for grey, 3 for red, green and blue.
        crop: the side of the square in the middle that is kept, in pixels of the file, before resizing. None keeps all.
        flip: whether training images are mirrored left to right by a fair coin; labels stay.
        test_fraction: the share of the images that is held out, in (0, 1).
        seed: of the split.

    Raises:
        ValueError: no such folder, fewer than four images, an image that cannot be read, is smaller than `crop` or has
            more than 2^26 pixels, a size that is not positive, other channels, or a fraction outside (0, 1).

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
    pixels, files = read_images(folder, size, channels, crop)
    return pictured(Pixels(pixels), _of_folders(folder, files), flip, test_fraction, seed)


@keyword_only
@checked
def celeba(
    path: str | Path,
    *,
    size: Side = 64,
    crop: Side = 140,
    flip: bool = False,
    test_fraction: Share = 0.05,
    seed: int = 0,
) -> Dataset:
    """CelebA: the aligned faces in a folder, their middle cropped, resized and split at random; they have no labels.

    The folder is `img_align_celeba` of the official archive, 202,599 JPEG files of 178 x 218 pixels. Their authors hand
    it out for research after agreement with its terms, so it is not downloaded here:
    https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html. At 64 pixels it takes 2.5 GB, as bytes.

    Args:
        path: the folder.
        size: the side of the square images. The default, with that of `crop`, is that of the Wasserstein auto-encoders.
        crop: the side of the square in the middle of a file that is kept.
        flip: whether training images are mirrored left to right by a fair coin.
        test_fraction: the share of the images that is held out, at most 10,000 images.
        seed: of the split.

    Raises:
        ValueError: as `image_folder`, and a folder of none of CelebA's files.

    Source: Liu, Luo, Wang, Tang, 2015, https://arxiv.org/abs/1411.7766; Tolstikhin et al., 2018,
    https://arxiv.org/abs/1711.01558 (crop and size)

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> with TemporaryDirectory() as folder:
        ...     for i in range(1, 6):
        ...         Image.new("RGB", (178, 218)).save(Path(folder) / f"{i:06d}.jpg")
        ...     data = celeba(folder)
        >>> len(data.train), len(data.test), data.shape
        (3, 2, (3, 64, 64))
    """
    folder = absolute(path)
    if not any(folder.glob("[0-9]" * 6 + ".*")):
        inner = folder / "img_align_celeba"
        remedy = f"give {inner}" if inner.is_dir() else "unpack img_align_celeba.zip, and give the folder that it holds"
        raise ValueError(f"{folder} holds no file 000001.jpg or the like of CelebA's aligned images; {remedy}")
    pixels, _ = read_images(folder, (size, size), 3, crop)
    return pictured(Pixels(pixels), None, flip, test_fraction, seed)


def pictured(pixels: Pixels, classes: Classes | None, flip: bool, test_fraction: float, seed: int) -> Dataset:
    """Images as a data set, split at random without a copy.

    Example:
        >>> data = pictured(Pixels(torch.zeros(10, 1, 2, 2)), None, True, 0.2, 0)
        >>> len(data.train), len(data.test), data.shape
        (16, 2, (1, 2, 2))
    """
    channels, height, width = pixels.images.shape[1:]
    labels, names = classes or (None, None)
    data = Dataset.split(pixels, test_fraction, seed, (channels, height, width), MOST_HELD_OUT, labels, names)
    return data.with_mirror_images() if flip else data


def as_pixels(array: NDArray[Any], name: str, shape: tuple[int, int, int] | None = None) -> Pixels:
    """An array of images as `Pixels`, channel first, without a copy of bytes.

    Args:
        array: (n, h, w), (n, h, w, c), (n, c, h, w), or, where the shape is given, (n, c·h·w).
        name: of it, for errors.
        shape: (c, h, w); None reads it off.

    Raises:
        ValueError: another shape, or pixels that are neither bytes nor in [0, 1].

    Example:
        >>> as_pixels(np.zeros((5, 8, 6, 3), np.uint8), "a.npy").images.shape
        torch.Size([5, 3, 8, 6])
    """
    array = _channel_first(array, name, shape)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype.kind in "iu" and array.dtype != np.uint8:
        if array.size and (array.min() < 0 or array.max() > 255):
            raise ValueError(
                f"{name} holds whole numbers in [{array.min()}, {array.max()}], not 0 to 255; rescale them"
            )
        array = array.astype(np.uint8)
    elif array.dtype.kind == "f" and not (isinstance(array, np.memmap) and array.dtype.itemsize <= 4):
        array = array.astype(np.float32, copy=False)
    pixels = Pixels(torch.from_numpy(array))
    if pixels.images.is_floating_point():
        ends = [(float(part.min()), float(part.max())) for part in pixels.split(max(1, 2**22 // pixels.shape[1]))]
        low, high = min(low for low, _ in ends), max(high for _, high in ends)
        if low < -SLACK or high > 1 + SLACK:
            remedy = "x / 255, or save bytes, uint8" if high > 2 else "(x + 1) / 2"
            raise ValueError(f"{name} holds pixels in [{low:g}, {high:g}], and they must lie in [0, 1]; take {remedy}")
    return pixels


def _channel_first(array: NDArray[Any], name: str, shape: tuple[int, int, int] | None) -> NDArray[Any]:
    """The array as (n, c, h, w), a view."""
    if array.ndim < 2 or array.size == 0:
        raise ValueError(f"{name} holds an array {array.shape}; images are (n, h, w), (n, h, w, c) or (n, c, h, w)")
    if shape is not None:
        if array.ndim == 2 and array.shape[1] == shape[0] * shape[1] * shape[2]:
            return array.reshape(len(array), *shape)
        if array.ndim == 3 and shape == (1, *array.shape[1:]):
            return array[:, None]
        if array.ndim == 4 and array.shape[1:] == tuple(shape):
            return array
        if array.ndim == 4 and array.shape[1:] == (*shape[1:], shape[0]):
            return np.moveaxis(array, 3, 1)
        raise ValueError(f"{name} holds an array {array.shape}, which are no images of shape {tuple(shape)}")
    if array.ndim == 3:
        return array[:, None]
    if array.ndim != 4:
        way = "give shape=(channels, height, width)" if array.ndim == 2 else "give (n, h, w, c) or (n, c, h, w)"
        raise ValueError(f"{name} holds an array {array.shape}, which are no images yet; {way}")
    first, last = array.shape[1] in CHANNELS, array.shape[3] in CHANNELS
    if first and last and array.shape[1:] != (1, 1, 1):
        raise ValueError(
            f"{name} holds an array {array.shape}, whose channels may come first or last; "
            "give shape=(channels, height, width)"
        )
    if not first and not last:
        also = "; leave the transparency out, array[..., :3]" if 4 in (array.shape[1], array.shape[3]) else ""
        raise ValueError(
            f"{name} holds an array {array.shape}, in which neither axis 1 nor axis 3 has one channel or three{also}"
        )
    return array if first else np.moveaxis(array, 3, 1)


def classes_of(values: NDArray[Any] | None, n: int, what: str) -> Classes | None:
    """The classes of n points, or None where there are no labels.

    Raises:
        ValueError: labels that are no classes, or not n of them.

    Example:
        >>> classes_of(np.array([1, 2, 1]), 3, "labels").names
        ('1', '2')
    """
    if values is None:
        return None
    if len(np.atleast_1d(values)) != n:
        raise ValueError(f"{what} have shape {np.shape(values)}, and there are {n} points; give one label for each")
    return numbered(values, what)


def _of_folders(folder: Path, files: list[Path]) -> Classes | None:
    """The subfolder of each file, or None where a file lies in none."""
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
    return Classes(torch.tensor([numbers[parts[0]] for parts in below], device="cpu"), tuple(names))
