"""Networks, divergences, potentials, priors and trainings that know the class of their points."""

import copy
import pickle
from functools import partial

import pytest
import torch
from entries import entries
from problems_by_label import CLASSES, data, model, rows
from torch import nn

import ot_gen
from ot_gen import (
    KL,
    MLP,
    MMD,
    AnchorCritic,
    ByLabel,
    Conditional,
    ConvFeatures,
    Critic,
    DebiasedPlanCoupling,
    DenseVelocity,
    Dirac,
    DiracEncoder,
    DiscretePotential,
    DualSolver,
    Empirical,
    EncoderCoupling,
    Euclidean,
    FlowMap,
    GaussianEncoder,
    GradientPenalty,
    IndependentPairing,
    InverseMultiquadric,
    Labelled,
    LabelledData,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    ResNetFeatures,
    SquaredEuclidean,
    TablePairing,
    VelocityRegression,
    WithLabel,
    by_label,
    exact_plan,
    fit,
    labelled,
    load_weights,
    standard_gaussian,
    with_classes,
)
from ot_gen.measures import LabelledLaw, undisturbed
from ot_gen.priors import ex_post_prior, flow_prior, load_prior, save_prior, semidiscrete_prior
from ot_gen.priors.by_label import fitted_by_label

NETS = {"dense": MLP(784, 3, (8,)), "convolutional": ConvFeatures((1, 28, 28), 4), "linear": nn.Linear(784, 3)}
NETS["residual"] = ResNetFeatures((1, 28, 28), 4)
SOLVERS = {
    "plan": lambda: PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan)),
    "debiased": lambda: PrimalSolver(SquaredEuclidean(), DebiasedPlanCoupling(exact_plan)),
    "encoder": lambda: PrimalSolver(SquaredEuclidean(), EncoderCoupling(GaussianEncoder(MLP(2, 4, (8,))), KL(), 0.1)),
    "table": lambda: DualSolver(SquaredEuclidean(), DiscretePotential(), inner_steps=1),
    "critic": lambda: DualSolver(Euclidean(), Critic(MLP(2, 1, (8,)), GradientPenalty(1.0)), inner_steps=2),
    "flow": lambda: PrimalSolver(SquaredEuclidean(), VelocityRegression(TablePairing(tol=0.5))),
}
PRIORS = {
    "mixture": partial(ex_post_prior, components=4),
    "flow": partial(flow_prior, pairing=IndependentPairing(), steps=3, width=8),
    "cells": partial(semidiscrete_prior, mix=2),
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def test_a_first_layer_that_knows_the_class_sees_it_as_one_hot_columns():
    layer = nn.Linear(2, 4)
    told = Conditional(layer, CLASSES)
    x = rows(6)
    columns = torch.cat([x[:, :2], nn.functional.one_hot(x[:, 2].long(), CLASSES)], dim=1)
    weight = torch.cat([layer.weight, told.biases[0].weight.T], dim=1)
    assert torch.allclose(told(x), columns @ weight.T + layer.bias, atol=1e-6)


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_networks_that_know_the_class_are_maps_of_rows_without_a_slope_in_it(net):
    told = Conditional(net, CLASSES)
    x = rows(5, 784).requires_grad_()
    plain, out = net(x[:, :-1]), told(x)
    assert torch.allclose(torch.cat([told(x[i : i + 1]) for i in range(5)]), out, atol=1e-5)
    assert bool((torch.autograd.grad(out.sum(), x)[0][:, -1] == 0).all())
    other = x.detach().clone()
    other[:, -1] = (other[:, -1] + 1) % CLASSES
    assert not torch.allclose(told(other), out)
    for again in (copy.deepcopy(told), pickle.loads(pickle.dumps(told))):
        assert torch.equal(again(x), out)
    with pytest.raises(ValueError, match="classes 0 to 2"):
        told(labelled(torch.zeros(1, 784), torch.tensor([3])))
    assert torch.equal(net(x[:, :-1]), plain)  # by itself it is what it was


def test_a_network_without_layers_knows_no_classes():
    with pytest.raises(ValueError, match="no linear and no convolutional layer"):
        Conditional(nn.Identity(), 3)


def test_a_divergence_of_classes_is_that_of_each():
    zeta = Labelled(standard_gaussian(2), torch.ones(2) / 2)
    law = GaussianEncoder(nn.Linear(3, 4))(torch.randn(8, 3))
    labels = torch.tensor([0.0, 1, 1, 0, 1, 1, 0, 1])
    assert torch.equal(ByLabel(KL())(LabelledLaw(law, labels), zeta), KL()(law, standard_gaussian(2)))
    codes, mmd = torch.randn(8, 2), MMD(InverseMultiquadric())
    torch.manual_seed(5)
    value = ByLabel(mmd)(LabelledLaw(Dirac(codes), labels), zeta)
    torch.manual_seed(5)
    terms = [(labels == k).sum() / 8 * mmd(Dirac(codes[labels == k]), standard_gaussian(2)) for k in (0, 1)]
    assert torch.allclose(value, torch.stack(terms).sum())


def test_a_divergence_sees_classes_that_only_together_have_the_law_of_the_reference():
    z = torch.randn(512, 1)
    q = LabelledLaw(Dirac(z), (z[:, 0] > 0).float())  # the class can be read off the code
    mmd = MMD(InverseMultiquadric())
    value = ByLabel(mmd)(q, Labelled(standard_gaussian(1), torch.ones(2) / 2))
    assert float(mmd(q.law, standard_gaussian(1))) < 0.02 < float(value)


def test_codes_that_are_alone_in_their_class_are_compared_together():
    q = LabelledLaw(Dirac(5 + torch.randn(6, 2)), torch.arange(6.0))
    assert float(ByLabel(MMD(InverseMultiquadric()))(q, Labelled(standard_gaussian(2), torch.ones(6) / 6))) > 0.5


@pytest.mark.parametrize("potential", [DiscretePotential(), AnchorCritic(8, flat_dim=0)], ids=["table", "anchors"])
def test_a_potential_of_classes_is_a_potential_for_each(potential):
    nu = data()
    mu = model(nu)
    solver = by_label(DualSolver(Euclidean(), potential, inner_steps=1), CLASSES)
    solver.prepare(mu, nu)
    h = solver.potential.eval()
    x = mu.sample(20)
    for k in range(CLASSES):
        of_class = x[:, -1] == k
        assert torch.allclose(h(x)[of_class], h.parts[k](x[of_class, :2]))
    assert h.bound == "lower" and h.kind == potential.kind


def test_the_value_of_tables_of_classes_bounds_the_cost_from_below():
    nu = data()
    mu = model(nu).requires_grad_(False)
    solver = by_label(SOLVERS["table"](), CLASSES)
    fit(mu, nu, solver, steps=60, batch_size=120)
    x, y = mu.rsample_given(nu.labels(300)), nu
    exact = sum(
        float(p) * float(exact_plan(SquaredEuclidean().matrix(x[x[:, -1] == k, :2], y.part(k).atoms)).value)
        for k, p in enumerate(nu.shares)
    )
    h = solver.potential.eval()
    with torch.no_grad():
        value = float(
            h(x).mean() + sum(p * part.conjugate_mean(x, x) for p, part in zip(nu.shares, h.parts, strict=True))
        )
    assert 0.8 * exact < value < 1.02 * exact


def test_a_model_without_classes_is_refused():
    with pytest.raises(ValueError, match="no classes"):
        fit(Pushforward(MLP(3, 3), standard_gaussian(3)), data(), by_label(SOLVERS["plan"](), 3), steps=1, batch_size=6)
    with pytest.raises(ValueError, match="the model has 3 and the data 2"):
        by_label(SOLVERS["plan"](), 3).prepare(model(data()), data(classes=2))
    for name in ("plan", "table"):
        with pytest.raises(ValueError, match="make it by_label"):
            SOLVERS[name]().prepare(model(data()), data())
    with pytest.raises(ValueError, match="has no classes"):
        Pushforward(nn.Linear(2, 2), standard_gaussian(2)).given(1)
    with pytest.raises(ValueError, match="classes 0 to 2"):
        model(data()).given(3)
    with pytest.raises(ValueError, match="give it classes=3"):
        with_classes(FlowMap(DenseVelocity(2, 8)), 3)
    with pytest.raises(ValueError, match="told the class already"):
        with_classes(with_classes(MLP(2, 2), 3), 3)
    with pytest.raises(ValueError, match="told the class already"):
        with_classes(Conditional(MLP(2, 2), 3), 3)
    with pytest.raises(ValueError, match="told the class already"):
        by_label(DualSolver(Euclidean(), Critic(Conditional(MLP(2, 1), 3), GradientPenalty(1.0))), 3)


@pytest.mark.parametrize("name", SOLVERS)
def test_a_solver_made_for_more_classes_than_the_data_have_is_refused(name):
    nu = data(classes=2)
    with pytest.raises(ValueError, match=r"by_label\(solver, 3\), and the data have 2 classes"):
        by_label(SOLVERS[name](), 3).prepare(model(nu), nu)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_class_is_a_whole_number_to_rounding(dtype):
    net = with_classes(MLP(2, 2).to(dtype), 300)
    for wrong in (7.05, 7.5, -1.0, 300.0, float("nan")):
        with pytest.raises(ValueError, match="a whole number"):
            net(torch.tensor([[0.0, 0.0, wrong]], dtype=dtype))
    t, k = torch.rand(50, dtype=dtype), torch.arange(250, 300, dtype=dtype)
    between = labelled(torch.zeros(50, 2, dtype=dtype), t * k + (1 - t) * k)  # as gradient penalties have it
    assert torch.equal(net(between)[:, -1].round(), k)
    h, nu = by_label(SOLVERS["table"](), 3), data()
    h.prepare(model(nu), nu)
    with pytest.raises(ValueError, match="classes 0 to 2"):
        h.potential(torch.tensor([[0.0, 0.0, 3.0]]))


@pytest.mark.parametrize("few", [0, 1])
def test_a_prior_says_which_class_has_too_few_codes(few):
    labels = torch.tensor([few] * 2 + [1 - few] * 8)
    nu = LabelledData(Empirical(torch.randn(10, 2)), labels)
    encoder = WithLabel(Conditional(DiracEncoder(nn.Linear(2, 2)), 2))
    with pytest.raises(ValueError, match=f"a mix of 3 cells needs as many codes, and class {few} has 2"):
        semidiscrete_prior(encoder, nu, mix=3)
    with pytest.raises(ValueError, match=f"the codes of class {few} have no prior: not these"):
        fitted_by_label(partial(_refusing, fewest=3), encoder, nu)


def _refusing(encoder, nu, fewest):
    if len(nu) < fewest:
        raise ValueError("not these")
    return standard_gaussian(2)


def test_shares_of_the_model_are_those_of_the_data():
    nu = data()
    other = Pushforward(with_classes(MLP(2, 2), 3), Labelled(standard_gaussian(2), torch.tensor([0.6, 0.2, 0.2])))
    with pytest.raises(ValueError, match="the data's own"):
        by_label(SOLVERS["plan"](), 3).prepare(other, nu)
    by_label(SOLVERS["plan"](), 3, weight=2.0).prepare(other, nu)  # there mass may cross


def test_finite_weights_are_for_plans_alone():
    assert by_label(SOLVERS["plan"](), 2, weight=3.0).cost.weight == 3
    for name in ("encoder", "table", "critic", "flow"):
        with pytest.raises(ValueError, match="never mixes classes"):
            by_label(SOLVERS[name](), 2, weight=3.0)


def _made(name, nu):
    torch.manual_seed(2)
    solver = by_label(SOLVERS[name](), CLASSES)
    if name != "flow":
        return model(nu), solver
    flow = with_classes(FlowMap(DenseVelocity(2, 8, classes=CLASSES)), CLASSES)
    return Pushforward(flow, Labelled(standard_gaussian(2), nu.shares)), solver


@pytest.mark.parametrize("name", SOLVERS)
def test_training_by_class_resumes_bit_for_bit(name, tmp_path):
    nu = data()

    def trained(steps, checkpoint, resume=None):
        mu, solver = _made(name, nu)
        torch.manual_seed(7)
        fit(mu, nu, solver, steps=steps, batch_size=12, checkpoint=checkpoint, resume=resume)
        return mu

    whole = trained(6, tmp_path / "whole.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["whole.safetensors"]  # the tables' solves leave no files
    trained(3, tmp_path / "half.safetensors")
    resumed = trained(6, tmp_path / "half.safetensors", tmp_path / "half.safetensors")
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
    fresh = _made(name, nu)[0]
    load_weights(tmp_path / "whole.safetensors", fresh, "mu")
    with undisturbed(whole, fresh):
        samples = []
        for mu in (whole, fresh):
            torch.manual_seed(1)
            samples.append(mu.sample(4))
    assert torch.equal(*samples)


@pytest.mark.parametrize("entry", entries("solver"))
def test_every_entry_trains_by_class_or_says_that_it_does_not(entry):
    sizes = ["data=two_moons", "data.size=120", "trainer.steps=1", "trainer.batch_size=24"]
    try:
        mu, solver, points, trainer = ot_gen.recipe(f"solver={entry}", "condition=label", *sizes)
    except ValueError as error:
        assert entry == "primal/iwae" and "classes" in str(error)
        return
    fit(mu, points.train, solver, **trainer)
    own = mu.in_own_units()
    assert own.given(1).sample(3).shape == (3, 2) and own.dim == points.own.dim == 2


@pytest.mark.parametrize("name", PRIORS)
def test_priors_of_classes_are_laws_of_labelled_codes_and_come_back_from_their_files(name, tmp_path):
    encoder = WithLabel(Conditional(DiracEncoder(nn.Linear(2, 2)), CLASSES))
    prior = PRIORS[name](encoder, data())
    assert prior.classes == CLASSES and prior.dim == 3
    assert torch.equal(prior.given(1).sample(9)[:, -1], torch.ones(9))
    save_prior(prior, tmp_path / "prior.safetensors")
    samples = []
    for law in (prior, load_prior(tmp_path / "prior.safetensors")):
        torch.manual_seed(4)
        samples.append(law.sample(7))
    assert torch.equal(*samples)


@pytest.mark.slow
@pytest.mark.parametrize("entry", ["primal/flow_exact", "primal/debiased_exact_plan", "dual/wgan_gp"])
def test_a_model_trained_by_class_puts_each_class_in_its_place(entry):
    sizes = ["data=eight_gaussians", "data.size=800", "trainer.steps=300", "trainer.batch_size=64"]
    mu, solver, points, trainer = ot_gen.recipe(f"solver={entry}", "condition=label", *sizes)
    fit(mu, points.train, solver, **trainer)
    own, held = points.own.test.atoms, points.own.test_labels
    for k in range(8):
        x = mu.in_own_units().given(k).sample(100)
        nearest = held[SquaredEuclidean().matrix(x, own).argmin(dim=1)]
        assert float((nearest == k).float().mean()) > 0.9
