"""Nothing that a run reached is overwritten: folders of their own, refusals, and signals in every phase."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from recorded import experiment, record_run

import ot_gen.cli.job as jobs
from ot_gen.execution import read_progress
from ot_gen.runs import judging
from ot_gen.runs import run as runs
from ot_gen.runs.claim import claimed, unclaimed
from ot_gen.runs.record import read_metrics
from ot_gen.training import CHECKPOINT_NAME

TINY = ("trainer=smoke", "trainer.steps=3", "trainer.batch_size=16", "evaluation.samples=40")
TINY += ("data.size=64", "data.test_size=64", "metrics=none", "solver=primal/exact_plan")
RECORDS = Path(__file__).parents[1] / "records"
STOPS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("clean_process", "undrawn")]


def facts(folder):
    return json.loads((folder / "run.json").read_text())


def content(folder):
    """Every file that a reader would miss."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def test_no_two_callers_get_one_folder(tmp_path):
    code = (
        f"from ot_gen.runs.claim import unclaimed; from pathlib import Path; print(unclaimed(Path('{tmp_path}/run')))"
    )
    children = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    here = [str(unclaimed(tmp_path / "run")) for _ in range(20)]
    there = [child.communicate()[0].strip() for child in children]
    assert len(set(here + there)) == 23 == len(list(tmp_path.iterdir()))


def test_runs_of_one_second_have_folders_of_their_own(command):
    for rate in ("1e-3", "1e-4", "1e-4"):  # the last two are alike
        assert command(*TINY, f"trainer.optimizer.lr={rate}", "hydra.run.dir=${unclaimed:runs/same_second}")[0] == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == ["same_second", "same_second-2", "same_second-3"]
    assert all(facts(path)["status"] == "finished" for path in Path("runs").iterdir())


def test_the_default_folder_is_one_of_its_own(command):
    assert command(*TINY)[0] == command(*TINY)[0] == 0
    assert len(list(Path("runs").iterdir())) == 2


@pytest.mark.parametrize(
    "mistake", [(), ("trainer.batch_size=1",), ("data=points", "data.path=typo.npy"), ("seed=null",)]
)
def test_a_finished_run_is_not_overwritten(mistake, command):
    folder = shutil.copytree(RECORDS / "wgan_sn", "done")
    before = content(Path(folder))
    code, _, err = command(*TINY, *mistake, f"hydra.run.dir={folder}")
    assert code == 2 and err.count("\n") == 1
    assert all(way in err for way in ("finished run", "hydra.run.dir=", "resume=done", "overwrite=true"))
    assert content(Path(folder)) == before


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that ended well: its folder, to be copied."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    record_run(folder, experiment(*TINY, "data=two_moons", seed=0), solver="primal/exact_plan", data="two_moons")
    return folder


MISTAKES = [
    *("trainer.batch_size=abc", "trainer.batch_size=-1", "device=nope", "seed=null", "evaluation.samples=0"),
    *("objective=nonsense", "+trainer.processes=0", "trainer=null", "metrics.samples=1", "tracker=nope"),
    "generator.hidden=[100000000,100000000]",
]
ELSEWHERE = ["trainer.steps=2", "solver=dual/wgan_gp", "data=eight_gaussians", "data.size=65", "generator.hidden=[3]"]


@pytest.mark.parametrize(
    ("way", "mistake"),
    [("resume=L", mistake) for mistake in MISTAKES + ELSEWHERE] + [("overwrite=true", mistake) for mistake in MISTAKES],
)
def test_a_command_that_is_wrong_leaves_a_result_as_it_was(way, mistake, finished, command):
    folder = Path(shutil.copytree(finished, "L"))
    before = content(folder)
    code, _, err = command(*TINY, "data=two_moons", "hydra.run.dir=L", way, mistake)
    assert code == 2 and err.startswith("ot-gen: error: ") and err.count("\n") == 1
    assert content(folder) == before


@pytest.mark.parametrize("data", [("data=points", "data.path=typo.npy"), ("data=points",), ("data=nope",)])
def test_data_that_are_not_there_overwrite_nothing(data, finished, command):
    folder = Path(shutil.copytree(finished, "L"))
    before = content(folder)
    assert command(*TINY[:4], *TINY[6:], *data, "hydra.run.dir=L", "overwrite=true")[0] == 2
    assert content(folder) == before


