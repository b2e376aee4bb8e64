"""Parts that are given as their class, or as something else, are refused when the whole is made; laws are never
broadcast."""

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from ot_gen import (
    KL,
    MLP,
    MMD,
    AnchorCritic,
    CodeNorm,
    Critic,
    DiracEncoder,
    Empirical,
    EncoderCoupling,
    GradientPenalty,
    InverseMultiquadric,
    PlanCoupling,
    Pushforward,
    SquaredEuclidean,
    StratifiedKL,
    standard_gaussian,
)
from ot_gen.divergences import closed_kl, sampled_kl

ENCODER = DiracEncoder(nn.Linear(3, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: EncoderCoupling(ENCODER, KL, 1.0),
            "must be a Divergence, got the class KL; call the class",
        ),
        (lambda: EncoderCoupling(ENCODER, "kl", 1.0), "got a str; take one of ot_gen.divergences"),
        (lambda: EncoderCoupling(ENCODER, KL(), 1.0, len), "schedule must map a fraction to a factor"),
        (lambda: EncoderCoupling(ENCODER, KL(), 1.0, lambda fraction: -1.0), "a finite factor >= 0, got -1"),
        (lambda: MMD("rbf"), "kernel must be a function, got 'rbf'"),
        (lambda: MMD(InverseMultiquadric), "got the class InverseMultiquadric; call the class"),
        (lambda: PlanCoupling(None), "plan must be a function, got None"),
        (lambda: PlanCoupling(len), "needs a function of the costs that returns a Plan, got a int"),
        (lambda: AnchorCritic("4"), "anchors must be a whole number >= 1, got '4'"),
        (
            lambda: Critic(nn.Linear(2, 1), GradientPenalty),
            "must be a Lipschitz, got the class GradientPenalty",
        ),
        (lambda: MLP(2, 1, activation=nn.ReLU()), "activation must be a class of Modules, got a ReLU; give the class"),
        (lambda: MLP(2, 1, activation=lambda: 1), "activation must be a class of modules.*it made an int"),
        (
            lambda: Pushforward(nn.ModuleList(), standard_gaussian(2)),
            "is a ModuleList, which has no forward",
        ),
    ],
)
def test_a_part_of_another_kind_is_refused_when_the_whole_is_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()


NARROW = Independent(Normal(torch.zeros(8, 1), torch.ones(8, 1)), 1)


@pytest.mark.parametrize(
    "compare",
    [KL(), CodeNorm(), StratifiedKL(9), closed_kl, lambda q, zeta: sampled_kl(q, zeta, q.sample())],
)
def test_laws_of_codes_of_another_dimension_are_refused_and_not_broadcast(compare):
    with pytest.raises(ValueError, match=r"codes of dimension 2 .* event_shape \(1,\)"):
        compare(NARROW, standard_gaussian(2))


def test_an_encoder_that_returns_points_is_refused_with_what_makes_laws_of_them():
    mu, nu = Pushforward(nn.Linear(2, 3), standard_gaussian(2)), Empirical(torch.rand(5, 3))
    coupling = EncoderCoupling(nn.Linear(3, 2), KL(), 1.0)
    for call in (lambda: coupling(mu, nu, SquaredEuclidean(), 4), lambda: coupling.bind(mu, nu, SquaredEuclidean())):
        with pytest.raises(ValueError, match=r"laws of codes, .* got a tensor \(\d, 2\); .*DiracEncoder\(net\)"):
            call()


def test_a_model_that_decodes_nothing_is_refused():
    with pytest.raises(ValueError, match="needs a generator to decode its codes"):
        EncoderCoupling(ENCODER, KL(), 1.0)(standard_gaussian(3), Empirical(torch.rand(5, 3)), SquaredEuclidean(), 4)
