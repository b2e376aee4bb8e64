"""Plans: both sides of duality, marginals, maps, gradients, and the coupling that holds them."""

import itertools
import pickle
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import discrete
from torch import nn

from ot_gen import (
    Empirical,
    Euclidean,
    FeatureCost,
    InnerProduct,
    Lp,
    NotConverged,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    exact_plan,
    fit,
    partial_plan,
    sinkhorn_plan,
    standard_gaussian,
    unbalanced_plan,
)

pytestmark = pytest.mark.usefixtures("float64")

COSTS = st.sampled_from([SquaredEuclidean(), Euclidean(), InnerProduct()])
PLANS = {
    "exact": exact_plan,
    "sinkhorn": partial(sinkhorn_plan, epsilon=1.0, tol=1e-8),
    "unbalanced": partial(unbalanced_plan, penalty=1.0),
    "partial": partial(partial_plan, mass=0.7),
}


@pytest.fixture(params=PLANS)
def plan(request):
    return PLANS[request.param]


def clouds(n=4, m=5, d=2):
    return torch.rand(n, d), torch.rand(m, d) + 0.2


def masses_and_costs(cost, n, m, seed, uniform=False):
    problem = discrete(SquaredEuclidean(), n=n, m=m, seed=seed, uniform=uniform)
    return problem._replace(C=cost.matrix(problem.x, problem.y))


def assert_dual(plan, given_C, a, b):
    """Feasible on both sides, without a gap, and tight where mass moves: each is enough for optimality."""
    C, (f, g) = given_C, plan.potentials
    assert bool((f[:, None] + g <= C + 1e-9 * (1 + C.abs().max())).all())
    assert float(a @ f + b @ g) == pytest.approx(float(plan.dual_value), abs=1e-12)
    assert float(plan.dual_value) == pytest.approx(float(plan.value), abs=1e-9 * (1 + float(C.abs().max())))
    assert torch.allclose((f[:, None] + g)[plan.pairs[:2]], C[plan.pairs[:2]], atol=1e-9 * (1 + float(C.abs().max())))
    p, q = plan.marginals
    assert torch.allclose(p, a) and torch.allclose(q, b)
    assert len(plan.pairs.mass) <= C.shape[0] + C.shape[1] - 1
    assert float(a @ f) == pytest.approx(float(b @ g), abs=1e-9)


# --- exact


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 15), m=st.integers(1, 15), seed=st.integers(0, 999), cost=COSTS)
def test_exact_plans_and_their_potentials_prove_each_other_optimal(n, m, seed, cost):
    problem = masses_and_costs(cost, n, m, seed)
    plan = exact_plan(problem.C, problem.a, problem.b)
    assert_dual(plan, problem.C, problem.a, problem.b)
    assert float(plan.penalty) == 0.0
    assert float(plan.mass) == pytest.approx(1.0)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 15), seed=st.integers(0, 999), cost=COSTS, grid=st.booleans())
def test_assignments_and_their_potentials_prove_each_other_optimal(n, seed, cost, grid):
    problem = masses_and_costs(cost, n, n, seed, uniform=True)
    C = (4 * problem.C).round() if grid else problem.C  # ties: many optima
    plan = exact_plan(C)
    assert_dual(plan, C, problem.a, problem.b)
    simplex = exact_plan(C, problem.a, problem.b)
    assert float(simplex.value) == pytest.approx(float(plan.value), abs=1e-12)


