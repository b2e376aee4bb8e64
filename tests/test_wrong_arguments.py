"""Arguments of the wrong kind, shape or order: the error names the argument, what was got, and what to do."""

import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Normal

from ot_gen import (
    MLP,
    AnchorCritic,
    BatchCritic,
    BrenierPotential,
    Critic,
    DiscretePotential,
    Displacement,
    DualSolver,
    Empirical,
    Euclidean,
    GaussianEncoder,
    GradientPenalty,
    LaguerreCells,
    LatentGeometry,
    MixturePotential,
    Paraboloid,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    c_transform,
    certify,
    exact_plan,
    judge_encoder,
    semidiscrete,
    standard_gaussian,
    wasserstein,
)
from ot_gen.evaluation import ExactTransport, FrechetDistance, SlicedTransport
from ot_gen.geometry import Graph, Polyline, fit_adaptive_normal, frechet_mean
from ot_gen.transport import sinkhorn_divergence

generator = torch.Generator().manual_seed(0)
X, Y, H = torch.randn(5, 2, generator=generator), torch.randn(7, 2, generator=generator), torch.zeros(7)
C, MU, NU, NET = SquaredEuclidean(), standard_gaussian(2), Empirical(Y), MLP(2, 1, (4,))
GEO, LINEAR = LatentGeometry(lambda z: torch.cat([z, z.square()], dim=1)), LatentGeometry(nn.Linear(2, 3))
LITTLE = {"max_samples": 2**12}
ORDER = r".*the order is "


def bound(potential, cost=None):
    potential.bind(MU, NU, cost or Euclidean())
    return potential.requires_grad_(False)


POTENTIALS = {
    "Critic": bound(Critic(MLP(2, 1, (4,)), GradientPenalty())),
    "AnchorCritic": bound(AnchorCritic(4, flat_dim=0)),
    "BatchCritic": bound(BatchCritic(MLP(2, 1, (4,)))),
    "DiscretePotential": bound(DiscretePotential()),
    "BrenierPotential": bound(BrenierPotential(Paraboloid(MLP(2, 1, (4,))), Displacement(MLP(2, 2, (4,)))), C),
    "MixturePotential": bound(MixturePotential(0.5, 2), C),
}
SOLUTION = semidiscrete(MU, NU, C, tol=0.5, **LITTLE)

# --- points: every function of a cloud refuses what is none ----------------------------------------------------------

CLOUDS = {
    "c_transform x": (lambda x: c_transform(C, x, Y, H), "x"),
    "c_transform y": (lambda y: c_transform(C, X, y, torch.zeros(5)), "y|atoms"),
    "LaguerreCells": (lambda y: LaguerreCells(C, y, torch.zeros(5)), "y|atoms"),
    "LaguerreCells()": (LaguerreCells(C, Y, H), "x"),
    "SemidiscreteSolution.potential": (SOLUTION.potential, "x"),
    "SemidiscreteSolution.map": (SOLUTION.map, "x"),
    "metric": (GEO.metric, "z"),
    "inner": (lambda u: GEO.inner(X, u, X), "u"),
    "log_volume": (GEO.log_volume, "z"),
    "curvature": (GEO.curvature, "z"),
    "geodesic z0": (lambda z: GEO.geodesic(z, X), "z0"),
    "geodesic z1": (lambda z: GEO.geodesic(X, z), "z1"),
    "distance z0": (lambda z: GEO.distance(z, X), "z0"),
    "distance z1": (lambda z: GEO.distance(X, z), "z1"),
    "pairwise": (GEO.pairwise, "z"),
    "graph_pairwise": (lambda z: GEO.graph_pairwise(z, Graph(torch.randn(20, 2))), "z"),
    "exp z": (lambda z: GEO.exp(z, X), "z"),
    "exp v": (lambda v: GEO.exp(X, v), "v"),
    "log": (lambda z: GEO.log(X, z), "z1"),
    "length": (GEO.length, "nodes|curve"),
    "energy": (GEO.energy, "nodes|curve"),
    "constant_speed": (GEO.constant_speed, "nodes|curve"),
    "Polyline": (Polyline, "nodes"),
    "transport": (lambda w: GEO.transport(Polyline(torch.stack([X, X + 1], dim=1)), w), "w"),
    "Graph": (Graph, "codes"),
    "frechet_mean": (lambda z: frechet_mean(GEO, z), "z"),
    "fit_adaptive_normal": (lambda z: fit_adaptive_normal(GEO, z), "z"),
    "wasserstein": (lambda x: wasserstein(x, Y), "x"),
    "sinkhorn_divergence": (lambda x: sinkhorn_divergence(x, Y, epsilon=1.0), "x"),
    **{name: (potential, "x") for name, potential in POTENTIALS.items()},
    "BatchCritic.conjugate_mean": (lambda y: POTENTIALS["BatchCritic"].conjugate_mean(X, y), "y"),
    "BrenierPotential.map": (POTENTIALS["BrenierPotential"].map, "x"),
    "BrenierPotential.inverse_map": (POTENTIALS["BrenierPotential"].inverse_map, "y"),
    "MixturePotential.conjugate": (POTENTIALS["MixturePotential"].conjugate, "y"),
    "SchrodingerBridge": (POTENTIALS["MixturePotential"].bridge(), "x"),
    "SchrodingerBridge.map": (POTENTIALS["MixturePotential"].bridge().map, "x"),
}
NO_CLOUDS = {
    "None": (None, "must be .*a torch tensor.*, got None"),
    "words": ([["a", "b"]], "must hold numbers"),
    "rows of two lengths": ([[1.0], [2.0, 3.0]], "must hold numbers, in rows of one length"),
    "a measure": (MU, r"must be .*a torch tensor, got a Reference"),
    "complex": (X + 0j, "must be real, got torch.complex64: .* torch.view_as_real"),
    "one point": (X[0], r"got (torch.float32 of shape )?\(2,\)"),
}


