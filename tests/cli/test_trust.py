"""A run's folder that came from a stranger is data: what it names is built only if it is a part of ot_gen."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from entries import entries
from omegaconf import OmegaConf
from reliability.strangers import FOREIGN, PLACES

from ot_gen.cli import conf_dir
from ot_gen.cli.trust import NOT_BUILT, check_trusted, is_part
from ot_gen.report.compare import write_comparison
from ot_gen.runs.formats import reworded

RECORDS = Path(__file__).parents[1] / "records"
pytestmark = pytest.mark.usefixtures("clean_process", "undrawn")


@pytest.fixture
def folder(tmp_path):
    """A run's folder in which a node of the configuration is another: (place, node) -> folder."""

    def make(place, node):
        run = shutil.copytree(RECORDS / "wgan_sn", tmp_path / "run")
        config = OmegaConf.load(run / "config.yaml")
        OmegaConf.update(config, place, node, merge=False)
        (run / "config.yaml").write_text(OmegaConf.to_yaml(config))
        return run

    return make


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "place"),
    [(name, "solver.cost") for name in FOREIGN]
    + [("a command", place) for place in PLACES]
    + [(f"a loader {how}", "generator.activation") for how in ("by name", "in part")],
)
@pytest.mark.parametrize("verb", ["evaluate", "geometry", "sample --output samples.npy"])
def test_nothing_that_a_stranger_wrote_is_run(name, verb, place, folder, command):
    run = folder(place, FOREIGN[name])
    before = sorted(Path().rglob("*"))
    code, _, err = command(*verb.split(), "--run", run)
    assert code == 2 and err.count("\n") == 1, err
    assert str(run) in err and "--trust" in err
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    "data", ["../../../evil", "mnist,hydra.searchpath=[x]", "/tmp/evil", "mnist@solver", "", "a b"]
)
def test_the_data_of_a_record_are_a_name_and_no_override(data, folder, command):
    run = folder("seed", 0)
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(facts | {"data": data}))
    code, _, err = command("evaluate", "--run", run)
    assert code == 2 and err.count("\n") == 1 and repr(data) in err


