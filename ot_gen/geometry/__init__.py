"""Latent geometry: pullback metrics, geodesics, distances, for any decoder.

It knows only callables: a decoder trained here or elsewhere, with or without a standard deviation, or a metric.
"""

from .adaptive import AdaptiveFit, LocallyAdaptiveNormal, fit_adaptive_normal
from .cost import GeodesicCost
from .curves import Curve, Polyline, Spline
from .fields import MatrixMetric, conformal, euclidean
from .geodesics import Geodesics
from .latent import LatentGeometry
from .laws import BrownianMotion, WrappedNormal
from .means import frechet_mean, k_medoids
from .metrics import Metric
from .pullback import PullbackMetric
from .starts import Best, Graph, Line, Start
from .volume import VolumeMap, volume_map

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
    "Metric",
    "Polyline",
    "PullbackMetric",
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
