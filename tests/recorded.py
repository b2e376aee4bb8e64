"""Recorded runs without the command line: what is built from overrides, trained, judged and written."""

from ot_gen import cli
from ot_gen.cli.parts import judging_of
from ot_gen.runs.parts import Status
from ot_gen.runs.record import RunRecord
from ot_gen.runs.run import Experiment, run
from ot_gen.runs.writer import RecordWriter


def experiment(*overrides, seed=None, **more):
    made = cli.parts(*overrides, seed=seed)
    return Experiment(made.data, made.mu, made.solver, made.trainer, judging_of(made.config), **more)


def record_run(folder, what, **facts):
    with RecordWriter(folder, RunRecord(Status.RUNNING, **facts)) as writer:
        return run(writer, what)
