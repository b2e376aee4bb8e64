"""Generative modelling organised around optimal transport: min over θ of E(θ) = W_c(g_θ#ζ, ν).

The primal solver holds couplings, the dual solver holds potentials; one loop, `fit`, trains them all, and
`ot_gen.evaluation` judges any generator.
"""

from . import data, evaluation, geometry
from .brenier import BrenierPotential, Displacement, Frame, Paraboloid
from .checkpoints import load_weights
from .convex import ICNN
from .costs import Cost, Euclidean, FeatureCost, InnerProduct, Lp, SquaredEuclidean
from .couplings import Coupling, EncoderCoupling, Estimate, ImportanceCoupling, PlanCoupling
from .critics import AnchorCritic, BatchCritic, Critic
from .decoders import BernoulliDecoder, GaussianDecoder, LearnedStd, PixelwiseStd, RBFPrecision
from .distributed import Processes
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
from .encoders import DiracEncoder, FlowEncoder, FullGaussianEncoder, GaussianEncoder, NoisyEncoder, SphereEncoder
from .evaluation import Certificate, certify, judge, judge_encoder, wasserstein
from .geometry import GeodesicCost, LatentGeometry
from .laguerre import LaguerreCells, ShardedAtoms, c_transform
from .launching import launch
from .laws import Dirac, Mixture, Transported, UniformSphere
from .likelihood import BernoulliNLL, NegativeLogLikelihood
from .lipschitz import GradientPenalty, OneSidedPenalty, Orthogonal, SpectralNorm, WeightClip
from .measures import Empirical, Measure, Pushforward, Reference, standard_gaussian, uniform_cube
from .nets import MLP, ConvFeatures, ConvGenerator, GroupSort, add_head
from .potentials import DiscretePotential, Potential
from .precision import Precision
from .priors import ex_post_prior, load_prior, save_prior
from .references import FullMixture, LearnedMixture, gaussian_mixture, gaussian_shell, learned_mixture, uniform_sphere
from .schedules import cyclic, linear_decay, linear_warmup
from .semidual import SemidiscreteSolution, semidiscrete
from .solvers import DualSolver, PrimalSolver, Solver
from .training import Interrupted, NonFiniteLoss, Progress, adam, fit
from .transport import NotConverged, Plan, exact_plan, partial_plan, sinkhorn_plan, unbalanced_plan

__all__ = [
    "ICNN",
    "KL",
    "MLP",
    "MMD",
    "AdversarialJS",
    "AnchorCritic",
    "BatchCritic",
    "BatchTransport",
    "BernoulliDecoder",
    "BernoulliNLL",
    "BrenierPotential",
    "Certificate",
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
    "FlowEncoder",
    "Frame",
    "FullGaussianEncoder",
    "FullMixture",
    "GaussianDecoder",
    "GaussianEncoder",
    "GaussianKernel",
    "GeodesicCost",
    "GradientPenalty",
    "GroupSort",
    "ImportanceCoupling",
    "InnerProduct",
    "Interrupted",
    "InverseMultiquadric",
    "LaguerreCells",
    "LatentGeometry",
    "LearnedMixture",
    "LearnedStd",
    "Lp",
    "MaxSlicedWasserstein",
    "Measure",
    "MinibatchWeightedKL",
    "Mixture",
    "NegativeLogLikelihood",
    "NoisyEncoder",
    "NonFiniteLoss",
    "NotConverged",
    "OneSidedPenalty",
    "Orthogonal",
    "Paraboloid",
    "PixelwiseStd",
    "Plan",
    "PlanCoupling",
    "Potential",
    "Precision",
    "PrimalSolver",
    "Processes",
    "Progress",
    "Pushforward",
    "RBFPrecision",
    "Reference",
    "SemidiscreteSolution",
    "ShardedAtoms",
    "SinkhornDivergence",
    "SlicedWasserstein",
    "Solver",
    "SpectralNorm",
    "SphereEncoder",
    "SquaredEuclidean",
    "StratifiedKL",
    "Transported",
    "UniformSphere",
    "WeightClip",
    "WeightedSum",
    "adam",
    "add_head",
    "c_transform",
    "certify",
    "cyclic",
    "data",
    "evaluation",
    "ex_post_prior",
    "exact_plan",
    "fit",
    "gaussian_mixture",
    "gaussian_shell",
    "geometry",
    "judge",
    "judge_encoder",
    "launch",
    "learned_mixture",
    "linear_decay",
    "linear_warmup",
    "load_prior",
    "load_weights",
    "partial_plan",
    "save_prior",
    "semidiscrete",
    "sinkhorn_plan",
    "standard_gaussian",
    "unbalanced_plan",
    "uniform_cube",
    "uniform_sphere",
    "wasserstein",
]
