"""Fashion-MNIST and CIFAR-10 from a local server: small files of the official formats, wrong and truncated ones."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from ot_gen.data import cifar, cifar10, download, fashion_mnist

DEAD = "http://127.0.0.1:9/"  # the discard port: nobody answers
ARCHIVE = "cifar-10-binary.tar.gz"


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def served(tmp_path, monkeypatch) -> Iterator[tuple[Path, str]]:
    """A folder and its address."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)
    folder = tmp_path / "official"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def md5(file: Path) -> str:
    return f"md5:{hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()}"


def batches(n: int = 4) -> dict[str, bytes]:
    """Five small batches and the held-out one, each image with its label in all pixels."""
    made = {}
    for number, name in enumerate((*cifar.TRAIN, *cifar.TEST)):
        labels = ((np.arange(n) + number) % 10).astype(np.uint8)
        made[name] = np.concatenate([labels[:, None], labels[:, None].repeat(3072, 1)], axis=1).tobytes()
    return made


def packed(files: dict[str, bytes], folder: str = cifar.UNPACKED) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


@pytest.fixture
def put(served, monkeypatch):
    """content -> the address of an archive of this content, whose sum is the official one."""

    def served_as(content: bytes) -> str:
        (served[0] / ARCHIVE).write_bytes(content)
        monkeypatch.setattr(cifar, "REGISTRY", {ARCHIVE: md5(served[0] / ARCHIVE)})
        return served[1]

    return served_as


def test_the_official_sums_are_those_of_the_authors():
    assert dict(cifar.REGISTRY) == {ARCHIVE: "md5:c32a1d4ab5d03f1284b67883e8d87530"}
    assert all(len(total) == 4 + 32 for total in download.FASHION.values())
    assert list(download.FASHION) == list(download.REGISTRY)


def test_cifar10_is_fetched_once_and_kept_as_bytes(put, tmp_path):
    data = cifar10(tmp_path / "cache", mirrors=[put(packed(batches()))], retries=0)
    assert (len(data.train), len(data.test), data.shape) == (20, 4, (3, 32, 32))
    assert data.class_names == cifar.NAMES and data.name_of(3) == "cat"
    assert data.train.rows.images.dtype == torch.uint8
    for side, labels in ((data.train, data.train_labels), (data.test, data.test_labels)):
        assert torch.equal(side.atoms, (labels.float() / 255)[:, None].expand(-1, 3072))
    again = cifar10(tmp_path / "cache", mirrors=[DEAD], retries=0, flip=True)
    assert len(again.train) == 40 and torch.equal(again.train_labels[20:], data.train_labels)


def test_the_planes_are_red_green_and_blue_row_by_row(put, tmp_path):
    files = batches(2)
    files["test_batch.bin"] = 2 * (bytes([7]) + bytes(i % 251 for i in range(3072)))
    image = cifar10(tmp_path, mirrors=[put(packed(files))]).test.atoms[0].reshape(3, 32, 32) * 255
    assert [round(float(image[place])) for place in ((0, 0, 1), (0, 1, 0), (1, 0, 0))] == [1, 32, 1024 % 251]


def test_unpacked_batches_come_first(tmp_path):
    for folder in (tmp_path / "a" / cifar.UNPACKED, tmp_path / "b"):
        folder.mkdir(parents=True)
        for name, content in batches().items():
            (folder / name).write_bytes(content)
    assert len(cifar10(tmp_path / "a", mirrors=[]).train) == len(cifar10(tmp_path / "b", mirrors=[]).train) == 20
    (tmp_path / "b" / "data_batch_3.bin").unlink()
    with pytest.raises(ValueError, match=r"data_batch_3\.bin cannot be read"):
        cifar10(tmp_path / "b", mirrors=[])


def without(name: str) -> dict[str, bytes]:
    return {key: content for key, content in batches().items() if key != name}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (packed(without("data_batch_2.bin")), r"holds no cifar-10-batches-bin/data_batch_2\.bin; give cifar-10-binary"),
        (packed({**batches(), "data_batch_2.bin": b"\1" * 3072}), "has 3072 bytes, no whole number of images"),
        (packed({**batches(), "test_batch.bin": b""}), "has 0 bytes"),
        (packed({**batches(), "test_batch.bin": b"\x0b" * 3073}), "holds the label 11, and CIFAR-10 has 0 to 9"),
        (packed(batches(), "cifar-10-batches-py"), "holds no cifar-10-batches-bin"),
        (packed(batches())[:-40], "cannot be read .*; remove it, so that it is downloaded again"),
        (b"an error page", "cannot be read .*not a gzip file"),
    ],
)
def test_a_wrong_or_truncated_archive_is_named(content, words, put, tmp_path):
    with pytest.raises(ValueError, match=words) as error:
        cifar10(tmp_path / "cache", mirrors=[put(content)], retries=0)
    assert "\n" not in str(error.value) and ARCHIVE in str(error.value)


def test_another_archive_on_a_mirror_is_not_kept(served, tmp_path):
    (served[0] / ARCHIVE).write_bytes(packed(batches()))
    with pytest.raises(
        ValueError, match=r"is missing and could not .*\(wrong MD5\) or .*\(ConnectionError\); put"
    ) as e:
        cifar10(tmp_path / "cache", mirrors=[served[1], DEAD], retries=0)
    assert "\n" not in str(e.value) and not list((tmp_path / "cache").iterdir())


@pytest.fixture
def clothes(served, monkeypatch) -> tuple[Path, str]:
    folder, url = served
    random = np.random.default_rng(0)
    for name in download.FASHION:
        n = 6 if name.startswith("train") else 3
        array = (
            random.integers(0, 256, (n, 28, 28), dtype=np.uint8) if "images" in name else np.arange(n, dtype=np.uint8)
        )
        header = np.array([2048 + array.ndim, *array.shape], dtype=">u4").tobytes()
        (folder / name).write_bytes(gzip.compress(header + array.tobytes()))
    monkeypatch.setattr(download, "FASHION", {name: md5(folder / name) for name in download.FASHION})
    return folder, url


def test_fashion_mnist_is_fetched_once_with_the_names_of_clothes(clothes, tmp_path):
    data = fashion_mnist(tmp_path / "cache", mirrors=[DEAD, clothes[1]], retries=0)
    assert (len(data.train), len(data.test), data.shape) == (6, 3, (1, 28, 28))
    assert data.name_of(0) == "T-shirt/top" and data.class_names[9] == "Ankle boot"
    again = fashion_mnist(tmp_path / "cache", mirrors=[], flip=True)
    assert len(again.train) == 12 and torch.equal(again.test.atoms, data.test.atoms)


def test_a_corrupt_file_of_fashion_mnist_is_named(clothes, tmp_path):
    (clothes[0] / "t10k-labels-idx1-ubyte.gz").write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"t10k-labels.* is missing .*wrong MD5\); put the four files"):
        fashion_mnist(tmp_path / "cache", mirrors=[clothes[1]], retries=0)
