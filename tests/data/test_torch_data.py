"""Data sets of PyTorch: images of every kind, with and without labels, alone, in tuples and in mappings."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import IterableDataset, Subset, TensorDataset

from ot_gen.data import from_torch
from ot_gen.measures import Pixels

BYTES = torch.randint(0, 256, (12, 3, 4, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
KINDS = torch.arange(12) % 3


def rows(data):
    return sorted(map(tuple, torch.cat([data.train.atoms, data.test.atoms]).tolist()))


def picture(i):
    return Image.fromarray(BYTES[i].permute(1, 2, 0).numpy())


IMAGES = {
    "bytes": lambda i: BYTES[i],
    "ToTensor": lambda i: BYTES[i].float() / 255,
    "arrays": lambda i: BYTES[i].permute(1, 2, 0).numpy(),
    "lists": lambda i: BYTES[i].tolist(),
    "PIL": picture,
    "PIL with transparency": lambda i: picture(i).convert("RGBA"),
}
ITEMS = {
    "alone": lambda image, k: image,
    "(image,)": lambda image, k: (image,),
    "(image, label)": lambda image, k: (image, int(k)),
    "(image, tensor)": lambda image, k: (image, k),
    "a mapping": lambda image, k: {"image": image, "label": int(k)},
    "a mapping of torchvision's words": lambda image, k: {"pixel_values": image, "target": int(k), "id": 7},
}


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("form", ITEMS)
def test_every_kind_of_item_gives_the_same_bytes(kind, form):
    if (kind, form) == ("lists", "alone"):
        return  # a list is an item of an image and a label
    data = from_torch([ITEMS[form](IMAGES[kind](i), KINDS[i]) for i in range(12)])
    assert data.shape == (3, 4, 6) and data.train.rows.images.dtype == torch.uint8
    assert rows(data) == sorted(map(tuple, (BYTES.flatten(1).float() / 255).tolist()))
    if form in ("alone", "(image,)"):
        assert data.train_labels is None
        return
    of = {tuple(row): int(k) for row, k in zip((BYTES.flatten(1).float() / 255).tolist(), KINDS, strict=True)}
    assert [of[tuple(row)] for row in data.train.atoms.tolist()] == data.train_labels.tolist()


def test_floats_between_the_bytes_stay_floats_also_after_bytes():
    odd = torch.full((3, 4, 6), 0.123456)
    data = from_torch([*(BYTES[i].float() / 255 for i in range(6)), odd, BYTES[7], odd, odd])
    assert data.train.rows.images.dtype == torch.float32
    both = torch.cat([data.train.atoms, data.test.atoms])
    assert (both == 0.123456).all(dim=1).sum() == 3 and both.max() <= 1


def test_vectors_are_points_and_another_set_is_held_out():
    cloud, other = torch.randn(12, 2), torch.randn(5, 2)
    data = from_torch(TensorDataset(cloud, KINDS), TensorDataset(other, KINDS[:5]))
    assert torch.equal(data.train.atoms, cloud) and torch.equal(data.test.atoms, other)
    assert data.shape is None and torch.equal(data.test_labels, KINDS[:5])


class Named(TensorDataset):
    classes = ("cat", "dog", "emu", "fox")


def test_the_names_of_torchvision_are_kept_also_by_a_part():
    whole = Named(BYTES, KINDS)
    assert from_torch(whole).class_names == ("cat", "dog", "emu")
    part = Subset(whole, [i for i in range(12) if KINDS[i] != 0])
    data = from_torch(part, test_fraction=0.3)
    assert data.class_names == ("dog", "emu") and sorted(data.train_labels.unique().tolist()) == [0, 1]


def test_the_names_of_hugging_face_are_kept():
    class Feature:
        names = ("tee", "boot", "bag")

    class Features(list):
        features = {"image": None, "kind": Feature}

    data = from_torch(Features({"image": BYTES[i], "kind": int(KINDS[i])} for i in range(12)), label="kind")
    assert data.class_names == Feature.names


def test_flips_are_of_images_alone():
    data = from_torch(TensorDataset(BYTES, KINDS), TensorDataset(BYTES[:5], KINDS[:5]), flip=True)
    assert torch.equal(data.train.atoms[12:], BYTES.flip(3).flatten(1).float() / 255)
    assert torch.equal(data.test.atoms, BYTES[:5].flatten(1).float() / 255)
    assert isinstance(data.train.rows, Pixels) and torch.equal(data.train_labels, KINDS.repeat(2))
    with pytest.raises(ValueError, match="only images are mirrored"):
        from_torch(TensorDataset(torch.randn(9, 2)), flip=True)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(BYTES)


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (Stream(), r"must be a map-style data set, with len\(\.\.\.\) and \[i\], got a Stream"),
        (TensorDataset, "must be a map-style data set"),
        (7, "must be a map-style data set"),
        ([BYTES[0]], "has 1 items"),
        ([BYTES[0], BYTES[1][:, :2]], r"dataset\[1\] has the shape \(3, 2, 6\), and dataset\[0\] \(3, 4, 6\)"),
        ([{"picture": BYTES[0]}] * 9, r"dataset\[0\] has the keys \['picture'\], and none of image"),
        (["a.png"] * 9, r"dataset\[0\] is 'a.png'|dataset\[0\] is a str"),
        ([(BYTES[0] / 127.5) - 1] * 9, r"take \(x \+ 1\) / 2"),
        ([BYTES[0].float()] * 9, "x / 255"),
        ([torch.zeros(5, 4, 4)] * 9, "one channel or three"),
        ([torch.full((1, 2, 2), float("nan"))] * 9, "NaN or Inf"),
        ([(BYTES[0], i / 3) for i in range(9)], "no measured quantity"),
        ([torch.zeros(2, 2, 2, 2)] * 9, r"images are \(h, w\)"),
    ],
)
def test_what_is_no_data_set_is_named(dataset, words):
    with pytest.raises(ValueError, match=words) as error:
        from_torch(dataset)
    assert "\n" not in str(error.value)


def test_classes_of_two_sets_must_be_numbered_alike():
    with pytest.raises(ValueError, match="number them alike"):
        from_torch([(BYTES[i], "ab"[i % 2]) for i in range(9)], [(BYTES[i], "xy"[i % 2]) for i in range(9)])
    with pytest.raises(ValueError, match="no key 'kind'; its keys are"):
        from_torch([{"image": BYTES[0]}] * 9, label="kind")


def test_arrays_of_any_order_are_read():
    data = from_torch([np.asfortranarray(BYTES[i].numpy()) for i in range(12)])
    assert data.shape == (3, 4, 6)
