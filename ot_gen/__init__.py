"""Generative modelling organised around optimal transport: min over θ of E(θ) = W_c(g_θ#ζ, ν).

The primal solver holds couplings, the dual solver holds potentials; one loop, `fit`, trains them all, and
`ot_gen.evaluation` judges any generator.
"""

from . import data, evaluation
from .brenier import BrenierPotential, Displacement, Frame, Paraboloid
from .checkpoints import load_weights
from .convex import ICNN
from .costs import BernoulliNLL, Cost, Euclidean, FeatureCost, InnerProduct, Lp, SquaredEuclidean
from .couplings import Coupling, EncoderCoupling, Estimate, ImportanceCoupling, PlanCoupling
from .critics import AnchorCritic, BatchCritic, Critic
from .divergences import (
    KL,
    MMD,
    AdversarialJS,
    BatchTransport,
    CodeNorm,
    CramerWold,
    DebiasedTransport,
    Divergence,
    GaussianKernel,
    InverseMultiquadric,
    MaxSlicedWasserstein,
    MinibatchWeightedKL,
    SinkhornDivergence,
    SlicedWasserstein,
    StratifiedKL,
    WeightedSum,
)
from .evaluation import judge, wasserstein
from .laguerre import LaguerreCells, c_transform
from .lipschitz import GradientPenalty, OneSidedPenalty, Orthogonal, SpectralNorm, WeightClip
from .measures import Empirical, Measure, Pushforward, Reference, standard_gaussian, uniform_cube
from .nets import MLP, ConvFeatures, ConvGenerator, Dirac, DiracEncoder, GaussianEncoder, GroupSort, add_head
from .potentials import DiscretePotential, Potential
from .schedules import cyclic, linear_decay, linear_warmup
from .semidual import SemidiscreteSolution, semidiscrete
from .solvers import DualSolver, PrimalSolver, Solver
from .training import Interrupted, NonFiniteLoss, Progress, fit
from .transport import NotConverged, exact_plan, sinkhorn_plan

__all__ = [
    "ICNN",
    "KL",
    "MLP",
    "MMD",
    "AdversarialJS",
    "AnchorCritic",
    "BatchCritic",
    "BatchTransport",
    "BernoulliNLL",
    "BrenierPotential",
    "CodeNorm",
    "ConvFeatures",
    "ConvGenerator",
    "Cost",
    "Coupling",
    "CramerWold",
    "Critic",
    "DebiasedTransport",
    "Dirac",
    "DiracEncoder",
    "DiscretePotential",
    "Displacement",
    "Divergence",
    "DualSolver",
    "Empirical",
    "EncoderCoupling",
    "Estimate",
    "Euclidean",
    "FeatureCost",
    "Frame",
    "GaussianEncoder",
    "GaussianKernel",
    "GradientPenalty",
    "GroupSort",
    "ImportanceCoupling",
    "InnerProduct",
    "Interrupted",
    "InverseMultiquadric",
    "LaguerreCells",
    "Lp",
    "MaxSlicedWasserstein",
    "Measure",
    "MinibatchWeightedKL",
    "NonFiniteLoss",
    "NotConverged",
    "OneSidedPenalty",
    "Orthogonal",
    "Paraboloid",
    "PlanCoupling",
    "Potential",
    "PrimalSolver",
    "Progress",
    "Pushforward",
    "Reference",
    "SemidiscreteSolution",
    "SinkhornDivergence",
    "SlicedWasserstein",
    "Solver",
    "SpectralNorm",
    "SquaredEuclidean",
    "StratifiedKL",
    "WeightClip",
    "WeightedSum",
    "add_head",
    "c_transform",
    "cyclic",
    "data",
    "evaluation",
    "exact_plan",
    "fit",
    "judge",
    "linear_decay",
    "linear_warmup",
    "load_weights",
    "semidiscrete",
    "sinkhorn_plan",
    "standard_gaussian",
    "uniform_cube",
    "wasserstein",
]