def test_a_bracket_holds_the_value_of_the_problem(plan):
    """Of each kind of plan: weak duality from both sides, and no gap where the problem is solved."""
    problem = discrete(SquaredEuclidean())
    solved = plan(problem.C, problem.a, problem.b)
    bracket = solved.bracket
    assert bracket.lower == float(solved.dual_value) <= bracket.upper + 1e-9
    assert bracket.upper == pytest.approx(float(solved.value + solved.penalty), abs=0)
    assert bracket.gap <= 2e-3  # what the unbalanced plan tolerates; the others close it
    assert bracket.lower_se == bracket.upper_se == 0


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 9), m=st.integers(1, 9), seed=st.integers(0, 999), tol=st.sampled_from([1e-1, 1e-2, 1e-4]))
def test_an_entropic_plan_joins_its_masses_however_early_the_iterations_stop(n, m, seed, tol):
    """So its cost is an upper bound of W_c, and its bracket one of the entropic problem."""
    problem = masses_and_costs(SquaredEuclidean(), n, m, seed)
    plan = sinkhorn_plan(problem.C, problem.a, problem.b, epsilon=0.3, tol=tol)
    p, q = plan.marginals
    assert bool((plan.matrix >= 0).all())
    assert torch.allclose(p, problem.a, atol=1e-14) and torch.allclose(q, problem.b, atol=1e-14)
    assert float(plan.value) >= float(exact_plan(problem.C, problem.a, problem.b).value) - 1e-12
    close = sinkhorn_plan(problem.C, problem.a, problem.b, epsilon=0.3, tol=1e-11)
    assert plan.bracket.lower <= float(close.dual_value) + 1e-11 <= plan.bracket.upper + 2e-11


def test_points_without_mass_have_potentials_and_a_map():
    x, y = clouds(4, 3)
    C = SquaredEuclidean().matrix(x, y)
    plan = exact_plan(C, torch.tensor([0.5, 0.0, 0.5, 0.0]), torch.tensor([0.0, 1.0, 0.0]))
    f, g = plan.potentials
    assert bool((f[:, None] + g <= C + 1e-12).all())
    assert float(plan.dual_value) == pytest.approx(float(plan.value))
    assert bool(
        (plan.barycentric(y) == y[[1, *(C - g)[1:2].argmin(1).tolist(), 1, *(C - g)[3:].argmin(1).tolist()]]).all()
    )


def test_pairs_matrix_and_marginals_are_one_plan():
    problem = discrete(SquaredEuclidean())
    plan = exact_plan(problem.C, problem.a, problem.b)
    i, j, mass = plan.pairs
    assert torch.equal(plan.matrix[i, j], mass)
    assert int((plan.matrix > 0).sum()) == len(mass)
    assert float((plan.matrix * problem.C).sum()) == pytest.approx(float(plan.value))
    assert torch.allclose(plan.matrix.sum(0), plan.marginals[1])
    assert torch.allclose(plan.barycentric(problem.y), plan.matrix @ problem.y / plan.marginals[0][:, None])


def test_the_barycentric_map_of_a_translation_is_the_translation():
    x, t = torch.randn(30, 3), torch.tensor([2.0, -1.0, 0.5])
    y = (x + t)[torch.randperm(30)]
    C = SquaredEuclidean().matrix(x, y)
    assert torch.allclose(exact_plan(C).barycentric(y), x + t)
    assert torch.allclose(sinkhorn_plan(C, epsilon=0.01).barycentric(y), x + t, atol=1e-2)


def test_the_barycentric_map_has_a_gradient_in_the_data():
    x, y = clouds()
    y.requires_grad_()
    plan = exact_plan(SquaredEuclidean().matrix(x, y))
    (gradient,) = torch.autograd.grad(plan.barycentric(y).sum(), y)
    expected = (plan.matrix / plan.marginals[0][:, None]).sum(0)
    assert torch.allclose(gradient, expected[:, None].expand_as(y))


# --- entropic


