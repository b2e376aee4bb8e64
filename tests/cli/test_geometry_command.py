"""`ot-gen geometry`: the latent space of a finished run, as a record and pictures."""

import csv
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from matplotlib.image import imread
from torch import nn

from ot_gen import (
    BernoulliDecoder,
    GaussianDecoder,
    LatentGeometry,
    LearnedStd,
    Pushforward,
    RBFPrecision,
    cli,
    data,
    standard_gaussian,
)
from ot_gen.geometry import Line
from ot_gen.runs.latents import geodesic_figure
from ot_gen.runs.manifold import DecoderMetric, geometry_of, study

pytestmark = pytest.mark.usefixtures("clean_process")

SMOOTH = "+generator.activation={_target_: hydra.utils.get_class, path: torch.nn.Tanh}"
SMOKE = ("trainer=smoke", "trainer.steps=4", "evaluation.samples=40", "metrics=none", "threads=1")
TOY = ("data=eight_gaussians", "data.size=64", "data.test_size=64", SMOOTH)
RUNS = {
    "vae": ("solver=primal/vae", *TOY),
    "expected": ("solver=primal/vae", "noise=rbf", "noise.std.centres=8", *TOY),
    "plan": ("solver=primal/exact_plan", *TOY),
    "dual": ("solver=dual/wgan_gp", *TOY),
    "digits": ("solver=primal/vae", "data=digits", "reference.dim=3", "noise=fixed", SMOOTH),
    "images": ("solver=primal/vae", "data=digits", "reference.dim=2", "generator=conv", "noise=fixed", SMOOTH),
    "kinks": ("solver=primal/vae", *TOY[:-1]),
    "wide": ("solver=primal/vae", "reference.dim=3", *TOY),
}


@pytest.fixture
def ot_gen(monkeypatch, capsys):
    """ot-gen in this process: arguments -> (exit code, stdout, stderr)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["ot-gen", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        return (code, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Where the runs that some test asked for are."""
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def run(ot_gen, trained):
    """A tiny finished run: its name in RUNS -> its folder, below the working folder."""

    def train(name):
        if not (trained / name).exists():
            code, _, err = ot_gen(*RUNS[name], *SMOKE, f"hydra.run.dir={trained / name}")
            assert code == 0, err
        return Path(shutil.copytree(trained / name, "run"))

    return train


def rows(folder):
    with (folder / "geometry.csv").open() as file:
        return list(csv.DictReader(file))


def summary(folder):
    return json.loads((folder / "geometry.json").read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, metric, source",
    [
        ("vae", "pullback metric JᵀJ", "means of q(·|y) for held-out y"),
        ("expected", "expected metric J_μᵀJ_μ + J_σᵀJ_σ", "means of q(·|y) for held-out y"),
        ("plan", "pullback metric JᵀJ", "draws of ζ"),
        ("dual", "pullback metric JᵀJ", "draws of ζ"),
    ],
)
def test_the_latent_plane_of_a_run(name, metric, source, run, ot_gen):
    folder = run(name)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    code, out, err = ot_gen("geometry", "--run", folder, "pairs=3", "segments=8", "seed=4")
    assert (code, err) == (0, "")
    assert metric in out and source in out and f"record and figures in {folder}" in out
    assert {path.name for path in folder.iterdir() if path.is_file()} - set(before) == {
        *("geometry.csv", "geometry.json", "volume.png", "geodesics.png"),
    }
    assert {name: (folder / name).read_bytes() for name in before} == before
    told, table = summary(folder), rows(folder)
    assert (told["metric"], told["codes"], told["k"], told["seed"], told["start"]) == (metric, source, 2, 4, "graph")
    assert told["pairs"] == len(table) == 3 and told["notes"] == [] and told["log_volume"]["q05"] <= 99
    for row in table:
        assert {"length", "energy", "straight_length", "speed_variation", "residual", "converged"} <= set(row)
        length, energy, straight = (float(row[name]) for name in ("length", "energy", "straight_length"))
        assert row["converged"] == "True" and 0 < length <= straight * (1 + 1e-4)
        assert energy == pytest.approx(length**2, rel=1e-2)
        assert ("class_0" in row) == source.startswith("means")
    lengths = sorted(float(row["length"]) for row in table)
    assert told["length"]["median"] == pytest.approx(lengths[1]) and told["converged"] == 3
    assert all(imread(folder / f"{name}.png").shape[2] == 4 for name in ("volume", "geodesics"))


