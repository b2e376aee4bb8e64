"""Labelled rows (x, k): their samples, costs, plans and pairings."""

from functools import partial

import pytest
import torch
from problems_by_label import CLASSES, data, model, rows
from torch import nn

from ot_gen import (
    DebiasedPlanCoupling,
    Empirical,
    Euclidean,
    IndependentPairing,
    LabelCost,
    Labelled,
    LabelledData,
    LabelPairing,
    PlanPairing,
    Pushforward,
    SquaredEuclidean,
    TablePairing,
    c_transform,
    exact_plan,
    labelled,
    plan_by_blocks,
    sinkhorn_plan,
    standard_gaussian,
    unlabelled,
)
from ot_gen.measures import alike, joint

PLANS = {"exact": exact_plan, "entropic": partial(sinkhorn_plan, epsilon=0.5, tol=1e-8)}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def test_rows_are_points_and_their_classes():
    x, labels = torch.randn(5, 2), torch.tensor([0, 2, 1, 9, 3])
    again = unlabelled(labelled(x, labels))
    assert torch.equal(again[0], x) and torch.equal(again[1], labels)


@pytest.mark.parametrize("n", [7, 60, 200])
def test_a_sample_gives_each_class_its_share_to_less_than_one(n):
    nu = data()
    counts = torch.bincount(unlabelled(nu.sample(n))[1], minlength=CLASSES)
    assert counts.sum() == n
    assert float((counts - n * nu.shares).abs().max()) < 1 + 1e-4


def test_rows_of_a_class_are_atoms_of_that_class_in_their_masses():
    atoms, labels = torch.arange(6.0)[:, None], torch.tensor([0, 1, 0, 1, 1, 0])
    weights = torch.tensor([0.3, 0.05, 0.1, 0.15, 0.3, 0.1])
    nu = LabelledData(Empirical(atoms, weights), labels)
    assert nu.shares.tolist() == pytest.approx([0.5, 0.5])
    y, of = unlabelled(nu.sample(20000))
    assert torch.equal(of, labels[y[:, 0].long()])
    masses = torch.bincount(y[:, 0].long(), minlength=6) / 20000
    assert float((masses - weights).abs().max()) < 0.02


@pytest.mark.parametrize("labels", [[0, 0, 2, 2], [0, 0, 0, 1], [0, 1], [-1, -1, 0, 0]])
def test_classes_without_two_atoms_are_refused(labels):
    with pytest.raises(ValueError, match=r"labels must|needs two"):
        LabelledData(Empirical(torch.randn(4, 2)), torch.tensor(labels))


def test_a_class_without_mass_or_beyond_the_dtype_is_refused():
    weights = torch.tensor([0.5, 0.5, 0.0, 0.0])
    with pytest.raises(ValueError, match="class 1 have no mass"):
        LabelledData(Empirical(torch.randn(4, 2), weights), torch.tensor([0, 0, 1, 1]))
    with pytest.raises(ValueError, match="does not hold the classes"):
        labelled(torch.zeros(2, 1, dtype=torch.bfloat16), torch.tensor([0, 257]))
    with pytest.raises(ValueError, match="classes 0 to 2, got 3"):
        data().part(3)
    assert torch.equal(data().given(1).sample(4)[:, -1], torch.ones(4))


def test_the_model_and_the_data_share_the_classes_of_a_batch_and_nothing_else():
    nu = data()
    x, y = joint(model(nu), nu, 40)
    assert torch.equal(x[:, -1], y[:, -1]) and x.requires_grad
    again = alike(nu, y)
    assert torch.equal(again[:, -1], y[:, -1]) and not torch.equal(again, y)


def test_without_classes_samples_are_drawn_as_ever():
    mu, nu = Pushforward(nn.Linear(2, 2), standard_gaussian(2)), Empirical(torch.randn(9, 2))
    torch.manual_seed(3)
    x, y = joint(mu, nu, 5)
    torch.manual_seed(3)
    assert torch.equal(x, mu.rsample(5)) and torch.equal(y, nu.sample(5))


