"""The benchmarks of the primal side: their judge judges, their runs run."""

import csv
import importlib
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = (FOLDER, FOLDER.parent / "experiments" / "digit_classifier")
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the benchmarks are not part of this distribution")


@pytest.fixture
def benchmark(monkeypatch):
    """A script of benchmarks/ as a module."""
    monkeypatch.syspath_prepend(str(FOLDER))  # and puts the path back as it was, also what a script appends to it
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and Path(sys.modules[name].__file__).parent in SCRIPTS:
            del sys.modules[name]


def test_the_judge_is_the_one_that_gave_the_figures_and_refuses_what_is_no_digit(benchmark, monkeypatch, tmp_path):
    judge = benchmark("digit_judge")
    real = judge.digits()[0][judge.A][:40]
    row = judge.judge(real.numpy(), real)
    assert (row["FD"], row["TV"], row["W2"]) == pytest.approx((0, 0, 0), abs=1e-4)
    assert row["P"] == row["R"] == row["C"] == 1
    assert judge.judge(torch.rand(40, 784), real)["W2"] > 5
    assert judge.held_out_accuracy(judge.classifier()) > 0.98
    for bad in (real - 0.5, real.view(-1, 28, 28), real[:3], real * torch.nan):
        with pytest.raises(ValueError, match="judge takes"):
            judge.judge(bad, real)
    judge.classifier.cache_clear()
    monkeypatch.setattr(judge, "WEIGHTS", tmp_path / "other.safetensors")
    judge.WEIGHTS.write_bytes(b"other")
    with pytest.raises(SystemExit, match="not the file that gave the documented figures"):
        judge.classifier()


def test_a_classifier_of_the_same_recipe_can_be_trained(benchmark, monkeypatch, tmp_path, capsys):
    judge = benchmark("digit_judge")
    monkeypatch.setattr(judge, "trained_classifier", lambda f=judge.trained_classifier: f(epochs=1, images=200))
    monkeypatch.setattr(sys, "argv", ["digit_judge.py", "--train", str(tmp_path / "new.safetensors")])
    judge.main()
    assert "right on held-out digits" in capsys.readouterr().out
    net = judge.DigitClassifier()
    net.load_state_dict(judge.load((tmp_path / "new.safetensors").read_bytes()))


def test_shifts_move_and_keep_the_ink(benchmark):
    judge = benchmark("digit_judge")
    images = torch.zeros(400, 28, 28)
    images[:, 10, 12] = 1
    _, rows, columns = judge.recipe.shifted(images.flatten(1)).view(400, 28, 28).nonzero().T
    assert len(rows) == 400
    for found, start in ((rows, 10), (columns, 12)):
        assert set(found.tolist()) == set(range(start - judge.recipe.SHIFT, start + judge.recipe.SHIFT + 1))


def small(judge, monkeypatch):
    """The protocol on few digits."""
    quality = importlib.import_module("primal_quality")
    monkeypatch.setattr(quality, "SAMPLES", 40)
    monkeypatch.setattr(quality, "BATCH", 20)
    monkeypatch.setattr(quality, "COMPONENTS", 2)
    held_out = judge.digits()[0][judge.A][:40]
    monkeypatch.setattr(quality, "judge", lambda samples: judge.judge(samples, held_out))
    monkeypatch.setattr(quality, "floor", lambda: judge.judge(judge.digits()[0][judge.B][:40], held_out))
    monkeypatch.setattr(quality, "ceiling", lambda: judge.judge(torch.rand(40, 784), held_out))
    monkeypatch.setattr(quality, "TRAIN", slice(0, 60))
    monkeypatch.setattr(quality, "A", slice(8000, 8040))
    return quality


@pytest.mark.slow
def test_a_short_run_of_the_quality_protocol_fills_its_table(benchmark, monkeypatch, tmp_path, capsys):
    judge = benchmark("digit_judge")
    quality = small(judge, monkeypatch)
    output = tmp_path / "quality.csv"
    monkeypatch.setattr(
        sys,
        "argv",
        ["", "--entries", "vae", "exact_plan", "--seeds", "0", "1", "--steps", "2", "--output", str(output)],
    )
    quality.main()
    with output.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["row"] for row in rows[:5]] == ["floor", "ceiling", "vae", "vae + ex-post", "exact_plan"]
    assert len(rows) == 2 + 2 * 3
    assert all(float(row[c]) >= 0 for row in rows for c in judge.COLUMNS)
    assert float(rows[2]["recon"]) > 0 and float(rows[2]["var"]) > 0 and rows[4]["recon"] == ""
    assert "vae + ex-post" in capsys.readouterr().out


@pytest.mark.slow
def test_every_primal_entry_is_in_the_protocol(benchmark):
    quality = benchmark("primal_quality")
    data = quality.protocol_data()
    assert {"vae", "wae_mmd", "sinkhorn_ae", "swae", "exact_plan"} <= set(quality.entries())
    assert len(data.train) == 6000 and len(data.test) == 2000
    for entry in quality.entries():
        cfg = quality.parts(*quality.PROTOCOL, f"solver=primal/{entry}", data=data).config
        assert cfg.reference.dim == 8 and list(cfg.generator.hidden) == [200, 400]


@pytest.mark.slow
def test_the_bare_loops_train_and_the_speed_is_a_rate(benchmark):
    speed = benchmark("primal_speed")
    data = speed.protocol_data()
    for case in speed.CASES.values():
        assert speed.bare_rate(case, data, 2) > 0
        assert speed.our_rate(case, data, 2, seed=0) > 0


def test_the_bare_kernel_is_the_librarys(benchmark):
    from ot_gen import InverseMultiquadric

    speed = benchmark("primal_speed")
    x, y = torch.randn(2, 6, speed.LATENT, generator=torch.Generator().manual_seed(0))
    expected = InverseMultiquadric()(x, y)
    torch.testing.assert_close(speed.kernel(x, y), expected)
