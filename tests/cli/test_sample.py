"""`ot-gen sample` and `ot_gen.load_run`: a finished run is a model to draw from."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from limits import no_file_beyond
from omegaconf import OmegaConf
from PIL import Image
from torch import nn

import ot_gen
from ot_gen.data import samples
from ot_gen.networks import evaluations
from ot_gen.runs import samples as forms

RECORDS = Path(__file__).parents[1] / "records"
SMOKE = ("trainer=smoke", "trainer.steps=4", "trainer.batch_size=16", "evaluation.samples=40", "metrics=none")
TOY = ("data=eight_gaussians", "data.size=64", "data.test_size=64", "+data.law.radius=50")
DIGITS = ("data=digits", "reference.dim=3", "generator.hidden=[8]")
RUNS = {
    "toy": ("solver=primal/exact_plan", *TOY),
    "noisy": ("solver=primal/vae", "noise=learned", *TOY),
    "gmm": ("solver=primal/vae", "ex_post=gmm", "ex_post.components=2", *TOY),
    "digits": ("solver=primal/exact_plan", *DIGITS),
    "flow": ("solver=primal/flow_independent", "generator.steps=3", *TOY),
}

pytestmark = pytest.mark.usefixtures("clean_process", "undrawn")


@pytest.fixture
def refused(command):
    """A call of `ot-gen sample` that must be refused: arguments -> its one line on stderr."""

    def call(*arguments):
        code, out, err = command("sample", *arguments)
        assert (code, out) == (2, ""), err
        assert err.startswith("ot-gen: error: ") and err.count("\n") == 1 and "Traceback" not in err and len(err) < 500
        return err

    return call


def drawn(folder, n, seed):
    torch.manual_seed(seed)
    return ot_gen.load_run(folder).mu.sample(n)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize(("n", "seed"), [(7, 0), (2500, 3)])
def test_the_command_writes_what_the_loaded_model_draws(name, n, seed, run, command):
    """Also where the draw takes several blocks, and whatever form it has."""
    folder = run(name)
    for output in ("a.npy", "deep/er/a.npz"):
        code, out, err = command("sample", "--run", folder, "-n", n, "--seed", seed, "--output", output)
        assert (code, err) == (0, "") and f"{n} samples, seed {seed}, in {output}" in out
    array, expected = np.load("a.npy"), drawn(folder, n, seed)
    assert array.shape == (n, expected.shape[1]) and array.dtype == expected.numpy().dtype
    assert np.array_equal(array, expected.numpy()) and np.array_equal(np.load("deep/er/a.npz")["points"], array)
    assert [path.name for path in Path("deep/er").iterdir()] == ["a.npz"]
    assert not torch.equal(drawn(folder, n, seed + 1), expected)


def test_the_defaults_are_a_thousand_samples_of_seed_0(run, command):
    assert command("sample", "--run", run("toy"), "--output", "a.npy")[0] == 0
    assert np.array_equal(np.load("a.npy"), drawn("toy", 1000, 0).numpy())


def test_samples_are_in_the_units_of_the_data(run, command):
    """The default standardises the data; radius 50 shows which units are meant."""
    folder = run("toy")
    loaded = ot_gen.load_run(folder)
    assert loaded.config["data"]["standardize"] == "shared" and loaded.record.units is not None
    assert float(loaded.data.train.atoms.norm(dim=1).mean()) == pytest.approx(50, rel=0.1)
    assert loaded.data.units is None and loaded.units is not None
    torch.manual_seed(0)
    mu, _, data, _ = ot_gen.recipe(*RUNS["toy"])
    ot_gen.load_weights(folder / "checkpoint.safetensors", mu)
    torch.manual_seed(1)
    expected = data.units(mu.eval().sample(50))
    torch.testing.assert_close(drawn(folder, 50, 1), expected)
    assert float(expected.std()) > 3


def test_what_is_written_is_judged_as_the_samples_that_it_is(run, command):
    folder = run("toy")
    assert command("sample", "--run", folder, "-n", "40", "--output", "a.npy")[0] == 0
    how = ("metrics=none", "evaluation.samples=40", "--output", "judged")
    assert command("evaluate", "--samples", "a.npy", *TOY, *how)[0] == 0
    data = ot_gen.load_run(folder).data
    expected = ot_gen.judge(ot_gen.Empirical(drawn(folder, 40, 0)), data.train, data.test, n=40)
    assert json.loads(Path("judged/run.json").read_text())["judgement"]["w1"] == expected.w1


def test_a_loaded_run_is_what_was_trained(run):
    folder = run("gmm")  # which may have to train first
    before = torch.get_rng_state()
    loaded = ot_gen.load_run(folder)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(part.training for whole in (loaded.mu, loaded.solver, loaded.encoder) for part in whole.modules())
    assert loaded.record.solver == "primal/vae" and loaded.record.judgement.n == 40
    assert type(loaded.config) is dict and type(loaded.config["solver"]) is dict and loaded.config["seed"] == 0
    codes = loaded.encoder(loaded.data.test.atoms).mean
    assert codes.shape == (64, 2) and loaded.mu(codes).shape == (64, 2)
    kept = ot_gen.cli.parts(*RUNS["gmm"], seed=5).solver
    ot_gen.load_weights("gmm/checkpoint.safetensors", kept, "solver")
    state = loaded.solver.state_dict()
    assert all(torch.equal(state[name], weights) for name, weights in kept.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["semidiscrete", "wgan_gp", "wgan_sn", "anchors", "w2_maxmin"])
def test_the_potential_of_a_dual_run_is_the_trained_one(solver, command):
    """On the run's own data: it is bound to them, and its values are those of the trainer's last weights."""
    given = (f"solver=dual/{solver}", *TOY)
    code, _, err = command(*given, *SMOKE, "hydra.run.dir=dual")
    assert code == 0, err
    loaded = ot_gen.load_run("dual")
    made = ot_gen.recipe(*given)
    made.solver.prepare(made.mu, made.data.train)
    for module, name in ((made.mu, "mu"), (made.solver, "solver")):
        ot_gen.load_weights("dual/checkpoint.safetensors", module, name)
    u = made.data.test.atoms
    assert torch.equal(loaded.units.standard(loaded.data.test.atoms), u)
    with torch.no_grad():
        values = loaded.solver.xi(u)
        assert torch.equal(values, made.solver.eval().xi(u)) and bool(values.std() > 0)


def test_a_prior_that_was_fitted_after_training_is_in_the_place_of_the_reference(run, command):
    """The figures of run.json are of that model, so W₁ of what is drawn must be the record's."""
    folder = run("gmm")
    loaded = ot_gen.load_run(folder)
    assert isinstance(loaded.mu.base.family, ot_gen.FullMixture)
    judged = ot_gen.judge(loaded.mu, loaded.data.train, loaded.data.test, n=40)
    assert judged.w1 == pytest.approx(loaded.record.judgement.w1, rel=1e-6)
    assert judged.w1 != pytest.approx(loaded.record.judgement_reference.w1, rel=1e-3)
    expected = drawn(folder, 30, 0)
    (folder / "prior.safetensors").unlink()  # as where the prior is no mixture: it is fitted once more
    with pytest.warns(UserWarning, match="is gone"):
        torch.testing.assert_close(drawn(folder, 30, 0), expected)
    (folder / "prior.safetensors").write_bytes(b"damaged")
    code, _, err = command("sample", "--run", folder, "--output", "a.npy")
    assert code == 2 and err.count("\n") == 1 and "prior.safetensors" in err


