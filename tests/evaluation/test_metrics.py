"""Metrics have the values that theory gives them, whatever the form of their arguments."""

import math

import numpy as np
import ot
import pytest
import torch
from problems import bures
from scipy.spatial import cKDTree
from scipy.stats import energy_distance
from sklearn.neighbors import NearestNeighbors

from ot_gen import Euclidean, SquaredEuclidean, data, sinkhorn_plan
from ot_gen.evaluation import (
    ClassError,
    Components,
    Coverage,
    CubicKernel,
    Density,
    EnergyKernel,
    ExactTransport,
    FrechetDistance,
    GaussianScales,
    MeanDiscrepancy,
    Memorisation,
    ModeCoverage,
    Precision,
    Recall,
    SinkhornDistance,
    SlicedTransport,
)

POINTS = {  # metrics of points, and whether exchanging the samples changes nothing
    "w1": (ExactTransport(Euclidean()), True),
    "w2_squared": (ExactTransport(SquaredEuclidean()), True),
    "sinkhorn": (SinkhornDistance(0.5), True),
    "sliced": (SlicedTransport(50), True),
    "mmd": (MeanDiscrepancy(GaussianScales(2.0)), True),
    "energy": (MeanDiscrepancy(EnergyKernel()), True),
    "kernel": (MeanDiscrepancy(CubicKernel()), True),
    "frechet": (FrechetDistance(), True),
    "precision": (Precision(), False),
    "recall": (Recall(), False),
    "density": (Density(), False),
    "coverage": (Coverage(), False),
}
METRICS = {name: metric for name, (metric, _) in POINTS.items()}
TRANSLATION_INVARIANT = METRICS.keys() - {"kernel"}
ROTATION_INVARIANT = METRICS.keys() - {"sliced"}


def clouds(n=60, d=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return 0.7 * x + 0.4, torch.randn(n, d, generator=generator, dtype=torch.float64)


# --- closed forms and independent implementations --------------------------------------------------------------------


def test_exact_transport_is_pots():
    x, y = clouds()
    for cost, name in ((Euclidean(), "euclidean"), (SquaredEuclidean(), "sqeuclidean")):
        expected = ot.emd2([], [], ot.dist(x.numpy(), y.numpy(), name))
        assert ExactTransport(cost)(x, y) == pytest.approx(float(expected), rel=1e-9)


def test_the_sinkhorn_distance_is_three_entropic_problems():
    x, y = clouds()
    epsilon = 0.5

    def entropic(u, v):
        plan = sinkhorn_plan(SquaredEuclidean().matrix(u, v), epsilon=epsilon, tol=1e-9)
        return float(plan.value + plan.penalty)

    expected = entropic(x, y) - (entropic(x, x) + entropic(y, y)) / 2
    assert SinkhornDistance(epsilon)(x, y) == pytest.approx(expected, rel=1e-3)


def test_the_sliced_distance_is_pots_on_the_same_directions():
    x, y = clouds()
    generator = torch.Generator().manual_seed(3)
    u = torch.nn.functional.normalize(torch.randn(64, 3, generator=generator, dtype=torch.float64), dim=1)
    expected = ot.sliced_wasserstein_distance(x.numpy(), y.numpy(), projections=u.T.numpy())
    assert SlicedTransport(64, seed=3)(x, y) == pytest.approx(float(expected), rel=1e-9)


def test_the_potentials_of_a_line_are_optimal():
    x, y = clouds(d=1)
    line, plane = SlicedTransport(2).estimate(x, y), ExactTransport(SquaredEuclidean()).estimate(x, y)
    assert line.value**2 == pytest.approx(plane.value, rel=1e-9)
    assert 2 * line.value * line.se == pytest.approx(plane.se, rel=0.15)  # potentials are unique up to order 1/n


def test_the_frechet_distance_is_that_of_scipys_roots():
    x, y = clouds(d=5)
    expected = bures(*(f(z) for z in (x.numpy(), y.numpy()) for f in (lambda z: z.mean(0), lambda z: np.cov(z.T))))
    assert FrechetDistance()(x, y) == pytest.approx(expected, rel=1e-9)


def test_the_frechet_distance_of_scaled_axes_is_gelbrichs():
    x, _ = clouds(500, 4)
    x = (x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T)).T)  # moments 0 and I
    scale = torch.tensor([1.0, 2.0, 0.5, 3.0], dtype=torch.float64)
    expected = 4 * 2.0**2 + (scale - 1).square().sum()
    assert FrechetDistance()(x, x * scale + 2.0) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize(("n", "m", "d"), [(12, 9, 3), (7, 40, 5), (9, 8, 8), (2, 2, 2)])
