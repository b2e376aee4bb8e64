"""Every public callable with arguments that it takes: the calls that are then spoilt."""

from __future__ import annotations

import functools
import importlib
import inspect
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import nn
from torch.distributions import Categorical, Independent, Normal

import ot_gen as og
from ot_gen import data, divergences, evaluation, geometry, networks, potentials, priors, semidual, transport
from ot_gen.evaluation import classes, transports

ROOMS = (
    *("measures", "costs", "networks", "transport", "semidual", "schedules", "divergences", "couplings", "potentials"),
    *("solvers", "conditioning", "training", "barycentres", "priors", "data", "geometry", "evaluation", "plot"),
)
# Callables with a reason why no argument of theirs is spoilt here.
LEFT_OUT = {
    **{f"{name}.given": "is for measures of rows" for name in ("Reference", "CellMixture", "Law", "Measures")},
    **{f"{name}.rsample_given": "is for measures of rows" for name in ("Reference", "CellMixture", "Law", "Measures")},
    "LabelledData.from_cube": "is no image of a cube",
    "ResNetGenerator.forward": "normalises groups, and those of numbers that overflow have no deviation",
    **dict.fromkeys(("Progress", "SolveProgress", "SemidiscreteSolution", "Certificate", "Geodesics"), "a result"),
    **dict.fromkeys(("Barycentre", "Moments", "GaussianMap", "GaussianBarycentre"), "a result"),
    "VolumeMap": "a result",
    "Rates": "a part of the loop, made of its optimizers",
    **{f"NegativeLogLikelihood.{face}": "takes laws, by decoded" for face in ("forward", "matrix")},
    "Best": "takes any number of starts",
    **dict.fromkeys(("mnist_full", "fashion_mnist", "cifar10"), "asks the network"),
    "CellMixture.from_cube": "is no image of a cube",
    "Lipschitz": "what mechanisms have in common",
    "Mixture": "made by torch's constructor",
    **{
        f"{law}.from_cube": "no image of a cube"
        for law in ("BrownianMotion", "WrappedNormal", "LocallyAdaptiveNormal", "Law", "Measures")
    },
}


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def law(n: int = 5, d: int = 2) -> Independent:
    return Independent(Normal(numbers(n, d, seed=3), torch.ones(n, d)), 1)


def of_classes(kind: str) -> Any:
    """A part of a small problem with two classes."""
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    nu = og.LabelledData(og.Empirical(numbers(6, 2, seed=1)), labels)
    zeta = og.Labelled(og.standard_gaussian(2), nu.shares)
    parts: dict[str, Callable[[], Any]] = {
        "labels": lambda: labels,
        "data": lambda: nu,
        "reference": lambda: zeta,
        "rows": lambda: og.labelled(numbers(6, 2), labels),
        "net": lambda: og.Conditional(og.MLP(2, 2, (4,)), 2),
        "model": lambda: og.Pushforward(og.WithLabel(og.Conditional(og.MLP(2, 2, (4,)), 2)), zeta),
        "velocity": lambda: og.LabelledVelocity(og.DenseVelocity(2, 8, classes=2)),
        "pairing": lambda: og.LabelPairing(og.IndependentPairing(), 2),
        "potential": lambda: og.LabelPotential(og.DiscretePotential(), 2),
        "bound": _of_classes_bound,
        "solver": lambda: og.PrimalSolver(og.SquaredEuclidean(), og.PlanCoupling(og.exact_plan)),
    }
    return parts[kind]()


def _of_classes_bound() -> og.Potential:
    potential: og.Potential = of_classes("potential")
    potential.bind(of_classes("model"), of_classes("data"), og.SquaredEuclidean())
    return potential


def part(kind: str) -> Callable[[], Any]:
    return lambda: of_classes(kind)


def bound(potential: og.Potential, cost: og.Cost | None = None) -> og.Potential:
    potential.bind(og.standard_gaussian(2), og.Empirical(numbers(6, 2, seed=1)), cost or og.Euclidean())
    return potential


def paraboloids() -> og.BrenierPotential:
    return og.BrenierPotential(og.Paraboloid(og.MLP(2, 1, (4,))), og.Displacement(og.MLP(2, 2, (4,))))


def matrices(family: potentials.Matrices) -> potentials.Matrices:
    family.start(torch.eye(2), 2)
    return family


def pushforward() -> og.Pushforward:
    return og.Pushforward(og.MLP(2, 2, (4,)), og.standard_gaussian(2))


def flow() -> og.FlowMap:
    return og.FlowMap(og.DenseVelocity(2, 4, 1), 2)


def flowing() -> og.Pushforward:
    return og.Pushforward(flow(), og.standard_gaussian(2))


def table() -> og.TablePairing:
    pairing = og.TablePairing(0.5, 2**10)
    pairing.settle(VALUES["zeta"](), VALUES["nu"](), og.SquaredEuclidean(), None, None)
    return pairing


def two_tables() -> list[og.Measure]:
    return [og.Empirical(numbers(6, 2, seed=k)) for k in range(2)]


