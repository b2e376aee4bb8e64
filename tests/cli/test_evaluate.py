"""`ot-gen evaluate`: foreign samples and finished runs judged in one command; `run` with metrics and a certificate."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from recorded import experiment, record_run
from safetensors.torch import load_file

from ot_gen import Empirical, Euclidean, cli, data, judge
from ot_gen.data import samples
from ot_gen.evaluation import Certificate, Metrics
from ot_gen.report.runs import find_runs
from ot_gen.runs.judging import Judging, judge_model
from ot_gen.runs.parts import Status
from ot_gen.runs.record import RunRecord, read_record

SMALL = ("data.size=64", "data.test_size=64", "evaluation.samples=40")
TINY = (*SMALL, "trainer=smoke", "trainer.steps=4", "trainer.batch_size=16")
NAMES = {
    "sinkhorn",
    "sliced_w2",
    "mmd",
    "energy",
    "frechet",
    "kernel_distance",
    "precision",
    "recall",
}
NAMES |= {"density", "coverage", "memorisation"}
OF_CLASSES = {"class_error", "mode_coverage"}


pytestmark = pytest.mark.usefixtures("clean_process")


@pytest.fixture
def evaluate(monkeypatch, capsys):
    """ot-gen evaluate in this process: arguments -> (exit code, stdout, stderr)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["ot-gen", "evaluate", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return (stop.value.code or 0, *capsys.readouterr())

    return call


@pytest.fixture
def refused(evaluate):
    """An evaluation that must be refused: arguments -> its one line on stderr."""

    def call(*arguments):
        code, out, err = evaluate(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("ot-gen: error: ") and err.count("\n") == 1 and "Traceback" not in err
        return err

    return call


def facts(folder):
    return json.loads((Path(folder) / "run.json").read_text())


@pytest.fixture
def parts(undrawn):
    """The parts of a tiny run: overrides -> what `run` asks for."""

    def compose(*overrides):
        return experiment(*TINY, *overrides)

    return compose


def interval(mu, nu, reference):
    """A stand-in for a certificate."""
    points = mu if isinstance(mu, torch.Tensor) else mu.sample(8)
    lower = float((points.mean() - nu.atoms.mean()).abs())
    table = torch.zeros(len(nu))
    return Certificate(Euclidean(), lower, 0.1, lower + 1, 0.1, 0.95, (lower - 0.3, lower + 1.3), 0.5, table)


# --- samples of any generator ----------------------------------------------------------------------------------------


def test_samples_of_a_toy_are_judged_in_one_command(evaluate):
    cloud = data.eight_gaussians().sample(60).numpy()
    np.save("my.npy", cloud)
    code, out, err = evaluate("--samples", "my.npy", "data=eight_gaussians", *SMALL, "--output", "out")
    assert (code, err) == (0, "")
    assert [
        word
        for word in (*NAMES, *OF_CLASSES, "w1", "w2_squared", "±", "floor", "my.npy", "record in out")
        if word not in out
    ] == []
    told = facts("out")
    assert told["status"] == "finished" and told["metrics_n"] == 40 and told["samples"].endswith("my.npy")
    assert set(told["metrics"]) == NAMES | OF_CLASSES
    assert all(set(row) == {"value", "se", "floor", "floor_se"} for row in told["metrics"].values())
    toy = data.toy(data.eight_gaussians(), size=64, test_size=64)
    expected = judge(Empirical(torch.from_numpy(cloud)), toy.train, toy.test, n=40)
    assert told["judgement"] == expected._asdict()
    assert told["judgement"]["w1_se"] > 0 and told["judgement"]["w2_squared_floor_se"] > 0
    assert "${" not in Path("out/config.yaml").read_text()
    with Image.open("out/samples.png") as image:
        image.load()
    (found,) = find_runs(Path("out"))
    record = found.record
    assert (found.status, record.solver, record.data) == ("finished", "my.npy", "eight_gaussians")
    assert record.judgement == expected


def test_the_default_record_is_a_new_folder_in_runs(evaluate):
    np.savetxt("my.csv", np.random.default_rng(0).normal(size=(30, 2)), delimiter=",", header="x,y", comments="")
    code, out, _ = evaluate("data=swiss_roll", "--samples", "my.csv", "metrics=none", *SMALL)
    (folder,) = Path("runs").iterdir()
    assert code == 0 and folder.name.endswith("_evaluate_swiss_roll_my") and str(folder) in out
    assert "metrics" not in facts(folder) and facts(folder)["judgement"]["n"] == 30
    assert "w1" in out and "w2_squared" in out


@pytest.mark.slow
def test_digits_are_judged_in_the_features_of_the_classifier(evaluate):
    images = data.mnist().train.atoms[:200]
    np.save("bytes.npy", (images * 255).round().byte().view(-1, 28, 28).numpy())
    Path("folder").mkdir()
    for i in range(200):
        Image.fromarray((images[i] * 255).round().byte().view(28, 28).numpy()).save(f"folder/{i:03d}.png")
    for path, output in (("bytes.npy", "array"), ("folder", "images")):
        code, out, err = evaluate("--samples", path, "data=mnist", "evaluation.samples=150", "--output", output)
        assert (code, err) == (0, "")
        assert "mode_coverage" in out
    assert facts("array")["metrics"] == facts("images")["metrics"]
    assert set(facts("array")["metrics"]) == NAMES | OF_CLASSES
    assert facts("array")["metrics"]["memorisation"]["value"] == 0


def test_a_users_own_metrics_and_certificate_are_entries_too(evaluate, monkeypatch):
    own = Path("mine/metrics/few.yaml")
    own.parent.mkdir(parents=True)
    own.write_text(
        "_target_: ot_gen.evaluation.Metrics\n"
        "views:\n  points:\n    _target_: ot_gen.evaluation.View\n    metrics:\n"
        "      near: {_target_: ot_gen.evaluation.Coverage, k: 3}\n"
    )
    entry = Path("mine/certificate/stand_in.yaml")
    entry.parent.mkdir()
    entry.write_text(f"_target_: {__name__}.interval\n_partial_: true\n")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    np.save("my.npy", np.random.default_rng(0).normal(size=(60, 2)))
    settings = ("metrics=few", "certificate=stand_in", "--config-dir", "mine", "--output", "out", *SMALL)
    code, _, err = evaluate("--samples", "my.npy", "data=rings", *settings)
    assert (code, err) == (0, "")
    assert set(facts("out")["metrics"]) == {"near"}
    assert facts("out")["certificate"]["cost"] == "Euclidean()"


@pytest.mark.slow
def test_what_is_known_of_the_model_is_given_on_the_command_line_and_recorded(evaluate):
    np.save("my.npy", data.rings().sample(300).numpy())
    box = "+certificate.assuming={_target_: ot_gen.Box, low: [-9, -9], high: 9}"
    settings = ("data=rings", "metrics=none", "certificate=standard", "certificate.max_seconds=0.5", *SMALL)
    code, said, err = evaluate("--samples", "my.npy", box, *settings, "--output", "out")
    assert (code, err) == (0, "")
    low, high = facts("out")["certificate"]["interval"]
    assert f"[{low:.4g}, {high:.4g}] with confidence 95 %, c = Euclidean()" in said and "real data: [" in said
    kept = facts("out")["certificate"]
    assert (kept["assuming"], kept["warranted"]) == ("Box((2 numbers), 9)", True) and "doubt" not in kept
    code, _, _ = evaluate("--samples", "my.npy", box.replace("9", "0.1"), *settings, "--output", "other")
    assert code == 0 and "outside of it" in facts("other")["metrics_failed"]["certificate"]
    assert "certificate" not in facts("other")


BAD = {  # arguments -> what the line must name
    "data=eight_gaussians": ("--samples", "--run", "required"),
    "--samples missing.npy": ("missing.npy", "there is no file"),
    "--samples wide.npy": ("(60, 3)", "dimension 2"),
    "--samples nan.npy": ("NaN", "row 1"),
    "--samples one.npy": ("one sample",),
    "--samples few.npy": ("5 samples", "metrics=none"),
    "--samples words.npy": ("not real numbers",),
    "--samples folder": ("no images",),
    "--samples broken.npy": ("broken.npy", "cannot be read"),
    "--samples good.npy data=nothing": ("data/nothing", "eight_gaussians"),
    "--samples good.npy metrics=nothing": ("metrics/nothing", "standard"),
    "--samples good.npy nothing=3": ("nothing",),
    "--samples good.npy data=points": ("data.path=VALUE",),
    "--samples good.npy evaluation.samples=1": ("evaluation.samples", "1"),
    "--samples good.npy evaluation.samples=5": ("8 held-out points", "metrics=none"),
    "--samples good.npy threads=0": ("threads",),
    "--samples good.npy --config-dir nowhere": ("nowhere",),
    "--samples good.npy --output used": ("is damaged",),
    "--samples good.npy --run used": ("not allowed with",),
    "--samples good.npy --nonsense": ("--nonsense",),
    "--samples scaled.npy data=mnist": ("[0, 255]", "x / 255"),
    "--samples symmetric.npy data=mnist": ("[-1, 1]", "(x + 1) / 2"),
    "--samples good.npy data=mnist": ("(1, 28, 28)", "784"),
    "--run nowhere": ("run.json",),
    "--run untrained data.size=9 +solver.x=1": ("data.size=9 +solver.x=1", "evaluation, metrics, certificate"),
    "--run used": ("config.yaml",),
    "--run damaged": ("damaged",),
    "--run untrained": ("no checkpoint",),
}


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "words"), BAD.items(), ids=BAD)
def test_bad_input_gets_one_line_that_says_what(arguments, words, refused):
    random = np.random.default_rng(0)
    arrays = {"good": (60, 2), "wide": (60, 3), "one": (1, 2), "few": (5, 2), "nan": (60, 2), "scaled": (9, 784)}
    for name, shape in arrays.items():
        np.save(f"{name}.npy", random.normal(size=shape))
    np.save("nan.npy", np.where(np.arange(60)[:, None] == 1, np.nan, np.ones((60, 2))))
    np.save("scaled.npy", np.linspace(0, 255, 9 * 784).reshape(9, 784))
    np.save("symmetric.npy", np.linspace(-1, 1, 9 * 784).reshape(9, 784))
    np.save("words.npy", np.full((60, 2), "a"))
    Path("broken.npy").write_bytes(Path("good.npy").read_bytes()[:-7])
    for folder in ("folder", "used", "damaged", "untrained"):
        Path(folder).mkdir()
    Path("used/run.json").write_text("{}")
    Path("damaged/run.json").write_text("{")
    Path("damaged/config.yaml").write_text("seed: 0")
    Path("untrained/run.json").write_text('{"status": "finished", "data": "eight_gaussians"}')
    cfg = cli.parts("solver=primal/exact_plan", *SMALL).config
    Path("untrained/config.yaml").write_text(OmegaConf.to_yaml(cfg, resolve=True))
    small = [] if "data=" in arguments else SMALL
    small = [item for item in small if item.split("=")[0] not in arguments]
    if arguments.startswith("--samples folder"):
        small = ["data=mnist"]
    if arguments.startswith("--run"):
        small = []
    line = refused(*arguments.split(), *small)
    assert [word for word in words if word not in line] == []
    assert not Path("runs").exists()


