"""No argument is changed in place: a module that is given away is afterwards what it was before.

What is trained (a generator, an encoder, a critic's network) is shared with the caller, and `fit` moves its weights; a
mechanism that rewrites a network, and a cost that freezes one, take a copy.
"""

import inspect

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

import ot_gen
from ot_gen import (
    ICNN,
    KL,
    MLP,
    MMD,
    AdversarialJS,
    AnchorCritic,
    BatchCritic,
    BernoulliDecoder,
    BrenierPotential,
    ByLabel,
    CodeMean,
    Conditional,
    Critic,
    DenseVelocity,
    DiagonalMatrices,
    DiracEncoder,
    DiscretePotential,
    Displacement,
    DualSolver,
    Empirical,
    EncoderCoupling,
    Euclidean,
    FeatureCost,
    FlowEncoder,
    FlowMap,
    FullGaussianEncoder,
    FullMixture,
    GaussianDecoder,
    GaussianEncoder,
    GradientPenalty,
    ImportanceCoupling,
    InverseMultiquadric,
    KLMarginal,
    LabelCost,
    Labelled,
    LabelledVelocity,
    LabelPotential,
    LatentGeometry,
    LearnedMixture,
    LearnedStd,
    Measures,
    MixturePotential,
    NoisyEncoder,
    OneSidedPenalty,
    Orthogonal,
    Paraboloid,
    PixelwiseStd,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    Reference,
    SpectralNorm,
    SphereEncoder,
    SquaredEuclidean,
    Unbalanced,
    WeightClip,
    WeightedSum,
    WithLabel,
    add_head,
    certify,
    ex_post_prior,
    exact_plan,
    fit,
    judge_encoder,
    semidiscrete,
    standard_gaussian,
)

MODULES = ("Module", "Cost", "Divergence", "Coupling", "Potential", "Lipschitz", "Measure", "Features", "Map")
HOLDS_NONE = {"ConvGenerator", "ResNetGenerator", "ResNetFeatures"}  # classes of modules
HOLDS_NONE |= {"Barycentre", "Certificate", "LaguerreCells", "SemidiscreteSolution"}  # results, built inside
HOLDS_NONE |= {"Validation"}  # a function of the user


def net(inside, outside):
    """A network of mixed kinds: parts in either mode, one parameter frozen, statistics that a pass would change."""
    made = nn.Sequential(nn.Linear(inside, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.1), nn.Linear(4, outside))
    made[1].eval()
    made[4].bias.requires_grad_(False)
    return made


def chain(inside, outside):
    """What `Orthogonal` takes."""
    made = nn.Sequential(nn.Linear(inside, 4), nn.ReLU(), nn.Linear(4, outside))
    made[1].eval()
    made[2].bias.requires_grad_(False)
    return made


def gaussian_encoder():
    return GaussianEncoder(net(2, 4))


