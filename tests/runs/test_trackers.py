"""Trackers hear of a run, offline, and whatever they do, it goes on."""

import importlib.util
import json
import logging
import time

import pytest
from recorded import experiment, record_run

from ot_gen import cli
from ot_gen.runs.parts import Status
from ot_gen.runs.record import RunRecord
from ot_gen.runs.trackers import MLflow, TensorBoard, Tracker, Tracking, WandB
from ot_gen.runs.writer import RecordWriter
from ot_gen.training import Interrupted, Progress

TINY = ("trainer=smoke", "trainer.steps=6", "trainer.checkpoint_every=2", "trainer.batch_size=16")
TINY += ("evaluation.samples=40", "data.size=64", "data.test_size=64", "solver=primal/exact_plan")


def needs(module):
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


def composed(*overrides):
    return cli.composed(overrides)[0]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def tracked(folder):
    """A tiny run with trackers: (trackers, resume, callbacks) -> its folder."""

    def call(trackers, resume=None, callbacks=()):
        what = experiment(*TINY, seed=0, resume=resume, trackers=trackers, callbacks=callbacks)
        folder.mkdir(exist_ok=True)
        (folder / "config.yaml").write_text("seed: 0\ntrainer:\n  steps: 6\n")
        record_run(folder, what, solver="mine")
        return folder

    return call


class Listener(Tracker):
    """Keeps what it is told, and raises or dawdles where it is asked to."""

    def __init__(self, bad=None, slow=0.0):
        self.bad = bad
        self.slow = slow
        self.heard = []

    def _hear(self, name, *told):
        if name == self.bad:
            raise ConnectionError("the server is unreachable")
        time.sleep(self.slow)
        self.heard.append((name, *told))

    def begin(self, folder, record, settings):
        self._hear("begin", record.solver, settings)

    def log(self, step, scalars):
        self._hear("log", step, scalars)

    def end(self, record, figures, pictures):
        self._hear("end", record.status, figures, [path.stem for path in pictures])


def test_a_tracker_hears_of_the_settings_the_last_step_and_the_judgement(tracked):
    listener = Listener()
    folder = tracked([listener])
    (_, solver, settings), *steps, (_, status, figures, pictures) = listener.heard
    assert (solver, status) == ("mine", "finished")
    assert settings == {"seed": 0, "trainer.steps": 6}
    assert steps[-1][1] == 6 and "value" in steps[-1][2]
    told = json.loads((folder / "run.json").read_text())
    assert figures["judgement.w1"] == told["judgement"]["w1"]
    assert {"samples", "curves"} <= set(pictures)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("bad", ["begin", "log", "end"])
def test_a_tracker_that_fails_is_left_with_a_warning_and_the_run_and_the_others_go_on(bad, tracked, caplog):
    other = Listener()
    with caplog.at_level(logging.WARNING, "ot_gen"):
        folder = tracked([Listener(bad), other])
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"
    assert other.heard[-1][:2] == ("end", "finished")
    (warning,) = [record.message for record in caplog.records if "tracked" in record.message]
    assert "Listener" in warning and "the server is unreachable" in warning and "metrics.csv" in warning


def test_a_slow_tracker_holds_up_no_step_and_is_left_at_the_end(tmp_path, caplog):
    with Tracking(
        [Listener(slow=30.0)], RecordWriter(tmp_path, RunRecord(Status.RUNNING)), every=0.0, patience=0.05
    ) as tracking:
        began = time.process_time()
        for step in range(1, 101):
            tracking(Progress(100, step, rows=[{"step": step, "value": 0.0}]))
        assert time.process_time() - began < 5.0
    assert "not done after 0.05 s" in caplog.text


def test_rows_are_handed_over_at_most_so_often_and_the_last_always(tmp_path):
    listener = Listener()
    with Tracking([listener], RecordWriter(tmp_path, RunRecord(Status.RUNNING)), every=3600.0) as tracking:
        for step in range(1, 101):
            tracking(Progress(100, step, rows=[{"step": step, "value": 0.0}]))
    assert [told[1] for told in listener.heard if told[0] == "log"] == [1, 100]


def test_a_failed_and_a_stopped_run_are_told_as_such(tracked):
    for error, status in ((Interrupted("stop"), "interrupted"), (OSError("disk"), "failed")):
        listener = Listener()

        def stop(progress, error=error):
            raise error

        with pytest.raises(type(error)):
            tracked([listener], callbacks=[stop])
        assert listener.heard[-1][:2] == ("end", status)


@pytest.mark.usefixtures("undrawn")
def test_trackers_change_nothing_of_a_run(tracked):
    before = json.loads((tracked([]) / "run.json").read_text())
    after = json.loads((tracked([Listener()]) / "run.json").read_text())
    assert before["judgement"] == after["judgement"]


@pytest.mark.parametrize(("tracker", "module"), [(TensorBoard, "tensorboardX"), (MLflow, "mlflow"), (WandB, "wandb")])
def test_a_missing_library_is_named_with_the_command_that_installs_it(tracker, module, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=rf"needs {module}.*; pip install 'ot_gen\[{tracker.__name__.lower()}\]'"):
        tracker()


def test_trackers_are_entries_one_or_several():
    assert composed().get("tracker") is None
    assert set(composed("tracker=tensorboard").tracker) == {"tensorboard"}
    both = composed("tracker=[mlflow,wandb]", "tracker.wandb.mode=offline").tracker
    assert set(both) == {"mlflow", "wandb"} and both.wandb.mode == "offline"


# --- the services themselves, offline, each where its library is installed --------------------------------------------


def stop_after_3(progress):
    if progress.step == 3:
        raise Interrupted("stop")


@pytest.fixture
def twice(tracked, folder):
    """A run that stopped after three steps and was continued: what makes its tracker -> its folder."""

    def call(make):
        with pytest.raises(Interrupted):
            tracked([make()], callbacks=[stop_after_3])
        return tracked([make()], resume=folder / "checkpoint.safetensors")

    return call


@pytest.mark.slow
@needs("tensorboardX")
def test_tensorboard_gets_scalars_and_pictures(tracked):
    folder = tracked([TensorBoard()])
    written = b"".join(path.read_bytes() for path in (folder / "tensorboard").glob("events*"))
    for tag in (b"train/value", b"judgement/w1", b"samples", b"config"):
        assert tag in written


@pytest.mark.slow
@needs("mlflow")
@pytest.mark.filterwarnings("ignore")  # of its own and its databases'
def test_mlflow_continues_its_run_in_a_file_without_a_server(twice, tmp_path, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    folder = twice(lambda: MLflow(uri))
    client = MlflowClient(uri)
    (found,) = client.search_runs([client.get_experiment_by_name("ot_gen").experiment_id])
    told = json.loads((folder / "run.json").read_text())
    assert found.info.status == "FINISHED"
    assert found.data.metrics["judgement.w1"] == pytest.approx(told["judgement"]["w1"])
    assert found.data.params["trainer.steps"] == "6"
    assert {metric.step for metric in client.get_metric_history(found.info.run_id, "train.value")} >= {1, 6}


@pytest.mark.slow
@needs("wandb")
@pytest.mark.filterwarnings("ignore")
def test_wandb_continues_its_run_offline(twice):
    folder = twice(lambda: WandB(mode="offline"))
    parts = list((folder / "wandb").glob("offline-run-*/*.wandb"))  # `wandb sync` joins what has one name
    assert {path.stem for path in parts} == {f"run-{(folder / 'wandb.id').read_text()}"}
