"""Critics: feasible where they say so, biased where they say so, and right on pairs with a known answer."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import Rays, discrete
from torch import nn

from ot_gen import (
    MLP,
    AnchorCritic,
    BatchCritic,
    BernoulliNLL,
    Critic,
    DualSolver,
    Empirical,
    Euclidean,
    GradientPenalty,
    Lp,
    Orthogonal,
    Pushforward,
    SquaredEuclidean,
    exact_plan,
    fit,
    linear_decay,
    standard_gaussian,
    uniform_cube,
)

SHAPES = {"anchors": st.integers(1, 20), "flat_dim": st.integers(0, 3), "seed": st.integers(0, 10**6)}


def bound_critic(anchors, flat_dim, cost, seed=0, dim=4, spread=3.0):
    """An AnchorCritic with arbitrary parameters."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        h = AnchorCritic(anchors, flat_dim)
        h.bind(uniform_cube(dim), uniform_cube(dim), cost)
        with torch.no_grad():
            for parameter in h.parameters():
                parameter.normal_(std=spread)
    return h.double()


@pytest.fixture(params=[Euclidean(), Lp(1), Lp(3)], ids=str)
def distance(request):
    return request.param


# --- anchors


@pytest.mark.usefixtures("float64")
@given(spread=st.sampled_from([0.1, 1.0, 30.0]), **SHAPES)
@settings(max_examples=40, deadline=None)
def test_an_anchor_critic_is_one_lipschitz_for_every_parameter(anchors, flat_dim, seed, spread):
    h = bound_critic(anchors, flat_dim, Euclidean(), seed, spread=spread)
    x = 3 * torch.randn(300, 4)
    y = torch.cat([3 * torch.randn(150, 4), x[150:] + 0.01 * torch.randn(150, 4)])
    x.requires_grad_()
    value = h(x)
    assert bool(((value - h(y)).abs() <= Euclidean()(x, y) * (1 + 1e-7) + 1e-9).all())
    (gradient,) = torch.autograd.grad(value.sum(), x)
    assert float(gradient.norm(dim=1).max()) <= 1 + 1e-7


@torch.no_grad()
@given(anchors=st.integers(1, 20), seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None, suppress_health_check=[])
def test_anchors_bound_w1_from_below_on_discrete_problems(anchors, seed):
    problem = discrete(Euclidean(), seed=seed % 5)
    h = bound_critic(anchors, 1, Euclidean(), seed, dim=3, spread=0.5)
    assert h.bound == "lower"
    assert float(problem.a @ h(problem.x) - problem.b @ h(problem.y)) <= problem.value + 1e-9


@torch.no_grad()
def test_cones_are_feasible_for_every_distance(distance):
    h = bound_critic(9, 0, distance)
    x, y = torch.randn(2, 500, 4, dtype=torch.float64)
    assert bool(((h(x) - h(y)).abs() <= distance(x, y) + 1e-9).all())


def test_slopes_stay_below_one_in_float32_next_to_the_anchors():
    h = AnchorCritic(30, 2)
    h.bind(uniform_cube(4), uniform_cube(4), Euclidean())
    centres = (h.scale * h.anchors).detach().flatten(0, 1)
    x = (centres + 1e-4 * torch.randn_like(centres)).requires_grad_()
    (gradient,) = torch.autograd.grad(h(x).sum(), x)
    assert float(gradient.norm(dim=1).max()) <= 1 + 1e-5


@torch.no_grad()
def test_an_orthonormal_frame_makes_an_anchor_the_flat_that_it_spans():
    h = AnchorCritic(1, 1)
    h.bind(uniform_cube(3), uniform_cube(3), Euclidean())
    h.balance.fill_(50)
    h.scale.fill_(1)
    h.anchors.zero_()
    h.directions.copy_(torch.tensor([0.0, 0.0, 1.0]).reshape(1, 1, 3, 1).expand(2, 1, 3, 1))
    x = torch.tensor([[3.0, 4.0, 7.0], [0.0, 1.0, -2.0]])
    assert torch.allclose(h(x), torch.tensor([5.0, 1.0]), atol=1e-3)


@torch.no_grad()
def test_without_a_distance_anchors_are_a_c_transform_of_the_batch():
    cost = SquaredEuclidean()
    x, y = torch.randn(2, 50, 4, dtype=torch.float64)
    h = bound_critic(8, 0, cost)
    anchors, offsets = h.scale * h.anchors[0], h.scale * h.offsets[0]
    assert torch.allclose(h(x), (cost.matrix(x, anchors) - offsets).min(dim=1).values)
    assert h.bound is None
    conjugate = (cost.matrix(x, y) - h(x).unsqueeze(1)).min(dim=0).values
    assert float(h.conjugate_mean(x, y)) == pytest.approx(float(conjugate.mean()))


