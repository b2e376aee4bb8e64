import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ot_gen import (
    BernoulliNLL,
    Euclidean,
    FeatureCost,
    InnerProduct,
    Lp,
    SquaredEuclidean,
    c_transform,
    exact_plan,
    wasserstein,
)
from ot_gen.geometry.jets import directional

COSTS = [
    SquaredEuclidean(),
    Euclidean(),
    Lp(1.0),
    Lp(3.0),
    Lp(float("inf")),
    BernoulliNLL(),
    InnerProduct(),
    FeatureCost(nn.Sequential(nn.Linear(4, 6).double(), nn.Tanh()), SquaredEuclidean()),
]


def ids(cost):
    return str(cost).splitlines()[0]


@pytest.mark.parametrize("cost", COSTS, ids=ids)
@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 9), m=st.integers(1, 9), seed=st.integers(0, 99))
def test_the_matrix_agrees_with_the_paired_cost(cost, n, m, seed):
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.rand(size, 4, generator=generator, dtype=torch.float64) for size in (n, m))
    paired = cost(x[:, None], y[None]).reshape(n, m)
    assert torch.allclose(cost.matrix(x, y), paired, atol=1e-10)


@pytest.mark.parametrize("cost", COSTS, ids=ids)
def test_matrix_and_paired_cost_have_the_same_gradient(cost):
    x, y = (torch.rand(5, 4, dtype=torch.float64).requires_grad_() for _ in range(2))
    from_matrix = torch.autograd.grad(cost.matrix(x, y).diagonal().sum(), (x, y))
    from_pairs = torch.autograd.grad(cost(x, y).sum(), (x, y))
    for one, other in zip(from_matrix, from_pairs, strict=True):
        assert torch.allclose(one, other, atol=1e-8)


@pytest.mark.parametrize("cost", [SquaredEuclidean(), Euclidean(), Lp(1.0), Lp(4.0)], ids=ids)
def test_a_unit_step_costs_one(cost):
    assert float(cost(torch.zeros(3), torch.tensor([0.0, 1.0, 0.0]))) == 1.0