def latent() -> og.LatentGeometry:
    torch.manual_seed(0)
    return og.LatentGeometry(nn.Sequential(nn.Linear(2, 3), nn.Softplus()))


# What an argument of a name is, where nothing else is said.
VALUES: dict[str, Callable[[], Any]] = {
    **dict.fromkeys(("x", "points", "u", "v", "w", "z1"), lambda: numbers(5, 2)),
    **dict.fromkeys(("z", "z0", "codes", "out"), lambda: numbers(5, 2, seed=4) / 2),
    **dict.fromkeys(("y", "atoms"), lambda: numbers(5, 2, seed=1)),
    "t": lambda: torch.linspace(0, 1, 4),
    "h_tilde": lambda: numbers(5, seed=2),
    "C": lambda: numbers(4, 5).abs(),
    "a": lambda: torch.full((4,), 0.25),
    "b": lambda: torch.full((5,), 0.2),
    "weights": lambda: torch.full((5,), 0.2),
    "cost": og.SquaredEuclidean,
    "mu": lambda: og.standard_gaussian(2),
    "nu": lambda: og.Empirical(numbers(6, 2, seed=1)),
    "train": lambda: og.Empirical(numbers(6, 2, seed=1)),
    "test": lambda: og.Empirical(numbers(7, 2, seed=5)),
    "base": lambda: og.standard_gaussian(2),
    "zeta": lambda: og.standard_gaussian(2),
    "law": law,
    "q": law,
    "net": lambda: og.MLP(2, 2, (4,)),
    "map": lambda: og.MLP(2, 2, (4,)),
    "mean": lambda: og.MLP(2, 3, (4,)),
    "encoder": lambda: og.GaussianEncoder(og.MLP(2, 4, (4,))),
    "divergence": og.KL,
    "coupling": lambda: og.PlanCoupling(og.exact_plan),
    "potential": lambda: og.AnchorCritic(4, flat_dim=0),
    "plan": lambda: og.exact_plan,
    "kernel": og.InverseMultiquadric,
    "geometry": latent,
    "graph": lambda: geometry.Graph(numbers(20, 2)),
    "metric": lambda: latent(),
    "curve": lambda: geometry.Polyline(numbers(2, 5, 2)),
    "nodes": lambda: numbers(2, 5, 2),
    "h": lambda: lambda x: x.sum(dim=1),
    "lipschitz": og.GradientPenalty,
    "features": lambda: og.MLP(2, None, (4,)),
    "transform": torch.distributions.transforms.ExpTransform,
    "solver": lambda: og.DualSolver(og.Euclidean(), og.AnchorCritic(4, flat_dim=0)),
    "distances": lambda: torch.cdist(numbers(6, 2), numbers(6, 2)),
    "bounds": lambda: torch.tensor([[-1.0, 1.0], [-1.0, 1.0]]),
    "value": lambda: numbers(5, 2),
    "loc": lambda: numbers(2),
    "origin": lambda: torch.zeros(3),
    "means": lambda: numbers(3, 2),
    "image": lambda: numbers(5, 784),
    "n": lambda: 4,
    "dim": lambda: 2,
    "in_dim": lambda: 2,
    "out_dim": lambda: 2,
    "count": lambda: 2,
    "segments": lambda: 4,
    "steps": lambda: 3,
    "size": lambda: 3,
    "tol": lambda: 0.5,
    "epsilon": lambda: 0.5,
    "penalty": lambda: 1.0,
    "mass": lambda: 0.5,
    "fraction": lambda: 0.5,
    "std": lambda: 0.5,
    "scale": lambda: 0.1,
    "time": lambda: 0.1,
    "weight": lambda: 1.0,
    "p": lambda: 2.0,
    "seed": lambda: 0,
    "variance": lambda: 1.0,
    "strength": lambda: 1.0,
    "shape": lambda: (1, 28, 28),
    "velocity": lambda: og.DenseVelocity(2, 4, 1),
    "pairing": og.IndependentPairing,
    **dict.fromkeys(("keep", "resume"), lambda: None),
}
# Arguments of one callable: those that its name alone does not tell, and small sizes for what would take long.
SPECIAL: dict[str, dict[str, Callable[[], Any]]] = {
    "certify": {"max_samples": lambda: 2**10, "max_seconds": lambda: 1.0},
    "semidiscrete": {"tol": lambda: 0.5, "max_samples": lambda: 2**10, "max_seconds": lambda: 1.0},
    "fit": {"batch_size": lambda: 4, "mu": pushforward, "steps": lambda: 3},
    "judge": {"n": lambda: 20},
    "judge_encoder": {
        "mu": pushforward,
        **{key: (lambda: 20) for key in ("n", "mismatch_n", "likelihood_n")},
        "samples": lambda: 2,
    },
    "ex_post_prior": {"components": lambda: 1, "samples": lambda: 50},
    "save_prior": {"prior": lambda: _mixture(), "path": lambda: _file("prior")},
    "load_prior": {"path": lambda: _prior()},
    "flow_prior": {"steps": lambda: 2, "width": lambda: 4, "samples": lambda: 50, "pairing": og.IndependentPairing},
    "semidiscrete_prior": {"samples": lambda: 50, "mix": lambda: 2, "max_samples": lambda: 2**10},
    "CellMixture": {
        "codes": lambda: numbers(5, 2),
        "h_tilde": lambda: torch.zeros(5),
        "units": lambda: og.Units(torch.zeros(2), torch.ones(2)),
        "mix": lambda: 2,
        "jump": lambda: 99.0,
    },
    "gaussian_mixture": {"weights": lambda: torch.full((3,), 1 / 3)},
    "add_head": {"body": lambda: og.MLP(2, None, (4,))},
    "assignment": {"C": lambda: numbers(5, 5)},
    "assignment_potentials": {"C": lambda: torch.ones(3, 3), "sigma": lambda: torch.arange(3)},
    "unbalanced_plan": {"tol": lambda: 1e-3},
    "Unbalanced": {"data": lambda: og.KLMarginal(1.0)},
    "Unbalanced.dual": {"h": lambda: numbers(4)},
    **{f"{of}.divergence": {"s": lambda: numbers(4).abs()} for of in ("KLMarginal", "ChiSquaredMarginal")},
    "fit_adaptive_normal": {"samples": lambda: 8, "rounds": lambda: 1},
    "frechet_mean": {"rounds": lambda: 2},
    "conformal": {"factor": lambda: lambda z: 1 + z.square().sum(dim=1)},
    "digit_features": {"images": lambda: torch.rand(3, 784)},
    "digit_classes": {"images": lambda: torch.rand(3, 784)},
    "mutual_information": {"q": lambda: law(12)},
    "conditional_kl": {"q": lambda: law(12)},
    "aggregate_kl": {"q": lambda: law(12)},
    "BernoulliNLL.matrix": {"x": lambda: torch.rand(5, 2), "y": lambda: torch.rand(5, 2)},
    "BernoulliNLL.forward": {"x": lambda: torch.rand(5, 2), "y": lambda: torch.rand(5, 2)},
    "FlowEncoder": {"layers": lambda: 1},
    "WeightedSum": {"terms": lambda: [og.KL(), og.CodeNorm()], "weights": lambda: [1.0, 0.5]},
    "FullMixture": {"weights": lambda: torch.ones(3) / 3, "scale_tril": lambda: torch.eye(2).expand(3, 2, 2)},
    "Transported": {"base": law},
    "Labelled": {"parts": lambda: og.standard_gaussian(2), "shares": lambda: torch.tensor([0.5, 0.5])},
    "LabelledData": {"data": lambda: og.Empirical(numbers(6, 2)), "labels": part("labels")},
    "labelled": {"x": lambda: numbers(6, 2), "labels": part("labels")},
    **{name: {"rows": part("rows")} for name in ("unlabelled", "Conditional.forward", "WithLabel.forward")},
    "alike": {"measure": lambda: og.standard_gaussian(2), "rows": lambda: numbers(6, 2)},
    "joint": {"mu": part("model"), "nu": part("data"), "n": lambda: 6},
    "LabelledLaw": {"law": lambda: law(6, 2), "labels": lambda: torch.zeros(6)},
    "LabelledVelocity.forward": {"t": lambda: torch.rand(6), "rows": part("rows")},
    **{f"LabelCost.{face}": {"x": part("rows"), "y": part("rows")} for face in ("forward", "matrix")},
    **{f"LabelPairing.{of}": {"zeta": part("reference"), "nu": part("data")} for of in ("forward", "bind", "settle")},
    **{
        f"LabelPotential.{of}": {"x": part("rows"), "y": part("rows")}
        for of in ("forward", "conjugate_mean", "penalty")
    },
    "LabelPotential.check": {"x": part("rows")},
    "LabelPotential.bind": {"mu": part("model"), "nu": part("data")},
    "by_label": {"solver": part("solver"), "classes": lambda: 2},
    "with_classes": {"map": lambda: og.MLP(2, 2, (4,)), "classes": lambda: 2},
    "Reference": {"law": lambda: Independent(Normal(torch.zeros(2), torch.ones(2)), 1)},
    "BrenierPotential": {
        "phi": lambda: og.Paraboloid(og.MLP(2, 1, (4,))),
        "mover": lambda: og.Displacement(og.MLP(2, 2, (4,))),
    },
    **{key: {"width": lambda: 2, "halvings": lambda: 2} for key in ("ConvGenerator", "ResNetGenerator")},
    "UNetVelocity": {"width": lambda: 8, "classes": lambda: 3, "halvings": lambda: 2},
    "SchrodingerBridge": {
        **{key: (lambda: numbers(2)) for key in ("log_weights", "p", "q")},
        "centres": lambda: numbers(2, 2),
        "matrices": lambda: torch.eye(2).expand(2, 2, 2),
    },
    **{f"SchrodingerBridge.{name}": {"t": lambda: 0.5} for name in ("between", "drift", "log_h")},
    **{f"{family}.distances": {"centres": lambda: numbers(2, 2)} for family in ("FullMatrices", "DiagonalMatrices")},
    **{f"{family}.start": {"matrix": lambda: torch.eye(2)} for family in ("FullMatrices", "DiagonalMatrices")},
    "gaussian_matrix": {"first": lambda: torch.eye(2), "second": lambda: 2 * torch.eye(2)},
    "DenseVelocity": {"width": lambda: 8, "classes": lambda: 3},
    "RungeKutta": {"a": lambda: [[], [1.0]], "b": lambda: [0.5, 0.5]},
    "RungeKutta.step": {"f": lambda: lambda t, x: t * x, "t": lambda: 0.5, "h": lambda: 0.1},
    "FlowMap.velocity_at": {"t": lambda: torch.rand(5)},
    "DenseVelocity.forward": {"t": lambda: torch.rand(5)},
    "evaluations": {"module": flow, "number": lambda: 3},
    "flow_model": {"mu": flowing},
    "TablePairing": {"max_samples": lambda: 2**10},
    **{f"VelocityRegression.{of}": {"mu": flowing} for of in ("forward", "bind", "settle")},
    **{key: {"width": lambda: 2, "halvings": lambda: 2} for key in ("ConvFeatures", "ResNetFeatures")},
    "RBFPrecision": {"centres": lambda: 4},
    "Mixture": {
        "mixture_distribution": lambda: Categorical(torch.ones(3) / 3),
        "component_distribution": lambda: law(3),
    },
    "probe": {"name": lambda: "the net", "rule": lambda: "give it two inputs"},
    "widened": {"numbers": lambda: numbers(3, 2)},
    "is_contraction": {"module": lambda: nn.Linear(2, 2)},
    "gaussian_barycentre": {
        "covariances": lambda: [torch.eye(2), torch.eye(2) * 2],
        "weights": lambda: torch.tensor([0.5, 0.5]),
    },
    "barycentre": {"measures": two_tables, "weights": lambda: torch.tensor([0.5, 0.5]), "tol": lambda: 0.5},
    "gradient_flow": {
        "measures": two_tables,
        "weights": lambda: torch.tensor([0.5, 0.5]),
        "start": lambda: numbers(4, 2),
        "steps": lambda: 2,
    },
    "Measures": {"parts": two_tables, "weights": lambda: torch.tensor([0.5, 0.5])},
    "SumSolver": {"terms": lambda: [VALUES["solver"]()]},
    "gaussian_maps": {"S": lambda: torch.eye(2), "R": lambda: torch.eye(2) * 2},
    "ShardedAtoms": {"processes": og.Processes},
    "AdversarialJS": {"discriminator": lambda: og.MLP(2, 1, (4,))},
    **{kl: {"atoms": lambda: 9} for kl in ("MinibatchWeightedKL", "StratifiedKL")},
    "witnesses": {
        "within_x": lambda: torch.rand(5, 5),
        "within_y": lambda: torch.rand(5, 5),
        "across": lambda: torch.rand(5, 5),
    },
    "iwae_bound": {"log_w": lambda: numbers(5, 3)},
    "NaturalDescent": {
        "potential": lambda: bound(og.DiscretePotential()),
        "parameters": lambda: list(bound(og.DiscretePotential()).parameters()),
    },
    "BrownianMotion": {"start": lambda: torch.zeros(2), "steps": lambda: 3},
    "LocallyAdaptiveNormal": {
        "mean": lambda: torch.zeros(2),
        "covariance": lambda: torch.eye(2),
        "samples": lambda: 4,
        "segments": lambda: 4,
    },
    "MatrixMetric": {"field": lambda: lambda z: torch.eye(2).expand(len(z), 2, 2)},
    "PullbackMetric": {"f": lambda: nn.Linear(2, 3)},
    "Metrics": {"views": lambda: {"points": evaluation.View({"fd": transports.FrechetDistance()})}},
    "View": {"metrics": lambda: {"fd": transports.FrechetDistance()}},
    "log_weights": {"log_likelihood": lambda: lambda codes, y: -codes.square().sum(dim=-1)},
    "Standardised": {
        "law": lambda: og.standard_gaussian(2),
        "units": lambda: og.Units.shared(VALUES["nu"]()),
    },
    "Units": {"shift": lambda: torch.zeros(2), "scale": lambda: torch.tensor(2.0)},
    "Ball": {"radius": lambda: 9.0},
    "Box": {"low": lambda: -9.0, "high": lambda: 9.0},
    "MomentBound": {"order": lambda: 4.0, "bound": lambda: 9.0},
    "Placed": {"units": lambda: og.Units.shared(VALUES["nu"]())},
    "OfOwnUnits": {"units": lambda: og.Units.shared(VALUES["nu"]())},
    "Graph": {"codes": lambda: numbers(20, 2)},
    "WrappedNormal": {"mean": lambda: torch.zeros(2)},
    "volume_map": {"size": lambda: 3, "bounds": lambda: torch.tensor([[-1.0, -1.0], [1.0, 1.0]])},
    "Components": {"law": lambda: og.gaussian_mixture(numbers(3, 2), 0.5)},
    "NearestLabels": {"points": lambda: numbers(6, 2), "labels": lambda: torch.arange(6) % 2},
    "class_accuracy": {"found": lambda: torch.arange(5) % 2, "asked": lambda: torch.arange(5) % 3},
    "BernoulliNLL.decoded": {"out": lambda: torch.rand(5, 2), "y": lambda: torch.rand(5, 2)},
    "NegativeLogLikelihood.decoded": {"out": law},
    **{f"{measure}.from_cube": {"u": lambda: torch.rand(5, 2)} for measure in ("Reference", "Pushforward")},
    "Labelled.from_cube": {"u": lambda: torch.rand(5, 3)},
    "LabelledData.rsample_given": {"labels": part("labels")},
    "Labelled.rsample_given": {"labels": part("labels")},
    "Empirical.from_cube": {"u": lambda: torch.rand(5, 1)},
    "UniformSphere.expand": {"batch_shape": lambda: (4,), "_instance": lambda: None},
    **{f"{coupling}.bind": {"mu": pushforward} for coupling in ("EncoderCoupling", "ImportanceCoupling")},
    **{f"{critic}.bind": {"cost": og.Euclidean} for critic in ("Critic", "AnchorCritic")},
    "toy": {"law": data.two_moons, "size": lambda: 9, "test_size": lambda: 8},
    "Dataset": {"shape": lambda: (1, 1, 2), "train_labels": lambda: torch.arange(6)},
    "split": {"points": lambda: numbers(9, 2), "labels": lambda: torch.arange(9), "shape": lambda: (1, 2, 1)},
    "Law": {"draw": lambda: lambda n: torch.rand(n, 2), "description": lambda: "uniform"},
    "points": {"path": lambda: _array("points.npy", numbers(9, 2))},
    "samples": {"path": lambda: _array("samples.npy", numbers(9, 2)), "shape": lambda: None, "ax": lambda: _axes()},
    "image_folder": {"path": lambda: _pictures(), "size": lambda: (4, 4)},
    "images": {"path": lambda: _array("images.npy", torch.rand(9, 4, 4)), "shape": lambda: (1, 4, 4)},
    "celeba": {"path": lambda: _faces(), "size": lambda: 4, "crop": lambda: 8},
    "from_torch": {"dataset": lambda: [(torch.rand(1, 2, 2), i % 2) for i in range(9)], "test": lambda: None},
    "doubt_of_digits": {"images": lambda: torch.rand(5, 784), "labels": lambda: torch.arange(5)},
    "Pixels": {"images": lambda: torch.rand(5, 1, 2, 2)},
    "mnist": {"path": lambda: _digits()},
    "shapes": {"size": lambda: 4, "test_size": lambda: 2, "pixels": lambda: 8},
    "UniformSphere.log_prob": {"value": lambda: torch.eye(3)},
    **{f"{coupling}.forward": {"mu": pushforward} for coupling in ("EncoderCoupling", "ImportanceCoupling")},
    "Transported.log_prob": {"value": lambda: numbers(2)},
    "UNetVelocity.forward": {"t": lambda: torch.rand(5), "x": lambda: numbers(5, 16)},
    **{f"{name}Features.forward": {"x": lambda: torch.rand(2, 784)} for name in ("Conv", "ResNet")},
    "Graph.lengths": {"metric": lambda: latent().metric_field},
    "Memorisation.estimate": {"train": lambda: numbers(6, 2, seed=6)},
    **{
        f"{metric}.estimate": dict.fromkeys("xy", lambda: torch.arange(5) % 3)
        for metric in ("ClassError", "ModeCoverage")
    },
    **{f"DigitClassifier.{of}": {"images": lambda: torch.rand(3, 784)} for of in ("forward", "features", "classes")},
    "judgement_of": {"measured": lambda: _metrics()(numbers(9, 2), numbers(9, 2, seed=1), numbers(9, 2, seed=5), n=4)},
    "measures_exactly": {"metrics": lambda: _metrics()},
    **{f"{plan}.cost_of": {"x": lambda: numbers(4, 2)} for plan in ("SparsePlan", "DensePlan")},
    **{f"LatentGeometry.{of}": {"tol": lambda: 1e-2} for of in ("exp", "log")},
    "LatentGeometry.transport": {"w": lambda: numbers(2, 2)},
    "PixelwiseStd": {"net": lambda: og.MLP(2, 3, (4,))},
    "cells": {
        "of": lambda: semidual.LaguerreCells(og.SquaredEuclidean(), numbers(5, 2), numbers(5)),
        "size": lambda: 9,
        "ax": lambda: _axes(),
    },
    "trajectories": {"paths": lambda: numbers(4, 5, 2), "ax": lambda: _axes()},
    "geodesics": {
        "curves": lambda: latent().geodesic(torch.zeros(1, 2), torch.ones(1, 2), segments=4),
        "ax": lambda: _axes(),
    },
    "intervals": {"rows": lambda: {"a": (0.5, 1.0)}, "ax": lambda: _axes()},
    "curve": {"progress": lambda: [{"step": 1.0, "value": 2.0}], "ax": lambda: _axes()},
    "codes": {"ax": lambda: _axes()},
    "plan": {"coupling": lambda: transport.exact_plan(numbers(4, 5)), "ax": lambda: _axes()},
    "judge_beside": {"judgement": lambda: og.judge(VALUES["mu"](), VALUES["train"](), VALUES["test"](), n=7)},
}
# Functions that no room names.
FURTHER = (data.Dataset.split, data.law.Law)
# Objects whose methods are called.
OBJECTS: dict[str, Callable[[], Any]] = {
    "SquaredEuclidean": og.SquaredEuclidean,
    "Euclidean": og.Euclidean,
    "Lp": lambda: og.Lp(3.0),
    "InnerProduct": og.InnerProduct,
    "FeatureCost": lambda: og.FeatureCost(og.MLP(2, 3, (4,)), og.Euclidean()),
    "BernoulliNLL": og.BernoulliNLL,
    "NegativeLogLikelihood": og.NegativeLogLikelihood,
    "GeodesicCost": lambda: og.GeodesicCost(latent()),
    "Empirical": VALUES["nu"],
    "Reference": lambda: og.standard_gaussian(2),
    "Labelled": part("reference"),
    "LabelledData": part("data"),
    "Conditional": part("net"),
    "WithLabel": lambda: og.WithLabel(of_classes("net")),
    "LabelledVelocity": part("velocity"),
    "LabelCost": lambda: og.LabelCost(og.SquaredEuclidean()),
    "LabelPairing": part("pairing"),
    "LabelPotential": part("bound"),
    "CellMixture": lambda: priors.CellMixture(numbers(5, 2), torch.zeros(5), og.Units(torch.zeros(2), torch.ones(2))),
    "Pushforward": pushforward,
    "Dirac": lambda: og.Dirac(numbers(2)),
    "UniformSphere": lambda: og.UniformSphere(torch.zeros(3)),
    "FullMixture": lambda: og.FullMixture(torch.ones(3) / 3, numbers(3, 2), torch.eye(2).expand(3, 2, 2)),
    "LearnedMixture": lambda: og.LearnedMixture(numbers(3, 2), 0.5),
    "MLP": lambda: og.MLP(2, 3, (4,)),
    "FlowMap": flow,
    "RungeKutta": lambda: networks.RungeKutta([[], [1.0]], [0.5, 0.5]),
    "DenseVelocity": lambda: og.DenseVelocity(2, 4, 1),
    "UNetVelocity": lambda: og.UNetVelocity((1, 4, 4), 8),
    "IndependentPairing": og.IndependentPairing,
    "PlanPairing": lambda: og.PlanPairing(og.exact_plan, 6),
    "TablePairing": table,
    "VelocityRegression": lambda: og.VelocityRegression(og.IndependentPairing()),
    "ICNN": lambda: og.ICNN(2, (4,), 4),
    "ConvGenerator": lambda: og.ConvGenerator(2, (1, 28, 28), 2),
    "ResNetGenerator": lambda: og.ResNetGenerator(2, (1, 28, 28), 2),
    "GaussianDecoder": lambda: og.GaussianDecoder(og.MLP(2, 3, (4,)), 0.5),
    "BernoulliDecoder": lambda: og.BernoulliDecoder(nn.Sequential(og.MLP(2, 3, (4,)), nn.Sigmoid())),
    "CodeMean": lambda: og.CodeMean(og.DiracEncoder(og.MLP(2, 2, (4,)))),
    "DiracEncoder": lambda: og.DiracEncoder(og.MLP(2, 2, (4,))),
    "SphereEncoder": lambda: og.SphereEncoder(og.MLP(2, 2, (4,))),
    "NoisyEncoder": lambda: og.NoisyEncoder(og.MLP(2, 2, (4,)), 0.1),
    "GaussianEncoder": lambda: og.GaussianEncoder(og.MLP(2, 4, (4,))),
    "FullGaussianEncoder": lambda: og.FullGaussianEncoder.on(og.MLP(2, None, (4,)), 2),
    "GroupSort": og.GroupSort,
    "GradientPenalty": og.GradientPenalty,
    "OneSidedPenalty": og.OneSidedPenalty,
    "SpectralNorm": og.SpectralNorm,
    "KL": og.KL,
    "CodeNorm": og.CodeNorm,
    "MMD": lambda: og.MMD(og.InverseMultiquadric()),
    "CramerWold": og.CramerWold,
    "SlicedWasserstein": og.SlicedWasserstein,
    "SinkhornDivergence": og.SinkhornDivergence,
    "AdversarialJS": lambda: og.AdversarialJS(og.MLP(2, 1, (4,))),
    "BatchTransport": og.BatchTransport,
    "InverseMultiquadric": og.InverseMultiquadric,
    "GaussianKernel": og.GaussianKernel,
    "Critic": lambda: bound(og.Critic(og.MLP(2, 1, (4,)), og.GradientPenalty())),
    "AnchorCritic": lambda: bound(og.AnchorCritic(4, flat_dim=0)),
    "BatchCritic": lambda: bound(og.BatchCritic(og.MLP(2, 1, (4,)))),
    "DiscretePotential": lambda: bound(og.DiscretePotential()),
    "BrenierPotential": lambda: bound(paraboloids(), og.SquaredEuclidean()),
    "MixturePotential": lambda: bound(og.MixturePotential(0.5, 2), og.SquaredEuclidean()),
    "SchrodingerBridge": lambda: bound(og.MixturePotential(0.5, 2), og.SquaredEuclidean()).bridge(),
    "FullMatrices": lambda: matrices(og.FullMatrices()),
    "DiagonalMatrices": lambda: matrices(og.DiagonalMatrices()),
    "PlanCoupling": lambda: og.PlanCoupling(og.exact_plan),
    "MatchedPlanCoupling": lambda: og.MatchedPlanCoupling(og.exact_plan),
    "Measures": lambda: og.Measures(two_tables(), torch.tensor([0.5, 0.5])),
    "DebiasedPlanCoupling": lambda: og.DebiasedPlanCoupling(og.exact_plan),
    "EncoderCoupling": lambda: og.EncoderCoupling(og.GaussianEncoder(og.MLP(2, 4, (4,))), og.KL(), 1.0),
    "PrimalSolver": lambda: og.PrimalSolver(og.SquaredEuclidean(), og.PlanCoupling(og.exact_plan)),
    "KLMarginal": lambda: og.KLMarginal(1.0),
    "ChiSquaredMarginal": lambda: og.ChiSquaredMarginal(1.0),
    "Unbalanced": lambda: og.Unbalanced(og.KLMarginal(1.0)),
    "LaguerreCells": lambda: semidual.LaguerreCells(og.SquaredEuclidean(), numbers(5, 2, seed=1), numbers(5)),
    "SparsePlan": lambda: transport.exact_plan(numbers(4, 5)),
    "DensePlan": lambda: transport.sinkhorn_plan(numbers(4, 5), epsilon=1.0),
    "LatentGeometry": latent,
    "Polyline": lambda: geometry.Polyline(numbers(2, 5, 2)),
    "Spline": lambda: geometry.Spline(numbers(2, 5, 2)),
    "Geodesics": lambda: latent().geodesic(torch.zeros(1, 2), torch.ones(1, 2)),
    "ExactTransport": lambda: transports.ExactTransport(og.SquaredEuclidean()),
    "SlicedTransport": lambda: transports.SlicedTransport(20),
    "FrechetDistance": transports.FrechetDistance,
    "SinkhornDistance": lambda: transports.SinkhornDistance(0.5),
    "Transported": lambda: og.Transported(law(2), torch.distributions.transforms.AffineTransform(1.0, 2.0)),
    "ConvFeatures": lambda: og.ConvFeatures((1, 28, 28), 2),
    "ResNetFeatures": lambda: og.ResNetFeatures((1, 28, 28), 2),
    "FlowEncoder": lambda: og.FlowEncoder(og.MLP(2, None, (4,)), 2, layers=1),
    "LearnedStd": og.LearnedStd,
    "PixelwiseStd": lambda: og.PixelwiseStd(og.MLP(2, 3, (4,))),
    "RBFPrecision": lambda: og.RBFPrecision(2, 3, 4),
    "WeightClip": og.WeightClip,
    "Orthogonal": og.Orthogonal,
    "ShardedAtoms": lambda: og.ShardedAtoms(og.Processes(), numbers(5, 2)),
    "DebiasedTransport": og.DebiasedTransport,
    "MaxSlicedWasserstein": og.MaxSlicedWasserstein,
    "CubicKernel": divergences.CubicKernel,
    "EnergyKernel": divergences.EnergyKernel,
    "GaussianScales": lambda: divergences.GaussianScales(1.0),
    "MinibatchWeightedKL": lambda: og.MinibatchWeightedKL(9),
    "StratifiedKL": lambda: og.StratifiedKL(9),
    "WeightedSum": lambda: og.WeightedSum([og.KL(), og.CodeNorm()], [1.0, 0.5]),
    "ImportanceCoupling": lambda: og.ImportanceCoupling(og.GaussianEncoder(og.MLP(2, 4, (4,))), 1.0),
    "Paraboloid": lambda: og.Paraboloid(og.MLP(2, 1, (4,))),
    "Displacement": lambda: og.Displacement(og.MLP(2, 2, (4,))),
    "DualSolver": lambda: og.DualSolver(og.Euclidean(), bound(og.AnchorCritic(4, flat_dim=0))),
    "Line": geometry.Line,
    "Graph": lambda: geometry.Graph(numbers(20, 2)),
    "BrownianMotion": lambda: geometry.BrownianMotion(latent(), torch.zeros(2), 0.1, steps=3),
    "WrappedNormal": lambda: geometry.WrappedNormal(latent(), torch.zeros(2), 0.1),
    "LocallyAdaptiveNormal": lambda: geometry.LocallyAdaptiveNormal(latent(), torch.zeros(2), torch.eye(2), samples=4),
    "MatrixMetric": lambda: geometry.MatrixMetric(lambda z: torch.eye(2).expand(len(z), 2, 2)),
    "PullbackMetric": lambda: geometry.PullbackMetric(nn.Linear(2, 3)),
    **{
        share: lambda share=share: getattr(evaluation, share)(k=1)
        for share in ("Precision", "Recall", "Density", "Coverage")
    },
    "ClassError": evaluation.ClassError,
    "ModeCoverage": evaluation.ModeCoverage,
    "DigitClassifier": evaluation.DigitClassifier.shipped,
    "SemidiscreteSolution": lambda: _solution(),
    "Best": lambda: geometry.Best(geometry.Line(), geometry.Line()),
    "MeanDiscrepancy": lambda: evaluation.MeanDiscrepancy(og.InverseMultiquadric()),
    "Memorisation": evaluation.Memorisation,
    "View": lambda: evaluation.View({"fd": transports.FrechetDistance()}),
    "Law": data.two_moons,
    "Frame": potentials.Frame,
    "Components": lambda: classes.Components(og.gaussian_mixture(numbers(3, 2), 0.5)),
}


