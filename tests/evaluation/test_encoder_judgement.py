"""An encoder model in numbers, against closed forms: Gaussian channels, the linear Gaussian model, and their limits."""

from __future__ import annotations

import math
from importlib.util import find_spec

import pytest
import torch
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal, Uniform

from ot_gen.costs import BernoulliNLL, Euclidean, NegativeLogLikelihood, SquaredEuclidean
from ot_gen.evaluation import (
    active_units,
    aggregate_kl,
    conditional_kl,
    encoders,
    information,
    iwae_bound,
    judge_encoder,
    likelihood,
    log_weights,
    mutual_information,
)
from ot_gen.measures import (
    Dirac,
    Empirical,
    Pushforward,
    Reference,
    learned_mixture,
    standard_gaussian,
    uniform_cube,
    uniform_sphere,
)
from ot_gen.networks import MLP, DiracEncoder, FlowEncoder, GaussianDecoder, GaussianEncoder, SphereEncoder


def gaussian(mean, std=1.0):
    return Independent(Normal(mean, torch.as_tensor(std).expand_as(mean)), 1)


# --- information -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("chunk", [2**20, 700])
def test_mutual_information_and_aggregate_of_a_gaussian_channel(k, chunk, monkeypatch):
    monkeypatch.setattr(information, "CHUNK", chunk)
    s, sigma, n = 0.8, 0.6, 1500
    q = gaussian(s * torch.randn(n, k), sigma)
    variance = s**2 + sigma**2
    expected = k / 2 * math.log(variance / sigma**2)
    mean, error = mutual_information(q, draws=2)
    assert abs(mean - expected) < 4 * error + 0.02  # 0.02: a channel of N points is not quite that of the whole law
    expected = k / 2 * (variance - 1 - math.log(variance))
    mean, error = aggregate_kl(q, standard_gaussian(k), draws=2)
    assert abs(mean - expected) < 4 * error + 0.02


@pytest.mark.parametrize(
    "q",
    [
        gaussian(torch.linspace(-2, 2, 60).reshape(20, 3), torch.linspace(0.1, 2, 60).reshape(20, 3)),
        gaussian(torch.linspace(-50, 50, 60).reshape(20, 3), 0.01),
        MultivariateNormal(torch.linspace(-2, 2, 40).reshape(20, 2), torch.tensor([[1.0, 0.7], [0.7, 1.0]])),
    ],
    ids=["diagonal", "far apart", "full"],
)
def test_conditional_kl_is_aggregate_kl_plus_mutual_information(q):
    zeta = standard_gaussian(q.event_shape[0])
    figures = [conditional_kl(q, zeta, 500), aggregate_kl(q, zeta, 500), mutual_information(q, 500)]
    gap = figures[1].mean + figures[2].mean - figures[0].mean
    assert abs(gap) < 0.05 + 1e-5 * figures[0].mean  # 10,000 draws each, of deviations near 1
    assert 0 <= figures[2].mean <= math.log(20) + 1e-6
    assert figures[1].mean <= figures[0].mean


def test_information_is_zero_for_one_posterior_and_log_n_for_points_told_apart():
    zeta = standard_gaussian(2)
    q = gaussian(torch.ones(50, 2))
    assert abs(mutual_information(q).mean) < 1e-5
    mean, error = aggregate_kl(q, zeta, draws=2000)
    assert abs(mean - 1) < 5 * error * math.sqrt(50)  # ‖(1, 1)‖² / 2; the draws' own noise
    apart = gaussian(1000 * torch.eye(50))
    assert mutual_information(apart).mean == pytest.approx(math.log(50), rel=1e-5)


def test_the_error_covers_the_spread_of_repeated_estimates():
    q, zeta = gaussian(torch.randn(200, 2), 0.5), standard_gaussian(2)
    for estimator in (lambda: aggregate_kl(q, zeta), lambda: mutual_information(q)):
        means, errors = torch.tensor([estimator() for _ in range(100)]).T
        assert 0.4 * errors.mean() < means.std() < 1.3 * errors.mean()


