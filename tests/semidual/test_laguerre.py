import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import discrete
from torch import nn

from ot_gen import (
    BernoulliNLL,
    Euclidean,
    FeatureCost,
    InnerProduct,
    LaguerreCells,
    Lp,
    SquaredEuclidean,
    c_transform,
)
from ot_gen.semidual import envelope, scores, tiles, transform

FEATURES = nn.Sequential(nn.Linear(4, 20).double(), nn.Tanh())
COSTS = [
    SquaredEuclidean(),
    Euclidean(),
    Lp(1.0),
    BernoulliNLL(),
    InnerProduct(),
    FeatureCost(FEATURES, SquaredEuclidean()),
    FeatureCost(FEATURES, Euclidean()),
]
METRIC_OR_ANY = pytest.mark.parametrize("cost", COSTS[:3], ids=str)
EVERY_COST = pytest.mark.parametrize("cost", COSTS, ids=lambda cost: str(cost).splitlines()[0])


def dual_value(cost, problem, h_tilde):
    h, _ = c_transform(cost, problem.x, problem.y, h_tilde)
    return float(problem.a @ h + problem.b @ h_tilde)


@pytest.fixture
def small_tiles(monkeypatch):
    """Several panels of several tiles of a few blocks, also for tiny problems."""
    monkeypatch.setattr(transform, "SMALL", 0)
    monkeypatch.setattr(scores, "PANEL_ATOMS", 384)
    monkeypatch.setattr(scores, "MATRIX_ATOMS", 256)
    monkeypatch.setattr(scores, "MATRIX_ENTRIES", 1000)
    monkeypatch.setattr(scores, "TILE_ENTRIES", 1)
    monkeypatch.setattr(scores, "FEWEST_ROWS", 4)
    monkeypatch.setattr(tiles, "DIRECT", 70)


# --- the c-transform is a min, and duality


