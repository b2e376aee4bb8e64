import sys
from importlib.util import find_spec

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Laplace, MultivariateNormal, Normal, kl_divergence

from ot_gen import (
    KL,
    MLP,
    MMD,
    DiracEncoder,
    Empirical,
    EncoderCoupling,
    FlowEncoder,
    FullGaussianEncoder,
    GaussianEncoder,
    InverseMultiquadric,
    PrimalSolver,
    Pushforward,
    SphereEncoder,
    SquaredEuclidean,
    Transported,
    fit,
    standard_gaussian,
    uniform_cube,
    uniform_sphere,
)

D, K = 4, 3


def flow(dim=K, **options):
    if find_spec("zuko") is None:  # looked for, not imported: its import changes torch's distributions
        pytest.skip("zuko is not installed")
    return FlowEncoder(MLP(D, hidden=(16,)), dim, **options)


ENCODERS = {
    "dirac": lambda: DiracEncoder(MLP(D, K)),
    "sphere": lambda: SphereEncoder(MLP(D, K)),
    "gaussian": lambda: GaussianEncoder(MLP(D, 2 * K)),
    "full": lambda: FullGaussianEncoder.on(MLP(D, hidden=(16,)), K),
    "flow": flow,
}
DENSE = ("gaussian", "full", "flow")


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_returns_a_law_for_each_point(name):
    encoder = ENCODERS[name]()
    q = encoder(torch.randn(5, D))
    assert (q.batch_shape, q.event_shape) == ((5,), (K,))
    assert q.mean.shape == q.rsample().shape == q.sample().shape == (5, K)
    assert q.rsample((7,)).shape == (7, 5, K)
    assert q.rsample().requires_grad
    assert not q.sample().requires_grad