@pytest.mark.slow
def test_the_prior_of_a_run_that_was_replaced_is_gone(command):
    for more in (RUNS["gmm"], ("solver=primal/vae", *TOY, "overwrite=true")):
        assert command(*more, *SMOKE, "hydra.run.dir=again")[0] == 0
    assert not Path("again/prior.safetensors").exists()
    assert not isinstance(ot_gen.load_run("again").mu.base.family, ot_gen.FullMixture)


def test_images_are_a_grid_or_a_folder_of_them(run, command):
    folder = run("digits")
    for output in ("grid.png", "images", "more/images.d/"):
        assert command("sample", "--run", folder, "-n", "11", "--output", output)[::2] == (0, "")
    bytes_of = (drawn(folder, 11, 0).clip(0, 1) * 255).round().view(11, 8, 8).numpy().astype(np.uint8)
    grid = np.asarray(Image.open("grid.png"))
    assert grid.shape == (3 * 10 - 2, 4 * 10 - 2) and grid.dtype == np.uint8
    for index, image in enumerate(bytes_of):
        top, left = index // 4 * 10, index % 4 * 10
        assert np.array_equal(grid[top : top + 8, left : left + 8], image)
    for place in (Path("images"), Path("more/images.d")):
        assert sorted(path.name for path in place.iterdir()) == [f"{index:02d}.png" for index in range(11)]
        again = samples(place, 64, (1, 8, 8))
        assert np.array_equal((again * 255).round().view(11, 8, 8).numpy().astype(np.uint8), bytes_of)
    assert {path.name for path in Path().iterdir()} == {"digits", "grid.png", "images", "more"}


