"""Convolutional and residual networks: any size, row by row, in the range of the data, and at 28 pixels as ever."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ot_gen import (
    Conditional,
    ConvFeatures,
    ConvGenerator,
    GradientPenalty,
    ResNetFeatures,
    ResNetGenerator,
    SpectralNorm,
    UNetVelocity,
    add_head,
)
from ot_gen.execution import is_rowwise, networks
from ot_gen.networks.convolutional import kernel, resolutions
from ot_gen.runs.formats import FORMAT, reworded

GENERATORS = {"conv": ConvGenerator, "resnet": ResNetGenerator}
FEATURES = {"conv": ConvFeatures, "resnet": ResNetFeatures}
SHAPES = [(1, 28, 28), (3, 32, 32), (3, 29, 16), (1, 3, 1)]
both = pytest.mark.parametrize("kind", ["conv", "resnet"])
on_shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def images(n, shape):
    return torch.rand(n, math.prod(shape))


def assert_all_reached(module):
    assert [name for name, p in module.named_parameters() if p.grad is None or not bool(p.grad.any())] == []


@given(st.integers(1, 400), st.integers(1, 400))
@settings(max_examples=50, deadline=None)
def test_a_convolution_halves_an_image_and_a_transposed_one_gives_its_size_back(height, width):
    (_, half) = resolutions((1, height, width), 1)
    assert half == (math.ceil(height / 2), math.ceil(width / 2))
    down = nn.Conv2d(1, 1, kernel((height, width)), stride=2, padding=1, device="meta")
    up = nn.ConvTranspose2d(1, 1, kernel((height, width)), stride=2, padding=1, device="meta")
    small = down(torch.empty(1, 1, height, width, device="meta"))
    assert small.shape[2:] == half and up(small).shape[2:] == (height, width)


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_images_are_halved_until_their_larger_side_is_small_and_at_least_twice(height, width):
    sizes = resolutions((1, height, width), None)
    assert max(sizes[-1]) <= 7 and len(sizes) >= 3
    assert len(sizes) == 3 or max(sizes[-2]) > 7


@both
@on_shapes
def test_a_generator_draws_images_of_the_datas_range_row_by_row(kind, shape):
    net = GENERATORS[kind](5, shape, width=8)
    z = torch.randn(4, 5)
    x = net(z).detach()
    assert x.shape == (4, math.prod(shape)) and net.out_dim == math.prod(shape)
    assert 0 <= float(x.min()) <= float(x.max()) <= 1
    assert torch.allclose(torch.cat([net(row[None]) for row in z]), x, atol=1e-6)
    assert is_rowwise(net) and networks(net) == [net]
    signed = GENERATORS[kind](5, shape, width=8, output=nn.Tanh)(z).detach()
    assert float(signed.min()) < 0 and float(signed.abs().max()) <= 1


@both
@on_shapes
def test_features_serve_a_critic_with_a_gradient_penalty_row_by_row(kind, shape):
    features = FEATURES[kind](shape, width=8)
    net = add_head(features, 1)
    x, y = images(4, shape), images(4, shape)
    assert torch.allclose(torch.cat([net(row[None]) for row in x]), net(x), atol=1e-6)
    assert features(x).shape == (4, features.out_dim)
    assert is_rowwise(features)
    (net(x).square().mean() + GradientPenalty().penalty(lambda points: net(points)[:, 0], x, y)).backward()
    assert_all_reached(net)


@both
def test_every_parameter_of_a_generator_is_used_also_in_bfloat16(kind):
    net = GENERATORS[kind](5, (3, 29, 16), width=8)
    with torch.autocast("cpu", torch.bfloat16):
        x = net(torch.randn(4, 5))
    assert bool(x.isfinite().all())
    x.float().square().sum().backward()
    assert_all_reached(net)


@both
@pytest.mark.parametrize("labels_first", [False, True])
def test_spectral_norms_and_classes_work_with_them(kind, labels_first):
    """A class may be told before the norm or after it; each shifts every layer."""
    net = add_head(FEATURES[kind]((3, 9, 9), width=8), 1)
    net = SpectralNorm().attach(Conditional(net, 3)) if labels_first else Conditional(SpectralNorm().attach(net), 3)
    rows = torch.cat([images(6, (3, 9, 9)), torch.tensor([0.0, 1, 2, 0, 1, 2])[:, None]], dim=1)
    net(rows).sum().backward()
    assert_all_reached(net)
    for _ in range(30):  # steps of the power iteration
        net(rows)
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            assert float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("pixels", [28, 32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_of_large_images_stay_small_and_see_the_whole_image(pixels, channels):
    """Parameters in millions, at the default width, and a coarsest image of at most 7 x 7."""
    shape = (channels, pixels, pixels)
    with torch.device("meta"):
        made = [ConvGenerator(64, shape), ResNetGenerator(64, shape), UNetVelocity(shape)]
        made += [add_head(features(shape), 64) for features in FEATURES.values()]
    assert all(sum(p.numel() for p in net.parameters()) < 5e6 for net in made)
    assert max(net[0].out_dim for net in made[3:]) <= 256 * 7 * 7


@pytest.mark.parametrize("shape", [(1, 29, 31), (3, 32, 20), (1, 3, 1)])
def test_a_unet_takes_images_of_any_size(shape):
    v = UNetVelocity(shape, width=8)
    x = torch.randn(4, math.prod(shape))
    v(torch.rand(4), x).square().sum().backward()
    assert v(torch.rand(4), x).shape == x.shape
    assert_all_reached(v)


# --- what stays as it was


def before(shape, width, in_dim):
    """The networks of images with two halvings, as they were."""
    channels, height, across = shape
    start = (2 * width, height // 4, across // 4)
    generator = nn.Sequential(
        nn.Linear(in_dim, math.prod(start)),
        nn.ReLU(),
        nn.Unflatten(1, start),
        nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
        nn.GroupNorm(8, width) if width % 8 == 0 else nn.Identity(),
        nn.ReLU(),
        nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1),
        nn.Sigmoid(),
        nn.Flatten(),
    )
    features = nn.Sequential(
        nn.Unflatten(1, shape),
        nn.Conv2d(channels, width, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
    )
    return generator, features


@pytest.mark.parametrize(
    ("shape", "width", "halvings"),
    [((1, 28, 28), 32, None), ((3, 28, 20), 12, None), ((1, 8, 8), 8, None), ((3, 64, 64), 4, 2)],
)
def test_images_of_28_pixels_have_the_networks_that_they_had(shape, width, halvings):
    made = []
    for build in (
        lambda: before(shape, width, 6),
        lambda: (ConvGenerator(6, shape, width, halvings=halvings), ConvFeatures(shape, width, halvings)),
    ):
        torch.manual_seed(3)
        made.append(build())
    z, x = torch.randn(2, 6), images(2, shape)
    for (old, new), points in zip(zip(*made, strict=True), (z, x), strict=True):
        new.layers.load_state_dict(copy.deepcopy(old.state_dict()))
        assert torch.equal(old(points), new(points))
    torch.manual_seed(3)
    for old, new in zip(made[0], (ConvGenerator(6, shape, width, halvings=halvings), made[1][1]), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(old.parameters(), new.parameters(), strict=True))


def test_a_unet_of_28_pixels_has_the_parameters_that_it_had():
    shapes = [tuple(p.shape) for name, p in UNetVelocity((1, 28, 28), width=8).named_parameters() if ".grow" in name]
    assert shapes == [(16, 24, 3, 3), (16,), (8, 16, 3, 3), (8,)]
    assert sum(p.numel() for p in UNetVelocity((1, 28, 28)).parameters()) == 1_129_601


def test_convolutional_networks_of_earlier_records_halve_twice():
    old = {"generator": {"_target_": "ot_gen.ConvGenerator", "in_dim": 4, "shape": [3, 64, 64]}}
    assert reworded(old, 3)["generator"] == {**old["generator"], "halvings": 2}
    assert reworded(old, FORMAT) == reworded(old) == old
    foreign = [{"_target_": "mine.ConvGenerator"}, {"_target_": "ot_gen.ConvFeatures", "halvings": 3}]
    assert reworded(foreign, 1) == foreign


# --- what is refused


@pytest.mark.parametrize("made", [*GENERATORS.values(), *FEATURES.values(), UNetVelocity])
@pytest.mark.parametrize("shape", [None, (28, 28), (1, 0, 8), (1, 2, 3, 4)])
def test_shapes_that_are_no_images_are_named(made, shape):
    with pytest.raises(ValueError, match=r"need an image shape \(channels, height, width\), got|must be"):
        made(*((4,) if made in GENERATORS.values() else ()), shape)


@both
def test_points_of_another_shape_are_named(kind):
    with pytest.raises(ValueError, match=r"takes points \(n, 5\), got \(2, 4\)"):
        GENERATORS[kind](5, (1, 8, 8), width=8)(torch.zeros(2, 4))
    features = FEATURES[kind]((1, 8, 8), width=8)
    for x in (torch.zeros(2, 1, 8, 8), torch.zeros(2, 63), torch.zeros(64)):
        with pytest.raises(ValueError, match=r"takes images \(1, 8, 8\) as rows \(n, 64\), got .*x.flatten\(1\)"):
            features(x)


def test_a_head_needs_to_know_how_many_features_there_are():
    assert add_head(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), 1)(torch.zeros(4, 2)).shape == (4, 1)
    with pytest.raises(ValueError, match=r"Flatten.* does not say how many features it returns; .*out_dim"):
        add_head(nn.Flatten(), 1)
