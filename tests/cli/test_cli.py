"""The command `ot-gen`: the record it leaves, what bad input gets, and what survives a stop."""

import csv
import io
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from recorded import experiment, record_run
from safetensors import safe_open
from safetensors.torch import load_file
from torch.distributions import Independent, Normal

from ot_gen import cli
from ot_gen.cli.errors import SPOKEN
from ot_gen.evaluation import judge_encoder
from ot_gen.measures import Reference
from ot_gen.report.runs import find_runs
from ot_gen.runs.judging import encoder_of
from ot_gen.runs.record import read_metrics, read_record
from ot_gen.runs.run import ProgressBar
from ot_gen.training import Progress

SMOKE = ("trainer=smoke", "trainer.steps=4", "trainer.batch_size=16", "evaluation.samples=40", "threads=1")
TINY = (*SMOKE, "data.size=64", "data.test_size=64", "metrics=none")


pytestmark = pytest.mark.usefixtures("clean_process")


@pytest.fixture
def ot_gen_drawing(command):
    """ot-gen in this process, with the pictures: arguments -> (exit code, stdout, stderr)."""
    return command


@pytest.fixture
def ot_gen(undrawn, ot_gen_drawing):
    """The same without the pictures."""
    return ot_gen_drawing


@pytest.fixture
def refused(ot_gen):
    """A run that must be refused: arguments -> its one line on stderr."""

    def call(*arguments):
        code, _, err = ot_gen(*arguments)
        assert "Traceback" not in err
        assert code == 2
        assert err.startswith("ot-gen: error: ")
        assert err.count("\n") == 1
        return err

    return call


