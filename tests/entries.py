"""The entries of conf/ and what they compose to, for the tests that walk them all."""

import functools

import numpy as np
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
    return {
        "points": (f"data.path={folder / 'cloud.npy'}",),
        "image_folder": (f"data.path={folder / 'images'}",),
        "mnist_full": (f"data.folder={folder / 'idx'}",),
    }
