"""A recorded config.yaml runs again as it is; `resume=FOLDER` alone goes on in place; modules beside --config-dir."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from recorded import experiment, record_run

import ot_gen
from ot_gen import cli
from ot_gen.report.compare import main as compare

TINY = ("trainer=smoke", "trainer.steps=3", "trainer.batch_size=16", "evaluation.samples=40")
TINY += ("data.size=64", "data.test_size=64", "metrics=none", "solver=primal/exact_plan", "data=two_moons")

pytestmark = pytest.mark.usefixtures("clean_process", "undrawn")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("ot_gen.runs.run.draw", lambda *_: None)
        record_run(folder, experiment(*TINY, seed=0), solver="primal/exact_plan", data="two_moons")
    OmegaConf.save(cli.parts(*TINY).config, folder / "config.yaml", resolve=True)
    return folder


def told(folder):
    return json.loads(Path(folder, "run.json").read_text())


@pytest.mark.slow
def test_resume_alone_goes_on_in_place_with_the_configuration_of_the_run(finished, command):
    shutil.copytree(finished, "runs/a")
    assert command("resume=runs/a", "trainer.steps=5")[0] == 0
    record = told("runs/a")
    assert (record["data"], record["solver"], record["steps_done"]) == ("two_moons", "primal/exact_plan", 5)
    assert [path.name for path in Path("runs").iterdir()] == ["a"]
    assert command("resume=runs/a/checkpoint.safetensors", "trainer.steps=6", "--output", "b")[0] == 0
    assert (told("b")["steps_done"], told("runs/a")["steps_done"]) == (6, 5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "way",
    [
        ("--config-dir", "old", "--config-name", "config"),
        ("-cp", "old"),
        ("--config-name", "old/config.yaml"),
        ("--config-dir", "my_conf", "experiment=again"),
    ],
)
def test_a_recorded_configuration_runs_again_as_it_is(way, finished, command):
    shutil.copytree(finished, "old")
    Path("my_conf/experiment").mkdir(parents=True)
    shutil.copy("old/config.yaml", "my_conf/experiment/again.yaml")
    assert command(*way, "hydra.run.dir=new")[0] == 0
    assert told("new")["judgement"] == told("old")["judgement"] and told("new")["data"] == "two_moons"
    assert (Path("new/metrics.csv").read_text().split(",")[0]) == "step"
    new, old = OmegaConf.load("new/config.yaml"), OmegaConf.load("old/config.yaml")
    assert all(new[name] == old[name] for name in ("solver", "generator", "data", "trainer", "reference", "seed"))


def test_entries_and_foreign_names_of_a_recorded_configuration_are_refused(finished, command):
    shutil.copytree(finished, "old")
    code, _, err = command("--config-name", "old/config.yaml", "solver=primal/vae")
    assert code == 2 and "solver" in err and err.count("\n") == 1
    for node in ("data", "metrics", "certificate", "tracker", "solver"):
        words = OmegaConf.load(finished / "config.yaml")
        words[node] = {**(words.get(node) or {}), "_target_": "os.system", "command": "touch gone"}
        words["hydra"] = {"callbacks": {"bad": {"_target_": "os.system", "command": "touch gone"}}}
        OmegaConf.save(words, "old/config.yaml")
        for way in (["resume=old"], ["--config-path", "old"], ["--config-dir", "old", "--config-name", "config"]):
            code, _, err = command(*way)
            assert code == 2 and "os.system" in err and "--trust" in err and err.count("\n") == 1
    assert not Path("gone").exists()


def test_modules_are_found_beside_the_folder_of_entries_and_in_no_run(command, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    for place, holds in (("mine", None), ("theirs", "run.json")):
        entry = Path(place, "my_conf/generator/own.yaml")
        entry.parent.mkdir(parents=True)
        entry.write_text(f"# @package _global_\ndefaults: [mlp]\ngenerator:\n  _target_: own_module_{place}.net\n")
        Path(place, f"own_module_{place}.py").write_text("def net(**_):\n    raise ValueError('this is my net')\n")
        if holds:
            Path(place, holds).write_text('{"status": "finished"}')
        *_, err = command("--config-dir", f"{place}/my_conf", "generator=own", *TINY, "hydra.run.dir=out")
        assert ("this is my net" in err) == (holds is None), err


def test_the_version_is_ours(command, capsys):
    assert command("--version")[:2] == (0, f"ot-gen {ot_gen.__version__}\n")
    assert compare(["--version"]) == 0 and ot_gen.__version__ in capsys.readouterr().out
    cited = OmegaConf.load(Path(__file__).parents[2] / "CITATION.cff")
    assert cited.version == ot_gen.__version__ and cited.title and cited.authors