@pytest.mark.slow
def test_a_study_is_the_same_twice_and_goes_where_it_is_told(run, ot_gen):
    folder = run("vae")
    for option, out in (("--output", "a"), ("--out", "b")):  # its former name
        assert ot_gen("geometry", "--run", folder, option, out, "pairs=2", "start=line")[0] == 0
    files = {"geometry.csv", "geometry.json", "volume.png", "geodesics.png"}
    assert {path.name for path in Path("a").iterdir()} == files
    assert Path("a/geometry.csv").read_bytes() == Path("b/geometry.csv").read_bytes()
    assert not files & {path.name for path in folder.iterdir()}
    ot_gen("geometry", "--run", folder, "--output", "c", "pairs=2", "start=line", "seed=1")
    assert Path("a/geometry.csv").read_bytes() != Path("c/geometry.csv").read_bytes()


@pytest.mark.slow
def test_digits_in_three_dimensions_have_strips_and_no_plane(run, ot_gen):
    folder = run("digits")
    code, out, _ = ot_gen("geometry", "--run", folder, "pairs=2", "segments=4")
    assert code == 0 and "JᵀJ of the decoder's mean, k = 3" in out
    assert not (folder / "volume.png").exists() and (folder / "geodesics.png").exists()
    assert {"z0_3", "z1_3"} <= set(rows(folder)[0])


@pytest.mark.slow
def test_a_convolutional_decoder_with_smooth_layers_obeys_the_equation(run, ot_gen):
    folder = run("images")
    code, out, err = ot_gen("geometry", "--run", folder, "pairs=3", "segments=8")
    assert code == 0 and "not smooth" not in out, err
    assert all(row["converged"] == "True" and float(row["residual"]) < 0.2 for row in rows(folder))


@pytest.mark.slow
def test_a_decoder_with_kinks_is_named(run, ot_gen):
    folder = run("kinks")
    code, out, _ = ot_gen("geometry", "--run", folder, "pairs=2")
    assert code == 0 and "note: the decoder is not smooth (ReLU)" in out
    assert "ReLU" in summary(folder)["notes"][0]


BAD = {
    "--run nowhere": ("run.json", "give its folder"),
    "": ("--run", "--help"),
    "--run run pairs=0": ("pairs", "[1, "),
    "--run run pairs=many": ("pairs", "many"),
    "--run run segments=7": ("even", "7"),
    "--run run start=middle": ("graph, line", "middle"),
    "--run run ridge=-1": ("ridge", "-1"),
    "--run run threads=0": ("threads must be a whole number",),
    "--run run threads=two": ("two",),
    "--run run solver=dual/wgan_gp": ("no setting solver=dual/wgan_gp", "pairs, segments, start"),
    "--run run pairs": ("name=value",),
}


@pytest.mark.slow
def test_bad_input_gets_one_line_that_says_what(run, ot_gen):
    run("vae")
    for arguments, words in BAD.items():
        code, out, err = ot_gen("geometry", *arguments.split())
        assert (code, out) == (2, ""), arguments
        assert err.startswith("ot-gen: error: ") and err.count("\n") == 1, err
        assert [word for word in words if word not in err] == [], err
    assert not Path("run/geometry.json").exists()


@pytest.mark.slow
def test_a_run_that_has_not_finished_is_refused(run, ot_gen):
    folder = run("plan")
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"status": "interrupted"}))
    code, _, err = ot_gen("geometry", "--run", folder)
    assert code == 2 and "has not finished (its status: interrupted)" in err and f"resume={folder}" in err


@pytest.mark.slow
def test_a_latent_space_of_more_dimensions_than_the_data_is_refused_without_a_ridge(run, ot_gen):
    folder = run("wide")
    code, _, err = ot_gen("geometry", "--run", folder, "pairs=2")
    assert code == 2 and "has dimension 3 and its image 2 at most" in err and "ridge=" in err
    assert ot_gen("geometry", "--run", folder, "pairs=2", "segments=4", "ridge=1e-2")[0] == 0


