"""How many samples of a coupling a certificate asks for."""

from types import SimpleNamespace

import pytest
import torch

from ot_gen.evaluation.budget import Budget


@pytest.mark.parametrize(("slack", "samples"), [(0.0, 1024), (0.003, 2732), (0.03, 13654), (3.0, 16384), (-1e-9, 1024)])
def test_a_coupling_has_the_samples_that_the_width_asks_for(slack, samples):
    """At a value of 1 and a width of .06, .018 are allowed: the pilot's 8,192 had that slack or more, or far less."""
    contest, plan = SimpleNamespace(x=torch.zeros(8192, 1), value=1.0), SimpleNamespace(most=16384)
    budget = Budget(0.06, 2**20, 2**30, 60.0, progress=False)
    assert abs(budget.enough(contest, plan, slack, None) - samples) <= 2
