"""Runs on images: with networks of the user's own, named by `_target_`, and from before networks chose their depth."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from ot_gen import load_run

NETWORKS = """
import math
from torch import nn

def Generator(in_dim, shape):
    return nn.Sequential(nn.Linear(in_dim, math.prod(shape)), nn.Sigmoid())

class Features(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.out_dim = 8
        pooled = nn.Sequential(nn.Unflatten(1, shape), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.layers = nn.Sequential(pooled, nn.Linear(4 * shape[0], 8))

    def forward(self, x):
        return self.layers(x)
"""
ENTRY = """# @package _global_
generator: {_target_: my_networks.Generator, in_dim: "${reference.dim}", shape: "${space.shape}"}
features: {_target_: my_networks.Features, shape: "${space.shape}"}
"""
TINY = ("data=shapes", "data.size=16", "data.test_size=16", "data.pixels=8", "trainer=smoke", "trainer.steps=2")
TINY += ("trainer.batch_size=8", "evaluation.samples=8", "metrics=none", "hydra.run.dir=out")


@pytest.fixture(autouse=True)
def folder(clean_process, undrawn, tmp_path, monkeypatch):
    (tmp_path / "my_networks.py").write_text(NETWORKS)
    (tmp_path / "my_conf" / "generator").mkdir(parents=True)
    (tmp_path / "my_conf" / "generator" / "mine.yaml").write_text(ENTRY)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("solver", [pytest.param("primal/vae", marks=pytest.mark.slow), "dual/wgan_gp"])
def test_networks_of_ones_own_train_from_a_folder_of_entries(solver, command):
    code, _, err = command("--config-dir", "my_conf", "generator=mine", f"solver={solver}", *TINY)
    assert (code, err) == (0, "")
    run = load_run("out", trust=True)
    assert "Features" in {type(part).__name__ for part in run.solver.modules()}
    assert run.mu.sample(3).shape == (3, 192)
    code, _, err = command("sample", "--run", "out", "-n", 4, "--output", "samples.npy")
    assert code == 2 and "my_networks.Generator" in err and "--trust" in err
    code, _, err = command("sample", "--run", "out", "-n", 4, "--output", "samples.npy", "--trust")
    assert (code, err) == (0, "")
    assert np.load("samples.npy").shape[0] == 4


def test_features_that_do_not_say_their_number_are_named(command):
    entry = Path("my_conf/generator/mine.yaml")
    entry.write_text(ENTRY.replace('my_networks.Features, shape: "${space.shape}"', "torch.nn.Flatten"))
    code, _, err = command("--config-dir", "my_conf", "generator=mine", "solver=dual/wgan_gp", *TINY)
    assert code == 2
    assert "Flatten" in err and "out_dim" in err


def test_a_run_from_before_is_built_with_its_two_halvings(command):
    """At 32 pixels there are three today. Its config.yaml did not name them, and its run.json has an earlier format."""
    former = ("+generator.halvings=2", "+features.halvings=2", "generator.width=8", "features.width=8")
    code, _, err = command("solver=primal/vae", *former, *TINY, "data.pixels=32")
    assert (code, err) == (0, "")
    torch.manual_seed(0)
    samples = load_run("out").mu.sample(3)
    config, record = OmegaConf.load("out/config.yaml"), json.loads(Path("out/run.json").read_text())
    del config.generator.halvings, config.features.halvings
    config.encoder.net.body.pop("halvings")
    config.solver.coupling.encoder.net.body.pop("halvings")
    OmegaConf.save(config, "out/config.yaml")
    Path("out/run.json").write_text(json.dumps(record | {"format": 3}))
    torch.manual_seed(0)
    assert torch.equal(load_run("out").mu.sample(3), samples)
