"""Bytes are the numbers that they stand for: in samples, costs, transforms, plans, judgement, and in memory."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ot_gen import (
    Empirical,
    Euclidean,
    LabelledData,
    SquaredEuclidean,
    Units,
    c_transform,
    certify,
    exact_plan,
    semidiscrete,
    standard_gaussian,
)
from ot_gen.evaluation import Coverage, FrechetDistance, Memorisation, Metrics, View
from ot_gen.execution import fingerprint
from ot_gen.measures import Pixels, moments

SHAPE = (3, 4, 5)


def stored(n=60, seed=0, shape=SHAPE):
    return torch.randint(0, 256, (n, *shape), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def both(n=60, seed=0):
    """The same data as bytes and as floats."""
    images = stored(n, seed)
    return Empirical(Pixels(images)), Empirical(images.flatten(1).float() / 255)


def drawn(measure, n=50):
    torch.manual_seed(3)
    return measure.sample(n)


@settings(deadline=None, max_examples=30)
@given(n=st.integers(2, 40), seed=st.integers(0, 99), last=st.booleans(), dtype=st.sampled_from(["float32", "float64"]))
def test_bytes_are_floats_for_every_index(n, seed, last, dtype):
    images = stored(n, seed)
    pixels = Pixels(images.movedim(1, 3).contiguous().movedim(3, 1) if last else images).to(getattr(torch, dtype))
    floats = images.flatten(1).to(getattr(torch, dtype)) / 255
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    for which in (slice(None), slice(1, None, 2), 0, torch.tensor(1), order, order < n // 2):
        assert torch.equal(pixels[which], floats[which])
    assert torch.equal(pixels.take(order)[:], floats[order])
    assert torch.equal(torch.cat(list(pixels.take(order).split(7))), floats[order])
    assert (pixels.shape, pixels.dtype, len(pixels), pixels.nbytes) == (floats.shape, floats.dtype, n, floats.nbytes)


def test_samples_are_equal_bit_for_bit():
    pixels, floats = both()
    assert torch.equal(drawn(pixels), drawn(floats))
    u = torch.rand(9, 1)
    assert torch.equal(pixels.from_cube(u), floats.from_cube(u))
    weights = torch.arange(1.0, 61) / torch.arange(1.0, 61).sum()
    one, other = (Empirical(part, weights) for part in (Pixels(stored()), floats.atoms))
    assert torch.equal(drawn(one), drawn(other))
    labels = torch.arange(60) % 3
    assert torch.equal(drawn(LabelledData(pixels, labels)), drawn(LabelledData(floats, labels)))


@pytest.mark.parametrize("cost", [SquaredEuclidean(), Euclidean()])
@pytest.mark.parametrize("epsilon", [0.0, 0.1])
@pytest.mark.parametrize("m", [60, 2**13 + 5])
def test_c_transforms_are_equal_bit_for_bit(cost, epsilon, m):
    pixels, floats = both(m)
    h_tilde, x = torch.randn(m), torch.rand(40, floats.dim, requires_grad=True)
    values = []
    for nu in (pixels, floats):
        h, argmin = c_transform(cost, x, nu.rows, h_tilde, epsilon)
        (gradient,) = torch.autograd.grad(h.sum(), x)
        values.append((h.detach(), argmin, gradient))
    assert all(torch.equal(one, other) for one, other in zip(*values, strict=True))


def test_costs_and_plans_are_equal_bit_for_bit():
    pixels, floats = both()
    x = torch.rand(20, floats.dim)
    costs = [SquaredEuclidean().matrix(x, drawn(nu, 20)) for nu in (pixels, floats)]
    assert torch.equal(*costs)
    one, other = (exact_plan(C) for C in costs)
    assert torch.equal(one.matrix, other.matrix)


@pytest.mark.parametrize("n", [2, 60, 700])
def test_moments_of_bytes_are_exact(n):
    pixels, floats = both(n)
    for one, other in zip(moments(pixels), moments(floats), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-12)
    exact = stored(n).flatten(1).double() / 255
    torch.testing.assert_close(moments(pixels)[1], exact.var(dim=0, correction=0), rtol=1e-12, atol=1e-14)
    same = Empirical(Pixels(torch.full((n, *SHAPE), 77, dtype=torch.uint8)))
    assert moments(same)[1].max() == 0
    standard = [Units.shared(nu).standardised(nu).atoms for nu in (pixels, floats)]
    torch.testing.assert_close(*standard, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_semidiscrete_solve_and_a_certificate_are_equal_bit_for_bit():
    solved, certified = [], []
    for nu in both(12):
        mu = standard_gaussian(nu.dim)
        torch.manual_seed(0)
        solved.append(semidiscrete(mu, nu, SquaredEuclidean(), tol=0.5, max_samples=4000).h_tilde)
        certificate = certify(mu, nu, Euclidean(), max_samples=2000, seed=0)
        certified.append((certificate.lower, certificate.upper, *certificate.interval))
    assert torch.equal(*solved)
    assert certified[0] == certified[1]


def test_judgement_is_equal_bit_for_bit():
    metrics = Metrics(
        {"points": View({"frechet": FrechetDistance(), "coverage": Coverage()})}, memorisation=Memorisation()
    )
    mu = standard_gaussian(60)
    of_bytes, of_floats = (
        metrics(mu, train, test, n=40, seed=0) for train, test in zip(both(90), both(80, seed=1), strict=True)
    )
    assert not of_floats.failures
    assert {"frechet", "coverage", "memorisation"} <= of_floats.values.keys()
    assert of_bytes == of_floats


def test_mirror_images_are_twice_the_atoms_and_keep_their_labels():
    images = stored(10)
    doubled = Pixels(images).with_mirror_images()
    assert len(doubled) == 20
    assert torch.equal(doubled[:10], Pixels(images)[:])
    assert torch.equal(doubled[10:], Pixels(images.flip(3))[:])
    assert torch.equal(doubled.with_mirror_images()[20:], torch.cat([doubled[10:], doubled[:10]]))
    rows = doubled.take(torch.tensor([13, 3]))
    assert torch.equal(rows.with_mirror_images()[:], doubled[torch.tensor([13, 3, 3, 13])])


def test_a_selection_that_moves_takes_its_own_images_along():
    pixels = Pixels(stored(20)).with_mirror_images().take(torch.tensor([1, 25, 5, 39]))
    rows = pixels[:]
    moved = pixels.to("meta")
    assert len(moved.images) == 3  # 1, 5 and 19
    assert (moved.shape, moved.dtype) == (rows.shape, rows.dtype)


def test_pixels_of_a_file_are_read_where_they_are_drawn(tmp_path):
    images = np.lib.format.open_memmap(tmp_path / "a.npy", mode="w+", dtype=np.uint8, shape=(1000, 8, 8, 3))
    images[:] = np.arange(1000, dtype=np.uint16).astype(np.uint8)[:, None, None, None]
    mapped = torch.from_numpy(np.load(tmp_path / "a.npy", mmap_mode="c")).movedim(3, 1)
    nu = Empirical(Pixels(mapped).take(torch.arange(999, -1, -1)))
    assert nu.rows.images.data_ptr() == mapped.data_ptr()  # no copy
    assert torch.equal(nu.rows[:3], torch.tensor([231, 230, 229]).float()[:, None].expand(3, 192) / 255)


def test_a_fingerprint_tells_bytes_apart():
    one, again, other = (fingerprint(data=Empirical(Pixels(stored(seed=seed)))) for seed in (0, 0, 1))
    assert one == again != other


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.zeros(3, 4), r"images must be \(n, channels, height, width\)"),
        (torch.zeros(0, 1, 2, 2), "n >= 1"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.int64), "uint8 .* or floats, got torch.int64"),
        (torch.tensor([0.0, float("nan")]).reshape(2, 1, 1, 1), "first: image 1"),
    ],
)
def test_what_are_no_images_is_refused(images, words):
    with pytest.raises(ValueError, match=words):
        Pixels(images)


def test_labels_and_states_stay_small():
    assert Empirical(Pixels(stored())).state_dict() == {}