def test_the_frechet_distance_needs_no_covariance_where_points_are_few(n, m, d):
    """In a larger space the same samples are measured by the (n, m) products of their points, not by d x d roots."""
    x, y = clouds(n, d)[0], 2 * clouds(m, d, 1)[1] + 0.3
    axes = torch.linalg.qr(clouds(60, 60, 2)[0]).Q[:d]
    small, large = FrechetDistance().estimate(x, y), FrechetDistance().estimate(x @ axes, y @ axes)
    assert large.value == pytest.approx(small.value, rel=1e-6)  # roots of null directions are right to 1e-8
    assert large.se == pytest.approx(small.se, rel=1e-6)


def test_the_frechet_distance_knows_what_to_do_with_flat_samples():
    x, y = clouds(40, 2)
    flat = torch.nn.functional.pad(x, (0, 60)), torch.nn.functional.pad(y, (0, 60))  # 62 dimensions, rank 2
    assert FrechetDistance()(*flat) == pytest.approx(FrechetDistance()(x, y), rel=1e-6)
    assert FrechetDistance().estimate(*flat).se == pytest.approx(FrechetDistance().estimate(x, y).se, rel=1e-6)
    assert FrechetDistance()(torch.zeros(5, 3), torch.ones(5, 3)) == pytest.approx(3)


def test_the_energy_distance_is_scipys_up_to_the_diagonal():
    x, y = clouds(d=1)
    n = len(x)
    biased = energy_distance(x[:, 0].numpy(), y[:, 0].numpy()) ** 2
    within = sum(float(torch.cdist(z, z).mean()) for z in (x, y))
    expected = biased + within - within * n / (n - 1)  # SciPy's V-statistic counts the zeros on the diagonal
    assert MeanDiscrepancy(EnergyKernel())(x, y) == pytest.approx(expected, rel=1e-9)


def test_a_mean_discrepancy_is_its_definition():
    x, y = clouds(12)
    x = x[:9]
    for kernel in (GaussianScales(2.0), CubicKernel()):

        def k(u, v, kernel=kernel):
            return kernel(u[None], v[None]).item()

        within = [sum(k(u, v) for u in z for v in z if u is not v) for z in (list(x), list(y))]
        across = sum(k(u, v) for u in x for v in y)
        expected = within[0] / (9 * 8) + within[1] / (12 * 11) - 2 * across / (9 * 12)
        assert MeanDiscrepancy(kernel)(x, y) == pytest.approx(expected, rel=1e-9)


def test_the_discrepancies_of_two_atoms():
    x, y = torch.zeros(4, 2), torch.tensor([[3.0, 4.0]]).expand(6, 2)
    assert MeanDiscrepancy(EnergyKernel())(x, y) == pytest.approx(10)
    assert MeanDiscrepancy(GaussianScales(1.0, (1.0,)))(x, y) == pytest.approx(2 - 2 * math.exp(-12.5))
    assert MeanDiscrepancy(CubicKernel())(x, y) == pytest.approx(1 + 13.5**3 - 2)


def test_neighbour_shares_are_those_of_scikit_learns_neighbours():
    fake, real = clouds(70)
    fake = fake[:50]
    k = 3

    def radii(z):
        return NearestNeighbors(n_neighbors=k + 1).fit(z).kneighbors(z)[0][:, k]

    d, of_fake, of_real = torch.cdist(fake, real).numpy(), radii(fake.numpy()), radii(real.numpy())
    assert Precision(k)(fake, real) == pytest.approx((d <= of_real).any(1).mean())
    assert Recall(k)(fake, real) == pytest.approx((d <= of_fake[:, None]).any(0).mean())
    assert Density(k)(fake, real) == pytest.approx((d <= of_real).sum() / (k * len(fake)))
    assert Coverage(k)(fake, real) == pytest.approx((d.min(0) <= of_real).mean())


