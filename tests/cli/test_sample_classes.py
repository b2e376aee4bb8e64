"""`ot-gen sample --class`: draws of one class, or of several, from a run that was trained with classes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ot_gen
from ot_gen.data import image_folder, points
from ot_gen.networks import evaluations

SMOKE = ("trainer=smoke", "trainer.steps=2", "trainer.batch_size=16", "evaluation.samples=40", "metrics=none")
TOY = ("data=two_moons", "data.size=64", "data.test_size=64")
RUNS = {
    "toy": ("solver=primal/exact_plan", *TOY, "condition=label"),
    "plain": ("solver=primal/exact_plan", *TOY),
    "flow": ("solver=primal/flow_independent", "generator.steps=3", *TOY, "condition=label"),
    "gmm": ("solver=primal/vae", "ex_post=gmm", "ex_post.components=2", *TOY, "condition=label"),
    "digits": (
        *("solver=primal/exact_plan", "data=digits", "reference.dim=3", "generator.hidden=[8]", "condition=label"),
    ),
}

pytestmark = pytest.mark.usefixtures("clean_process", "undrawn")


@pytest.fixture
def drawn(command):
    """A draw that must succeed: arguments of `ot-gen sample` -> what it says."""

    def call(*arguments):
        code, out, err = command("sample", *arguments)
        assert (code, err) == (0, "")
        return out

    return call


def given(mu, label, n):
    return mu.given(label).sample(n)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["toy", "flow", "gmm"])
@pytest.mark.parametrize("n", [5, 1500])
def test_a_class_is_drawn_as_the_loaded_model_draws_it(name, n, run, drawn):
    """Also where the draw takes several blocks, and of several classes one after the other."""
    folder = run(name)
    mu = ot_gen.load_run(folder).mu
    assert "of class 1, seed 3" in drawn("--run", folder, "--class", 1, "-n", n, "--seed", 3, "--output", "one.npy")
    torch.manual_seed(3)
    assert np.array_equal(np.load("one.npy"), given(mu, 1, n).numpy())
    said = drawn("--run", folder, "--class", "1,0", "-n", n, "--seed", 3, "--output", "both.npz")
    assert f"{2 * n} samples, {n} each of the classes 1, 0" in said
    torch.manual_seed(3)
    expected = torch.cat([given(mu, 1, n), given(mu, 0, n)])
    both = np.load("both.npz")
    assert np.array_equal(both["points"], expected.numpy())
    assert both["labels"].tolist() == [1] * n + [0] * n
    drawn("--run", folder, "--class", 1, "--class", 0, "-n", n, "--seed", 3, "--output", "again.npy")
    assert np.array_equal(np.load("again.npy"), both["points"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["toy", "gmm"])
def test_without_class_the_array_tells_the_classes_of_the_draws(name, run, drawn):
    folder = run(name)
    mu = ot_gen.load_run(folder).mu
    drawn("--run", folder, "-n", 1200, "--output", "all.npz")
    found = np.load("all.npz")
    torch.manual_seed(0)
    assert np.array_equal(found["points"], mu.sample(1200).numpy())
    torch.manual_seed(0)
    rows = mu.base.sample(1200)
    assert found["labels"].tolist() == rows[:, -1].long().tolist()
    with torch.no_grad():
        torch.testing.assert_close(mu(rows), torch.from_numpy(found["points"]))
    assert len(points("all.npz").train) == 960
    drawn("--run", run("plain"), "-n", 12, "--output", "plain.npz")
    assert set(np.load("plain.npz")) == {"points"}


@pytest.mark.slow
def test_a_flow_takes_as_few_evaluations_for_a_class_as_are_asked_for(run, drawn):
    folder = run("flow")
    drawn("--run", folder, "--class", 0, "-n", 5, "--nfe", 2, "--output", "few.npy")
    mu = ot_gen.load_run(folder).mu
    with evaluations(mu, 2):
        torch.manual_seed(0)
        assert np.array_equal(np.load("few.npy"), given(mu, 0, 5).numpy())


@pytest.mark.slow
def test_images_of_several_classes_go_into_a_folder_for_each(run, drawn, command):
    folder = run("digits")
    drawn("--run", folder, "--class", "3,0,7", "-n", 12, "--output", "some/")
    assert sorted(path.name for path in Path("some").iterdir()) == ["0", "3", "7"]
    assert sorted(path.name for path in Path("some/3").iterdir()) == [f"{i:02d}.png" for i in range(12)]
    read = image_folder("some", size=(8, 8))
    assert torch.cat([read.train_labels, read.test_labels]).bincount().tolist() == [12, 12, 12]
    drawn("--run", folder, "--class", 3, "-n", 12, "--output", "one")
    assert len(list(Path("one").iterdir())) == 12
    drawn("--run", folder, "--class", "3,0,7", "-n", 12, "--output", "some.png")
    with Image.open("some.png") as grid:
        assert grid.size == (12 * 10 - 2, 3 * 10 - 2)
    drawn("--run", folder, "-n", 40, "--output", "one", "--overwrite")
    files = sorted(Path("one").rglob("*.png"))
    assert len(files) == 40 and {len(path.relative_to("one").parts) for path in files} == {2}
    torch.manual_seed(0)
    labels = ot_gen.load_run(folder).mu.base.sample(40)[:, -1].long()
    assert [len(list(Path("one").glob(f"{k}/*"))) for k in range(10)] == labels.bincount(minlength=10).tolist()
    for foreign in ("one/3/notes.txt", "one/names"):
        Path(foreign).write_text("mine")
        code, _, err = command("sample", "--run", folder, "-n", 4, "--output", "one", "--overwrite")
        assert code == 2 and Path(foreign).name in err
        Path(foreign).unlink()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("plain", "0", "was not trained with condition=label"),
        ("toy", "2", "there is no class 2 in toy; its classes are 0 to 1"),
        ("toy", "0,9", "there is no class 9"),
        ("toy", "one", "numbers of classes, as in --class 7 or --class 3,7, got 'one'"),
        ("toy", "1,", "numbers of classes"),
        ("toy", "0,1,0", "class 0 more than once"),
    ],
)
def test_a_class_that_there_is_not_is_refused_in_a_line(name, given, words, run, command):
    code, out, err = command("sample", "--run", run(name), "--class", given, "--output", "a.npy")
    assert (code, out) == (2, "") and err.startswith("ot-gen: error: ") and err.count("\n") == 1 and words in err
    assert not Path("a.npy").exists()
