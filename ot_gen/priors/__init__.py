"""Priors fitted after training, to the codes that an encoder gave the data: the bases from which a decoder samples."""

from ot_gen.priors.cells import CellMixture, semidiscrete_prior
from ot_gen.priors.files import load_prior, save_prior
from ot_gen.priors.flow import flow_prior
from ot_gen.priors.mixture import ex_post_prior

__all__ = ["CellMixture", "ex_post_prior", "flow_prior", "load_prior", "save_prior", "semidiscrete_prior"]
