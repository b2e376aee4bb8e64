"""Independent judges: of a generator, by its samples and never by the objective that trained it; of an encoder."""

from ot_gen.measures import undisturbed

from .certificate import certify
from .classes import ClassError, Components, ModeCoverage
from .classifier import DigitClassifier, digit_classes, digit_features
from .discrepancies import CubicKernel, EnergyKernel, GaussianScales, MeanDiscrepancy
from .encoders import EncoderJudgement, judge_encoder
from .information import MonteCarlo, active_units, aggregate_kl, conditional_kl, mutual_information
from .interval import Certificate
from .judgement import Judgement, judge, wasserstein
from .likelihood import iwae_bound, log_weights
from .metric import Estimate, Metric
from .metrics import Measured, Measurements, Metrics, View
from .neighbours import Coverage, Density, Memorisation, Precision, Recall
from .transports import ExactTransport, FrechetDistance, SinkhornDistance, SlicedTransport

__all__ = [
    "Certificate",
    "ClassError",
    "Components",
    "Coverage",
    "CubicKernel",
    "Density",
    "DigitClassifier",
    "EncoderJudgement",
    "EnergyKernel",
    "Estimate",
    "ExactTransport",
    "FrechetDistance",
    "GaussianScales",
    "Judgement",
    "MeanDiscrepancy",
    "Measured",
    "Measurements",
    "Memorisation",
    "Metric",
    "Metrics",
    "ModeCoverage",
    "MonteCarlo",
    "Precision",
    "Recall",
    "SinkhornDistance",
    "SlicedTransport",
    "View",
    "active_units",
    "aggregate_kl",
    "certify",
    "conditional_kl",
    "digit_classes",
    "digit_features",
    "iwae_bound",
    "judge",
    "judge_encoder",
    "log_weights",
    "mutual_information",
    "undisturbed",
    "wasserstein",
]