@pytest.mark.usefixtures("float64")
def test_anchors_start_alike_wherever_and_in_whatever_unit_the_data_are():
    x, y, probe = torch.randn(3, 40, 4)

    def started(unit, shift):
        torch.manual_seed(1)
        h = AnchorCritic(10, 2)
        h.bind(Empirical(unit * x + shift), Empirical(unit * y + shift), Euclidean())
        return h(unit * probe + shift)

    assert torch.allclose(started(1, 0), started(1, 30), atol=1e-9)
    assert torch.allclose(started(1, 0), started(100, 0) / 100, atol=1e-9)


@pytest.mark.usefixtures("float64")
def test_the_training_of_anchors_knows_no_unit():
    x, y, start = torch.randn(100, 3), torch.randn(100, 3) + 1, torch.randn(100, 3)
    values = []
    for unit in (1.0, 1000.0):
        torch.manual_seed(2)
        h = AnchorCritic(10, 1)
        h.bind(Empirical(unit * start), Empirical(unit * start), Euclidean())  # off the data, where cones have no kink
        solver = DualSolver(Euclidean(), h, inner_steps=1)
        rows = fit(Empirical(unit * x), Empirical(unit * y), solver, steps=30, batch_size=20).rows
        values.append(rows[-1]["value"] / unit)
    assert values[0] == pytest.approx(values[1], rel=1e-4)


@pytest.mark.parametrize(("dim", "flat_dim"), [(1, 8), (3, 0), (3, 8)])
def test_anchors_resume_bit_for_bit(dim, flat_dim, tmp_path):
    mu, nu = uniform_cube(dim), standard_gaussian(dim)

    def train(seed, **options):
        torch.manual_seed(seed)
        h = AnchorCritic(5, flat_dim)
        fit(mu, nu, DualSolver(Euclidean(), h, inner_steps=1), batch_size=8, schedule=linear_decay, **options)
        return h.state_dict()

    file = tmp_path / "checkpoint.safetensors"
    whole = train(0, steps=4)
    with pytest.raises(ChildProcessError):
        train(0, steps=4, checkpoint=file, checkpoint_every=2, callbacks=[killed])
    resumed = train(9, steps=4, resume=file)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def killed(progress):
    if progress.step == 3:
        raise ChildProcessError("killed")


def test_data_without_spread_leave_anchors_finite():
    mu = Empirical(torch.ones(4, 3))
    h = AnchorCritic(4)
    fit(mu, mu, DualSolver(Euclidean(), h, inner_steps=1), steps=2, batch_size=4)
    assert all(bool(torch.isfinite(p).all()) for p in h.parameters())


def test_bound_again_anchors_keep_their_places():
    mu, nu = uniform_cube(3), standard_gaussian(3)
    h = AnchorCritic(5)
    h.bind(mu, nu, Euclidean())
    before = h.anchors
    h.bind(mu, nu, Euclidean())
    assert h.anchors is before


@pytest.mark.slow
@pytest.mark.parametrize(("order", "flat_dim"), [("pq", 0), ("qp", 0), ("pq", 1)])
def test_anchors_find_the_known_potential_in_both_orders(order, flat_dim):
    pair = Rays(4, 4, flat_dim)
    mu, nu = (pair.p, pair.q) if order == "pq" else (pair.q, pair.p)
    h = AnchorCritic(64, 2)
    fit(mu, nu, DualSolver(Euclidean(), h, inner_steps=1), steps=400, batch_size=256, schedule=linear_decay)
    p, q = pair.sample_pairs(4000)
    w1 = float((p - q).norm(dim=1).mean())
    p, q, truth = p.float().requires_grad_(), q.float(), pair.gradient(p).float()
    sign = 1 if order == "qp" else -1
    (gradient,) = torch.autograd.grad(h(p).sum(), p)
    assert float(torch.cosine_similarity(gradient, sign * truth, dim=1).mean()) > 0.93
    with torch.no_grad():
        assert -sign * float(h(p).mean() - h(q).mean()) == pytest.approx(w1, rel=0.05)


@pytest.mark.parametrize(("flat_dim", "groups"), [(0, 1), (2, 1), (1, 3)])
def test_the_pairs_keep_what_they_promise(flat_dim, groups):
    pair = Rays(5, 4, flat_dim, groups)
    p, q = pair.sample_pairs(150)
    length = (p - q).norm(dim=1)
    assert torch.allclose(pair.u(q) - pair.u(p), length, atol=1e-8)
    C = torch.cdist(p, q)
    assert float(exact_plan(C).value) == pytest.approx(float(length.mean()), rel=1e-8)
    assert bool((q - p - length.unsqueeze(1) * pair.gradient(q)).norm(dim=1).max() < 1e-8)


# --- the c-transform over a batch


@torch.no_grad()
def test_the_batch_transform_is_biased_upwards_and_less_for_larger_batches():
    # μ = ν, so W₁ = 0. With h = 0 the value is E min_i ‖x_i − y‖: about 1 / (2 √n) in the square, more at its edges.
    law = uniform_cube(2, 0.0, 1.0)
    h = BatchCritic(nn.Linear(2, 1).requires_grad_(False))
    h.net.weight.zero_()
    h.net.bias.zero_()
    h.bind(law, law, Euclidean())
    values = {n: float(sum(h.conjugate_mean(law.sample(n), law.sample(n)) for _ in range(50)) / 50) for n in (16, 256)}
    assert h.bound is None
    for n, value in values.items():
        assert 0.5 / n**0.5 <= value <= 1 / n**0.5
    assert values[256] < 0.4 * values[16]