def test_colours_stay_in_their_channels(tmp_path):
    points = torch.rand(3, 3 * 2 * 4)
    data = ot_gen.data.Dataset(ot_gen.Empirical(points), ot_gen.Empirical(points), (3, 2, 4))
    for name in ("a", "a.png"):
        forms.SampleFile(str(tmp_path / name)).write(points, data)
    again = samples(tmp_path / "a", 24, (3, 2, 4))
    assert float((again - points).abs().max()) < 0.5 / 255 + 1e-6
    grid = torch.from_numpy(np.asarray(Image.open(tmp_path / "a.png")).copy())
    assert grid.shape == (2 * 4 - 2, 2 * 6 - 2, 3)
    assert torch.equal(grid[:2, :4].permute(2, 0, 1).flatten(), (points[0] * 255).round().byte())


def test_a_picture_of_points_is_a_scatter(run, command):
    assert command("sample", "--run", run("toy"), "-n", "30", "--output", "a.PNG")[0] == 0
    with Image.open("a.PNG") as image:
        assert image.format == "PNG"
        assert abs(image.size[0] - 506) <= 1 and abs(image.size[1] - 539) <= 1  # by matplotlib's rounding


@pytest.mark.slow
def test_what_is_there_stays_unless_it_may_be_replaced(run, command, refused):
    folder = run("digits")
    draw = ("--run", folder, "-n", "3", "--output")
    for output in ("a.npy", "a.npz", "a.png", "a/"):
        assert command("sample", *draw, output)[0] == 0
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    for output in ("a.npy", "a.npz", "a.png", "a", "a/"):
        assert "--overwrite" in refused(*draw, output, "--seed", "1")
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    for output in ("a.npy", "a.npz", "a.png", "a"):
        assert command("sample", *draw, output, "--seed", "1", "--overwrite", "-n", "2")[0] == 0
    assert sorted(os.listdir("a")) == ["0.png", "1.png"]  # none of the three that were there
    assert all(Path(name).read_bytes() != before[Path(name)] for name in ("a.npy", "a.npz", "a.png", "a/0.png"))
    Path("a/mine.txt").touch()
    assert "mine.txt" in refused(*draw, "a", "--overwrite") and len(os.listdir("a")) == 3
    Path("empty").mkdir()
    assert command("sample", *draw, "empty")[0] == 0 and len(os.listdir("empty")) == 3
    assert all(name in ("digits", "a", "a.npy", "a.npz", "a.png", "empty") for name in os.listdir())


