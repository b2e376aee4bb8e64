"""The certificate: it holds W_c where W_c is known, it never judges on what a fit saw, and bad input is told."""

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import ot
import pytest
import torch
from scipy.stats import binom, norm
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal

from ot_gen import (
    MLP,
    Certificate,
    Critic,
    DiscretePotential,
    Empirical,
    Euclidean,
    Pushforward,
    Reference,
    SquaredEuclidean,
    WeightClip,
    certify,
    evaluation,
    exact_plan,
    semidiscrete,
    standard_gaussian,
    uniform_cube,
)
from ot_gen.costs import InnerProduct
from ot_gen.evaluation import certificate as module
from ot_gen.evaluation.draws import FEWEST_ROWS, REPLICATES, Sampled, Tabulated
from ot_gen.execution import Ending

QUICK = {"max_samples": 2**13, "width": 0.05}


def cloud(m, d, seed=0, dtype=torch.float32):
    return torch.randn(m, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def masses(m, seed=0):
    b = torch.rand(m, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1
    return (b / b.sum()).float()


# Problems with a known answer: (μ, ν, cost, W)


def quantised_gaussian(cells=4, angle=0.5, shift=(1.0, -0.5)):
    """Gaussians of equal covariance, one of them discretised: W₂² = ‖m₁ − m₂‖² + what the discretisation costs.

    A coordinate goes to the mean of its quantile cell, a monotone map; so the product of two such maps, rotated and
    moved, is the gradient of a convex function, hence optimal.
    """
    ends = norm.ppf(np.linspace(0, 1, cells + 1))
    means = cells * (norm.pdf(ends[:-1]) - norm.pdf(ends[1:]))
    grid = torch.cartesian_prod(*2 * [torch.from_numpy(means)])
    scale = torch.tensor([1.5, 0.5], dtype=torch.float64)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64)
    move = torch.tensor(shift, dtype=torch.float64)
    atoms = (grid * scale) @ turn.T + move
    cov = (turn * scale.square()) @ turn.T
    mu = MultivariateNormal(torch.zeros(2), cov.float())
    distortion = float(scale.square().sum()) * (1 - float((means**2).mean()))
    return Reference(mu), Empirical(atoms.float()), SquaredEuclidean(), float(move.square().sum()) + distortion


def on_the_line(cost, m=7):
    """N(0, 1) against atoms with masses: the monotone coupling, W = Σ_j ∫ over cell j of c(x, y_j) dμ."""
    y, b = 2 * cloud(m, 1, seed=3), masses(m, seed=4)
    order = y[:, 0].argsort()
    place, mass = y[order, 0].double().numpy(), b[order].double().numpy() / float(b.double().sum())
    cuts = norm.ppf(np.concatenate([[0.0], np.cumsum(mass)[:-1], [1.0]]))

    def below(t, a):  # ∫ from −∞ to t of (x − a) dμ, and of (x − a)²
        first = -norm.pdf(t) - a * norm.cdf(t)
        tail = 0.0 if math.isinf(t) else t * norm.pdf(t)
        second = norm.cdf(t) - tail + 2 * a * norm.pdf(t) + a * a * norm.cdf(t)
        return first, second

    total = 0.0
    for (low, high), a in zip(pairwise(cuts), place, strict=True):
        if isinstance(cost, SquaredEuclidean):
            total += below(high, a)[1] - below(low, a)[1]
        else:
            middle = min(max(a, low), high)
            total += below(high, a)[0] + below(low, a)[0] - 2 * below(middle, a)[0]
    return standard_gaussian(1), Empirical(y, b), cost, total


def discrete(cost):
    mu, nu = Empirical(cloud(40, 2, seed=1) + 0.5, masses(40)), Empirical(cloud(12, 2), masses(12, seed=1))
    a, b = (law.weights.double().numpy() for law in (mu, nu))
    C = cost.matrix(mu.atoms.double(), nu.atoms.double()).numpy()
    return mu, nu, cost, float(ot.emd2(a / a.sum(), b / b.sum(), C))


PROBLEMS = {
    "gaussians": quantised_gaussian(),
    "line W1": on_the_line(Euclidean()),
    "line W2": on_the_line(SquaredEuclidean()),
    "discrete W1": discrete(Euclidean()),
    "discrete W2": discrete(SquaredEuclidean()),
}


def least(trials, level):
    """The fewest successes that trials of this level show but once in a thousand times."""
    return int(binom.ppf(1e-3, trials, level))


# It holds


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBLEMS)
def test_the_interval_holds_the_truth_as_often_as_it_says(name, monkeypatch):
    """200 judgements of one table by one coupling, chosen beforehand: the claim is for each such choice."""
    mu, nu, cost, value = PROBLEMS[name]
    solution = semidiscrete(mu, nu, cost, tol=0.02, max_samples=2**14)
    contest = module.Contest(module.SemidiscreteProblem(mu, nu, cost), mu.sample(2**10))
    contest.enter(solution.h_tilde)
    chosen = contest.plan(2**30)
    monkeypatch.setattr(module, "semidiscrete", lambda *_, **__: replace(solution, samples=0))
    monkeypatch.setattr(module.Contest, "plan", lambda *_: chosen)
    held = 0
    for seed in range(200):
        low, high = certify(mu, nu, cost, solution.h_tilde, seed=seed, max_samples=2**11, width=0.9).interval
        held += low <= value <= high
    assert held >= least(200, 0.95), f"{held} of 200"


