import math

import pytest
import torch
from torch import nn

from ot_gen import DiracEncoder, Empirical, Pushforward, gaussian_mixture, semidiscrete_prior
from ot_gen.execution import Ending
from ot_gen.measures import Units
from ot_gen.priors import CellMixture
from ot_gen.priors import cells as room

AS_THEY_ARE = DiracEncoder(nn.Identity())


def two_clusters(n, weight=0.5):
    truth = gaussian_mixture(torch.tensor([[-5.0, 0.0], [5.0, 0.0]]), 0.5, torch.tensor([weight, 1 - weight]))
    return Empirical(truth.sample(n))


def test_one_cell_returns_the_codes_with_their_masses():
    torch.manual_seed(0)
    nu = Empirical(torch.rand(20, 2) * torch.tensor([100.0, 1.0]) + 7)
    prior = semidiscrete_prior(AS_THEY_ARE, nu, mix=1, tol=0.02)
    z = prior.sample(20_000)
    distance, which = torch.cdist(z.double(), nu.atoms.double()).min(dim=1)
    assert float(distance.max()) < 1e-3
    masses = which.bincount(minlength=20) / len(z)
    assert float((masses - 1 / 20).abs().sum()) < 0.02 + 4 * math.sqrt(20 / len(z))


@pytest.mark.parametrize("mix", [2, 3, 5])
def test_a_mix_is_the_mean_of_the_codes_of_the_nearest_cells(mix):
    torch.manual_seed(0)
    codes, h_tilde = torch.randn(9, 2), torch.rand(9)
    cells = CellMixture(codes, h_tilde, Units(torch.zeros(2), torch.ones(2)), mix)
    torch.manual_seed(1)
    z = cells.sample(50)
    torch.manual_seed(1)
    x = torch.randn(50, 2)
    scores = (x[:, None] - codes).square().sum(dim=2) - h_tilde
    expected = torch.stack([codes[row.argsort()[:mix]].mean(dim=0) for row in scores])
    assert torch.allclose(z, expected, atol=1e-6)


def test_rejection_removes_the_mixes_across_a_gap():
    torch.manual_seed(0)
    nu = two_clusters(200)

    def between(prior):
        return float((prior.sample(4000)[:, 0].abs() < 3).float().mean())

    everything = semidiscrete_prior(AS_THEY_ARE, nu, mix=2, reject=0.0)
    kept = semidiscrete_prior(AS_THEY_ARE, nu, mix=2, reject=0.2)
    assert math.isinf(everything.jump) and not math.isinf(kept.jump)
    assert between(everything) > 0.003 and between(kept) == 0.0


def test_the_share_that_is_rejected_is_that_of_the_jumps():
    torch.manual_seed(0)
    prior = semidiscrete_prior(AS_THEY_ARE, two_clusters(100), mix=3, reject=0.3)
    jumps = prior.draw(20_000)[1]
    assert abs(float((jumps > prior.jump).float().mean()) - 0.3) < 0.04


def test_a_sparse_part_is_rejected_no_more_than_a_dense_one():
    """Distances alone would leave little of it: nearly all mixes of the dense part are short."""
    torch.manual_seed(0)
    dense, sparse = 0.05 * torch.randn(60, 2) - 10, torch.randn(60, 2) + 10
    prior = semidiscrete_prior(AS_THEY_ARE, Empirical(torch.cat([dense, sparse])), mix=3, reject=0.4)
    assert abs(float((prior.sample(4000)[:, 0] > 0).float().mean()) - 0.5) < 0.1


def test_a_fit_changes_neither_the_random_state_nor_the_encoder():
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)).train()
    nu, state = Empirical(torch.randn(60, 2)), torch.get_rng_state()
    priors = [semidiscrete_prior(DiracEncoder(net), nu, seed=s, tol=0.5).state_dict() for s in (0, 0, 1)]
    assert torch.equal(state, torch.get_rng_state()) and net[1].training
    assert all(torch.equal(priors[0][key], priors[1][key]) for key in priors[0])
    assert not torch.equal(priors[0]["h_tilde"], priors[2]["h_tilde"])


def test_codes_in_double_precision_stay_so_and_a_generator_takes_them():
    prior = semidiscrete_prior(AS_THEY_ARE, Empirical(torch.randn(50, 2).double()), tol=0.5)
    assert prior.sample(3).dtype == torch.float64
    assert Pushforward(nn.Linear(2, 5).double(), prior).sample(7).shape == (7, 5)


def test_a_solve_that_is_stopped_stops_the_fit(monkeypatch):
    def stopped(*given, **settings):
        return type("Stopped", (), {"ending": Ending.STOPPED})()

    monkeypatch.setattr(room, "semidiscrete", stopped)
    with pytest.raises(KeyboardInterrupt):
        semidiscrete_prior(AS_THEY_ARE, Empirical(torch.randn(50, 2)))


def test_a_table_that_is_not_certified_is_said(caplog):
    semidiscrete_prior(AS_THEY_ARE, Empirical(torch.randn(500, 2)), tol=0.001, max_samples=2**12)
    assert "not certified" in caplog.text


def test_bad_input_is_named():
    nu, unit = Empirical(torch.randn(20, 2)), Units(torch.zeros(2), torch.ones(2))
    with pytest.raises(ValueError, match="a mix of 30 cells needs as many codes, got 20"):
        semidiscrete_prior(AS_THEY_ARE, nu, mix=30)
    with pytest.raises(ValueError, match=r"reject must .*got 1"):
        semidiscrete_prior(AS_THEY_ARE, nu, reject=1.0)
    with pytest.raises(ValueError, match="mix must be a whole number >= 1, got 0"):
        semidiscrete_prior(AS_THEY_ARE, nu, mix=0)
    with pytest.raises(ValueError, match="dimension 2 and their units 3"):
        CellMixture(torch.randn(5, 2), torch.zeros(5), Units(torch.zeros(3), torch.ones(3)))
    with pytest.raises(ValueError, match=r"h_tilde must have shape \(5,\)"):
        CellMixture(torch.randn(5, 2), torch.zeros(4), unit)
    far = CellMixture(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), torch.zeros(2), unit, mix=2, jump=0.5)
    with pytest.raises(ValueError, match=r"too few draws have a jump <= 0\.5"):
        far.sample(3)
