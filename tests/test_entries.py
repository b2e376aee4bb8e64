"""Every entry of every group of conf/ is composed and built as a run builds it, and says nothing twice."""

import importlib
import importlib.util
import inspect
import re
from collections import Counter
from itertools import combinations
from operator import attrgetter
from pathlib import Path

import pytest
import torch
from entries import GROUPS, composed, entries
from omegaconf import OmegaConf

from ot_gen import Empirical, cli
from ot_gen.cli import build, conf_dir

ROOT = Path(__file__).parent.parent
TRAINING = ("cost", "data", "encoder", "generator", "noise", "precision", "reference", "solver", "trainer", "velocity")
TRAINING += ("condition",)
AROUND = ("certificate", "ex_post", "metrics", "tracker")  # what a run builds beside the parts of its training
CHOICES = ("experiment", "sweep")  # of entries of the other groups
ELSEWHERE = ("base", "dense", "hydra")  # parts of entries, and entries for Hydra's plugins: each has its own test
ENTRIES = [(group, entry) for group in GROUPS if group not in ELSEWHERE for entry in entries(group)]
FILES = sorted(conf_dir().rglob("*.yaml"))
SETTINGS = {  # what an entry asks for beside itself
    ("cost", "likelihood"): ("noise=fixed",),
    ("cost", "features"): ("data=digits",),
    ("cost", "run_encoder"): ("data.standardize=none", f"cost.run={ROOT / 'tests/records/swae'}"),
    ("cost", "bernoulli"): ("data=digits",),
    ("cost", "inner_product"): ("data.standardize=none",),
    ("generator", "conv"): ("data=digits",),
    ("generator", "resnet"): ("data=digits",),
    ("velocity", "unet"): ("data=digits", "solver=primal/flow_independent"),
    ("metrics", "digits"): ("data=mnist",),
    ("metrics", "features"): ("data=mnist", "metrics.views.features.map._target_=ot_gen.evaluation.digit_features"),
    ("noise", "bernoulli"): ("data=digits",),
    ("encoder", "sphere"): ("reference=sphere",),
}
LIBRARIES = {"tensorboard": "tensorboardX"}  # of a tracker, where the names differ
MOST_SHARED = 10
MOST_OF_A_SOLVER = 11  # lines, those of its bases shared out


def given(group, entry):
    return f"{group}={entry}", *SETTINGS.get((group, entry), ())


def lines(path):
    """What a file says: neither comments nor blank lines."""
    stripped = (re.sub(r"(^|\s)#.*", "", line).strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in stripped if line]


