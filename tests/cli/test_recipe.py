"""`ot_gen.recipe`: the tuned compositions of the command, in Python."""

import json

import pytest
import torch

import ot_gen
from ot_gen import cli

SMALL = ("data=eight_gaussians", "data.size=64", "generator.hidden=[8]", "features.hidden=[8]", "trainer.steps=3")


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["primal/vae", "dual/wgan_gp"])
def test_a_recipe_trains_what_the_command_trains(solver, clean_process, tmp_path, monkeypatch, undrawn):
    given = [f"solver={solver}", *SMALL, "trainer.batch_size=16"]
    monkeypatch.setattr("sys.argv", ["ot-gen", *given, "metrics=none", "evaluation.samples=16", "hydra.run.dir=run"])
    cli.main()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"
    torch.manual_seed(0)
    mu, made, data, trainer = ot_gen.recipe(*given)
    ot_gen.fit(mu, data.train, made, **trainer)
    trained = mu.state_dict()
    ot_gen.load_weights(tmp_path / "run" / "checkpoint.safetensors", mu)
    assert all(torch.equal(trained[name], weights) for name, weights in mu.state_dict().items())


def test_a_recipe_leaves_the_callers_configuration_and_hydra_alone():
    cfg, _ = cli.composed(SMALL)
    before = cfg.copy()
    cli.assembled(cfg)
    assert cfg == before


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["solver=primal/nope"], "solver/primal/nope"),
        (["data=points"], "data.path has no value"),
        (["trainer.lr=3"], "trainer.lr"),
        (["seed=1"], "torch.manual_seed"),
        (["device=cuda"], "move mu"),
        (["hydra.run.dir=x"], "setting of runs"),
        (["data"], "NAME=VALUE"),
        ([3], "NAME=VALUE"),
    ],
)
def test_what_a_recipe_cannot_take_is_named(overrides, words):
    with pytest.raises(ValueError, match=words):
        ot_gen.recipe(*overrides)


def test_a_folder_of_own_entries_is_searched(tmp_path):
    (tmp_path / "solver").mkdir()
    (tmp_path / "solver" / "mine.yaml").write_text("defaults:\n  - primal/exact_plan\n")
    solver = ot_gen.recipe("solver=mine", *SMALL, config_dir=tmp_path).solver
    assert isinstance(solver, ot_gen.PrimalSolver)
    with pytest.raises(ValueError, match="no folder"):
        ot_gen.recipe(config_dir=tmp_path / "none")