@pytest.mark.parametrize("cost", [c for c in COSTS if c.is_metric], ids=ids)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999))
def test_metrics_satisfy_the_axioms(cost, seed):
    x, y, z = torch.randn(3, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert float(cost(x, x)) == 0
    assert torch.isclose(cost(x, y), cost(y, x))
    assert float(cost(x, z)) <= float(cost(x, y) + cost(y, z)) + 1e-12


def test_only_distances_are_called_metrics():
    assert [c.is_metric for c in COSTS] == [False, True, True, True, True, False, False, False]


@pytest.mark.parametrize("face", ["paired", "matrix"])
def test_the_gradient_of_the_distance_at_equal_points_is_zero(face):
    x = torch.ones(3, 2, requires_grad=True)
    value = Euclidean()(x, torch.ones(3, 2)) if face == "paired" else Euclidean().matrix(x, torch.ones(3, 2))
    value.sum().backward()
    assert torch.equal(x.grad, torch.zeros(3, 2))


def test_squared_distances_far_from_the_origin_keep_their_accuracy_in_float32():
    x, y = 1000 + torch.rand(50, 2), 1000 + torch.rand(60, 2)
    exact = (x.double()[:, None] - y.double()[None]).square().sum(-1)
    C = SquaredEuclidean().matrix(x, y)
    assert float(C.min()) >= 0
    assert float((C - exact).abs().max()) < 1e-5


def bilinear_matrix(cost, x, y):
    form = cost.bilinear(y)
    (u, r), (v, s) = form.left(x), form.right(y)
    return u @ v.T + r[:, None] + s


@pytest.mark.parametrize("cost", [c for c in COSTS if c.bilinear(torch.rand(2, 4).double())], ids=ids)
@pytest.mark.parametrize("offset", [0.0, 0.4])
def test_the_bilinear_form_is_the_matrix(cost, offset):
    x, y = (offset + 0.5 * torch.rand(size, 4, dtype=torch.float64) for size in (5, 3000))
    assert torch.allclose(bilinear_matrix(cost, x, y), cost.matrix(x, y), atol=1e-9)
    assert not cost.bilinear(y).nonnegative or float(cost.matrix(x, y).min()) >= 0


def test_the_bilinear_form_keeps_its_accuracy_ten_thousand_from_the_origin_in_float32():
    x, y = 1e4 + torch.rand(50, 2), 1e4 + torch.rand(2000, 2)
    exact = (x.double()[:, None] - y.double()[None]).square().sum(-1)
    assert float((bilinear_matrix(SquaredEuclidean(), x, y) - exact).abs().max()) < 1e-5


def test_bernoulli_is_torchs_binary_cross_entropy_also_at_saturated_pixels():
    x, y = torch.tensor([[0.0, 1.0, 0.3]], requires_grad=True), torch.tensor([[0.0, 0.0, 0.7]])
    cost = BernoulliNLL()
    expected = nn.functional.binary_cross_entropy(x, y, reduction="sum")
    assert torch.isclose(cost(x, y)[0], expected)
    assert torch.isclose(cost.matrix(x, y)[0, 0], expected)
    cost.matrix(x, y).sum().backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("p", [0.5, 0.0, -1.0, float("nan")])
def test_lp_below_one_is_refused(p):
    with pytest.raises(ValueError, match="p must be a number >= 1, got"):
        Lp(p)


def test_features_are_a_metric_only_over_one():
    with pytest.raises(ValueError, match="cannot be a distance"):
        FeatureCost(nn.Identity(), SquaredEuclidean(), is_metric=True)


def test_features_are_a_frozen_copy_that_stays_in_evaluation_mode():
    features = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
    cost = FeatureCost(features, SquaredEuclidean()).train()
    x, y = torch.rand(5, 4, requires_grad=True), torch.rand(5, 4)
    assert torch.equal(cost(x, y), cost(x, y))
    cost(x, y).sum().backward()
    assert x.grad is not None
    assert all(p.grad is None and not p.requires_grad for p in cost.parameters())
    assert all(p.requires_grad for p in features.parameters()) and features.training


@pytest.mark.parametrize("cost", [*COSTS[:5], InnerProduct()], ids=ids)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_whole_points_cost_what_the_same_real_points_do(cost, dtype):
    x, y = torch.tensor([[0, 250], [7, 3]], dtype=dtype), torch.tensor([[255, 1], [2, 9]], dtype=dtype)
    for face in (cost, cost.matrix):
        assert torch.equal(face(x, y), face(x.float(), y.float()))
        assert torch.equal(face(x, y.double()), face(x.double(), y.double()))
    assert torch.equal(cost.against(y)(x), cost.against(y.float())(x.float()))


@pytest.mark.parametrize("cost", [*COSTS[:5], InnerProduct()], ids=ids)
def test_costs_of_half_precision_are_computed_in_float32(cost):
    x, y = torch.full((2, 3), 300.0).half(), torch.zeros(2, 3).half()  # the squares overflow it
    for face in (cost, cost.matrix):
        assert torch.equal(face(x, y), face(x.float(), y.float())) and face(x, y).dtype == torch.float32


@pytest.mark.parametrize("cost", COSTS[:7], ids=ids)
def test_complex_points_are_refused(cost):
    x = torch.ones(2, 4, dtype=torch.complex64)
    for face in (cost, cost.matrix):
        with pytest.raises(ValueError, match=r"must be real, got .*complex64"):
            face(x, x)


def test_features_work_in_their_own_precision_for_exact_solvers_in_another():
    cost = FeatureCost(nn.Sequential(nn.Linear(2, 4), nn.Tanh()).float(), SquaredEuclidean())
    x, y = torch.randn(5, 2).float(), torch.randn(7, 2).float()
    narrow, wide = cost.matrix(x, y), cost.matrix(x.double(), y.double())
    assert wide.dtype == torch.float64 and torch.allclose(wide.float(), narrow, rtol=1e-5, atol=1e-6)
    assert cost(x.double(), x.double()).dtype == torch.float64
    assert wasserstein(x, y, cost) == pytest.approx(float(exact_plan(narrow).value), rel=1e-4)


@pytest.mark.parametrize("cost", COSTS, ids=ids)
def test_a_cost_that_says_so_has_no_negative_value_and_grows_no_faster_than_it_says(cost):
    x, other, y = (2 * torch.rand(30, 4, dtype=torch.float64) - 0.5 for _ in range(3))
    form, growth = cost.bilinear(y), cost.growth(4)
    if cost.is_nonnegative:
        assert float(cost.matrix(x, y).min()) >= 0 and (form is None or form.nonnegative)
    if growth is not None:
        apart, moved = torch.cdist(x, y), (x - other).norm(dim=1, keepdim=True)
        assert bool((cost.matrix(x, y) <= growth(apart) + 1e-9).all())
        change = (cost.matrix(x, y) - cost.matrix(other, y)).abs()
        assert bool((change <= growth(apart + moved) - growth(apart) + 1e-9).all())


@pytest.mark.parametrize("cost", [SquaredEuclidean(), Euclidean(), Lp(1.0), Lp(3.0)], ids=ids)
def test_on_the_line_the_growth_is_the_cost(cost):
    x, y = torch.randn(2, 30, 1, dtype=torch.float64)
    assert torch.allclose(cost(x, y), cost.growth(1)((x - y).abs()[:, 0]))


def far_clusters(n, m, d, dtype, gap=1e3):
    """Points within 1 of two centres that are `gap` apart, and their true distances."""
    x, y = (gap / 2 * (2.0 * (torch.arange(k) % 2) - 1)[:, None] + torch.rand(k, d) for k in (n, m))
    x, y = x.to(dtype), y.to(dtype)
    return x, y, torch.cdist(x.double(), y.double(), compute_mode="donot_use_mm_for_euclid_dist")


@pytest.mark.parametrize(
    "n, m, d", [(20, 30, 1), (20, 30, 2), (400, 700, 2), (300, 900, 5), (100, 130, 40), (40, 50, 800)]
)
@pytest.mark.parametrize("dtype, precision", [(torch.float32, 1e-3), (torch.float64, 1e-7)])
def test_distances_within_clusters_that_are_far_apart_keep_their_digits(n, m, d, dtype, precision):
    x, y, exact = far_clusters(n, m, d, dtype)
    assert float((Euclidean().matrix(x, y) / exact - 1).abs().max()) < precision
    assert float((SquaredEuclidean().matrix(x, y) / exact.square() - 1).abs().max()) < 2 * precision
    twice = torch.cat([x, x[:5]])
    assert float(Euclidean().matrix(twice, x)[n:, :5].diagonal().max()) < 1e-4


@pytest.mark.parametrize("n, m, d", [(20, 30, 2), (300, 900, 5), (100, 130, 40)])
def test_distances_within_far_clusters_have_the_derivatives_of_distances(n, m, d):
    x, y, _ = far_clusters(n, m, d, torch.float32)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(Euclidean().matrix(x, y).sum(), x)
    wide = x.detach().double().requires_grad_()
    (exact,) = torch.autograd.grad(Euclidean()(wide[:, None], y.double()).sum(), wide)
    assert torch.allclose(gradient.double(), exact, rtol=1e-2, atol=1e-2 * float(exact.abs().max()))
    squared = directional(lambda z: SquaredEuclidean().matrix(z, y), x.detach(), torch.ones(n, d))[1]
    assert torch.allclose(squared, 2 * (x.detach()[:, None] - y).sum(dim=2), rtol=1e-3, atol=1e-3 * d)


@pytest.mark.parametrize("cost", [SquaredEuclidean(), Euclidean()], ids=ids)
def test_a_c_transform_finds_the_nearest_atom_of_a_far_cluster(cost):
    x, y, exact = far_clusters(300, 900, 3, torch.float32)
    values, argmin = c_transform(cost, x, y, torch.zeros(900))
    nearest = exact.amin(dim=1)
    reached = exact.gather(1, argmin[:, None]).squeeze(1)
    assert float((reached / nearest).max()) < 1.001
    assert torch.allclose(values.double(), nearest ** (2 if isinstance(cost, SquaredEuclidean) else 1), rtol=2e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("far", [1e6, 1e8, 1e10])
@pytest.mark.parametrize(
    ("n", "m", "d"), [(1, 2, 1), (40, 3, 1), (50, 60, 2), (20, 3, 5), (900, 300, 5), (50, 900, 20)]
)
def test_one_far_atom_costs_no_digits_of_the_other_distances(n, m, d, far, dtype):
    x, y = (torch.randn(k, d, dtype=dtype, generator=torch.Generator().manual_seed(k)) for k in (n, m))
    y[-1] = far
    exact = torch.cdist(x.double(), y.double(), compute_mode="donot_use_mm_for_euclid_dist")
    assert torch.allclose(Euclidean().matrix(x, y).double(), exact, rtol=1e-4, atol=0)
    assert torch.allclose(SquaredEuclidean().matrix(x, y).double(), exact.square(), rtol=1e-4, atol=0)
    for rows in (x, x.repeat(-(-(2**17) // (n * m)), 1)):  # at once, and streamed
        value, _ = c_transform(SquaredEuclidean(), rows, y, torch.zeros(m, dtype=dtype))
        assert torch.allclose(value[:n].double(), exact.square().amin(dim=1), rtol=1e-4, atol=1e-6)
    both = x[:1] + torch.zeros(2, d, dtype=dtype)
    with_far = torch.cat([both[:1], y])
    assert float(c_transform(SquaredEuclidean(), both[1:], with_far, torch.zeros(m + 1, dtype=dtype))[0]) == 0


def test_two_far_groups_keep_their_distances_where_no_centre_is_near_both():
    x = torch.tensor([[1e8, 0.0, 0.0, 0.0], [0.25, 0.0, 0.0, 0.0]], dtype=torch.float64).repeat(400, 1)
    y = torch.tensor([[1e8, 3.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64).repeat(300, 1)
    C = Euclidean().matrix(x, y)
    assert torch.allclose(C[0, 0], torch.tensor(3.0).double(), rtol=1e-12)
    assert torch.allclose(C[1, 1], torch.tensor(0.25).double(), rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e-15, 1.0, 1e5, 1e15])
@pytest.mark.parametrize("p", [1.5, 3.0, 8.0, 100.0, 1000.0, 1e5, 1e300])
def test_powers_of_distances_neither_underflow_nor_overflow(p, size, dtype):
    x, y = (size * torch.randn(k, 4, dtype=dtype, generator=torch.Generator().manual_seed(k)) for k in (20, 30))
    y[0] = x[0]
    difference = (x[:, None] - y).abs().double()
    largest = difference.amax(dim=2).clamp_min(1e-300)
    exact = largest * (difference / largest[..., None]).pow(p).sum(dim=2).pow(1 / p)
    for distances in (Lp(p).matrix(x, y), Lp(p)(x[:, None], y)):
        assert torch.allclose(distances.double(), exact, rtol=1e-5, atol=0)


def test_lp_tends_to_the_maximum_and_its_derivatives_stay_finite():
    x, y = torch.tensor([[1e5, 0.0]], requires_grad=True), torch.zeros(1, 2)
    for p in (8.0, 100.0, 1000.0, 1e300):
        for distance in (Lp(p)(x, y), Lp(p).matrix(x, y)):
            (slope,) = torch.autograd.grad(distance.sum(), x)
            assert float(distance.detach()) == pytest.approx(1e5) and torch.equal(slope, torch.tensor([[1.0, 0.0]]))