@pytest.mark.parametrize("epsilon", [0.02, 0.3, 10.0])
@pytest.mark.parametrize("cost", [SquaredEuclidean(), InnerProduct()], ids=str)
def test_entropic_potentials_give_the_plan_and_close_the_gap(epsilon, cost):
    problem = masses_and_costs(cost, 7, 9, seed=0)
    exact = float(exact_plan(problem.C, problem.a, problem.b).value)
    plan = sinkhorn_plan(problem.C, problem.a, problem.b, epsilon=epsilon, tol=1e-9, max_iterations=100_000)
    f, g = plan.potentials
    density = ((f[:, None] + g - problem.C) / epsilon).exp()
    assert torch.allclose(density * problem.a[:, None] * problem.b, plan.matrix)
    entropy = (plan.matrix * density.log()).sum()
    assert float(plan.penalty) == pytest.approx(epsilon * float(entropy), abs=1e-8)
    assert float(plan.value + plan.penalty) == pytest.approx(float(plan.dual_value), abs=1e-7)
    independent = float(problem.a @ problem.C @ problem.b)
    assert exact - 1e-8 <= float(plan.value) <= independent + 1e-8
    assert exact - 1e-8 <= float(plan.dual_value) <= independent + 1e-8


# --- unbalanced


@pytest.mark.parametrize("c", [0.0, 1.0, 3.0])
def test_an_unbalanced_plan_of_two_points_is_known(c):
    """P c + 2 λ (P log P − P + 1) is least at P = exp(−c / 2λ), and there 2 λ (1 − P)."""
    plan = unbalanced_plan(torch.full((1, 1), c), penalty=0.8, tol=1e-9)
    P = torch.tensor(-c / 1.6).exp()
    assert float(plan.mass) == pytest.approx(float(P), rel=1e-6)
    assert float(plan.value + plan.penalty) == pytest.approx(1.6 * float(1 - P), abs=1e-8)
    assert [float(p) for p in plan.potentials] == pytest.approx([c / 2, c / 2], abs=1e-6)


@settings(max_examples=10, deadline=None)
@given(n=st.integers(2, 8), m=st.integers(2, 8), seed=st.integers(0, 99), penalty=st.sampled_from([0.1, 1.0, 10.0]))
def test_unbalanced_marginals_are_those_of_the_potentials(n, m, seed, penalty):
    problem = discrete(SquaredEuclidean(), n=n, m=m, seed=seed)
    C, a, b = problem.C, problem.a, problem.b
    plan = unbalanced_plan(C, a, b, penalty=penalty, tol=1e-4)
    (f, g), (p, q) = plan.potentials, plan.marginals
    assert bool((f[:, None] + g <= C + 1e-12).all())
    least = float(plan.value + plan.penalty)
    assert -1e-12 <= least - float(plan.dual_value) <= 1e-4 * min(float(a @ C @ b), 2 * penalty)
    kl = sum(float((w * (w / of).log() - w + of).sum()) for w, of in ((p, a), (q, b)))
    assert float(plan.penalty) == pytest.approx(penalty * kl, abs=1e-10)
    assert least == pytest.approx(2 * penalty * (1 - float(plan.mass)), abs=1e-10)
    dual = sum(penalty * w @ (1 - (-h / penalty).exp()) for w, h in ((a, f), (b, g)))
    assert float(dual) == pytest.approx(float(plan.dual_value), abs=1e-10)
    assert torch.allclose(p, a * (-f / penalty).exp(), rtol=0.1, atol=1e-3)
    assert torch.allclose(q, b * (-g / penalty).exp(), rtol=0.1, atol=1e-3)
    assert float(plan.dual_value) <= problem.value + 1e-9  # the exact plan is one of those compared


def test_an_unbalanced_plan_tends_to_the_exact_one_as_mass_becomes_dear():
    problem = discrete(SquaredEuclidean(), n=5, m=5)
    errors, masses = [], []
    for penalty in (0.3, 3.0, 30.0):
        plan = unbalanced_plan(problem.C, problem.a, problem.b, penalty=penalty, tol=2e-5, max_iterations=100_000)
        errors.append(abs(float(plan.value) - problem.value) / problem.value)
        masses.append(float(plan.mass))
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.02
    assert masses == sorted(masses) and masses[-1] > 0.98


