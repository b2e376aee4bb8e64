"""Divergences between codes and the reference: closed forms, bias, and gradients in the encoder alone."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal, kl_divergence

from ot_gen import (
    KL,
    MLP,
    MMD,
    AdversarialJS,
    BatchTransport,
    CodeNorm,
    CramerWold,
    DebiasedTransport,
    Dirac,
    Empirical,
    EncoderCoupling,
    Euclidean,
    GaussianEncoder,
    GaussianKernel,
    InverseMultiquadric,
    MaxSlicedWasserstein,
    Measure,
    MinibatchWeightedKL,
    Pushforward,
    SinkhornDivergence,
    SlicedWasserstein,
    SquaredEuclidean,
    StratifiedKL,
    WeightedSum,
    add_head,
    standard_gaussian,
    uniform_cube,
    uniform_sphere,
)
from ot_gen.divergences import CubicKernel, EnergyKernel, GaussianScales, sampled_kl
from ot_gen.evaluation import MeanDiscrepancy

K = 3
EVERY = [
    KL(),
    CodeNorm(),
    MinibatchWeightedKL(64),
    StratifiedKL(64),
    MMD(InverseMultiquadric()),
    MMD(GaussianKernel()),
    SinkhornDivergence(0.1),
    SlicedWasserstein(),
    MaxSlicedWasserstein(),
    BatchTransport(),
    DebiasedTransport(),
    CramerWold(),
    AdversarialJS(MLP(K, 1, hidden=(8,))),
    WeightedSum([KL(), MMD(InverseMultiquadric())], [0.5, 2.0]),
]


def gaussian(mean, std):
    return Independent(Normal(mean, std, validate_args=False), 1)


def mean_and_error(draw, repeats):
    values = torch.stack([draw() for _ in range(repeats)])
    return values.mean().item(), values.std().item() / math.sqrt(repeats)


def name_of(divergence):
    return type(divergence).__name__


@pytest.mark.parametrize("divergence", EVERY, ids=name_of)
def test_every_divergence_moves_the_encoder_and_is_free_of_the_generator(divergence):
    mu = Pushforward(MLP(K, 5), standard_gaussian(K))
    coupling = EncoderCoupling(GaussianEncoder(MLP(5, 2 * K)), divergence, weight=1.0)
    _, penalty = coupling(mu, Empirical(torch.randn(64, 5)), SquaredEuclidean(), 16)
    assert penalty.shape == ()
    assert torch.isfinite(penalty)
    of_encoder = torch.autograd.grad(penalty, list(coupling.encoder.parameters()), retain_graph=True)
    assert any(bool(gradient.any()) for gradient in of_encoder)
    of_theta = torch.autograd.grad(penalty, list(mu.parameters()), allow_unused=True)
    assert all(gradient is None for gradient in of_theta)


@pytest.mark.parametrize(
    "divergence",
    [d for d in EVERY if not isinstance(d, KL | CodeNorm | MinibatchWeightedKL | StratifiedKL | WeightedSum)],
    ids=name_of,
)
def test_a_single_code_is_refused(divergence):
    with pytest.raises(ValueError, match="at least two codes"):
        divergence(Dirac(torch.zeros(1, K)), standard_gaussian(K))


@pytest.mark.parametrize("divergence", EVERY[4:13], ids=name_of)
def test_codes_of_another_dimension_are_refused(divergence):
    with pytest.raises(ValueError, match=f"codes of dimension {K}"):
        divergence(Dirac(torch.zeros(8, K + 1)), standard_gaussian(K))


def test_the_sampled_kl_has_the_closed_form_as_its_mean():
    zeta = standard_gaussian(K)
    q = gaussian(torch.randn(1, K).expand(20000, K), 0.5 * torch.ones(20000, K))
    values = sampled_kl(q, zeta, q.sample())
    exact = kl_divergence(q, zeta.law)[0]
    assert abs(values.mean() - exact) < 5 * values.std() / math.sqrt(20000)


def test_kl_is_sampled_where_torch_has_no_closed_form():
    """Against ½N(−a, I) + ½N(a, I), whose density at the codes is known."""
    from torch.distributions import Categorical, MixtureSameFamily

    from ot_gen import Reference

    means = torch.stack([torch.full((K,), -1.0), torch.full((K,), 1.0)])
    mixture = Reference(MixtureSameFamily(Categorical(torch.ones(2)), gaussian(means, torch.ones(2, K))))
    q = gaussian(torch.zeros(4000, K), torch.ones(4000, K))
    z = q.sample()
    log_mixture = torch.logsumexp(torch.stack([gaussian(m, torch.ones(K)).log_prob(z) for m in means]), 0) - math.log(2)
    expected = (q.log_prob(z) - log_mixture).mean()
    assert KL()(q, mixture).item() == pytest.approx(expected.item(), abs=0.1)


def test_a_kl_without_densities_is_refused():
    with pytest.raises(ValueError, match="no closed form"):
        KL()(Dirac(torch.zeros(4, K)), standard_gaussian(K))
    for divergence in (MinibatchWeightedKL(64), StratifiedKL(64)):
        with pytest.raises(ValueError, match="needs densities"):
            divergence(Dirac(torch.zeros(4, K)), standard_gaussian(K))


def posteriors(n, spread=0.8):
    """A Gaussian channel: y ~ N(0, s²), q(·|y) = N(y, 1 − s²), so that the aggregate is N(0, 1) exactly."""
    y = spread * torch.randn(n, 1)
    return gaussian(y, math.sqrt(1 - spread**2) * torch.ones(n, 1))


def test_the_aggregate_kl_of_a_channel_onto_the_reference_is_0_and_the_conditional_kl_is_the_information():
    n = 2000
    q, zeta = posteriors(n), standard_gaussian(1)
    information = -0.5 * math.log(1 - 0.8**2)
    assert KL()(q, zeta).item() == pytest.approx(information, abs=0.08)
    assert StratifiedKL(n)(q, zeta).item() == pytest.approx(0.0, abs=0.02)
    assert MinibatchWeightedKL(n)(q, zeta).item() == pytest.approx(-math.log(n), abs=0.02)


def test_the_stratified_kl_of_a_batch_is_low_and_less_so_the_larger_the_batch():
    """By Jensen's inequality; for narrow posteriors in a plane, of which a batch shows few neighbours."""
    zeta, atoms = standard_gaussian(2), 4000
    y = torch.randn(atoms, 2) * math.sqrt(0.99)

    def estimate(n):
        return StratifiedKL(atoms)(gaussian(y[torch.randperm(atoms)[:n]], 0.1 * torch.ones(n, 2)), zeta)

    (small, error), (large, _) = mean_and_error(lambda: estimate(16), 60), mean_and_error(lambda: estimate(256), 10)
    assert small + 4 * error < large < 0.05


