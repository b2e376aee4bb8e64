"""The units of data change units alone: trained on a y + b, the model is a x + b, its costs and its record scaled."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from entries import entries
from recorded import experiment, record_run
from torch import nn

from ot_gen import (
    MLP,
    DiscretePotential,
    DualSolver,
    Empirical,
    GaussianDecoder,
    PlanCoupling,
    PrimalSolver,
    Pushforward,
    SquaredEuclidean,
    Units,
    cli,
    exact_plan,
    fit,
    standard_gaussian,
)
from ot_gen.data import Dataset, eight_gaussians, points, toy
from ot_gen.data.standard import standardised
from ot_gen.measures import Placed, Standardised
from ot_gen.runs.manifold import geometry_of
from ot_gen.runs.record import read_metrics, read_record
from ot_gen.runs.run import OwnUnits

MOVES = [(1e-4, 0.0), (1e4, 1e5)]
SHAPE = torch.tensor([[1.0, 0.4], [0.0, 2.0]])


def cloud(n=120):
    return (torch.randn(n, 2, generator=torch.Generator().manual_seed(0)) @ SHAPE + torch.tensor([1.0, -3.0])).double()


def moved(a, b, how="shared"):
    """A table of a y + b in float64, as a file holds it, in standard coordinates."""
    return standardised(Dataset.split(a * cloud() + b), how)


def trained(cfg, data, steps=2):
    """Samples in the data's own units, and the rows that a run records."""
    made = cli.assembled(cfg, data, seed=0)
    made.solver.warmup_steps = min(made.solver.warmup_steps, 1)
    own = OwnUnits(made.solver.cost, data.units, made.solver.sense)
    trainer = made.trainer | {"steps": steps, "batch_size": 16, "callbacks": [own]}
    rows = fit(made.mu, data.train, made.solver, **trainer).rows
    torch.manual_seed(1)
    return made.solver.cost, made.mu.in_own_units().sample(50), rows


@pytest.mark.slow
@pytest.mark.parametrize("solver", entries("solver"))
def test_training_is_equivariant(solver, load):
    cfg, _ = load("eight_gaussians", f"solver={solver}")
    cost, x, rows = trained(cfg, moved(1.0, 0.0))
    unscaled = {"step", "seconds", "images", "cell_mass_error", "mass"}
    unscaled |= {"spread", "pair_marginal_error", "pair_chi_squared", "normalised_path_energy"}
    for a, b in MOVES:
        _, image, others = trained(cfg, moved(a, b))
        torch.testing.assert_close((image - b) / a, x.double(), rtol=0, atol=1e-5)
        for row, other in zip(rows, others, strict=True):
            for name in row.keys() - {"seconds"}:
                factor = 1.0 if name in unscaled else a**cost.degree
                assert other[name] == pytest.approx(factor * row[name], rel=1e-4, abs=1e-5 * factor)


def test_a_scale_for_each_column_knows_no_unit_of_any_column(load):
    cfg, _ = load("eight_gaussians", "solver=primal/exact_plan")
    a, b = torch.tensor([1e-4, 1e4]).double(), torch.tensor([3.0, -1e5]).double()
    _, x, rows = trained(cfg, moved(1.0, 0.0, "columns"))
    _, image, others = trained(cfg, moved(a, b, "columns"))
    torch.testing.assert_close((image - b) / a, x.double(), rtol=0, atol=1e-5)
    assert [row["value"] for row in others] == pytest.approx([row["value"] for row in rows], rel=1e-5)


@pytest.mark.slow
def test_the_record_is_equivariant(tmp_path, undrawn):
    small = ("generator.hidden=[8]", "features.hidden=[8]", "trainer=smoke", "trainer.batch_size=16", "metrics=none")
    small += ("certificate=standard", "+certificate.max_samples=2048", "certificate.width=null")
    judged = {}
    for a, b in [(1.0, 0.0), (1e4, 1e5), (1e-4, 1e5)]:
        path, folder = tmp_path / "table.npy", tmp_path / f"{a}"
        np.save(path, a * cloud(400).numpy() + b)
        torch.manual_seed(0)
        record_run(folder, experiment("solver=primal/vae", "data=points", f"data.path={path}", *small))
        judged[a] = json.loads((folder / "run.json").read_text())
    plain = judged.pop(1.0)
    for a, record in judged.items():
        for of, name, degree in [
            ("judgement", "w1", 1),
            ("judgement", "w2_squared", 2),
            ("judgement", "w1_floor", 1),
            ("objective", "value", 2),
            ("objective", "penalty", 2),
            ("encoder", "reconstruction", 2),
            ("encoder", "conditional_kl", 0),
        ]:
            assert record[of][name] == pytest.approx(a**degree * plain[of][name], rel=1e-3), name
        for side in ("lower", "upper"):
            assert record["certificate"][side] == pytest.approx(a * plain["certificate"][side], rel=0.01)
        nats = 2 * np.log(a)  # Σ_l log a_l
        assert record["encoder"]["negative_elbo"] == pytest.approx(plain["encoder"]["negative_elbo"] + nats, abs=0.01)
        assert record["units"]["scale"] == pytest.approx([a * plain["units"]["scale"][0]])


