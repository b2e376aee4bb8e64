"""Ground costs c(x, y), x on the model's side and y on the data's.

Each cost has two faces that agree to rounding: `cost(x, y)` on paired points and `cost.matrix(x, y)` on all pairs.
The second never forms an (n, m, d) array.
"""

from ot_gen.costs.cost import Bilinear, Cost, Growth
from ot_gen.costs.distances import (
    Euclidean,
    InnerProduct,
    Lp,
    SquaredEuclidean,
)
from ot_gen.costs.features import FeatureCost
from ot_gen.costs.labels import LabelCost, cost_of_points
from ot_gen.costs.likelihood import BernoulliNLL, NegativeLogLikelihood
from ot_gen.costs.price import Price, price
from ot_gen.costs.squared import squared_distances, squared_distances_to
from ot_gen.measures import widened

__all__ = [
    "BernoulliNLL",
    "Bilinear",
    "Cost",
    "Euclidean",
    "FeatureCost",
    "Growth",
    "InnerProduct",
    "LabelCost",
    "Lp",
    "NegativeLogLikelihood",
    "Price",
    "SquaredEuclidean",
    "cost_of_points",
    "price",
    "squared_distances",
    "squared_distances_to",
    "widened",
]