@pytest.mark.parametrize("what", NO_CLOUDS)
@pytest.mark.parametrize("function", CLOUDS)
def test_points_are_a_tensor_of_one_row_each(function, what):
    (call, name), (given, message) = CLOUDS[function], NO_CLOUDS[what]
    with pytest.raises(ValueError, match=message) as error:
        call(given)
    assert re.search(rf"\b({name})\b", str(error.value))


SAME = {
    "c_transform": (lambda x, y, h: c_transform(C, x, y, h)[0], (X, Y, H)),
    "LaguerreCells": (lambda x, y, h: LaguerreCells(C, y, h)(x)[0], (X, Y, H)),
    "exact_plan": (lambda c: exact_plan(c).matrix, (C.matrix(X, Y),)),
    "wasserstein": (lambda x, y: torch.tensor(wasserstein(x, y)), (X, Y)),
    "sinkhorn_divergence": (lambda x, y: sinkhorn_divergence(x, y, epsilon=1.0), (X, Y)),
    "Empirical": (lambda y: Empirical(y).atoms, (Y,)),
    "metric": (GEO.metric, (X,)),
    "Critic": (POTENTIALS["Critic"], (X,)),
    "cost": (C, (X, Y[:5])),
}
DRESSES = {
    "arrays": lambda x: x.numpy(),
    "arrays of another byte order": lambda x: x.numpy().astype(">f4"),
    "views of arrays": lambda x: x.numpy()[::-1][::-1],
    "lists": lambda x: x.tolist(),
    "lists of tensors": list,
}


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("function", SAME)
def test_arrays_and_lists_are_the_tensors_that_they_hold(function, dress):
    call, tensors = SAME[function]
    value, again = call(*tensors), call(*(DRESSES[dress](x) for x in tensors))
    assert again.dtype == value.dtype
    torch.testing.assert_close(again, value)


def test_arrays_keep_their_precision_or_take_that_of_their_company():
    alone = c_transform(C, X.double().numpy(), Y.double().numpy(), H.double().numpy())[0]
    assert alone.dtype == torch.float64 == exact_plan(np.eye(2)).matrix.dtype
    assert c_transform(C, X.double().numpy(), Y, H)[0].dtype == torch.float32
    assert Empirical(X.double().numpy()).atoms.dtype == torch.float32  # as networks compute
    assert torch.equal(Empirical([[1, 2], [3, 4]]).atoms, torch.tensor([[1.0, 2.0], [3.0, 4.0]]))


def test_an_array_that_was_given_is_not_changed():
    given = X.numpy().copy()
    nu = Empirical(given)
    nu.atoms.zero_()
    assert (given == X.numpy()).all()


