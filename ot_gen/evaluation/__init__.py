"""Independent judges: of a generator, by its samples and never by the objective that trained it; of an encoder."""

from ot_gen.couplings import iwae_bound
from ot_gen.divergences import CubicKernel, EnergyKernel, GaussianScales
from ot_gen.evaluation.assumptions import Ball, Box, MomentBound
from ot_gen.evaluation.certificate import certify
from ot_gen.evaluation.class_accuracy import NearestLabels, class_accuracy
from ot_gen.evaluation.classes import ClassError, Components, ModeCoverage
from ot_gen.evaluation.classifier import DigitClassifier, digit_classes, digit_features, doubt_of_digits
from ot_gen.evaluation.discrepancies import MeanDiscrepancy
from ot_gen.evaluation.encoders import EncoderJudgement, judge_encoder
from ot_gen.evaluation.information import MonteCarlo, active_units, aggregate_kl, conditional_kl, mutual_information
from ot_gen.evaluation.interval import Certificate
from ot_gen.evaluation.judgement import (
    EXACT,
    Judgement,
    judge,
    judge_beside,
    judgement_of,
    measures_exactly,
    wasserstein,
)
from ot_gen.evaluation.likelihood import log_weights
from ot_gen.evaluation.metric import Metric, MetricValue
from ot_gen.evaluation.metrics import Measured, Measurements, Metrics, View, attempted
from ot_gen.evaluation.neighbours import Coverage, Density, Memorisation, Precision, Recall
from ot_gen.evaluation.transports import ExactTransport, FrechetDistance, SinkhornDistance, SlicedTransport
from ot_gen.execution import former_names
from ot_gen.measures import undisturbed

__all__ = [
    "EXACT",
    "Ball",
    "Box",
    "Certificate",
    "ClassError",
    "Components",
    "Coverage",
    "CubicKernel",
    "Density",
    "DigitClassifier",
    "EncoderJudgement",
    "EnergyKernel",
    "ExactTransport",
    "FrechetDistance",
    "GaussianScales",
    "Judgement",
    "MeanDiscrepancy",
    "Measured",
    "Measurements",
    "Memorisation",
    "Metric",
    "MetricValue",
    "Metrics",
    "ModeCoverage",
    "MomentBound",
    "MonteCarlo",
    "NearestLabels",
    "Precision",
    "Recall",
    "SinkhornDistance",
    "SlicedTransport",
    "View",
    "active_units",
    "aggregate_kl",
    "attempted",
    "certify",
    "class_accuracy",
    "conditional_kl",
    "digit_classes",
    "digit_features",
    "doubt_of_digits",
    "iwae_bound",
    "judge",
    "judge_beside",
    "judge_encoder",
    "judgement_of",
    "log_weights",
    "measures_exactly",
    "mutual_information",
    "undisturbed",
    "wasserstein",
]

__getattr__ = former_names(__name__, Estimate=MetricValue)
