import pytest
import torch
from torch import nn

from ot_gen import (
    MLP,
    DiracEncoder,
    Empirical,
    GaussianEncoder,
    Pushforward,
    Reference,
    ex_post_prior,
    gaussian_mixture,
    load_prior,
    save_prior,
    standard_gaussian,
)


class Shift(nn.Module):
    """The encoder net with m(y) = y and a constant log deviation."""

    def __init__(self, log_std):
        super().__init__()
        self.log_std = log_std

    def forward(self, y):
        return torch.cat([y, torch.full_like(y, self.log_std)], dim=1)


TRUTH = gaussian_mixture(
    torch.tensor([[-3.0, 0.0], [3.0, 1.0]]), torch.tensor([[0.5], [1.0]]), torch.tensor([0.3, 0.7])
)


def test_the_prior_is_the_law_of_the_codes():
    prior = ex_post_prior(DiracEncoder(nn.Identity()), Empirical(TRUTH.sample(5000)), components=2)
    weights, means, scale_tril = (prior.state_dict()[f"family.{name}"] for name in ("weights", "means", "scale_tril"))
    order = means[:, 0].argsort()
    covariances = scale_tril @ scale_tril.mT
    assert torch.allclose(weights[order], torch.tensor([0.3, 0.7]), atol=0.02)
    assert torch.allclose(means[order], torch.tensor([[-3.0, 0.0], [3.0, 1.0]]), atol=0.08)
    expected = torch.stack([0.25 * torch.eye(2), torch.eye(2)])
    assert torch.allclose(covariances[order], expected, atol=0.08)
    fresh = TRUTH.sample(5000)
    assert float((TRUTH.law.log_prob(fresh) - prior.law.log_prob(fresh)).mean()) < 0.01


def test_codes_are_drawn_from_the_posterior_and_not_taken_at_its_mean():
    nu = Empirical(torch.randn(4000, 2))
    prior = ex_post_prior(GaussianEncoder(Shift(0.0)), nu, components=1)
    assert torch.allclose(prior.law.component_distribution.covariance_matrix[0], 2 * torch.eye(2), atol=0.15)


def test_the_prior_matches_correlations_between_coordinates():
    z = torch.randn(4000, 2) @ torch.tensor([[1.0, 0.9], [0.0, 0.4]])
    prior = ex_post_prior(DiracEncoder(nn.Identity()), Empirical(z), components=1)
    assert torch.allclose(prior.sample(20_000).T.cov(), z.T.cov(), atol=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6])
def test_the_prior_of_codes_in_another_unit_is_the_same_law_in_it(scale, dtype):
    z = torch.randn(200, 2, dtype=dtype)
    one, other = (ex_post_prior(DiracEncoder(nn.Identity()), Empirical(s * z), 3, samples=100) for s in (1.0, scale))
    for name, power in (("means", 1), ("scale_tril", 1), ("weights", 0)):
        part, known = other.state_dict()[f"family.{name}"] / scale**power, one.state_dict()[f"family.{name}"]
        assert torch.allclose(part, known, rtol=1e-3, atol=1e-4)
    assert torch.allclose(other.sample(4000).std(dim=0) / scale, z.std(dim=0), rtol=0.2)


def test_coordinates_of_unlike_units_and_constant_ones_keep_theirs():
    z = torch.randn(500, 3) * torch.tensor([1.0, 1e-6, 0.0]) * 1e-3
    std = ex_post_prior(DiracEncoder(nn.Identity()), Empirical(z), 2).sample(4000).std(dim=0)
    assert torch.allclose(std[:2], z.std(dim=0)[:2], rtol=0.2) and float(std[2]) < 2e-3 * float(std[0])
    same = ex_post_prior(DiracEncoder(nn.Identity()), Empirical(torch.ones(20, 2)), 1)
    assert torch.allclose(same.sample(100), torch.ones(100, 2), atol=1e-2)


def test_samples_are_not_grouped_by_component():
    prior = ex_post_prior(DiracEncoder(nn.Identity()), Empirical(TRUTH.sample(1000)), components=2)
    sides = prior.sample(1000)[:, 0].sign()
    assert 300 < int((sides[1:] != sides[:-1]).sum()) < 550  # 2 · .3 · .7 of them on average


def test_a_fit_changes_neither_the_random_state_nor_the_encoder():
    net = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5)).train()
    nu, state = Empirical(torch.randn(200, 2)), torch.get_rng_state()
    encoder = GaussianEncoder(net)
    priors = [ex_post_prior(encoder, nu, components=3, seed=s).state_dict() for s in (0, 0, 1)]
    assert torch.equal(state, torch.get_rng_state())
    assert net.training and net[1].training
    assert all(torch.equal(priors[0][key], priors[1][key]) for key in priors[0])
    assert not torch.equal(priors[0]["family.means"], priors[2]["family.means"])
    assert not any(t.requires_grad for t in priors[0].values())


@pytest.mark.parametrize(
    "nu", [Empirical(torch.rand(50, 2), torch.full((50,), 0.02)), standard_gaussian(2)], ids=["weights", "a law"]
)
def test_other_data_are_sampled(nu):
    prior = ex_post_prior(DiracEncoder(MLP(2, 3, hidden=(4,))), nu, components=2, samples=300)
    assert prior.dim == 3


def test_every_generator_samples_from_its_prior():
    prior = ex_post_prior(DiracEncoder(nn.Identity()), Empirical(TRUTH.sample(500)), components=2)
    assert Pushforward(MLP(2, 5), prior).sample(7).shape == (7, 5)


def test_a_saved_prior_is_the_same_law(tmp_path):
    prior = ex_post_prior(DiracEncoder(nn.Identity()), Empirical(TRUTH.sample(500)), components=3)
    save_prior(prior, tmp_path / "prior.safetensors")
    again = load_prior(tmp_path / "prior.safetensors")
    z = torch.randn(9, 2)
    assert torch.equal(prior.law.log_prob(z), again.law.log_prob(z))
    assert [path.name for path in tmp_path.iterdir()] == ["prior.safetensors"]


def test_a_prior_keeps_the_dtype_of_the_codes():
    nu = Empirical(torch.randn(200, 2).double())
    assert ex_post_prior(DiracEncoder(nn.Identity()), nu, components=1).sample(3).dtype == torch.float64


def test_bad_input_is_named(tmp_path):
    nu, encoder = Empirical(torch.randn(20, 2)), DiracEncoder(nn.Identity())
    with pytest.raises(ValueError, match=r"components must be a whole number >= 1, got 0"):
        ex_post_prior(encoder, nu, components=0)
    with pytest.raises(ValueError, match="30 components need at least 30 codes, got 20"):
        ex_post_prior(encoder, nu, components=30)
    with pytest.raises(ValueError, match="codes hold NaN"):
        ex_post_prior(DiracEncoder(Shift(float("nan"))), nu)
    with pytest.raises(ValueError, match="priors of ex_post_prior"):
        save_prior(Reference(standard_gaussian(2).law), tmp_path / "prior.safetensors")
    (tmp_path / "other.safetensors").write_text("nothing")
    for name in ("missing", "other"):
        with pytest.raises(ValueError, match="holds no prior"):
            load_prior(tmp_path / f"{name}.safetensors")
