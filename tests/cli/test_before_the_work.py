"""What can be refused before the work is refused before it: targets, sizes, seeds, options that do nothing."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from ot_gen.cli import composed
from ot_gen.cli.finished import read_run

RECORDS = Path(__file__).parents[1] / "records"
TINY = ("trainer=smoke", "trainer.steps=2", "metrics=none", "data.size=32", "data.test_size=32", "hydra.run.dir=new")
pytestmark = pytest.mark.usefixtures("clean_process", "undrawn")


@pytest.fixture
def run():
    return Path(shutil.copytree(RECORDS / "wgan_sn", "run"))


@pytest.fixture
def refused(command, monkeypatch):
    """The one line of a command that is refused; to build a model would be work."""

    def call(*arguments):
        with monkeypatch.context() as patch:
            patch.setattr("ot_gen.cli.finished.assembled", None)
            code, out, err = command(*arguments)
        assert code == 2 and out == "" and err.startswith("ot-gen: error: ") and err.count("\n") == 1, err
        return err

    return call


@pytest.mark.parametrize("verb", ["evaluate", "geometry"])
@pytest.mark.parametrize("target", ["/dev/null", "file", "file/below/it", "/proc/x", "locked"])
def test_a_target_is_looked_at_first(verb, target, run, refused):
    Path("file").touch()
    Path("locked").mkdir()
    (Path("locked") / ".lock").symlink_to(Path("file").absolute())
    option = "--output"
    err = refused(verb, "--run", run, option, target)
    assert target in err and "Errno" not in err and ("another" in err or "remove the link" in err)
    assert not Path("file").read_text()


@pytest.mark.slow
def test_the_geometry_of_another_run_stays(run, refused, command):
    shutil.copytree(run, "other")
    Path("study").mkdir()
    mine = json.dumps({"run": str(Path("other").absolute())})
    for held in (mine, "{", "[]", "{}"):
        Path("study/geometry.json").write_text(held)
        assert "already holds the geometry" in refused("geometry", "--run", run, "--output", "study")
        assert Path("study/geometry.json").read_text() == held
    assert "another run" in refused("geometry", "--run", run, "--output", "other")
    Path("study/geometry.json").write_text(json.dumps({"run": str(run.absolute())}))
    assert command("geometry", "--run", run, "--output", "study", "pairs=2", "segments=4", "start=line")[0] == 0
    assert json.loads(Path("study/geometry.json").read_text())["pairs"] == 2


SETTINGS = ["pairs=1000000000", "pairs=0", "segments=1000000", "segments=2", "seed=-1", f"seed={10**23}"]


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_study_without_end_is_refused(setting, run, refused):
    name = setting.partition("=")[0]
    assert f"{name} must be a whole number in [" in refused("geometry", "--run", run, setting)


CHANGES = {
    "seed": (10**30, "no whole number below 2^64"),
    "seed ": ("abc", "no whole number below 2^64"),
    "seed  ": (True, "no whole number below 2^64"),
    "generator.hidden": ([10**9, 10**9], "its checkpoint of"),
    "generator.hidden ": ([10**5, 10**4], "its checkpoint of"),
    "solver.potential.net.body.hidden": ([10**9], "its checkpoint of"),
}


@pytest.mark.parametrize("place", CHANGES)
@pytest.mark.parametrize("verb", ["evaluate", "geometry"])
def test_a_configuration_that_no_run_had_is_refused_before_memory_is_taken(place, verb, run, refused):
    config = OmegaConf.load(run / "config.yaml")
    value, words = CHANGES[place]
    OmegaConf.update(config, place.strip(), value, merge=False)
    (run / "config.yaml").write_text(OmegaConf.to_yaml(config))
    assert words in refused(verb, "--run", run)


def test_to_look_at_the_sizes_leaves_the_random_state(run):
    before = torch.get_rng_state()
    read_run(run)
    assert torch.equal(torch.get_rng_state(), before)


def test_data_beyond_memory_are_refused(command):
    code, _, err = command(*TINY[:3], *TINY[4:], "data.size=1000000000")
    assert code == 2 and err.count("\n") == 1 and "size must be a whole number" in err


WITHOUT_EFFECT = ["+nope=3", "++nope=3", "+nope.x=3", "space.dim=7", "++space.shape=[1]", "+seeds=1"]


@pytest.mark.slow
@pytest.mark.parametrize("override", WITHOUT_EFFECT)
def test_an_override_that_would_change_nothing_is_refused(override, command):
    code, _, err = command(*TINY, override)
    assert code == 2 and err.count("\n") == 1 and override in err and not Path("new/run.json").exists()
    with pytest.raises(ValueError, match=r"nothing reads|facts of the data"):
        composed([override])


def test_a_setting_of_ones_own_may_be_named_by_others():
    assert composed(["+wide=8", "generator.hidden=[${wide},${wide}]"])[0].generator.hidden == [8, 8]
    assert composed(["+encoder.layers=4", "solver=primal/vae", "encoder=flow"])[0].encoder.layers == 4


@pytest.mark.parametrize("value", ["3", "[]", "{a: 1}", "true"])
def test_what_is_resumed_is_named(value, command):
    code, _, err = command(*TINY, f"resume={value}")
    assert code == 2 and err.count("\n") == 1 and "resume=" in err and "no path" in err


@pytest.mark.parametrize("option", ["--experimental-rerun=x.pickle", "--cfg=job --package=nope"])
def test_options_of_hydra_are_refused_in_one_line(option, command):
    Path("x.pickle").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    code, _, err = command(*TINY, *option.split())
    assert code == 2 and err.startswith("ot-gen: error: ") and err.count("\n") == 1 and not Path("ran").exists()


@pytest.mark.slow
def test_numbers_that_float32_cannot_hold_are_told_from_nan(command):
    rows = {"large": "1e300,1\n2e300,2\n", "nan": "nan,1\n1,2\n", "near": "1e-300,2e-300\n3e-300,0\n"}
    told = {}
    for name, text in rows.items():
        Path(f"{name}.csv").write_text(text * 10)
        words = ("data=points", f"data.path={name}.csv", "trainer.steps=1", "metrics=none", f"hydra.run.dir={name}")
        code, _, told[name] = command(*words)
        assert code == 2 and told[name].count("\n") == 1
    assert "too large for float32" in told["large"] and "NaN or Inf" in told["nan"] and "rescale" in told["near"]
