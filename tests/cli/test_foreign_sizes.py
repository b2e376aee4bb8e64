"""A folder's configuration asks for no more than its checkpoint holds, whatever is in it; asking leaves no trace."""

import shutil
import sys
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import ot_gen
from ot_gen.networks import DenseVelocity, FlowMap, evaluations

SMOKE = ("trainer=smoke", "trainer.steps=4", "trainer.batch_size=16", "evaluation.samples=40", "metrics=none")
TOY = ("solver=primal/flow_independent", "data=eight_gaussians", "data.size=64", "data.test_size=64")
HUGE = 10**9

pytestmark = pytest.mark.usefixtures("clean_process", "undrawn")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return tmp_path_factory.mktemp("trained") / "flow"


@pytest.fixture
def run(command, trained):
    """A finished run of a flow, below the working folder."""
    if not trained.exists():
        code, _, err = command(*TOY, *SMOKE, "velocity.width=8", f"hydra.run.dir={trained}")
        assert code == 0, err
    return Path(shutil.copytree(trained, "flow"))


def changed(run, **values):
    config = OmegaConf.load(run / "config.yaml")
    for place, value in values.items():
        OmegaConf.update(config, place.replace("__", "."), value, force_add=True)
    (run / "config.yaml").write_text(OmegaConf.to_yaml(config))


@pytest.mark.slow
def test_an_adaptive_flow_is_loaded_in_a_process_that_has_not_met_its_library(command, run, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchdiffeq"]:
        monkeypatch.delitem(sys.modules, name)
    changed(run, generator__method="dopri5")
    code, _, err = command("sample", "--run", run, "-n", 5, "--output", "a.npy")
    assert code == 0, err
    assert ot_gen.load_run(run).mu.sample(3).isfinite().all()


@pytest.mark.slow
def test_what_looks_at_its_numbers_when_it_is_built_is_loaded_and_its_size_checked(run, monkeypatch):
    before = DenseVelocity.__init__

    def init(self, *arguments, **named):
        before(self, *arguments, **named)
        assert float(next(self.parameters()).detach().abs().max()) > 0

    monkeypatch.setattr(DenseVelocity, "__init__", init)
    assert ot_gen.load_run(run).mu.sample(3).isfinite().all()
    changed(run, generator__velocity__width=20_000)
    with pytest.raises(ValueError, match="does not belong to its checkpoint"):
        ot_gen.load_run(run)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "part"),
    [
        ("reference__dim", "reference"),
        ("generator__velocity__width", "generator"),
        ("generator__velocity__depth", "generator"),
    ],
)
def test_sizes_of_a_stranger_are_refused_before_memory_is_taken_for_them(place, part, run, command):
    changed(run, **{place: HUGE})
    began = time.monotonic()
    code, _, err = command("sample", "--run", run, "-n", 5, "--output", "a.npy")
    assert code == 2 and err.count("\n") == 1, err
    assert f"the {part} in" in err and "does not belong to its checkpoint" in err
    assert time.monotonic() - began < 10


@pytest.mark.slow
def test_steps_without_end_are_refused_wherever_they_come_from(run, command):
    flow = FlowMap(DenseVelocity(2, width=8))
    with pytest.raises(ValueError, match=r"steps must be a whole number in \[1, 10000\]"):
        FlowMap(flow.velocity, steps=HUGE)
    with pytest.raises(ValueError, match=r"number must be a whole number in \[1, 10000\]"), evaluations(flow, HUGE):
        pass
    code, _, err = command("sample", "--run", run, "-n", 5, "--output", "a.npy", "--nfe", HUGE)
    assert code == 2 and err.count("\n") == 1 and "nfe must be a whole number in [1, 10000]" in err
    changed(run, generator__steps=HUGE)
    code, _, err = command("sample", "--run", run, "-n", 5, "--output", "a.npy")
    assert code == 2 and err.count("\n") == 1 and "steps must be a whole number in [1, 10000]" in err


def test_the_most_steps_are_taken():
    flow = FlowMap(DenseVelocity(2, 4), steps=10_000, method="euler")
    assert flow.evaluations == 10_000
