"""CIFAR-10, in its binary version: the others are pickles, which are never opened."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray

from ot_gen.arguments import checked
from ot_gen.data.dataset import Dataset
from ot_gen.data.download import Retries
from ot_gen.data.fetching import cache, fetched
from ot_gen.execution import keyword_only, read_bytes, reason
from ot_gen.measures import Empirical, Pixels

# The MD5 sum is that of its author's page, https://www.cs.toronto.edu/~kriz/cifar.html.
REGISTRY = MappingProxyType({"cifar-10-binary.tar.gz": "md5:c32a1d4ab5d03f1284b67883e8d87530"})
_MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)
UNPACKED = "cifar-10-batches-bin"
TRAIN, TEST = tuple(f"data_batch_{number}.bin" for number in range(1, 6)), ("test_batch.bin",)
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ROW = 1 + 3 * 32 * 32  # bytes: the label, then red, green and blue, row by row
LARGEST = 2**28  # bytes of a batch, of which 10,000 images take 31 MB


@keyword_only
@checked
def cifar10(
    folder: str | Path | None = None,
    *,
    mirrors: Sequence[str] = _MIRRORS,
    retries: Retries = 3,
    flip: bool = False,
) -> Dataset:
    """CIFAR-10, the official binary archive: 50,000 colour images to learn from and 10,000 held out.

    Rows are images of shape (3, 32, 32), pixels / 255 in [0, 1], kept as bytes, 185 MB; labels are the ten classes. The
    archive is downloaded where it is missing or its MD5 sum differs. It is read where it lies; unpacked batches, in
    `cifar-10-batches-bin` in the folder or in the folder itself, come first. Source: Krizhevsky, "Learning multiple
    layers of features from tiny images", 2009 (https://www.cs.toronto.edu/~kriz/cifar.html).

    Args:
        folder: where the archive is kept; None is `cifar10` in the user's cache folder of ot_gen.
        mirrors: the addresses of the folders it is fetched from, tried in order.
        retries: how often each mirror is asked again, after a short pause.
        flip: whether training images are mirrored left to right by a fair coin; labels stay.

    Raises:
        ValueError: the archive can neither be found nor downloaded, or is not what it should be.

    Example:
        >>> data = cifar10()  # doctest: +SKIP
        >>> len(data.train), len(data.test), data.shape, data.class_names[3]  # doctest: +SKIP
        (50000, 10000, (3, 32, 32), 'cat')
    """
    at = cache(folder, "cifar10")
    unpacked = next((part for part in (at / UNPACKED, at) if (part / TEST[0]).is_file()), None)
    if unpacked is None:
        remedy = f"put cifar-10-binary.tar.gz, the binary version, into {at}"
        (archive,) = fetched(at, REGISTRY, mirrors, retries, remedy)
        with _opened(archive) as files:
            train, test = (_read([_member(files, archive, name) for name in names]) for names in (TRAIN, TEST))
    else:
        train, test = (_read([_batch(unpacked / name) for name in names]) for names in (TRAIN, TEST))
    (pixels, labels), (held_out, of_held_out) = train, test
    parts = Empirical(pixels), Empirical(held_out)
    data = Dataset(*parts, (3, 32, 32), labels, of_held_out, class_names=NAMES)
    return data.with_mirror_images() if flip else data


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(archive, "r:gz") as files:
            yield files
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise ValueError(
            f"{archive} cannot be read ({reason(error)}); remove it, so that it is downloaded again"
        ) from error


def _member(files: tarfile.TarFile, archive: Path, name: str) -> NDArray[np.uint8]:
    where = f"{archive}, {name}"
    try:
        member: IO[bytes] | None = files.extractfile(f"{UNPACKED}/{name}")
    except KeyError:
        member = None
    if member is None:
        raise ValueError(f"{archive} holds no {UNPACKED}/{name}; give cifar-10-binary.tar.gz, the binary version")
    return _rows(member.read(LARGEST + 1), where)


def _batch(file: Path) -> NDArray[np.uint8]:
    try:
        return _rows(read_bytes(file, LARGEST), str(file))
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({reason(error)}); unpack the binary version again") from error


def _rows(content: bytes, where: str) -> NDArray[np.uint8]:
    """The rows of a batch, a label and an image each."""
    if not content or len(content) % ROW or len(content) > LARGEST:
        raise ValueError(
            f"{where} has {len(content)} bytes, no whole number of images of {ROW} bytes, a label and 3 x 32 x 32 "
            "pixels; it is truncated or another file"
        )
    rows = np.frombuffer(content, dtype=np.uint8).reshape(-1, ROW)
    if rows[:, 0].max() >= len(NAMES):
        raise ValueError(f"{where} holds the label {rows[:, 0].max()}, and CIFAR-10 has 0 to 9; it is another file")
    return rows


def _read(batches: Sequence[NDArray[np.uint8]]) -> tuple[Pixels, torch.Tensor]:
    labels = np.concatenate([rows[:, 0] for rows in batches])
    pixels = np.concatenate([rows[:, 1:] for rows in batches]).reshape(-1, 3, 32, 32)
    return Pixels(torch.from_numpy(pixels)), torch.from_numpy(labels).long()
