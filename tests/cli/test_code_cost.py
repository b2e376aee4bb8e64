"""Costs between codes of a finished run: runs that name another run train, go on, are judged and are loaded."""

import shutil
from pathlib import Path

import pytest
import torch

import ot_gen
from ot_gen import code_cost

SMOKE = ("data=eight_gaussians", "data.size=64", "data.test_size=40", "trainer=smoke", "trainer.batch_size=16")
SMOKE += ("evaluation.samples=40", "metrics=none", "data.standardize=none", "generator.hidden=[8]")
BY_CODES = ("cost=run_encoder", "cost.run=codes", "trainer.steps=3")
RUNS = {
    "codes": ("solver=primal/rae", "features.hidden=[8]", "trainer.steps=4", "ex_post=null", "data.standardize=shared"),
    "labelled": ("solver=primal/rae", "features.hidden=[8]", "trainer.steps=2", "ex_post=null", "condition=label"),
    "debiased": ("solver=primal/sinkhorn_divergence", *BY_CODES),
    "exact": ("solver=primal/exact_plan", *BY_CODES),
    "table": ("solver=dual/semidiscrete", *BY_CODES),
    "of_classes": ("solver=primal/debiased_exact_plan", "condition=label", *BY_CODES),
}
pytestmark = pytest.mark.usefixtures("clean_process", "undrawn")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["debiased", "table", "of_classes"])
def test_a_run_by_the_codes_of_another_goes_on_is_judged_and_is_loaded(name, run, command):
    codes, folder = run("codes"), run(name)
    resumed = (*RUNS[name], *SMOKE, "trainer.steps=5", f"resume={folder}", f"hydra.run.dir={folder}")
    assert command(*resumed)[0] == 0
    code, _, err = command("evaluate", "--run", folder, "--output", "judged", "metrics=none")
    assert code == 0, err
    run("codes")
    loaded, own = ot_gen.load_run(folder), ot_gen.load_run(codes)
    cost = getattr(loaded.solver.cost, "within", loaded.solver.cost)
    x, y = own.data.train.atoms[:9], own.data.train.atoms[9:16]
    f_x, f_y = (own.encoder(points).mean for points in (x, y))
    ratio = cost.matrix(x, y) / torch.cdist(f_x, f_y).square()
    assert ratio.allclose(ratio[0, 0], rtol=1e-3)


@pytest.mark.slow
def test_two_points_lie_apart_by_codes_as_by_squared_distances_on_average(run):
    y = ot_gen.load_run(run("codes")).data.train.atoms
    by_codes, by_points = (cost.matrix(y, y).mean() for cost in (code_cost("codes"), ot_gen.SquaredEuclidean()))
    assert torch.isclose(by_codes, by_points, rtol=1e-4)


@pytest.mark.slow
def test_a_loaded_run_keeps_the_codes_that_it_was_trained_by(run, command):
    run("codes"), run("exact")
    x = torch.randn(5, 2)
    before = ot_gen.load_run("exact").solver.cost.matrix(x, x)
    assert command(*RUNS["codes"], *SMOKE, "seed=1", "overwrite=true", "hydra.run.dir=codes")[0] == 0
    assert not code_cost("codes").matrix(x, x).allclose(before, rtol=1e-2)
    assert ot_gen.load_run("exact").solver.cost.matrix(x, x).equal(before)


@pytest.mark.slow
def test_what_has_no_codes_of_such_points_is_refused_in_one_line(run, command):
    """No run, a run without an encoder, one that was told classes, another dimension, a circle, and no name at all."""
    run("codes"), run("labelled"), run("exact")
    shutil.copytree("exact", "circle")
    config = Path("circle/config.yaml")
    config.write_text(config.read_text().replace("run: codes", "run: circle"))
    cases = (
        (("cost.run=nowhere",), "holds no run.json"),
        (("cost.run=exact",), "has no encoder, as its solver is primal/exact_plan"),
        (("cost.run=labelled",), "was told classes"),
        (("cost.run=codes", "data=digits", "data.standardize=null"), "dimension 2, and these have dimension 64"),
        (("cost.run=circle",), "has a cost over its own codes"),
        ((), "cost.run has no value; give it as cost.run="),
        (("cost.run=codes", "data.standardize=shared"), "data.standardize=none"),
    )
    for given, words in cases:
        overrides = dict(part.split("=", 1) for part in (*SMOKE, *given))
        if overrides["data"] == "digits":
            overrides = {name: value for name, value in overrides.items() if not name.startswith("data.")}
        overrides |= {"solver": "primal/exact_plan", "cost": "run_encoder"}
        code, _, err = command(*(f"{name}={value}" for name, value in overrides.items()))
        assert code == 2 and err.count("\n") == 1 and words in err, err