def test_the_multiquadrics_derivative_is_that_of_its_formula():
    x, y = torch.rand(2, 5, 3).double().requires_grad_()
    torch.autograd.gradcheck(InverseMultiquadric(), (x, y))
    squared = torch.cdist(x, y).square()
    expected = torch.stack([6 * s / (6 * s + squared) for s in InverseMultiquadric().scales]).mean(dim=0)
    torch.testing.assert_close(InverseMultiquadric()(x, y), expected)


@pytest.mark.slow
def test_gaussian_mmd_has_its_closed_form():
    """E k(x, y) = (1 + 2σ²/s)^(−k/2) exp(−‖m‖² / (2(s + 2σ²))) for k = exp(−‖x − y‖²/(2s)) and N(0, σ²), N(m, σ²)."""
    k, n = 2, 4000
    m = torch.tensor([1.0, 0.5])
    s = 1.0 * k  # GaussianKernel counts its scales in units of k
    within = (1 + 2 / s) ** (-k / 2)
    exact = 2 * within - 2 * within * math.exp(-float(m @ m) / (2 * (s + 2)))
    found = MMD(GaussianKernel((1.0,)))(gaussian(m.expand(n, k), torch.ones(n, k)), standard_gaussian(k))
    assert found.item() == pytest.approx(exact, rel=0.1)


def test_sliced_transport_on_a_line_is_sorting():
    codes = torch.randn(50, 1)
    torch.manual_seed(3)
    found = SlicedWasserstein(7)(Dirac(codes), standard_gaussian(1))
    torch.manual_seed(3)
    prior = standard_gaussian(1).sample(50)
    expected = (codes.sort(dim=0).values - prior.sort(dim=0).values).square().mean()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


class Given(Measure):
    """A reference whose draws are given: the codes moved."""

    def __init__(self, points):
        super().__init__()
        self.dim, self.points = points.shape[1], points

    def sample(self, n):
        return self.points[:n]


def test_a_translation_costs_its_square_on_a_line_on_average_and_at_most():
    """SW₂² of a translation by t is ‖t‖²/k, and the max-sliced one ‖t‖²."""
    codes, t = torch.randn(64, 4), torch.tensor([2.0, 0.0, -1.0, 1.0])
    moved = Given(codes + t)
    square = float(t @ t)
    assert SlicedWasserstein(4000)(Dirac(codes), moved).item() == pytest.approx(square / 4, rel=0.1)
    found = MaxSlicedWasserstein(50, ascents=30)(Dirac(codes), moved).item()
    assert 0.98 * square < found <= square * (1 + 1e-5)


