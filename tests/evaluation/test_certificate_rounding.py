"""A certificate holds the truth also where rounding, not sampling, decides."""

import numpy as np
import pytest
import torch

from ot_gen import Dirac, Empirical, Euclidean, Reference, SquaredEuclidean, certify, semidiscrete, standard_gaussian


class Scaled:
    def __init__(self, size, dim):
        self.size, self.dim = size, dim

    def sample(self, n):
        return self.size * torch.randn(n, self.dim, dtype=torch.float64)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("cost", [Euclidean(), SquaredEuclidean()], ids=str)
def test_constant_costs_are_held_although_no_sample_varies(cost, d, dtype):
    for seed in range(4):
        y = torch.randn(5, d, dtype=dtype, generator=torch.Generator().manual_seed(seed))
        truth = float(cost(torch.zeros(1, d).double(), y.double()).mean())
        low, high = certify(
            Reference(Dirac(torch.zeros(d, dtype=dtype))), Empirical(y), cost, max_samples=2**12
        ).interval
        assert low <= truth <= high
        assert high - low <= 1e-5 * truth


@pytest.mark.parametrize(("cost", "truth"), [(Euclidean(), 0.5354), (SquaredEuclidean(), 1.4042)], ids=str)
def test_a_light_atom_far_away_is_held_and_no_end_passes_the_other(cost, truth):
    # 1e-16 of the mass at 1e8 adds 1e-8 to W₁ and 1 to W₂²; no sum of masses in double precision sees it.
    nu = Empirical(torch.tensor([[-1.0], [1.0], [1e8]]), torch.tensor([0.5, 0.5, 1e-16]))
    low, high = certify(standard_gaussian(1), nu, cost, max_samples=2**16).interval
    assert low <= truth <= high


def test_a_far_atom_of_no_mass_changes_no_cell():
    nu = Empirical(torch.tensor([[-1.0], [1.0], [1e8]]), torch.tensor([0.5, 0.5, 0.0]))
    solution = semidiscrete(standard_gaussian(1), nu, SquaredEuclidean())
    assert solution.map(torch.tensor([[-0.5], [0.5]])).flatten().tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("d", [1, 2])
def test_atoms_that_all_coincide_are_certified_too(d):
    certificate = certify(standard_gaussian(d), Empirical(torch.zeros(5, d)), SquaredEuclidean(), max_samples=2**16)
    low, high = certificate.interval
    assert low <= d <= high


def test_a_huge_unit_changes_the_unit_alone():
    y = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    one, huge = (
        certify(Scaled(size, 1), Empirical(size * y), SquaredEuclidean(), max_samples=2**12) for size in (1.0, 1e80)
    )
    assert np.allclose(np.array(huge.interval) / 1e160, one.interval, rtol=1e-6)


def test_arrays_and_lists_are_samples_of_a_law_as_tensors_are():
    x, nu = torch.randn(300, 1, generator=torch.Generator().manual_seed(0)), Empirical(torch.tensor([[-1.0], [1.0]]))
    expected = certify(x, nu, Euclidean())
    for same in (x.numpy(), x.double().numpy(), x.tolist()):
        assert certify(same, nu, Euclidean()).interval == expected.interval
    assert certify(x, nu, Euclidean(), reference=x.numpy()).reference.samples == expected.samples
