"""Images as users have them: arrays in every layout, labels by name, folders with class names, mirrored or not."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from ot_gen.data import celeba, image_folder, images, points
from ot_gen.measures import Pixels

N = 12


def colours(channels=3, size=(4, 6), n=N, seed=0):
    """Channel first, (n, c, h, w)."""
    return np.random.default_rng(seed).integers(0, 256, (n, channels, *size), dtype=np.uint8)


def saved(folder, *, name="a.npy", **arrays):
    path = folder / name
    if path.suffix == ".npy":
        np.save(path, arrays["array"])
    else:
        np.savez(path, **arrays)
    return path


def rows(data):
    """All rows as a sorted list: a split is a permutation."""
    return sorted(map(tuple, torch.cat([data.train.atoms, data.test.atoms]).tolist()))


LAYOUTS = {
    "channels first": lambda a: a,
    "channels last": lambda a: np.moveaxis(a, 1, 3),
    "floats": lambda a: (np.moveaxis(a, 1, 3) / 255).astype(np.float32),
    "float64": lambda a: a / np.float64(255),
    "whole numbers": lambda a: a.astype(np.int64),
    "another order of bytes": lambda a: a.astype(">i4"),
    "not contiguous": lambda a: np.asfortranarray(a),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mmap_bytes", [1, 2**30])
def test_every_layout_gives_the_same_images(layout, mmap_bytes, tmp_path):
    array = colours()
    data = images(saved(tmp_path, array=LAYOUTS[layout](array)), mmap_bytes=mmap_bytes)
    expected = sorted(map(tuple, (torch.from_numpy(array).flatten(1).float() / 255).tolist()))
    assert data.shape == (3, 4, 6) and data.train.atoms.dtype == torch.float32
    torch.testing.assert_close(torch.tensor(rows(data)), torch.tensor(expected), atol=1e-6, rtol=0)
    assert (len(data.train), len(data.test)) == (10, 2)


@pytest.mark.parametrize(
    ("array", "options", "shape"),
    [
        (colours(1)[:, 0], {}, (1, 4, 6)),
        (colours(1).reshape(N, 24), {"shape": (1, 4, 6)}, (1, 4, 6)),
        (colours(1)[:, 0], {"shape": (1, 4, 6)}, (1, 4, 6)),
        (colours(3, (5, 1)), {"shape": (3, 5, 1)}, (3, 5, 1)),
        (np.moveaxis(colours(3, (5, 1)), 1, 3), {}, (3, 5, 1)),
        (colours(1)[:, 0] > 99, {}, (1, 4, 6)),
    ],
)
def test_shapes_are_read_off_or_given(array, options, shape, tmp_path):
    data = images(saved(tmp_path, array=array), **options)
    assert data.shape == shape and data.train.atoms.min() >= 0 and data.train.atoms.max() <= 1


@pytest.mark.parametrize(
    ("array", "options", "words"),
    [
        (colours(1).reshape(N, 24), {}, r"\(12, 24\), which are no images yet; give shape="),
        (colours(3, (5, 1)), {}, "channels may come first or last; give shape="),
        (colours(4), {}, r"leave the transparency out, array\[\.\.\., :3\]"),
        (colours(2), {}, "neither axis 1 nor axis 3 has one channel or three$"),
        (colours(), {"shape": (3, 6, 4)}, r"no images of shape \(3, 6, 4\)"),
        (np.zeros((N, 2, 2)) - 1, {}, r"pixels in \[-1, -1\].*take \(x \+ 1\) / 2"),
        (colours(1).astype(np.float32), {}, r"must lie in \[0, 1\]; take x / 255"),
        (colours(1).astype(np.int16) - 9, {}, "not 0 to 255"),
        (np.full((N, 2, 2), np.nan), {}, "NaN or Inf .first: image 0"),
        (np.zeros(N), {}, r"an array \(12,\); images are"),
        (np.zeros((3, 2, 2)), {}, "3 points, too few"),
        (colours(), {"label": "y"}, "an .npy file has no labels 'y'"),
    ],
)
def test_what_are_no_images_is_named(array, options, words, tmp_path):
    with pytest.raises(ValueError, match=words) as error:
        images(saved(tmp_path, array=array), **options)
    assert "\n" not in str(error.value)


def test_images_among_points_are_named(tmp_path):
    with pytest.raises(ValueError, match="read images with the data set `images`"):
        points(saved(tmp_path, array=colours()))


KINDS = np.arange(N) % 3


@pytest.mark.parametrize(
    ("arrays", "options", "names"),
    [
        ({"images": colours(), "labels": KINDS}, {}, None),
        ({"x": colours(), "y": KINDS.astype(np.float32)[:, None]}, {}, None),
        ({"images": colours(), "labels": KINDS, "kind": KINDS + 1}, {"label": "kind"}, ("1", "2", "3")),
        ({"data": colours(), "targets": np.array(["cat", "dog", "emu"])[KINDS]}, {}, ("cat", "dog", "emu")),
        ({"arr_0": colours(), "breed": np.array([b"a", b"b", b"c"])[KINDS]}, {"label": "breed"}, ("a", "b", "c")),
    ],
)
def test_labels_of_an_archive_go_with_their_images(arrays, options, names, tmp_path):
    data = images(saved(tmp_path, name="a.npz", **arrays), **options)
    assert data.class_names == names
    of = {tuple(row): k for row, k in zip((colours().reshape(N, -1) / np.float32(255)).tolist(), KINDS, strict=True)}
    for side, labels in ((data.train, data.train_labels), (data.test, data.test_labels)):
        assert [of[tuple(row)] for row in side.atoms.tolist()] == labels.tolist()


@pytest.mark.parametrize(
    ("arrays", "options", "words"),
    [
        ({"images": colours(), "labels": KINDS}, {"label": "kind"}, r"no array 'kind' of labels; its arrays are \["),
        ({"images": colours(), "labels": KINDS[:-1]}, {}, r"shape \(11,\), and there are 12 points"),
        ({"images": colours(), "labels": np.eye(3)[KINDS]}, {}, r"one-hot rows take argmax\(axis=1\)"),
        ({"images": colours(), "labels": np.arange(N) / 7}, {}, "hold 0.142857; classes are whole numbers"),
        (
            {"images": colours(), "labels": np.arange(N)},
            {},
            "12 different values for 12 points, so they are no classes",
        ),
        ({"images": colours(), "labels": np.array([{}] * N)}, {}, "pickle"),
        ({"a": colours(), "b": colours()}, {}, r"the arrays \['a', 'b'\]; save one array"),
    ],
)
def test_labels_that_are_none_are_named(arrays, options, words, tmp_path):
    with pytest.raises(ValueError, match=words) as error:
        images(saved(tmp_path, name="a.npz", **arrays), **options)
    assert "\n" not in str(error.value)


def test_points_take_labels_too_and_leave_out_a_measured_quantity(tmp_path):
    cloud = np.random.default_rng(0).normal(size=(N, 2))
    data = points(saved(tmp_path, name="a.npz", points=cloud, labels=KINDS))
    assert data.train_labels is not None and data.labels[0].max() == 2
    with pytest.warns(UserWarning, match="no measured quantity; they are left out"):
        assert points(saved(tmp_path, name="b.npz", x=cloud, y=cloud[:, 0])).train_labels is None
    with pytest.raises(ValueError, match="no measured quantity"):
        points(saved(tmp_path, name="b.npz", x=cloud, y=cloud[:, 0]), label="y")


def test_flips_keep_labels_and_leave_held_out_images_alone(tmp_path):
    path = saved(tmp_path, name="a.npz", images=colours(), labels=KINDS)
    plain, flipped = images(path), images(path, flip=True)
    assert torch.equal(flipped.test.atoms, plain.test.atoms)
    assert torch.equal(flipped.test_labels, plain.test_labels)
    seen = {tuple(row): k for row, k in zip(plain.train.atoms.tolist(), plain.train_labels.tolist(), strict=True)}
    mirrored = {tuple(torch.tensor(row).reshape(3, 4, 6).flip(2).flatten().tolist()): k for row, k in seen.items()}
    torch.manual_seed(0)
    drawn = flipped.by_label().train.sample(600)
    turned = 0
    for row in drawn.tolist():
        *image, k = row
        assert (seen | mirrored)[tuple(image)] == k
        turned += tuple(image) in mirrored
    assert 230 < turned < 370  # a fair coin: 300 ± 12
    with pytest.raises(ValueError, match="only images are mirrored"):
        points(saved(tmp_path, array=np.random.default_rng(0).normal(size=(N, 2)))).with_mirror_images()


@pytest.fixture
def animals(tmp_path):
    for kind, n in (("cat", 3), ("dog", 4), ("emu", 5)):
        (tmp_path / "animals" / kind).mkdir(parents=True)
        for i in range(n):
            Image.new("RGB", (8, 10), (20 * i, 99, 0)).save(tmp_path / f"animals/{kind}/{i}.png")
    return tmp_path / "animals"


def test_a_folder_keeps_the_names_of_its_classes_and_its_bytes(animals):
    data = image_folder(animals, size=(4, 4), channels=3, flip=True)
    assert data.class_names == ("cat", "dog", "emu")
    assert torch.cat([data.train_labels, data.test_labels]).bincount().sum() == 2 * 10 + 2
    assert isinstance(data.train.rows, Pixels) and data.train.rows.images.dtype == torch.uint8
    assert data.by_label().class_names == data.class_names
    assert data.name_of(1) == "dog"


def test_a_crop_keeps_the_middle(tmp_path):
    for i in range(5):
        image = Image.new("RGB", (178, 218), (0, 0, 0))
        image.paste((200, 100, 50), (178 // 2 - 70, 218 // 2 - 70, 178 // 2 + 70, 218 // 2 + 70))
        image.save(tmp_path / f"{i + 1:06d}.png")
    data = celeba(tmp_path)
    assert data.shape == (3, 64, 64) and data.train_labels is None
    colour = torch.tensor([200, 100, 50]).float().repeat_interleave(64 * 64) / 255
    assert torch.equal(data.train.atoms, colour.expand(3, -1))
    assert celeba(tmp_path, size=8, crop=178).train.atoms[:, 0].max() < 0.1


def test_other_folders_and_small_images_are_named(tmp_path, animals):
    with pytest.raises(ValueError, match=r"holds no file 000001\.jpg"):
        celeba(animals)
    (tmp_path / "img_align_celeba").mkdir()
    with pytest.raises(ValueError, match=r"give .*img_align_celeba$"):
        celeba(tmp_path)
    with pytest.raises(ValueError, match=r"0.png has 8 x 10 pixels, less than crop = 9"):
        image_folder(animals, crop=9)


def test_at_most_ten_thousand_images_are_held_out(tmp_path):
    data = images(saved(tmp_path, array=np.zeros((60_000, 2, 2), np.uint8)))
    assert (len(data.train), len(data.test)) == (50_000, 10_000)


PEAK = """
import resource, sys, torch, ot_gen
from ot_gen.data import images
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
torch.zeros(64, 12288) @ torch.zeros(12288, 64)
before = peak()
data = images(sys.argv[1], mmap_bytes=1, flip=True)
drawn = data.train.sample(128)
sampled = peak() - before
data.own.variance
ot_gen.c_transform(ot_gen.SquaredEuclidean(), drawn[:8], data.train.rows, torch.zeros(len(data.train)))
print(sampled, peak() - before)
"""


@pytest.mark.slow
def test_images_in_a_file_never_stand_in_memory_as_floats(tmp_path):
    file = np.lib.format.open_memmap(tmp_path / "a.npy", mode="w+", dtype=np.uint8, shape=(8000, 64, 64, 3))
    file[::100] = 7  # the rest is a hole in the file
    file.flush()
    bytes_of_file = file.nbytes / 2**20
    run = subprocess.run([sys.executable, "-c", PEAK, tmp_path / "a.npy"], capture_output=True, text=True, check=True)
    sampled, read = map(float, run.stdout.split())
    assert sampled < 60  # MB, for a file of 94
    assert read < bytes_of_file + 350  # as floats, with their mirror images, they would take 750