@pytest.mark.slow
def test_whole_procedures_hold_the_truth_as_often():
    """Each chooses its own table and coupling; `benchmarks/certificate.py --coverage` takes 200 of each problem."""
    held = 0
    for (mu, nu, cost, value), seed in product(PROBLEMS.values(), range(4)):
        low, high = certify(mu, nu, cost, seed=seed, max_samples=2**12, width=0.5).interval
        held += low <= value <= high
    assert held >= least(20, 0.95), f"{held} of 20"


@pytest.mark.slow
def test_each_side_misses_no_more_often_than_its_share():
    """With an optimal table lower is unbiased for W itself, so its share of misses is (1 − level) / 2, and no less."""
    mu, nu, cost, value = PROBLEMS["line W2"]
    problem = module.SemidiscreteProblem(mu, nu, cost)
    table = semidiscrete(mu, nu, cost, tol=0.005).h_tilde
    plan = module.Contest(problem, mu.sample(2**10))
    plan.enter(table)
    cells = plan.plan(2**30)[0]
    trials, levels = 300, (0.5, 0.95)
    above, below = Counter(), Counter()
    for seed in range(trials):
        replicates = module.Replicates(problem, table - table @ problem.weights, cells)
        replicates.run(Sampled(problem.law, 1000 * seed), 200, 400, math.inf, False)
        lower, lower_se, upper, upper_se = replicates.bounds()
        for level in levels:
            t = replicates.quantile((1 - level) / 2)
            above[level] += lower - t * lower_se > value
            below[level] += upper + t * upper_se < value
    for level in levels:
        few, many = (binom.ppf(tail, trials, (1 - level) / 2) for tail in (1e-3, 1 - 1e-3))
        assert few <= above[level] <= many, (level, above[level])
        assert below[level] <= many, (level, below[level])


@pytest.mark.parametrize("cost", [Euclidean(), SquaredEuclidean(), InnerProduct()], ids=lambda c: type(c).__name__)
def test_lower_is_below_the_value_for_any_table(cost):
    mu, nu, _, _ = PROBLEMS["discrete W1"]
    a, b = (law.weights.double() / law.weights.double().sum() for law in (mu, nu))
    C = cost.matrix(mu.atoms.double(), nu.atoms.double())
    shifted = C - C.min()
    value = float(ot.emd2(a.numpy(), b.numpy(), shifted.numpy())) + float(C.min())
    certificate = certify(mu, nu, cost, cloud(12, 1)[:, 0], **QUICK)
    low, high = certificate.interval
    assert low <= value <= high
    table = certificate.h_tilde.double()
    assert float((C - table).amin(dim=1) @ a + table @ b) <= value + 1e-6


