"""Digits: the sets that are embedded, and the download of the whole of MNIST from a local server."""

from __future__ import annotations

import gzip
import hashlib
import inspect
import logging
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pooch
import pytest
import torch

from ot_gen.data import digits, download, mnist, mnist_full
from ot_gen.data.digits import EMBEDDED, SHA256

NAMES = tuple(download.REGISTRY)


def test_digits_are_a_partition_of_scikit_learns():
    data = digits()
    assert (len(data.train), len(data.test), data.shape) == (1438, 359, (1, 8, 8))
    both = torch.cat((data.train.atoms, data.test.atoms))
    assert both.dtype == torch.float32 and both.min() == 0 and both.max() == 1
    assert float(both.double().sum() * 16) == 561_718
    assert not torch.equal(digits(seed=1).test.atoms, data.test.atoms)


def test_mnist_is_embedded_in_its_order():
    data = mnist()
    assert (len(data.train), len(data.test), data.shape) == (8000, 2000, (1, 28, 28))
    with np.load(EMBEDDED, allow_pickle=False) as arrays:
        images = arrays["images"]
    for atoms, image in [(data.train.atoms[0], images[0]), (data.test.atoms[-1], images[-1])]:
        torch.testing.assert_close(atoms, torch.from_numpy(image).flatten() / 255, atol=0, rtol=0)
    assert data.train.atoms.dtype == torch.float32 and data.train.atoms.max() == 1
    assert 50 < data.variance < 55  # the total variance of MNIST's pixels is 52.7


def test_the_embedded_file_is_small_verified_and_licensed():
    content = EMBEDDED.read_bytes()
    assert len(content) < 2e6 and hashlib.sha256(content).hexdigest() == SHA256
    assert "creativecommons.org/licenses/by-sa/3.0" in EMBEDDED.with_name("mnist10k.LICENSE.md").read_text()


def save(path: Path, **arrays: np.ndarray) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def small(n: int = 10) -> dict[str, np.ndarray]:
    images = np.random.default_rng(0).integers(0, 256, (n, 28, 28), dtype=np.uint8)
    return {"images": images, "labels": np.zeros(n, np.uint8)}


def test_mnist_takes_another_file_of_its_layout(tmp_path):
    data = mnist(save(tmp_path / "a.npz", **small(10)))
    assert (len(data.train), len(data.test)) == (8, 2)


@pytest.mark.parametrize("damage", [lambda b: b[:-100], lambda b: b[:1000] + bytes([b[1000] ^ 1]) + b[1001:]])
def test_a_damaged_embedded_file_is_named_with_the_remedy(tmp_path, monkeypatch, damage):
    (tmp_path / "mnist10k.npz").write_bytes(damage(EMBEDDED.read_bytes()))
    monkeypatch.setitem(inspect.unwrap(mnist).__globals__, "EMBEDDED", tmp_path / "mnist10k.npz")
    remedy = r"mnist10k\.npz cannot be read \(its SHA-256 checksum differs.*; reinstall ot_gen, or restore the file"
    with pytest.raises(ValueError, match=remedy) as e:
        mnist()
    assert "\n" not in str(e.value)


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.npz cannot be read .*No such file"):
        mnist(tmp_path / "gone.npz")


@pytest.mark.parametrize("cut", [0, 10, 1000, -1])
def test_a_truncated_file_is_one_line(tmp_path, cut):
    path = save(tmp_path / "a.npz", **small())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"a\.npz cannot be read \(.*give a whole file") as e:
        mnist(path)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    "arrays",
    [
        small(9),
        {**small(), "images": small()["images"][:, :-1]},
        {**small(), "images": small()["images"].astype(np.float32)},
        {**small(), "labels": np.zeros(9, np.uint8)},
        {"images": small()["images"]},
        {"pictures": small()["images"], "labels": small()["labels"]},
        {**small(), "labels": np.array([{}] * 10, dtype=object)},
    ],
)
def test_another_layout_is_refused(tmp_path, arrays):
    with pytest.raises(ValueError, match=r"a\.npz .*give a whole file of the layout"):
        mnist(save(tmp_path / "a.npz", **arrays))


def idx(array: np.ndarray) -> bytes:
    return np.array([2048 + array.ndim, *array.shape], dtype=">u4").tobytes() + array.tobytes()


@pytest.fixture
def official(tmp_path) -> Path:
    """A folder with the four files of a very small MNIST: 6 and 3 images."""
    folder = tmp_path / "official"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in NAMES:
        n = 6 if name.startswith("train") else 3
        array = rng.integers(0, 256, (n, 28, 28) if "images" in name else (n,), dtype=np.uint8)
        (folder / name).write_bytes(gzip.compress(idx(array)))
    return folder


@pytest.fixture
def registry(official, monkeypatch) -> dict[str, str]:
    """The checksums of these four files, in the place of the official ones."""
    sums = {name: hashlib.sha256((official / name).read_bytes()).hexdigest() for name in NAMES}
    monkeypatch.setattr(download, "REGISTRY", sums)
    return sums


