"""A few whole runs of conf entries: what they promise on data with a known law."""

import pytest
import torch

from ot_gen import data, fit, judge
from ot_gen.cli import parts

pytestmark = pytest.mark.slow


def trained(*overrides):
    made = parts(*overrides, seed=0)
    progress = fit(made.mu, made.data.train, made.solver, **made.trainer)
    return made.mu, made.data, progress


@pytest.mark.parametrize(
    ("solver", "steps"),
    [
        ("dual/semidiscrete", 600),
        ("dual/wgan_clip", 600),
        ("dual/wgan_gp", 300),
        ("dual/wgan_lp", 300),
        ("dual/wgan_sn", 400),
        ("primal/exact_plan", 600),
    ],
)
def test_dual_and_plan_solvers_cover_all_eight_modes(solver, steps):
    mu, found, _ = trained(f"solver={solver}", "data=eight_gaussians", f"trainer.steps={steps}")
    mu, found = mu.in_own_units(), found.own
    centres = data.eight_gaussians().law.component_distribution.mean
    distance, nearest = torch.cdist(mu.sample(4000), centres).min(dim=1)
    assert float((torch.bincount(nearest, minlength=8) / 4000).min()) > 0.05  # of 0.125
    assert float((torch.bincount(nearest[distance < 0.4], minlength=8) / 4000).min()) > 0.02  # within 4 deviations
    judgement = judge(mu, found.train, found.test)
    assert judgement.w1 < 0.6  # it starts at 1.8; the floor is 0.14


def test_a_law_can_be_sampled_afresh():
    mu, found, _ = trained("solver=primal/exact_plan", "data=rings", "data.size=null", "trainer.steps=300")
    assert judge(mu, found.train, found.test).w1 < 0.4


def test_the_table_of_a_semidiscrete_run_is_a_lower_bound_near_the_end():
    mu, found, progress = trained("solver=dual/semidiscrete", "data=two_moons", "trainer.steps=400")
    lower = sum(row["value"] for row in progress.rows[-20:]) / 20
    assert 0 <= lower <= judge(mu, found.train, found.test).w2_squared + 0.05
    assert progress.rows[-1]["cell_mass_error"] < 100  # of m − 1 = 1999 when one atom takes everything
