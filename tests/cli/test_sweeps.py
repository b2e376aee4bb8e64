"""A sweep started again in its folder, the figure that it hands to a search, and the launchers that there are."""

import csv
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from safetensors.torch import load_file

from ot_gen import cli
from ot_gen.cli import job as jobs
from ot_gen.cli.sweep import check_objective, composition, leave_orphan, objective
from ot_gen.evaluation import Judgement
from ot_gen.runs import run as runs
from ot_gen.runs.claim import claimed
from ot_gen.runs.parts import RecordedMetric, Status
from ot_gen.runs.record import RunRecord
from ot_gen.runs.run import ProgressBar
from ot_gen.training import Progress

TINY = ("trainer=smoke", "trainer.steps=6", "trainer.checkpoint_every=2", "trainer.batch_size=16")
TINY += (
    "evaluation.samples=40",
    "metrics=none",
    "threads=1",
    "data.size=64",
    "data.test_size=64",
    "hydra.sweep.dir=sweep",
)


pytestmark = pytest.mark.usefixtures("clean_process")


@pytest.fixture
def sweep(undrawn, monkeypatch, command):
    """ot-gen -m in this process: overrides -> (exit code, stderr, the figures that its jobs returned)."""
    returned = []
    objective = jobs.objective

    def told(*arguments):
        returned.append(objective(*arguments))
        return returned[-1]

    def call(*overrides):
        returned.clear()
        monkeypatch.setattr(jobs, "objective", told)
        code, _, err = command("-m", *TINY, *overrides)
        return code, err, list(returned)

    return call


def folders():
    return sorted(path.parent for path in Path("sweep").glob("*/run.json"))


def facts(folder):
    return json.loads((folder / "run.json").read_text())


