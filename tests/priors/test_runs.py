"""Priors of recorded runs: judged, kept in a file, read again, and interrupted."""

import signal
from functools import partial

import pytest
import torch
from recorded import experiment, record_run

from ot_gen import (
    IndependentPairing,
    Interrupted,
    Pushforward,
    adam,
    ex_post_prior,
    flow_prior,
    load_prior,
    semidiscrete_prior,
)
from ot_gen.execution import interruptible
from ot_gen.measures import undisturbed
from ot_gen.runs.judging import judge_run
from ot_gen.runs.record import read_record
from ot_gen.training import fit

SMALL = (
    *("solver=primal/rae", "data.size=64", "data.test_size=64", "generator.hidden=[8]", "features.hidden=[8]"),
    *("trainer.steps=3", "trainer.batch_size=16", "metrics=none", "evaluation.samples=40", "reference.dim=2"),
)
PRIORS = {
    "mixture": partial(ex_post_prior, components=2),
    "flow": partial(flow_prior, pairing=IndependentPairing(), steps=5, width=8, progress=True),
    "semidiscrete": partial(semidiscrete_prior, tol=0.5, progress=True),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", PRIORS)
def test_a_run_keeps_its_prior_and_samples_as_before(kind, tmp_path, undrawn):
    record_run(tmp_path, experiment(*SMALL, seed=0, ex_post=PRIORS[kind]))
    record = read_record(tmp_path)
    assert record.ex_post == PRIORS[kind].func.__name__
    assert record.judgement is not None and record.judgement_reference is not None
    what = experiment(*SMALL, seed=0)
    fit(what.mu, what.data.train, what.solver, **what.trainer)
    mu = judge_run(record, tmp_path, what.mu, what.solver, what.data, what.judging, PRIORS[kind])[1]
    again = Pushforward(what.mu.in_own_units().map, load_prior(tmp_path / "prior.safetensors"))
    clouds = []
    for model in (mu, again):
        with undisturbed(model):
            torch.manual_seed(7)
            clouds.append(model.sample(20))
    assert torch.equal(*clouds)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_while_the_prior_is_fitted_keeps_the_trained_run(number, tmp_path, undrawn):
    def stopped(parameters):
        signal.raise_signal(number)
        return adam(parameters)

    stop = partial(PRIORS["flow"], optimizer=stopped)
    with interruptible(), pytest.raises(Interrupted, match="its 3 steps are done"):
        record_run(tmp_path, experiment(*SMALL, seed=0, ex_post=stop))
    assert read_record(tmp_path).steps_done == 3 and not (tmp_path / "prior.safetensors").exists()
    again = experiment(*SMALL, seed=0, ex_post=PRIORS["flow"], resume=tmp_path / "checkpoint.safetensors")
    record_run(tmp_path, again)
    assert load_prior(tmp_path / "prior.safetensors").dim == 2 and read_record(tmp_path).steps_done == 3