def test_a_class_of_a_model_is_what_its_rows_say():
    mu = model(data()).in_own_units()
    of_class = mu.given(2)
    torch.manual_seed(1)
    x = of_class.sample(6)
    torch.manual_seed(1)
    assert torch.equal(x, mu(of_class.base.sample(6))) and x.shape == (6, 2)
    assert torch.equal(of_class.base.sample(50)[:, -1], torch.full((50,), 2.0))
    assert mu.rsample_given(torch.tensor([0, 0, 2, 1])).shape == (4, 2)


def test_laws_of_several_classes_keep_the_order_of_the_labels():
    parts = [Pushforward(nn.Identity(), standard_gaussian(1)), Pushforward(nn.Flatten(), standard_gaussian(1))]
    zeta = Labelled(parts, torch.tensor([0.5, 0.5]))
    labels = torch.tensor([1, 0, 0, 1, 1])
    assert torch.equal(zeta.rsample_given(labels)[:, -1].long(), labels)


def test_the_cube_covers_the_classes():
    zeta = Labelled(standard_gaussian(2), torch.tensor([0.25, 0.75]))
    u = torch.rand(4000, 3).clamp(1e-6, 1 - 1e-6)
    points = zeta.from_cube(u)
    assert torch.equal(points[:, :2], standard_gaussian(2).from_cube(u[:, :2]))
    assert float(points[:, 2].mean()) == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("cost", [SquaredEuclidean(), Euclidean()], ids=str)
@pytest.mark.parametrize("weight", [2.0, float("inf")])
def test_the_faces_of_a_cost_with_classes_agree(cost, weight):
    x, y = rows(8), rows(8)
    c = LabelCost(cost, weight)
    C = c.matrix(x, y)
    assert torch.allclose(c(x, y), C.diagonal(), atol=1e-5)
    same = x[:, -1:] == y[:, -1]
    assert torch.allclose(C[same], cost.matrix(x[:, :2], y[:, :2])[same])
    assert bool((C[~same] >= weight).all())
    of_one = y.clone()
    of_one[:, -1] = 1
    if (form := c.bilinear(of_one)) is not None:
        (u, r), (v, s) = form.left(x), form.right(of_one)
        assert torch.allclose(u @ v.T + r[:, None] + s, c.matrix(x, of_one), atol=1e-4)


@pytest.mark.parametrize("name", PLANS)
def test_plans_never_mix_classes_and_are_those_of_the_classes(name):
    labels = torch.tensor([0, 1, 1, 2, 0, 2, 2, 1])
    x, y = torch.randn(8, 2), torch.randn(8, 2)
    plan = plan_by_blocks(PLANS[name], LabelCost(SquaredEuclidean()).matrix(labelled(x, labels), labelled(y, labels)))
    P = plan.matrix
    assert bool((P[labels[:, None] != labels] == 0).all())
    for side in (P.sum(0), P.sum(1), *plan.marginals):
        assert torch.allclose(side, torch.full((8,), 1 / 8), atol=1e-6)
    parts = [PLANS[name](SquaredEuclidean().matrix(x[labels == k], y[labels == k])) for k in range(3)]
    values = torch.stack([part.value for part in parts])
    assert float(plan.value) == pytest.approx(float(torch.bincount(labels) / 8 @ values), rel=1e-5)
    assert float(plan.dual_value) <= float(plan.value + plan.penalty) + 1e-5
    assert float(plan.dual_value) == pytest.approx(float(plan.value + plan.penalty), abs=1e-3)
    assert plan.bound == "upper"