@pytest.mark.parametrize("name", DENSE)
def test_densities_are_differentiable_in_every_parameter_and_broadcast(name):
    encoder = ENCODERS[name]()
    q = encoder(torch.randn(5, D))
    z = q.rsample((7,))
    assert q.log_prob(z).shape == (7, 5)
    assert q.log_prob(z[0, :, None]).shape == (5, 5)  # every code under every posterior
    (q.log_prob(z).mean() - z.square().sum(dim=-1).mean()).backward()
    assert [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


@pytest.mark.parametrize("name", ("dirac", "sphere"))
def test_a_deterministic_encoder_has_no_density(name):
    q = ENCODERS[name]()(torch.randn(5, D))
    assert torch.equal(q.rsample(), q.mean)
    assert float(q.variance.abs().sum()) == 0
    with pytest.raises(NotImplementedError):
        q.log_prob(q.mean)


def test_codes_on_the_sphere_stay_there_in_training():
    mu, nu = Pushforward(MLP(2, D, hidden=(8,)), uniform_sphere(2)), Empirical(torch.randn(64, D))
    encoder = SphereEncoder(MLP(D, 2, hidden=(8,)))
    solver = PrimalSolver(SquaredEuclidean(), EncoderCoupling(encoder, MMD(InverseMultiquadric()), 1.0))
    fit(mu, nu, solver, steps=5, batch_size=16)
    assert torch.allclose(encoder(nu.atoms).mean.norm(dim=1), torch.ones(64))


def test_the_full_gaussian_has_the_mean_and_covariance_of_its_net(float64):
    out = torch.randn(1, K * (K + 3) // 2)
    q = FullGaussianEncoder(nn.Identity())(out)
    L = torch.diag(out[0, K : 2 * K].exp())
    L[1, 0], L[2, 0], L[2, 1] = out[0, 2 * K :]
    assert torch.allclose(q.mean[0], out[0, :K])
    assert torch.allclose(q.covariance_matrix[0], L @ L.T)
    z = q.rsample((200_000,))[:, 0]
    assert torch.allclose(z.T.cov(), L @ L.T, atol=0.02 * float(L.square().sum()))


def test_without_a_lower_part_the_full_gaussian_is_the_diagonal_one(float64):
    out = torch.randn(5, 2 * K)
    full = FullGaussianEncoder(nn.Identity())(torch.cat([out, torch.zeros(5, K * (K - 1) // 2)], dim=1))
    diagonal = GaussianEncoder(nn.Identity())(out)
    z = torch.randn(5, K)
    zeta = standard_gaussian(K).double()
    assert torch.allclose(full.log_prob(z), diagonal.log_prob(z))
    assert torch.allclose(KL()(full, zeta), KL()(diagonal, zeta))


def test_kl_of_the_full_gaussian_to_a_diagonal_one_is_torchs_between_full_ones(float64):
    q = FullGaussianEncoder(nn.Identity())(torch.randn(5, K * (K + 3) // 2))
    a, s = torch.randn(K), torch.rand(K) + 0.5
    diagonal = Independent(Normal(a, s), 1)
    expected = kl_divergence(q, MultivariateNormal(a, torch.diag(s**2)))
    assert torch.allclose(kl_divergence(q, diagonal), expected)
    same = MultivariateNormal(a, scale_tril=torch.diag(s))
    assert torch.allclose(kl_divergence(same, diagonal), torch.zeros(()), atol=1e-12)


def test_kl_of_the_full_gaussian_is_the_mean_log_ratio(float64):
    q = FullGaussianEncoder(nn.Identity())(0.5 * torch.randn(5, K * (K + 3) // 2))
    zeta = standard_gaussian(K).double()
    z = q.sample((100_000,))
    ratio = q.log_prob(z) - zeta.law.log_prob(z)
    error = 5 * ratio.std(dim=0) / len(z) ** 0.5
    assert bool(((ratio.mean(dim=0) - kl_divergence(q, zeta.law)).abs() < error).all())


def test_kl_of_the_full_gaussian_has_no_formula_for_other_laws():
    q = FullGaussianEncoder.on(MLP(D, hidden=(8,)), K)(torch.randn(2, D))
    for law in (Independent(Laplace(torch.zeros(K), torch.ones(K)), 1), uniform_cube(K).law):
        with pytest.raises(NotImplementedError):
            kl_divergence(q, law)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (GaussianEncoder(nn.Linear(D, 3)), "2k values .* got 3"),
        (FullGaussianEncoder(nn.Linear(D, 6)), r"k \+ k\(k\+1\)/2 values .* got 6"),
        (FullGaussianEncoder(nn.Linear(D, 1)), "got 1"),
    ],
)
def test_nets_with_the_wrong_number_of_outputs_are_named(encoder, message):
    with pytest.raises(ValueError, match=message):
        encoder(torch.zeros(2, D))


@pytest.mark.parametrize("name", ENCODERS)
def test_a_latent_of_the_wrong_size_is_named(name):
    mu, nu = Pushforward(MLP(2, D), standard_gaussian(2)), Empirical(torch.randn(8, D))
    with pytest.raises(ValueError, match=r"to \(2, 3\); .* codes of ζ's dimension, 2"):
        EncoderCoupling(ENCODERS[name](), MMD(InverseMultiquadric()), 1.0).bind(mu, nu, SquaredEuclidean())


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_flow_has_the_density_of_the_change_of_variables(dim, float64):
    """Log p(T(ε)) = log N(ε) − log |det ∂T/∂ε|, the Jacobian by autograd."""
    encoder = flow(dim).double()
    q = encoder(torch.randn(1, D))
    assert isinstance(q, Transported)
    for epsilon in torch.randn(5, dim):
        jacobian = torch.autograd.functional.jacobian(lambda e: q.transform(e[None])[0], epsilon)
        expected = q.base.log_prob(epsilon[None]) - torch.linalg.slogdet(jacobian).logabsdet
        assert torch.allclose(q.log_prob(q.transform(epsilon[None])), expected, atol=1e-8)


@pytest.mark.slow
def test_the_flows_density_integrates_to_one_and_has_its_samples_moments():
    q = flow(2)(torch.randn(1, D))
    line = torch.arange(-12, 12, 0.05)
    points = torch.cartesian_prod(line, line)
    with torch.no_grad():
        mass = q.log_prob(points[:, None])[:, 0].exp() * 0.05**2
    assert float(mass.sum()) == pytest.approx(1, abs=5e-3)
    z = q.sample((20_000,))[:, 0]
    assert torch.allclose(mass @ points, z.mean(dim=0), atol=0.05)
    assert torch.allclose((mass[:, None] * points).T @ points, z.T @ z / len(z), atol=0.1)


def test_the_flows_mean_is_a_deterministic_code():
    q = flow()(torch.randn(5, D))
    assert torch.equal(q.mean, q.mean)
    assert torch.allclose(q.mean, q.transform(torch.zeros(5, K)))


@pytest.mark.slow
def test_the_flow_learns_a_posterior_that_is_no_gaussian():
    """Of two separate Gaussians a flow comes within .06 nats, the best Gaussian only within .15."""
    encoder = flow(1, layers=2)
    target = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.ones(2)),
        Independent(Normal(torch.tensor([[-1.5], [1.5]]), torch.full((2, 1), 0.6)), 1),
    )
    z, y = target.sample((512,)), torch.zeros(512, D)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=5e-3)
    for _ in range(300):
        optimizer.zero_grad()
        (-encoder(y).log_prob(z).mean()).backward()
        optimizer.step()
    fresh = target.sample((4000,))
    with torch.no_grad():
        entropy_gap = target.log_prob(fresh) - encoder(torch.zeros(4000, D)).log_prob(fresh)
        gaussian = Independent(Normal(z.mean(dim=0), z.std(dim=0)), 1)
        assert (
            float(entropy_gap.mean()) < 0.06 < 0.15 < float((target.log_prob(fresh) - gaussian.log_prob(fresh)).mean())
        )


def test_a_flow_continues_from_its_checkpoint(tmp_path):
    nu, file = Empirical(torch.randn(64, D)), tmp_path / "checkpoint.safetensors"

    def train(seed, **options):
        torch.manual_seed(seed)
        mu, encoder = Pushforward(MLP(K, D, hidden=(8,)), standard_gaussian(K)), flow()
        solver = PrimalSolver(SquaredEuclidean(), EncoderCoupling(encoder, MMD(InverseMultiquadric()), 1.0))
        return fit(mu, nu, solver, batch_size=16, **options).rows, encoder

    whole, encoder = train(0, steps=6)
    train(0, steps=3, checkpoint=file)
    rest, again = train(9, steps=6, resume=file)
    assert [row["value"] for row in rest] == [row["value"] for row in whole[3:]]
    ours, theirs = encoder.state_dict(), again.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_the_flows_library_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "zuko.flows.autoregressive", None)
    with pytest.raises(ValueError, match=r"pip install ot_gen\[flows\]"):
        FlowEncoder(MLP(D, hidden=(8,)), 2)


def test_the_flows_library_leaves_the_validation_of_other_laws_on():
    flow()
    with pytest.raises(ValueError, match="scale"):
        Normal(torch.zeros(()), -torch.ones(()))


def test_flows_of_no_size_are_named():
    with pytest.raises(ValueError, match="layers must be a whole number >= 1, got 0"):
        FlowEncoder(MLP(D, hidden=(8,)), 2, layers=0)
