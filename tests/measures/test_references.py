import math

import pytest
import torch
from scipy.stats import kstest
from torch import nn
from torch.distributions import Independent, Normal

from ot_gen import (
    MLP,
    FullMixture,
    Pushforward,
    Reference,
    gaussian_mixture,
    gaussian_shell,
    learned_mixture,
    standard_gaussian,
    uniform_cube,
    uniform_sphere,
)

N = 20_000


def full_mixture(dim=2):
    torch.manual_seed(1)
    lower = torch.tril(0.3 * torch.randn(3, dim, dim)) + 0.5 * torch.eye(dim)
    lower.diagonal(dim1=1, dim2=2).abs_()
    return Reference(FullMixture(torch.tensor([0.5, 0.3, 0.2]), 1.5 * torch.randn(3, dim), lower))


PLANAR = {
    "gaussian": lambda: standard_gaussian(2),
    "cube": lambda: uniform_cube(2),
    "mixture": lambda: gaussian_mixture(torch.tensor([[-1.0, 0.0], [2.0, 1.0]]), 0.5, torch.tensor([0.8, 0.2])),
    "shell": lambda: gaussian_shell(2, components=5, std=0.3),
    "learned": lambda: learned_mixture(2, components=4, std=0.7),
    "full": full_mixture,
}
ALL = PLANAR | {"sphere": lambda: uniform_sphere(2), "sphere in R^5": lambda: uniform_sphere(5)}


@pytest.fixture(params=PLANAR, ids=str)
def planar(request):
    return PLANAR[request.param]()


@pytest.fixture(params=ALL, ids=str)
def zeta(request):
    return ALL[request.param]()


@torch.no_grad()
def grid_density(zeta, side=400, bound=8.0):
    """Cell midpoints (side², 2), their density, and the area of a cell."""
    line = (torch.arange(side) + 0.5) / side * 2 * bound - bound
    points = torch.cartesian_prod(line, line)
    inside = points.abs().amax(dim=1) < 1 if zeta.cube_dim and "Uniform" in str(zeta) else torch.ones(len(points)) > 0
    density = torch.zeros(len(points))
    density[inside] = zeta.law.log_prob(points[inside]).exp()
    return points, density, (2 * bound / side) ** 2


def test_densities_integrate_to_one_and_have_the_samples_moments(planar):
    points, density, area = grid_density(planar)
    assert float(density.sum()) * area == pytest.approx(1, abs=2e-3)
    mean = (density[:, None] * points).sum(dim=0) * area
    second = (density[:, None] * points).T @ points * area
    z = planar.sample(N)
    assert torch.allclose(z.mean(dim=0), mean, atol=0.07)
    assert torch.allclose(z.T @ z / N, second, atol=0.15)


@pytest.mark.parametrize("draw", ["sample", "rsample"])
def test_counts_in_cells_are_what_log_prob_says(planar, draw):
    points, density, area = grid_density(planar)
    with torch.no_grad():
        z = getattr(planar, draw)(N)

    def cell(p):
        return ((p + 8) / 16 * 20).long().clamp(0, 19) @ torch.tensor([20, 1])

    expected = N * torch.bincount(cell(points), density * area, minlength=400)
    found = torch.bincount(cell(z), minlength=400)
    enough = expected > 10
    chi_squared = ((found - expected).square() / expected)[enough].sum()
    cells = int(enough.sum())
    assert float(chi_squared) < cells + 5 * math.sqrt(2 * cells)


@pytest.mark.parametrize(("dim", "area"), [(1, 2.0), (2, 2 * math.pi), (3, 4 * math.pi), (4, 2 * math.pi**2)])
def test_the_density_on_the_sphere_is_one_over_its_area(dim, area):
    zeta = uniform_sphere(dim)
    density = zeta.law.log_prob(zeta.sample(7)).exp()
    assert torch.allclose(density, torch.full((7,), 1 / area))


def test_a_coordinate_of_the_sphere_in_space_is_uniform():
    """Archimedes: the projection of S² to a diameter keeps area."""
    z = uniform_sphere(3).sample(N)
    direction = nn.functional.normalize(torch.tensor([1.0, -2.0, 0.5]), dim=0)
    assert kstest((z @ direction).numpy(), "uniform", args=(-1, 2)).pvalue > 1e-3


def test_the_uniform_law_on_the_sphere_has_mean_zero_and_covariance_one_over_k():
    zeta = uniform_sphere(5)
    z = zeta.sample(N)
    assert torch.allclose(z.norm(dim=1), torch.ones(N))
    assert torch.allclose(z.mean(dim=0), zeta.law.mean, atol=0.02)
    assert torch.allclose(z.T.cov(), torch.eye(5) * zeta.law.variance, atol=0.02)


def test_points_off_the_sphere_have_no_density_on_it():
    with pytest.raises(ValueError, match="to be within the support"):
        uniform_sphere(3).law.log_prob(torch.ones(2, 3))


def test_a_projection_of_a_mixture_has_the_mixture_of_the_projections():
    means, weights = torch.tensor([[-2.0, 0.0, 1.0], [1.0, 1.0, 1.0]]), torch.tensor([0.3, 0.7])
    zeta = gaussian_mixture(means, torch.tensor([[0.5], [1.0]]), weights)
    direction = nn.functional.normalize(torch.tensor([1.0, 2.0, -1.0]), dim=0)
    along = Normal(means @ direction, torch.tensor([0.5, 1.0]))

    def cdf(t):
        return (along.cdf(torch.as_tensor(t)[:, None].float()) @ weights).numpy()

    assert kstest((zeta.sample(N) @ direction).numpy(), cdf).pvalue > 1e-3