def test_a_perfect_generator_meets_its_data():
    nu = Empirical(cloud(20, 2))
    certificate = certify(nu, nu, Euclidean(), max_samples=2**14, max_seconds=5)
    assert certificate.interval[0] <= 0 <= certificate.interval[1] < 0.1
    assert not certificate.converged


# What it is made of


def test_the_best_potential_is_taken_and_a_bad_one_does_no_harm():
    mu, nu, cost, value = PROBLEMS["line W1"]
    good = certify(mu, nu, cost, **QUICK)
    critic = Critic(MLP(1, 1), WeightClip())
    critic.bind(mu, nu, cost)
    bad = certify(mu, nu, cost, 5 * cloud(7, 1)[:, 0], potential=critic, **QUICK)
    assert bad.lower == pytest.approx(good.lower, abs=0.02)
    assert bad.interval[0] <= value <= bad.interval[1]


@pytest.mark.parametrize("cost", [Euclidean(), SquaredEuclidean()], ids=["W1", "W2"])
def test_the_optimal_critic_is_worth_what_its_table_is(cost):
    mu, nu, _, value = on_the_line(cost)
    h = DiscretePotential()
    h.bind(mu, nu, cost)
    with torch.no_grad():
        h.h_tilde.copy_(semidiscrete(mu, nu, cost, tol=0.02, max_samples=2**14).h_tilde)
    h.requires_grad_(False)
    problem = module.SemidiscreteProblem(mu, nu, cost)
    contest = module.Contest(problem, mu.sample(2**13))
    contest.enter(module.table_of(h, problem, contest.x))
    assert contest.value == pytest.approx(value, abs=5 * contest.deviation / 2**6.5)


def test_the_random_state_and_the_models_mode_stay():
    mu = Pushforward(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)), standard_gaussian(2))
    mu.train()
    before = torch.get_rng_state()
    certify(mu, Empirical(cloud(8, 2)), Euclidean(), max_seconds=2, max_samples=2**12)
    assert torch.equal(before, torch.get_rng_state())
    assert mu.training and mu.map[1].training


@pytest.mark.slow
def test_equal_seeds_give_equal_intervals():
    mu, nu, cost, _ = PROBLEMS["discrete W2"]
    first, second, third = (certify(mu, nu, cost, seed=seed, max_samples=2**13, width=0.9) for seed in (0, 0, 1))
    assert first.h_tilde.equal(second.h_tilde)
    assert first.interval == pytest.approx(second.interval, rel=1e-3)
    assert first.interval != third.interval


# Finite samples


def test_the_rows_that_judge_are_none_that_fit():
    draws = Tabulated(torch.arange(1000.0)[:, None], seed=3)
    parts = [draws.law.atoms, draws.pilot().draw(draws.pilot_size)]
    parts += [draws.replicate(k).draw(draws.size) for k in range(REPLICATES)]
    drawn = torch.cat(parts).flatten()
    assert len(drawn) == len(drawn.unique()) == 1000


@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda x, path: x, lambda x, path: _saved(x, path)], ids=["tensor", "file"])
def test_a_sample_speaks_for_its_law(make, tmp_path):
    mu, nu, cost, value = PROBLEMS["discrete W1"]
    certificate = certify(make(mu.sample(4000), tmp_path / "x.npy"), nu, cost, max_seconds=20)
    low, high = certificate.interval
    assert low <= value <= high
    assert certificate.width < 0.2


def _saved(x, path):
    np.save(path, x.double().numpy())
    return path


# Budgets, the record, stopping


def test_a_wide_width_stops_early_and_a_small_budget_says_so():
    mu, nu, cost, value = PROBLEMS["line W1"]
    wide = certify(mu, nu, cost, width=0.2)
    tight = certify(mu, nu, cost, width=1e-6, max_samples=2**12)
    assert wide.converged and wide.width <= 0.2
    assert not tight.converged and "more" in tight.message
    assert tight.samples <= 1.5 * 2**12
    for certificate in (wide, tight):
        assert certificate.interval[0] <= value <= certificate.interval[1]