def process(*command):
    """A command that must not see this process's terminal: (exit code, stdout, stderr), all of them piped."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def facts(folder):
    return json.loads((Path(folder) / "run.json").read_text())


def metrics(folder):
    with (Path(folder) / "metrics.csv").open(newline="") as file:
        return [{name: x for name, x in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def weights(folder):
    return load_file(Path(folder) / "checkpoint.safetensors")


def assert_complete(folder, steps, encoder):
    folder = Path(folder)
    text = (folder / "config.yaml").read_text()
    assert "${" not in text
    assert "???" not in text
    assert {"data", "cost", "reference", "generator", "solver", "trainer", "seed"} <= set(OmegaConf.create(text))
    told = facts(folder)
    assert told["status"] == "finished"
    assert told["steps"] == told["steps_done"] == steps
    assert {"python", "ot_gen", "torch", "numpy", "POT", "hydra-core"} <= set(told["versions"])
    assert {"format", "seed", "data", "solver", "generator", "side", "cell", "overrides", "seconds"} <= set(told)
    figures = {f"{name}{ending}" for name in ("w1", "w2_squared") for ending in ("", "_se", "_floor", "_floor_se")}
    assert set(told["judgement"]) == {"n", *figures}
    assert [int(row["step"]) for row in metrics(folder)] == list(range(1, steps + 1))
    assert all(np.isfinite(float(value)) for row in metrics(folder) for value in row.values())
    with safe_open(folder / "checkpoint.safetensors", framework="pt") as file:
        names = file.keys()
        assert any(name.startswith("mu.") for name in names)
        assert {"composition", "optimizers", "progress"} <= set(file.metadata())
        assert json.loads(file.metadata()["progress"])["step"] == steps
    drawn = {"samples.png", "interpolations.png", "curves.png"}
    drawn |= {"reconstructions.png", "codes.png"} if encoder else set()
    drawn |= {"manifold.png"} if OmegaConf.create(text).reference.dim == 2 else set()
    drawn |= {"data.png"} if told["dataset"].get("shape") else set()  # of images
    assert ("encoder" in told) == encoder
    assert {path.name for path in folder.glob("*.png")} == drawn
    for name in drawn:
        with Image.open(folder / name) as image:
            image.load()
            assert min(image.size) > 100
    assert not list(folder.glob("*.tmp"))


# --- one run ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "encoder"),
    [
        (("solver=primal/vae", *TINY), True),
        (("solver=dual/wgan_gp", *TINY), False),
        (("solver=dual/semidiscrete", "data=digits", *SMOKE), False),
        (("solver=primal/swae", "data=digits", *SMOKE), True),
        (("solver=primal/exact_plan", *TINY, "data.size=null"), False),
    ],
    ids=["vae", "wgan_gp", "semidiscrete-digits", "swae-digits", "exact_plan-law"],
)
def test_a_run_leaves_its_complete_record(overrides, encoder, ot_gen_drawing):
    code, _, err = ot_gen_drawing(*overrides, "seed=7", "hydra.run.dir=out")
    assert (code, err) == (0, "")
    assert_complete("out", 4, encoder)
    assert facts("out")["seed"] == 7


@pytest.mark.slow
def test_a_new_run_in_a_used_folder_starts_its_metrics_anew(ot_gen_drawing):
    for _ in range(2):
        assert ot_gen_drawing(*TINY, "hydra.run.dir=out", "overwrite=true")[0] == 0
    assert_complete("out", 4, encoder=True)


def test_a_last_row_cut_short_by_a_kill_is_left_out(tmp_path):
    for torn in ("3,0.1", "3,0.1,", "3"):
        (tmp_path / "metrics.csv").write_text("step,seconds,value\n1,0.1,5\n2,0.2,4\n" + torn)
        assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("group", ["ex_post", "noise", "certificate", "tracker", "metrics"])
def test_a_group_that_may_be_empty_takes_null_and_none(group):
    empty, same = (cli.composed(["solver=primal/swae", f"{group}={word}"])[0] for word in ("null", "none"))
    assert empty == same and (group == "metrics" or empty.get(group) is None)


@pytest.mark.slow
def test_null_is_typed_on_the_command_line_and_in_a_sweep(ot_gen):
    assert ot_gen(*TINY, "solver=primal/swae", "ex_post=null", "hydra.run.dir=one")[0] == 0
    assert "ex_post" not in facts("one")
    assert ot_gen("-m", *TINY, "solver=primal/swae", "ex_post=null,gmm", "hydra.sweep.dir=both")[0] == 0
    folders = [path.parent for path in Path("both").glob("*/run.json")]
    assert sorted(facts(folder).get("ex_post", "") for folder in folders) == ["", "ex_post_prior"]


@pytest.mark.slow
def test_a_run_has_a_folder_named_after_data_solver_and_seed(ot_gen):
    code, _, _ = ot_gen(*TINY, "seed=3")
    (folder,) = Path("runs").iterdir()
    assert code == 0
    assert folder.name.endswith("_eight_gaussians_primal-vae_3")


@pytest.mark.slow
def test_the_recorded_configuration_repeats_the_run(ot_gen):
    ot_gen(*TINY, "solver=dual/wgan_lp", "hydra.run.dir=first")
    overrides = facts("first")["overrides"]
    ot_gen(*overrides, "hydra.run.dir=second")
    assert metrics("first") == metrics("second")
    assert facts("first")["judgement"] == facts("second")["judgement"]


def test_a_job_returns_its_w1_to_the_sweep(ot_gen):
    pickler = "+hydra.callbacks.keep._target_=hydra.experimental.callbacks.PickleJobInfoCallback"
    code, _, _ = ot_gen("-m", *TINY, "seed=1", "hydra.sweep.dir=sweep", "hydra.output_subdir=kept", pickler)
    (folder,) = (path.parent for path in Path("sweep").glob("*/run.json"))
    (kept,) = folder.rglob("job_return.pickle")
    assert code == 0
    assert pickle.loads(kept.read_bytes()).return_value == facts(folder)["judgement"]["w1"]


def test_run_returns_w1_and_needs_no_hydra(tmp_path, parts):
    found = parts()
    w1 = record_run(tmp_path / "run", found, solver="mine")
    assert w1 == facts(tmp_path / "run")["judgement"]["w1"] > 0


@pytest.fixture
def parts(undrawn):
    """The parts of a tiny run: overrides -> what `run` asks for."""

    def compose(*overrides):
        return experiment(*TINY, *overrides)

    return compose


def test_a_vae_is_judged_as_a_likelihood_model_with_half_its_weight_as_variance(tmp_path, parts):
    found = parts("solver=primal/vae")
    record_run(tmp_path / "run", found)
    solver, mu, data = found.solver, found.mu.in_own_units(), found.data.own
    told = read_record(tmp_path / "run").encoder
    variance = float(found.data.units.scale) ** 2 * solver.xi.weight / 2
    expected = judge_encoder(mu, data.test, solver.cost, encoder_of(solver, found.mu), variance=variance)
    assert told == pytest.approx(expected, rel=1e-4)
    assert told.n == len(data.test)
    assert told.negative_iwae <= told.negative_elbo
    wae = parts("solver=primal/wae_mmd")
    record_run(tmp_path / "wae", wae)
    told = read_record(tmp_path / "wae").encoder
    assert told.mmd is not None and told.negative_elbo is None and told.conditional_kl is None


@pytest.mark.slow
def test_with_an_ex_post_prior_the_model_is_judged_at_both_priors(tmp_path, parts):
    def far_away(encoder, nu):
        assert encoder(nu.atoms).mean.shape == (64, 2)
        return gaussian_at(40.0)

    for name, prior in (("plain", None), ("ex_post", far_away)):
        torch.manual_seed(0)
        found = parts("solver=primal/vae")
        record_run(tmp_path / name, replace(found, ex_post=prior))
    plain, told = facts(tmp_path / "plain"), facts(tmp_path / "ex_post")
    assert told["ex_post"] == "far_away"
    assert told["judgement_reference"] == plain["judgement"]
    assert told["encoder"] == plain["encoder"]
    assert told["judgement"]["w1"] > 2 * plain["judgement"]["w1"]
    assert "ex_post" not in plain and "judgement_reference" not in plain


def gaussian_at(z):
    return Reference(Independent(Normal(torch.full((2,), z), 1.0), 1))


def test_an_ex_post_prior_without_an_encoder_is_refused_before_training(tmp_path, parts):
    found = parts("solver=primal/exact_plan")
    with pytest.raises(ValueError, match=r"ex_post .* codes of an encoder, and PlanCoupling has none; .*primal/vae"):
        record_run(tmp_path / "run", replace(found, ex_post=lambda encoder, nu: gaussian_at(0.0)))
    assert facts(tmp_path / "run")["status"] == "failed"
    assert not (tmp_path / "run" / "metrics.csv").exists()


def test_the_floor_of_a_plan_stands_next_to_its_value(tmp_path, parts, monkeypatch):
    found = parts("solver=primal/exact_plan", "data.standardize=none")
    monkeypatch.setattr(type(found.solver), "diagnostics", lambda self: {"floor": 0.25})
    record_run(tmp_path / "run", found)
    assert facts(tmp_path / "run")["objective"]["floor"] == 0.25
    assert set(facts(tmp_path / "run")["objective"]) == {"value", "penalty", "floor"}


@pytest.mark.slow
def test_help_names_the_groups_their_entries_and_the_most_used_overrides(ot_gen):
    code, out, _ = ot_gen("--help")
    assert code == 0
    for word in ("data: ", "cost: ", "reference: ", "generator: ", "solver/primal: ", "solver/dual: ", "trainer: "):
        assert word in out
    for word in (
        "trainer.steps=",
        "reference.dim=",
        "seed=",
        "device=",
        "resume=",
        "data.path=",
        "--config-dir",
        "-m ",
    ):
        assert word in out
    assert "ot-gen-compare" in out
    assert "$APP_CONFIG_GROUPS" not in out


def test_a_users_own_folder_adds_a_solver_entry(ot_gen, tmp_path):
    entry = tmp_path / "my_conf" / "solver" / "mine.yaml"
    entry.parent.mkdir(parents=True)
    entry.write_text(
        "# @package _global_\n"
        "defaults:\n  - override /cost: euclidean\n"
        "solver:\n"
        "  _target_: ot_gen.PrimalSolver\n"
        "  cost: ${cost}\n"
        "  coupling:\n"
        "    _target_: ot_gen.PlanCoupling\n"
        "    plan: {_target_: ot_gen.exact_plan, _partial_: true}\n"
    )
    code, _, err = ot_gen("--config-dir", "my_conf", "solver=mine", *TINY, "hydra.run.dir=out")
    assert (code, err) == (0, "")
    assert facts("out")["solver"] == "mine"
    assert facts("out")["cost"].startswith("Euclidean")


@pytest.mark.slow
def test_the_users_own_points_train(ot_gen_drawing, tmp_path):
    np.save(tmp_path / "my.npy", np.random.default_rng(0).normal(size=(80, 3)))
    code, _, err = ot_gen_drawing("data=points", "data.path=my.npy", *SMOKE, "hydra.run.dir=out")
    assert (code, err) == (0, "")
    assert_complete("out", 4, encoder=True)


# --- several runs ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_multirun_leaves_a_folder_for_each_combination(ot_gen):
    code, _, err = ot_gen("-m", "solver=primal/vae,dual/wgan_clip", *TINY, "hydra.sweep.dir=sweep")
    assert (code, err) == (0, "")
    told = sorted((path.parent.name[:-9], facts(path.parent)["status"]) for path in Path("sweep").glob("*/run.json"))
    assert told == [("eight_gaussians_dual-wgan_clip_0", "finished"), ("eight_gaussians_primal-vae_0", "finished")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "sweep",
    [
        ("cost=squared_euclidean", "solver=primal/exact_plan,dual/wgan_gp,primal/swae"),
        ("solver=primal/sinkhorn_plan", "+solver.coupling.plan.max_iterations=10000,1,9000"),
    ],
    ids=["that does not fit", "whose inner problem is not solved"],
)
def test_a_failing_run_in_a_multirun_does_not_stop_the_others(sweep, ot_gen):
    code, _, err = ot_gen("-m", *sweep, *TINY, "hydra.sweep.dir=sweep")
    told = [facts(path.parent) for path in Path("sweep").glob("*/run.json")]
    assert sorted(run["status"] for run in told) == ["failed", "finished", "finished"]
    assert code == 2
    reason, summary = err.splitlines()
    assert reason.startswith("ot-gen: error: ")
    assert summary.startswith("ot-gen: 1 failed: ") and "retry=true" in summary


# --- bad input -------------------------------------------------------------------------------------------------------


def test_a_wgan_with_a_squared_cost_gets_the_cost_and_the_remedy_in_one_line(refused):
    line = refused("solver=dual/wgan_gp", "cost=squared_euclidean", *TINY, "hydra.run.dir=out")
    assert "SquaredEuclidean" in line
    assert "cost=euclidean" in line
    assert "solver=dual/semidiscrete" in line
    told = facts("out")
    assert told["status"] == "failed"
    assert "SquaredEuclidean" in told["error"]
    assert not Path("out/checkpoint.safetensors").exists()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("solver=dual/nothing", ("Could not find 'solver/dual/nothing'", "dual/wgan_gp", "primal/vae")),
        ("data=nothing", ("Could not find 'data/nothing'", "eight_gaussians", "mnist")),
        ("trainer.nothing=3", ("'trainer.nothing'", "+trainer.nothing=3")),
        ("nothing=3", ("nothing",)),
        ("trainer=[smoke", ("[smoke",)),
    ],
)
def test_an_unknown_name_gets_hydras_message_and_what_there_is(override, words, ot_gen):
    code, _, err = ot_gen(override)
    assert code == 2
    assert "Traceback" not in err
    assert err.startswith("ot-gen: error: ")
    assert [word for word in words if word not in err] == []
    assert not list(Path().rglob("run.json"))


BAD = {  # overrides -> what the line must name: what was wrong, and the way out
    "data=points": ("data.path", "data.path=VALUE"),
    "data=image_folder": ("data.path", "data.path=VALUE"),
    "data=points data.path=missing.npy": ("missing.npy", "there is no file"),
    "data=image_folder data.path=missing": ("missing", "there is no folder"),
    "seed=null": ("seed=null", "whole number"),
    "trainer.batch_size=65": ("batch_size 65", "64 atoms", "trainer.batch_size="),
    "trainer.steps=-1": ("steps must be a whole number >= 0", "-1"),
    "generator=conv": ("image shape", "generator=mlp"),
    "cost=bernoulli": ("BernoulliNLL",),
    "solver=dual/w2_maxmin cost=euclidean": ("Euclidean()", "cost=squared_euclidean"),
    "solver=dual/anchors cost=squared_euclidean": ("flats need", "solver.potential.flat_dim=0"),
    "cost=lp cost.p=0.5": ("p must be a number >= 1", "0.5"),
    "solver=dual/semidiscrete data.size=null": ("atoms", "data.size=2000"),
    "solver=primal/sinkhorn_plan +solver.coupling.plan.max_iterations=1": ("Sinkhorn", "raise epsilon"),
    "solver=primal/vae reference=uniform": ("KL", "Uniform"),
    "resume=nowhere": ("no checkpoint at", "nowhere"),
    "trainer.steps=many": ("many",),
    "seed=many": ("many",),
    "device=abacus": ("abacus",),
    "solver=dual/wgan_gp noise=fixed": ("noise=", "solver=primal/vae"),
    "solver=primal/vae reference=sphere": ("leave the support", "reference"),
    "solver=primal/exact_plan ex_post=gmm": ("ex_post", "encoder"),
    "solver=primal/exact_plan cost=likelihood": ("noise=fixed", "encoder"),
    "solver=primal/wae_mmd solver.coupling.weight=-1": ("weight", "-1"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("overrides", "words"), BAD.items(), ids=BAD)
def test_bad_input_gets_one_line_that_says_what_and_the_run_says_failed(overrides, words, refused):
    line = refused(*(SMOKE if "data=" in overrides else TINY), *overrides.split(), "hydra.run.dir=out")
    assert [word for word in words if word not in line] == []
    told = facts("out")
    assert told["status"] == "failed"
    assert told["error"]
    (run,) = find_runs(Path("out"))
    assert (run.status, run.error) == ("failed", told["error"])  # its row on the page too


def test_a_number_of_processes_that_is_none_is_named_with_its_override(refused):
    line = refused(*TINY, "trainer=ddp", "trainer.processes=0")
    assert "trainer.processes=0" in line


@pytest.mark.parametrize("words", SPOKEN)
def test_the_words_that_the_command_line_translates_are_words_of_the_library(words):
    package = Path(cli.__file__).parents[1]
    assert any(words in p.read_text() for p in package.rglob("*.py") if "cli" not in p.parts)


@pytest.mark.parametrize("where", ["hydra.run.dir=file/below", "hydra.run.dir=file"])
def test_an_unwritable_output_folder_gets_one_line_with_the_remedy(where, refused, tmp_path):
    (tmp_path / "file").write_text("in the way")
    line = refused(*TINY, where)
    assert "file" in line
    assert "hydra.run.dir=" in line


def test_a_missing_config_dir_is_named(refused):
    assert "nowhere" in refused("--config-dir", "nowhere", *TINY)


# --- checkpoints -----------------------------------------------------------------------------------------------------


def ctrl_c_in_step_3(bar, progress):
    if progress.step == 3:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["primal/wae_mmd", "dual/wgan_sn", "dual/semidiscrete"])
@pytest.mark.parametrize(
    "folder", ["first", pytest.param("second", marks=pytest.mark.slow)], ids=["in its own folder", "in a new folder"]
)
def test_resume_continues_bit_for_bit_with_every_row_once(solver, folder, ot_gen, monkeypatch):
    settings = (*TINY, f"solver={solver}", "trainer.steps=7")
    ot_gen(*settings, "hydra.run.dir=whole")
    with monkeypatch.context() as within:
        within.setattr(ProgressBar, "__call__", ctrl_c_in_step_3)
        code, _, err = ot_gen(*settings, "hydra.run.dir=first")
    assert (code, err.count("\n")) == (130, 1)
    assert "step 3 of 7" in err
    with Path("first/metrics.csv").open("a") as file:  # rows after the checkpoint, as a kill leaves them
        file.write(",".join(["4", *["0.5"] * len(metrics("whole")[0])]) + "\n5,0.5")
    code, _, err = ot_gen(*settings, f"hydra.run.dir={folder}", "resume=first")
    assert (code, err) == (0, "")
    assert metrics(folder) == metrics("whole")
    assert facts(folder)["judgement"] == facts("whole")["judgement"]
    assert facts(folder)["images"] == facts("whole")["images"]
    ours, theirs = weights(folder), weights("whole")
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "other",
    [
        "solver=primal/swae",
        "solver=dual/wgan_gp",
        "generator.hidden=[32]",
        "generator.hidden=[32,32]",
        "reference.dim=3",
    ],
)
def test_a_checkpoint_of_another_composition_is_refused(other, ot_gen, refused):
    ot_gen(*TINY, "hydra.run.dir=first")
    before = Path("first/checkpoint.safetensors").read_bytes()
    line = refused(*TINY, other, "resume=first", "hydra.run.dir=second")
    assert "checkpoint of another composition" in line
    assert "resume with the" in line
    assert Path("first/checkpoint.safetensors").read_bytes() == before
    assert facts("second")["status"] == "failed"


def cut(content):
    return content[: len(content) // 2]


def scramble_header(content):
    return content[:8] + bytes(len(content) - 8)


def strangers(content):
    return b"no checkpoint at all"


@pytest.mark.slow
@pytest.mark.parametrize("damage", [cut, scramble_header, strangers, lambda content: b""])
def test_a_corrupt_checkpoint_is_refused(damage, ot_gen, refused):
    ot_gen(*TINY, "hydra.run.dir=first")
    file = Path("first/checkpoint.safetensors")
    file.write_bytes(damage(file.read_bytes()))
    assert "cannot be read as a checkpoint" in refused(*TINY, "resume=first", "hydra.run.dir=second")


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 100], ids=["checkpoint each step", "checkpoint at the end"])
@pytest.mark.parametrize("solver", ["primal/vae", "primal/exact_plan", "dual/wgan_gp", "dual/semidiscrete"])
def test_a_loss_that_becomes_nan_ends_with_the_step_the_solver_and_the_last_checkpoint(solver, every, ot_gen, refused):
    settings = (*TINY, f"solver={solver}", f"trainer.checkpoint_every={every}", "hydra.run.dir=out")
    if solver == "dual/semidiscrete":
        settings += ("solver.warmup_steps=0",)
    ot_gen(*settings, "trainer.steps=2")
    good = Path("out/checkpoint.safetensors").read_bytes()
    line = refused(*settings, "trainer.steps=20", "trainer.optimizer.lr=1e30", "resume=out")
    assert "at step " in line
    assert any(name in line for name in ("PrimalSolver", "DualSolver", solver))
    assert str(Path("out/checkpoint.safetensors")) in line
    assert "lower the learning rates" in line
    assert facts("out")["status"] == "failed"
    kept = weights("out")
    assert all(bool(torch.isfinite(value).all()) for value in kept.values() if value.is_floating_point())
    assert every == 1 or Path("out/checkpoint.safetensors").read_bytes() == good


# --- progress --------------------------------------------------------------------------------------------------------


def test_a_terminal_gets_a_bar_with_remaining_time_and_the_current_value(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    with ProgressBar("primal/vae") as bar:
        for step in range(1, 5):
            bar(Progress(4, step, rows=[{"step": step, "value": 0.25 * step}]))
    shown = terminal.getvalue()
    assert "primal/vae" in shown
    assert re.search(r"4/4 \[\d+:\d+<\d+:\d+", shown)
    assert "value 1" in shown


# --- in a process of its own -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_module_runs_like_the_command_and_draws_no_bar_into_a_pipe():
    code, out, err = process(sys.executable, "-m", "ot_gen", *TINY, "hydra.run.dir=out")
    assert code == 0
    assert err == ""
    assert "\r" not in out
    assert "it/s" not in out
    assert "step 4 of 4" in out
    assert_complete("out", 4, encoder=True)


@pytest.mark.slow
def test_the_installed_command_sends_one_line_to_stderr_and_exits_with_2():
    command = Path(sys.executable).with_name("ot-gen")
    code, out, err = process(command, *TINY, "solver=dual/wgan_gp", "cost=squared_euclidean", "hydra.run.dir=out")
    assert code == 2
    assert err.count("\n") == 1
    assert "SquaredEuclidean" in err
    assert "Traceback" not in out + err
    assert facts("out")["status"] == "failed"


def interrupted(folder, number):
    """A long run stopped by a signal once its first checkpoint is on disk: (exit code, stderr)."""
    settings = (*TINY, "trainer.schedule=null", "trainer.steps=50000", "trainer.checkpoint_every=5")
    running = subprocess.Popen(
        [sys.executable, "-m", "ot_gen", *settings, f"hydra.run.dir={folder}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while running.poll() is None and not (Path(folder) / "checkpoint.safetensors").exists():
            time.sleep(0.02)
        running.send_signal(number)
        _, err = running.communicate(timeout=60)
    finally:
        running.kill()
    return running.returncode, err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_signal_stops_with_a_checkpoint_and_a_hint_and_resuming_finishes(number, ot_gen):
    code, err = interrupted("stopped", number)
    assert code == 130
    assert err.count("\n") == 1
    assert "resume=stopped" in err.replace(f"{Path.cwd()}/", "")
    told = facts("stopped")
    assert told["status"] == "interrupted"
    done = len(metrics("stopped"))
    assert f"step {done} of 50000" in told["error"]
    settings = (*TINY, "trainer.schedule=null", f"trainer.steps={done + 3}")
    code, _, err = ot_gen(*settings, "resume=stopped", "hydra.run.dir=stopped")
    assert (code, err) == (0, "")
    assert facts("stopped")["status"] == "finished"
    ot_gen(*settings, "hydra.run.dir=whole")
    assert metrics("stopped") == metrics("whole")
    ours, theirs = weights("stopped"), weights("whole")
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
