"""Planar laws: their moments against closed forms, and `toy`."""

from __future__ import annotations

import inspect
import math
import pickle

import pytest
import torch

from ot_gen.data import (
    checkerboard,
    eight_gaussians,
    parallel_lines,
    pinwheel,
    rings,
    swiss_roll,
    toy,
    twenty_five_gaussians,
    two_moons,
)
from ot_gen.measures import Empirical

N = 20_000
LAWS = [
    eight_gaussians,
    twenty_five_gaussians,
    two_moons,
    swiss_roll,
    pinwheel,
    checkerboard,
    rings,
    parallel_lines,
]


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def second_moment(y: torch.Tensor) -> float:
    return float(y.double().square().sum(1).mean())


@pytest.mark.parametrize("law", LAWS)
def test_every_law_is_finite_planar_and_in_the_box(law):
    y = law().sample(N)
    assert y.shape == (N, 2) and y.dtype == torch.float32 and not y.requires_grad
    assert torch.isfinite(y).all()
    assert y.abs().max() < 3 and ((y.abs() < 2.5).all(dim=1)).double().mean() > 0.999


@pytest.mark.parametrize("law", LAWS)
def test_every_law_is_reproducible_and_can_be_pickled(law):
    measure = law()
    torch.manual_seed(1)
    y = measure.sample(10)
    torch.manual_seed(1)
    assert torch.equal(pickle.loads(pickle.dumps(measure)).sample(10), y)
    assert not torch.equal(measure.sample(10), y)
    assert law.__name__ in repr(measure) or "Mixture" in repr(measure)


# Each standard deviation of a mean over N = 20,000 points is below 0.02.
@pytest.mark.parametrize(
    ("measure", "moment"),
    [
        (eight_gaussians(radius=2.0, std=0.1), 4 + 2 * 0.1**2),
        (twenty_five_gaussians(spacing=1.0, std=0.05), 4 + 2 * 0.05**2),
        # E|(cos T − 1/2, sin T − 1/4)|² = 1 + 5/16 − E sin(T) / 2 = 21/16 − 1/π
        (two_moons(noise=0.05), 9 / 4 * (21 / 16 - 1 / math.pi) + 2 * 0.05**2),
        (pinwheel(radial=0.3, tangential=0.05), 25 / 16 * (1 + 0.3**2 + 0.05**2)),
        (checkerboard(cells=4), 2 * 16 / 12),
        (rings(radii=(0.5, 1.0, 1.5, 2.0), noise=0.05), (0.25 + 1 + 2.25 + 4) / 4 + 2 * 0.05**2),
        (parallel_lines(offsets=(-1.0, 1.0)), 1 + 1 / 3),
    ],
)
def test_moments_of_the_centred_laws(measure, moment):
    y = measure.sample(N)
    assert y.mean(0).abs().max() < 0.06
    assert second_moment(y) == pytest.approx(moment, abs=0.08)


def test_swiss_roll_lies_on_its_spiral():
    y = swiss_roll(noise=0.0).sample(N)
    radius = y.norm(dim=1)
    t = radius / 2 * 4.5 * math.pi
    torch.testing.assert_close(y, radius[:, None] * torch.stack((t.cos(), t.sin()), 1), atol=1e-4, rtol=0)
    assert second_moment(y) == pytest.approx(52 / 27, abs=0.05)


def test_two_moons_are_half_circles():
    y = two_moons(noise=0.0).sample(1000) / 1.5
    up, down = y + torch.tensor([0.5, 0.25]), torch.tensor([0.5, 0.25]) - y
    on_up = ((up.norm(dim=1) - 1).abs() < 1e-5) & (up[:, 1] > -1e-5)
    on_down = ((down.norm(dim=1) - 1).abs() < 1e-5) & (down[:, 1] > -1e-5)
    assert (on_up | on_down).all() and 400 < on_up.sum() < 600


def test_gaussian_mixtures_have_their_modes_and_a_density():
    modes = eight_gaussians().law.component_distribution.mean
    torch.testing.assert_close(modes.norm(dim=1), torch.full((8,), 2.0))
    assert torch.cdist(modes, modes).fill_diagonal_(9).min() == pytest.approx(4 * math.sin(math.pi / 8), abs=1e-5)
    grid = twenty_five_gaussians(spacing=0.5).law.component_distribution.mean
    assert {tuple(m) for m in (2 * grid).tolist()} == {(i, j) for i in range(-2, 3) for j in range(-2, 3)}
    # The nearest mode carries the density: p(m) = 1 / (8 · 2π std²), the others being 15 std away.
    density = eight_gaussians(std=0.1).law.log_prob(modes[:1]).exp()
    assert float(density) == pytest.approx(1 / (8 * 2 * math.pi * 0.01), rel=1e-4)