@pytest.mark.slow
def test_the_old_name_of_a_setting_works_and_is_told(run, ot_gen):
    folder = run("plan")
    assert (
        ot_gen("geometry", "--run", folder, "--output", "now", "pairs=2", "segments=4", "start=line", "threads=null")[0]
        == 0
    )
    code, _, err = ot_gen("geometry", "--run", folder, "--output", "old", "pairs=2", "nodes=4", "start=line")
    assert (code, err) == (0, "ot-gen: warning: nodes= is now called segments=; the old name goes away in 0.3\n")
    assert Path("old/geometry.csv").read_bytes() == Path("now/geometry.csv").read_bytes()
    assert summary(Path("old"))["segments"] == 4


def test_a_damaged_run_is_refused(run, ot_gen):
    folder = run("plan")
    shutil.copytree(folder, "other")
    Path("other/run.json").write_text("{")
    assert "damaged" in ot_gen("geometry", "--run", "other")[2]
    (folder / "checkpoint.safetensors").unlink()
    assert "checkpoint" in ot_gen("geometry", "--run", folder)[2]


@pytest.mark.slow
def test_help_names_the_settings(ot_gen):
    code, out, _ = ot_gen("geometry", "--help")
    assert code == 0 and all(f"{name}=" in out for name in ("pairs", "segments", "start", "ridge", "seed", "threads"))
    assert "ot-gen geometry --run" in ot_gen("--help")[1]


@pytest.mark.parametrize(
    "decoder, kind",
    [
        (GaussianDecoder(nn.Linear(2, 3), RBFPrecision(2, 3, centres=4)), DecoderMetric.EXPECTED),
        (GaussianDecoder(nn.Linear(2, 3), LearnedStd()), DecoderMetric.PULLBACK_OF_MEAN),
        (GaussianDecoder(nn.Linear(2, 3), 0.1), DecoderMetric.PULLBACK_OF_MEAN),
        (BernoulliDecoder(nn.Sequential(nn.Linear(2, 3), nn.Sigmoid())), DecoderMetric.PULLBACK_OF_MEAN),
        (nn.Linear(2, 3), DecoderMetric.PULLBACK),
    ],
)
def test_the_metric_is_that_of_the_decoder(decoder, kind):
    geometry, metric = geometry_of(decoder)
    z = torch.randn(4, 2)
    mean = decoder if isinstance(decoder, nn.Linear) else decoder.mean
    has_std = kind is DecoderMetric.EXPECTED
    expected = LatentGeometry(mean, std=decoder.std) if has_std else LatentGeometry(mean)
    assert metric is kind and metric.maps == 1 + has_std
    torch.testing.assert_close(geometry.metric(z), expected.metric(z))


def test_a_study_disturbs_nothing(tmp_path):
    toy = data.toy(data.rings(), size=40, test_size=40)
    mu = Pushforward(nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 2)), standard_gaussian(2))
    state = torch.get_rng_state()
    found = study(tmp_path, mu, None, toy, {"solver": "mine"}, pairs=2, segments=4)
    assert found["solver"] == "mine" and mu.training and mu.map[0].weight.dtype == torch.float32
    assert torch.equal(torch.get_rng_state(), state)


def test_strips_show_the_images_along_both_curves():
    mu = Pushforward(nn.Sequential(nn.Linear(2, 6), nn.Sigmoid()), standard_gaussian(2)).requires_grad_(False)
    geo, (a, b) = LatentGeometry(mu.map), torch.randn(2, 1, 2)
    found = geo.geodesic(a, b)
    straight = geo.length(Line()(geo.metric_field, a, b, 16))
    figure = geodesic_figure(mu, found, straight, torch.rand(9, 6), (1, 2, 3))
    (axes,) = figure.axes
    shown = torch.from_numpy(axes.images[0].get_array().data)
    t = torch.linspace(0, 1, 10)
    for top, z in ((0, torch.lerp(a, b, t[:, None])), (4, found(t)[0])):
        images = shown[top : top + 2].unfold(1, 3, 5).permute(1, 0, 2).flatten(1)
        torch.testing.assert_close(images.float(), mu(z))
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        f"straight {float(straight):.3g}",
        f"geodesic {float(found.length):.3g}",
    ]
