"""Files of strangers are data: they give a data set or one line that names them, in bounded time."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ot_gen import Empirical, Euclidean
from ot_gen.data import Dataset, image_folder, mnist, points
from ot_gen.data.image_files import FORMATS, MOST_PIXELS
from ot_gen.data.samples import samples
from ot_gen.evaluation import certify

ARRAY = np.random.default_rng(0).normal(size=(6, 2))
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)


def saved(write, *what, **how) -> bytes:
    stream = io.BytesIO()
    write(stream, *what, **how)
    return stream.getvalue()


def picture(kind: str, mode: str = "RGB", turned: int | None = None) -> bytes:
    exif = Image.Exif()
    if turned is not None:
        exif[0x0112] = turned
    return saved(Image.fromarray(PIXELS).convert(mode).save, kind, exif=exif)


WHOLE = {
    ".npy": saved(np.save, ARRAY),
    ".npz": saved(np.savez_compressed, points=ARRAY),
    ".csv": b"a,b\n" + saved(np.savetxt, ARRAY, delimiter=","),
    **{f".{kind.lower()}": picture(kind) for kind in FORMATS},
}


def read(folder: Path, kind: str, content: bytes) -> Dataset:
    """The data set of a file beside three images that are whole."""
    (folder / f"x{kind}").write_bytes(content)
    if kind in (".npy", ".npz", ".csv"):
        return points(folder / f"x{kind}")
    for i in range(3):
        (folder / f"{i}.png").write_bytes(WHOLE[".png"])
    return image_folder(folder, size=(3, 3), channels=3)


@pytest.mark.parametrize("kind", WHOLE)
@settings(max_examples=20, deadline=20_000, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.data())
def test_a_damaged_file_gives_a_data_set_or_one_line(kind, drawn, tmp_path):
    content = bytearray(WHOLE[kind])
    for _ in range(drawn.draw(st.integers(1, 4))):
        place = drawn.draw(st.integers(0, max(0, len(content) - 1)))
        change = drawn.draw(st.sampled_from(["flip", "truncate", "insert", "enlarge"]))
        if change == "flip" and content:
            content[place] ^= drawn.draw(st.integers(1, 255))
        elif change == "truncate":
            del content[place:]
        else:
            content[place:place] = drawn.draw(st.binary(max_size=9)) if change == "insert" else b"\xff\xff\xff\x7f"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert isinstance(read(tmp_path, kind, bytes(content)), Dataset)
        except ValueError as error:
            assert "\n" not in str(error) and len(str(error)) < 600


# --- arrays ----------------------------------------------------------------------------------------------------------


def promised(shape: tuple[int, ...]) -> bytes:
    """An .npy file whose header says `shape`, with five numbers."""
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    return saved(np.lib.format.write_array_header_2_0, header) + bytes(20)


READERS = {
    "points": points,
    "samples": lambda path: samples(path, 2),
    "certify": lambda path: certify(path, Empirical(torch.zeros(3, 2)), Euclidean()),
}
FOREIGN = {
    "x.npy": [
        b"",
        b"\x93NUMPY\x01\x00",
        b"\x80\x04K\x01.",
        promised((10**12, 2)),
        promised((10**30,)),
        promised((-1, 2)),
    ],
    "x.npz": [b"PK\x05\x06" + bytes(18), b"PK\x03\x04", saved(np.savez, a=ARRAY, b=ARRAY)],
    "x.csv": [b"", b"a,b\n1,(\n", b"\x1f\x8b\x00\x00", b"1," + b"9" * 200_000 + b"x\n", b'"' * 99],
    "x.txt": [b"1,2\n"],
    "a" * 300 + ".npy": [None],
    "gone.npy": [None],
    "folder.npy": ["folder"],
    "pipe.npy": ["pipe"],
}


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_of_points_refuses_alike(reader, tmp_path):
    for name, contents in FOREIGN.items():
        for content in contents:
            path = tmp_path / name
            if content == "folder":
                path.mkdir()
            elif content == "pipe":
                os.mkfifo(path)
            elif content is not None:
                path.write_bytes(content)
            with pytest.raises(ValueError, match=r"cannot be read|there is no file|is a folder") as error:
                READERS[reader](path)
            assert "\n" not in str(error.value) and name in str(error.value) and len(str(error.value)) < 900


@pytest.mark.parametrize("reader", READERS)
def test_pickled_objects_are_never_loaded(reader, tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    for write, name in ((np.save, "x.npy"), (np.savez, "x.npz")):
        with (tmp_path / name).open("wb") as stream:
            write(stream, np.array([[Trap(), 1]] * 400, dtype=object))
        with pytest.raises(ValueError, match="pickled"):
            READERS[reader](tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_a_certificate_reads_every_kind_of_file(tmp_path):
    table = np.round(np.random.default_rng(0).normal(size=(300, 1)), 6)
    np.save(tmp_path / "x.npy", table)
    np.savez(tmp_path / "x.npz", table)
    np.savetxt(tmp_path / "x.csv", table, delimiter=",")
    nu = Empirical(torch.tensor([[-1.0], [1.0]]).double())
    bounds = {
        certify(tmp_path / f"x.{kind}", nu, Euclidean(), max_samples=1024).lower for kind in ("npy", "npz", "csv")
    }
    assert len(bounds) == 1


def test_a_digits_file_may_be_no_pipe(tmp_path):
    os.mkfifo(tmp_path / "digits.npz")
    with pytest.raises(ValueError, match="it is a pipe"):
        mnist(tmp_path / "digits.npz")


# --- images ----------------------------------------------------------------------------------------------------------


def test_images_of_every_format_are_used(tmp_path):
    names = ["a.png", "b.JPG", "c.jpeg", "d.webp", "e.tiff", "f.tif", "g.bmp", "h.gif", "i.ppm"]
    for name in names:
        Image.new("RGB", (4, 4), (200, 200, 200)).save(tmp_path / name)
    data = image_folder(tmp_path, size=(2, 2))
    atoms = torch.cat([data.train.atoms, data.test.atoms])
    torch.testing.assert_close(atoms, torch.full((9, 4), 200 / 255), atol=0.02, rtol=0)


@pytest.mark.parametrize("turned", [None, *range(1, 9)])
def test_a_photograph_is_turned_as_its_exif_data_say(turned, tmp_path):
    upright = torch.from_numpy(PIXELS).permute(2, 0, 1).float()
    ways = {
        None: upright,
        1: upright,
        2: upright.flip(2),
        3: upright.flip(1, 2),
        4: upright.flip(1),
        5: upright.transpose(1, 2),
        6: upright.transpose(1, 2).flip(2),
        7: upright.transpose(1, 2).flip(1, 2),
        8: upright.transpose(1, 2).flip(1),
    }
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes(picture("PNG", turned=turned))
    data = image_folder(tmp_path, size=tuple(ways[turned].shape[1:]), channels=3)
    assert torch.equal((data.train.atoms[0] * 255).round(), ways[turned].flatten())


def test_of_several_frames_the_first_counts(tmp_path):
    frames = [Image.new("L", (3, 3), value) for value in (51, 255)]
    for i, kind in enumerate(("gif", "tiff", "webp", "png")):
        frames[0].save(tmp_path / f"{i}.{kind}", save_all=True, append_images=frames[1:], lossless=True)
    data = image_folder(tmp_path, size=(1, 1))
    torch.testing.assert_close(torch.cat([data.train.atoms, data.test.atoms]), torch.full((4, 1), 0.2))


def test_what_is_hidden_is_no_image_and_no_class(tmp_path):
    for name in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(WHOLE[".png"])
    hidden = [
        ".ipynb_checkpoints/1-checkpoint.png",
        "cat/.ipynb_checkpoints/1.png",
        "__MACOSX/cat/._1.png",
        "@eaDir/1.png",
    ]
    for name in (*hidden, "cat/._1.png", ".DS_Store", "Thumbs.db"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(b"no image")
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    data = image_folder(tmp_path, size=(2, 2))
    assert len(data.train) + len(data.test) == 4
    assert torch.cat([data.train_labels, data.test_labels]).bincount().tolist() == [2, 2]


def test_what_is_left_out_is_said(tmp_path):
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes(WHOLE[".png"])
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "round").symlink_to(tmp_path)
    (tmp_path / "photo.HEIC").write_bytes(b"")
    with pytest.warns(UserWarning, match="of 2 left out: links to folders are not followed"):
        data = image_folder(tmp_path, size=(2, 2))
    assert len(data.train) + len(data.test) == 4


def test_classes_that_differ_in_case_only_are_named(tmp_path):
    for name in ("Cat/1.png", "Cat/2.png", "cat/1.png", "cat/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(WHOLE[".png"])
    with pytest.warns(UserWarning, match="Cat and cat differ in case only"):
        image_folder(tmp_path, size=(2, 2))


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{} loop\n"


def bomb() -> bytes:
    """A small file of more pixels than fit."""
    content = bytearray(picture("BMP"))
    content[18:26] = (2**14).to_bytes(4, "little") * 2
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (POSTSCRIPT, "it is no whole PNG, JPEG"),
        (b"", "it is no whole PNG"),
        (b"<svg/>", "it is no whole PNG"),
        (picture("PNG")[:60], "cannot be read"),
        (bomb(), f"more than {MOST_PIXELS:,} pixels"),
        (saved(Image.new("F", (3, 3)).save, "TIFF"), "more than 8 bits"),
    ],
    ids=["PostScript", "empty", "SVG", "cut", "bomb", "floats"],
)
def test_an_image_that_cannot_be_used_is_named(content, words, tmp_path, monkeypatch):
    def started(*_, **__):
        raise AssertionError("a programme was started")

    monkeypatch.setattr("subprocess.Popen", started)
    monkeypatch.setattr("os.system", started)
    with pytest.raises(ValueError, match=words) as error:
        read(tmp_path, ".png", content)
    assert "x.png" in str(error.value) and "\n" not in str(error.value) and "0x" not in str(error.value)
