"""Both solvers hold the same E(θ): values, gradients, signs and the likelihood of a VAE."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from ot_gen import (
    KL,
    MLP,
    MMD,
    BernoulliNLL,
    DiracEncoder,
    DiscretePotential,
    DualSolver,
    Empirical,
    EncoderCoupling,
    Euclidean,
    GaussianEncoder,
    InverseMultiquadric,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    SinkhornDivergence,
    SlicedWasserstein,
    SquaredEuclidean,
    c_transform,
    data,
    exact_plan,
    fit,
    standard_gaussian,
)

pytestmark = pytest.mark.usefixtures("float64")


def test_the_envelope_gradient_of_both_solvers_is_the_derivative_of_e():
    cost = SquaredEuclidean()
    y = torch.rand(6, 2)
    z = torch.rand(6, 2)

    def primal(t):
        return exact_plan(cost.matrix(z + t, y)).cost_of(cost, z + t, y)

    def dual(t):
        C = cost.matrix(z + t, y).detach()
        _, log = _lp(torch.full((6,), 1 / 6), torch.full((6,), 1 / 6), C)
        h_tilde = log["v"]
        # Cells of the optimal table touch at the optimum; a table from the strict interior is the c-transform's own.
        h, _ = c_transform(cost, z + t, y, h_tilde)
        return h.mean() + h_tilde.mean()

    t = torch.tensor([0.3, -0.2], requires_grad=True)
    step = 1e-6
    finite = torch.stack(
        [(primal(t.detach() + step * e) - primal(t.detach() - step * e)) / (2 * step) for e in torch.eye(2)]
    )
    (from_primal,) = torch.autograd.grad(primal(t), t)
    assert float(primal(t).detach()) == pytest.approx(float(dual(t).detach()), abs=1e-10)
    assert torch.allclose(from_primal, finite, atol=1e-6)
    # A translation moves E by 2⟨mean(z + t) − mean(y), ·⟩ whatever the assignment: both gradients must say so.
    expected = 2 * (z.mean(0) + t.detach() - y.mean(0))
    assert torch.allclose(from_primal, expected, atol=1e-8)


@pytest.mark.parametrize("cost", [SquaredEuclidean(), Euclidean()], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_the_primal_gradient_equals_the_dual_gradient(cost, seed):
    # Give each atom y_j the mass of its cell: the table that made the cells is then an optimal potential, E is
    # differentiable at θ, and the linear programme, which knows nothing of the table, must return the same gradient.
    torch.manual_seed(seed)
    n, m = 200, 7
    generator = MLP(2, 2, hidden=(16,))
    z, y, h_tilde = torch.randn(n, 2), torch.randn(m, 2) * 0.5, torch.randn(m) * 0.1
    x = generator(z)
    h, argmin = c_transform(cost, x, y, h_tilde)
    b = torch.bincount(argmin, minlength=m) / n
    kept = b > 0
    C = cost.matrix(x, y[kept])
    plan = exact_plan(C, None, b[kept])
    primal_value = plan.cost_of(cost, x, y[kept])
    dual_value = h.mean() + b @ h_tilde
    assert primal_value.item() == pytest.approx(dual_value.item(), abs=1e-10)
    primal = torch.autograd.grad(primal_value, list(generator.parameters()), retain_graph=True)
    dual = torch.autograd.grad(dual_value, list(generator.parameters()))
    for one, other in zip(primal, dual, strict=True):
        assert torch.allclose(one, other, atol=1e-8)


@pytest.mark.slow
def test_the_discrete_potential_climbs_to_the_value_of_the_linear_programme():
    cost = SquaredEuclidean()
    mu, nu = Empirical(torch.randn(40, 2)), Empirical(torch.randn(12, 2) + 1)
    solver = DualSolver(cost, DiscretePotential(concentration=1.5), inner_steps=20)
    fit(mu, nu, solver, steps=100, batch_size=12)
    solver.eval()
    dual = (solver.potential(mu.atoms).mean() + solver.potential.conjugate_mean(mu.atoms, nu.atoms)).item()
    C = cost.matrix(mu.atoms, nu.atoms)
    exact = float(exact_plan(C).value)
    assert dual <= exact + 1e-9
    assert dual >= 0.97 * exact


# --- the encoder's coupling and likelihood


def model(output=None, k=2, d=5):
    return Pushforward(MLP(k, d, hidden=(8,), output=output), standard_gaussian(k))


def test_value_plus_penalty_is_minus_elbo_for_a_gaussian_decoder():
    variance, d = 0.3, 5
    mu, nu = model(d=d), Empirical(torch.rand(16, d))
    coupling = EncoderCoupling(GaussianEncoder(MLP(d, 4, hidden=(8,))), KL(), weight=2 * variance)
    with torch.random.fork_rng():
        estimate = coupling(mu, nu, SquaredEuclidean(), 10)
    y = nu.sample(10)
    q = coupling.encoder(y)
    likelihood = Independent(Normal(mu(q.rsample()), math.sqrt(variance)), 1).log_prob(y)
    elbo = (likelihood - kl_divergence(q, mu.base.law)).mean()
    constant = d / 2 * math.log(2 * math.pi * variance)
    ours = (estimate.value + estimate.penalty) / (2 * variance) + constant
    assert ours.item() == pytest.approx(-elbo.item(), rel=1e-12)


def test_value_plus_penalty_is_minus_elbo_for_a_bernoulli_decoder():
    d = 5
    mu, nu = model(nn.Sigmoid(), d=d), Empirical((torch.rand(16, d) > 0.5).double())
    coupling = EncoderCoupling(GaussianEncoder(MLP(d, 4, hidden=(8,))), KL(), weight=1.0)
    with torch.random.fork_rng():
        estimate = coupling(mu, nu, BernoulliNLL(), 10)
    y = nu.sample(10)
    q = coupling.encoder(y)
    likelihood = Independent(Bernoulli(probs=mu(q.rsample())), 1).log_prob(y)
    elbo = (likelihood - kl_divergence(q, mu.base.law)).mean()
    assert (estimate.value + estimate.penalty).item() == pytest.approx(-elbo.item(), rel=1e-6)


@pytest.mark.slow
def test_an_encoder_coupling_is_no_bound():
    mu, nu = model(d=2), Empirical(torch.randn(32, 2) * 3)
    coupling = EncoderCoupling(DiracEncoder(MLP(2, 2, hidden=(64,))), MMD(InverseMultiquadric()), weight=1e-6)
    fit(mu, nu, PrimalSolver(SquaredEuclidean(), coupling), steps=800, batch_size=32)
    value = coupling(mu, nu, SquaredEuclidean(), 32).value.item()
    C = SquaredEuclidean().matrix(mu.sample(32), nu.atoms)
    assert coupling.bound is None
    assert value < 0.5 * float(exact_plan(C).value)


@pytest.mark.parametrize(
    "divergence", [KL(), MMD(InverseMultiquadric()), SinkhornDivergence(), SlicedWasserstein()], ids=str
)
def test_divergences_are_zero_in_theta_and_move_the_encoder(divergence):
    mu, nu = model(), Empirical(torch.rand(16, 5))
    coupling = EncoderCoupling(GaussianEncoder(MLP(5, 4, hidden=(8,))), divergence, weight=1.0)
    estimate = coupling(mu, nu, SquaredEuclidean(), 12)
    theta = torch.autograd.grad(estimate.penalty, list(mu.parameters()), allow_unused=True, retain_graph=True)
    assert all(g is None for g in theta)
    xi = torch.autograd.grad(estimate.penalty, list(coupling.encoder.parameters()))
    assert any(float(g.abs().max()) > 0 for g in xi)


def test_encoders_of_the_wrong_size_are_named():
    solver = PrimalSolver(SquaredEuclidean(), EncoderCoupling(DiracEncoder(MLP(5, 3)), SlicedWasserstein(), 1.0))
    with pytest.raises(ValueError, match=r"the encoder maps points of shape \(2, 5\) to \(2, 3\); .*dimension, 2"):
        solver.prepare(model(), Empirical(torch.rand(4, 5)))
    wrong_input = EncoderCoupling(DiracEncoder(MLP(4, 2)), SlicedWasserstein(), 1.0)
    with pytest.raises(ValueError, match=r"the encoder does not accept points of shape \(n, 5\)"):
        PrimalSolver(SquaredEuclidean(), wrong_input).prepare(model(), Empirical(torch.rand(4, 5)))


def test_kl_of_a_deterministic_encoder_is_refused():
    coupling = EncoderCoupling(DiracEncoder(MLP(5, 2)), KL(), weight=1.0)
    with pytest.raises(ValueError, match="KL has no closed form"):
        coupling(model(), Empirical(torch.rand(4, 5)), SquaredEuclidean(), 4)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan")])
def test_the_divergence_needs_a_positive_weight(weight):
    with pytest.raises(ValueError, match="weight must be a number > 0, got"):
        EncoderCoupling(DiracEncoder(nn.Identity()), KL(), weight)


# --- problems that do not fit


def test_dimensions_of_model_data_and_cost_must_agree():
    solver = PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan))
    with pytest.raises(ValueError, match="model lives in dimension 5 and the data in dimension 2"):
        solver.prepare(model(), Empirical(torch.rand(4, 2)))
    from ot_gen import FeatureCost

    featured = PrimalSolver(FeatureCost(nn.Linear(7, 3), SquaredEuclidean()), PlanCoupling(exact_plan))
    with pytest.raises(ValueError, match="does not accept points of dimension 5"):
        featured.prepare(model(), Empirical(torch.rand(4, 5)))


def test_model_and_data_must_share_their_dtype():
    solver = PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan))
    with pytest.raises(ValueError, match=r"float64 points on cpu and the data are torch.float32"):
        solver.prepare(model(), Empirical(torch.rand(4, 5, dtype=torch.float32)))


def test_a_discrete_potential_needs_atoms():
    solver = DualSolver(SquaredEuclidean(), DiscretePotential())
    with pytest.raises(ValueError, match="needs the atoms of an Empirical"):
        solver.prepare(model(d=2), data.eight_gaussians())
    with pytest.raises(ValueError, match="atoms have mass 0"):
        solver.prepare(model(d=2), Empirical(torch.rand(2, 2), torch.tensor([1.0, 0.0])))
    with pytest.raises(ValueError, match="no atoms yet"):
        DiscretePotential()(torch.zeros(3, 2))


def _lp(a, b, C):
    import ot

    plan, log = ot.emd(a.numpy(), b.numpy(), C.numpy(), log=True)
    return torch.from_numpy(plan), {name: torch.from_numpy(log[name]) for name in ("u", "v")}
