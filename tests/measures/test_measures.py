import pytest
import torch
from torch import nn
from torch.distributions import Exponential, Independent, MultivariateNormal, Normal, StudentT

from ot_gen import Empirical, Pushforward, Reference, standard_gaussian, uniform_cube


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (torch.tensor([[0.0], [float("nan")]]), r"NaN or Inf in 1 of 2 rows \(first: row 1\)"),
        (torch.tensor([[0.0], [float("inf")]]), "NaN or Inf"),
        (torch.empty(0, 2), "non-empty"),
        (torch.zeros(1, 2), "fewer than two points"),
        (torch.zeros(3), r"shape \(n, d\)"),
        (torch.zeros(3, 1, 2, 2), "flatten"),
        (torch.zeros(3, 2, dtype=torch.int64), "floating point"),
    ],
)
def test_bad_atoms_are_named(atoms, message):
    with pytest.raises(ValueError, match=message):
        Empirical(atoms)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0.5, 0.6], "sum to 1, got 1.1"),
        ([1.5, -0.5], "non-negative"),
        ([1.0], r"shape \(2,\)"),
        ([float("nan"), 1.0], "finite"),
    ],
)
def test_bad_weights_are_named(weights, message):
    with pytest.raises(ValueError, match=message):
        Empirical(torch.zeros(2, 1), torch.tensor(weights))


def test_weighted_atoms_are_drawn_in_proportion():
    nu = Empirical(torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([0.7, 0.2, 0.1]))
    frequencies = torch.bincount(nu.sample(20_000).long().flatten(), minlength=3) / 20_000
    assert torch.allclose(frequencies, nu.weights, atol=0.015)


def test_a_checkpoint_does_not_carry_the_data():
    assert Empirical(torch.zeros(4, 2)).state_dict() == {}


def test_rsample_is_differentiable_and_sample_is_not():
    mu = Pushforward(nn.Linear(2, 3), standard_gaussian(2))
    assert mu.rsample(4).requires_grad
    assert not mu.sample(4).requires_grad


def test_constructing_a_model_leaves_the_random_state_and_the_mode_alone():
    state = torch.get_rng_state()
    net = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5))
    state = torch.get_rng_state()
    Pushforward(net, standard_gaussian(2))
    assert torch.equal(state, torch.get_rng_state())
    assert net.training


def test_mismatched_latent_dimensions_are_named():
    with pytest.raises(ValueError, match=r"the generator does not accept points of shape \(n, 2\)"):
        Pushforward(nn.Linear(3, 5), standard_gaussian(2))


def test_generators_that_do_not_return_clouds_are_named():
    with pytest.raises(ValueError, match="flatten images"):
        Pushforward(nn.Sequential(nn.Linear(2, 16), nn.Unflatten(1, (1, 4, 4))), standard_gaussian(2))


def test_a_batched_reference_is_refused():
    with pytest.raises(ValueError, match="Independent"):
        Reference(Normal(torch.zeros(3), torch.ones(3)))
    assert Reference(Independent(Normal(torch.zeros(3), torch.ones(3)), 1)).dim == 3


def test_references_have_the_moments_of_their_law():
    z = standard_gaussian(3).sample(20_000)
    assert torch.allclose(z.mean(0), torch.zeros(3), atol=0.04)
    assert torch.allclose(z.var(0), torch.ones(3), atol=0.05)
    u = uniform_cube(3).sample(20_000)
    assert torch.allclose(u.var(0), torch.full((3,), 1 / 3), atol=0.02)


def sobol(n, dim):
    """n evenly spread points of the open cube, (n, dim), float64."""
    return (
        torch.quasirandom.SobolEngine(dim, scramble=True, seed=0).draw(n, dtype=torch.float64).clamp(1e-12, 1 - 1e-12)
    )


@pytest.mark.parametrize(
    ("law", "mean", "variance"),
    [
        (standard_gaussian(3), 0.0, 1.0),
        (uniform_cube(3), 0.0, 1 / 3),
        (uniform_cube(3, 0, 1), 0.5, 1 / 12),
        (Reference(Independent(Normal(torch.full((3,), 2.0), torch.full((3,), 0.5)), 1)), 2.0, 0.25),
        (Reference(Independent(Exponential(torch.full((3,), 2.0)), 1)), 0.5, 0.25),
    ],
    ids=["gaussian", "cube", "whole bounds", "shifted gaussian", "exponential"],
)
def test_product_laws_are_images_of_the_cube(law, mean, variance):
    x = law.from_cube(sobol(2**14, law.cube_dim))
    assert x.dtype == torch.float32
    assert torch.allclose(x.mean(dim=0), torch.full((3,), mean), atol=2e-3)
    assert torch.allclose(x.T.cov(), variance * torch.eye(3), atol=5e-3)


def test_a_cube_with_whole_bounds_is_the_one_with_real_bounds():
    u = sobol(64, 2)
    assert torch.equal(uniform_cube(2, 0, 1).from_cube(u), u.float())
    assert 0 <= float(uniform_cube(2, 0, 1).sample(100).min()) < float(uniform_cube(2, 0, 1).sample(100).max()) <= 1


def test_an_image_of_a_cube_is_monotone_in_each_coordinate():
    u = sobol(256, 2)
    for law in (standard_gaussian(2), uniform_cube(2, 0, 3)):
        assert torch.equal(law.from_cube(u).argsort(dim=0), u.argsort(dim=0))


def test_a_generator_maps_the_points_of_its_reference():
    mu, u = Pushforward(nn.Linear(2, 5), standard_gaussian(2)), sobol(64, 2)
    x = mu.from_cube(u)
    assert mu.cube_dim == 2
    assert torch.equal(x, mu.map(standard_gaussian(2).from_cube(u)).detach())
    assert not x.requires_grad


def test_evenly_spread_points_visit_atoms_in_proportion_to_their_weights():
    weights = torch.tensor([0.0, 0.25, 0.5, 0.0, 0.125, 0.125, 0.0])
    nu = Empirical(torch.arange(7.0)[:, None], weights)
    u = (torch.arange(64, dtype=torch.float64)[:, None] + 0.5) / 64
    assert torch.equal(torch.bincount(nu.from_cube(u).long().flatten(), minlength=7), (64 * weights).long())
    ends = torch.tensor([[2.0**-40], [1 - 2.0**-40]], dtype=torch.float64)
    assert nu.from_cube(ends).flatten().tolist() == [1.0, 5.0]


@pytest.mark.parametrize(
    "law",
    [
        MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, 0.9], [0.9, 1.0]])),
        Independent(StudentT(torch.full((2,), 3.0)), 1),
    ],
    ids=["dependent coordinates", "no quantiles"],
)
def test_other_laws_are_no_images_of_a_cube(law):
    for mu in (Reference(law), Pushforward(nn.Linear(2, 3), Reference(law))):
        assert mu.cube_dim is None
        with pytest.raises(NotImplementedError):
            mu.from_cube(torch.rand(4, 2))
