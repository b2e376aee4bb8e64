"""Probability measures: the reference ζ, the data ν and the model μ = g#ζ.

Every measure answers `sample(n)` with a point cloud of shape (n, dim). Randomness comes from torch's global
generator, so `torch.manual_seed` (set by the caller, never here) makes every draw reproducible.
"""

from ot_gen.measures.distributions import Dirac, Mixture, Transported, UniformSphere, log_density
from ot_gen.measures.empirical import Empirical
from ot_gen.measures.label_maps import LabelledLaw, Unlabelled, WithLabel
from ot_gen.measures.labels import Labelled, LabelledData, alike, joint, labelled, unlabelled
from ot_gen.measures.measure import Measure, advice, undisturbed
from ot_gen.measures.mixtures import FullMixture, LearnedMixture, gaussian_mixture, gaussian_shell, learned_mixture
from ot_gen.measures.pixels import Pixels
from ot_gen.measures.points import (
    check_cloud,
    check_defined,
    check_tensor,
    check_weights,
    widened,
    widened_pair,
)
from ot_gen.measures.probing import probe
from ot_gen.measures.pushforward import Pushforward
from ot_gen.measures.range import within
from ot_gen.measures.reference import Reference, standard_gaussian, uniform_cube, uniform_sphere
from ot_gen.measures.units import OfOwnUnits, Placed, Standardised, Units, moments, warn_of_scale

__all__ = [
    "Dirac",
    "Empirical",
    "FullMixture",
    "Labelled",
    "LabelledData",
    "LabelledLaw",
    "LearnedMixture",
    "Measure",
    "Mixture",
    "OfOwnUnits",
    "Pixels",
    "Placed",
    "Pushforward",
    "Reference",
    "Standardised",
    "Transported",
    "UniformSphere",
    "Units",
    "Unlabelled",
    "WithLabel",
    "advice",
    "alike",
    "check_cloud",
    "check_defined",
    "check_tensor",
    "check_weights",
    "gaussian_mixture",
    "gaussian_shell",
    "joint",
    "labelled",
    "learned_mixture",
    "log_density",
    "moments",
    "probe",
    "standard_gaussian",
    "undisturbed",
    "uniform_cube",
    "uniform_sphere",
    "unlabelled",
    "warn_of_scale",
    "widened",
    "widened_pair",
    "within",
]
