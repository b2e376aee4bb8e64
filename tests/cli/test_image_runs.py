"""Runs on images: classes by their names, mirror images, data sets of others, and a judge that knows its data."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import ot_gen
from ot_gen.runs.class_figures import class_grid, class_scatter
from ot_gen.runs.latents import code_figure

SMOKE = (
    "trainer=smoke",
    "trainer.steps=2",
    "trainer.batch_size=8",
    "evaluation.samples=20",
    "solver=primal/exact_plan",
)
DENSE = ("generator=mlp_image", "generator.hidden=[8]", "reference.dim=2")
RANDOM = np.random.default_rng(0)

pytestmark = [pytest.mark.usefixtures("clean_process", "undrawn"), pytest.mark.slow]


def trained(command, *overrides):
    code, _, err = command(*overrides, *SMOKE, *DENSE, "hydra.run.dir=run")
    assert code == 0, err
    return json.loads(Path("run/run.json").read_text())


def digits_of_noise():
    images = RANDOM.integers(0, 256, (100, 28, 28), dtype=np.uint8)
    np.savez("other.npz", images=images, labels=np.arange(100) % 10)


def test_classes_are_drawn_by_their_names(command):
    images = RANDOM.integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    np.savez("a.npz", images=images, breed=np.array(["cat", "dog", "sea lion"])[np.arange(60) % 3])
    trained(command, "data=images", "data.path=a.npz", "data.label=breed", "condition=label", "data.flip=true")
    run = ot_gen.load_run("run")
    assert run.data.class_names == ("cat", "dog", "sea lion") and len(run.data.train) == 96
    for given, said in (
        ("sea lion", "of class sea lion"),
        ("dog,cat", "3 each of the classes dog, cat"),
        ("2", "lion"),
    ):
        code, out, err = command("sample", "--run", "run", "--class", given, "-n", 3, "--output", f"{given}.npy")
        assert code == 0 and said in out, err
    assert np.array_equal(np.load("sea lion.npy"), np.load("2.npy"))
    for given, words in (
        ("cow", "there is no class 'cow'; the classes are cat, dog, sea lion"),
        ("cat,0", "class cat mo"),
    ):
        code, _, err = command("sample", "--run", "run", "--class", given, "--output", "b.npy")
        assert code == 2 and words in err and err.count("\n") == 1


def test_the_digit_classifier_judges_digits_alone_and_the_record_says_so(command):
    digits_of_noise()
    words = "points, not digit_features, digit_classes: the digit classifier takes"
    with pytest.warns(UserWarning, match=f"the data are judged by {words}"):
        record = trained(command, "data=mnist", "data.path=other.npz", "metrics=digits")
    assert record["judge"].startswith(words)
    assert "class_error" not in record["metrics"] and record["metrics"]["frechet"]["value"] > 0


def test_digits_are_judged_by_the_digit_classifier(command):
    record = trained(command, "data=mnist", "metrics=digits")
    assert record["judge"] == "points, digit_features, digit_classes"
    assert "class_error" in record["metrics"]


DATA_SET = """
import torch

class Dots:
    classes = ["left", "right"]

    def __len__(self):
        return 40

    def __getitem__(self, i):
        image = torch.zeros(1, 6, 6)
        image[0, i % 6, i % 2] = 1
        return image, i % 2
"""


def test_a_data_set_of_ones_own_needs_trust_to_be_loaded_again(command, monkeypatch):
    Path("dots.py").write_text(DATA_SET)
    monkeypatch.syspath_prepend(".")
    trained(command, "data=torch_dataset", "data.dataset._target_=dots.Dots", "metrics=none", "condition=label")
    sample = ("sample", "--run", "run", "--class", "right", "-n", 3, "--output", "a.npy")
    code, _, err = command(*sample)
    assert code == 2 and "names 'dots.Dots', which is no part of ot_gen" in err and err.count("\n") == 1
    assert command(*sample, "--trust")[0] == 0


def test_names_of_classes_stand_in_the_figures():
    """By what a reader sees: the ticks of the grid, and the legends of the planes."""
    names = ("cat", "dog", "a very long name of a class")
    labels = torch.arange(30) % 3
    grid = class_grid([torch.rand(4, 27) for _ in names], (3, 3, 3), names)
    assert [tick.get_text() for tick in grid.axes[0].get_yticklabels()] == ["cat", "dog", "a very long n…"]
    plane = class_scatter(torch.randn(30, 2), labels, torch.randn(30, 2), labels, names)
    codes = code_figure(torch.randn(30, 2), labels, torch.randn(9, 2), names)
    for legend in (plane.legends[0], codes.axes[0].get_legend()):
        assert [text.get_text() for text in legend.get_texts()][-3:] == ["cat", "dog", "a very long n…"]
