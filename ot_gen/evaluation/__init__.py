"""Independent judges of a generator: they look at samples only, never at the objective that trained it."""

from ot_gen.measures import undisturbed

from .metrics import Judgement, judge, wasserstein

__all__ = ["Judgement", "judge", "undisturbed", "wasserstein"]