def test_a_file_keeps_the_digits_that_an_offset_would_cost(tmp_path):
    path = tmp_path / "far.csv"
    np.savetxt(path, cloud().numpy() + 1e7, delimiter=",", fmt="%.17g")
    far = points(path, standardize="shared")
    near = standardised(Dataset.split(cloud()), "shared")
    torch.testing.assert_close(far.train.atoms, near.train.atoms, rtol=0, atol=1e-6)
    assert far.train.atoms.dtype == torch.float32 and far.own.train.atoms.dtype == torch.float64
    with pytest.raises(ValueError, match=r"equal in torch.float32; center or rescale them, or take standardize="):
        points(path)
    np.savetxt(path, cloud().numpy() + 1e3, delimiter=",", fmt="%.17g")
    assert points(path).train.atoms.dtype == torch.float32 and points(path).units is None


def test_a_mapped_file_is_standardised_as_it_is_drawn(tmp_path):
    rows = (100 * cloud() + 1e3).float()
    np.save(tmp_path / "large.npy", rows.numpy())
    data = points(tmp_path / "large.npy", mmap_bytes=1, standardize="shared")
    assert isinstance(data.train, Standardised) and isinstance(data.own.train, Empirical)
    u = data.train.sample(50)
    nearest = torch.cdist(data.units(u).double(), data.own.train.atoms.double()).amin(dim=1)
    assert u.dtype == torch.float32 and float(nearest.max()) < 1e-2


@pytest.mark.parametrize("size", [50, None])
def test_standard_coordinates_have_mean_0_and_variance_1(size):
    data = toy(eight_gaussians(radius=500.0, std=3.0), size=size, standardize="shared")
    u = data.train.sample(4000)
    assert float(u.mean(dim=0).abs().max()) < 0.1 and float(u.var(dim=0).mean()) == pytest.approx(1, abs=0.1)
    torch.testing.assert_close(data.units(data.test.atoms), data.own.test.atoms, rtol=1e-4, atol=1e-3)
    assert data.train_labels is data.own.train_labels


def test_a_constant_column_keeps_its_scale_and_its_value():
    nu = Empirical(torch.tensor([[1.0, 7.0], [3.0, 7.0]]))
    assert Units.columns(nu).scale.tolist() == [1.0, 1.0]
    mu = Pushforward(nn.Linear(2, 2), standard_gaussian(2), Units.columns(nu))
    nn.init.zeros_(mu.map.weight), nn.init.zeros_(mu.map.bias)
    assert mu.in_own_units().sample(1).tolist() == [[2.0, 7.0]]


def test_columns_of_unequal_scales_are_named_and_equal_ones_are_not(tmp_path):
    y = cloud() @ torch.diag(torch.tensor([1.0, 1e3]).double())
    np.savetxt(tmp_path / "named.csv", y.numpy(), delimiter=",", header="height,mass", comments="")
    with pytest.warns(UserWarning, match=r"deviations: mass \(.*\), height \(.*\); data.standardize=columns"):
        points(tmp_path / "named.csv", standardize="shared")
    with pytest.warns(UserWarning, match=r"deviations: column 2 \(.*\), column 1 "):
        standardised(Dataset.split(y), "shared")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        standardised(Dataset.split(y), "columns")
        standardised(Dataset.split(torch.cat([cloud(), torch.ones(120, 1).double()], dim=1)), "shared")


def test_another_word_than_these_is_refused():
    with pytest.raises(ValueError, match=r"standardize must be one of 'shared', 'columns', 'none', got 'both'"):
        toy(eight_gaussians(), standardize="both")


