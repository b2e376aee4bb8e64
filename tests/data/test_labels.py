"""Labels: they stay with their points, are checked, and say so where they are missing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from ot_gen.data import (
    Dataset,
    checkerboard,
    digits,
    eight_gaussians,
    image_folder,
    mnist,
    parallel_lines,
    pinwheel,
    rings,
    swiss_roll,
    toy,
    twenty_five_gaussians,
    two_moons,
)
from ot_gen.data.digits import EMBEDDED
from ot_gen.measures import Empirical, standard_gaussian


@pytest.mark.parametrize("seed", [0, None])
def test_a_split_keeps_each_label_with_its_point(seed):
    points = torch.arange(20.0)[:, None]
    data = Dataset.split(points, 0.3, seed=seed, labels=torch.arange(20))
    for measure, labels in zip((data.train, data.test), data.labels, strict=True):
        assert torch.equal(measure.atoms[:, 0].long(), labels)


def test_digits_carry_their_labels():
    from sklearn.datasets import load_digits

    found, data = load_digits(), digits()
    classes = {tuple(pixels): label for pixels, label in zip(found.data.tolist(), found.target.tolist(), strict=True)}
    for measure, labels in zip((data.train, data.test), data.labels, strict=True):
        assert [classes[tuple(pixels)] for pixels in (16 * measure.atoms).tolist()] == labels.tolist()


def test_mnist_carries_its_labels():
    with np.load(EMBEDDED, allow_pickle=False) as arrays:
        expected = arrays["labels"].tolist()
    train, test = mnist().labels
    assert train.dtype == test.dtype == torch.int64
    assert train.tolist() + test.tolist() == expected


@pytest.mark.parametrize(
    ("law", "parts"),
    [
        (eight_gaussians(), 8),
        (twenty_five_gaussians(), 25),
        (two_moons(), 2),
        (pinwheel(arms=3), 3),
        (rings(), 4),
        (parallel_lines((-1.0, 0.5, 2.0)), 3),
    ],
)
def test_the_parts_of_a_toy_have_equal_mass(law, parts):
    train, test = toy(law, size=4000, test_size=4000).labels
    for labels in (train, test):
        mass = labels.bincount(minlength=parts) / len(labels)
        assert len(mass) == parts
        assert (mass - 1 / parts).abs().max() < 0.03


def test_the_components_are_those_the_points_come_from():
    law = eight_gaussians().law
    which = torch.arange(8).repeat_interleave(50)
    points = law.component_distribution.sample(torch.Size([50])).transpose(0, 1).reshape(-1, 2)

    class Fixed(type(eight_gaussians())):
        def sample(self, n):
            return points[:n]

    assert torch.equal(toy(Fixed(law), size=400, test_size=400).test_labels, which)


def test_a_moon_is_the_half_circle_that_a_point_lies_on():
    data = toy(two_moons(noise=0.0), size=500)
    train, _ = data.labels
    y = data.train.atoms / 1.5
    upper = ((y + torch.tensor([0.5, 0.25])).norm(dim=1) - 1).abs() < 1e-4
    lower = ((y - torch.tensor([0.5, 0.25])).norm(dim=1) - 1).abs() < 1e-4
    assert (upper[train == 0]).all() and (lower[train == 1]).all()


def test_an_arm_turned_by_one_is_the_next_arm():
    y = toy(pinwheel(arms=5, tangential=0.02), size=500).train.atoms
    component = pinwheel(arms=5).component
    turn = torch.tensor(2 * torch.pi / 5)
    rotation = torch.tensor([[turn.cos(), -turn.sin()], [turn.sin(), turn.cos()]])
    assert torch.equal(component(y @ rotation.T), (component(y) + 1) % 5)


def test_a_law_without_parts_has_no_labels_and_says_so():
    for law in (swiss_roll(), checkerboard(), standard_gaussian(2)):
        data = toy(law, size=10, test_size=10)
        with pytest.raises(ValueError, match=r"training points have no labels.*mnist\(\)"):
            _ = data.labels
    fresh = toy(rings(), size=None, test_size=10)
    assert fresh.test_labels is not None
    with pytest.raises(ValueError, match="training points have no labels"):
        _ = fresh.labels


def test_the_labels_of_a_folder_are_its_subfolders(tmp_path):
    shades = {"cats": 0, "dogs": 100, "eels": 200}
    for name, grey in shades.items():
        (tmp_path / name).mkdir()
        for i in range(4):
            Image.new("L", (5, 5), grey).save(tmp_path / name / f"{i}.png")
    data = image_folder(tmp_path, size=(4, 4))
    for measure, labels in zip((data.train, data.test), data.labels, strict=True):
        assert torch.equal((measure.atoms[:, 0] * 255 / 100).round().long(), labels)
    Image.new("L", (5, 5), 0).save(tmp_path / "stray.png")
    assert image_folder(tmp_path, size=(4, 4)).train_labels is None


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.zeros(4, dtype=torch.int64), r"of shape \(5,\), one for each atom, got torch.int64 of shape \(4,\)"),
        (torch.zeros(5), r"int64 .* got torch.float32.*number the classes"),
        (torch.tensor([0, 1, 2, 3, -1]), "minimum -1"),
    ],
)
def test_bad_labels_are_refused(labels, message):
    points = Empirical(torch.randn(5, 2))
    with pytest.raises(ValueError, match=message):
        Dataset(points, points, train_labels=labels)
    with pytest.raises(ValueError, match=message):
        Dataset(points, points, test_labels=labels)
    with pytest.raises(ValueError, match=r"shape \(6,\), one for each point, got \(5,\)"):
        Dataset.split(torch.randn(6, 2), labels=torch.zeros(5, dtype=torch.int64))


def test_a_law_has_no_atoms_to_label():
    with pytest.raises(ValueError, match="has none: it is sampled afresh"):
        Dataset(standard_gaussian(2), Empirical(torch.randn(5, 2)), train_labels=torch.zeros(5, dtype=torch.int64))


def test_labels_are_whole_numbers_of_arrays_and_lists_too():
    points, classes = torch.rand(6, 2), [0, 1, 0, 1, 1, 0]
    for labels in (classes, np.array(classes), np.array(classes, np.uint8), torch.tensor(classes)):
        train, test = Dataset.split(points, 0.5, seed=None, labels=labels).labels
        assert (train.tolist(), test.tolist()) == (classes[:3], classes[3:]) and train.dtype == torch.int64
    with pytest.raises(ValueError, match="whole numbers >= 0"):
        Dataset.split(points, 0.5, labels=[0.5] * 6)