def test_sliced_transport_to_more_draws_than_codes_is_the_linear_programmes_on_a_line():
    from ot_gen import wasserstein

    codes, draws = torch.randn(8, 1).double(), torch.randn(24, 1).double()
    found = SlicedWasserstein(3, draws=3)(Dirac(codes), Given(draws))
    assert found.item() == pytest.approx(wasserstein(codes, draws))


def test_max_sliced_is_above_sliced_and_its_ascent_only_improves():
    codes = torch.randn(64, 5) * torch.tensor([1.0, 1.0, 1.0, 1.0, 3.0])
    values = []
    for divergence in (SlicedWasserstein(50), MaxSlicedWasserstein(50, 0), MaxSlicedWasserstein(50, 10)):
        torch.manual_seed(0)
        values.append(divergence(Dirac(codes), standard_gaussian(5)).item())
    assert values == sorted(values)


def test_cramer_wold_in_closed_form_is_what_draws_of_the_reference_tend_to():
    """The closed form and the sample form are one distance: N(0, I) written so that it is not recognised."""
    from ot_gen import Reference

    n, k = 500, 8
    codes = 0.5 + torch.randn(n, k)
    unrecognised = Reference(torch.distributions.MultivariateNormal(torch.zeros(k), torch.eye(k)))
    closed = CramerWold()(Dirac(codes), standard_gaussian(k)).item()
    sampled = CramerWold()(Dirac(codes), unrecognised).item()
    assert closed == pytest.approx(sampled, rel=0.2)
    assert CramerWold()(Dirac(codes - 0.5), standard_gaussian(k)).item() < 0.2 * closed


def test_the_discriminator_ascends_to_the_jensen_shannon_divergence_while_the_encoder_would_descend():
    """JS of N(0, 1) and N(2, 1) by quadrature; the gradient of ω is that of −JS, the encoder's draws its codes to ζ."""
    divergence = AdversarialJS(MLP(1, 1, hidden=(32,)))
    zeta, q = standard_gaussian(1), gaussian(torch.full((1000, 1), 2.0), torch.ones(1000, 1))
    optimizer = torch.optim.Adam(divergence.parameters(), lr=1e-2)
    for _ in range(200):
        optimizer.zero_grad()
        divergence(q, zeta).backward()
        optimizer.step()
    grid = torch.linspace(-10, 12, 20001)
    p, r = Normal(0.0, 1.0).log_prob(grid), Normal(2.0, 1.0).log_prob(grid)
    middle = torch.logaddexp(p, r) - math.log(2)
    exact = 0.5 * torch.trapezoid(p.exp() * (p - middle) + r.exp() * (r - middle), grid).item()
    found = torch.stack([divergence(q, zeta) for _ in range(20)]).mean().item()
    assert found == pytest.approx(exact, abs=0.03)
    assert found <= exact + 0.01
    shift = torch.full((1,), 2.0, requires_grad=True)
    value = divergence(gaussian(shift.expand(1000, 1), torch.ones(1000, 1)), zeta)
    (slope,) = torch.autograd.grad(value, shift)
    assert slope.item() > 0.1


def slope_in_scale(divergence, repeats, n=32, k=8):
    """d/ds of D(s z, ζ) at s = 1 with z ~ ζ: the derivative along which codes shrink or spread."""
    zeta = standard_gaussian(k)

    def draw():
        s = torch.ones((), requires_grad=True)
        (slope,) = torch.autograd.grad(divergence(Dirac(s * zeta.sample(n)), zeta), s)
        return slope

    return mean_and_error(draw, repeats)


def test_batch_transport_shrinks_codes_of_the_right_law_and_the_debiased_one_does_not():
    mean, error = slope_in_scale(BatchTransport(), 60)
    assert mean > 10 * error  # downhill is towards smaller codes
    mean, error = slope_in_scale(DebiasedTransport(), 300)
    assert abs(mean) < 4 * error


@pytest.mark.parametrize(("divergence", "low", "high"), [(BatchTransport(), 0.2, 0.8), (DebiasedTransport(), 0.9, 1.1)])
def test_the_variance_of_trained_codes(divergence, low, high):
    """One scale for all codes, trained with the data the reference itself: the variance ends at its minimiser's."""
    zeta, scale = standard_gaussian(8), nn.Parameter(torch.tensor(0.9))
    optimizer = torch.optim.SGD([scale], lr=0.05)
    tail = []
    for step in range(400):
        optimizer.zero_grad()
        divergence(Dirac(scale * zeta.sample(32)), zeta).backward()
        optimizer.step()
        if step >= 200:
            tail.append(scale.item() ** 2)
    assert low < sum(tail) / len(tail) < high