def test_conditional_kl_without_a_closed_form_is_sampled():
    components = Independent(Normal(torch.zeros(4, 2), torch.ones(4, 2)), 1)
    mixture = Reference(
        torch.distributions.MixtureSameFamily(torch.distributions.Categorical(torch.ones(4)), components)
    )
    q = gaussian(torch.randn(300, 2), 0.5)
    exact = conditional_kl(q, standard_gaussian(2))
    mean, error = conditional_kl(q, mixture, draws=100)  # the mixture of four equal parts is N(0, I)
    assert error > 0
    assert mean == pytest.approx(exact.mean, abs=0.05)


def test_codes_that_leave_the_support_have_an_infinite_aggregate_kl():
    q = gaussian(torch.zeros(20, 2))
    assert aggregate_kl(q, uniform_cube(2), draws=5).mean == math.inf
    inside = Independent(Uniform(torch.full((20, 2), -0.5), torch.full((20, 2), 0.5)), 1)
    assert aggregate_kl(inside, uniform_cube(2)).mean == pytest.approx(2 * math.log(2), rel=1e-5)
    assert conditional_kl(inside, uniform_cube(2)).mean == pytest.approx(2 * math.log(2), rel=1e-5)


def test_active_units_are_counted_by_the_variance_of_the_means():
    means = torch.randn(4000, 4) * torch.tensor([1.0, 0.5, 0.05, 0.0])
    assert active_units(means) == 2
    assert active_units(means, threshold=1e-4) == 3


@pytest.mark.parametrize("estimator", [aggregate_kl, conditional_kl])
def test_what_has_no_density_is_refused(estimator):
    with pytest.raises(ValueError, match=r"Dirac has no density.*use a Gaussian encoder"):
        estimator(Dirac(torch.zeros(5, 2)), standard_gaussian(2))
    with pytest.raises(ValueError, match=r"batch_shape \(N,\).*Independent"):
        estimator(Normal(torch.zeros(5, 2), 1.0), standard_gaussian(2))
    with pytest.raises(ValueError, match="Dirac has no density"):
        mutual_information(Dirac(torch.zeros(5, 2)))


# --- likelihood: the linear Gaussian model y = W z + b + σ ε ---------------------------------------------------------


class LinearGaussian:
    """W with orthogonal columns, so that the posterior N(M⁻¹ Wᵀ (y − b), σ² M⁻¹), M = WᵀW + σ² I, is diagonal."""

    def __init__(self, d=6, k=2, sigma=0.5):
        self.sigma, self.zeta = sigma, standard_gaussian(k)
        columns, _ = torch.linalg.qr(torch.randn(d, k))
        W, b = columns * torch.linspace(1, 2, k), torch.randn(d)
        self.decoder, self.net = nn.Linear(k, d), nn.Linear(d, 2 * k)
        precision = (W.T @ W).diagonal() + sigma**2
        with torch.no_grad():
            self.decoder.weight.copy_(W)
            self.decoder.bias.copy_(b)
            mean = W.T / precision[:, None]
            self.net.weight.copy_(torch.cat([mean, torch.zeros(k, d)]))
            self.net.bias.copy_(torch.cat([-mean @ b, (sigma / precision.sqrt()).log()]))
        self.law = MultivariateNormal(b, W @ W.T + sigma**2 * torch.eye(d))
        self.mu = Pushforward(self.decoder, self.zeta)
        self.encoder = GaussianEncoder(self.net)

    def log_likelihood(self, z, y):
        return gaussian(self.decoder(z), self.sigma).log_prob(y)

    def weights(self, encoder, y, samples):
        return log_weights(encoder, self.zeta, self.log_likelihood, y, samples)


