"""Advice in the words of the command line leads on, and a line says the cause."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from ot_gen import Empirical, SquaredEuclidean, load_run, semidiscrete, standard_gaussian
from ot_gen.cli.errors import one_line

SMOKE = ("trainer=smoke", "trainer.steps=4", "trainer.batch_size=16", "evaluation.samples=40", "metrics=none")
FLOW = ("solver=primal/flow_independent", "data=eight_gaussians", "data.size=64", "data.test_size=64", *SMOKE)

pytestmark = pytest.mark.usefixtures("clean_process", "undrawn")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "advice"), [("velocity=unet", "velocity=dense"), ("generator=mlp", "generator=flow")]
)
def test_advice_for_a_flow_can_be_followed(wrong, advice, command):
    code, _, err = command(*FLOW, wrong)
    assert code == 2 and err.count("\n") == 1 and f"(on the command line: {advice})" in err
    assert command(*FLOW, advice, "velocity.width=8")[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("target", ["torch.nn.Module", "functools.partial", "torch.nn.ModuleList"])
def test_a_velocity_that_computes_nothing_is_named_on_one_line(target, command):
    assert command(*FLOW, "velocity.width=8", "hydra.run.dir=run")[0] == 0
    config = OmegaConf.load("run/config.yaml")
    config.generator.velocity = {"_target_": target}
    Path("run/config.yaml").write_text(OmegaConf.to_yaml(config))
    code, _, err = command("sample", "--run", "run", "-n", 5, "--output", "a.npy")
    assert code == 2 and err.count("\n") == 1 and "_target_" in err and "HYDRA_FULL_ERROR" not in err
    with pytest.raises(ValueError, match="_target_"):
        load_run("run")


def test_memory_that_a_pairing_takes_is_said_with_its_setting():
    error = RuntimeError("DefaultCPUAllocator: can't allocate memory")
    assert "solver.coupling.pairing.size" in one_line(error) and "trainer.batch_size" in one_line(error)


def test_a_solve_that_ended_counts_the_samples_of_its_tests():
    nu = Empirical(torch.randn(30, 2))
    solution = semidiscrete(standard_gaussian(2), nu, SquaredEuclidean(), tol=1e-3, max_samples=2**12)
    assert "max_samples = 4096 ended" in solution.message and "in tests" in solution.message


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
@pytest.mark.parametrize("buffered", ["", "1"])
def test_a_full_standard_output_leaves_the_samples_and_says_where(buffered, command):
    assert command(*FLOW, "velocity.width=8", "hydra.run.dir=run")[0] == 0
    words = [sys.executable, "-m", "ot_gen", "sample", "--run", "run", "-n", "5", "--output", "a.npy"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            words, stdout=full, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": buffered}
        )
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "it is done" in done.stderr and "in a.npy" in done.stderr and Path("a.npy").exists()
