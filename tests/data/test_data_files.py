"""The user's own data: files of points in every format, folders of images, and every refusal."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from ot_gen.data import image_folder, points


def rows(data) -> torch.Tensor:
    """All points of a data set, in the order of their first coordinates."""
    y = torch.cat((data.train.atoms, data.test.atoms))
    return y[y[:, 0].argsort()]


@pytest.fixture
def array() -> np.ndarray:
    return np.arange(30, dtype=np.float64).reshape(10, 3) / 7


def write(folder: Path, kind: str, array: np.ndarray) -> Path:
    path = folder / f"cloud{kind}"
    match kind:
        case ".npy":
            np.save(path, array)
        case ".npz" | ".NPZ":
            with path.open("wb") as stream:
                np.savez(stream, array)
        case "-key.npz":
            np.savez(path, points=array, other=np.zeros(3))
        case ".csv":
            np.savetxt(path, array, delimiter=",")
        case "-header.csv":
            np.savetxt(path, array, delimiter=",", header="a, b, c", comments="\ufeff", encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", [".npy", ".npz", ".NPZ", "-key.npz", ".csv", "-header.csv"])
def test_every_format_gives_the_same_points(tmp_path, array, kind):
    data = points(write(tmp_path, kind, array))
    assert (len(data.train), len(data.test), data.dim, data.shape) == (8, 2, 3, None)
    torch.testing.assert_close(rows(data), torch.from_numpy(array).float())


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "f2", "f8", "i4", "u1", "?"])
@pytest.mark.parametrize("mmap_bytes", [0, 2**30])
def test_every_real_dtype_becomes_float32(tmp_path, dtype, mmap_bytes):
    array = np.arange(30).reshape(10, 3).astype(dtype)
    data = points(write(tmp_path, ".npy", array), mmap_bytes=mmap_bytes)
    assert data.train.atoms.dtype == torch.float32
    assert rows(data).sum() == float(array.astype("f8").sum())


def test_the_split_depends_on_its_seed(tmp_path, array):
    path = write(tmp_path, ".npy", array)
    first, again, other = (points(path, seed=seed).test.atoms for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_large_float32_file_is_mapped_in_its_order_and_not_copied(tmp_path, monkeypatch):
    array = np.random.default_rng(0).normal(size=(60_000, 2)).astype(np.float32)
    path = write(tmp_path, ".npy", array)
    opened = []
    open_memmap = np.lib.format.open_memmap
    monkeypatch.setattr(np.lib.format, "open_memmap", lambda *a, **k: opened.append(open_memmap(*a, **k)) or opened[-1])
    data = points(path, test_fraction=0.5, mmap_bytes=path.stat().st_size)
    assert isinstance(opened[0], np.memmap)
    address = opened[0].__array_interface__["data"][0]
    assert data.train.atoms.data_ptr() == address
    assert data.test.atoms.data_ptr() == address + 50_000 * 2 * 4
    assert np.array_equal(data.test.atoms.numpy(), array[-10_000:])  # at most 10,000 are held out
    data.train.atoms.zero_()  # copy-on-write
    assert np.array_equal(np.load(path), array)


def test_a_small_file_is_read_and_shuffled(tmp_path, array):
    path = write(tmp_path, ".npy", array.astype(np.float32))
    size = path.stat().st_size
    assert not torch.equal(points(path, mmap_bytes=size + 1).train.atoms, torch.from_numpy(array[:8]).float())
    assert torch.equal(points(path, mmap_bytes=size).train.atoms, torch.from_numpy(array[:8]).float())


@settings(max_examples=25, deadline=None, database=None)
@given(array=arrays(np.float32, (6, 2), elements=st.floats(-1e6, 1e6, width=32)))
def test_csv_keeps_every_float32(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    np.savetxt(path, array, delimiter=",", fmt="%.9g")
    data = points(path)
    found = torch.cat((data.train.atoms, data.test.atoms)).tolist()
    assert sorted(found) == sorted(array.tolist())


def refused(path: Path, message: str, **options) -> None:
    with pytest.raises(ValueError, match=message) as error:
        points(path, **options)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_a_missing_file_is_named_absolutely(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / "gone.npy"))):
        points("gone.npy")
    refused(tmp_path, "there is no file")


@pytest.mark.parametrize("kind", [".npy", ".npz"])
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04 not an archive", b"hello"])
def test_what_is_no_array_is_refused(tmp_path, kind, content):
    path = tmp_path / f"a{kind}"
    path.write_bytes(content)
    refused(path, "cannot be read")
    refused(path, "cannot be read", mmap_bytes=0)


@pytest.mark.parametrize("kind", [".npy", ".npz"])
def test_pickles_are_refused(tmp_path, kind):
    path = write(tmp_path, kind, np.array([[{}, 1]] * 5, dtype=object))
    refused(path, "allow_pickle=False|pickled")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no line of numbers"),
        ("a,b\n", "no line of numbers"),
        ("a,b\n1,2\n3,x\n", "could not convert string 'x'"),
        ("1,x\n" + "1,2\n" * 5, "could not convert string 'x'"),
        ("1,2\n3\n4,5\n6,7\n", "number of columns changed"),
        ("1,2\n3,\n4,5\n6,7\n", "could not convert"),
        ("1,2\n3,nan\n4,5\n6,7\n", r"NaN or Inf in 1 of 4 rows \(first: line 2 of the file\)"),
        ("1,2\n" * 3 + "1,1e300\n", r"too large for float32, in 1 of 4 rows \(first: line 4 of the file\)"),
    ],
)
def test_bad_csv_is_refused(tmp_path, text, message):
    path = tmp_path / "a.csv"
    path.write_text(text)
    refused(path, message)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(10), r"shape \(n, d\), got \(10,\)"),
        (np.zeros((10, 2, 2)), r"got \(10, 2, 2\)"),
        (np.zeros((0, 2)), r"got \(0, 2\)"),
        (np.array([["a", "b"]] * 9), "holds <U1, not real numbers"),
        (np.zeros((9, 2), complex), "holds complex128, not real numbers"),
        (np.array([[0.0, 1.0]] * 5 + [[np.inf, 0.0]]), r"NaN or Inf in 1 of 6 rows \(first: row 5\)"),
    ],
)
def test_other_arrays_are_refused(tmp_path, array, message):
    refused(write(tmp_path, ".npy", array), message)


def test_other_refusals(tmp_path, array):
    (tmp_path / "a.txt").write_text("1,2")
    refused(tmp_path / "a.txt", r"files of kind '\.txt' are not known\).*\.npy, \.npz or \.csv")
    np.savez(tmp_path / "two.npz", a=array, b=array)
    refused(tmp_path / "two.npz", r"it holds the arrays \['a', 'b'\]")
    with pytest.raises(ValueError, match="3 points, too few"):
        points(write(tmp_path, ".npy", array[:3]))
    for mmap_bytes in (0, 2**30):
        with pytest.raises(ValueError, match=r"test_fraction must be a number in \(0, 1\), got 1.5"):
            path = write(tmp_path, ".npy", array.astype(np.float32))
            points(path, test_fraction=1.5, mmap_bytes=mmap_bytes)


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Six images of one colour each, in four formats, modes and sizes, one of them in a folder below."""
    (tmp_path / "below").mkdir()
    for i, name in enumerate(["a.png", "b.jpg", "c.JPEG", "d.bmp", "below/e.png"]):
        Image.new("RGB", (20 + i, 30), (40 * i, 0, 0)).save(tmp_path / name)
    Image.new("L", (9, 9), 255).save(tmp_path / "f.png")
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_images_are_flattened_channel_first(pictures):
    data = image_folder(pictures, size=(4, 6), channels=3)
    assert (len(data.train), len(data.test), data.shape) == (4, 2, (3, 4, 6))
    pixels = torch.cat((data.train.atoms, data.test.atoms)).reshape(6, 3, 24)
    assert pixels.min() == 0 and pixels.max() == 1
    red = pixels[:, 0].mean(1).sort().values * 255
    torch.testing.assert_close(red, torch.tensor([0.0, 40, 80, 120, 160, 255]), atol=2.0, rtol=0)
    green = pixels[:, 1].mean(1).sort().values
    assert green[:5].max() < 0.02 and green[5] == 1


