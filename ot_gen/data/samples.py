"""Samples that another generator made, in the space of a data set."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ot_gen.arguments import checked
from ot_gen.data.arrays import read_array
from ot_gen.data.image_files import read_images
from ot_gen.execution import absolute
from ot_gen.measures import Pixels, check_cloud

_SLACK = 0.5  # pixels this far outside [0, 1] are taken for noise, further ones for another scale


@checked
def samples(
    path: str | Path,
    dim: int,
    shape: tuple[int, int, int] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """The samples in a file or a folder of images as points, (n, dim), n >= 2.

    Arrays of whole images, (n, height, width), (n, channels, height, width) or (n, height, width, channels), are
    flattened channel first. Bytes (uint8) of images are divided by 255.

    Args:
        path: an .npy, .npz or .csv file (see `points`), or, for images, a folder of them.
        dim: the dimension d of the data.
        shape: (channels, height, width) of the data, where they are images with pixels in [0, 1].
        dtype: that of the data.

    Raises:
        ValueError: nothing there, a file that cannot be read, no finite numbers, fewer than two samples, another
            dimension, or pixels on another scale than [0, 1].

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     np.save(Path(folder) / "a.npy", np.full((5, 2, 2), 255, np.uint8))
        ...     samples(Path(folder) / "a.npy", dim=4, shape=(1, 2, 2))[0]
        tensor([1., 1., 1., 1.])
    """
    file = absolute(path)
    if os.path.isdir(file):  # pathlib raises of names that are too long
        if shape is None:
            raise ValueError(
                f"{file} is a folder, but the data are no images; give an .npy, .npz or .csv file of points"
            )
        return _checked(Pixels(read_images(file, shape[1:], shape[0])[0])[:], file)
    array = read_array(file)
    if array.ndim == 4 and shape is not None and array.shape[1:] == (*shape[1:], shape[0]):
        array = np.moveaxis(array, 3, 1)
    if array.ndim < 2 or math.prod(array.shape[1:]) != dim:
        of = f"images {shape} of {dim} pixels" if shape else f"points of dimension {dim}"
        raise ValueError(
            f"{file} holds an array {array.shape}, and the data are {of}; save one sample a row, (n, {dim})"
        )
    with np.errstate(over="ignore"):  # too large for float32: reported with its row below
        kept = np.float64 if dtype == torch.float64 else np.float32
        cloud = torch.from_numpy(np.array(array.reshape(len(array), dim), dtype=kept))
    if shape is not None and array.dtype == np.uint8:
        return _checked(cloud / 255, file)
    cloud = _checked(cloud, file)
    low, high = float(cloud.min()), float(cloud.max())
    if shape is not None and (low < -_SLACK or high > 1 + _SLACK):
        raise ValueError(
            f"{file} holds pixels in [{low:g}, {high:g}], and the data have pixels in [0, 1]; rescale them "
            "(x / 255, or (x + 1) / 2)"
        )
    return cloud


def _checked(cloud: Tensor, file: Path) -> Tensor:
    check_cloud(cloud, f"the samples of {file}")
    if len(cloud) < 2:
        raise ValueError(f"{file} holds one sample, which is no law; give many, best 1,000 or more")
    return cloud