def test_precision_forgives_a_single_point_and_coverage_does_not():
    _, real = clouds(200)
    collapsed = real.mean(0).expand(200, 3)
    assert Precision()(collapsed, real) == 1
    assert Recall()(collapsed, real) < 0.01
    assert Coverage()(collapsed, real) < 0.2


def test_coverage_of_equal_laws_is_one_minus_two_to_the_minus_k():
    values = [Coverage(2)(*(torch.randn(400, 2) for _ in range(2))) for _ in range(10)]
    assert np.mean(values) == pytest.approx(1 - 2**-2, abs=0.02)


def test_the_memorisation_ratio_is_that_of_a_search_tree():
    x, y = clouds(80)
    train, _ = clouds(300, seed=1)
    distances = [cKDTree(train.numpy()).query(z.numpy())[0].mean() for z in (x, y)]
    assert Memorisation()(x, y, train) == pytest.approx(distances[0] / distances[1], rel=1e-6)


def test_memorisation_flags_copies_and_near_copies_and_clears_new_samples():
    train, test, fresh = (torch.randn(n, 5) for n in (1000, 200, 200))
    copies = train[:200]
    assert Memorisation()(copies, test, train) == 0
    assert Memorisation()(copies + 0.01 * torch.randn(200, 5), test, train) < 0.1
    clear = Memorisation().estimate(fresh, test, train)
    assert abs(clear.value - 1) < 3 * clear.se < 0.3


def test_memorisation_does_not_depend_on_how_the_training_set_is_read(monkeypatch):
    x, y = clouds(40)
    train, _ = clouds(100, seed=1)
    whole = Memorisation()(x, y, train)
    monkeypatch.setattr("ot_gen.evaluation.neighbours.CHUNK", 200)
    assert Memorisation()(x, y, train) == whole


def test_the_class_error_is_total_variation():
    labels = torch.arange(10).repeat(4)
    assert ClassError()(labels, labels.flip(0)) == 0
    assert ClassError()(labels % 5, labels) == pytest.approx(0.5)
    assert ClassError()(torch.full((40,), -1), labels) == pytest.approx(1)


def test_mode_coverage_counts_the_classes_that_get_their_share():
    real = torch.arange(4).repeat(100)
    fake = torch.repeat_interleave(torch.arange(4), torch.tensor([300, 50, 26, 24]))
    assert ModeCoverage(0.25)(fake, real) == 0.75  # a quarter of a quarter of 400 is 25
    assert ModeCoverage(0.2)(fake, real) == 1
    assert ModeCoverage()(torch.full((40,), -1), real) == 0


def test_components_are_the_labels_of_the_law_and_stray_points_belong_to_none():
    law = data.eight_gaussians()
    toy = data.toy(law, size=500)
    found = Components(law)(toy.train.atoms)
    assert bool((found == toy.train_labels).double().mean() > 0.99)
    assert int(Components(law)(torch.zeros(1, 2))) == -1
    centres = law.law.component_distribution.mean
    assert Components(law)(centres).tolist() == list(range(8))
    assert Components(law)(centres + torch.tensor([0.1 * 4.1, 0.0])).tolist() == [-1] * 8
    moons = data.toy(data.two_moons(), size=100)
    assert torch.equal(Components(data.two_moons())(moons.train.atoms), moons.train_labels)
    with pytest.raises(ValueError, match="no parts"):
        Components(data.swiss_roll())


# --- invariances -----------------------------------------------------------------------------------------------------


def same(a, b, se=2e-3):
    assert a.value == pytest.approx(b.value, rel=1e-3, abs=1e-9)
    assert a.se == pytest.approx(b.se, rel=se, abs=1e-7)


@pytest.mark.parametrize("name", METRICS)
def test_arrays_tensors_and_graphs_are_one(name):
    x, y = clouds()
    metric = METRICS[name]
    expected = metric.estimate(x, y)
    same(metric.estimate(x.numpy(), y.numpy()), expected)
    same(metric.estimate(x.clone().requires_grad_(), y), expected)
    assert metric(x, y) == expected.value


