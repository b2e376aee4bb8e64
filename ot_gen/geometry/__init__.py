"""Latent geometry: pullback metrics, geodesics, distances, for any decoder.

It knows only callables: a decoder trained here or elsewhere, with or without a standard deviation, or a metric.
"""

from .cost import GeodesicCost
from .curves import Curve, Polyline, Spline
from .fields import MatrixMetric, conformal, euclidean
from .geodesics import Geodesics
from .latent import LatentGeometry
from .metrics import Metric
from .pullback import PullbackMetric
from .starts import Graph, Line, Start

__all__ = [
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
    "Spline",
    "Start",
    "conformal",
    "euclidean",
]