# --- partial


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 10), m=st.integers(1, 10), seed=st.integers(0, 99), mass=st.floats(0.05, 0.999), cost=COSTS)
def test_partial_plans_and_their_potentials_prove_each_other_optimal(n, m, seed, mass, cost):
    problem = masses_and_costs(cost, n, m, seed)
    plan = partial_plan(problem.C, problem.a, problem.b, mass=mass)
    (f, g), (p, q) = plan.potentials, plan.marginals
    assert float(plan.mass) == pytest.approx(mass)
    assert bool((p <= problem.a + 1e-12).all() and (q <= problem.b + 1e-12).all())
    assert bool((f[:, None] + g <= problem.C + 1e-9).all())
    assert float(plan.dual_value) == pytest.approx(float(plan.value), abs=1e-9)
    price = 2 * max(float(f.max()), float(g.max()))
    dual = float(problem.a @ f + problem.b @ g) - (1 - mass) * price
    assert dual == pytest.approx(float(plan.value), abs=1e-9)
    assert bool(torch.isfinite(plan.barycentric(problem.y)).all())
    exact = exact_plan(problem.C, problem.a, problem.b)
    assert float(plan.value) <= mass * float(exact.value) + 1e-9  # the exact plan scaled down is one of those compared


def test_a_partial_plan_of_k_pairs_is_the_best_of_all_choices():
    C = torch.rand(4, 4)
    for k in (1, 2, 3):
        best = min(
            sum(float(C[i, j]) for i, j in zip(rows, columns, strict=True))
            for rows in itertools.combinations(range(4), k)
            for columns in itertools.permutations(range(4), k)
        )
        assert float(partial_plan(C, mass=k / 4).value) == pytest.approx(best / 4)


def test_all_of_the_mass_is_an_exact_plan():
    C = torch.rand(6, 6)
    whole, exact = partial_plan(C, mass=1.0), exact_plan(C)
    assert torch.equal(whole.matrix, exact.matrix)
    assert whole.bound == exact.bound == "upper"
    assert float(partial_plan(C, mass=1 - 1e-9).value) == pytest.approx(float(exact.value), abs=1e-8)


@pytest.mark.parametrize("relaxed", [partial(partial_plan, mass=0.8), partial(unbalanced_plan, penalty=1.0)])
def test_an_outlier_is_left_behind_however_far_it_is(relaxed):
    x, y = torch.rand(10, 2), torch.rand(10, 2)
    seen = []
    for far in (10.0, 100.0):
        y[3] = far
        plan = relaxed(SquaredEuclidean().matrix(x, y))
        assert float(plan.marginals[1][3]) < 1e-4
        assert plan.bound is None
        seen.append(float(plan.value))
    assert seen[0] == pytest.approx(seen[1], rel=0.02)
    assert seen[0] < 0.01 * float(exact_plan(SquaredEuclidean().matrix(x, y)).value)


# --- gradients


def test_the_cost_of_paired_points_is_the_value(plan):
    x, y = clouds(5, 5)
    for cost in (SquaredEuclidean(), Lp(3.0), FeatureCost(nn.Linear(2, 3), Euclidean())):
        found = plan(cost.matrix(x, y))
        assert float(found.cost_of(cost, x, y)) == pytest.approx(float(found.value), rel=1e-6)


def test_by_the_envelope_theorem_the_gradient_of_the_problem_is_that_of_the_cost(plan):
    cost, (x, y) = SquaredEuclidean(), clouds(4, 4)

    def least(points):
        return float(plan(cost.matrix(points, y)).dual_value)

    moving = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(plan(cost.matrix(x, y)).cost_of(cost, moving, y), moving)
    step = 1e-3
    for index in itertools.product(range(4), range(2)):
        e = torch.zeros_like(x)
        e[index] = step
        assert (least(x + e) - least(x - e)) / (2 * step) == pytest.approx(float(gradient[index]), abs=2e-3)


