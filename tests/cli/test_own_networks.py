"""Networks of the user's own, named by `_target_` in a folder of entries, train, and are sampled again when trusted."""

from pathlib import Path

import numpy as np
import pytest

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


@pytest.mark.parametrize("solver", ["primal/vae", "dual/wgan_gp"])
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
