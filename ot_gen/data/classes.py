"""Classes as files name them, as numbers from 0 with their names."""

from __future__ import annotations

from typing import Any, NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FEWEST = 1.5  # points of a class, on average


@final
class Classes(NamedTuple):
    """The classes of n points.

    Attributes:
        labels: their numbers, (n,) int64, from 0 without a gap.
        names: of the classes, in the order of their numbers; None where these are the numbers themselves.
    """

    labels: Tensor
    names: tuple[str, ...] | None


def numbered(values: NDArray[Any], what: str) -> Classes:
    """Classes of any whole numbers or texts: sorted, and numbered from 0.

    Args:
        values: (n,) or (n, 1).
        what: they are, for errors.

    Raises:
        ValueError: another shape, numbers that are not whole, or texts that are nearly all different.

    Example:
        >>> numbered(np.array(["dog", "cat", "dog"]), "labels")
        Classes(labels=tensor([1, 0, 1]), names=('cat', 'dog'))
        >>> numbered(np.array([3, 7, 3]), "labels")
        Classes(labels=tensor([0, 1, 0]), names=('3', '7'))
    """
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        one_hot = "; of one-hot rows take argmax(axis=1)" if values.ndim == 2 else ""
        raise ValueError(f"{what} have shape {values.shape}; classes are one for each point, (n,){one_hot}")
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if values.dtype.kind not in "biufU":
        raise ValueError(f"{what} are {values.dtype}; classes are whole numbers or texts")
    if values.dtype.kind == "f" and not np.all(values == np.round(values)):  # NaN is unequal to itself
        bad = int(np.argmax(values != np.round(values)))
        raise ValueError(f"{what} hold {values[bad]:g}; classes are whole numbers or texts, and no measured quantity")
    classes, numbers = np.unique(values, return_inverse=True)
    if len(classes) > max(2, len(values) / FEWEST):
        raise ValueError(
            f"{what} have {len(classes)} different values for {len(values)} points, so they are no classes; leave them "
            "out, or name others"
        )
    if values.dtype.kind == "U":
        names: tuple[str, ...] | None = tuple(map(str, classes))
    else:
        whole = [int(number) for number in classes]
        names = None if whole == list(range(len(whole))) else tuple(map(str, whole))
    return Classes(torch.from_numpy(numbers.reshape(-1).astype(np.int64)), names)