def test_plans_keep_no_graph_and_the_callers_type(plan):
    C = torch.rand(4, 4, dtype=torch.float32, requires_grad=True)
    found = plan(C)
    parts = (
        found.matrix,
        found.value,
        found.mass,
        found.dual_value,
        found.penalty,
        *found.marginals,
        *found.potentials,
    )
    assert {part.dtype for part in parts} == {torch.float32}
    assert not any(part.requires_grad for part in parts)


def test_points_without_mass_move_none_and_have_potentials(plan):
    C, a, b = torch.rand(4, 3), torch.tensor([0.5, 0.0, 0.3, 0.2]), torch.tensor([0.0, 0.6, 0.4])
    found, kept = plan(C, a, b), plan(C[[0, 2, 3]][:, 1:], a[[0, 2, 3]], b[1:])
    assert bool((found.matrix[1] == 0).all() and (found.matrix[:, 0] == 0).all())
    assert torch.allclose(found.matrix[[0, 2, 3]][:, 1:], kept.matrix, atol=1e-3)
    assert float(found.dual_value) == pytest.approx(float(kept.dual_value), abs=1e-3)
    assert all(bool(torch.isfinite(h).all()) for h in found.potentials)
    assert bool(torch.isfinite(found.barycentric(torch.rand(3, 2))).all())


def test_potentials_are_computed_once(plan):
    found = plan(torch.rand(4, 4))
    assert found.potentials[0] is found.potentials[0]


# --- bad input


def test_masses_must_be_masses(plan):
    C = torch.rand(3, 3)
    for bad, message in (
        (torch.ones(2), r"a must have shape \(3,\)"),
        (torch.tensor([1.0, -0.5, 0.5]), "a must be finite masses >= 0"),
        (torch.zeros(3), "positive total"),
        (torch.tensor([1.0, float("nan"), 0.0]), "finite masses"),
    ):
        with pytest.raises(ValueError, match=message):
            plan(C, bad)


@pytest.mark.parametrize("C", [torch.tensor([[float("nan")]]), torch.empty(0, 3), torch.zeros(3)])
def test_costs_must_be_a_finite_matrix(plan, C):
    with pytest.raises(ValueError, match="cost matrix"):
        plan(C)


def test_relaxations_must_be_possible():
    C = torch.rand(3, 3)
    for mass in (0.0, -1.0, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"a mass in \(0, .*= \(0, 1\]|mass must be a number"):
            partial_plan(C, mass=mass)
    for penalty in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="penalty must be a number > 0"):
            unbalanced_plan(C, penalty=penalty)
    with pytest.raises(ValueError, match="costs >= 0"):
        unbalanced_plan(C - 1, penalty=1.0)
    with pytest.raises(ValueError, match="moves no mass"):
        unbalanced_plan(C + 1000, penalty=1.0)
    with pytest.raises(NotConverged, match="raise tol or max_iterations"):
        unbalanced_plan(torch.rand(20, 20), penalty=10.0, tol=1e-9, max_iterations=150)


# --- the coupling


def model(d=2):
    return Pushforward(nn.Linear(2, d), standard_gaussian(2))


def test_a_coupling_bounds_w_where_its_plan_does():
    bounds = {name: PlanCoupling(plan).bound for name, plan in PLANS.items()}
    assert bounds == {"exact": "upper", "sinkhorn": "upper", "unbalanced": None, "partial": None}


def test_a_coupling_needs_a_function_that_returns_a_plan():
    with pytest.raises(ValueError, match="returns a Plan, got a Tensor"):
        PlanCoupling(lambda C: C)
    with pytest.raises(ValueError, match="epsilon must be a number >= 0, got -1"):
        PlanCoupling(partial(sinkhorn_plan, epsilon=-1.0))


def test_the_floor_is_the_mean_value_of_a_perfect_model(plan):
    nu = Empirical(torch.randn(200, 2))
    coupling = PlanCoupling(plan)
    assert coupling.diagnostics() == {}
    values = torch.stack([coupling(nu, nu, SquaredEuclidean(), 16).value for _ in range(60)])
    floor = coupling.diagnostics()["floor"]
    error = float(values.std()) / 8**0.5  # of the mean of the floor's draws
    assert floor == pytest.approx(float(values.mean()), abs=4 * error)