def test_debiased_transport_is_zero_on_average_at_equality_and_positive_apart():
    zeta = standard_gaussian(4)
    mean, error = mean_and_error(
        lambda: DebiasedTransport()(gaussian(torch.zeros(16, 4), torch.ones(16, 4)), zeta), 300
    )
    assert abs(mean) < 4 * error
    assert DebiasedTransport()(gaussian(torch.full((16, 4), 2.0), torch.ones(16, 4)), zeta) > 4


def test_a_weighted_sum_is_the_sum():
    zeta, q = standard_gaussian(K), gaussian(torch.ones(8, K), torch.ones(8, K))
    assert WeightedSum([KL(), KL()], [0.5, 2.0])(q, zeta).item() == pytest.approx(2.5 * KL()(q, zeta).item())
    assert WeightedSum([KL(), MMD(GaussianKernel())], [1, 1]).unbiased
    assert not WeightedSum([KL(), SlicedWasserstein()], [1, 1]).unbiased


@pytest.mark.parametrize(
    ("build", "what"),
    [
        (lambda: WeightedSum([KL()], [1.0, 2.0]), "one weight"),
        (lambda: WeightedSum([KL()], [-1.0]), r"weights\[0\] must be a number >= 0, got -1"),
        (lambda: SlicedWasserstein(0), "directions must be a whole number >= 1, got 0"),
        (lambda: SlicedWasserstein(draws=0), "draws must be a whole number >= 1, got 0"),
        (lambda: MaxSlicedWasserstein(5, -1), "ascents must be a whole number >= 0, got -1"),
        (lambda: StratifiedKL(1), "atoms must be a whole number >= 2, got 1"),
        (lambda: StratifiedKL(4)(gaussian(torch.zeros(8, K), torch.ones(8, K)), standard_gaussian(K)), "2 to 4"),
    ],
)
def test_bad_input_is_named(build, what):
    with pytest.raises(ValueError, match=what):
        build()


def test_codes_off_the_references_support_are_refused():
    with pytest.raises(ValueError, match="leave the support of the reference"):
        KL()(gaussian(torch.zeros(4, K), torch.ones(4, K)), uniform_sphere(K))


def test_a_divergence_that_is_infinite_is_refused_before_training():
    coupling = EncoderCoupling(GaussianEncoder(add_head(MLP(5, hidden=(8,)), 2 * K)), KL(), weight=1.0)
    with pytest.raises(ValueError, match="not finite"):
        coupling.bind(Pushforward(MLP(K, 5), uniform_cube(K)), Empirical(torch.randn(8, 5)), SquaredEuclidean())


@pytest.mark.parametrize("divergence", [SlicedWasserstein, MaxSlicedWasserstein])
def test_the_number_of_directions_is_still_taken_under_its_old_name(divergence):
    with pytest.warns(DeprecationWarning, match="projections= is now called directions="):
        assert divergence(projections=7).directions == 7


KERNELS = [InverseMultiquadric(), GaussianKernel(), GaussianScales(2.0), EnergyKernel(), CubicKernel()]


@pytest.mark.parametrize("kernel", KERNELS, ids=name_of)
def test_a_kernel_serves_codes_and_samples_alike_and_there_is_one_u_statistic(kernel):
    """Against the double sum, for the divergence and for the metric."""
    x, y = torch.randn(2, 6, K).double()

    def k(a, b):
        return float(kernel(a[None], b[None]))

    within = sum(k(a, b) for cloud in (x, y) for a, b in itertools.permutations(cloud, 2)) / (6 * 5)
    expected = within - 2 * sum(k(a, b) for a in x for b in y) / 36
    assert float(MMD(kernel)(Dirac(x), Given(y))) == pytest.approx(expected, abs=1e-9)
    assert MeanDiscrepancy(kernel)(x, y) == pytest.approx(expected, abs=1e-9)


def test_the_gaussian_kernels_are_one_in_other_units():
    x, y = torch.randn(4, K), torch.randn(5, K)
    scales = (0.5, 2.0)
    torch.testing.assert_close(GaussianKernel(scales)(x, y), GaussianScales(float(K), scales)(x, y))
    with pytest.raises(ValueError, match="variance must be a number > 0, got 0"):
        GaussianKernel(variance=0.0)


def test_codes_off_the_support_are_infinitely_far_in_every_estimate_of_the_kl():
    """A reference on a cube; torch's own error of values outside a support speaks of neither."""
    coupling = EncoderCoupling(GaussianEncoder(add_head(MLP(5, hidden=(8,)), 2 * K)), StratifiedKL(64), weight=1.0)
    with pytest.raises(ValueError, match="not finite: the codes leave the reference's support"):
        coupling.bind(Pushforward(MLP(K, 5), uniform_cube(K, 50.0, 51.0)), Empirical(torch.randn(8, 5)), Euclidean())
