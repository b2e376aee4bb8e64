"""Samples of a model, written for other programs: an array, a picture, or a folder of images."""

from __future__ import annotations

import math
import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from torch import Tensor

from ot_gen.data import Dataset
from ot_gen.data.image_files import MOST_PIXELS
from ot_gen.execution import absolute, naming, written
from ot_gen.plot.frame import canvas
from ot_gen.runs.figures import sample_figure, save

if TYPE_CHECKING:
    from PIL import Image

ARRAYS = (".npy", ".npz")
FORMS = ".npy or .npz (an array), .png (one picture), or no suffix or a / at the end (a folder of images)"
OURS = re.compile(r"[0-9]+\.png")  # what a folder of samples, or of a class, holds
OF_A_CLASS = re.compile(r"[0-9]+")


@final
class SampleFile:
    """The place of samples, a file or a folder. Its name tells its form.

    .npy   an array (n, d), one sample a row
    .npz   the same array, under the key `points`, and under `labels` the classes (n,) of samples of several
    .png   of images one grid, row by row, ⌈√n⌉ a row; of points a scatter over held-out data, as a run's samples.png
    /      at the end, or no suffix: a folder of images, 000.png, 001.png, ... in the order of the rows; of several
           classes a folder for each, 0/, 1/, ..., as `ot_gen.data.image_folder` reads classes

    Arrays hold the numbers as they are. Pixels of images are cut to [0, 1] and rounded to 8 bits.

    Args:
        path: of the file or folder.
        overwrite: whether it may take the place of one that is there. A folder is replaced only if it holds nothing but
            numbered images, and folders of classes with these.

    Raises:
        ValueError: another suffix, or something is there already.

    Example:
        >>> SampleFile("samples.mat")
        Traceback (most recent call last):
        ValueError: samples.mat has the suffix '.mat', which says no form of samples; take .npy or .npz (an array), ...
    """

    def __init__(self, path: str, overwrite: bool = False) -> None:
        is_folder = path.endswith(("/", os.sep))
        self.path = Path(os.path.realpath(absolute(path)))
        self.suffix = "" if is_folder else Path(path).suffix.lower()
        writers: dict[str, Callable[[Tensor, Dataset, Tensor | None, int | None], None]] = {
            **dict.fromkeys(ARRAYS, self._array),
            ".png": self._picture,
            "": self._folder,
        }
        if self.suffix not in writers:
            raise ValueError(f"{path} has the suffix {self.suffix!r}, which says no form of samples; take {FORMS}")
        self._write = writers[self.suffix]
        self._check_free(overwrite)

    def check(self, n: int, shape: Sequence[int] | None) -> None:
        """Refuse n samples that have no such form, before they are drawn.

        Args:
            n: the number of samples.
            shape: (channels, height, width) of images, None of points.
        """
        if shape is None:
            if self.suffix == "":
                raise ValueError(
                    f"{self.path} is to be a folder of images, and the data are points; write .npy or .npz"
                )
            return
        if self.suffix in ARRAYS:
            return
        channels, height, width = shape
        if channels not in (1, 3):
            raise ValueError(f"images of {channels} channels have no .png; write .npy or .npz")
        pixels = (n if self.suffix else 1) * (height + 2) * (width + 2)
        if pixels > MOST_PIXELS:
            raise ValueError(
                f"a picture of {n if self.suffix else 1} x {height} x {width} has {pixels:,} pixels with its margins, "
                f"more than {MOST_PIXELS:,}; draw fewer, or write .npy or .npz"
            )

    def write(self, samples: Tensor, data: Dataset, labels: Tensor | None = None, columns: int | None = None) -> None:
        """Write samples (n, d), whole or not at all.

        Args:
            samples: in the data's own units.
            data: in their own units; of images their shape, of points those that a scatter shows.
            labels: the classes of samples of several classes, (n,); None of others.
            columns: images a row of a grid; None: ⌈√n⌉.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._write(samples.detach().cpu(), data, labels, columns)

    def _check_free(self, overwrite: bool) -> None:
        if self.suffix:
            if self.path.is_dir():
                raise ValueError(f"{self.path} is a folder; give the name of a file, or end it with a /")
            if self.path.exists() and not overwrite:
                raise ValueError(f"{self.path} is there already; give another name, or replace it with --overwrite")
            return
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise ValueError(f"{self.path} is a file, and samples go into a folder there; give another name")
        if other := next(_others(self.path), None):
            raise ValueError(f"{self.path} holds {other}, which is no numbered image; give a new folder")
        if os.listdir(self.path) and not overwrite:
            raise ValueError(f"{self.path} holds images already; give a new folder, or replace it with --overwrite")

    def _array(self, samples: Tensor, _: Dataset, labels: Tensor | None, __: int | None) -> None:
        points = samples.numpy()
        arrays: dict[str, Any] = {"points": points} | ({} if labels is None else {"labels": labels.cpu().numpy()})
        with written(self.path) as temporary, temporary.open("wb") as file:  # given a path, numpy adds a suffix
            if self.suffix == ".npz":
                np.savez(file, **arrays)
            else:
                np.save(file, points)

    def _picture(self, samples: Tensor, data: Dataset, _: Tensor | None, columns: int | None) -> None:
        if data.shape is None:
            save(sample_figure(samples, data.test.rows[:2000], None), self.path)
            return
        grid = canvas(samples, data.shape, columns or math.isqrt(len(samples) - 1) + 1)
        with written(self.path) as temporary:
            _image(grid).save(temporary, format="PNG")

    def _folder(self, samples: Tensor, data: Dataset, labels: Tensor | None, _: int | None) -> None:
        assert data.shape is not None
        images = samples.reshape(-1, *data.shape).permute(0, 2, 3, 1).numpy()
        mark = secrets.token_hex(4)
        new, old = (self.path.with_name(f"{self.path.name}.{mark}.{kind}") for kind in ("tmp", "old"))
        try:
            new.mkdir()
            for name, image in zip(_names(len(images), labels), images, strict=True):
                (new / name).parent.mkdir(exist_ok=True)
                with (new / name).open("wb") as file:
                    _image(image).save(file, format="PNG")
                    file.flush()
                    os.fsync(file.fileno())
            _take_place(new, self.path, old)
        except OSError as error:
            raise naming(error, self.path) from error
        finally:
            for folder in (new, old):
                shutil.rmtree(folder, ignore_errors=True)


def _others(folder: Path) -> Iterator[str]:
    """What a folder of samples, or a folder of a class in it, holds beside numbered images."""
    for name in sorted(os.listdir(folder)):
        inner = folder / name
        if OF_A_CLASS.fullmatch(name) and inner.is_dir() and not inner.is_symlink():
            yield from (f"{name}/{file}" for file in sorted(os.listdir(inner)) if not OURS.fullmatch(file))
        elif not OURS.fullmatch(name):
            yield name


def _names(n: int, labels: Tensor | None) -> list[str]:
    """The names of n images: their numbers, of several classes those in their class, all equally long."""
    if labels is None:
        return [f"{index:0{len(str(n - 1))}d}.png" for index in range(n)]
    digits, longest = len(str(int(labels.max()))), len(str(int(labels.bincount().max()) - 1))
    counts: Counter[int] = Counter()
    names = []
    for label in labels.tolist():
        names.append(f"{label:0{digits}d}/{counts[label]:0{longest}d}.png")
        counts[label] += 1
    return names


def _take_place(new: Path, path: Path, old: Path) -> None:
    """Rename a folder to `path`; what has this name is `old` from now on."""
    if not path.exists():
        os.replace(new, path)
        return
    try:
        os.replace(path, old)
        os.replace(new, path)
    except BaseException:  # a signal too
        if not path.exists():
            os.replace(old, path)
        raise


def _image(pixels: np.ndarray) -> Image.Image:
    """Pixels in [0, 1], (h, w), (h, w, 1) or (h, w, 3), as an image of 8 bits."""
    from PIL import Image

    cells = (pixels.clip(0, 1) * 255).round().astype(np.uint8)
    return Image.fromarray(cells[..., 0] if cells.shape[2:] == (1,) else cells)
