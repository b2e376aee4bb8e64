"""Independent judges of a generator: they look at samples only, never at the objective that trained it."""

from .metrics import Judgement, judge, undisturbed, wasserstein

__all__ = ["Judgement", "judge", "undisturbed", "wasserstein"]