def test_fit_warns_of_data_far_from_the_scale_of_networks():
    solver = PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan))
    mu = Pushforward(MLP(2, 2, hidden=(4,)), standard_gaussian(2))
    for a, b in [(1.0, 1e3), (1e3, 0.0), (1e-3, 0.0)]:
        nu = Empirical((a * cloud() + b).float())
        with pytest.warns(UserWarning, match=r"units = ot_gen.Units.shared\(nu\)"):
            fit(mu, nu, solver, steps=0, batch_size=8)
        fit(mu, Units.shared(nu).standardised(nu), solver, steps=0, batch_size=8)
    potential = DualSolver(SquaredEuclidean(), DiscretePotential(), inner_steps=1)
    fit(nu, nu, potential, steps=0, batch_size=8)  # no network, and a table knows its scale


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("cost=inner_product", r"InnerProduct\(\) has no degree .*standardize=none"),
        ("noise=bernoulli", r"decoder with Bernoulli noise .*standardize=none"),
    ],
)
def test_a_cost_or_a_decoder_of_own_units_alone_is_refused_and_trains_in_them(override, why):
    given = ("solver=primal/vae", override, "+generator.output._target_=torch.nn.Sigmoid")
    with pytest.raises(ValueError, match=why):
        cli.parts(*given)
    assert cli.parts(*given, "data.standardize=none").data.units is None


def test_the_geometry_of_a_decoder_is_in_the_data_s_own_units():
    decoder = GaussianDecoder(nn.Linear(2, 3), std=nn.Sequential(nn.Linear(2, 3), nn.Softplus()))
    units, z = Units(torch.tensor([5.0, 0.0, -1e3]), torch.tensor(10.0)), torch.randn(4, 2)
    (geometry, metric), (placed, same) = geometry_of(decoder), geometry_of(Placed(decoder, units))
    assert metric is same
    torch.testing.assert_close(placed.metric(z), 100 * geometry.metric(z))
    law = Placed(decoder, units)(z)
    torch.testing.assert_close(law.mean, units(decoder.mean(z)))
    y = law.sample()
    torch.testing.assert_close(law.log_prob(y), decoder(z).log_prob(units.standard(y)) - units.log_volume())


@pytest.mark.slow
def test_geometry_and_evaluate_are_in_the_data_s_own_units(clean_process, command, undrawn):
    again, lengths, judged = ("metrics=none", "evaluation.samples=40"), {}, {}
    small = ("trainer=smoke", "trainer.batch_size=16", "generator.hidden=[8]", "features.hidden=[8]", *again)
    small += ("+generator.activation._target_=hydra.utils.get_class", "+generator.activation.path=torch.nn.Tanh")
    for a, b in [(1.0, 0.0), (1e4, 1e5)]:
        np.savetxt("table.csv", a * cloud().numpy() + b, delimiter=",", fmt="%.17g")
        run = f"hydra.run.dir={a}"
        assert command("solver=primal/vae", "data=points", "data.path=table.csv", *small, run)[0] == 0
        assert command("geometry", "--run", f"{a}", "pairs=2", "segments=4", "start=line")[0] == 0
        assert command("evaluate", "--run", f"{a}", *again, "--output", f"{a}e")[0] == 0
        lengths[a] = json.loads(Path(f"{a}/geometry.json").read_text())["length"]["median"]
        judged[a], other = (read_record(Path(folder)) for folder in (f"{a}", f"{a}e"))
        for part in ("judgement", "encoder", "units"):
            assert getattr(judged[a], part) == getattr(other, part)
    assert lengths[1e4] == pytest.approx(1e4 * lengths[1.0], rel=1e-3)
    assert judged[1e4].judgement.w1 == pytest.approx(1e4 * judged[1.0].judgement.w1, rel=1e-3)
    # The model keeps the units that it was trained in, whatever becomes of the file.
    np.savetxt("table.csv", 1e4 * cloud().numpy() + 2e5, delimiter=",", fmt="%.17g")
    assert command("evaluate", "--run", "10000.0", *again, "--output", "moved")[0] == 0
    assert read_record(Path("moved")).judgement.w1 == pytest.approx(1e5 * 2**0.5, rel=0.1)


@pytest.mark.slow
def test_a_run_of_standardised_data_resumes_bit_for_bit(clean_process, command, undrawn):
    np.save("table.npy", 1e4 * cloud().numpy() + 1e5)
    small = ("solver=primal/vae", "data=points", "data.path=table.npy", "trainer.batch_size=16", "metrics=none")
    small += ("trainer.schedule=null", "evaluation.samples=40", "generator.hidden=[8]", "features.hidden=[8]")
    for folder, steps, *resume in [("whole", 6), ("part", 3), ("rest", 6, "resume=part")]:
        assert command(*small, f"trainer.steps={steps}", f"hydra.run.dir={folder}", *resume)[0] == 0
    assert read_record(Path("rest")).judgement == read_record(Path("whole")).judgement
    values = [[row["value"] for row in read_metrics(Path(folder))] for folder in ("rest", "whole")]
    assert values[0] == values[1]
    own = ("trainer.steps=6", "hydra.run.dir=other", "resume=part", "data.standardize=none")
    with pytest.warns(UserWarning, match="data.standardize=shared"):
        code, _, line = command(*small, *own)
    assert code == 2 and "another composition" in line