BUILDS = [  # class, its arguments; those that are modules are watched
    (MLP, lambda: (2, 2, (4,), nn.ReLU, nn.Sequential(nn.Sigmoid()).eval())),
    (MMD, lambda: (InverseMultiquadric().eval(),)),
    (AdversarialJS, lambda: (net(2, 1),)),
    (BatchCritic, lambda: (net(2, 1),)),
    (BernoulliDecoder, lambda: (net(2, 3),)),
    (BrenierPotential, lambda: (ICNN(2, (4,), 3), Displacement(net(2, 2)))),
    *[
        (Critic, lambda made=made, mechanism=mechanism: (made(2, 1), mechanism, nn.Sigmoid().eval()))
        for made, mechanism in [
            (net, WeightClip()),
            (net, GradientPenalty()),
            (net, OneSidedPenalty()),
            (net, SpectralNorm()),
            (chain, Orthogonal()),
        ]
    ],
    (
        Measures,
        lambda: ([standard_gaussian(2).eval(), Pushforward(net(2, 2), standard_gaussian(2))], torch.ones(2) / 2),
    ),
    (DiracEncoder, lambda: (net(2, 2),)),
    (Displacement, lambda: (net(2, 2),)),
    (DualSolver, lambda: (Euclidean().eval(), Critic(net(2, 1), GradientPenalty()))),
    (EncoderCoupling, lambda: (gaussian_encoder(), AdversarialJS(net(2, 1)), 1.0)),
    (FeatureCost, lambda: (net(2, 3), SquaredEuclidean())),
    (FlowMap, lambda: (DenseVelocity(2, 4).eval(),)),
    (FlowEncoder, lambda: (MLP(2, hidden=(4,)).eval(), 2)),
    (FullGaussianEncoder, lambda: (net(2, 5),)),
    (GaussianDecoder, lambda: (net(2, 3), LearnedStd().eval())),
    (GaussianEncoder, lambda: (net(2, 4),)),
    (ImportanceCoupling, lambda: (gaussian_encoder(), 1.0)),
    (LatentGeometry, lambda: {"map": [net(2, 3), net(2, 3)], "features": net(3, 2)}),
    (MixturePotential, lambda: (0.5, 2, DiagonalMatrices().eval())),
    (NoisyEncoder, lambda: (net(2, 2), 0.1)),
    (Paraboloid, lambda: (net(2, 1),)),
    (PixelwiseStd, lambda: (net(2, 3),)),
    (PrimalSolver, lambda: (FeatureCost(net(2, 3), SquaredEuclidean()), PlanCoupling(exact_plan).eval())),
    (Pushforward, lambda: (net(2, 3), Reference(LearnedMixture(torch.randn(3, 2), 1.0)).eval())),
    (Reference, lambda: (LearnedMixture(torch.randn(3, 2), 1.0).eval(),)),
    (SphereEncoder, lambda: (net(2, 2),)),
    (Unbalanced, lambda: (KLMarginal(1.0).eval(), KLMarginal(1.0).eval())),
    (WeightedSum, lambda: ([KL().eval(), AdversarialJS(net(2, 1))], [1.0, 1.0])),
    (Labelled, lambda: (standard_gaussian(2).eval(), torch.ones(2) / 2)),
    (LabelCost, lambda: (FeatureCost(net(2, 3), SquaredEuclidean()),)),
    (CodeMean, lambda: (gaussian_encoder(),)),
    (Conditional, lambda: (net(2, 3), 2)),
    (WithLabel, lambda: (Conditional(net(2, 3), 2),)),
    (LabelledVelocity, lambda: (DenseVelocity(2, 4, classes=2).eval(),)),
    (LabelPotential, lambda: (DiscretePotential().eval(), 2)),
    (ByLabel, lambda: (AdversarialJS(net(2, 1)),)),
    (add_head, lambda: (MLP(2, hidden=(4,)).eval(), 1)),
    (FullGaussianEncoder.on, lambda: (MLP(2, hidden=(4,)).eval(), 2)),
]


def modules(arguments):
    """The modules among arguments, those inside lists and geometries included."""
    for argument in arguments:
        if isinstance(argument, nn.Module):
            yield argument
        elif isinstance(argument, list):
            yield from modules(argument)


def looks(module):
    """All that a caller could see of a module: its parts and their kinds, modes, tensors and what is frozen."""
    parts = [(name, type(part), part.training, sorted(vars(part))) for name, part in module.named_modules()]
    frozen = {name: parameter.requires_grad for name, parameter in module.named_parameters()}
    tensors = {name: t.detach().clone() for name, t in (*module.named_parameters(), *module.named_buffers())}
    return parts, frozen, tensors


def assert_looks(module, before):
    (parts, frozen, tensors), (old_parts, old_frozen, old_tensors) = looks(module), before
    assert parts == old_parts
    assert frozen == old_frozen
    assert tensors.keys() == old_tensors.keys()
    assert [name for name, value in tensors.items() if not torch.equal(value, old_tensors[name])] == []


def takes_modules(thing):
    try:
        parameters = inspect.signature(thing.__init__ if inspect.isclass(thing) else thing).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(word in str(p.annotation) for p in parameters for word in MODULES if "type[" not in str(p.annotation))


def test_every_public_class_that_takes_a_module_is_watched():
    public = {name: getattr(ot_gen, name) for name in ot_gen.__all__}
    classes = {name for name, thing in public.items() if inspect.isclass(thing) and takes_modules(thing)}
    assert classes - HOLDS_NONE <= {build.__name__ for build, _ in BUILDS}