def test_the_owner_of_a_folder_may_trust_it(folder, command, monkeypatch, tmp_path):
    (tmp_path / "mine.py").write_text("from ot_gen import SquaredEuclidean\nclass Mine(SquaredEuclidean): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    run = folder("solver.cost", {"_target_": "mine.Mine"})
    code, _, err = command("evaluate", "--run", run, "metrics=none", "evaluation.samples=40")
    assert code == 2 and "mine.Mine" in err and "mine" not in sys.modules
    assert command("evaluate", "--run", run, "--trust", "metrics=none", "evaluation.samples=40")[0] == 0
    assert "mine" in sys.modules


@pytest.mark.parametrize("name", ["mnist_full", "cifar10", "image_folder", "images", "from_torch", "points"])
@pytest.mark.parametrize("kind", ["object", "class", "method"])
def test_what_reads_or_asks_the_network_is_handed_to_nobody(name, kind):
    """By its name it could be called by any part, with any arguments: only the data themselves are loaded by it."""
    for target in (f"ot_gen.data.{name}", f"ot_gen.{name}"):
        by_name = {"_target_": f"hydra.utils.get_{kind}", "path": target}
        within = {"_target_": "functools.partial", "_args_": [by_name], "folder": "ran"}
        for place, node in [("generator", by_name), ("data", by_name), ("data", within), ("noise", [within])]:
            with pytest.raises(ValueError, match="--trust"):
                check_trusted({place: {"_target_": "ot_gen.MLP", "activation": node}}, Path())
            with pytest.raises(ValueError, match="--trust"):
                check_trusted({place: node}, Path())
        with pytest.raises(ValueError, match="another place than its data"):
            check_trusted({"reference": {"_target_": target, "path": "x"}}, Path())
    check_trusted({"data": {"_target_": "ot_gen.data.points", "path": "x"}}, Path())


@pytest.mark.parametrize("name", ["mnist_full", "fashion_mnist", "cifar10"])
def test_a_record_downloads_into_the_cache_alone(name, tmp_path):
    loader = {"_target_": f"ot_gen.data.{name}"}
    check_trusted({"data": loader | {"folder": None}}, Path())
    for more in ({"folder": str(tmp_path)}, {"mirrors": ["http://127.0.0.1:9/"]}):
        with pytest.raises(ValueError, match="would download data into a folder of its choice"):
            check_trusted({"data": loader | more}, Path())


def test_a_record_builds_no_data_set_of_others():
    data = {"_target_": "ot_gen.data.from_torch", "dataset": {"_target_": "torchvision.datasets.SVHN", "root": "x"}}
    with pytest.raises(ValueError, match=r"names 'torchvision\.datasets\.SVHN', which is no part of ot_gen; --trust"):
        check_trusted({"data": data}, Path())


def test_a_class_that_is_handed_over_by_its_name_may_be_a_part():
    smooth = {"_target_": "hydra.utils.get_class", "path": "torch.nn.GELU"}
    check_trusted({"generator": {"_target_": "ot_gen.MLP", "activation": smooth}}, Path())


@pytest.mark.parametrize("name", [path.name for path in RECORDS.iterdir()])
def test_the_records_of_before_name_parts_alone(name):
    config = OmegaConf.to_container(OmegaConf.load(RECORDS / name / "config.yaml"))
    check_trusted(reworded(config), RECORDS / name)


@pytest.mark.parametrize("name", ["a command", "a file", "a writer of ours"])
def test_to_go_on_from_a_folder_and_to_show_it_build_nothing_of_it(name, folder, command):
    run = folder("solver.cost", FOREIGN[name])
    before = {path for path in Path().rglob("*") if "run" not in path.parts[:1]}
    code, _, err = command("trainer=smoke", "metrics=none", f"resume={run}", "hydra.run.dir=mine")
    assert code == 2 and "checkpoint" in err  # of another model
    write_comparison(run.parent, Path("page"))
    assert {path.parts[0] for path in Path().rglob("*")} - {path.parts[0] for path in before} <= {"mine", "page", "run"}


def targets(node):
    if isinstance(node, dict):
        yield from [node["_target_"]] if "_target_" in node else []
        node = list(node.values())
    for item in node if isinstance(node, list) else ():
        yield from targets(item)


def test_what_every_entry_names_is_a_part():
    """Else its runs could not be judged without --trust."""
    built = [path for path in conf_dir().rglob("*.yaml") if path.relative_to(conf_dir()).parts[0] not in NOT_BUILT]
    named = {target for path in built for target in targets(OmegaConf.to_container(OmegaConf.load(path)))}
    assert len(named) > 50 and entries("solver")
    assert {target for target in named if not is_part(target)} <= {"hydra.utils.get_object", "???"}


@pytest.mark.parametrize(
    "target",
    [
        *(
            "ot_gen.save_prior",
            "ot_gen.load_prior",
            "ot_gen.launch",
            "ot_gen.recipe",
            "ot_gen.load_run",
            "ot_gen.semidiscrete",
        ),
        *("ot_gen.data.samples", "ot_gen.cli.main", "ot_gen.networks.dense.math", "ot_gen.MLP.load_state_dict"),
        *("ot_gen.networks.dense.nn.Linear", "ot_gen.execution.Processes", "ot_gen.MLP.__init__", "ot_gen", "ot_gen."),
        *(
            "torch.nn.init",
            "torch.nn.Module.to",
            "torch.hub.load",
            "torch.optim.lr_scheduler",
            "torch.no.__class__",
            "functools.reduce",
        ),
        *("", ".", "os", "numpy.load", "joblib.load", "shutil.copy", None, 3),
    ],
)
def test_what_does_more_than_to_build_is_no_part(target):
    assert not is_part(target)


@pytest.mark.parametrize("name", ["StepLR", "OneCycleLR", "SequentialLR"])
def test_a_scheduler_of_torch_is_a_part(name):
    assert is_part(f"torch.optim.lr_scheduler.{name}")