@pytest.mark.parametrize("way", ["resume=L", "overwrite=true"])
@pytest.mark.parametrize("steps", [3, 4])
def test_a_command_that_is_right_replaces_it(way, steps, finished, command):
    shutil.copytree(finished, "L")
    assert command(*TINY, "data=two_moons", "hydra.run.dir=L", way, f"trainer.steps={steps}")[0] == 0
    told = facts(Path("L"))
    assert told["status"] == "finished" and told["steps_done"] == told["steps"] == steps
    assert told["overrides"] and len(read_metrics(Path("L"))) == steps
    assert OmegaConf.load("L/config.yaml").trainer.steps == steps


@pytest.mark.parametrize("name", ["overwrite", "retry"])
@pytest.mark.parametrize("value", ["no", "yes", "", "1", "null", "'true'", "[true]", "on"])
def test_what_is_neither_true_nor_false_is_refused(name, value, finished, command, monkeypatch, tmp_path):
    monkeypatch.setenv("PWD", str(tmp_path))  # as a shell has it in this folder
    folder = Path(shutil.copytree(finished, "L"))
    before = content(folder)
    for where in ("hydra.run.dir=L", "hydra.run.dir=${oc.env:PWD,.}/L/../L", "hydra.run.dir=new"):
        code, _, err = command(*TINY, where, f"{name}={value}")
        assert code == 2 and err.count("\n") == 1
    assert f"{name}=true or {name}=false" in err and content(folder) == before


@pytest.mark.parametrize("value", ["True", "TRUE", "true"])
def test_true_is_taken_as_hydra_takes_it(value, finished, command):
    shutil.copytree(finished, "L")
    assert command(*TINY, "seed=3", "hydra.run.dir=L", f"overwrite={value}")[0] == 0
    assert facts(Path("L"))["seed"] == 3


@pytest.mark.parametrize("name", [".lock", "ot-gen.log", "metrics.csv", ".hydra", "tensorboard"])
@pytest.mark.parametrize("more", [(), ("hydra.output_subdir=.hydra",), ("hydra/job_logging=default",)])
def test_a_link_in_a_folder_leads_nothing_elsewhere(name, more, finished, command):
    """The folder may be a stranger's, and the file at the end of the link the user's."""
    folder, victim = Path(shutil.copytree(finished, "L")), Path("victim")
    if name in (".hydra", "tensorboard"):
        victim.mkdir()
        victim = victim / "config.yaml"
    victim.write_text("mine")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(Path("victim").absolute())
    arguments = (*TINY, "data=two_moons", "trainer.steps=4", "resume=L", "hydra.run.dir=L", *more)
    code, _, err = command(*arguments)
    assert code == 2 and err.count("\n") == 1 and f"{name} is a link" in err
    assert victim.read_text() == "mine" and len(list(Path().glob("victim/*"))) in (0, 1)


def test_files_that_are_replaced_are_not_followed(finished, command):
    folder = Path(shutil.copytree(finished, "L"))
    for name in ("run.json", "checkpoint.safetensors"):
        (folder / name).rename(f"victim-{name}")
        (folder / name).symlink_to(Path(f"victim-{name}").absolute())
    before = content(Path())
    assert command(*TINY, "data=two_moons", "trainer.steps=4", "resume=L", "hydra.run.dir=L")[0] == 0
    after = content(Path())
    assert {path: after[path] for path in Path().glob("victim-*")} == {p: before[p] for p in Path().glob("victim-*")}


def test_an_empty_name_is_no_folder(command):
    for way in ("hydra.run.dir=", "++hydra.run.dir=", "hydra.run.dir=''"):
        code, _, err = command(*TINY, way)
        assert code == 2 and err.count("\n") == 1 and "names no folder" in err
    assert list(Path().iterdir()) == []


def test_without_a_result_the_record_says_what_failed(command):
    for number, mistake in enumerate(("+trainer.processes=0", "seed=null")):
        assert command(*TINY[:1], *TINY[2:], mistake, f"hydra.run.dir={number}")[0] == 2
        assert facts(Path(str(number)))["status"] == "failed", mistake


