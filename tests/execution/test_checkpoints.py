"""Checkpoints that are damaged, or of another problem, are refused in one line that says what is wrong."""

import json
import os
import re
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.distributions import Independent, Normal

from ot_gen import (
    MLP,
    Empirical,
    Lp,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    exact_plan,
    fit,
    semidiscrete,
    sinkhorn_plan,
    standard_gaussian,
)
from ot_gen.execution import fingerprint, load_weights, read_progress
from ot_gen.execution.fingerprints import difference
from ot_gen.measures import FullMixture, Reference
from ot_gen.priors import load_prior, save_prior
from ot_gen.training import Interrupted

RECORDS = Path(__file__).parents[1] / "records"
DATA = Empirical(torch.rand(32, 2, generator=torch.Generator().manual_seed(0)))


def rewritten(path, change):
    """Write a file of the format without checksums, changed: what a stranger's file may hold."""
    with safe_open(path, framework="pt") as file:
        header = {name: value for name, value in file.metadata().items() if name != "checksums"}
    tensors, header = load_file(path), header | {"format": "ot_gen checkpoint 1"}
    change(tensors, header)
    save_file(tensors, path, metadata=header)


def without(name):
    return lambda tensors, header: header.pop(name)


def progress(**facts):
    return lambda tensors, header: header.update(progress=json.dumps(json.loads(header["progress"]) | facts))


def lacking(name):
    return lambda tensors, header: tensors.pop(name)


def groups(value):
    def change(tensors, header):
        told = json.loads(header["optimizers"])
        told["theta"]["param_groups"] = value
        header["optimizers"] = json.dumps(told)

    return change


def rate(value):
    def change(tensors, header):
        told = json.loads(header["optimizers"])
        told["theta"]["param_groups"][0]["lr"] = value
        header["optimizers"] = json.dumps(told)

    return change


CHECKPOINTS = {
    "no optimizers": (without("optimizers"), "lacks 'optimizers'"),
    "no progress": (without("progress"), "lacks 'progress'"),
    "no composition": (without("composition"), "lacks 'composition'"),
    "no format": (without("format"), "another format"),
    "no random state": (lacking("random.cpu"), "random.cpu"),
    "a short random state": (lambda t, h: t.update({"random.cpu": t["random.cpu"][:9].clone()}), "damaged"),
    "an optimizer state less": (lacking("optimizer.theta.1.exp_avg"), "lacks optimizer.theta.1.exp_avg"),
    "a weight less": (lambda t, h: t.pop(next(n for n in t if n.startswith("mu."))), "shape None"),
    "no optimizer": (lambda t, h: h.update(optimizers="{}"), "optimizer of theta"),
    "a list": (lambda t, h: h.update(optimizers="[]"), "not an object"),
    "deep JSON": (lambda t, h: h.update(optimizers="[" * 100_000), "optimizers"),
    "no groups": (groups([]), "optimizer of theta"),
    "other groups": (groups("x"), "optimizer of theta"),
    "a rate NaN": (rate(float("nan")), "lr of the optimizer of theta is nan"),
    "a rate of text": (rate("high"), "lr of the optimizer of theta is 'high'"),
    "another shape": (
        lambda t, h: t.update({"optimizer.theta.1.exp_avg": torch.zeros(3, 3)}),
        "optimizer.theta.1.exp_avg has shape",
    ),
    "step -5": (progress(step=-5), "step is -5"),
    "step NaN": (progress(step=float("nan")), "step is nan"),
    "step 2.5": (progress(step=2.5), "step is 2.5"),
    "step of text": (progress(step="2"), "step is '2'"),
    "step true": (progress(step=True), "step is True"),
    "no step": (lambda t, h: h.update(progress="{}"), "lacks step"),
    "seconds infinite": (progress(seconds=float("inf")), "seconds are inf"),
}


def fitted(nu=DATA, solver=None, **options):
    """A tiny training: the weights that it ends with."""
    torch.manual_seed(0)
    mu = Pushforward(MLP(2, 2, hidden=(4,)), standard_gaussian(2))
    solver = solver or PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan))
    fit(mu, nu, solver, batch_size=8, **{"steps": 4} | options)
    return torch.cat([p.detach().flatten() for p in mu.parameters()])


@pytest.fixture
def file(tmp_path):
    """The checkpoint of a training that stopped half-way."""
    fitted(steps=2, checkpoint=tmp_path / "half.safetensors")
    return tmp_path / "half.safetensors"


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_damaged_checkpoint_is_refused_in_one_line(name, file):
    change, words = CHECKPOINTS[name]
    rewritten(file, change)
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        fitted(resume=file)
    assert "half.safetensors" in str(caught.value) and "\n" not in str(caught.value)


