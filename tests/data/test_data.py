"""`Dataset`: what it checks, its variance and its split."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ot_gen.data
from ot_gen.data import Dataset
from ot_gen.measures import Empirical, standard_gaussian


def cloud(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_every_public_name_exists_and_is_sorted():
    assert all(hasattr(ot_gen.data, name) for name in ot_gen.data.__all__)
    assert list(ot_gen.data.__all__) == sorted(ot_gen.data.__all__)


def test_dimensions_and_shape_are_checked():
    with pytest.raises(ValueError, match="dimension 3 and the held-out points 2"):
        Dataset(Empirical(cloud(5, 3)), Empirical(cloud(5, 2)))
    with pytest.raises(ValueError, match="does not fit rows of 6 numbers"):
        Dataset(Empirical(cloud(5, 6)), Empirical(cloud(5, 6)), shape=(1, 2, 2))
    for shape in [(3, 2), (-1, -2, 3), (1, 6, 1, 1)]:
        with pytest.raises(ValueError, match=r"shape.* must be a (list of 3, each a )?whole number >= 1, got"):
            Dataset(Empirical(cloud(5, 6)), Empirical(cloud(5, 6)), shape=shape)


def test_a_dataset_is_frozen():
    data = Dataset.split(cloud(10, 2))
    with pytest.raises(AttributeError):
        data.shape = (1, 1, 2)


@pytest.mark.parametrize("chunk", [1, 7, 2**22])
def test_variance_is_the_weighted_total_variance(monkeypatch, chunk):
    monkeypatch.setattr("ot_gen.measures.units.CHUNK", chunk)
    y, b = cloud(50, 3).double() + 100, torch.rand(50).double()
    b /= b.sum()
    expected = (b * (y - b @ y).square().sum(1)).sum()
    data = Dataset(Empirical(y, b), Empirical(y[:2]))
    assert data.variance == pytest.approx(float(expected), rel=1e-10)


def test_variance_does_not_lose_digits_far_from_the_origin():
    y = torch.tensor([[4096.0, 0.0], [4096.5, 0.0]])
    assert Dataset(Empirical(y), Empirical(y)).variance == pytest.approx(1 / 16, rel=1e-12)


def test_variance_of_a_law_is_estimated_on_the_held_out_points():
    test = Empirical(cloud(40, 3))
    assert Dataset(standard_gaussian(3), test).variance == Dataset(test, test).variance


def test_identical_points_have_no_variance():
    y = torch.full((7, 3), 0.1)
    with pytest.raises(ValueError, match="all points are identical"):
        _ = Dataset(Empirical(y), Empirical(cloud(5, 3))).variance
    only_one_has_mass = Empirical(cloud(2, 3), weights=torch.tensor([0.0, 1.0]))
    with pytest.raises(ValueError, match="all points are identical"):
        _ = Dataset(only_one_has_mass, Empirical(cloud(5, 3))).variance


@settings(max_examples=50, deadline=None, database=None)
@given(n=st.integers(4, 60), fraction=st.floats(0.001, 0.999), seed=st.none() | st.integers(0, 2**31))
def test_a_split_is_a_partition(n, fraction, seed):
    data = Dataset.split(torch.arange(float(n))[:, None], fraction, seed)
    both = torch.cat((data.train.atoms, data.test.atoms)).squeeze(1)
    assert torch.equal(both.sort().values, torch.arange(float(n)))
    assert len(data.test) == min(max(2, round(fraction * n)), n - 2)


def test_a_split_depends_on_its_seed_alone():
    y = cloud(30, 2)
    state = torch.get_rng_state()
    first, again, other = (Dataset.split(y, seed=seed).test.atoms for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_split_without_a_seed_copies_nothing():
    y = cloud(30, 2)
    data = Dataset.split(y, 0.5, seed=None, max_test=4)
    assert len(data.test) == 4 and torch.equal(data.test.atoms, y[-4:])
    assert data.train.atoms.untyped_storage().data_ptr() == y.untyped_storage().data_ptr()
    assert data.test.atoms.untyped_storage().data_ptr() == y.untyped_storage().data_ptr()


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, 7.0, float("nan")])
def test_a_split_refuses_fractions_outside_0_1(fraction):
    with pytest.raises(ValueError, match=r"test_fraction must be a number in \(0, 1\), got"):
        Dataset.split(cloud(10, 2), fraction)


def test_a_split_refuses_too_few_points():
    with pytest.raises(ValueError, match="have 3 points, too few"):
        Dataset.split(cloud(3, 2))
    with pytest.raises(ValueError, match="max_test must be a whole number >= 2, got 1"):
        Dataset.split(cloud(9, 2), max_test=1)
