"""Latent geometry: pullback metrics, geodesics, distances, for any decoder.

It knows only callables: a decoder trained here or elsewhere, with or without a standard deviation, or a metric.
"""

from .cost import GeodesicCost
from .curves import Curve, Polyline, Spline
from .fields import MatrixMetric, conformal, euclidean
from .geodesics import Geodesics
from .latent import LatentGeometry
from .laws import BrownianMotion, RiemannianNormal
from .means import frechet_mean, k_medoids
from .metrics import Metric
from .pullback import PullbackMetric
from .starts import Graph, Line, Start
from .volume import VolumeMap, volume_map

__all__ = [
    "BrownianMotion",
    "Curve",
    "GeodesicCost",
    "Geodesics",
    "Graph",
    "LatentGeometry",
    "Line",
    "MatrixMetric",
    "Metric",
    "Polyline",
    "PullbackMetric",
    "RiemannianNormal",
    "Spline",
    "Start",
    "VolumeMap",
    "conformal",
    "euclidean",
    "frechet_mean",
    "k_medoids",
    "volume_map",
]