@pytest.mark.parametrize(("build", "arguments"), BUILDS, ids=lambda a: getattr(a, "__qualname__", "")[:24])
def test_a_constructor_leaves_its_arguments_as_they_were(build, arguments):
    given = arguments()
    named = given if isinstance(given, dict) else {}
    before = [(module, looks(module)) for module in modules(named.values() or given)]
    assert before
    build(**named) if named else build(*given)
    for module, look in before:
        assert_looks(module, look)


def test_tensors_are_not_shared_where_weights_are_loaded_into_them():
    weights, means, roots = torch.tensor([0.5, 0.5]), torch.zeros(2, 3), torch.eye(3).repeat(2, 1, 1)
    mixture = FullMixture(weights, means, roots)
    mixture.load_state_dict({name: 2 * value for name, value in mixture.state_dict().items()})
    assert torch.equal(means, torch.zeros(2, 3)) and torch.equal(weights, torch.tensor([0.5, 0.5]))
    assert torch.equal(roots, torch.eye(3).repeat(2, 1, 1))


# --- in use


@pytest.mark.parametrize("mechanism", [SpectralNorm(), Orthogonal()], ids=str)
def test_a_network_that_a_mechanism_rewrites_serves_another_critic_as_if_nothing_had_been(mechanism):
    network, mu, nu = chain(2, 1), standard_gaussian(2), Empirical(torch.randn(32, 2))
    before = looks(network)
    rewritten = Critic(network, mechanism)
    fit(mu, nu, DualSolver(Euclidean(), rewritten, 1), steps=2, batch_size=8)
    assert_looks(network, before)
    x = torch.randn(5, 2)
    plain = Critic(network, GradientPenalty())
    assert torch.equal(plain(x), network(x).reshape(5))
    assert not torch.allclose(plain(x), rewritten(x))


@pytest.mark.parametrize(
    "mechanism", [WeightClip(), GradientPenalty(), OneSidedPenalty()], ids=lambda m: type(m).__name__
)
def test_a_network_that_is_trained_as_it_is_stays_in_the_callers_hands(mechanism):
    network = net(2, 1)
    critic = Critic(network, mechanism)
    assert critic.net is network
    before = network[0].weight.detach().clone()
    fit(standard_gaussian(2), Empirical(torch.randn(32, 2)), DualSolver(Euclidean(), critic, 1), steps=2, batch_size=8)
    assert not torch.equal(network[0].weight, before)


XI = [
    lambda: BatchCritic(MLP(2, 1, (4,))),
    lambda: AnchorCritic(3, 0),
    DiscretePotential,
]


@pytest.mark.parametrize("potential", XI)
def test_what_is_not_trained_looks_after_a_fit_as_it_did_before(potential):
    features, inner = net(2, 3), SquaredEuclidean().eval()
    cost = FeatureCost(features, inner).eval()
    mu = Pushforward(net(2, 2), standard_gaussian(2)).eval().requires_grad_(False)
    nu = Empirical(torch.randn(32, 2)).eval()
    given = (features, inner, cost, mu, nu)
    before = [looks(module) for module in given]
    solver = DualSolver(cost, potential(), inner_steps=2)
    fit(mu, nu, solver, steps=2, batch_size=8)
    for module, look in zip(given, before, strict=True):
        assert_looks(module, look)
    assert not any(part is cost for part in solver.potential.modules())  # the problem's, and none of ξ's


def test_an_encoder_that_is_judged_and_a_model_that_is_certified_stay_as_they_are():
    mu, nu = Pushforward(net(2, 2), standard_gaussian(2)), Empirical(torch.randn(40, 2))
    encoder, critic = gaussian_encoder(), Critic(net(2, 1), GradientPenalty())
    cost = FeatureCost(net(2, 3), SquaredEuclidean())
    given = (mu, nu, encoder, critic, cost)
    before = [looks(module) for module in given]
    ex_post_prior(encoder, nu, components=2)
    judge_encoder(mu, nu, SquaredEuclidean(), encoder, samples=2)
    judge_encoder(mu, nu, cost, encoder, samples=2)
    certify(mu, nu, Euclidean(), potential=critic, max_samples=1024)
    semidiscrete(mu, nu, SquaredEuclidean(), tol=0.5)
    for module, look in zip(given, before, strict=True):
        assert_looks(module, look)


def test_a_law_given_as_a_reference_stays_where_it_is():
    law = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    Reference(law).double()
    assert law.base_dist.loc.dtype == torch.float32