def metrics(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [{name: x for name, x in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def outcome(folder):
    """All that a run found, without its times."""
    weights = {name: value.tolist() for name, value in load_file(folder / "checkpoint.safetensors").items()}
    return facts(folder)["judgement"], facts(folder)["objective"], metrics(folder), weights


def stopped_in(step):
    def stop(bar, progress):
        if progress.step == step:
            signal.raise_signal(signal.SIGTERM)

    return stop


# --- started again ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_finished_runs_are_skipped_and_their_figures_returned(sweep, monkeypatch):
    code, _, first = sweep("seed=1")
    monkeypatch.setattr(jobs, "run", None)  # whatever trains now fails
    again, err, second = sweep("seed=1", "threads=2", "retry=true")
    assert (code, again, err) == (0, 0, "")
    assert second == first == [facts(folder)["judgement"]["w1"] for folder in folders()]
    assert len(first) == 1


@pytest.mark.slow
def test_a_sweep_that_grew_runs_what_is_new(sweep, monkeypatch):
    sweep("seed=1")
    trained = []
    train = jobs.run
    monkeypatch.setattr(jobs, "run", lambda folder, *rest: (trained.append(folder), train(folder, *rest))[1])
    assert sweep("seed=0,1")[0] == 0
    assert len(folders()) == 2 and len(trained) == 1


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 5])
def test_a_stopped_sweep_says_how_it_continues_and_ends_as_if_it_had_not_been_stopped(step, sweep, monkeypatch):
    sweep("seed=0,1")
    expected = [outcome(folder) for folder in folders()]
    Path("sweep").rename("whole")
    with monkeypatch.context() as within:
        within.setattr(ProgressBar, "__call__", stopped_in(step))
        code, err, _ = sweep("seed=0,1")
    assert code == 130
    assert f"step {step} of 6" in err and "hydra.sweep.dir=sweep" in err
    assert sweep("seed=0,1")[0] == 0
    assert [outcome(folder) for folder in folders()] == expected
    (attempt,) = facts(folders()[0])["attempts"]
    assert attempt["status"] == "interrupted" and "torch" in attempt["versions"]


@pytest.mark.slow
def test_a_run_killed_after_training_continues_at_its_judgement(sweep, monkeypatch):
    sweep()
    (folder,) = folders()
    expected = outcome(folder)
    told = facts(folder)
    for name in ("judgement", "objective"):
        del told[name]
    (folder / "run.json").write_text(json.dumps(told | {"status": "running"}))
    monkeypatch.setattr(ProgressBar, "__call__", stopped_in(0))  # it must not be called: no step is left
    monkeypatch.setattr(runs.RecordWriter, "__call__", None)
    assert sweep()[0] == 0
    assert outcome(folder) == expected


def test_a_run_that_is_refused_says_it_in_its_record_and_begins_no_log(sweep):
    assert sweep("hydra/job_logging=late", "trainer.batch_size=1")[0] == 2  # as it is anyway
    (folder,) = folders()
    assert facts(folder)["status"] == "failed" and not (folder / "ot-gen.log").exists()


@pytest.mark.slow
def test_failed_runs_are_told_and_tried_again_when_asked(sweep, monkeypatch):
    with monkeypatch.context() as within:
        within.setattr(
            ProgressBar, "__call__", lambda bar, progress: (_ for _ in ()).throw(OSError("the disk is full"))
        )
        code, err, _ = sweep()
    assert code == 2
    (folder,) = folders()
    code, err, _ = sweep()
    before, summary = err.splitlines()
    assert code == 2
    assert "failed before" in before and "the disk is full" in before and "retry=true" in before
    assert folder.name in summary and "retry=true" in summary
    assert facts(folder)["status"] == "failed"
    assert sweep("retry=true")[0] == 0
    assert facts(folder)["status"] == "finished"
    assert not [item for item in facts(folder)["overrides"] if item.startswith("retry")]


@pytest.mark.slow
def test_a_folder_of_another_configuration_or_version_is_not_taken(sweep):
    named = "hydra.sweep.subdir=mine"
    sweep(named)
    before = Path("sweep/mine/run.json").read_bytes()
    code, err, _ = sweep(named, "seed=3")
    assert code == 2 and "another configuration" in err and "hydra.sweep.dir" in err
    assert Path("sweep/mine/run.json").read_bytes() == before
    told = json.loads(before)
    told["versions"]["ot_gen"] = "0.0.1"
    Path("sweep/mine/run.json").write_text(json.dumps(told))
    code, err, _ = sweep(named)
    assert code == 2 and "ot_gen 0.0.1" in err
    Path("sweep/mine/run.json").write_text("{")
    code, err, _ = sweep(named)
    assert code == 2 and "damaged" in err


@pytest.mark.slow
def test_the_composition_tells_results_apart_and_nothing_else():
    def of(*overrides):
        return composition(cli.composed(overrides)[0])

    assert of() == of("threads=3", "retry=true", "objective=judgement.w2_squared") == of("solver=primal/vae")
    assert len({of(), of("seed=1"), of("trainer.steps=7"), of("solver=dual/wgan_gp"), of("resume=x")}) == 5


# --- one process at a time -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_held_folder_is_refused_and_that_of_a_killed_process_is_free(tmp_path):
    hold = f"held = claimed(Path({str(tmp_path)!r})); held.__enter__(); print(1, flush=True); input()"
    code = f"from ot_gen.runs.claim import *; {hold}"
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with holder:
        holder.stdout.readline()
        with pytest.raises(ValueError, match="another process works in"), claimed(tmp_path, patience=0.05):
            pass
        holder.kill()
    with claimed(tmp_path, patience=0.0):
        pass


def test_an_orphan_stops_itself(monkeypatch):
    asked = []
    monkeypatch.setattr(signal, "raise_signal", asked.append)
    leave_orphan(Progress(1))
    assert asked == []  # no worker at all

    class Gone:
        pid = os.getppid() + 1

    monkeypatch.setattr("ot_gen.cli.sweep.parent_process", Gone)
    leave_orphan(Progress(1))
    assert asked == [signal.SIGTERM]


# --- the objective ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_objective_is_any_figure_of_the_record(sweep):
    _, _, (w2,) = sweep("objective=judgement.w2_squared")
    _, _, (value,) = sweep("objective=objective.value")
    (folder,) = folders()
    assert (w2, value) == (facts(folder)["judgement"]["w2_squared"], facts(folder)["objective"]["value"])
    code, err, _ = sweep("objective=encoder.nothing")
    assert code == 2 and "objective=encoder.nothing" in err and "encoder.mmd" in err
    assert facts(folder)["status"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["judgement", "judgement.nothing", "w1", "seconds", "null", "metrics.frechet.median", "certificate.interval"],
)
def test_an_unknown_objective_is_refused_before_training(name, sweep):
    code, err, _ = sweep(f"objective={name}")
    assert code == 2 and f"objective={name}".replace("null", "None") in err
    assert any(known in err for known in ("judgement.w1", "metrics.*.value", "certificate.upper"))
    assert folders() == []


def test_figures_of_later_kinds_can_be_objectives():
    for name in ("certificate.upper", "metrics.frechet.value"):
        check_objective(name)
    record = RunRecord(
        Status.FINISHED,
        judgement=Judgement(9, 0.5, 0.4, 0.3, 0.2, w1_se=0.1),
        metrics={"frechet": RecordedMetric(2.0)},
    )
    assert objective(record, "metrics.frechet.value") == 2.0
    assert objective(record, "judgement.w1") == objective(record, "metrics.w1.value") == 0.5
    assert objective(record, "metrics.w1.se") == 0.1
    with pytest.raises(ValueError, match=r"it has .*metrics\.frechet\.value"):
        objective(record, "certificate.upper")


# --- launchers and search: each where its plugin is installed ---------------------------------------------------------


def real(*overrides, env=None):
    command = [sys.executable, "-m", "ot_gen", "-m", *TINY, *overrides]
    with Path("log").open("w") as log:
        done = subprocess.run(command, stdout=log, stderr=subprocess.PIPE, text=True, timeout=200, check=False, env=env)
    return done.returncode, done.stderr


def plugin(name):
    missing = importlib.util.find_spec(f"hydra_plugins.{name}") is None
    return pytest.mark.skipif(missing, reason=f"{name} is not installed")


LAUNCHERS = [
    pytest.param(("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"), marks=plugin("hydra_joblib_launcher")),
    pytest.param(("hydra/launcher=submitit_local",), marks=plugin("hydra_submitit_launcher")),
    pytest.param(("hydra/launcher=ray_local",), marks=plugin("hydra_ray_launcher")),
]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS, ids=["joblib", "submitit_local", "ray"])
def test_a_parallel_launcher_runs_all_and_reports_bad_input(launcher):
    code, err = real("cost=squared_euclidean", "solver=dual/wgan_gp,primal/exact_plan", *launcher)
    assert code == 2
    assert "ot-gen: error: a Critic needs a distance" in err and "Traceback" not in err
    assert "1 failed: eight_gaussians_dual-wgan_gp_0" in err
    assert sorted(facts(folder)["status"] for folder in folders()) == ["failed", "finished"]


