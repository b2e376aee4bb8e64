"""Latent geometry: pullback metrics, geodesics, distances, for any decoder.

It knows only callables: a decoder trained here or elsewhere, with or without a standard deviation, or a metric.
"""

from ot_gen.execution import former_names
from ot_gen.geometry.adaptive import AdaptiveFit, LocallyAdaptiveNormal, fit_adaptive_normal
from ot_gen.geometry.cost import GeodesicCost
from ot_gen.geometry.curves import Curve, Polyline, Spline
from ot_gen.geometry.distributions import BrownianMotion, WrappedNormal
from ot_gen.geometry.fields import MatrixMetric, conformal, euclidean
from ot_gen.geometry.geodesics import Geodesics
from ot_gen.geometry.latent import LatentGeometry
from ot_gen.geometry.means import frechet_mean, k_medoids
from ot_gen.geometry.metrics import RiemannianMetric
from ot_gen.geometry.pullback import PullbackMetric
from ot_gen.geometry.starts import Best, Graph, Line, Start
from ot_gen.geometry.volume import VolumeMap, volume_map

__all__ = [
    "AdaptiveFit",
    "Best",
    "BrownianMotion",
    "Curve",
    "GeodesicCost",
    "Geodesics",
    "Graph",
    "LatentGeometry",
    "Line",
    "LocallyAdaptiveNormal",
    "MatrixMetric",
    "Polyline",
    "PullbackMetric",
    "RiemannianMetric",
    "Spline",
    "Start",
    "VolumeMap",
    "WrappedNormal",
    "conformal",
    "euclidean",
    "fit_adaptive_normal",
    "frechet_mean",
    "k_medoids",
    "volume_map",
]

__getattr__ = former_names(__name__, Metric=RiemannianMetric)