class Server(ThreadingHTTPServer):
    """Serves a folder on 127.0.0.1, counts the requests, and fails the first ones."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.requests: Counter[str] = Counter()
        self.failures = 0
        self.url = f"http://127.0.0.1:{self.server_port}/"


class Handler(SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests[self.path.strip("/")] += 1
        if self.server.failures > 0:
            self.server.failures -= 1
            self.send_error(503)
        else:
            super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(official, monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)
    with Server(official) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


DEAD = "http://127.0.0.1:9/mnist/"  # the discard port: nobody answers


def test_the_four_files_are_downloaded_once(tmp_path, official, registry, server, capfd):
    level = pooch.get_logger().level
    data = mnist_full(tmp_path / "cache", mirrors=[server.url], retries=0)
    assert (len(data.train), len(data.test), data.shape) == (6, 3, (1, 28, 28))
    assert server.requests == dict.fromkeys(NAMES, 1)
    again = mnist_full(tmp_path / "cache", mirrors=[DEAD], retries=0)
    assert torch.equal(again.train.atoms, data.train.atoms)
    assert mnist_full(official, mirrors=[]).dim == 784
    raw = gzip.decompress((official / NAMES[0]).read_bytes())[16:]
    expected = torch.frombuffer(bytearray(raw), dtype=torch.uint8).reshape(6, 784) / 255
    torch.testing.assert_close(data.train.atoms, expected, atol=0, rtol=0)
    assert capfd.readouterr() == ("", "") and pooch.get_logger().level == level != logging.ERROR


def test_mirrors_are_tried_in_order(tmp_path, registry, server):
    mnist_full(tmp_path / "cache", mirrors=[DEAD, server.url.rstrip("/")], retries=0)
    assert {file.name for file in (tmp_path / "cache").iterdir()} == set(NAMES)


def test_a_failing_answer_is_asked_again(tmp_path, registry, server):
    server.failures = 1
    mnist_full(tmp_path / "cache", mirrors=[server.url], retries=1)
    assert server.requests[NAMES[0]] == 2 and server.requests[NAMES[1]] == 1


def test_a_wrong_file_on_a_mirror_is_not_kept(tmp_path, official, registry, server):
    (official / NAMES[1]).write_bytes(b"an error page")
    cache = tmp_path / "cache"
    with pytest.raises(ValueError, match=rf"{NAMES[1]} is missing and could not .*127.*\(wrong SHA-256\); put") as e:
        mnist_full(cache, mirrors=[server.url], retries=0)
    assert "\n" not in str(e.value)
    assert [file.name for file in cache.iterdir()] == [NAMES[0]]


def test_a_corrupt_file_on_disk_is_downloaded_again(tmp_path, official, registry, server):
    cache = shutil.copytree(official, tmp_path / "cache")
    (cache / NAMES[2]).write_bytes(b"half a file")
    with pytest.raises(ValueError, match=rf"{NAMES[2]} is corrupt .*ConnectionError"):
        mnist_full(cache, mirrors=[DEAD], retries=0)
    mnist_full(cache, mirrors=[server.url], retries=0)
    assert server.requests == {NAMES[2]: 1}


def test_without_a_network_one_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(ValueError, match=rf"{NAMES[0]} is missing .*{DEAD} \(ConnectionError\) or {DEAD}.*put") as e:
        mnist_full(tmp_path, mirrors=[DEAD, DEAD], retries=0)
    assert "mnist()" in str(e.value) and str(tmp_path) in str(e.value) and "\n" not in str(e.value)
    with pytest.raises(ValueError, match="no mirror was given"):
        mnist_full(tmp_path, mirrors=[])


def unpack(official: Path) -> None:
    for name in NAMES:
        (official / name.removesuffix(".gz")).write_bytes(gzip.decompress((official / name).read_bytes()))
        (official / name).unlink()


def test_uncompressed_files_are_used_without_a_network(official):
    unpack(official)
    assert len(mnist_full(official, mirrors=[DEAD], retries=0).train) == 6


@pytest.mark.parametrize("which", range(4))
@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:3], lambda b: b"\1" + b[1:], lambda b: b + b"0"])
def test_a_damaged_idx_file_is_named(official, which, damage):
    unpack(official)
    file = official / NAMES[which].removesuffix(".gz")
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=rf"{file.name} is no whole IDX file"):
        mnist_full(official)


def test_images_and_labels_must_belong_together(official):
    unpack(official)
    (official / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(4, np.uint8)))
    with pytest.raises(ValueError, match=r"images \(3, 28, 28\) and .* 4 labels"):
        mnist_full(official)


def test_a_broken_gzip_file_is_named(official, registry):
    file = official / NAMES[3]
    file.write_bytes(file.read_bytes()[:-9])
    registry[NAMES[3]] = hashlib.sha256(file.read_bytes()).hexdigest()  # the file that was asked for, and a broken one
    with pytest.raises(ValueError, match=rf"{NAMES[3]} cannot be read"):
        mnist_full(official, mirrors=[])
