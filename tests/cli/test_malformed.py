"""Malformed overrides: whatever is typed at whatever key, the command works or says one line and ends with 2.

The suite tries a few of them. `OT_GEN_OVERRIDES=500 python -m pytest tests/cli/test_malformed.py` tries so many, and
`OT_GEN_SEED=1` others.
"""

import os
import random
import signal
from contextlib import contextmanager

import pytest
from entries import composed, entries
from omegaconf import OmegaConf

from ot_gen.cli.errors import NOTES

COUNT, SEED = int(os.environ.get("OT_GEN_OVERRIDES", 8)), int(os.environ.get("OT_GEN_SEED", 0))
TINY = ("trainer=smoke", "trainer.steps=2", "trainer.batch_size=8", "evaluation.samples=16", "metrics=none")
TINY += ("data.size=32", "data.test_size=32")
VALUES = (
    *("null", "nan", "inf", "-inf", "-1", "0", "1e400", "1e-400", "1.5", "true", "x", "''", "' '", "[]", "{}", "[1,2]"),
    *("{a: 1}", "[[null]]", "1_000", "a,b", "${nope}", "${seed}", "???", "'it\\'s'", "'\"'", "ζ→W₂", "a=b", "\\", "%s"),
    *("'", "[", "{", "a b", "os.system", "ot_gen.fit", "torch.nn.Linear", "a" * 5000, "../..", "/dev/null"),
)
PATIENCE = 60  # seconds of a case


def keys(node, name=""):
    """Every key of a plain configuration, nodes and leaves."""
    for key, inner in node.items():
        yield f"{name}{key}"
        if isinstance(inner, dict):
            yield from keys(inner, f"{name}{key}.")


def case(number):
    """(solver, override), drawn."""
    draw = random.Random(f"{SEED} {number}")
    solver = f"solver={draw.choice(entries('solver'))}"
    key = draw.choice(sorted(keys(OmegaConf.to_container(composed(solver)))))
    return solver, f"{draw.choice(['', '', '', '++'])}{key}={draw.choice(VALUES)}"


@contextmanager
def within(seconds):
    def late(*_):
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(COUNT))
def test_any_override_works_or_gets_one_line(number, command, clean_process, undrawn):
    overrides = case(number)
    with within(PATIENCE):
        code, _, err = command(*TINY, *overrides, "hydra.run.dir=out")
    one = err.startswith("ot-gen: error: ") and err.count("\n") == 1 and not any(note in err for note in NOTES)
    assert code == 0 or (code == 2 and one), (overrides, code, err)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "words"),
    {
        "trainer.precision=half": ("trainer.precision", "precision=float32, bf16 or fp16"),
        "trainer.schedule=0.5": ("trainer.schedule", "linear_decay"),
        "trainer.optimizer=3": ("trainer.optimizer", "torch.optim.Adam"),
        "solver.potential=null": ("+solver.potential=null",),
        "solver.coupling=null": ("coupling must be a Coupling, got None",),
        "generator=null": ("generator",),
        "~generator": ("generator is null", "choose an entry"),
        "seed=inf": ("seed=inf", "whole number"),
        "data.seed=[1,2]": ("seed must be a whole number", "list"),
        "device={}": ("device must be a text",),
        "device=meta": ("device=meta", "device=cpu"),
        "device=cuda:99": ("device=cuda:99", "device=cpu"),
        "resume=0": ("resume=0 is no path",),
        "+trainer.foo=1": ("no setting foo", "max_seconds"),
        "evaluation=null": ("evaluation is null",),
        "space=null": ("space is null",),
        "trainer.optimizer._target_=torch.optim.LBFGS": ("LBFGS", "torch.optim.Adam"),
        "trainer.optimizer._target_=torch.optim.SparseAdam": ("SparseAdam", "torch.optim.Adam"),
        "generator._target_=os.system": ("generator cannot be built", "os.system"),
        "generator._target_=ot_gen.nope": ("generator cannot be built", "ot_gen.nope"),
        "generator._target_=ot_gen.KL": ("generator",),
        "nope=1": ("'nope'", "+nope=1"),
        "data=nope": ("Could not find 'data/nope'", "mnist"),
        "--nope": ("--nope", "ot-gen --help"),
        "data='a": ("cannot read the override",),
        "trainer.steps=${nope}": ("nope",),
    }.items(),
    ids=str,
)
def test_the_line_names_what_was_wrong(override, words, command, clean_process, undrawn):
    code, _, err = command(*TINY, override, "hydra.run.dir=out")
    assert code == 2 and err.startswith("ot-gen: error: ") and err.count("\n") == 1
    assert [word for word in words if word not in err] == []


def test_a_precision_is_taken_where_fit_has_it(command, clean_process, undrawn):
    assert command(*TINY, "trainer.precision=bf16", "hydra.run.dir=out")[0] == 0
    config = OmegaConf.load("out/config.yaml")
    assert config.trainer.precision.dtype.path == "torch.bfloat16"


def test_errors_of_the_users_own_code_are_shown_as_they_are(command, clean_process, undrawn, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("def broken(**options):\n    raise KeyError('mine')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyError, match="mine"):
        command(*TINY, "data._target_=mine.broken", "hydra.run.dir=out")
