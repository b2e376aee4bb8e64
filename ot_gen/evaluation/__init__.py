"""Independent judges: of a generator, by its samples and never by the objective that trained it; of an encoder."""

from ot_gen.measures import undisturbed

from .certificate import certify
from .encoders import EncoderJudgement, judge_encoder
from .information import MonteCarlo, active_units, aggregate_kl, conditional_kl, mutual_information
from .interval import Certificate
from .likelihood import iwae_bound, log_weights
from .metrics import Judgement, judge, wasserstein

__all__ = [
    "Certificate",
    "EncoderJudgement",
    "Judgement",
    "MonteCarlo",
    "active_units",
    "aggregate_kl",
    "certify",
    "conditional_kl",
    "iwae_bound",
    "judge",
    "judge_encoder",
    "log_weights",
    "mutual_information",
    "undisturbed",
    "wasserstein",
]
