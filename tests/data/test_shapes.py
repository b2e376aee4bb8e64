"""Coloured shapes: of their seed alone, whole, of their class, and the same picture at any resolution."""

import pytest
import torch

from ot_gen.data import shapes

GROUND = 0.94


def images(measure, data):
    return measure.atoms.reshape(-1, *data.shape)


def test_they_are_images_with_classes_that_depend_on_the_seed_alone():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    data, again = shapes(size=400, test_size=9), shapes(size=400, test_size=9)
    assert torch.equal(torch.get_rng_state(), state)
    assert data.shape == (3, 32, 32) and data.train.atoms.dtype == torch.float32
    assert 0 <= float(data.train.atoms.min()) <= float(data.train.atoms.max()) <= 1
    assert torch.equal(data.train.atoms, again.train.atoms) and torch.equal(data.test_labels, again.test_labels)
    assert torch.equal(shapes(size=2, test_size=9).test.atoms, data.test.atoms)
    assert not torch.equal(shapes(size=400, test_size=9, seed=1).test.atoms, data.test.atoms)
    assert not torch.equal(data.train.atoms[:9], data.test.atoms)
    counts = torch.bincount(data.train_labels, minlength=4)
    assert len(counts) == 4 and 60 < int(counts.min()) <= int(counts.max()) < 140


def test_a_shape_is_whole_of_one_colour_on_the_ground():
    data = shapes(size=300, pixels=40)
    x = images(data.train, data)
    edges = torch.cat([x[:, :, 0], x[:, :, -1], x[:, :, :, 0], x[:, :, :, -1]], dim=2)
    assert float((edges - GROUND).abs().max()) < 0.55  # at most a pixel that the edge of a shape halves
    cover = (x - GROUND).abs().amax(1)
    area = (cover > 0.2).float().mean((1, 2))
    assert float(area.min()) > 0.02 and float(area.max()) < 0.35
    kind, n = data.train_labels, torch.arange(300)
    peak = cover.flatten(1).argmax(1)
    colours = x.flatten(2)[n, :, peak]
    assert float((colours[:, None] - colours[None]).abs().sum(2).median()) > 0.5  # they differ from image to image
    box = (cover > 0.2).any(2).float().mean(1) * (cover > 0.2).any(1).float().mean(1)
    circle, cross, square, triangle = ((area / box)[kind == k].mean() for k in range(4))
    assert square > circle > max(cross, triangle)  # what they fill of the box around them


@pytest.mark.parametrize("pixels", [16, 32])
def test_more_pixels_show_the_same_image(pixels):
    coarse, fine = shapes(size=50, pixels=pixels), shapes(size=50, pixels=2 * pixels)
    assert torch.equal(coarse.train_labels, fine.train_labels)
    mean = torch.nn.functional.avg_pool2d(images(fine.train, fine), 2)
    assert float((mean - images(coarse.train, coarse)).abs().mean()) < 0.01


def test_images_without_room_for_a_shape_are_refused():
    with pytest.raises(ValueError, match="pixels must be a whole number"):
        shapes(pixels=7)
    with pytest.raises(ValueError, match="size must be a whole number"):
        shapes(size=1)