def test_samples_are_read_from_every_form(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 4, 5), np.uint8)
    flat = torch.from_numpy(images.reshape(6, 60)).float() / 255
    forms = {"nchw": images, "nhwc": np.moveaxis(images, 1, 3), "rows": images.reshape(6, 60), "unit": images / 255.0}
    for name, array in forms.items():
        np.save(tmp_path / f"{name}.npy", array)
        torch.testing.assert_close(samples(tmp_path / f"{name}.npy", 60, (3, 4, 5)), flat)
    np.savez(tmp_path / "a.npz", points=images / 255.0, other=np.zeros(3))
    torch.testing.assert_close(samples(tmp_path / "a.npz", 60, (3, 4, 5)), flat)
    with pytest.raises(ValueError, match="is a folder, but the data are no images"):
        samples(tmp_path, 60)


def test_help_is_no_error(evaluate):
    code, out, err = evaluate("--help")
    assert (code, err) == (0, "")
    assert [word for word in ("--samples", "--run", "--output", "data=mnist", "certificate=") if word not in out] == []


# --- runs ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(undrawn, monkeypatch):
    """A tiny run in the folder run: solver, overrides."""

    def call(solver, *more):
        monkeypatch.setattr(sys, "argv", ["ot-gen", f"solver={solver}", *TINY, *more, "hydra.run.dir=run"])
        cli.main()

    return call


