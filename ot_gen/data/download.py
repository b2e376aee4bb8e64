"""The whole of MNIST, and Fashion-MNIST, which has its format."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ot_gen.arguments import Interval, checked
from ot_gen.data.dataset import Dataset
from ot_gen.data.fetching import cache, fetched
from ot_gen.execution import keyword_only
from ot_gen.measures import Empirical, Pixels

_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
REGISTRY = MappingProxyType(
    {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    }
)
# The MD5 sums are those of its authors, https://github.com/zalandoresearch/fashion-mnist.
FASHION = MappingProxyType(
    {
        "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
    }
)
_OF_FASHION = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)
CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
Retries = Annotated[int, Interval(0, 100)]


@keyword_only
@checked
def mnist_full(
    folder: str | Path | None = None,
    *,
    mirrors: Sequence[str] = _MIRRORS,
    retries: Retries = 3,
) -> Dataset:
    """MNIST, the four official files: 60,000 digits to learn from and 10,000 held out.

    Rows are images of shape (1, 28, 28), pixels / 255 in [0, 1]; labels are the digits. Files that are
    missing, or whose SHA-256 differs, are downloaded. The others are used as they are, without the network.
    Uncompressed files (the names without .gz) come first; only their headers are checked. Source: LeCun, Cortes
    and Burges, "The MNIST database of handwritten digits" (http://yann.lecun.com/exdb/mnist/), CC BY-SA 3.0.

    Args:
        folder: where the files are kept; None is `mnist` in the user's cache folder of ot_gen.
        mirrors: the addresses of the folders they are fetched from, tried in order.
        retries: how often each mirror is asked again, after a short pause.

    Raises:
        ValueError: a file can neither be found nor downloaded, or is not what it should be.

    Example:
        >>> data = mnist_full()  # doctest: +SKIP
        >>> len(data.train), len(data.test), data.shape  # doctest: +SKIP
        (60000, 10000, (1, 28, 28))
    """
    at = cache(folder, "mnist")
    remedy = f"put the four MNIST files into {at}, or use mnist(), the embedded 10,000 digits"
    return _parse(fetched(at, REGISTRY, mirrors, retries, remedy))


@keyword_only
@checked
def fashion_mnist(
    folder: str | Path | None = None,
    *,
    mirrors: Sequence[str] = _OF_FASHION,
    retries: Retries = 3,
    flip: bool = False,
) -> Dataset:
    """Fashion-MNIST, the four official files: 60,000 images of clothes to learn from and 10,000 held out.

    Rows are images of shape (1, 28, 28), pixels / 255 in [0, 1]; labels are the ten kinds of clothes. Files that are
    missing, or whose MD5 sum differs, are downloaded; uncompressed ones come first, as of `mnist_full`. Source: Xiao,
    Rasul, Vollgraf, 2017 (https://arxiv.org/abs/1708.07747), MIT licence.

    Args:
        folder: where the files are kept; None is `fashion_mnist` in the user's cache folder of ot_gen.
        mirrors: the addresses of the folders they are fetched from, tried in order.
        retries: how often each mirror is asked again, after a short pause.
        flip: whether training images are mirrored left to right by a fair coin.

    Raises:
        ValueError: a file can neither be found nor downloaded, or is not what it should be.

    Example:
        >>> data = fashion_mnist()  # doctest: +SKIP
        >>> data.class_names[data.train_labels[0]]  # doctest: +SKIP
        'Ankle boot'
    """
    at = cache(folder, "fashion_mnist")
    remedy = f"put the four files of Fashion-MNIST into {at}"
    data = _parse(fetched(at, FASHION, mirrors, retries, remedy), CLOTHES)
    return data.with_mirror_images() if flip else data


def _parse(files: Sequence[Path], names: tuple[str, ...] | None = None) -> Dataset:
    """Training images and labels, held-out images and labels."""
    train, train_labels = _images(*files[:2])
    test, test_labels = _images(*files[2:])
    parts = Empirical(train), Empirical(test)
    return Dataset(*parts, (1, 28, 28), train_labels, test_labels, class_names=names)


def _images(images: Path, labels: Path) -> tuple[Pixels, Tensor]:
    """The images of a file, and the classes of its label file, (n,)."""
    pixels, classes = _idx(images, rank=3), _idx(labels, rank=1)
    if pixels.shape != (len(classes), 28, 28):
        raise ValueError(
            f"{images} holds images {pixels.shape} and {labels} {len(classes)} labels, not (n, 28, 28) and n; "
            "remove both files, so that they are downloaded again"
        )
    return Pixels(torch.from_numpy(pixels).unsqueeze(1)), torch.from_numpy(classes).long()


def _idx(file: Path, rank: int) -> NDArray[np.uint8]:
    """The array of an IDX file of bytes: its magic number 2048 + rank, the sizes, and the entries, big-endian."""
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{file} cannot be read ({error}); remove it, so that it is downloaded again") from error
    start = 4 * (1 + rank)
    magic, *sizes = np.frombuffer(content[:start].ljust(start, b"\0"), dtype=">u4").tolist()
    if magic != 2048 + rank or len(content) != start + math.prod(sizes):
        raise ValueError(
            f"{file} is no whole IDX file: it has {len(content)} bytes, the magic number {magic} (not {2048 + rank}) "
            f"and the sizes {sizes}; remove it, so that it is downloaded again"
        )
    # A copy, as torch takes no read-only buffer.
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(sizes).copy()
