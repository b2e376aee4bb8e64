import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal, kl_divergence

from ot_gen import (
    KL,
    MLP,
    BernoulliDecoder,
    BernoulliNLL,
    Empirical,
    EncoderCoupling,
    FullGaussianEncoder,
    GaussianDecoder,
    GaussianEncoder,
    LearnedStd,
    NegativeLogLikelihood,
    PixelwiseStd,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    RBFPrecision,
    SquaredEuclidean,
    exact_plan,
    fit,
    linear_decay,
    load_weights,
    standard_gaussian,
    uniform_cube,
)

K, D = 2, 5


def bernoulli():
    return BernoulliDecoder(MLP(K, D, hidden=(8,), output=nn.Sigmoid()))


DECODERS = {
    "fixed": lambda: GaussianDecoder(MLP(K, D, hidden=(8,)), 0.3),
    "learned": lambda: GaussianDecoder(MLP(K, D, hidden=(8,)), LearnedStd()),
    "pixelwise": lambda: GaussianDecoder(MLP(K, D, hidden=(8,)), PixelwiseStd(MLP(K, D, hidden=(8,)))),
    "rbf": lambda: GaussianDecoder(MLP(K, D, hidden=(8,)), RBFPrecision(K, D, centres=6)),
    "bernoulli": bernoulli,
}


@pytest.fixture(params=DECODERS, ids=str)
def decoder(request):
    return DECODERS[request.param]()


def test_a_decoder_returns_laws_whose_mean_and_deviation_are_its_functions(decoder):
    z = torch.randn(7, K)
    law = decoder(z)
    assert (law.batch_shape, law.event_shape) == ((7,), (D,))
    assert torch.allclose(law.mean, decoder.mean(z))
    assert torch.allclose(law.stddev, decoder.std(z).expand(7, D), atol=1e-5)
    assert decoder.std(z).shape in ((7, D), (7, 1))


def test_mean_and_deviation_are_smooth_functions_for_a_latent_geometry(decoder, float64):
    """Their Jacobians in z exist for a batch at once, and agree with finite differences."""
    decoder, z = decoder.double(), torch.randn(4, K)
    for function in (decoder.mean, decoder.std):
        jacobian = torch.func.vmap(torch.func.jacrev(lambda point, f=function: f(point[None])[0]))(z)
        for axis, step in enumerate(1e-6 * torch.eye(K)):
            difference = (function(z + step) - function(z - step)) / 2e-6
            assert torch.allclose(jacobian[..., axis], difference, atol=1e-6)