def test_the_floor_is_of_the_batch_size_data_and_cost_asked_for():
    nu, other = Empirical(torch.randn(50, 2)), Empirical(10 * torch.randn(50, 2))
    coupling = PlanCoupling(exact_plan)
    floors = []
    settings = [(nu, SquaredEuclidean(), 8), (nu, SquaredEuclidean(), 32), (other, Euclidean(), 32)]
    for data, cost, n in (*settings, settings[0]):
        coupling(nu, data, cost, n)
        floors.append(coupling.diagnostics()["floor"])
    assert floors[1] < floors[0] < floors[2]
    assert floors[3] == floors[0]


def test_the_floor_leaves_training_alone(plan):
    mu, nu = model(), Empirical(torch.randn(50, 2))
    told = PlanCoupling(plan)
    told(mu, nu, SquaredEuclidean(), 8)
    before = torch.get_rng_state()
    told.diagnostics()
    assert torch.equal(torch.get_rng_state(), before)
    assert mu.training and nu.training
    assert told.state_dict() == {}
    assert pickle.loads(pickle.dumps(told)).bound == told.bound
    assert not list(told.children())


def test_each_row_has_its_value_and_the_same_floor(plan):
    progress = fit(
        model(),
        Empirical(torch.randn(50, 2)),
        PrimalSolver(SquaredEuclidean(), PlanCoupling(plan)),
        steps=3,
        batch_size=8,
    )
    assert len({row["floor"] for row in progress.rows}) == 1
    assert all(row["floor"] > 0 for row in progress.rows)
    masses = [row.get("mass", 1.0) for row in progress.rows]
    assert all(0 < mass <= 1 for mass in masses)


def test_a_resumed_run_is_the_same_bit_for_bit(plan, tmp_path):
    nu, file = Empirical(torch.randn(50, 2)), tmp_path / "checkpoint.safetensors"

    def train(steps, **options):
        torch.manual_seed(0)
        mu = model()
        solver = PrimalSolver(SquaredEuclidean(), PlanCoupling(plan))
        return mu, fit(mu, nu, solver, steps=steps, batch_size=8, **options)

    mu, whole = train(6)
    train(3, checkpoint=file)
    mu_again, rest = train(6, resume=file)
    assert torch.equal(mu.map.weight, mu_again.map.weight)
    for one, other in zip(whole.rows[3:], rest.rows, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


class Shift(nn.Module):
    """z + θ."""

    def __init__(self):
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(2))

    def forward(self, z):
        return z + self.theta


@pytest.mark.slow
def test_with_outliers_relaxed_plans_find_the_law_of_the_others():
    """Five of a hundred data lie 20 away: the exact plan moves the model by their share, 1 in each coordinate."""
    atoms = torch.randn(400, 2)
    atoms = atoms - atoms.mean(0)
    atoms[:20] = 20 + 0.1 * atoms[:20]
    clean, nu = atoms[20:].mean(0), Empirical(atoms)
    errors = {}
    for name, plan in (
        ("exact", exact_plan),
        ("partial", partial(partial_plan, mass=0.85)),
        ("unbalanced", partial(unbalanced_plan, penalty=4.0)),
    ):
        torch.manual_seed(0)
        mu = Pushforward(Shift(), standard_gaussian(2))
        solver = PrimalSolver(SquaredEuclidean(), PlanCoupling(plan))
        optimizer = partial(torch.optim.Adam, lr=0.05)
        fit(mu, nu, solver, steps=150, batch_size=64, optimizer=optimizer, schedule=lambda done: 1 - done)
        errors[name] = float((mu.map.theta.detach() - clean).norm())
    assert errors["exact"] > 1.0
    assert max(errors["partial"], errors["unbalanced"]) < 0.25