def test_a_checkpoint_without_checksums_still_loads(file):
    rewritten(file, lambda tensors, header: header.pop("problem"))
    assert fitted(resume=file).isfinite().all()


# --- of another problem


def table(rows, value=0.0):
    """The data with so many rows; the last holds something else."""
    atoms = DATA.atoms[:rows].clone()
    atoms[-1, -1] += value
    return Empirical(atoms)


OTHERS = {
    "contents": ({"nu": table(32, 1.0)}, "data.atoms: other contents"),
    "rows": ({"nu": table(31)}, "data.atoms: shape [32, 2] there, [31, 2] here"),
    "weights": ({"nu": Empirical(DATA.atoms, torch.arange(1.0, 33) / 528)}, "data.weights: "),
    "kind": ({"nu": standard_gaussian(2)}, "data"),
    "plan": (
        {"solver": PrimalSolver(SquaredEuclidean(), PlanCoupling(partial(sinkhorn_plan, epsilon=1.0)))},
        "sinkhorn_plan",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_training_on_another_problem_is_not_continued(name, file):
    other, words = OTHERS[name]
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        fitted(**other, resume=file)
    assert "checkpoint of another problem" in str(caught.value) and "begin anew" in str(caught.value)


def test_rounding_and_addresses_make_no_other_problem():
    x = torch.rand(500, 3)
    one = fingerprint(data=x, solver="plan <function exact at 0x7f01>, weight=0.30000001")
    assert difference(one, fingerprint(data=x * (1 + 1e-7), solver="plan <function exact at 0xa2>, weight=0.3")) is None
    assert difference(json.loads(json.dumps(one)), one) is None


@given(st.integers(1, 40), st.integers(1, 5), st.floats(1e-3, 1e3), st.integers(0, 199))
def test_one_other_entry_makes_another_problem(rows, columns, change, place):
    x = torch.rand(rows, columns)
    y = x.clone()
    y.view(-1)[place % x.numel()] += change
    assert difference(fingerprint(data=x), fingerprint(data=y)) is not None


@pytest.mark.parametrize("other", ["atoms", "model", "cost"])
def test_a_solve_of_another_problem_is_not_continued(other, tmp_path):
    path, problem = tmp_path / "solve.safetensors", {"mu": standard_gaussian(2), "nu": DATA, "cost": SquaredEuclidean()}
    changed = {"nu": table(32, 1.0)} if other == "atoms" else {"cost": Lp(1.5)} if other == "cost" else {}
    changed |= {"mu": Reference(Independent(Normal(torch.ones(2), 1.0), 1))} if other == "model" else {}
    semidiscrete(**problem, tol=0.3, checkpoint=path)
    with pytest.raises(ValueError, match="checkpoint of another problem"):
        semidiscrete(**problem | changed, tol=0.3, resume=path)
    assert semidiscrete(**problem, tol=0.2, resume=path).ending == "reached"


def test_a_callback_stops_a_training_like_a_signal(tmp_path):
    def stop(progress):
        if progress.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="stopped after step 2 of 4"):
        fitted(checkpoint=tmp_path / "c", callbacks=[stop])
    assert torch.equal(fitted(resume=tmp_path / "c"), fitted())


# --- flipped bytes


def test_a_flipped_byte_anywhere_is_refused(file, tmp_path):
    whole, file = file.read_bytes(), tmp_path / "flipped.safetensors"
    places = [*torch.randperm(len(whole))[:80].tolist(), 0, 3, 8, 9, len(whole) - 1]
    for number, place in enumerate(places):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << number % 8
        file.write_bytes(flipped)
        with pytest.raises(ValueError, match=r"flipped\.safetensors"):
            read_progress(file)
        with pytest.raises(ValueError, match=r"flipped\.safetensors"):
            load_weights(file, torch.nn.Linear(1, 1))


def test_a_flipped_byte_of_a_prior_is_refused_and_old_ones_load(tmp_path):
    prior = Reference(FullMixture(torch.ones(1), torch.zeros(1, 2), torch.eye(2)[None]))
    save_prior(prior, tmp_path / "prior")
    whole = (tmp_path / "prior").read_bytes()
    for place in range(0, len(whole), 5):
        (tmp_path / "flipped").write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(ValueError, match="holds no prior of save_prior"):
            load_prior(tmp_path / "flipped")
    assert load_prior(RECORDS / "swae" / "prior.safetensors").dim > 0
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no file"):
        load_prior(tmp_path / "pipe")