def test_a_trained_batch_critic_reads_the_cost_between_batches_not_between_laws():
    law = uniform_cube(4, 0.0, 1.0)
    solver = DualSolver(Euclidean(), BatchCritic(MLP(4, 1, hidden=(32,))), inner_steps=1)
    fit(law, law, solver, steps=100, batch_size=32)
    h, read, between = solver.potential, [], []
    for _ in range(20):
        x, y = law.sample(32), law.sample(32)
        with torch.no_grad():
            read.append(float(h(x).mean() + h.conjugate_mean(x, y)))
        C = Euclidean().matrix(x, y)
        between.append(float(exact_plan(C).value))
    # (h, h^c over the batch) is feasible for the batch: weak duality there, whatever the net.
    assert all(a <= b + 1e-5 for a, b in zip(read, between, strict=True))
    assert 0.2 < sum(read) / 20 <= sum(between) / 20


@pytest.mark.parametrize("cost", [SquaredEuclidean(), BernoulliNLL(), Euclidean()], ids=str)
@torch.no_grad()
def test_a_batch_critic_takes_any_cost_and_is_feasible_on_its_batch(cost):
    x, y = torch.rand(2, 20, 3)
    h = BatchCritic(MLP(3, 1, hidden=(8,)))
    h.bind(Empirical(x), Empirical(y), cost)
    for j in range(20):
        conjugate = h.conjugate_mean(x, y[j : j + 1])
        assert bool((h(x) + conjugate <= cost(x, y[j].expand_as(x)) + 1e-5).all())


# --- a fixed μ, and what does not fit


@pytest.mark.parametrize(
    "potential",
    [
        lambda: AnchorCritic(8, 1),
        lambda: Critic(MLP(2, 1, hidden=(8,)), Orthogonal()),
        lambda: BatchCritic(MLP(2, 1, hidden=(8,))),
    ],
)
def test_a_frozen_model_stays_as_it_is_while_the_potential_trains(potential):
    mu = Pushforward(nn.Linear(2, 2), standard_gaussian(2)).requires_grad_(False)
    before = [p.clone() for p in mu.parameters()]
    solver = DualSolver(Euclidean(), potential())
    nu = standard_gaussian(2)
    solver.prepare(mu, nu)
    start = [p.detach().clone() for p in solver.parameters()]
    fit(mu, nu, solver, steps=3, batch_size=16)
    assert all(torch.equal(old, new) for old, new in zip(before, mu.parameters(), strict=True))
    assert any(not torch.equal(old, new) for old, new in zip(start, solver.parameters(), strict=True))


@pytest.mark.parametrize("lipschitz", [GradientPenalty(), Orthogonal()], ids=str)
def test_a_critic_refuses_a_cost_that_is_no_distance(lipschitz):
    mu = Pushforward(nn.Linear(2, 2), standard_gaussian(2))
    solver = DualSolver(SquaredEuclidean(), Critic(MLP(2, 1), lipschitz))
    with pytest.raises(ValueError, match=r"needs a distance as its cost.*use Euclidean\(\)"):
        solver.prepare(mu, Empirical(torch.randn(4, 2)))


@pytest.mark.parametrize("critic", [lambda net: Critic(net, GradientPenalty()), BatchCritic])
def test_nets_of_the_wrong_size_are_named(critic):
    mu, nu = standard_gaussian(2), Empirical(torch.randn(4, 2))
    with pytest.raises(ValueError, match=r"the critic does not accept points of shape \(n, 2\)"):
        critic(MLP(3, 1)).bind(mu, nu, Euclidean())
    with pytest.raises(ValueError, match=r"to \(2, 5\); a critic maps the data to one value a point"):
        critic(MLP(2, 5)).bind(mu, nu, Euclidean())


def test_anchors_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="anchors must be a whole number >= 1, got 0"):
        AnchorCritic(0, 2)
    mu = standard_gaussian(4)
    with pytest.raises(ValueError, match="flats need the Euclidean distance"):
        AnchorCritic(4, 2).bind(mu, mu, SquaredEuclidean())
    pixels = Empirical(torch.rand(10, 4))
    with pytest.raises(ValueError, match=r"does not accept points outside of the data's range.*BatchCritic"):
        AnchorCritic(4, 0).bind(pixels, pixels, BernoulliNLL())
    with pytest.raises(ValueError, match=r"no anchors yet: call bind"):
        AnchorCritic()(torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"no cost yet: call bind"):
        BatchCritic(nn.Linear(4, 1)).conjugate_mean(torch.zeros(2, 4), torch.zeros(2, 4))
