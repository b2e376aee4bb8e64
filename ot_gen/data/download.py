"""The whole of MNIST: downloaded once, verified, and kept."""

from __future__ import annotations

import gzip
import logging
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ot_gen.arguments import Interval, checked
from ot_gen.data.dataset import Dataset
from ot_gen.execution import keyword_only
from ot_gen.measures import Empirical

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


@keyword_only
@checked
def mnist_full(
    folder: str | Path | None = None,
    *,
    mirrors: Sequence[str] = _MIRRORS,
    retries: Annotated[int, Interval(0, 100)] = 3,
) -> Dataset:
    """MNIST, the four official files: 60,000 digits to learn from and 10,000 held out.

    Rows are images of shape (1, 28, 28), pixels / 255 in [0, 1], float32; labels are the digits. Files that are
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
    if folder is None:
        import pooch

        folder = pooch.os_cache("ot_gen") / "mnist"
    return _parse(_fetch(Path(folder).expanduser(), REGISTRY, mirrors, retries))


def missing_files(arguments: Mapping[str, Any]) -> str:
    """What `mnist_full` would have to write outside of the cache, in words; empty where it would read only."""
    folder = arguments.get("folder")
    if "mirrors" in arguments:
        return f"mirrors = {arguments['mirrors']}"
    if folder is None:
        return ""
    held = Path(str(folder)).expanduser()
    lacks = [
        name for name in REGISTRY if not (held / name).is_file() and not (held / name.removesuffix(".gz")).is_file()
    ]
    return f"{held} holds no {lacks[0]}" if lacks else ""


def _fetch(folder: Path, registry: Mapping[str, str], mirrors: Sequence[str], retries: int) -> list[Path]:
    """The files of the registry (name to SHA-256), in its order, all of them in the folder."""
    return [_fetch_one(folder, name, sha256, mirrors, retries) for name, sha256 in registry.items()]


def _fetch_one(folder: Path, name: str, sha256: str, mirrors: Sequence[str], retries: int) -> Path:
    import pooch

    raw = folder / name.removesuffix(".gz")
    if raw.is_file():
        return raw
    file = folder / name
    if file.is_file() and pooch.file_hash(str(file)) == sha256:
        return file
    failures = []
    with _quiet(pooch.get_logger()):
        for mirror in mirrors:
            store = pooch.create(folder, f"{mirror.rstrip('/')}/", registry={name: sha256}, retry_if_failed=retries)
            try:
                return Path(store.fetch(name))
            except (OSError, ValueError) as error:  # requests raises OSError; pooch ValueError, for a wrong SHA-256
                reason = type(error).__name__ if isinstance(error, OSError) else "wrong SHA-256"
                failures.append(f"{mirror} ({reason})")
    state = "is corrupt (its SHA-256 differs)" if file.is_file() else "is missing"
    raise ValueError(
        f"{file} {state} and could not be downloaded from {' or '.join(failures) or 'anywhere: no mirror was given'}; "
        f"put the four MNIST files into {folder}, or use mnist(), the embedded 10,000 digits"
    )


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _parse(files: Sequence[Path]) -> Dataset:
    """Training images and labels, held-out images and labels."""
    train, train_labels = _images(*files[:2])
    test, test_labels = _images(*files[2:])
    return Dataset(Empirical(train), Empirical(test), (1, 28, 28), train_labels, test_labels)


def _images(images: Path, labels: Path) -> tuple[Tensor, Tensor]:
    """The pixels / 255 of an image file, (n, 784), and the classes of its label file, (n,)."""
    pixels, classes = _idx(images, rank=3), _idx(labels, rank=1)
    if pixels.shape != (len(classes), 28, 28):
        raise ValueError(
            f"{images} holds images {pixels.shape} and {labels} {len(classes)} labels, not (n, 28, 28) and n; "
            "remove both files, so that they are downloaded again"
        )
    return torch.from_numpy(pixels).flatten(1).float() / 255, torch.from_numpy(classes).long()


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