@pytest.mark.slow
@plugin("hydra_submitit_launcher")
def test_the_slurm_entry_composes(monkeypatch, capsys):
    shown = ("--cfg", "all", "-p", "hydra.launcher", "--resolve")
    monkeypatch.setattr(sys, "argv", ["ot-gen", "hydra/launcher=slurm", *shown])
    cli.main()
    launcher = OmegaConf.create(capsys.readouterr().out)
    assert launcher._target_.endswith("SlurmLauncher")
    assert (launcher.timeout_min, launcher.cpus_per_task) == (1440, 1)


@pytest.mark.slow
@plugin("hydra_optuna_sweeper")
@pytest.mark.filterwarnings("ignore")  # of optuna's own
def test_a_search_finds_its_best_run_and_continues(sweep):
    search = ("hydra/sweeper=search", "trainer.optimizer.lr=tag(log, interval(1e-4, 1e-2))")
    code, err, _ = sweep(*search, "hydra.sweeper.n_trials=3", "objective=judgement.w2_squared")
    assert code == 0, err
    best = OmegaConf.load("sweep/optimization_results.yaml")
    assert best.best_value == min(facts(folder)["judgement"]["w2_squared"] for folder in folders())
    trained = {folder: (folder / "run.json").read_bytes() for folder in folders()}
    code, err, found = sweep(*search, "hydra.sweeper.n_trials=4", "objective=judgement.w2_squared")
    assert code == 0, err
    assert len(folders()) == len(found) == 4
    assert all((folder / "run.json").read_bytes() == told for folder, told in trained.items())


def test_an_entry_whose_plugin_is_missing_gets_the_command_that_installs_it(sweep):
    if importlib.util.find_spec("hydra_plugins.hydra_ray_launcher"):
        pytest.skip("it is installed")
    code, err, _ = sweep("hydra/launcher=ray_cluster")
    assert code == 2 and err.count("\n") == 1 and "pip install 'ot_gen[ray]'" in err


@pytest.mark.slow
@plugin("hydra_joblib_launcher")
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_workers_of_a_killed_sweep_stop_and_the_sweep_started_again_ends_the_same():
    long = ("seed=0,1", "trainer.steps=1000", "trainer.checkpoint_every=10", "hydra/launcher=joblib")
    command = [sys.executable, "-m", "ot_gen", "-m", *TINY, *long, "hydra.launcher.n_jobs=2"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        while running.poll() is None and len(list(Path("sweep").glob("*/checkpoint.safetensors"))) < 2:
            time.sleep(0.02)
        running.kill()
    statuses = {facts(folder)["status"] for folder in folders()}
    code, err = real(*long, "hydra.launcher.n_jobs=2")
    assert (code, err) == (0, "")
    assert statuses <= {"running", "interrupted"}  # a worker that has noticed says so
    for folder in folders():
        assert [int(row["step"]) for row in metrics(folder)] == list(range(1, 1001))
        assert facts(folder)["status"] == "finished"
        assert len(facts(folder)["attempts"]) == 1  # each continued once: nobody else wrote there