class Case(NamedTuple):
    """A call that is right: what is called, and its arguments by name, all made anew."""

    name: str
    names: tuple[str, ...]  # of the arguments
    make: Callable[[], tuple[Callable[..., Any], dict[str, Any]]]


@functools.cache
def cases() -> tuple[Case, ...]:
    """One for every checked callable whose arguments are known."""
    return tuple(case for case in _cases() if case is not None)


def callables() -> Iterator[tuple[str, Any]]:
    """Names and objects of all public rooms: "costs.Lp", "semidual.c_transform"."""
    for room in ROOMS:
        module = importlib.import_module(f"ot_gen.{room}")
        for name in getattr(module, "__all__", [n for n in vars(module) if not n.startswith("_")]):
            thing = getattr(module, name)
            if getattr(thing, "__module__", "").startswith(f"ot_gen.{room}"):
                yield f"{room}.{name}", thing


def _cases() -> Iterator[Case | None]:
    for _, thing in callables():
        if inspect.isclass(thing) and not inspect.isabstract(thing):
            yield _case(thing.__name__, lambda thing=thing: thing, thing.__init__)
        elif inspect.isfunction(thing):
            yield _case(thing.__name__, lambda thing=thing: thing, thing)
    for thing in FURTHER:
        yield _case(thing.__name__, lambda thing=thing: thing, thing.__init__ if inspect.isclass(thing) else thing)
    for name, make in OBJECTS.items():
        for method, member in inspect.getmembers(type(make()), inspect.isfunction):
            if not method.startswith("_") and method not in HARMLESS:
                yield _case(f"{name}.{method}", lambda make=make, m=method: getattr(make(), m), member)


