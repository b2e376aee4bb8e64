"""Networks: generators, features for critics and encoders, input-convex functions, and Lipschitz constraints.

A point cloud is always (n, d). Networks that work on images reshape at their own door.
"""

from ot_gen.networks.conditional import Conditional, LabelledVelocity, check_classes
from ot_gen.networks.convolutional import ConvFeatures, ConvGenerator
from ot_gen.networks.decoders import BernoulliDecoder, GaussianDecoder, LearnedStd, PixelwiseStd, RBFPrecision
from ot_gen.networks.dense import MLP
from ot_gen.networks.encoders import (
    CodeMean,
    DiracEncoder,
    FlowEncoder,
    FullGaussianEncoder,
    GaussianEncoder,
    NoisyEncoder,
    SphereEncoder,
)
from ot_gen.networks.flow_map import FlowMap, evaluations
from ot_gen.networks.heads import add_head
from ot_gen.networks.icnn import ICNN
from ot_gen.networks.lipschitz import (
    GradientPenalty,
    GroupSort,
    Lipschitz,
    OneSidedPenalty,
    Orthogonal,
    SpectralNorm,
    WeightClip,
    is_contraction,
)
from ot_gen.networks.residual import ResNetFeatures, ResNetGenerator
from ot_gen.networks.runge_kutta import RungeKutta
from ot_gen.networks.velocities import DenseVelocity, UNetVelocity

__all__ = [
    "ICNN",
    "MLP",
    "BernoulliDecoder",
    "CodeMean",
    "Conditional",
    "ConvFeatures",
    "ConvGenerator",
    "DenseVelocity",
    "DiracEncoder",
    "FlowEncoder",
    "FlowMap",
    "FullGaussianEncoder",
    "GaussianDecoder",
    "GaussianEncoder",
    "GradientPenalty",
    "GroupSort",
    "LabelledVelocity",
    "LearnedStd",
    "Lipschitz",
    "NoisyEncoder",
    "OneSidedPenalty",
    "Orthogonal",
    "PixelwiseStd",
    "RBFPrecision",
    "ResNetFeatures",
    "ResNetGenerator",
    "RungeKutta",
    "SpectralNorm",
    "SphereEncoder",
    "UNetVelocity",
    "WeightClip",
    "add_head",
    "check_classes",
    "evaluations",
    "is_contraction",
]