def test_memory_is_capped():
    mu, nu, cost, value = PROBLEMS["gaussians"]
    certificate = certify(mu, nu, cost, max_bytes=2**18, **QUICK)
    assert certificate.interval[0] <= value <= certificate.interval[1]


def test_the_reference_is_a_certificate_against_the_same_atoms():
    mu, nu, cost, _ = PROBLEMS["discrete W1"]
    certificate = certify(mu, nu, cost, reference=cloud(400, 2, seed=9), max_samples=2**13, width=0.9, max_seconds=10)
    assert isinstance(certificate.reference, Certificate)
    assert certificate.reference.h_tilde.shape == certificate.h_tilde.shape == (len(nu),)
    assert certificate.reference.reference is None


def test_stopping_returns_what_there_is(monkeypatch):
    mu, nu, cost, value = PROBLEMS["line W1"]
    calls = []

    def interrupted(self, number):
        calls.append(number)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(self, number)

    real = Sampled.replicate
    monkeypatch.setattr(Sampled, "replicate", interrupted)
    certificate = certify(mu, nu, cost, **QUICK)
    assert certificate.ending is Ending.STOPPED and certificate.message == "stopped by the user"
    assert certificate.interval[0] <= value <= certificate.interval[1]


# Bad input


LINE = Empirical(cloud(7, 1))


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"level": 1.0}, "level"),
        ({"level": 0.0}, "level"),
        ({"width": 0.0}, "width"),
        ({"max_samples": 10}, "max_samples must be a whole number"),
        ({"max_seconds": 0}, "max_seconds must be a number > 0"),
        ({"max_bytes": 100}, "max_bytes"),
        ({"h_tilde": torch.zeros(3)}, "one value for each atom"),
        ({"h_tilde": torch.full((7,), math.nan)}, "NaN"),
        ({"potential": 3}, "potential must be a function"),
        ({"potential": lambda x: x.new_full((len(x),), math.nan)}, "NaN"),
        ({"potential": lambda x: x.sum()}, "one value a point"),
        ({"mu": torch.zeros(FEWEST_ROWS - 1, 1)}, "at least 200"),
        ({"mu": torch.zeros(1000, 2)}, "dimension 1"),
        ({"mu": torch.zeros(1000, 1).long()}, "floating"),
        ({"mu": torch.full((1000, 1), math.nan)}, "NaN"),
        ({"mu": object()}, "sample"),
        ({"mu": Independent(Normal(torch.zeros(2), torch.ones(2)), 1)}, "shape"),
        ({"nu": uniform_cube(1)}, "Empirical"),
    ],
    ids=lambda given: given.replace(" ", "_") if isinstance(given, str) else next(iter(given)),
)
def test_bad_input_is_told(keywords, said):
    given = {"mu": standard_gaussian(1), "nu": LINE, "cost": Euclidean()} | keywords
    with pytest.raises(ValueError, match=said):
        certify(**given)


@pytest.mark.parametrize("array", [np.zeros((300, 1), np.uint8), np.array([{}] * 3)], ids=["integers", "objects"])
def test_a_bad_file_is_told(array, tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, array, allow_pickle=True)
    with pytest.raises(ValueError, match=r"x\.npy"):
        certify(path, LINE, Euclidean())


def test_it_is_exported():
    assert evaluation.certify is certify


@pytest.mark.slow
def test_plan_solve_and_certificate_answer_in_one_shape():
    x, y = cloud(40, 2, seed=1), cloud(30, 2, seed=2)
    mu, nu, cost = Empirical(x), Empirical(y), SquaredEuclidean()
    exact = exact_plan(cost.matrix(x, y)).bracket
    assert exact.gap == pytest.approx(0, abs=1e-6)
    for solved in (semidiscrete(mu, nu, cost, gap_tol=0.2), certify(mu, nu, cost, **QUICK)):
        bracket = solved.bracket
        assert (bracket.lower, bracket.upper) == (solved.lower, solved.upper)
        assert (bracket.lower_se, bracket.upper_se) == (solved.lower_se, solved.upper_se)
        assert bracket.lower - 4 * bracket.lower_se <= exact.lower
        assert exact.upper <= bracket.upper + 4 * bracket.upper_se