def test_every_parameter_learns_from_the_likelihood(decoder):
    (-decoder(torch.randn(7, K)).log_prob(torch.rand(7, D)).mean()).backward()
    assert [n for n, p in decoder.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


def test_the_model_is_the_law_of_the_draws(decoder):
    """E x = E m(z) and Var x = Var m(z) + E σ(z)²: the noise is in the sample."""
    mu = Pushforward(decoder, standard_gaussian(K))
    with torch.no_grad():
        x, z = mu.sample(60_000), mu.base.sample(60_000)
        mean, std = decoder.mean(z), decoder.std(z)
    assert torch.allclose(x.mean(dim=0), mean.mean(dim=0), atol=0.03)
    assert torch.allclose(x.var(dim=0), mean.var(dim=0) + std.square().mean(dim=0), atol=0.04)
    assert torch.equal(mu(z), decoder.mean(z))
    assert mu.dim == D


def test_the_noise_is_reparametrised():
    mu = Pushforward(DECODERS["learned"](), standard_gaussian(K))
    mu.rsample(16).square().sum().backward()
    assert all(p.grad is not None for p in mu.parameters())


def test_bernoulli_samples_are_black_and_white_and_their_differentiable_stand_in_is_grey():
    mu = Pushforward(bernoulli(), standard_gaussian(K))
    assert set(mu.sample(50).unique().tolist()) == {0.0, 1.0}
    torch.manual_seed(3)
    grey = mu.rsample(50)
    torch.manual_seed(3)
    assert torch.equal(grey, mu(mu.base.sample(50)))
    assert grey.requires_grad


def test_a_model_with_noise_is_no_image_of_its_references_cube(decoder):
    assert Pushforward(decoder, uniform_cube(K)).cube_dim is None
    assert Pushforward(nn.Linear(K, D), uniform_cube(K)).cube_dim == K


def test_the_likelihood_of_a_fixed_gaussian_is_its_closed_form(float64):
    z, y = torch.randn(7, K), torch.randn(7, D)
    net = nn.Linear(K, D)
    found = NegativeLogLikelihood().decoded(GaussianDecoder(net, 0.3)(z), y)
    expected = (y - net(z)).square().sum(dim=1) / (2 * 0.09) + D / 2 * math.log(2 * math.pi * 0.09)
    assert torch.allclose(found, expected)


def test_the_likelihood_of_pixels_is_the_bernoulli_cost():
    z, y = torch.randn(7, K), torch.rand(7, D)
    decoder = bernoulli()
    found = NegativeLogLikelihood().decoded(decoder(z), y)
    assert torch.allclose(found, BernoulliNLL()(decoder.mean(z), y), atol=1e-5)


@pytest.mark.parametrize("scale", [0.0, 1e4, -1e4])
def test_likelihoods_stay_finite_at_the_extremes(scale):
    y = torch.cat([torch.zeros(2, D), torch.ones(2, D)])
    extreme = nn.Linear(K, D)
    nn.init.constant_(extreme.bias, scale)
    black = BernoulliDecoder(nn.Sequential(extreme, nn.Sigmoid()))
    wild = GaussianDecoder(nn.Linear(K, D), PixelwiseStd(extreme))
    for decoder in (black, wild):
        loss = -decoder(torch.randn(4, K)).log_prob(y).mean()
        loss.backward()
        assert bool(torch.isfinite(loss))
        assert all(bool(p.grad.isfinite().all()) for p in decoder.parameters())


@pytest.mark.parametrize("least", [1e-3, 0.1])
def test_the_log_density_is_bounded_by_the_least_deviation(least):
    """Log p never exceeds −(d/2) log(2π least²), however sure the decoder is."""
    sure = nn.Linear(K, D)
    nn.init.constant_(sure.bias, -100.0)
    rbf = RBFPrecision(K, D, centres=3, least=least)
    nn.init.constant_(rbf.log_weights, 100.0)
    z = rbf.centres
    for std in (PixelwiseStd(sure, least), LearnedStd(1e-9, least), rbf):
        decoder = GaussianDecoder(nn.Linear(K, D), std)
        best = decoder(z).log_prob(decoder.mean(z)).max().item()
        assert best <= -D / 2 * math.log(2 * math.pi * least**2) + 1e-3
        assert best == pytest.approx(-D / 2 * math.log(2 * math.pi * least**2), rel=1e-2)


def test_a_cost_between_points_takes_draws_of_a_law():
    """E ‖m + σε − y‖² = ‖m − y‖² + d σ²."""
    decoder = GaussianDecoder(nn.Linear(K, D), 0.7)
    z, y = torch.zeros(100_000, K), torch.ones(100_000, D)
    cost = SquaredEuclidean()
    with torch.no_grad():
        expected = cost(decoder.mean(z), y).mean() + D * 0.49
        assert cost.decoded(decoder(z), y).mean() == pytest.approx(float(expected), rel=5e-3)
        assert torch.equal(cost.decoded(decoder.mean(z), y), cost(decoder.mean(z), y))


def test_a_cost_between_points_refuses_laws_without_differentiable_draws():
    with pytest.raises(ValueError, match="use NegativeLogLikelihood"):
        SquaredEuclidean().decoded(bernoulli()(torch.zeros(2, K)), torch.zeros(2, D))


def test_the_likelihood_refuses_points():
    cost, x = NegativeLogLikelihood(), torch.zeros(2, D)
    for call in (cost, cost.matrix, cost.decoded):
        with pytest.raises(ValueError, match=r"needs a law .* give the generator noise"):
            call(x, x)


def vae(decoder, weight=1.0, cost=None):
    coupling = EncoderCoupling(GaussianEncoder(MLP(D, 2 * K, hidden=(8,))), KL(), weight)
    return Pushforward(decoder, standard_gaussian(K)), PrimalSolver(cost or NegativeLogLikelihood(), coupling)


def test_the_solver_checks_the_cost_through_the_decoder():
    nu = Empirical(torch.rand(32, D))
    mu, solver = vae(bernoulli())
    solver.prepare(mu, nu)
    with pytest.raises(ValueError, match="give the generator noise"):
        solver.prepare(Pushforward(nn.Linear(K, D), standard_gaussian(K)), nu)
    with pytest.raises(ValueError, match="give the generator noise"):
        PrimalSolver(NegativeLogLikelihood(), PlanCoupling(exact_plan))(mu, nu, 4)


def test_value_and_penalty_are_minus_the_elbo(decoder):
    y = torch.rand(16, D)
    mu, solver = vae(decoder)
    torch.manual_seed(5)
    value, penalty = solver(mu, Empirical(y), 16)
    torch.manual_seed(5)
    drawn = Empirical(y).sample(16)
    q = solver.xi.encoder(drawn)
    elbo = (mu.decode(q.rsample()).log_prob(drawn) - kl_divergence(q, mu.base.law)).mean()
    assert torch.allclose(value + penalty, -elbo)


def test_a_fixed_deviation_is_the_squared_cost_with_weight_two_sigma_squared(float64):
    """(‖y − g‖² + 2σ² KL) / 2σ² + (d/2) log 2πσ² is −ELBO."""
    y, net, std = torch.randn(16, D), MLP(K, D, hidden=(8,)), 0.3
    encoder = GaussianEncoder(MLP(D, 2 * K, hidden=(8,)))
    base = standard_gaussian(K).double()

    def estimate(map, cost, weight):
        torch.manual_seed(5)
        return EncoderCoupling(encoder, KL(), weight)(Pushforward(map, base), Empirical(y), cost, 16)

    likely = sum(estimate(GaussianDecoder(net, std), NegativeLogLikelihood(), 1.0))
    squares = sum(estimate(net, SquaredEuclidean(), 2 * std**2))
    assert torch.allclose(likely, squares / (2 * std**2) + D / 2 * math.log(2 * math.pi * std**2))


@pytest.mark.slow
def test_the_linear_vae_reaches_the_optimum_of_probabilistic_pca():
    """Tipping and Bishop 1999, https://doi.org/10.1111/1467-9868.00196: the maximum of the likelihood in closed form.

    With λ_1 >= ... >= λ_d the eigenvalues of the data's covariance and σ² the mean of the last d − k of them, it is
    −½ [d log 2π + Σ_{l<=k} log λ_l + (d − k) log σ² + d], and the posterior is Gaussian, so that the best ELBO is it.
    """
    torch.manual_seed(0)
    z, noise = torch.randn(500, K), torch.randn(500, D)
    y = z @ torch.tensor([[2.0, 1.0, 0.0, -1.0, 0.5], [0.0, 1.0, 1.5, 0.5, -1.0]]) + 0.4 * noise + 1.0
    eigenvalues = torch.linalg.eigvalsh(y.T.cov(correction=0).double()).flip(0)
    variance = eigenvalues[K:].mean()
    optimum = -0.5 * (D * math.log(2 * math.pi) + eigenvalues[:K].log().sum() + (D - K) * variance.log() + D)

    decoder = GaussianDecoder(nn.Linear(K, D), LearnedStd(1.0))
    encoder = FullGaussianEncoder(nn.Linear(D, K * (K + 3) // 2))
    mu = Pushforward(decoder, standard_gaussian(K))
    solver = PrimalSolver(NegativeLogLikelihood(), EncoderCoupling(encoder, KL(), 1.0))
    optimizer = partial(torch.optim.Adam, lr=2e-2)
    fit(mu, Empirical(y), solver, steps=1000, batch_size=250, optimizer=optimizer, schedule=linear_decay)
    with torch.no_grad():
        q = encoder(y)
        likelihood = torch.stack([decoder(q.sample()).log_prob(y) for _ in range(200)]).mean()
        elbo = likelihood - kl_divergence(q, mu.base.law).mean()
    assert elbo.item() == pytest.approx(optimum.item(), rel=0.01)
    assert decoder.std(z[:1]).item() ** 2 == pytest.approx(variance.item(), rel=0.05)


def clusters():
    return torch.cat([0.1 * torch.randn(200, K) + torch.tensor(c) for c in ([-2.0, 0.0], [2.0, 0.0], [0.0, 2.0])])


def test_the_rbf_deviation_is_small_near_the_codes_and_the_floor_far_from_them():
    codes = clusters()
    sigma = RBFPrecision(K, D, centres=12, initial=0.1, background=0.25)
    state = torch.get_rng_state()
    sigma.fit_centres(codes)
    assert torch.equal(state, torch.get_rng_state())
    far = torch.tensor([[30.0, 0.0], [0.0, -30.0]])
    with torch.no_grad():
        assert float(sigma(codes).mean()) < 0.2
        at_centres = sigma.precision(sigma.centres).mean(dim=0) - 0.25
        assert torch.allclose(at_centres, torch.full((D,), 100.0))  # that of `initial`
        assert torch.allclose(sigma(far), torch.full((2, D), 2.0), atol=1e-4)
        between = sigma(torch.zeros(1, K))
        assert bool((between > 5 * sigma(codes).mean()).all())


def test_the_rbf_precision_is_its_formula(float64):
    sigma = RBFPrecision(K, D, centres=4, background=0.5, least=0.01).double()
    nn.init.normal_(sigma.log_weights)
    z = torch.randn(6, K)
    beta = torch.full((6, D), 0.5)
    for c in range(4):
        bump = torch.exp(-0.5 * sigma.bandwidths[c] * (z - sigma.centres[c]).square().sum(dim=1))
        beta += bump[:, None] * sigma.log_weights[c].exp()
    assert torch.allclose(sigma.precision(z), beta)
    assert torch.allclose(sigma(z).square(), 0.01**2 + 1 / beta)
    assert bool((sigma.precision(10 * torch.randn(100, K)) >= 0.5).all())


def test_a_trained_model_learns_where_it_is_uncertain():
    """Two stages: the model, then the centres on its codes and their weights with all else frozen."""
    nu = Empirical(clusters() @ torch.randn(K, D))
    base, net, encoder = standard_gaussian(K), MLP(K, D, hidden=(32,)), GaussianEncoder(MLP(D, 2 * K, hidden=(32,)))
    solver = PrimalSolver(NegativeLogLikelihood(), EncoderCoupling(encoder, KL(), 1.0))
    options = {"steps": 300, "batch_size": 64, "optimizer": lambda p: torch.optim.Adam(p, lr=1e-2)}
    fit(Pushforward(GaussianDecoder(net, 0.3), base), nu, solver, **options)

    codes = encoder(nu.atoms).mean.detach()
    sigma = RBFPrecision(K, D, centres=16, background=0.1)
    sigma.fit_centres(codes)
    for part in (net, encoder):
        part.requires_grad_(False)
    before = [p.clone() for p in net.parameters()]
    rows = fit(Pushforward(GaussianDecoder(net, sigma), base), nu, solver, **options).rows
    assert all(torch.equal(old, new) for old, new in zip(before, net.parameters(), strict=True))
    assert sum(row["value"] for row in rows[-20:]) < sum(row["value"] for row in rows[:20])
    with torch.no_grad():
        error = (net(codes) - nu.atoms).square().mean().sqrt()
        assert float(sigma(codes).mean()) < 3 * float(error)
        assert float(sigma(codes + 20.0).min()) == pytest.approx(0.1**-0.5, rel=1e-3)


def test_bandwidths_are_the_clusters_sizes():
    tight, wide = torch.randn(2000, K) * 0.1, torch.randn(2000, K) * 0.5 + torch.tensor([10.0, 0.0])
    sigma = RBFPrecision(K, D, centres=2)
    sigma.fit_centres(torch.cat([tight, wide]), spread=2.0)
    centres, bandwidths = (t[sigma.centres[:, 0].argsort()] for t in (sigma.centres, sigma.bandwidths))
    mean_norm = math.sqrt(math.pi / 2)  # of a standard Gaussian in the plane
    assert torch.allclose(centres, torch.tensor([[0.0, 0.0], [10.0, 0.0]]), atol=0.05)
    expected = torch.tensor([(2 * s * mean_norm) ** -2 for s in (0.1, 0.5)])
    assert torch.allclose(bandwidths, expected, rtol=0.05)


def test_new_centres_keep_each_pixels_precision():
    sigma = RBFPrecision(K, D, centres=6)
    nn.init.normal_(sigma.log_weights)
    with torch.no_grad():
        before = sigma.precision(sigma.centres).mean(dim=0)
        sigma.fit_centres(clusters())
        assert torch.allclose(sigma.precision(sigma.centres).mean(dim=0), before, rtol=1e-4)


def test_codes_that_coincide_still_give_finite_bandwidths():
    sigma = RBFPrecision(K, D, centres=2)
    sigma.fit_centres(torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]))
    assert bool(torch.isfinite(sigma.bandwidths).all())


def test_a_decoders_centres_are_in_its_checkpoint(tmp_path):
    mu, solver = vae(DECODERS["rbf"]())
    mu.map.scale.fit_centres(clusters())
    fit(mu, Empirical(torch.rand(64, D)), solver, steps=2, batch_size=16, checkpoint=tmp_path / "a.safetensors")
    fresh, _ = vae(DECODERS["rbf"]())
    load_weights(tmp_path / "a.safetensors", fresh)
    z = torch.randn(9, K)
    assert torch.equal(fresh.map.std(z), mu.map.std(z))


def test_decoders_follow_a_change_of_dtype(decoder):
    mu = Pushforward(decoder, standard_gaussian(K)).double()
    assert mu.sample(3).dtype == mu.rsample(3).dtype == decoder.std(torch.zeros(1, K).double()).dtype == torch.float64


def test_the_noise_decoder_describes_the_law_it_returns():
    law = DECODERS["fixed"]()(torch.zeros(1, K))
    assert isinstance(law, Independent) and isinstance(law.base_dist, Normal)
    assert "std=0.3" in repr(DECODERS["fixed"]())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianDecoder(nn.Linear(K, D), 0.0), "std must be a number > 0 or a torch module, got 0"),
        (lambda: GaussianDecoder(nn.Linear(K, D), float("nan")), "std must be a number > 0 or a torch module, got nan"),
        (lambda: LearnedStd(-1.0), "initial must be a number > 0, got -1"),
        (lambda: PixelwiseStd(nn.Linear(K, D), least=0.0), "least must be a number > 0, got 0"),
        (lambda: RBFPrecision(K, D, background=0.0), "background must be a number > 0, got 0"),
        (lambda: RBFPrecision(K, D, centres=8).fit_centres(torch.randn(4, K)), "8 centres .* need at least 8 codes"),
        (lambda: RBFPrecision(K, D, centres=2).fit_centres(torch.randn(4, 3)), "dimension 2 .* got codes of shape"),
        (
            lambda: BernoulliDecoder(nn.Linear(K, D))(9 * torch.randn(9, K)),
            r"probabilities, got values from -.*Sigmoid",
        ),
        (lambda: Pushforward(DECODERS["fixed"](), standard_gaussian(3)), r"latent points \(n, 3\)"),
    ],
)
def test_bad_decoders_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
