import logging

import pytest
import torch
from torch import nn

from ot_gen import (
    Conditional,
    DiracEncoder,
    Empirical,
    GaussianEncoder,
    IndependentPairing,
    LabelledData,
    Pushforward,
    TablePairing,
    WithLabel,
    flow_prior,
    gaussian_mixture,
    standard_gaussian,
)
from ot_gen.measures import Units
from ot_gen.networks import evaluations

AS_THEY_ARE = DiracEncoder(nn.Identity())
QUICK = {"steps": 5, "width": 16, "depth": 2}


@pytest.mark.slow
@pytest.mark.parametrize("pairing", [IndependentPairing(), TablePairing(tol=0.2)], ids=["product", "table"])
def test_the_flow_of_gaussian_codes_is_gaussian(pairing):
    torch.manual_seed(0)
    spread = torch.tensor([[2.0, 0.0], [1.5, 0.5]])
    codes = torch.randn(300, 2) @ spread.T + torch.tensor([10.0, -3.0])
    prior = flow_prior(AS_THEY_ARE, Empirical(codes), pairing, steps=500, width=64)
    torch.manual_seed(1)
    z = prior.sample(5000)
    assert torch.allclose(z.mean(dim=0), codes.mean(dim=0), atol=0.25)
    assert torch.allclose(z.T.cov(), codes.T.cov(), rtol=0.25, atol=0)
    assert torch.allclose(fourth_moments(z), fourth_moments(codes), atol=0.6)


def fourth_moments(z):
    """Of whitened points: 3 for a Gaussian."""
    return ((z - z.mean(dim=0)) @ torch.linalg.inv(torch.linalg.cholesky(z.T.cov())).T).pow(4).mean(dim=0)


@pytest.mark.parametrize("components", [1, 4])
def test_the_flow_starts_with_the_mean_and_the_covariance_of_the_codes(components):
    codes = torch.randn(60, 3).exp().double() * torch.tensor([1.0, 10.0, 0.1]) + 7
    prior = flow_prior(AS_THEY_ARE, Empirical(codes), IndependentPairing(), components=components, **QUICK)
    units, w = prior.map.units, getattr(prior.base, "shares", torch.ones(1)).double()
    laws = [part.family.double() for part in getattr(prior.base, "parts", [prior.base])]
    means = units(torch.cat([law.means for law in laws]))
    L = units.scale[:, None] * torch.cat([law.scale_tril for law in laws])
    assert (len(w) == 1) == (components == 1) and torch.allclose(w @ means, codes.mean(dim=0))
    within = (w[:, None, None] * (L @ L.mT)).sum(dim=0)
    between = (w[:, None] * (means - codes.mean(dim=0))).T @ (means - codes.mean(dim=0))
    expected = codes.T.cov(correction=0)
    assert torch.allclose(within + between, expected + 1e-3 * expected.diag().diag(), rtol=1e-3)


def test_the_prior_follows_the_units_of_the_codes():
    codes = torch.randn(50, 2)
    clouds = []
    for a, b in ((1.0, 0.0), (1024.0, 4096.0)):
        prior = flow_prior(AS_THEY_ARE, Empirical(a * codes + b), IndependentPairing(), **QUICK)
        torch.manual_seed(1)
        clouds.append((prior.sample(20) - b) / a)
    assert torch.allclose(*clouds, atol=1e-3)


@pytest.mark.parametrize("codes", [torch.randn(2, 5), torch.randn(3, 5), torch.eye(2).repeat(6, 1)])
def test_few_and_equal_codes_have_a_prior(codes):
    prior = flow_prior(AS_THEY_ARE, Empirical(codes), IndependentPairing(), **QUICK)
    assert len(prior.base.family.weights) == 1 and bool(prior.sample(50).isfinite().all())


def test_each_class_starts_from_a_mixture_of_its_own():
    codes, labels = torch.cat([torch.randn(40, 2) - 9, torch.randn(2, 2) + 9]), torch.tensor([0] * 40 + [1] * 2)
    encoder = WithLabel(Conditional(DiracEncoder(nn.Linear(2, 2)), classes=2))
    nu = LabelledData(Empirical(codes), labels)
    prior = flow_prior(encoder, nu, IndependentPairing(), components=6, **QUICK)
    assert [len(part.family.weights) for part in prior.base.parts] == [3, 1]


