"""`ot-gen geometry --class`: the latent space of one class of a run that was trained with classes."""

import csv
import json
from pathlib import Path

import pytest
import torch

import ot_gen
from ot_gen import labelled

SMOOTH = "+generator.activation={_target_: hydra.utils.get_class, path: torch.nn.Tanh}"
TOY = ("data=two_moons", "data.size=64", "data.test_size=64", "generator.hidden=[8]", SMOOTH)
SMOKE = ("trainer=smoke", "trainer.steps=2", "trainer.batch_size=16", "evaluation.samples=40", "metrics=none")
RUNS = {
    "plan": ("solver=primal/exact_plan", *TOY, "condition=label"),
    "vae": ("solver=primal/vae", *TOY, "condition=label", "features.hidden=[8]", "ex_post.components=2"),
    "noisy": ("solver=primal/vae", *TOY, "condition=label", "noise=fixed", "ex_post=null"),
    "plain": ("solver=primal/exact_plan", *TOY),
}
pytestmark = [pytest.mark.usefixtures("clean_process", "undrawn"), pytest.mark.slow]


@pytest.mark.parametrize("name", ["plan", "vae"])
def test_lengths_are_those_of_the_generator_at_that_class(name, run, command):
    folder = run(name)
    code, out, err = command("geometry", "--run", folder, "--class", 1, "--output", "g", "pairs=2", "segments=8")
    assert code == 0 and ", class 1\n" in out, err
    assert json.loads(Path("g/geometry.json").read_text())["class"] == "1"
    mu = ot_gen.load_run(folder).mu.given(1)
    t = torch.linspace(0, 1, 400)[:, None]
    for row in csv.DictReader(Path("g/geometry.csv").read_text().splitlines()):
        z0, z1 = (torch.tensor([float(row[f"z{end}_{i}"]) for i in (1, 2)]) for end in (0, 1))
        with torch.no_grad():
            x = mu(labelled(z0 + t * (z1 - z0), torch.ones(400)))
        length = (x[1:] - x[:-1]).norm(dim=1).sum()
        assert float(row["straight_length"]) == pytest.approx(float(length), rel=1e-2)
        assert name == "plan" or (row["class_0"], row["class_1"]) == ("1", "1")


def test_a_class_is_asked_for_where_there_are_classes_and_only_there(run, command):
    for name, asked, words in (
        ("plan", (), "give one class, --class 3"),
        ("plan", ("--class", "0,1"), "give one class, --class 3"),
        ("plan", ("--class", "2"), "its classes are 0 to 1"),
        ("plain", ("--class", "1"), "was not trained with condition=label"),
        ("noisy", ("--class", "1"), "the decoder of this run has noise"),
    ):
        code, _, err = command("geometry", "--run", run(name), *asked)
        assert code == 2 and err.count("\n") == 1 and words in err, err