@pytest.mark.slow
@pytest.mark.parametrize(
    "solver",
    [
        "primal/vae",
        pytest.param("dual/semidiscrete", marks=pytest.mark.slow),
        pytest.param("primal/wae_gan", marks=pytest.mark.slow),
        pytest.param("dual/wgan_sn", marks=pytest.mark.slow),
    ],
)
def test_a_finished_run_judged_again_gets_the_same_figures(solver, evaluate, trained):
    trained(solver)
    before = facts("run")
    assert set(before["metrics"]) == NAMES | OF_CLASSES and before["metrics_n"] == 40
    code, out, err = evaluate("--run", "run", "evaluation.samples=40", "--output", "again")
    assert (code, err) == (0, "")
    told = facts("again")
    for name in ("judgement", "metrics", "metrics_n", "solver", "data", "seed", "side", "cell", "cost", "steps"):
        assert told[name] == before[name], name
    assert told.get("encoder") == before.get("encoder")
    assert facts("run") == before
    assert Path("again/samples.png").is_file() and solver in out


@pytest.mark.slow
def test_a_run_with_a_learned_reference_is_judged_again(evaluate, trained):
    trained("primal/vae", "reference=learned_mixture")
    assert evaluate("--run", "run", "evaluation.samples=40", "--output", "again")[0] == 0
    for name in ("judgement", "metrics", "encoder"):
        assert facts("again")[name] == facts("run")[name], name