METRICS = {"ExactTransport": ExactTransport(C), "Frechet": FrechetDistance(), "Sliced": SlicedTransport()}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("side", ["x", "y"])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (X + 0j, "must be real, got torch.complex64"),
        (X.numpy() + 1j, "must be real, got torch.complex"),
        (MU, r"must be a torch tensor, got a Reference; draw its points: sample\(n\)"),
        (None, "must be a torch tensor, an array or a list of numbers, got None"),
        (np.array([["a", "b"]]), "must hold numbers"),
        (X[0], r"got (shape )?\(2,\)"),
        (X / 0 - X / 0, "NaN or Inf"),
    ],
)
def test_samples_of_a_metric_are_real_points(metric, side, given, message):
    pair = (given, Y) if side == "x" else (Y, given)
    name = {"x": "x|the model's samples", "y": "y|the real samples"}[side]
    with pytest.raises(ValueError, match=rf"({name}) .*{message}"):
        METRICS[metric](*pair)


# --- everything else: (call, what the text says) ---------------------------------------------------------------------

KINDS = {
    "a class": (SquaredEuclidean, "got the class SquaredEuclidean; call the class"),
    "a function": (lambda x, y: x, "got a function; take one of ot_gen.costs"),
    "a word": ("w2", "got a str; take one of ot_gen.costs"),
    "a tensor": (X, r"got a tensor \(5, 2\); take one of ot_gen.costs"),
}
COSTS = {
    "c_transform": (lambda c: c_transform(c, X, Y, H), r"\(cost, x, y, h_tilde\)"),
    "LaguerreCells": (lambda c: LaguerreCells(c, Y, H), r"\(cost, atoms, h_tilde\)"),
    "semidiscrete": (lambda c: semidiscrete(MU, NU, c), r"\(mu, nu, cost\)"),
    "certify": (lambda c: certify(MU, NU, c), r"\(mu, nu, cost\)"),
    "wasserstein": (lambda c: wasserstein(X, Y, c), r"\(x, y, cost\)"),
    "judge_encoder": (
        lambda c: judge_encoder(Pushforward(nn.Linear(2, 2), MU), NU, c, GaussianEncoder(nn.Linear(2, 4))),
        r"\(mu, nu, cost, encoder\)",
    ),
    "PrimalSolver": (lambda c: PrimalSolver(c, PlanCoupling(exact_plan)), r"\(cost, coupling\)"),
    "DualSolver": (lambda c: DualSolver(c, DiscretePotential()), r"\(cost, potential\)"),
    **{f"{name}.bind": (lambda c, p=p: p.bind(MU, NU, c), r"\(mu, nu, cost\)") for name, p in POTENTIALS.items()},
}


@pytest.mark.parametrize("what", KINDS)
@pytest.mark.parametrize("function", COSTS)
def test_a_cost_is_a_cost(function, what):
    (call, order), (given, message) = COSTS[function], KINDS[what]
    with pytest.raises(ValueError, match=f"cost must be a Cost, {message}.*{ORDER}{order}"):
        call(given)


def solve(*arguments, **options):
    return semidiscrete(*arguments, **LITTLE | options)


def judged(*arguments, **options):
    return certify(*arguments, **LITTLE | options)


BOTH = {"semidiscrete": solve, "certify": judged}
LAWS = [
    ((MU, Y, C), r"nu must be an Empirical, got a tensor \(7, 2\); wrap points: Empirical\(points\)"),
    ((MU, Y.numpy(), C), r"got a ndarray; wrap points: Empirical\(torch.as_tensor\(points\)\)"),
    ((MU, MU, C), r"got a Reference; draw atoms once: Empirical\(nu.sample\(n\)\)"),
    ((NU, MU, C), rf"nu must be an Empirical.*got a Reference{ORDER}\(mu, nu, cost\)"),
    ((MU, C, NU), rf"nu must be an Empirical.*got a SquaredEuclidean{ORDER}\(mu, nu, cost\)"),
    ((None, NU, C), r"mu needs a method sample\(n\) .* got None"),
    ((Empirical, NU, C), r"mu needs a method sample\(n\) .* got the class Empirical; call the class"),
    ((NET, NU, C), r"mu needs a method sample\(n\) .* got a[n]? MLP; .* Pushforward\(generator, zeta\)"),
    ((standard_gaussian(3), NU, C), r"mu.sample\(2\) must return a tensor of shape \(2, 2\).*got \(2, 3\)"),
    ((Empirical(X.double()), NU, C), r"mu makes torch.float64 samples .* give both one dtype"),
    ((Normal(0.0, 1.0), NU, C), r"torch.distributions.Independent"),
]
# For certify points are a sample of a law, and a list of them is one.
SAMPLED = ("semidiscrete", (X.tolist(), NU, C), r"mu needs a method sample\(n\) .* got a list; wrap points")
TABLES = [
    (["a"] * 7, "h_tilde must hold numbers"),
    (C, "h_tilde must be a torch tensor, an array or a list of numbers, got a SquaredEuclidean"),
    (torch.zeros(5), r"h_tilde must have shape \(7,\), one value for each atom, got \(5,\)"),
    (H[:, None], r"h_tilde must have shape \(7,\), one value for each atom, got \(7, 1\)"),
    (H + 0j, "h_tilde must be real, got torch.complex64"),
    (H / 0, "h_tilde holds NaN or Inf; a potential is finite"),
]


