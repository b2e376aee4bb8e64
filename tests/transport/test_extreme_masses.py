"""Masses of 0 and masses whose total no dtype holds; costs that span more than a dtype."""

import pytest
import torch

from ot_gen import exact_plan, partial_plan, sinkhorn_plan, unbalanced_plan
from ot_gen.transport import sinkhorn_divergence

HUGE = torch.full((3,), 1e308, dtype=torch.float64)


def test_points_without_mass_hide_nothing_however_expensive_they_are():
    generator = torch.Generator().manual_seed(0)
    for size in (1.0, 1e12, 1e100):
        C = torch.rand(4, 5, dtype=torch.float64, generator=generator)
        C[:, 1] *= size
        C[2] *= size
        a, b = torch.rand(4, generator=generator).double(), torch.rand(5, generator=generator).double()
        a[2] = b[1] = 0
        plan, (kept_a, kept_b) = exact_plan(C, a, b), (a > 0, b > 0)
        smaller = exact_plan(C[kept_a][:, kept_b], a[kept_a], b[kept_b])
        f, g = plan.potentials
        assert torch.allclose(plan.value, smaller.value, rtol=1e-12)
        assert torch.allclose(plan.dual_value, smaller.value, rtol=1e-9)
        assert bool((f[:, None] + g <= C * (1 + 1e-12) + 1e-12).all())


def test_masses_are_normalised_also_where_their_total_overflows():
    C = torch.rand(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(exact_plan(C, HUGE).value, exact_plan(C).value)
    assert torch.allclose(sinkhorn_plan(C, HUGE, epsilon=0.1).value, sinkhorn_plan(C, epsilon=0.1).value)
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    plain = sinkhorn_divergence(x, x + 1, epsilon=1.0)
    for a in (torch.full((5,), 6e4).half(), torch.full((5,), 3e38)):
        assert torch.allclose(sinkhorn_divergence(x, x + 1, epsilon=1.0, a=a), plain)


def test_what_a_dtype_cannot_hold_is_refused_by_name():
    C = torch.rand(3, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="totals of the masses"):
        unbalanced_plan(C, HUGE, penalty=1.0)
    with pytest.raises(ValueError, match="totals of the masses"):
        partial_plan(C, HUGE, mass=0.5)
    with pytest.raises(ValueError, match="a must be finite masses"):
        sinkhorn_divergence(C, C, epsilon=1.0, a=torch.tensor([1.0, 1.0, torch.inf]))
    with pytest.raises(ValueError, match="differ by more than float64 holds"):
        exact_plan(torch.tensor([[1.7e308, -1.7e308], [-1.7e308, 1.7e308]], dtype=torch.float64))