def test_samples_of_a_mixture_come_in_no_order():
    z = gaussian_mixture(torch.tensor([[-9.0], [9.0]]), 0.1).sample(1000).flatten().sign()
    changes = int((z[1:] != z[:-1]).sum())
    assert 400 < changes < 600


def test_the_shell_is_the_same_for_the_same_seed_and_leaves_the_random_state_alone():
    state = torch.get_rng_state()
    means = [gaussian_shell(6, components=9, seed=s).law.component_distribution.mean for s in (0, 0, 1)]
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(means[0], means[1]) and not torch.equal(means[0], means[2])
    assert torch.allclose(means[0].norm(dim=1), torch.full((9,), 2.0))


def test_the_learned_mixture_has_the_gradient_of_its_expectations():
    """E‖z‖² = 1/C Σ_c ‖m_c‖² + Σ_l s_cl², so its gradient is 2 m_c / C and, in log s, 2 s² / C."""
    zeta = learned_mixture(2, components=3, std=0.8)
    zeta.rsample(200_000).square().sum(dim=1).mean().backward()
    family = zeta.family
    assert torch.allclose(family.means.grad, 2 * family.means.detach() / 3, atol=0.03)
    assert torch.allclose(family.log_std.grad, 2 * family.log_std.detach().exp().square() / 3, atol=0.03)


def test_the_learned_mixture_fits_a_mixture_by_maximum_likelihood():
    truth = gaussian_mixture(torch.tensor([[-2.0, 0.0], [2.0, 0.0], [0.0, 3.0]]), 0.4)
    z, held_out = truth.sample(2000), truth.sample(2000)
    zeta = learned_mixture(2, components=3)
    optimizer = torch.optim.Adam(zeta.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        (-zeta.law.log_prob(z).mean()).backward()
        optimizer.step()
    with torch.no_grad():
        assert float((truth.law.log_prob(held_out) - zeta.law.log_prob(held_out)).mean()) < 0.02


def test_parameters_of_a_learned_reference_belong_to_the_model_and_its_checkpoint():
    mu = Pushforward(MLP(2, 5, hidden=(8,)), learned_mixture(2, components=3))
    assert {"base.family.means", "base.family.log_std"} <= set(mu.state_dict())
    mu.rsample(64).sum().backward()
    assert all(p.grad is not None for p in mu.base.parameters())
    assert not mu.sample(3).requires_grad


def test_fixed_references_stay_out_of_checkpoints_and_fitted_ones_do_not():
    for name in ("gaussian", "cube", "mixture", "shell", "sphere"):
        assert ALL[name]().state_dict() == {}
    assert set(full_mixture().state_dict()) == {"family.weights", "family.means", "family.scale_tril"}


def test_references_follow_a_change_of_dtype(zeta):
    moved = zeta.double()
    z = moved.sample(8)
    assert z.dtype == moved.rsample(3).dtype == moved.law.log_prob(z).dtype == torch.float64
    if moved.cube_dim:
        assert moved.from_cube(torch.rand(4, moved.cube_dim, dtype=torch.float64)).dtype == torch.float64
    assert moved.float().sample(8).dtype == torch.float32


def test_a_reference_moves_to_another_device_as_a_whole(zeta):
    assert zeta.to("meta").sample(5).device.type == "meta"


def test_moving_a_copy_leaves_the_law_that_was_given():
    law = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    Reference(law).double()
    assert law.mean.dtype == torch.float32


def test_a_reference_generates_through_a_pushforward(zeta):
    mu = Pushforward(nn.Linear(zeta.dim, 3), zeta)
    assert mu.sample(4).shape == mu.rsample(4).shape == (4, 3)


class GaussianMean(nn.Module):
    """A family whose law forgets to be a law of vectors."""

    def forward(self):
        return Normal(torch.zeros(3), torch.ones(3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Reference(GaussianMean()), r"batch_shape \(3,\) and event_shape \(\); wrap it"),
        (lambda: uniform_sphere(0), "dim must be a whole number >= 1, got 0"),
        (lambda: learned_mixture(2, components=0), "components must be a whole number >= 1, got 0"),
        (lambda: learned_mixture(2, std=0.0), "std must be a number > 0, got 0"),
        (lambda: gaussian_mixture(torch.zeros(3), 1.0), r"shape \(n, d\)"),
        (lambda: gaussian_mixture(torch.zeros(3, 2), -1.0), "std must be a number > 0 or a torch tensor, got -1"),
        (lambda: gaussian_mixture(torch.zeros(3, 2), -torch.ones(3, 1)), "deviations > 0, got a minimum of -1"),
        (lambda: gaussian_mixture(torch.zeros(3, 2), torch.ones(5)), "does not broadcast"),
        (lambda: gaussian_mixture(torch.zeros(3, 2), 1.0, torch.ones(3)), "sum to 1, got 3"),
        (lambda: gaussian_mixture(torch.zeros(3, 2), 1.0, torch.ones(2) / 2), r"shape \(3,\)"),
        (lambda: gaussian_shell(2, radius=-1.0), "radius must be a number >= 0, got -1"),
        (lambda: FullMixture(torch.ones(1), torch.zeros(1, 2), torch.eye(2)), r"\(1, 2, 2\)"),
    ],
)
def test_bad_references_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
