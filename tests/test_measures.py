import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

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
    with pytest.raises(ValueError, match=r"latent points of shape \(n, 2\)"):
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