def test_every_mode_has_its_share():
    nu = twenty_five_gaussians()
    nearest = torch.cdist(nu.sample(N), nu.law.component_distribution.mean).argmin(1)
    assert (nearest.bincount(minlength=25) / N - 1 / 25).abs().max() < 0.01


@pytest.mark.parametrize("cells", [2, 3, 4, 5])
def test_checkerboard_has_no_mass_on_light_squares(cells):
    square = ((checkerboard(cells).sample(N) + 2) * cells / 4).floor().clamp(0, cells - 1).long()
    mass = torch.zeros(cells, cells).index_put_((square[:, 0], square[:, 1]), torch.ones(N) / N, accumulate=True)
    dark = torch.cartesian_prod(torch.arange(cells), torch.arange(cells)).sum(1).reshape(cells, cells) % 2 == 0
    assert mass[~dark].sum() < 1e-3  # rounding at the edges only
    assert (mass[dark] - 1 / dark.sum()).abs().max() < 0.02


def test_rings_have_equal_mass():
    radius = rings(radii=(1.0, 2.0), noise=0.0).sample(N).norm(dim=1)
    torch.testing.assert_close(radius, radius.round())
    assert float(radius.mean()) == pytest.approx(1.5, abs=0.02)


def test_pinwheel_arms_are_rotations_of_one_arm():
    y = pinwheel(arms=3, radial=0.2, tangential=0.0, rate=0.5).sample(1000) / 1.25
    z = torch.view_as_complex(y.contiguous())
    r = z.abs()
    arm = (z / torch.polar(r, 0.5 * r.exp())) ** 3  # 1 on each of the three arms, where r > 0
    torch.testing.assert_close(arm, torch.ones_like(arm), atol=1e-4, rtol=0)


def test_parallel_lines_are_at_their_offsets():
    y = parallel_lines((-1.0, 0.5, 2.0)).sample(N)
    assert set(y[:, 0].tolist()) == {-1.0, 0.5, 2.0} and y[:, 1].abs().max() <= 1
    assert set(parallel_lines((0.25,)).sample(9)[:, 0].tolist()) == {0.25}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: eight_gaussians(std=0.0), "std must be a number > 0, got"),
        (lambda: twenty_five_gaussians(std=-1.0), "std must be a number > 0, got"),
        (lambda: two_moons(noise=-0.1), "noise must be"),
        (lambda: swiss_roll(noise=float("nan")), "noise must be"),
        (lambda: pinwheel(arms=0), "arms must be a whole number >= 1, got 0"),
        (lambda: pinwheel(radial=-1.0), "radial must be a number >= 0, got -1"),
        (lambda: checkerboard(cells=1), r"cells must be a whole number in \[2, 1000\], got 1"),
        (lambda: rings(radii=()), "at least one radius"),
        (lambda: rings(radii=(-1.0,)), r"radii\[0\] must be a number >= 0, got -1"),
        (lambda: rings(noise=-1.0), "noise must be"),
        (lambda: parallel_lines(offsets=()), "at least one offset"),
        (lambda: toy(two_moons(), size=1), r"size must be a whole number in \[2, 1e\+08\], got 1"),
        (lambda: toy(two_moons(), test_size=0), r"test_size must be a whole number in \[2, 1e\+08\], got 0"),
    ],
)
def test_senseless_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("law", LAWS)
def test_no_parameter_of_a_law_is_nan_or_infinite(law):
    for name, parameter in inspect.signature(law).parameters.items():
        for value in (math.nan, math.inf, -math.inf, 1e300):
            with pytest.raises(ValueError, match=rf"{name}.* must be "):
                law(**{name: (1.0, value) if isinstance(parameter.default, tuple) else value})


def test_toy_is_a_fixed_set_of_its_seed():
    state = torch.get_rng_state()
    first, again, other = (toy(two_moons(), size=50, test_size=20, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.train.atoms, again.train.atoms) and torch.equal(first.test.atoms, again.test.atoms)
    assert not torch.equal(first.train.atoms, other.train.atoms)
    assert not torch.equal(first.test.atoms, other.test.atoms)


def test_toy_holds_out_points_that_do_not_depend_on_the_training_set():
    few, many, law = (toy(rings(), size=size, test_size=30) for size in (10, 100, None))
    assert torch.equal(few.test.atoms, many.test.atoms) and torch.equal(few.test.atoms, law.test.atoms)
    assert torch.cdist(many.train.atoms, many.test.atoms).min() > 0


def test_toy_without_a_size_is_the_law_itself():
    law = checkerboard()
    data = toy(law, size=None, test_size=2000)
    assert data.train is law and isinstance(data.test, Empirical)
    assert not torch.equal(data.train.sample(10), data.train.sample(10))
    assert data.variance == pytest.approx(8 / 3, abs=0.2)