HARMLESS = {"train", "extra_repr", "plot", "instead_of", "sample_n"}  # sample_n is torch's, and deprecated


def _case(name: str, make: Callable[[], Callable[..., Any]], function: Callable[..., Any]) -> Case | None:
    """None where the callable takes nothing that is checked, or needs an argument that the tables do not know."""
    if not getattr(function, "__checked__", False) and not hasattr(function, "__wrapped__"):
        return None
    if name in LEFT_OUT:
        return None
    special = SPECIAL.get(name, {})
    arguments = {}
    for parameter in inspect.signature(function).parameters.values():
        key, known = parameter.name, special.get(parameter.name) or VALUES.get(parameter.name)
        if key == "self" or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.default is not parameter.empty and key not in special:
            arguments[key] = lambda default=parameter.default: default
        elif known is None:
            return None
        else:
            arguments[key] = known
    return Case(name, tuple(arguments), lambda: (make(), {key: value() for key, value in arguments.items()}))


@functools.cache
def _solution() -> og.SemidiscreteSolution:
    nu = og.Empirical(numbers(6, 2, seed=1))
    return og.semidiscrete(og.standard_gaussian(2), nu, og.SquaredEuclidean(), tol=0.5, max_samples=2**10)


def _metrics() -> evaluation.Metrics:
    return evaluation.Metrics({"points": evaluation.View(evaluation.EXACT)})


def _mixture() -> og.Reference:
    return og.Reference(og.FullMixture(torch.ones(3) / 3, numbers(3, 2), torch.eye(2).expand(3, 2, 2)))


def _file(name: str) -> Path:
    return Path(tempfile.mkdtemp()) / name


def _array(name: str, numbers: torch.Tensor) -> Path:
    path = _file(name)
    np.save(path, numbers.numpy())
    return path


def _axes() -> Any:
    return Figure().add_subplot()


def _pictures() -> Path:
    folder = Path(tempfile.mkdtemp())
    for i in range(5):
        Image.new("L", (4, 4), 50 * i).save(folder / f"{i}.png")
    return folder


def _faces() -> Path:
    folder = Path(tempfile.mkdtemp())
    for i in range(5):
        Image.new("RGB", (9, 10), (50 * i, 0, 0)).save(folder / f"{i + 1:06d}.jpg")
    return folder


def _digits() -> Path:
    path = _file("digits.npz")
    np.savez(path, images=np.zeros((10, 28, 28), np.uint8), labels=np.zeros(10, np.uint8))
    return path


def _prior() -> Path:
    path = _file("prior")
    og.save_prior(_mixture(), path)
    return path
