"""Generative modelling organised around optimal transport: min over θ of E(θ) = W_c(g_θ#ζ, ν).

The primal solver holds couplings, the dual solver holds potentials; one loop, `fit`, trains them all, and
`ot_gen.evaluation` judges any generator.
"""

from . import data, evaluation
from .brenier import BrenierPotential, Displacement, Frame, Paraboloid
from .checkpoints import load_weights
from .convex import ICNN
from .costs import BernoulliNLL, Cost, Euclidean, FeatureCost, InnerProduct, Lp, SquaredEuclidean
from .couplings import Coupling, EncoderCoupling, Estimate, PlanCoupling
from .critics import AnchorCritic, BatchCritic, Critic
from .divergences import KL, MMD, GaussianKernel, InverseMultiquadric, SinkhornDivergence, SlicedWasserstein
from .evaluation import judge, wasserstein
from .laguerre import LaguerreCells, c_transform
from .lipschitz import GradientPenalty, OneSidedPenalty, Orthogonal, SpectralNorm, WeightClip
from .measures import Empirical, Measure, Pushforward, Reference, standard_gaussian, uniform_cube
from .nets import MLP, ConvFeatures, ConvGenerator, Dirac, DiracEncoder, GaussianEncoder, GroupSort, add_head
from .potentials import DiscretePotential, Potential
from .semidual import SemidiscreteSolution, semidiscrete
from .solvers import DualSolver, PrimalSolver, Solver
from .training import Interrupted, NonFiniteLoss, Progress, fit, linear_decay
from .transport import NotConverged, Plan, exact_plan, partial_plan, sinkhorn_plan, unbalanced_plan

__all__ = [
    "ICNN",
    "KL",
    "MLP",
    "MMD",
    "AnchorCritic",
    "BatchCritic",
    "BernoulliNLL",
    "BrenierPotential",
    "ConvFeatures",
    "ConvGenerator",
    "Cost",
    "Coupling",
    "Critic",
    "Dirac",
    "DiracEncoder",
    "DiscretePotential",
    "Displacement",
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
    "InnerProduct",
    "Interrupted",
    "InverseMultiquadric",
    "LaguerreCells",
    "Lp",
    "Measure",
    "NonFiniteLoss",
    "NotConverged",
    "OneSidedPenalty",
    "Orthogonal",
    "Paraboloid",
    "Plan",
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
    "WeightClip",
    "add_head",
    "c_transform",
    "data",
    "evaluation",
    "exact_plan",
    "fit",
    "judge",
    "linear_decay",
    "load_weights",
    "partial_plan",
    "semidiscrete",
    "sinkhorn_plan",
    "standard_gaussian",
    "unbalanced_plan",
    "uniform_cube",
    "wasserstein",
]