@pytest.mark.parametrize("name", METRICS)
def test_the_global_random_state_is_neither_read_nor_written(name):
    x, y = clouds()
    before = torch.get_rng_state()
    first = METRICS[name].estimate(x, y)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(1)
    assert METRICS[name].estimate(x, y) == first


@pytest.mark.parametrize("name", METRICS)
def test_the_order_of_the_points_is_nothing(name):
    x, y = clouds()
    found = METRICS[name].estimate(x.flip(0), y.roll(7, 0))
    assert found.value == pytest.approx(METRICS[name](x, y), rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("name", sorted(TRANSLATION_INVARIANT))
def test_a_translation_of_both_samples_changes_nothing(name):
    x, y = clouds()
    same(METRICS[name].estimate(x + 5.0, y + 5.0), METRICS[name].estimate(x, y))


@pytest.mark.parametrize("name", sorted(ROTATION_INVARIANT))
def test_a_rotation_of_both_samples_changes_nothing(name):
    x, y = clouds()
    Q = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    same(METRICS[name].estimate(x @ Q, y @ Q), METRICS[name].estimate(x, y))


@pytest.mark.parametrize("name", [name for name, (_, symmetric) in POINTS.items() if symmetric])
def test_distances_are_symmetric_and_zero_between_equal_samples(name):
    x, y = clouds()
    same(
        METRICS[name].estimate(x, y), METRICS[name].estimate(y, x), se=0.1
    )  # finite problems leave potentials some room
    if not isinstance(METRICS[name], MeanDiscrepancy):  # a U-statistic is 0 in the mean only
        assert METRICS[name](x, x) == pytest.approx(0, abs=1e-6)
    assert METRICS[name](x + 9.0, y) > 4 * abs(METRICS[name](x, y))


def test_precision_and_recall_are_one_another_exchanged():
    x, y = clouds()
    same(Precision().estimate(x, y), Recall().estimate(y, x))


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (torch.zeros(9, 2, 2), torch.zeros(9, 4), r"\(n, d\).*flatten"),
        (torch.zeros(9, 2), torch.zeros(9, 3), "same dimension"),
        (torch.full((9, 2), torch.nan), torch.zeros(9, 2), "model's samples hold NaN"),
        (torch.zeros(9, 2), torch.full((9, 2), torch.inf), "real samples hold NaN or Inf"),
        (torch.zeros(1, 2), torch.zeros(9, 2), "at least"),
    ],
)
def test_what_is_no_pair_of_samples_is_named(name, x, y, words):
    with pytest.raises(ValueError, match=words):
        METRICS[name](x, y)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SinkhornDistance(0.0), "epsilon must be a number > 0"),
        (lambda: SlicedTransport(1), "directions must be a whole number"),
        (lambda: SlicedTransport()(torch.rand(5, 2), torch.rand(6, 2)), "one size"),
        (lambda: GaussianScales(0.0), "variance must be a number > 0"),
        (lambda: GaussianScales(1.0, ()), "positive scales"),
        (lambda: Precision(0), "k must be a whole number >= 1"),
        (lambda: Precision()(torch.rand(6, 2), torch.rand(50, 2)), "at least 8"),
        (lambda: ModeCoverage(0.0), r"\(0, 1\]"),
        (lambda: ModeCoverage()(torch.zeros(3).long(), -torch.ones(3).long()), "no real sample"),
        (lambda: ClassError()(torch.rand(3), torch.zeros(3).long()), "whole numbers"),
        (lambda: ClassError()(torch.zeros(3).long() - 2, torch.zeros(3).long()), "whole numbers"),
        (lambda: ClassError()(torch.zeros(1).long(), torch.zeros(3).long()), "two samples"),
        (lambda: Components(data.eight_gaussians(), reach=0.0), "reach"),
        (lambda: Memorisation()(torch.rand(3, 2), torch.ones(3, 2), torch.ones(4, 2)), "hold out others"),
    ],
)
def test_bad_arguments_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
