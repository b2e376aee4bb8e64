"""What docs/precision.md promises, cell by cell, and that units change nothing: f(s x, s y) = sᵖ f(x, y)."""

import math
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ot_gen import (
    Empirical,
    Euclidean,
    SquaredEuclidean,
    c_transform,
    certify,
    exact_plan,
    partial_plan,
    semidiscrete,
    sinkhorn_plan,
    unbalanced_plan,
    wasserstein,
)
from ot_gen.divergences.kernels import EnergyKernel
from ot_gen.evaluation.neighbours import nearest_distances
from ot_gen.measures import Measure
from ot_gen.transport import sinkhorn_divergence

PAGE = (Path(__file__).parents[1] / "docs" / "precision.md").read_text(encoding="utf-8")
W2, W1 = SquaredEuclidean(), Euclidean()
DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def clouds(scale=1.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x, y, h = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((60, 3), (50, 3), (50,)))
    return (scale * x).to(dtype), (scale * (y + 0.3)).to(dtype), (scale**2 * h / 10).to(dtype)


# (function of x, y, h̃ and the scale, its power)
FUNCTIONS = {
    "`c_transform`": (lambda x, y, h, s: c_transform(W2, x, y, h)[0].double().mean(), 2),
    "`c_transform`, ε": (lambda x, y, h, s: c_transform(W2, x, y, h, epsilon=0.3 * s * s)[0].double().mean(), 2),
    "`exact_plan`": (lambda x, y, h, s: exact_plan(W2.matrix(x, y)).value, 2),
    "`sinkhorn_plan`": (lambda x, y, h, s: sinkhorn_plan(W2.matrix(x, y), epsilon=0.3 * s * s, tol=1e-9).value, 2),
    "`unbalanced_plan`": (lambda x, y, h, s: unbalanced_plan(W2.matrix(x, y), penalty=3.0 * s * s).value, 2),
    "`partial_plan`": (lambda x, y, h, s: partial_plan(W2.matrix(x, y), mass=0.6).value, 2),
    "`sinkhorn_divergence`": (lambda x, y, h, s: sinkhorn_divergence(x, y, epsilon=0.3 * s * s), 2),
    "`Euclidean.matrix`": (lambda x, y, h, s: W1.matrix(x, y).double().mean(), 1),
}
OTHERS = {
    "wasserstein": (lambda x, y, h, s: torch.tensor(float(wasserstein(x, y)), dtype=torch.float64), 2),
    "assignment": (lambda x, y, h, s: exact_plan(W2.matrix(x[:50], y)).value, 2),
    "energy kernel": (lambda x, y, h, s: EnergyKernel()(x, y).double().mean(), 1),
    "nearest": (lambda x, y, h, s: nearest_distances(x, y).double().mean(), 1),
}
TABLE = {
    cells[0]: [float(cell) for cell in cells[1:]]
    for cells in (re.split(r"\s*\|\s*", line.strip("| \n")) for line in PAGE.splitlines() if line.startswith("| `"))
}


def test_the_table_names_every_function_that_is_tried():
    assert set(TABLE) == set(FUNCTIONS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_promise_of_the_table_holds(name, dtype):
    function, _ = FUNCTIONS[name]
    promised = TABLE[name][list(DTYPES).index(dtype)]
    if dtype == "float64":  # against the same in other units, whose rounding differs
        truth = function(*clouds(3.0), 3.0) / 3.0 ** FUNCTIONS[name][1]
    else:
        truth = function(*(part.double() for part in clouds(dtype=DTYPES[dtype])), 1.0)
    assert float(function(*clouds(dtype=DTYPES[dtype]), 1.0)) == pytest.approx(float(truth), rel=promised)


@settings(max_examples=6, deadline=None)
@given(power=st.integers(-18, 18), dtype=st.sampled_from(["float32", "float64"]))
@pytest.mark.parametrize("name", [*FUNCTIONS, *OTHERS])
def test_a_unit_changes_nothing(name, power, dtype):
    function, p = (FUNCTIONS | OTHERS)[name]
    scale, dtype = 10.0**power, DTYPES[dtype]
    one, other = function(*clouds(dtype=dtype), 1.0), function(*clouds(scale, dtype), scale)
    assert float(other) / scale**p == pytest.approx(float(one), rel=2e-4 if dtype == torch.float32 else 1e-9)


class Normals(Measure):
    """N(0, s² I) in R³."""

    def __init__(self, scale, dtype):
        super().__init__()
        self.dim, self.scale, self.dtype = 3, scale, dtype

    def sample(self, n):
        return (self.scale * torch.randn(n, 3, dtype=torch.float64)).to(self.dtype)


def brackets(scale, dtype, solve):
    torch.manual_seed(0)
    nu = Empirical(clouds(scale, dtype)[1][:10])
    solved = solve(Normals(scale, dtype), nu)
    return solved.lower / scale**2, solved.upper / scale**2


SOLVES = {
    "semidiscrete": lambda mu, nu: semidiscrete(mu, nu, W2, tol=0.2, max_samples=2**14),
    "certify": lambda mu, nu: certify(mu, nu, W2, max_samples=2**11),
}


@pytest.mark.slow
@pytest.mark.parametrize("solve", SOLVES)
@pytest.mark.parametrize("scale", [1e-18, 1e18])
def test_a_unit_changes_no_bracket(solve, scale):
    one, other = (brackets(s, torch.float32, SOLVES[solve]) for s in (1.0, scale))
    assert other == pytest.approx(one, rel=0.02)


def test_atoms_far_beyond_the_model_have_finite_bounds():
    nu = Empirical(torch.tensor([[1e18, 0.0, 0.0], [0.0, 1e18, 0.0]]))
    solution = semidiscrete(Normals(1.0, torch.float32), nu, W2, tol=0.2, max_samples=2**12)
    assert solution.lower == pytest.approx(1e36, rel=1e-5) and solution.upper == pytest.approx(1e36, rel=1e-5)
    assert bool(torch.isfinite(solution.h_tilde).all())


@pytest.mark.parametrize(
    "call",
    [
        lambda x, y, h: c_transform(W2, 1e20 * x, 1e20 * y, h),
        lambda x, y, h: c_transform(W2, x, y, h, epsilon=1e100),
        lambda x, y, h: c_transform(W2, x, y, h, epsilon=math.inf),
        lambda x, y, h: sinkhorn_divergence(1e20 * x, 1e20 * y, epsilon=1e40),
        lambda x, y, h: semidiscrete(Normals(1.0, torch.float32), Empirical(1e20 * y), W2),
        lambda x, y, h: sinkhorn_plan(W2.matrix(1e20 * x, 1e20 * y), epsilon=1.0),
    ],
)
def test_what_a_dtype_cannot_hold_is_refused(call):
    with pytest.raises(ValueError, match=r"overflow|finite|Inf"):
        call(*clouds(dtype=torch.float32))


@pytest.mark.parametrize("epsilon", [1e5, 1e8, 1e30, 1e100, math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_a_large_epsilon_the_divergence_is_that_of_the_means(epsilon, dtype):
    x, y, _ = clouds(dtype=dtype)
    x.requires_grad_()
    value = sinkhorn_divergence(x, y, epsilon=epsilon)
    gap = x.detach().mean(dim=0) - y.mean(dim=0)
    assert float(value.detach()) == pytest.approx(float(gap.square().sum()), rel=1e-3)
    (gradient,) = torch.autograd.grad(value, x)
    assert torch.allclose(gradient, (2 * gap / len(x)).expand_as(x), rtol=1e-2, atol=1e-4)
