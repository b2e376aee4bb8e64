"""What was renamed or moved goes on working as it was, and says so."""

import importlib
import inspect

import pytest
import torch
from torch import nn

import ot_gen
from ot_gen import (
    Empirical,
    GaussianEncoder,
    LatentGeometry,
    MaxSlicedWasserstein,
    Pushforward,
    SlicedWasserstein,
    SquaredEuclidean,
    data,
    evaluation,
    geometry,
    judge,
    judge_encoder,
    semidiscrete,
    standard_gaussian,
    transport,
)
from ot_gen.execution import by_old_name, keyword_only, renamed, reordered


@renamed(weight="mass", colour="shade")
def mix(a, mass=1.0, *, shade="grey"):
    """Its own docstring."""
    return a, mass, shade


class Box:
    @renamed(nodes="segments")
    def __init__(self, segments=16):
        self.segments = segments


@pytest.mark.parametrize(
    ("call", "expected", "old"),
    [
        (lambda: mix(1, weight=2.0), (1, 2.0, "grey"), "weight"),
        (lambda: mix(1, 2.0, colour="red"), (1, 2.0, "red"), "colour"),
        (lambda: Box(nodes=8).segments, 8, "nodes"),
    ],
)
def test_an_old_name_works_and_warns_where_it_is_used(call, expected, old):
    with pytest.warns(DeprecationWarning, match=f"{old}= is now called .*0.3") as caught:
        assert call() == expected
    assert caught[0].filename == __file__


def test_the_warning_names_the_class_and_not_its_constructor():
    with pytest.warns(DeprecationWarning, match="^Box: nodes= is now called segments="):
        Box(nodes=8)


def test_new_names_and_positions_do_not_warn():  # warnings are errors here
    assert mix(1, mass=3.0) == (1, 3.0, "grey")
    assert mix(1, 3.0) == (1, 3.0, "grey")


def test_both_names_at_once_are_refused():
    with pytest.raises(ValueError, match="both mass= and its old name weight="):
        mix(1, mass=1.0, weight=2.0)


def test_a_name_that_never_was_stays_an_error():
    with pytest.raises(TypeError, match="wait"):
        mix(1, wait=2.0)


def test_signature_and_docstring_are_those_of_the_function():
    assert list(inspect.signature(mix).parameters) == ["a", "mass", "shade"]
    assert mix.__doc__ == "Its own docstring."


@keyword_only
def mixed(a, b=0, *, mass=1.0, shade="grey"):
    return a, b, mass, shade


def test_options_by_position_are_taken_in_their_order_and_warn():
    with pytest.warns(DeprecationWarning, match="^mixed: give mass=, shade= by its name; .*0.3") as caught:
        assert mixed(1, 2, 3.0, "red") == (1, 2, 3.0, "red")
    assert caught[0].filename == __file__
    assert mixed(1, 2, mass=3.0) == (1, 2, 3.0, "grey")  # warnings are errors here
    for wrong in (lambda: mixed(1, 2, 3.0, "red", 5), lambda: mixed(1, 2, 3.0, mass=4.0)):
        with pytest.raises(TypeError, match="positional argument"):
            wrong()


@reordered("text", "times", "end", former_order=lambda second: isinstance(second, int))
@keyword_only
def repeated(text, end, times, *, upper=False):
    return (text * times + end).upper() if upper else text * times + end


def test_the_former_order_is_known_by_what_stands_second():
    with pytest.warns(DeprecationWarning, match=r"^repeated: the order is now \(text, end, times\); ") as caught:
        assert repeated("a", 2, "b", upper=True) == "AAB"
    assert caught[0].filename == __file__
    assert repeated("a", "b", 2) == repeated("a", "b", times=2) == "aab"


class Mean:
    se = 0.5

    @property
    def error(self):
        return by_old_name(self, "error", "se")


def test_an_attribute_is_given_under_its_old_name():
    with pytest.warns(DeprecationWarning, match="^Mean: .error is now called .se; ") as caught:
        assert Mean().error == 0.5
    assert caught[0].filename == __file__


# --- the library's own -----------------------------------------------------------------------------------------------

Z = torch.tensor([[0.0, 0.1], [0.5, 0.3], [1.0, 0.2]])
NU = Empirical(torch.randn(60, 2, generator=torch.Generator().manual_seed(0)))
DOUBLED = LatentGeometry(lambda z: 2 * z)


def solved(**options):
    torch.manual_seed(0)
    return semidiscrete(standard_gaussian(2), NU, SquaredEuclidean(), tol=0.5, **options).lower