def test_images_become_grey_and_are_resized_without_aliasing(tmp_path):
    stripes = np.zeros((40, 40), np.uint8)
    stripes[:, ::2] = 255
    for i in range(4):
        Image.fromarray(stripes).save(tmp_path / f"{i}.png")
    data = image_folder(tmp_path, size=(5, 10))
    assert data.shape == (1, 5, 10)
    torch.testing.assert_close(data.train.atoms, torch.full((2, 50), 0.5), atol=0.05, rtol=0)


def test_height_comes_before_width(tmp_path):
    picture = np.zeros((2, 3, 3), np.uint8)
    picture[1, 2, 0] = 255
    for i in range(4):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    row = image_folder(tmp_path, size=(2, 3), channels=3).test.atoms[0].reshape(3, 2, 3)
    assert row[0, 1, 2] == 1 and row.sum() == 1


def test_bad_image_folders_are_refused(pictures, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    for call, message in [
        (lambda: image_folder(empty / "gone"), "there is no folder .*gone"),
        (lambda: image_folder(empty), "holds no images"),
        (lambda: image_folder(pictures, channels=2), "channels must be 1 .* got 2"),
        (lambda: image_folder(pictures, size=(0, 3)), "size must be a positive"),
        (lambda: image_folder(pictures, test_fraction=0.0), r"test_fraction must be a number in \(0, 1\), got 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


def test_an_unreadable_image_is_named(pictures):
    whole = (pictures / "b.jpg").read_bytes()
    (pictures / "b.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"b\.jpg cannot be read"):
        image_folder(pictures)
    (pictures / "b.jpg").write_bytes(whole)
    (pictures / "below" / "e.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"e\.png cannot be read"):
        image_folder(pictures)


def test_an_image_of_16_bits_is_refused_rather_than_clipped(pictures):
    Image.fromarray(np.full((8, 8), 1000, np.uint16)).save(pictures / "deep.png")
    with pytest.raises(ValueError, match=r"deep\.png cannot be read \(its pixels have more than 8 bits"):
        image_folder(pictures)