def test_the_block_plan_is_the_plan_of_a_cost_that_is_large_between_classes():
    labels = torch.arange(12) % 3
    x, y = (labelled(torch.randn(12, 2), labels) for _ in range(2))
    blocks = plan_by_blocks(exact_plan, LabelCost(SquaredEuclidean()).matrix(x, y))
    whole = exact_plan(LabelCost(SquaredEuclidean(), 1e4).matrix(x, y))
    assert torch.allclose(blocks.matrix, whole.matrix)
    assert float(blocks.value) == pytest.approx(float(whole.value), rel=1e-5)


@pytest.mark.parametrize("name", PLANS)
def test_the_gradient_of_a_block_plan_is_that_of_its_matrix(name):
    labels = torch.arange(9) % 3
    x, y = labelled(torch.randn(9, 2), labels).requires_grad_(), labelled(torch.randn(9, 2), labels)
    cost = LabelCost(SquaredEuclidean())
    plan = plan_by_blocks(PLANS[name], cost.matrix(x, y))
    gradient = torch.autograd.grad(plan.cost_of(cost, x, y), x)[0]
    direct = (plan.matrix * SquaredEuclidean().matrix(x[:, :2], y[:, :2])).sum()
    assert torch.allclose(gradient, torch.autograd.grad(direct, x)[0], atol=1e-5)
    assert bool((gradient[:, 2] == 0).all())
    assert torch.allclose(plan.barycentric(y)[:, 2], labels.float(), atol=1e-5)


def test_what_forms_no_blocks_is_refused():
    inf = float("inf")
    with pytest.raises(ValueError, match="form no blocks"):
        plan_by_blocks(exact_plan, torch.tensor([[0.0, inf], [0.0, 0.0]]))
    with pytest.raises(ValueError, match="masses differ"):
        plan_by_blocks(exact_plan, torch.tensor([[0.0, inf, inf], [0.0, inf, inf], [inf, 0.0, 0.0]]))


def test_the_debiased_value_of_classes_vanishes_at_equality():
    nu, coupling = data(200), DebiasedPlanCoupling(exact_plan)
    values = torch.tensor([float(coupling(nu, nu, LabelCost(SquaredEuclidean()), 12).value) for _ in range(25)])
    assert abs(float(values.mean())) < 3 * float(values.std()) / 5 + 0.02


def test_one_table_for_each_class_is_the_table_of_all():
    nu, zeta = data(30), Labelled(standard_gaussian(2), torch.ones(CLASSES) / CLASSES)
    cost, pairing = LabelCost(SquaredEuclidean()), LabelPairing(TablePairing(tol=0.2), CLASSES)
    pairing.bind(zeta, nu, cost)
    assert not pairing.is_settled and pairing.bracket is None
    pairing.settle(zeta, nu, cost, None, None)
    z, y = pairing(zeta, nu, cost, 64)
    assert torch.equal(z[:, -1], y[:, -1])
    atoms = torch.cat([labelled(nu.part(k).atoms, torch.full((len(nu.part(k)),), k)) for k in range(CLASSES)])
    table = torch.cat([part.h_tilde for part in pairing.parts])
    assert torch.equal(atoms[c_transform(cost, z, atoms, table)[1]], y)
    lower = torch.tensor([part.bracket.lower for part in pairing.parts])
    assert pairing.bracket.lower == pytest.approx(float(nu.shares @ lower))


@pytest.mark.parametrize("pairing", [IndependentPairing(), PlanPairing(exact_plan, 8)], ids=lambda p: type(p).__name__)
def test_pairs_are_of_one_class_in_the_shares_of_the_data(pairing):
    nu = data()
    pairs = LabelPairing(pairing, CLASSES)
    zeta, cost = Labelled(standard_gaussian(2), nu.shares), LabelCost(SquaredEuclidean())
    pairs.bind(zeta, nu, cost)
    for _ in range(3):
        z, y = pairs(zeta, nu, cost, 30)
        assert torch.equal(z[:, -1], y[:, -1])
        assert float((torch.bincount(y[:, -1].long()) - 30 * nu.shares).abs().max()) < 1 + 1e-4
