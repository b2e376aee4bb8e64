"""Every test and doctest starts from the same random state and leaves the caller's as it was."""

import functools
import logging
import shutil
import sys
from pathlib import Path

import pytest
import torch

ATOMS = 64  # of a data set that is cut

torch.set_num_threads(1)  # the problems are tiny; threads would only contend with other processes
torch.set_warn_always(True)  # a warning must not depend on which test comes first


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a GPU, and torch sees none here")


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)  # torch.manual_seed formats the stack for each kind of device
        yield


@pytest.fixture
def float64():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture
def undrawn(monkeypatch):
    """Runs leave no pictures, which take most of the time of a short one; tests of the record draw them."""
    monkeypatch.setattr("ot_gen.runs.run.draw", lambda *_: None)


@pytest.fixture
def command(monkeypatch, capsys):
    """ot-gen in this process: arguments -> (exit code, stdout, stderr)."""
    from ot_gen import cli

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["ot-gen", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def clean_process(monkeypatch, tmp_path):
    """Runs write below tmp_path, and what hydra leaves in a process (handlers, threads, variables) is put back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "")  # so that its absence is restored
    monkeypatch.delenv("HYDRA_FULL_ERROR")
    root = logging.getLogger()
    handlers, level, threads = root.handlers[:], root.level, torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def load(tmp_path_factory):
    """(data, *overrides) -> (configuration completed as ot-gen does, data cut to a few atoms), loaded once each."""
    from entries import composed, small_files

    from ot_gen import Empirical, cli
    from ot_gen.data import Dataset

    needs = small_files(tmp_path_factory.mktemp("data"))

    @functools.cache
    def loaded(data):
        standardised = cli.build(composed(f"data={data}", *needs.get(data, ())).data)
        whole = standardised.own
        cut = Empirical(whole.train.atoms[:ATOMS]) if isinstance(whole.train, Empirical) else whole.train
        few = Dataset(cut, Empirical(whole.test.atoms[:ATOMS]), whole.shape)
        return few if standardised.units is None else few.standardised(standardised.units)

    @functools.cache
    def completed(data, *overrides):
        found = loaded(data)
        return cli.completed(composed(f"data={data}", *needs.get(data, ()), *overrides), found), found

    return completed


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Where the runs that some test asked for are."""
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def run(command, trained, request):
    """A tiny finished run: its name in the test file's RUNS -> its folder, below the working folder."""

    def train(name):
        if not (trained / name).exists():
            code, _, err = command(*request.module.RUNS[name], *request.module.SMOKE, f"hydra.run.dir={trained / name}")
            assert code == 0, err
        return Path(shutil.copytree(trained / name, name, dirs_exist_ok=True))

    return train
