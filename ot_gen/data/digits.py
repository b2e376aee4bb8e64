"""Handwritten digits that need no network: scikit-learn's 8 x 8 digits and the embedded part of MNIST."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ot_gen.arguments import checked
from ot_gen.data.dataset import Dataset, Share
from ot_gen.execution import keyword_only
from ot_gen.measures import Empirical

EMBEDDED = Path(__file__).with_name("mnist10k.npz")
SHA256 = "0c60e9cc58268284d33ca19d4492713726841c11d5a9ac1d199ef4e978640657"


@keyword_only
@checked
def digits(*, test_fraction: Share = 0.2, seed: int = 0) -> Dataset:
    """The 1,797 handwritten 8 x 8 digits that come with scikit-learn, split at random.

    Rows are images of shape (1, 8, 8), pixels / 16 in [0, 1], float32; labels are the digits. Source: Alpaydin
    and Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998 (https://doi.org/10.24432/C50P49).

    Args:
        test_fraction: the share of the images that is held out, in (0, 1).
        seed: of the split.

    Raises:
        ValueError: a fraction outside (0, 1).

    Example:
        >>> data = digits()
        >>> len(data.train), len(data.test), data.shape
        (1438, 359, (1, 8, 8))
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels, labels = torch.from_numpy(bunch.data).float() / 16, torch.from_numpy(bunch.target).long()
    return Dataset.split(pixels, test_fraction, seed, shape=(1, 8, 8), labels=labels)


@checked
def mnist(path: str | Path | None = None) -> Dataset:
    """The first 10,000 training digits of MNIST, embedded: the first 8,000 to learn from, the last 2,000 held out.

    Rows are images of shape (1, 28, 28), pixels / 255 in [0, 1], float32; labels are the digits. Source: LeCun,
    Cortes and Burges, "The MNIST database of handwritten digits" (http://yann.lecun.com/exdb/mnist/), CC BY-SA 3.0.
    `mnist_full` is the whole set.

    Args:
        path: another .npz file of the same layout, `images` (n, 28, 28) uint8 and `labels` (n,), n >= 10; its last
            fifth is held out. None is the embedded file, whose SHA-256 is checked.

    Raises:
        ValueError: the file cannot be read, is not the one that was embedded, or has another layout.

    Example:
        >>> data = mnist()
        >>> len(data.train), len(data.test), data.shape
        (8000, 2000, (1, 28, 28))
    """
    if path is None:
        images, classes = _read(EMBEDDED, "reinstall ot_gen, or restore the file with git checkout", SHA256)
    else:
        images, classes = _read(
            Path(path), "give a whole file of the layout of mnist10k.npz, or no path for the embedded one"
        )
    pixels = torch.from_numpy(images).flatten(1).float() / 255
    labels = torch.from_numpy(classes).long()
    cut = 4 * len(pixels) // 5
    return Dataset(Empirical(pixels[:cut]), Empirical(pixels[cut:]), (1, 28, 28), labels[:cut], labels[cut:])


def _read(file: Path, remedy: str, sha256: str | None = None) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Images, (n, 28, 28), and labels, (n,), or a `ValueError` with the file, what is wrong with it and the remedy."""
    try:
        content = file.read_bytes()
        if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError("its SHA-256 checksum differs, so it is damaged or was changed")
        if not zipfile.is_zipfile(io.BytesIO(content)):  # else numpy would suggest to unpickle it
            raise ValueError("it is no .npz archive, or a truncated one")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            images, labels = arrays["images"], arrays["labels"]
    except Exception as error:  # a damaged archive raises nearly anything: BadZipFile, zlib.error, TokenError, ...
        raise ValueError(f"{file} cannot be read ({error}); {remedy}") from error
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28) or labels.shape != images.shape[:1] or len(images) < 10:
        raise ValueError(
            f"{file} holds images {images.shape} {images.dtype} and labels {labels.shape}, not images (n, 28, 28) "
            f"uint8 and labels (n,) with n >= 10; {remedy}"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{file} holds labels of type {labels.dtype}, not whole numbers; {remedy}")
    return images, labels
