"""Generative modelling by optimal transport: min over θ of E(θ) = W_c(g_θ#ζ, ν), by couplings or by potentials."""

from typing import TYPE_CHECKING, Any

from ot_gen import starting as starting  # first: what follows takes seconds

# isort: split
from ot_gen import data, evaluation, geometry, plot
from ot_gen.barycentres import Barycentre, Measures, SumSolver, barycentre, gradient_flow
from ot_gen.conditioning import by_label, with_classes
from ot_gen.costs import (
    BernoulliNLL,
    Cost,
    Euclidean,
    FeatureCost,
    InnerProduct,
    LabelCost,
    Lp,
    NegativeLogLikelihood,
    SquaredEuclidean,
)
from ot_gen.couplings import (
    Coupling,
    DebiasedPlanCoupling,
    EncoderCoupling,
    Estimate,
    ImportanceCoupling,
    IndependentPairing,
    LabelPairing,
    MatchedPlanCoupling,
    Pairing,
    PlanCoupling,
    PlanPairing,
    TablePairing,
    VelocityRegression,
)
from ot_gen.divergences import (
    KL,
    MMD,
    AdversarialJS,
    BatchTransport,
    ByLabel,
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
from ot_gen.evaluation import Ball, Box, Certificate, MomentBound, certify, judge, judge_encoder, wasserstein
from ot_gen.execution import MixedPrecision, Processes, launch, load_weights
from ot_gen.geometry import GeodesicCost, LatentGeometry
from ot_gen.measures import (
    Dirac,
    Empirical,
    FullMixture,
    Labelled,
    LabelledData,
    LearnedMixture,
    Measure,
    Mixture,
    Pushforward,
    Reference,
    Transported,
    UniformSphere,
    Units,
    WithLabel,
    gaussian_mixture,
    gaussian_shell,
    labelled,
    learned_mixture,
    standard_gaussian,
    uniform_cube,
    uniform_sphere,
    unlabelled,
)
from ot_gen.networks import (
    ICNN,
    MLP,
    BernoulliDecoder,
    CodeMean,
    Conditional,
    ConvFeatures,
    ConvGenerator,
    DenseVelocity,
    DiracEncoder,
    FlowEncoder,
    FlowMap,
    FullGaussianEncoder,
    GaussianDecoder,
    GaussianEncoder,
    GradientPenalty,
    GroupSort,
    LabelledVelocity,
    LearnedStd,
    NoisyEncoder,
    OneSidedPenalty,
    Orthogonal,
    PixelwiseStd,
    RBFPrecision,
    ResNetFeatures,
    ResNetGenerator,
    SpectralNorm,
    SphereEncoder,
    UNetVelocity,
    WeightClip,
    add_head,
)
from ot_gen.potentials import (
    AnchorCritic,
    BatchCritic,
    BrenierPotential,
    Critic,
    DiagonalMatrices,
    DiscretePotential,
    Displacement,
    Frame,
    FullMatrices,
    LabelPotential,
    MixturePotential,
    Paraboloid,
    Potential,
    SchrodingerBridge,
)
from ot_gen.priors import ex_post_prior, flow_prior, load_prior, save_prior, semidiscrete_prior
from ot_gen.schedules import cyclic, linear_decay, linear_warmup
from ot_gen.semidual import LaguerreCells, SemidiscreteSolution, ShardedAtoms, c_transform, semidiscrete
from ot_gen.solvers import DualSolver, PrimalSolver, Solver
from ot_gen.training import Interrupted, NonFiniteLoss, Progress, adam, fit
from ot_gen.transport import (
    ChiSquaredMarginal,
    KLMarginal,
    MarginalPenalty,
    NotConverged,
    Plan,
    Unbalanced,
    exact_plan,
    partial_plan,
    plan_by_blocks,
    sinkhorn_plan,
    unbalanced_plan,
)
from ot_gen.validation import Validation
from ot_gen.version import __version__ as __version__

if TYPE_CHECKING:
    from ot_gen.cli import code_cost, load_run, recipe

Precision = MixedPrecision  # as code and configurations of before call it

# Room by room, in the order of the imports.
__all__ = ["data", "evaluation", "geometry", "plot"]
__all__ += ["Barycentre", "Measures", "SumSolver", "barycentre", "gradient_flow"]
__all__ += ["by_label", "with_classes"]
__all__ += ["BernoulliNLL", "Cost", "Euclidean", "FeatureCost", "InnerProduct", "LabelCost", "Lp"]
__all__ += ["NegativeLogLikelihood", "SquaredEuclidean"]
__all__ += ["Coupling", "DebiasedPlanCoupling", "EncoderCoupling", "Estimate", "ImportanceCoupling"]
__all__ += ["IndependentPairing", "LabelPairing", "MatchedPlanCoupling", "Pairing", "PlanCoupling", "PlanPairing"]
__all__ += ["TablePairing", "VelocityRegression"]
__all__ += ["KL", "MMD", "AdversarialJS", "BatchTransport", "ByLabel", "CodeNorm", "CramerWold", "DebiasedTransport"]
__all__ += ["Divergence", "GaussianKernel", "InverseMultiquadric", "MaxSlicedWasserstein", "MinibatchWeightedKL"]
__all__ += ["SinkhornDivergence", "SlicedWasserstein", "StratifiedKL", "WeightedSum"]
__all__ += ["Ball", "Box", "Certificate", "MomentBound", "certify", "judge", "judge_encoder", "wasserstein"]
__all__ += ["MixedPrecision", "Precision", "Processes", "launch", "load_weights"]
__all__ += ["GeodesicCost", "LatentGeometry"]
__all__ += ["Dirac", "Empirical", "FullMixture", "Labelled", "LabelledData", "LearnedMixture", "Measure", "Mixture"]
__all__ += ["Pushforward", "Reference", "Transported", "UniformSphere", "Units", "WithLabel", "gaussian_mixture"]
__all__ += ["gaussian_shell", "labelled", "learned_mixture", "standard_gaussian", "uniform_cube", "uniform_sphere"]
__all__ += ["unlabelled"]
__all__ += ["ICNN", "MLP", "BernoulliDecoder", "CodeMean", "Conditional", "ConvFeatures", "ConvGenerator"]
__all__ += ["DenseVelocity", "DiracEncoder", "FlowEncoder", "FlowMap", "FullGaussianEncoder", "GaussianDecoder"]
__all__ += ["GaussianEncoder", "GradientPenalty", "GroupSort", "LabelledVelocity", "LearnedStd", "NoisyEncoder"]
__all__ += ["OneSidedPenalty", "Orthogonal", "PixelwiseStd", "RBFPrecision", "ResNetFeatures", "ResNetGenerator"]
__all__ += ["SpectralNorm", "SphereEncoder", "UNetVelocity", "WeightClip", "add_head"]
__all__ += ["AnchorCritic", "BatchCritic", "BrenierPotential", "Critic", "DiagonalMatrices", "DiscretePotential"]
__all__ += ["Displacement", "Frame", "FullMatrices", "LabelPotential", "MixturePotential", "Paraboloid", "Potential"]
__all__ += ["SchrodingerBridge"]
__all__ += ["ex_post_prior", "flow_prior", "load_prior", "save_prior", "semidiscrete_prior"]
__all__ += ["cyclic", "linear_decay", "linear_warmup"]
__all__ += ["LaguerreCells", "SemidiscreteSolution", "ShardedAtoms", "c_transform", "semidiscrete"]
__all__ += ["DualSolver", "PrimalSolver", "Solver"]
__all__ += ["Interrupted", "NonFiniteLoss", "Progress", "adam", "fit"]
__all__ += ["ChiSquaredMarginal", "KLMarginal", "MarginalPenalty", "NotConverged", "Plan", "Unbalanced", "exact_plan"]
__all__ += ["partial_plan", "plan_by_blocks", "sinkhorn_plan", "unbalanced_plan"]
__all__ += ["Validation"]
__all__ += ["code_cost", "load_run", "recipe"]


def __getattr__(name: str) -> Any:
    if name in ("code_cost", "load_run", "recipe"):  # they compose with hydra, which nothing else here loads
        from ot_gen import cli

        return getattr(cli, name)
    raise AttributeError(f"module 'ot_gen' has no attribute {name!r}")
