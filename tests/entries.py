"""The entries of conf/ and what they compose to, for the tests that walk them all."""

import functools

import numpy as np
import torch
from PIL import Image

from ot_gen import cli
from ot_gen.cli import conf_dir

GROUPS = sorted(folder.name for folder in conf_dir().iterdir() if folder.is_dir())


def entries(group):
    folder = conf_dir() / group
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


@functools.cache
def composed(*overrides):
    return cli.composed(overrides)[0]


class Colours:
    """A map-style data set of PyTorch: grey images, most of them darker than the others."""

    def __len__(self):
        return 40

    def __getitem__(self, i):
        return torch.full((1, 8, 8), (i % 10) / 20), i % 2


def small_files(folder):
    """Data entry -> the overrides that it asks for, which name small files in this folder."""
    random = np.random.default_rng(0)
    np.save(folder / "cloud.npy", random.normal(size=(100, 3)))
    (folder / "images").mkdir()
    for i in range(24):
        Image.fromarray(random.integers(0, 256, (28, 28), dtype=np.uint8)).save(folder / "images" / f"{i}.png")
    (folder / "idx").mkdir()
    for part, n in (("train", 80), ("t10k", 20)):
        for name, array in (
            ("images-idx3-ubyte", random.integers(0, 256, (n, 28, 28), dtype=np.uint8)),
            ("labels-idx1-ubyte", random.integers(0, 10, n, dtype=np.uint8)),
        ):
            header = np.array([2048 + array.ndim, *array.shape], dtype=">u4").tobytes()
            (folder / "idx" / f"{part}-{name}").write_bytes(header + array.tobytes())
    colours = random.integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
    np.savez(folder / "colours.npz", images=colours, labels=np.array(["cat", "dog"])[np.arange(40) % 2])
    (folder / "faces").mkdir()
    for i in range(24):
        blocks = Image.fromarray(random.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        blocks.resize((178, 218)).save(folder / f"faces/{i + 1:06d}.jpg")
    for i in (*range(1, 6), "t"):
        rows = random.integers(0, 256, (16, 3073), dtype=np.uint8)
        rows[:, 0] = np.arange(16) % 10
        (folder / (f"data_batch_{i}.bin" if i != "t" else "test_batch.bin")).write_bytes(rows.tobytes())
    return {
        "images": (f"data.path={folder / 'colours.npz'}",),
        "celeba": (f"data.path={folder / 'faces'}", "data.size=16", "+data.test_fraction=0.3"),
        "cifar10": (f"data.folder={folder}",),
        "fashion_mnist": (f"data.folder={folder / 'idx'}",),
        "torch_dataset": ("data.dataset._target_=entries.Colours",),
        "points": (f"data.path={folder / 'cloud.npy'}",),
        "image_folder": (f"data.path={folder / 'images'}",),
        "mnist_full": (f"data.folder={folder / 'idx'}",),
    }