def widened(encoder):
    """The posterior with twice its standard deviation and its mean moved."""
    return lambda y: gaussian(encoder(y).mean + 0.2, 2 * encoder(y).base_dist.stddev)


def test_with_the_exact_posterior_every_weight_is_the_likelihood(float64):
    model = LinearGaussian()
    y = model.law.sample((40,))
    log_w = model.weights(model.encoder, y, 7)
    torch.testing.assert_close(log_w, model.law.log_prob(y).expand(7, -1))
    torch.testing.assert_close(iwae_bound(log_w), model.law.log_prob(y))


def test_the_bound_grows_with_k_from_the_elbo_to_the_likelihood(float64):
    model = LinearGaussian()
    y = model.law.sample((60,))
    exact = float(model.law.log_prob(y).mean())
    log_w = model.weights(widened(model.encoder), y, 4096)
    bounds = [float(iwae_bound(group).mean()) for k in (1, 4, 32, 512, 4096) for group in [by(log_w, k)]]
    assert bounds == sorted(bounds)
    assert bounds[0] == pytest.approx(float(log_w.mean()))
    assert bounds[0] < exact - 0.5
    assert bounds[-1] == pytest.approx(exact, abs=0.03)
    q, p = widened(model.encoder)(y), model.encoder(y)
    slack = torch.distributions.kl_divergence(q, p).mean().detach()  # log p(y) − ELBO
    assert exact - bounds[0] == pytest.approx(float(slack), rel=0.05)


def by(log_w, k):
    """The weights in independent groups of k, side by side: (k, groups · n)."""
    return log_w.reshape(-1, k, log_w.shape[1]).transpose(0, 1).reshape(k, -1)


def test_weights_do_not_depend_on_the_chunks(monkeypatch, float64):
    model = LinearGaussian()
    y = model.law.sample((10,))
    exact = model.weights(model.encoder, y, 6)
    for chunk in (1, 6, 50, 150):
        monkeypatch.setattr(likelihood, "CHUNK", chunk)
        torch.testing.assert_close(model.weights(model.encoder, y, 6), exact)


# --- the whole judgement ---------------------------------------------------------------------------------------------


def test_the_judgement_of_the_linear_gaussian_model():
    model = LinearGaussian()
    nu = Empirical(model.law.sample((1500,)))
    found = judge_encoder(model.mu, nu, SquaredEuclidean(), model.encoder, variance=model.sigma**2)
    exact = -float(model.law.log_prob(nu.atoms).mean())
    assert (found.n, found.mismatch_n, found.information_n, found.likelihood_n) == (1500, 1000, 1500, 500)
    assert found.negative_elbo == pytest.approx(found.negative_iwae, rel=1e-4)  # the posterior is exact
    assert abs(found.negative_iwae - exact) < 4 * found.negative_iwae_se
    # −ELBO from its two parts: E‖g(z) − y‖² / 2σ² + constant + KL
    constant = 3 * math.log(2 * math.pi * model.sigma**2)
    parts = found.reconstruction / (2 * model.sigma**2) + constant + found.conditional_kl
    assert parts == pytest.approx(exact, abs=0.2)
    assert abs(found.gap) < 4 * found.gap_se
    assert (found.active_units, found.latent_dim) == (2, 2)
    # The aggregate posterior of the true model is ζ.
    assert found.aggregate_kl < 0.05
    assert abs(found.mmd) < 3e-3
    assert found.sinkhorn < 3 * found.sinkhorn_floor


def test_codes_off_the_reference_show_in_the_mismatch():
    model = LinearGaussian()
    nu = Empirical(model.law.sample((600,)))
    with torch.no_grad():
        model.net.bias[:2] += 1.5
    found = judge_encoder(model.mu, nu, SquaredEuclidean(), model.encoder)
    assert found.mmd > 10 * abs(found.mmd_floor)
    assert found.sinkhorn == pytest.approx(2 * 1.5**2, rel=0.3)  # a translation costs its squared length
    assert found.aggregate_kl == pytest.approx(1.5**2, rel=0.2)
    assert found.negative_elbo is None  # no variance was given: the squared cost alone is no likelihood