PLACES = {
    "load": (jobs, "assembled"),
    "train": (runs.ProgressBar, "__call__"),
    "judge": (judging.Metrics, "__call__"),
    "draw": (runs, "draw"),
}


@contextmanager
def stopping(phase, number):
    """A signal at the first call in a phase of a run."""
    owner, name = PLACES[phase]
    with pytest.MonkeyPatch.context() as patch:
        real = getattr(owner, name)

        def stop(*args, **kwargs):
            patch.undo()
            os.kill(os.getpid(), number)
            return real(*args, **kwargs)

        patch.setattr(owner, name, stop)
        yield


@pytest.mark.parametrize(
    ("number", "phase"),
    [(number, "judge") for number in STOPS] + [(signal.SIGHUP, p) for p in ("load", "train", "draw")],
)
def test_a_signal_keeps_what_is_done_in_every_phase(number, phase, command):
    with stopping(phase, number):
        code, _, err = command(*TINY, "hydra.run.dir=it")
    folder, told = Path("it"), facts(Path("it"))
    assert code == 130 and "Traceback" not in err
    assert told["status"] == "interrupted"
    done = {"load": None, "train": 1, "judge": 3, "draw": 3}[phase]
    if done is None:
        assert not (folder / CHECKPOINT_NAME).exists()
        assert command(*TINY, "hydra.run.dir=it")[0] == 0  # nothing was lost by it
    else:
        assert read_progress(folder / CHECKPOINT_NAME)["step"] == done
        assert f"resume={folder.absolute()}" in err
        assert command(*TINY, "resume=it", "hydra.run.dir=it")[0] == 0
    assert (told.get("steps_done") == 3) == (phase in ("judge", "draw"))
    again, whole = facts(folder), command(*TINY, "hydra.run.dir=whole")
    assert again["status"] == "finished" and again["steps_done"] == 3
    assert again["judgement"] == facts(Path("whole"))["judgement"] and whole[0] == 0


def test_a_stopped_run_is_not_overwritten(command):
    with stopping("train", signal.SIGTERM):
        command(*TINY, "hydra.run.dir=it")
    before = content(Path("it"))
    code, _, err = command(*TINY, "hydra.run.dir=it")
    assert code == 2 and "interrupted" in err and content(Path("it")) == before


def test_what_is_overwritten_leaves_nothing_to_go_on_from_by_mistake(command):
    assert command(*TINY, "hydra.run.dir=it", "seed=1")[0] == 0
    with stopping("train", signal.SIGTERM):
        assert command(*TINY, "hydra.run.dir=it", "overwrite=true")[0] == 130
    assert facts(Path("it"))["seed"] == 0 and read_progress(Path("it") / CHECKPOINT_NAME)["step"] == 1
    assert command(*TINY, "hydra.run.dir=it", "resume=it")[0] == 0
    assert command(*TINY, "hydra.run.dir=other")[0] == 0
    assert facts(Path("it"))["judgement"] == facts(Path("other"))["judgement"]


def test_a_folder_in_use_is_refused(command, monkeypatch):
    monkeypatch.setattr(jobs, "claimed", partial(claimed, patience=0.0))
    with claimed(Path("it")):
        code, _, err = command(*TINY, "hydra.run.dir=it")
    assert code == 2 and "another process works in" in err


def test_a_judgement_that_was_stopped_is_made_anew(command):
    run = shutil.copytree(RECORDS / "wgan_sn", "run")
    judge = ("evaluate", "--run", run, "--output", "judged", "metrics=none", "evaluation.samples=40")
    with stopping("judge", signal.SIGTERM):
        assert command(*judge)[0] == 130
    assert facts(Path("judged"))["status"] == "interrupted"
    assert command(*judge)[0] == 0 and facts(Path("judged"))["status"] == "finished"
    code, _, err = command(*judge)
    assert code == 2 and "already holds a record" in err
    assert command("evaluate", "--run", run, "--output", run, "metrics=none")[0] == 2  # it is no judgement