@pytest.mark.slow
def test_clusters_stay_apart_and_keep_their_masses():
    torch.manual_seed(0)
    truth = gaussian_mixture(torch.tensor([[-4.0, 0.0], [4.0, 0.0]]), 0.6, torch.tensor([0.25, 0.75]))
    nu = Empirical(truth.sample(200))
    prior = flow_prior(AS_THEY_ARE, nu, steps=500, width=64)
    torch.manual_seed(1)
    with evaluations(prior, 2):  # straight paths
        z = prior.sample(2000)[:, 0]
    assert prior.classes is None  # clusters are no labels
    assert float((z.abs() < 2).float().mean()) < 0.2
    assert abs(float((z < 0).float().mean()) - float((nu.atoms[:, 0] < 0).float().mean())) < 0.06


def test_codes_are_in_their_own_units_and_drawn_from_the_posterior():
    net = nn.Linear(1, 2)
    with torch.no_grad():  # mean 1000 y, deviation e³
        net.weight.copy_(torch.tensor([[1000.0], [0.0]]))
        net.bias.copy_(torch.tensor([0.0, 3.0]))
    nu = Empirical(torch.randn(500, 1) * 0.01)
    prior = flow_prior(GaussianEncoder(net), nu, IndependentPairing(), **QUICK)
    units = prior.map.units
    assert isinstance(units, Units)
    assert float(units.scale[0]) == pytest.approx((10**2 + 20.09**2) ** 0.5, rel=0.15)


def test_a_fit_changes_neither_the_random_state_nor_the_encoder():
    encoder = GaussianEncoder(nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5)).train())
    nu, state = Empirical(torch.randn(100, 2)), torch.get_rng_state()
    before = [weight.clone() for weight in encoder.parameters()]
    priors = [flow_prior(encoder, nu, IndependentPairing(), seed=s, **QUICK).state_dict() for s in (0, 0, 1)]
    assert torch.equal(state, torch.get_rng_state()) and encoder.net[1].training
    assert all(torch.equal(old, new) for old, new in zip(before, encoder.parameters(), strict=True))
    assert all(torch.equal(priors[0][key], priors[1][key]) for key in priors[0])
    assert any(not torch.equal(priors[0][key], priors[2][key]) for key in priors[0])


@pytest.mark.parametrize(
    "nu", [Empirical(torch.rand(50, 2), torch.full((50,), 0.02)), standard_gaussian(2)], ids=["weights", "a law"]
)
def test_other_data_are_sampled_and_few_codes_make_small_batches(nu):
    prior = flow_prior(AS_THEY_ARE, nu, IndependentPairing(), samples=20, **QUICK)
    assert Pushforward(nn.Linear(2, 5), prior).sample(7).shape == (7, 5)
    assert not any(weight.requires_grad for weight in prior.parameters())


def test_codes_in_double_precision_stay_so():
    nu = Empirical(torch.randn(50, 2).double())
    assert flow_prior(AS_THEY_ARE, nu, IndependentPairing(), **QUICK).sample(3).dtype == torch.float64


def test_ctrl_c_ends_the_fit():
    def stop(parameters):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        flow_prior(AS_THEY_ARE, Empirical(torch.randn(50, 2)), IndependentPairing(), optimizer=stop, **QUICK)


def test_the_log_shows_the_progress(caplog):
    with caplog.at_level(logging.INFO, "ot_gen"):
        flow_prior(AS_THEY_ARE, Empirical(torch.randn(50, 2)), IndependentPairing(), progress=True, **QUICK)
    assert "the prior: step 5 of 5" in caplog.text and "5 steps on 50 codes" in caplog.text


def test_bad_input_is_named():
    nu = Empirical(torch.randn(20, 2))
    with pytest.raises(ValueError, match=r"steps must be a whole number >= 1, got 0"):
        flow_prior(AS_THEY_ARE, nu, steps=0)
    with pytest.raises(ValueError, match="pairing must be"):
        flow_prior(AS_THEY_ARE, nu, "table")
    with pytest.raises(ValueError, match=r"laws of codes.*DiracEncoder"):
        flow_prior(nn.Identity(), nu)
    with pytest.raises(ValueError, match="codes hold NaN"):
        flow_prior(DiracEncoder(nn.Threshold(1e9, float("nan"))), nu)