def encoder_judged(*order, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = {"mu": Pushforward(nn.Linear(2, 2), standard_gaussian(2)), "encoder": GaussianEncoder(nn.Linear(2, 4))}
    parts |= {"nu": NU, "cost": SquaredEuclidean()}
    return judge_encoder(*(parts.get(name, name) for name in order), **options)


def normal(*options, **named):
    return geometry.LocallyAdaptiveNormal(DOUBLED, torch.zeros(2), 0.01 * torch.eye(2), *options, **named)


OLD = {
    "semidiscrete(verbose)": (lambda: solved(verbose=False), lambda: solved(progress=False)),
    "SlicedWasserstein(projections)": (
        lambda: SlicedWasserstein(projections=7).directions,
        lambda: SlicedWasserstein(directions=7).directions,
    ),
    "MaxSlicedWasserstein(projections)": (
        lambda: MaxSlicedWasserstein(projections=7).directions,
        lambda: MaxSlicedWasserstein(directions=7).directions,
    ),
    "MonteCarlo.error": (lambda: evaluation.MonteCarlo(1.0, 0.5).error, lambda: evaluation.MonteCarlo(1.0, 0.5).se),
    "EncoderJudgement.gap_error": (
        lambda: encoder_judged("mu", "nu", "cost", "encoder").gap_error,
        lambda: encoder_judged("mu", "nu", "cost", "encoder").gap_se,
    ),
    "judge_encoder(mu, encoder, cost, nu)": (
        lambda: encoder_judged("mu", "encoder", "cost", "nu", 0.5, n=30),
        lambda: encoder_judged("mu", "nu", "cost", "encoder", variance=0.5, n=30),
    ),
    "judge(n)": (lambda: judge(NU, NU, NU, 20), lambda: judge(NU, NU, NU, n=20)),
    "sinkhorn_divergence(epsilon)": (
        lambda: transport.sinkhorn_divergence(Z, Z + 1, 0.5),
        lambda: transport.sinkhorn_divergence(Z, Z + 1, epsilon=0.5),
    ),
    "geodesic(nodes)": (
        lambda: DOUBLED.geodesic(Z[:1], Z[1:], nodes=8).nodes,
        lambda: DOUBLED.geodesic(Z[:1], Z[1:], segments=8).nodes,
    ),
    "geodesic by position": (
        lambda: DOUBLED.geodesic(Z[:1], Z[1:], 8).nodes,
        lambda: DOUBLED.geodesic(Z[:1], Z[1:], segments=8).nodes,
    ),
    "pairwise(nodes)": (lambda: DOUBLED.pairwise(Z, nodes=4), lambda: DOUBLED.pairwise(Z, segments=4)),
    "LocallyAdaptiveNormal by position": (lambda: normal(8).log_constant, lambda: normal(samples=8).log_constant),
    "LocallyAdaptiveNormal.log_constant_error": (
        lambda: normal(samples=8).log_constant_error,
        lambda: normal(samples=8).log_constant_se,
    ),
    "toy(size)": (
        lambda: data.toy(data.rings(), 50).train.atoms,
        lambda: data.toy(data.rings(), size=50).train.atoms,
    ),
    "digits(test_fraction)": (lambda: data.digits(0.5).train.atoms, lambda: data.digits(test_fraction=0.5).train.atoms),
}


@pytest.mark.parametrize("name", OLD)
def test_the_old_way_gives_the_same_and_warns(name):
    old, new = OLD[name]
    with pytest.warns(DeprecationWarning, match="goes away in 0.3") as caught:
        told = old()
    assert caught[0].filename == __file__
    torch.testing.assert_close(told, new(), rtol=0, atol=0, equal_nan=True)


OPTIONS = {"seed", "tol", "rounds", "progress", "retries", "max_iterations", "max_samples", "max_seconds"}
FRONTS = ("costs", "networks", "transport", "semidual", "divergences", "couplings", "data", "geometry", "evaluation")


def public_functions():
    """Those of the fronts, and the methods of their classes, by name; a constructor is the configuration of a part."""
    for front in (ot_gen, *(getattr(ot_gen, name) for name in FRONTS)):
        for name, thing in vars(front).items():
            if inspect.isclass(thing):
                for method, function in vars(thing).items():
                    if inspect.isfunction(function) and (method == "__call__" or not method.startswith("_")):
                        yield f"{name}.{method}", function
            elif inspect.isfunction(thing) and not name.startswith("_"):
                yield name, thing


def test_options_of_public_functions_are_keyword_only():
    functions = dict(public_functions())
    assert {"certify", "judge", "LatentGeometry.geodesic"} <= functions.keys()
    kinds = {
        f"{name}({parameter.name})": parameter.kind
        for name, function in functions.items()
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name in OPTIONS
    }
    assert [name for name, kind in kinds.items() if kind is not inspect.Parameter.KEYWORD_ONLY] == []


def test_the_cost_stands_third_next_to_two_measures_or_two_clouds():
    pairs = (["mu", "nu"], ["x", "y"])
    names = {name: list(inspect.signature(function).parameters) for name, function in public_functions()}
    found = {name: given for name, given in names.items() if given[:2] in pairs and "cost" in given}
    assert {"wasserstein", "certify", "semidiscrete", "judge_encoder"} <= found.keys()
    assert [name for name, given in found.items() if given[2] != "cost"] == []


@pytest.mark.parametrize(
    "room, old, new", [("evaluation", "Estimate", "MetricValue"), ("geometry", "Metric", "RiemannianMetric")]
)
def test_a_class_is_still_known_by_its_former_name(room, old, new):
    module = importlib.import_module(f"ot_gen.{room}")
    with pytest.warns(DeprecationWarning, match=f"{old} is now called {new}"):
        assert getattr(module, old) is getattr(module, new)
    assert old not in module.__all__
    with pytest.raises(AttributeError, match="NeverWas"):
        getattr(module, "NeverWas")  # noqa: B009, the name is what is tested