@pytest.mark.slow
def test_a_run_is_judged_again_with_its_ex_post_prior_and_its_noise(evaluate, trained):
    trained("primal/vae", "ex_post=gmm", "ex_post.components=2", "noise=learned", "+data.law.radius=1.5")
    code, _, err = evaluate("--run", "run", "evaluation.samples=40", "--output", "again")
    assert (code, err) == (0, "")
    for name in ("judgement", "judgement_reference", "metrics", "ex_post"):
        assert facts("again")[name] == facts("run")[name], name
    kept, again = (load_file(f"{folder}/prior.safetensors") for folder in ("run", "again"))
    assert kept.keys() == again.keys() and all(torch.equal(kept[name], again[name]) for name in kept)


@pytest.mark.slow
def test_a_record_of_an_older_version_is_judged_by_the_metrics_of_today(evaluate, trained):
    trained("primal/exact_plan", "~metrics")
    assert "metrics" not in facts("run") and "metrics" not in OmegaConf.load("run/config.yaml")
    assert evaluate("--run", "run", "evaluation.samples=30", "--output", "again")[0] == 0
    assert set(facts("again")["metrics"]) == NAMES | OF_CLASSES
    assert facts("again")["metrics_n"] == 30


@pytest.mark.slow
def test_a_run_records_metrics_and_certificate_and_neither_changes_it(tmp_path, parts):
    seen = []

    def certify(mu, nu, reference):
        seen.append((nu, reference))
        torch.rand(5)
        return interval(mu, nu, reference)

    weights = []
    for name, more in (("plain", {"metrics": None}), ("judged", {"certificate": certify})):
        torch.manual_seed(0)
        found = parts("solver=primal/exact_plan")
        record_run(tmp_path / name, replace(found, judging=replace(found.judging, **more)))
        weights.append((tmp_path / name / "checkpoint.safetensors").read_bytes())
    plain, told = facts(tmp_path / "plain"), facts(tmp_path / "judged")
    assert "metrics" not in plain and "certificate" not in plain
    assert told["judgement"] == plain["judgement"]
    assert set(told["metrics"]) == NAMES | OF_CLASSES
    assert read_record(tmp_path / "judged").certificate.level == 0.95
    ((nu, reference),) = seen
    assert nu is found.data.own.test and reference is found.data.own.train


def test_too_few_held_out_points_are_refused_before_training(tmp_path, parts):
    found = parts("solver=primal/exact_plan", "data.test_size=6")
    with pytest.raises(ValueError, match=r"need 8 held-out points, got 6 .*metrics=none"):
        record_run(tmp_path / "run", found)
    assert not (tmp_path / "run" / "metrics.csv").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["eight_gaussians", "two_moons", "swiss_roll", "digits", "mnist"])
def test_the_metrics_of_an_entry_fit_its_data(name):
    made = cli.parts(f"data={name}")
    found, metrics = made.data.own, cli.build(made.config.metrics)
    assert isinstance(metrics, Metrics)
    judging = Judging({"samples": 30, "seed": 0}, metrics)
    told = judge_model(RunRecord(Status.RUNNING), found.train, found, judging)
    with_classes = name in ("eight_gaussians", "two_moons", "mnist")  # no classifier ships for 8 x 8 digits
    assert set(told.metrics) == NAMES | (OF_CLASSES if with_classes else set())