def test_a_deterministic_encoder_has_no_figure_that_needs_a_density():
    mu = Pushforward(nn.Linear(2, 3), standard_gaussian(2))
    nu = Empirical(torch.randn(100, 3))
    found = judge_encoder(mu, nu, SquaredEuclidean(), DiracEncoder(nn.Linear(3, 2)), variance=1.0)
    none = {name for name, value in found._asdict().items() if value is None}
    known = {"n", "reconstruction", "active_units", "latent_dim", "mismatch_n"}
    assert set(found._fields) - none == known | {"mmd", "mmd_floor", "sinkhorn", "sinkhorn_floor"}


def test_the_bernoulli_cost_is_a_likelihood_and_a_distance_is_none():
    mu = Pushforward(nn.Sequential(nn.Linear(2, 3), nn.Sigmoid()), standard_gaussian(2))
    encoder, nu = GaussianEncoder(nn.Linear(3, 4)), Empirical((torch.rand(100, 3) > 0.5).float())
    found = judge_encoder(mu, nu, BernoulliNLL(), encoder, samples=8)
    assert found.negative_iwae <= found.negative_elbo
    assert found.negative_elbo == pytest.approx(found.reconstruction + found.conditional_kl, rel=0.2)
    # p(y) sums to 1 over the eight binary points.
    cube = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    log_w = log_weights(lambda y: gaussian(0 * y[:, :2]), mu.base, lambda z, y: -BernoulliNLL()(mu(z), y), cube, 4000)
    assert float(iwae_bound(log_w).exp().sum()) == pytest.approx(1, abs=0.02)
    assert judge_encoder(mu, nu, Euclidean(), encoder).samples is None


def test_other_posteriors_than_gaussians_are_measured_on_fewer_points():
    class Box(nn.Module):
        def forward(self, y):
            return Independent(Uniform(y[:, :2].tanh() / 2 - 0.5, y[:, :2].tanh() / 2 + 0.5), 1)

    mu = Pushforward(nn.Linear(2, 3), uniform_cube(2))
    found = judge_encoder(mu, Empirical(torch.randn(400, 3)), SquaredEuclidean(), Box(), variance=1.0)
    assert (found.n, found.information_n) == (400, 128)
    assert found.conditional_kl == pytest.approx(2 * math.log(2), rel=1e-4)
    assert abs(found.gap) < 4 * found.gap_se + 1e-5


def test_a_flow_and_a_learned_prior_are_judged_like_any_other():
    if find_spec("zuko") is None:  # looked for, not imported: its import changes torch's distributions
        pytest.skip("zuko is not installed")
    mu = Pushforward(nn.Linear(2, 3), learned_mixture(2, components=3))
    encoder, nu = FlowEncoder(MLP(3, hidden=(8,)), 2, hidden=(8,)), Empirical(torch.randn(150, 3))
    found = judge_encoder(mu, nu, SquaredEuclidean(), encoder, variance=1.0, samples=16)
    assert found.information_n == 128
    assert abs(found.gap) < 4 * found.gap_se
    assert found.aggregate_kl + 4 * found.aggregate_kl_se >= 0
    assert found.negative_iwae <= found.negative_elbo


def test_codes_on_a_sphere_are_compared_by_samples_alone():
    mu = Pushforward(nn.Linear(3, 4), uniform_sphere(3))
    found = judge_encoder(mu, Empirical(torch.randn(300, 4)), SquaredEuclidean(), SphereEncoder(nn.Linear(4, 3)))
    assert found.conditional_kl is None
    assert found.sinkhorn < 1  # a unit sphere is small
    blurred = judge_encoder(mu, Empirical(torch.randn(300, 4)), SquaredEuclidean(), GaussianEncoder(nn.Linear(4, 6)))
    assert blurred.aggregate_kl == blurred.conditional_kl == math.inf  # a law of the space has no density on a sphere