def test_a_full_disk_leaves_what_was_there(run, command):
    folder = run("digits")
    draw = ("sample", "--run", folder, "-n", "300", "--overwrite", "--output")
    for output in ("a.npy", "a.png", "a/"):
        assert command(*draw, output)[0] == 0
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    for output in ("a.npy", "a.png", "a/"):
        with no_file_beyond(64):
            code, _, err = command(*draw, output, "--seed", "1")
        assert code == 2 and err.count("\n") == 1 and "File too large" in err
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_a_stop_between_two_names_loses_no_folder(monkeypatch, tmp_path):
    """The old images get their name back when the new ones cannot have it."""
    points = torch.rand(2, 4)
    data = ot_gen.data.Dataset(ot_gen.Empirical(points), ot_gen.Empirical(points), (1, 2, 2))
    place = tmp_path / "a"
    forms.SampleFile(str(place)).write(points, data)
    before = (place / "0.png").read_bytes()
    rename, calls = os.replace, []

    def stopped(old, new):
        calls.append(new)
        if len(calls) == 2:
            raise KeyboardInterrupt
        rename(old, new)

    monkeypatch.setattr(os, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        forms.SampleFile(str(place), overwrite=True).write(1 - points, data)
    assert (place / "0.png").read_bytes() == before and os.listdir(tmp_path) == ["a"]


BAD = {
    "--run toy --output a.jpg": (".jpg", ".npy or .npz", ".png", "folder"),
    "--run toy --output a": ("folder of images", "the data are points", ".npy"),
    "--run toy --output toy/": ("holds", "give a new folder"),
    "--run toy --output toy/run.json": (".json",),
    "--run toy --output file": ("is a file",),
    "--run toy --output folder.npy": ("is a folder",),
    "--run toy": ("--output",),
    "--output a.npy": ("--run",),
    "--run toy --output a.npy -n 0": ("n must be a whole number >= 1, got 0",),
    "--run toy --output a.npy -n -5": ("got -5",),
    "--run toy --output a.npy -n 1e4": ("1e4",),
    "--run toy --output a.npy -n 99999999999": ("99999999999",),
    "--run toy --output a.npy --seed -1": ("seed",),
    "--run toy --output a.npy data=mnist": ("data=mnist",),
    "--run nowhere --output a.npy": ("holds no run.json",),
    "--run file --output a.npy": ("holds no run.json",),
    "--run evaluated --output a.npy": ("holds a judgement of",),
    "--run interrupted --output a.npy": ("has not finished (its status: interrupted)", "resume=interrupted"),
    "--run failed --output a.npy": ("has not finished (its status: failed)",),
    "--run empty --output a.npy": ("no checkpoint",),
    "--run cut --output a.npy": ("cannot be read as a checkpoint",),
    "--run toy --output a.npy --nfe 0": ("nfe must be", "got 0"),
    "--run toy --output a.npy --nfe 4": ("flows", "this model has none", "--nfe"),
    "--run digits --output a.png -n 700000": ("70,000,000 pixels", "fewer"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD.items(), ids=BAD)
def test_bad_input_gets_one_line_that_says_what(arguments, words, run, refused):
    if "toy" in arguments or "empty" in arguments or "cut" in arguments:
        for name in ("empty", "cut"):
            shutil.copytree(run("toy"), name)
        Path("empty/checkpoint.safetensors").unlink()
        checkpoint = Path("cut/checkpoint.safetensors")
        checkpoint.write_bytes(checkpoint.read_bytes()[:-9])
    if "digits" in arguments:
        run("digits")
    for name in ("evaluated", "interrupted", "failed"):
        shutil.copytree(RECORDS / name, name)
    Path("file").touch()
    Path("folder.npy").mkdir()
    before = sorted(Path().rglob("*"))
    line = refused(*arguments.split())
    assert [word for word in words if word not in line] == []
    assert sorted(Path().rglob("*")) == before


def test_a_strangers_folder_is_built_only_when_it_is_trusted(run, refused, command, monkeypatch):
    folder = run("toy")
    Path("sampled_parts.py").write_text("from ot_gen import SquaredEuclidean\nclass Mine(SquaredEuclidean): pass\n")
    monkeypatch.syspath_prepend(".")
    config = OmegaConf.load(folder / "config.yaml")
    OmegaConf.update(config, "solver.cost", {"_target_": "sampled_parts.Mine"}, merge=False)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(config))
    draw = ("--run", folder, "-n", "3", "--output", "a.npy")
    assert "sampled_parts.Mine" in (line := refused(*draw)) and "--trust" in line
    with pytest.raises(ValueError, match=r"sampled_parts\.Mine"):
        ot_gen.load_run(folder)
    assert command("sample", *draw, "--trust")[0] == 0
    assert type(ot_gen.load_run(folder, trust=True).solver.cost).__name__ == "Mine"


@pytest.mark.slow
def test_a_flow_takes_as_many_evaluations_as_are_asked_for(run, command):
    draw = ("sample", "--run", run("flow"), "-n", "9", "--output")
    for nfe in (1, 6, 60, 1000):
        assert command(*draw, f"{nfe}.npy", "--nfe", nfe)[0] == 0
    assert command(*draw, "as trained.npy")[0] == 0
    loaded = ot_gen.load_run("flow")
    assert loaded.mu.map.map.evaluations == 6  # three steps of Heun's method
    torch.manual_seed(0)
    with evaluations(loaded.mu, 1):
        assert np.array_equal(np.load("1.npy"), loaded.mu.sample(9).numpy())
    many, trained = np.load("1000.npy"), np.load("as trained.npy")
    assert np.array_equal(trained, drawn("flow", 9, 0).numpy())
    errors = [np.abs(np.load(f"{nfe}.npy") - many).max() for nfe in (1, 6, 60)]
    assert errors[0] > 2 * errors[1] > 20 * errors[2] > 0


@pytest.mark.parametrize("name", ["learned_mixture", "semidiscrete", "swae", "wgan_sn"])
def test_records_of_before_are_drawn_from(name):
    loaded = ot_gen.load_run(RECORDS / name)
    assert loaded.record.solver is not None and len(loaded.mu.sample(5)) == 5
    assert isinstance(loaded.mu.base.family, ot_gen.FullMixture) == (name == "swae")


def test_help_says_every_option(command):
    code, out, err = command("sample", "--help")
    assert (code, err) == (0, "")
    for option in ("--run", "-n", "--output", "--seed", "--nfe", "--overwrite", "--trust", ".npy", ".png"):
        assert option in out


# --- the draw --------------------------------------------------------------------------------------------------------


class Watched(nn.Module):
    """The identity, which counts the rows that it sees."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, z):
        self.seen.append(len(z))
        return z


def test_a_map_sees_a_bounded_number_of_rows_and_the_points_are_the_same():
    mu = ot_gen.Pushforward(Watched(), ot_gen.standard_gaussian(2))
    drawn = []
    for mode in (True, False):
        mu.train(mode).map.seen.clear()
        torch.manual_seed(0)
        drawn.append(mu.sample(2500))
        assert mu.map.seen == ([2500] if mode else [1024, 1024, 452])
    torch.manual_seed(0)
    assert torch.equal(drawn[0], mu.base.sample(2500)) and torch.equal(drawn[1], drawn[0])
