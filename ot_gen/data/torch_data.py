"""Data sets of PyTorch, and so of torchvision and Hugging Face, as a `Dataset`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Subset

from ot_gen.arguments import checked, described
from ot_gen.data.classes import Classes
from ot_gen.data.dataset import Dataset, Share
from ot_gen.data.pictures import MOST_HELD_OUT, as_pixels, classes_of
from ot_gen.execution import keyword_only, on_one_line
from ot_gen.measures import Empirical, Pixels

IMAGES = ("image", "img", "pixel_values", "images", "x")
LABELS = ("label", "labels", "fine_label", "target", "y")


@keyword_only
@checked
def from_torch(
    dataset: object,
    test: object | None = None,
    *,
    label: str | None = None,
    flip: bool = False,
    test_fraction: Share = 0.2,
    seed: int = 0,
) -> Dataset:
    """Any map-style data set of PyTorch: of torchvision, of Hugging Face, or one of your own.

    An item is an image or a point, alone or as the first of a tuple (image, label), or a mapping with the key `image`
    (`img`, `pixel_values`, `x`) and perhaps `label`. Images are PIL images, or tensors and arrays (h, w), (c, h, w) or
    (h, w, c), bytes or floats in [0, 1], all of one size. Points are vectors (d,). Each item is read once, so a random
    transform is drawn once: leave augmentations out, and take `flip`. Images whose pixels are multiples of 1/255 are
    kept as bytes.

    Args:
        dataset: with `len(dataset)` and `dataset[i]`.
        test: another of the same kind, to be held out. None holds out a share of the first.
        label: the key of the labels in items that are mappings.
        flip: whether training images are mirrored left to right by a fair coin; labels stay.
        test_fraction: the share of the items that is held out, in (0, 1), at most 10,000 images.
        seed: of the split.

    Raises:
        ValueError: no map-style data set, items of several sizes or of another kind, pixels on another scale, or labels
            that are no classes.

    Example:
        >>> from torch.utils.data import TensorDataset
        >>> data = from_torch(TensorDataset(torch.rand(10, 3, 8, 8), torch.arange(10) % 2))
        >>> len(data.train), len(data.test), data.shape, data.train_labels.shape
        (8, 2, (3, 8, 8), torch.Size([8]))
    """
    rows, classes = _read(dataset, "dataset", label)
    shape = _shape(rows)
    labels, names = classes or (None, None)
    if test is None:
        most = MOST_HELD_OUT if shape else None
        data = Dataset.split(rows, test_fraction, seed, shape, most, labels, names)
    else:
        held_out, of_test = _read(test, "test", label)
        if of_test is not None and of_test.names != names:
            raise ValueError(
                f"the classes of test are {of_test.names}, and those of dataset {names}; number them alike"
            )
        parts = Empirical(rows), Empirical(held_out)
        data = Dataset(*parts, shape, labels, of_test and of_test.labels, class_names=names)
    return data.with_mirror_images() if flip else data


def _shape(rows: Tensor | Pixels) -> tuple[int, int, int] | None:
    if isinstance(rows, Tensor):
        return None
    channels, height, width = rows.images.shape[1:]
    return channels, height, width


def _read(dataset: Any, name: str, label: str | None) -> tuple[Tensor | Pixels, Classes | None]:
    """The images or points of a data set, and their classes."""
    if isinstance(dataset, type) or not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        raise ValueError(
            f"{name} must be a map-style data set, with len(...) and [i], got {described(dataset)}; make one of a "
            "stream, e.g. list(stream)"
        )
    if len(dataset) < 2:
        raise ValueError(f"{name} has {len(dataset)} items; give at least two")
    store, labels = _Store(len(dataset), name), []
    for i in range(len(dataset)):
        image, known = _parts(dataset[i], f"{name}[{i}]", label)
        store.put(i, image)
        labels.append(known)
    classes = None
    if all(known is not None for known in labels):
        classes = classes_of(np.asarray(labels), len(labels), f"the labels of {name}")
        classes = classes and classes._replace(names=_names(dataset, label, classes))
    numbers = store.numbers
    if numbers.ndim == 2:
        return torch.from_numpy(numbers).to(torch.get_default_dtype()), classes
    return as_pixels(numbers, name), classes


@final
class _Store:
    """Items as one array: bytes as long as all images hold multiples of 1/255, else floats."""

    numbers: NDArray[Any]

    def __init__(self, n: int, name: str) -> None:
        self.n, self.name = n, name

    def put(self, i: int, item: Any) -> None:
        what = f"{self.name}[{i}]"
        array = _array(item, what)
        whole = _bytes(array) if array.ndim > 1 else None
        if i == 0:
            dtype = np.float32 if whole is None and array.dtype != np.float64 else array.dtype
            self.numbers = np.empty((self.n, *array.shape), dtype if whole is None else np.uint8)
        elif array.shape != self.numbers.shape[1:]:
            raise ValueError(
                f"{what} has the shape {array.shape}, and {self.name}[0] {self.numbers.shape[1:]}; bring all to one "
                "size, as torchvision.transforms.Resize and CenterCrop do"
            )
        if whole is None and self.numbers.dtype == np.uint8:
            self.numbers = self.numbers / np.float32(255)
        if self.numbers.dtype == np.uint8 or whole is None:
            self.numbers[i] = array if whole is None else whole
        else:
            self.numbers[i] = whole / np.float32(255)


def _parts(item: Any, what: str, label: str | None) -> tuple[Any, Any]:
    """The image or point of an item, and its label or None."""
    known = None
    if isinstance(item, Mapping):
        key = next((key for key in IMAGES if key in item), None)
        if key is None:
            raise ValueError(f"{what} has the keys {list(item)}, and none of {', '.join(IMAGES)}; rename one")
        if label is not None and label not in item:
            raise ValueError(f"{what} has no key {label!r}; its keys are {list(item)}")
        of_label = label or next((key for key in LABELS if key in item), None)
        item, known = item[key], None if of_label is None else item[of_label]
    elif isinstance(item, tuple | list) and item:
        item, known = item[0], item[1] if len(item) > 1 else None
    return item, known.item() if isinstance(known, Tensor) and known.numel() == 1 else known


def _array(item: Any, what: str) -> NDArray[Any]:
    """An image or a point as an array of real numbers."""
    if hasattr(item, "convert") and hasattr(item, "mode"):  # of PIL
        item = item.convert("L" if item.mode in ("1", "L", "LA") else "RGB")
    try:
        array = item.detach().cpu().numpy() if isinstance(item, Tensor) else np.asarray(item)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} is {described(item)}, no image or point ({on_one_line(error)})") from error
    if array.dtype.kind not in "biuf" or not 1 <= array.ndim <= 3 or not array.size:
        raise ValueError(
            f"{what} is {described(item)}; images are (h, w), (c, h, w) or (h, w, c), and points (d,), of real numbers"
        )
    return array


def _bytes(image: NDArray[Any]) -> NDArray[np.uint8] | None:
    """An image of multiples of 1/255 as bytes, or None."""
    if image.dtype.kind != "f":
        scaled = image * 255 if image.dtype == np.bool_ else image
        return scaled.astype(np.uint8) if scaled.min() >= 0 and scaled.max() <= 255 else None
    whole = np.round(image * 255)
    fits = image.min() >= 0 and image.max() <= 1 and np.abs(image * 255 - whole).max() < 1e-3
    return whole.astype(np.uint8) if fits else None


def _names(dataset: Any, label: str | None, classes: Classes) -> tuple[str, ...] | None:
    """The names of the classes, where a data set has them: torchvision's `classes`, and Hugging Face's features."""
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    known = getattr(dataset, "classes", None)
    if isinstance(features := getattr(dataset, "features", None), Mapping):
        key = label or next((key for key in LABELS if key in features), None)
        known = getattr(features.get(key), "names", None)
    numbers = [str(k) for k in range(int(classes.labels.max()) + 1)] if classes.names is None else classes.names
    if not isinstance(known, list | tuple) or not all(k.isdigit() and int(k) < len(known) for k in numbers):
        return classes.names
    return tuple(str(known[int(k)]) for k in numbers)