def test_a_decoder_with_noise_is_judged_by_its_own_density_whatever_the_cost():
    mean = nn.Linear(2, 3)
    mu, plain = (Pushforward(g, standard_gaussian(2)) for g in (GaussianDecoder(mean, std=0.5), mean))
    encoder, nu = GaussianEncoder(nn.Linear(3, 4)), Empirical(torch.randn(200, 3))
    own = judge_encoder(mu, nu, NegativeLogLikelihood(), encoder, samples=8)
    other = judge_encoder(mu, nu, SquaredEuclidean(), encoder, variance=9.0, samples=8)
    assert own.negative_elbo == pytest.approx(other.negative_elbo, rel=0.1)
    same = judge_encoder(plain, nu, SquaredEuclidean(), encoder, variance=0.25, samples=8)
    assert own.negative_elbo == pytest.approx(same.negative_elbo, rel=0.1)
    assert own.reconstruction == pytest.approx(own.negative_elbo - own.conditional_kl, rel=0.1)


def test_judging_disturbs_nothing_and_repeats_itself():
    mu = Pushforward(nn.Sequential(MLP(2, 3, hidden=(4,)), nn.Dropout()), standard_gaussian(2))
    encoder, nu = GaussianEncoder(nn.Linear(3, 4)), Empirical(torch.randn(60, 3))
    before = torch.get_rng_state()
    first = judge_encoder(mu, nu, SquaredEuclidean(), encoder, variance=0.5)
    assert torch.equal(torch.get_rng_state(), before)
    assert mu.training and encoder.training
    torch.randn(3)
    assert judge_encoder(mu, nu, SquaredEuclidean(), encoder, variance=0.5) == first
    assert judge_encoder(mu, nu, SquaredEuclidean(), encoder, variance=0.5, seed=1) != first
    assert all(p.grad is None for p in mu.parameters())


def test_the_densities_of_all_pairs_never_stand_in_memory_at_once(monkeypatch):
    monkeypatch.setattr(information, "CHUNK", 10_000)
    sizes = []

    class Watched(Normal):
        def log_prob(self, value):
            sizes.append(torch.broadcast_shapes(value.shape, self.batch_shape).numel())
            return super().log_prob(value)

    q = Independent(Watched(torch.randn(300, 4), torch.ones(300, 4)), 1)
    mutual_information(q)
    assert max(sizes) <= 10_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variance": 0.0}, "variance must be a number in"),
        ({"samples": 0}, "samples must be a whole number >= 1"),
        ({"likelihood_n": 1}, "likelihood_n must be a whole number"),
    ],
)
def test_senseless_options_are_refused(options, message):
    mu = Pushforward(nn.Linear(2, 3), standard_gaussian(2))
    with pytest.raises(ValueError, match=message):
        judge_encoder(mu, Empirical(torch.randn(9, 3)), SquaredEuclidean(), GaussianEncoder(nn.Linear(3, 4)), **options)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (nn.Linear(3, 2), "returns a tensor.*GaussianEncoder"),
        (GaussianEncoder(nn.Linear(3, 6)), r"laws on R\^2"),
        (GaussianEncoder(nn.Linear(5, 4)), "encoder"),
        (GaussianEncoder(nn.Linear(3, 4)).double(), "float64"),
    ],
)
def test_encoders_that_do_not_fit_are_named(encoder, message):
    mu, nu = Pushforward(nn.Linear(2, 3), standard_gaussian(2)), Empirical(torch.randn(9, 3))
    with pytest.raises(ValueError, match=message):
        judge_encoder(mu, nu, SquaredEuclidean(), encoder)


def test_the_record_is_flat():
    assert all(
        type(default) in (int, float, type(None)) for default in encoders.EncoderJudgement._field_defaults.values()
    )
