"""Optimal maps between Gaussians: they carry one covariance to the other, and invert each other."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ot_gen.transport import gaussian_maps, powers


def covariance(seed, d):
    root = torch.randn(d, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return root @ root.T + 0.1 * torch.eye(d, dtype=torch.float64)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), d=st.integers(1, 6))
def test_maps_carry_covariances_to_each_other_and_are_positive(seed, d):
    S, R = covariance(seed, d), covariance(seed + 1, d)
    forth, back, overlap = gaussian_maps(S, R)
    torch.testing.assert_close(forth @ S @ forth, R)
    torch.testing.assert_close(back @ R @ back, S)
    torch.testing.assert_close(forth @ back, torch.eye(d, dtype=torch.float64))
    assert bool((torch.linalg.eigvalsh(forth) > 0).all())
    torch.testing.assert_close(overlap, (forth @ S).trace())  # E⟨x, Tx⟩


def test_directions_without_variance_are_left_out():
    S, R = torch.diag(torch.tensor([4.0, 0.0])), torch.eye(2)
    forth, back, overlap = gaussian_maps(S, R)
    assert forth.tolist() == [[0.5, 0.0], [0.0, 0.0]]
    assert back.tolist() == [[2.0, 0.0], [0.0, 0.0]]
    assert overlap == pytest.approx(2.0)


def test_powers_add_up():
    S = covariance(0, 4)
    root, inverse = powers(S, 0.5, -1.0)
    torch.testing.assert_close(root @ root @ inverse, torch.eye(4, dtype=torch.float64))


@pytest.mark.parametrize(("s", "r"), [(1e-30, 1e-30), (1e20, 1e20), (1e-30, 1e30), (1e38, 1e-38)])
def test_gaussian_maps_do_not_depend_on_the_unit(s, r):
    maps = gaussian_maps(s * torch.eye(2), r * torch.eye(2))
    slope = (r / s) ** 0.5
    assert torch.allclose(maps.forth / slope, torch.eye(2).to(maps.forth), rtol=1e-5)
    assert torch.allclose(maps.back * slope, torch.eye(2).to(maps.forth), rtol=1e-5)
    assert float(maps.overlap) == pytest.approx(2 * (s * r) ** 0.5, rel=1e-5)


@pytest.mark.parametrize(
    ("matrix", "words"),
    [([[1.0, 0.5], [0.0, 1.0]], "not symmetric"), ([[1.0, 0.0], [0.0, -1.0]], "negative eigenvalue")],
)
def test_what_is_no_covariance_is_refused(matrix, words):
    for pair in ((torch.tensor(matrix), torch.eye(2)), (torch.eye(2), torch.tensor(matrix))):
        with pytest.raises(ValueError, match=words):
            gaussian_maps(*pair)