@pytest.mark.parametrize(
    ("function", "arguments", "message"), [SAMPLED, *((function, *law) for function in BOTH for law in LAWS)]
)
def test_laws_and_atoms_are_named_with_what_makes_one(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        BOTH[function](*arguments)


@pytest.mark.parametrize(
    "call",
    [
        lambda h: c_transform(C, X, Y, h),
        lambda h: LaguerreCells(C, Y, h),
        lambda h: solve(MU, NU, C, h_tilde=h),
        lambda h: judged(MU, NU, C, h),
    ],
    ids=["c_transform", "LaguerreCells", "semidiscrete", "certify"],
)
@pytest.mark.parametrize(("table", "message"), TABLES)
def test_a_table_holds_one_finite_number_for_each_atom(call, table, message):
    with pytest.raises(ValueError, match=message):
        call(table)


OTHERS = {
    "c_transform, swapped": (lambda: c_transform(X, Y, H, C), rf"cost must be a Cost, got a tensor{ORDER}"),
    "c_transform, clouds swapped": (lambda: c_transform(C, Y, X, H), r"h_tilde must have shape \(5,\).* got \(7,\)"),
    "c_transform, another dtype": (lambda: c_transform(C, X.double(), Y, H), r"x is torch.float64 .*x.to\(y\)"),
    "epsilon, a word": (lambda: c_transform(C, X, Y, H, "0.1"), "epsilon must be a number >= 0, got '0.1'"),
    "epsilon, infinite": (
        lambda: c_transform(C, X, Y, H, float("inf")),
        r"a number >= 0 \(finite\), got inf",
    ),
    "semidiscrete, a table as tol": (
        lambda: solve(MU, NU, C, tol=H),
        r"a number in \(0, 2\), got a tensor \(7,\)",
    ),
    "semidiscrete, max_samples": (
        lambda: solve(MU, NU, C, max_samples="9"),
        "a whole number >= 1, got '9'",
    ),
    "semidiscrete, a number to write to": (lambda: solve(MU, NU, C, checkpoint=3), "checkpoint must be a path, got 3"),
    "semidiscrete, nothing to resume": (lambda: solve(MU, NU, C, resume="no/such/file"), "no checkpoint at"),
    "certify, a critic as table": (lambda: judged(MU, NU, C, NET), "h_tilde must be a torch tensor.*got an MLP"),
    "certify, no potential": (lambda: judged(MU, NU, C, potential=3), "potential must be a function, got 3"),
    "certify, a wide potential": (lambda: judged(MU, NU, C, potential=nn.Linear(2, 3)), "one value a point"),
    "certify, a potential elsewhere": (lambda: judged(MU, NU, C, potential=nn.Linear(3, 1)), "does not accept points"),
    "certify, no reference": (
        lambda: certify(Never(), NU, C, reference=NET),
        r"reference needs a method sample\(n\).*Pushforward",
    ),
    "certify, width": (lambda: judged(MU, NU, C, width="2 %"), "width must be a number .*, got '2 %'"),
    "certify, level": (lambda: judged(MU, NU, C, level="95"), r"level must be a number in \(0, 1\), got '95'"),
    "judge_encoder, no decoder": (
        lambda: judge_encoder(NU, NU, C, GaussianEncoder(nn.Linear(2, 4))),
        rf"mu must be a Pushforward, got an Empirical{ORDER}",
    ),
    "judge_encoder, no atoms": (
        lambda: judge_encoder(Pushforward(nn.Linear(2, 2), MU), Y, C, GaussianEncoder(nn.Linear(2, 4))),
        rf"nu must be an Empirical, got a tensor{ORDER}",
    ),
    "geometry of a class": (lambda: LatentGeometry(nn.Linear), "map must be a function.*got the class Linear"),
    "geometry of a tensor": (lambda: LatentGeometry(X), r"map must be a function.*got a tensor \(5, 2\)"),
    "geometry of nothing": (lambda: LatentGeometry([]), "a decoder must be a map.*got a list"),
    "features": (lambda: LatentGeometry(nn.Linear(2, 2), features="vgg"), "features must be a function, got 'vgg'"),
    "std": (lambda: LatentGeometry(nn.Linear(2, 2), std=0.1), "std must be a function.*got 0.1"),
    "ridge": (lambda: LatentGeometry(nn.Linear(2, 2), ridge="1e-4"), "ridge must be a number >= 0, got '1e-4'"),
    "another latent dimension": (lambda: LINEAR.metric(torch.zeros(3, 5)), "the decoder fails on points"),
    "another latent dtype": (lambda: LINEAR.metric(torch.zeros(3, 2).double()), "the decoder fails on points"),
    "geodesics of two dimensions": (lambda: GEO.geodesic(X, X[:, :1]), r"same shape.*\(5, 2\) and z1 \(5, 1\)"),
    "integer codes": (lambda: GEO.metric(torch.zeros(3, 2).long()), r"z must be floating point.*z.float\(\)"),
    "codes that are not finite": (lambda: GEO.pairwise(X / 0), "z hold NaN or Inf in 5 of 5 rows"),
    "a curve that is not finite": (lambda: GEO.length(X[None] / 0), "nodes of a curve hold NaN or Inf"),
    "velocities that are not finite": (lambda: GEO.exp(X, X / 0), "v must be finite"),
    "start, a word": (lambda: GEO.geodesic(X, X + 1, start="line"), "a start must be Line.*Graph.*got a str"),
    "segments": (lambda: GEO.geodesic(X, X + 1, segments="9"), "segments must be a whole number .*, got '9'"),
    "tol": (lambda: GEO.geodesic(X, X + 1, tol="1e-3"), r"tol must be a number in \(0, 1\], got '1e-3'"),
    "tol of exp": (lambda: GEO.exp(X, X, tol="1e-3"), r"tol must be a number in \(0, 1\], got '1e-3'"),
    "tol of log": (lambda: GEO.log(X, X + 1, tol=None), r"tol must be a number in \(0, 1\], got None"),
    "times": (lambda: Polyline(X[None])(0.5), r"t must be a torch tensor.*, got a float"),
    "no graph": (lambda: GEO.graph_pairwise(X, None), r"graph must be a Graph.*got None"),
    "Critic, no net": (lambda: Critic(lambda x: x, GradientPenalty()), "net must be a torch module, got a function"),
    "Critic, no mechanism": (
        lambda: Critic(NET, None),
        "must be a Lipschitz, got None; take a mechanism",
    ),
    "Critic, a class": (
        lambda: Critic(NET, GradientPenalty),
        "got the class GradientPenalty; call the class",
    ),
    "Critic, a function": (lambda: Critic(NET, GradientPenalty(), torch.sigmoid), "output must be a torch module"),
    "BatchCritic, no net": (lambda: BatchCritic(None), "net must be a torch module, got None"),
    "Critic, not bound": (lambda: Critic(MLP(2, 3), GradientPenalty())(X), "the critic maps .* has one value a point"),
    **{
        f"{name}, another dimension": (lambda p=p: p(torch.zeros(5, 3)), r"points x (must be )?\(n, 2\).*got \(5, 3\)")
        for name, p in POTENTIALS.items()
    },
    **{
        f"{name}, another dtype": (lambda p=p: p(X.double()), "x is torch.float64 .* torch.float32")
        for name, p in POTENTIALS.items()
    },
    **{
        f"{name}, integers": (lambda p=p: p(X.long()), "x is torch.int64 .* torch.float32")
        for name, p in POTENTIALS.items()
    },
    **{
        f"{name}.bind, swapped": (
            lambda p=p: p.bind(MU, Euclidean(), NU),
            rf"a Measure, got a Euclidean.*{ORDER}",
        )
        for name, p in POTENTIALS.items()
    },
}


@pytest.mark.parametrize("case", OTHERS)
def test_the_error_names_the_argument_and_the_remedy(case):
    call, message = OTHERS[case]
    with pytest.raises(ValueError, match=message):
        call()


def test_a_solve_writes_to_a_file_named_by_its_text_and_makes_the_folder(tmp_path):
    file = tmp_path / "new" / "solve.safetensors"
    solution = solve(MU, NU, C, checkpoint=str(file))
    assert solve(MU, NU, C, resume=str(file)).samples >= solution.samples


def test_a_solve_that_cannot_write_says_so_before_it_samples(tmp_path):
    with pytest.raises(ValueError, match=r"a checkpoint is one file, and .* is a folder"):
        solve(Never(), NU, C, checkpoint=tmp_path)


class Never:
    def sample(self, n):
        raise AssertionError("nothing is to be drawn")