@METRIC_OR_ANY
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 30))
def test_weak_duality_holds_for_every_table(cost, seed, scale):
    problem = discrete(cost)
    h_tilde = scale * torch.randn(9, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert dual_value(cost, problem, h_tilde) <= problem.value + 1e-9


@METRIC_OR_ANY
@pytest.mark.parametrize("seed", range(3))
def test_the_duals_of_the_linear_programme_attain_the_value(cost, seed):
    problem = discrete(cost, seed=seed)
    assert dual_value(cost, problem, problem.h_tilde) == pytest.approx(problem.value, abs=1e-10)


def test_a_max_in_place_of_the_min_would_exceed_the_value():
    problem = discrete(SquaredEuclidean())
    wrong = (problem.C - problem.h_tilde).max(dim=1).values
    assert float(problem.a @ wrong + problem.b @ problem.h_tilde) > problem.value + 0.1


@METRIC_OR_ANY
def test_the_pair_is_feasible_on_a_grid(cost):
    axis = torch.linspace(-1, 2, 21, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis)
    y, h_tilde = torch.rand(13, 2, dtype=torch.float64), torch.randn(13, dtype=torch.float64)
    for epsilon in (0.0, 0.3):
        h, _ = c_transform(cost, x, y, h_tilde, epsilon)
        assert bool((h[:, None] + h_tilde <= cost.matrix(x, y) + 1e-9).all())


@METRIC_OR_ANY
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_transforming_twice_never_lowers_the_dual_value(cost, seed):
    problem = discrete(cost)
    h_tilde = torch.randn(9, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    h, _ = c_transform(cost, problem.x, problem.y, h_tilde)
    better, _ = c_transform(cost, problem.y, problem.x, h)  # symmetric costs: h^c(y) = min_x c(x, y) − h(x)
    assert bool((better >= h_tilde - 1e-9).all())
    assert dual_value(cost, problem, better) >= dual_value(cost, problem, h_tilde) - 1e-9


# --- streamed equals dense


def dense(cost, x, y, h_tilde, epsilon):
    return dense_of(cost.matrix(x, y) - h_tilde, epsilon)


def dense_of(scores, epsilon):
    return scores.min(dim=1).values if epsilon == 0 else -epsilon * torch.logsumexp(-scores / epsilon, dim=1)


@pytest.mark.slow
@EVERY_COST
@pytest.mark.parametrize("kept", [0, 2**22])
@pytest.mark.parametrize("epsilon", [0.0, 0.05, 2.0])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 63), (5, 64), (7, 129), (11, 1000), (200, 513)])
def test_streamed_equals_dense(small_tiles, monkeypatch, cost, kept, epsilon, n, m):
    monkeypatch.setattr(transform, "KEPT", kept)
    x, y = (torch.rand(size, 4, dtype=torch.float64, requires_grad=True) for size in (n, m))
    h_tilde = torch.randn(m, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(n, dtype=torch.float64)
    value, argmin = c_transform(cost, x, y, h_tilde, epsilon)
    expected = dense(cost, x, y, h_tilde, epsilon)
    assert torch.allclose(value, expected, atol=1e-9)
    assert torch.equal(argmin, (cost.matrix(x, y) - h_tilde).argmin(dim=1))
    gradients = torch.autograd.grad((weights * value).sum(), (x, y, h_tilde))
    dense_gradients = torch.autograd.grad((weights * expected).sum(), (x, y, h_tilde))
    for one, other in zip(gradients, dense_gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-8)


@EVERY_COST
@pytest.mark.parametrize("epsilon", [0.0, 0.3])
def test_gradients_are_those_of_finite_differences(small_tiles, cost, epsilon):
    x, y = (torch.rand(size, 4, dtype=torch.float64, requires_grad=True) for size in (3, 5))
    h_tilde = torch.randn(5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *inputs: c_transform(cost, *inputs, epsilon)[0], (x, y, h_tilde))


@pytest.mark.parametrize("only", range(3))
@pytest.mark.parametrize("kept", [0, 2**22])
def test_only_the_gradients_that_are_asked_for_are_made(monkeypatch, kept, only):
    monkeypatch.setattr(transform, "KEPT", kept)
    inputs = [torch.rand(3, 2), torch.rand(4, 2), torch.rand(4)]
    inputs[only].requires_grad_()
    c_transform(SquaredEuclidean(), *inputs, 0.1)[0].sum().backward()
    assert [tensor.grad is not None for tensor in inputs] == [number == only for number in range(3)]


@pytest.mark.parametrize("cost", COSTS[:5], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("epsilon", [0.0, 0.5])
@pytest.mark.parametrize("d", [2, 70])
def test_every_dtype_has_its_own_accuracy(cost, dtype, epsilon, d):
    x, y, h_tilde = torch.rand(6, d).to(dtype), torch.rand(300, d).to(dtype), torch.rand(300).to(dtype)
    value, argmin = c_transform(cost, x, y, h_tilde, epsilon)
    expected = dense(cost, x.double(), y.double(), h_tilde.double(), epsilon)
    assert value.dtype == dtype and argmin.dtype == torch.int64
    assert torch.allclose(value.double(), expected, rtol=8 * torch.finfo(dtype).eps, atol=8 * torch.finfo(dtype).eps)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    scale=st.floats(1e-3, 1e4),
    offset=st.sampled_from([0.0, 3.0, 1e4]),
    epsilon=st.sampled_from([0.0, 0.1]),
    d=st.sampled_from([1, 2, 3, 20]),
)
def test_float32_values_are_feasible_to_rounding_also_far_from_the_origin(seed, scale, offset, epsilon, d):
    generator = torch.Generator().manual_seed(seed)
    x, y = (offset + torch.randn(size, d, generator=generator) for size in (5, 300))
    h_tilde = scale * torch.randn(300, generator=generator)
    h, _ = c_transform(SquaredEuclidean(), x, y, h_tilde, epsilon)
    kept, _ = scores.Scores(SquaredEuclidean(), y).hard(x, h_tilde)
    C = (x.double()[:, None] - y.double()[None]).square().sum(-1)
    expected = dense_of(C - h_tilde.double(), epsilon)
    rounding = 1e-6 * (scale + float(C.max()) + epsilon)
    assert bool((h[:, None] + h_tilde <= C + 10 * rounding).all())
    assert torch.allclose(h.double(), expected, atol=10 * rounding, rtol=0)
    assert torch.allclose(kept.double(), dense_of(C - h_tilde.double(), 0.0), atol=10 * rounding, rtol=0)


@pytest.mark.parametrize("m", [1, 64, 128, 192, 193, 256, 1000, 1024, 2048])
def test_the_minimum_of_a_tile_is_the_lowest_atom_of_the_least_score_and_keeps_a_nan(m):
    values = torch.randint(5, (7, m)).float()  # many ties
    tile = tiles.Tile(7, m, values)
    tile[slice(7)].copy_(values)
    least, at = tile.minimum(slice(7))
    lowest = [row.index(min(row)) for row in values.tolist()]
    assert torch.equal(least, values.amin(dim=1)) and at.tolist() == lowest
    tile[slice(2, 3)][:, m // 2] = NAN
    assert tile.minimum(slice(7))[0].isnan().tolist() == [False, False, True, *[False] * 4]


@EVERY_COST
def test_kept_costs_and_soft_assignments_are_those_of_the_matrix(small_tiles, cost):
    x, y, h_tilde = (torch.rand(*shape, dtype=torch.float64) for shape in ((600, 4), (1024, 4), (1024,)))
    C = cost.matrix(x, y)
    for engine in (scores.Scores(cost, y), scores.Scores.streamed(cost, y)):
        assert torch.allclose(torch.cat([part.clone() for _, part in engine.costs(x)]), C, atol=1e-9)
        shares = torch.cat([w.unsqueeze(1) * z for z, w in engine.soft(x, h_tilde, 0.1)])
        assert torch.allclose(shares, ((h_tilde - C) / 0.1).softmax(dim=1), atol=1e-9)


def test_the_inner_product_turns_w2_around():
    problem = discrete(SquaredEuclidean())
    h, argmin = c_transform(SquaredEuclidean(), problem.x, problem.y, problem.h_tilde)
    shifted = (problem.h_tilde - problem.y.square().sum(1)) / 2
    other, same = c_transform(InnerProduct(), problem.x, problem.y, shifted)
    assert torch.equal(argmin, same)
    assert torch.allclose(h, problem.x.square().sum(1) + 2 * other)


def test_the_soft_transform_lies_between_min_less_eps_log_m_and_min():
    x, y, h_tilde = torch.rand(20, 3), torch.rand(50, 3), torch.randn(50)
    hard, _ = c_transform(SquaredEuclidean(), x, y, h_tilde)
    for epsilon in (1.0, 0.1, 1e-4):
        soft, _ = c_transform(SquaredEuclidean(), x, y, h_tilde, epsilon)
        assert bool((soft <= hard + 1e-5).all())
        assert bool((soft >= hard - epsilon * math.log(50) - 1e-5).all())


def test_a_c_transform_of_nothing_that_needs_a_graph_makes_none():
    value, _ = c_transform(SquaredEuclidean(), torch.rand(3, 2), torch.rand(4, 2), torch.zeros(4))
    assert not value.requires_grad


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_many_queries_are_streamed_too(monkeypatch, epsilon):
    monkeypatch.setattr(transform, "SMALL", 0)
    monkeypatch.setattr(scores, "PART_ENTRIES", 14)
    monkeypatch.setattr(scores, "PAIR_ENTRIES", 6)
    monkeypatch.setattr(transform, "PART_ENTRIES", 14)
    x, y = torch.rand(23, 2, requires_grad=True), torch.rand(5, 2)
    h_tilde = torch.rand(5, requires_grad=True)
    value, argmin = c_transform(SquaredEuclidean(), x, y, h_tilde, epsilon)
    expected = dense(SquaredEuclidean(), x, y, h_tilde, epsilon)
    assert torch.allclose(value, expected, atol=1e-5)
    assert torch.equal(argmin, (SquaredEuclidean().matrix(x, y) - h_tilde).argmin(dim=1))
    for one, other in zip(
        torch.autograd.grad(value.sum(), (x, h_tilde)), torch.autograd.grad(expected.sum(), (x, h_tilde)), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-4)


def test_no_points_have_no_values():
    for epsilon in (0.0, 1.0):
        value, argmin = c_transform(SquaredEuclidean(), torch.rand(0, 2), torch.rand(4, 2), torch.zeros(4), epsilon)
        assert value.shape == argmin.shape == (0,)


def test_atoms_are_read_from_a_file(tmp_path):
    np.save(tmp_path / "atoms.npy", np.random.default_rng(0).random((3000, 4), dtype=np.float32))
    y = torch.from_numpy(np.load(tmp_path / "atoms.npy", mmap_mode="c"))
    x, h_tilde = torch.rand(5, 4), torch.randn(3000)
    for one, other in zip(
        c_transform(Euclidean(), x, y, h_tilde), c_transform(Euclidean(), x, y.clone(), h_tilde), strict=True
    ):
        assert torch.equal(one, other)


X, Y, H = torch.rand(3, 2), torch.rand(4, 2), torch.zeros(4)
NAN = float("nan")


@pytest.mark.parametrize(
    ("x", "y", "h_tilde", "epsilon", "message"),
    [
        (X, Y, torch.zeros(3), 0.0, r"shape \(4,\)"),
        (X, Y, torch.tensor([0.0, 0.0, NAN, 0.0]), 0.0, "h_tilde holds NaN or Inf"),
        (X, Y, torch.tensor([0.0, 0.0, math.inf, 0.0]), 0.1, "h_tilde holds NaN or Inf"),
        (X, Y, H, -1.0, "epsilon must be a number >= 0"),
        (X, Y, H, NAN, "epsilon must be a number >= 0"),
        (X, torch.rand(0, 2), torch.zeros(0), 0.0, "m >= 1"),
        (X, torch.rand(4), H, 0.0, "one atom a row"),
        (X, torch.ones(4, 2, dtype=torch.int64), H, 0.0, "floating point"),
        (torch.rand(3, 5), Y, H, 0.0, r"points x must be \(n, 2\)"),
        (torch.rand(2), Y, H, 0.0, r"points x must be \(n, 2\)"),
        (torch.tensor([[NAN, 0.0]]), Y, H, 0.0, "x holds NaN or Inf"),
        (X, torch.where(Y[2] == Y, NAN, Y), H, 0.0, "hold NaN"),
        (X, torch.where(Y[2] == Y, -NAN, Y), H, 0.1, "hold NaN"),
        (X.double(), Y, H, 0.0, "x is torch.float64"),
        (X, Y, H.half(), 0.0, "h_tilde is torch.float16"),
        (X.to("meta"), Y, H, 0.0, "x is on the device 'meta'"),
    ],
)
def test_bad_input_is_named(x, y, h_tilde, epsilon, message):
    for cost in (SquaredEuclidean(), InnerProduct(), Euclidean()):
        with pytest.raises(ValueError, match=message):
            c_transform(cost, x, y, h_tilde, epsilon)
    if epsilon == 0:
        with pytest.raises(ValueError, match=message):
            LaguerreCells(SquaredEuclidean(), y, h_tilde)(x)


@pytest.mark.parametrize("small", [0, 2**17])
def test_one_bad_atom_among_many_does_not_go_unnoticed(monkeypatch, small):
    monkeypatch.setattr(transform, "SMALL", small)
    for bad in (NAN, -NAN):
        for cost, d in ((SquaredEuclidean(), 2), (SquaredEuclidean(), 30), (Lp(1.0), 2)):
            y = torch.rand(1000, d)
            y[777, 1] = bad
            with pytest.raises(ValueError, match="hold NaN or Inf"):
                c_transform(cost, torch.rand(3, d), y, torch.zeros(1000))


# --- the kept index


def clustered(m, d):
    return 5 * torch.randn(7, d)[torch.randint(7, (m,))] + 0.01 * torch.randn(m, d)


ATOMS = {
    "random": torch.randn,
    "clustered": clustered,
    "duplicated": lambda m, d: torch.randn(20, d)[torch.randint(20, (m,))],
    "equal": lambda m, d: torch.ones(m, d),
    "on a line": lambda m, d: torch.randn(m, 1) * torch.ones(d),
    "far": lambda m, d: 1e3 + torch.randn(m, d),
}
TABLES = {
    "zero": lambda y: torch.zeros(len(y)),
    "noise": lambda y: torch.randn(len(y)),
    "smooth": lambda y: -0.3 * y.square().sum(1),
    "outlier": lambda y: torch.where(torch.arange(len(y)) == 5, 1e4, torch.zeros(len(y))),
    "six orders": lambda y: 10 ** (6 * torch.rand(len(y)) - 3),
}


@pytest.mark.parametrize("far", [1e5, 1e9, 1e14])
@pytest.mark.parametrize("d", [1, 2])
def test_the_kept_index_answers_as_the_stream_beside_an_atom_that_is_far_away(d, far):
    x, y = torch.randn(100, d).double(), torch.randn(1500, d).double()
    y[7] = far
    for h_tilde in (torch.zeros(1500).double(), 0.1 * torch.randn(1500).double()):
        value, _ = LaguerreCells(SquaredEuclidean(), y, h_tilde)(x)
        expected = (SquaredEuclidean().matrix(x, y) - h_tilde).amin(dim=1)
        assert torch.allclose(value, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("cost", [SquaredEuclidean(), InnerProduct()], ids=str)
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("atoms", ATOMS)
@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_kept_index_answers_as_the_stream(cost, d, atoms, table):
    y = ATOMS[atoms](700, d).double()
    h_tilde = TABLES[table](y).double()
    x = torch.cat([torch.randn(100, d), y[:20] + 0.1 * torch.randn(20, d), 1e3 * torch.randn(20, d)]).double()
    cells = LaguerreCells(cost, y, h_tilde)
    value, argmin = cells(x)
    expected, streamed = c_transform(cost, x, y, h_tilde)
    assert cells.tree is not None
    assert torch.allclose(value, expected, rtol=1e-12, atol=1e-9)
    ties = (cost(x, y[argmin]) - h_tilde[argmin] - expected).abs() < 1e-9 * (1 + expected.abs())
    assert bool(((argmin == streamed) | ties).all())


@EVERY_COST
def test_what_is_kept_of_any_cost_answers_as_the_stream(small_tiles, cost):
    x, y, h_tilde = (torch.rand(*shape, dtype=torch.float64) for shape in ((9, 4), (700, 4), (700,)))
    for one, other in zip(LaguerreCells(cost, y, h_tilde)(x), c_transform(cost, x, y, h_tilde), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("d", [2, 5])
def test_the_kept_index_is_differentiable_in_x(d):
    y, h_tilde = torch.rand(800, d), torch.rand(800) / 10
    x = torch.rand(6, d, requires_grad=True)
    (kept,) = torch.autograd.grad(LaguerreCells(SquaredEuclidean(), y, h_tilde)(x)[0].sum(), x)
    (streamed,) = torch.autograd.grad(c_transform(SquaredEuclidean(), x, y, h_tilde)[0].sum(), x)
    assert torch.equal(kept, streamed)


def test_crowded_leaves_and_points_out_of_the_box_are_left_to_the_stream(monkeypatch):
    monkeypatch.setattr(envelope, "GROWTH", 0)
    y, h_tilde = torch.rand(6000, 2), torch.zeros(6000)
    cells = LaguerreCells(SquaredEuclidean(), y, h_tilde)
    assert int(cells.tree.counts.max()) > envelope.CROWDED
    x = torch.cat([torch.rand(50, 2), 100 * torch.randn(50, 2)])
    assert torch.equal(cells(x)[1], c_transform(SquaredEuclidean(), x, y, h_tilde)[1])


def test_features_of_the_atoms_are_made_once():
    calls = []
    features = nn.Linear(4, 20)
    features.register_forward_hook(lambda *_: calls.append(len(_[2])))
    cost = FeatureCost(features, SquaredEuclidean())
    cells = LaguerreCells(cost, torch.rand(500, 4), torch.rand(500))
    before = sum(calls)
    cells(torch.rand(3, 4))
    assert sum(calls) - before <= 12


def test_a_table_that_overflows_the_scores_is_named():
    y, h_tilde = torch.tensor([[0.0], [1.0]]), torch.tensor([3e38, -3e38])
    with pytest.raises(ValueError, match=r"potentials of size 3e\+38 overflow"):
        c_transform(SquaredEuclidean(), torch.tensor([[-1e19]]), y, -h_tilde.abs())