def bases(path):
    """The files of conf/base that a file begins with."""
    names = re.findall(r"^ +- (?:/base/)?(\w+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {found for name in names if (found := conf_dir() / "base" / f"{name}.yaml").is_file()}


# --- each is built ----------------------------------------------------------------------------------------------------


def test_every_group_has_its_place():
    """A new group is named above, where it is built; its entries are then found by themselves."""
    assert set(GROUPS) == {*TRAINING, *AROUND, *CHOICES, *ELSEWHERE}


@pytest.mark.slow
@pytest.mark.parametrize(("group", "entry"), ENTRIES)
def test_every_entry_is_built_as_a_run_builds_it_and_repeats_no_default(group, entry, load):
    cfg, data = load(entry) if group == "data" else (composed(*given(group, entry)), None)
    assert stated_in_vain(cfg) == []
    if group == "tracker" and entry != "none" and importlib.util.find_spec(LIBRARIES.get(entry, entry)) is None:
        pytest.skip(f"{entry} is not installed")
    made = cli.assembled(cfg, data)
    assert made.mu.sample(3).shape == (3, made.data.dim)
    assert made.solver.sense in (1, -1) and made.trainer["steps"] > 0
    around = {part: build(made.config.get(part)) for part in AROUND}
    assert group not in AROUND or (around[group] is None) == (entry == "none" and group != "metrics")


@pytest.mark.slow
@pytest.mark.parametrize("entry", sorted({*entries("certificate")} - {"none"}))
def test_every_certificate_holds_a_distance(entry):
    certified = build(composed(f"certificate={entry}").certificate)
    found = certified(torch.randn(400, 2) + 1.0, Empirical(torch.randn(64, 2)), max_samples=2**13)
    assert found.interval[0] < found.lower < found.upper < found.interval[1]  # far apart, so that the errors are small


@pytest.mark.parametrize("entry", entries("metrics"))
def test_every_entry_of_metrics_measures_what_it_names(entry, load):
    data, *others = SETTINGS.get(("metrics", entry), ("data=eight_gaussians",))
    cfg, data = load(data.removeprefix("data="), f"metrics={entry}", *others)
    metrics = build(cfg.metrics)
    mu, data = cli.assembled(cfg, data).mu.in_own_units(), data.own
    found = metrics(mu, data.train, data.test, n=metrics.least)
    assert {name for view in metrics.views.values() for name in view.metrics} <= set(found.values)


@pytest.mark.slow
@pytest.mark.parametrize("entry", entries("sweep"))
def test_every_value_of_a_sweep_composes(entry):
    composed(f"sweep={entry}")
    for name, values in OmegaConf.load(conf_dir() / "sweep" / f"{entry}.yaml").hydra.sweeper.params.items():
        for value in str(values).split(","):
            composed(f"{name}={value}")


def test_every_base_is_a_part_of_an_entry():
    used = {base.stem for path in FILES for base in bases(path)}
    assert used == set(entries("base"))


@pytest.mark.parametrize("entry", entries("hydra"))
def test_every_entry_for_a_plugin_of_hydra_has_its_test(entry):
    text = (ROOT / "tests/cli/test_sweeps.py").read_text(encoding="utf-8")
    assert f"hydra/{entry.replace('/', '=')}" in text


# --- and says nothing twice -------------------------------------------------------------------------------------------


def test_no_two_files_share_more_than_a_few_lines():
    """What entries have in common stands in one of them, or in a base."""
    said = {path: Counter(lines(path)) for path in FILES}
    shared = {(a.stem, b.stem): (said[a] & said[b]).total() for a, b in combinations(FILES, 2)}
    assert {pair: number for pair, number in shared.items() if number > MOST_SHARED} == {}


def test_solvers_and_their_bases_are_read_in_a_few_minutes():
    solvers = read = set((conf_dir() / "solver").rglob("*.yaml"))
    while more := {base for path in read for base in bases(path)} - read:
        read = read | more
    said = [line for path in read for line in path.read_text(encoding="utf-8").splitlines()]
    assert sum(not line.startswith("# Source:") for line in said) <= MOST_OF_A_SOLVER * len(solvers)


# --- nor what the signature says --------------------------------------------------------------------------------------

DOCUMENTS = ("README.md", "docs/*.md", "docs/howto/*.md", "conf/**/*.yaml")
PROGRAMS = ("benchmarks/*.py", "experiments/**/*.py", "ot_gen/**/*.py", "tests/**/*.py")
SETTING = re.compile(r"(?<![\w.+~])([a-z]\w*(?:\.\w+)+)=(?=[^\s=])")  # solver.inner_steps=2, and not +encoder.layers=4


def shown(patterns):
    """The settings that somebody is shown to change: these must be there to be changed."""
    paths = {path for pattern in patterns for path in ROOT.glob(pattern)} - {Path(__file__)}
    return {name for path in paths for name in SETTING.findall(path.read_text(encoding="utf-8"))}


def named(target):
    root, _, names = target.partition(".")
    return attrgetter(names)(importlib.import_module(root))


def repeated(node, path=""):
    """(setting, target) of each literal that equals the default of the constructor that it is handed to."""
    if isinstance(node, list):
        for i, item in enumerate(node):
            yield from repeated(item, f"{path}.{i}")
    if not isinstance(node, dict):
        return
    if "_target_" in node:
        for name, parameter in inspect.signature(named(node["_target_"])).parameters.items():
            default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
            if name in node and node[name] == default and isinstance(node[name], bool) == isinstance(default, bool):
                yield f"{path}.{name}".lstrip("."), node["_target_"]
    for name, item in node.items():
        yield from repeated(item, f"{path}.{name}")


def settings(node, path=""):
    """Every setting of a configuration, by its dotted name."""
    for name, item in node.items() if isinstance(node, dict) else ():
        yield f"{path}.{name}".lstrip(".")
        yield from settings(item, f"{path}.{name}")


def stated_in_vain(cfg):
    """What an entry states although it is the constructor's default, and nobody is shown to change it."""
    stated = repeated(OmegaConf.to_container(cfg))
    return [(setting, target) for setting, target in stated if setting not in SHOWN]


SHOWN = shown(DOCUMENTS + PROGRAMS)


def test_a_repeated_default_is_seen():
    assert list(repeated({"a": [{"_target_": "ot_gen.Orthogonal", "group": 2}]})) == [
        ("a.0.group", "ot_gen.Orthogonal")
    ]
    assert list(repeated({"_target_": "ot_gen.Orthogonal", "group": 4})) == []
    assert SETTING.findall("ot-gen solver.inner_steps=2 +encoder.layers=4 x.y == 1") == ["solver.inner_steps"]


@pytest.mark.slow
def test_what_the_pages_show_to_be_changed_is_there_without_a_plus():
    there = {name for pair in ENTRIES for name in settings(OmegaConf.to_container(composed(*given(*pair))))}
    assert {name for name in shown(DOCUMENTS) if not name.startswith("hydra.")} - there == set()
