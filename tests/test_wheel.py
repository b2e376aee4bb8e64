"""The wheel holds all that the commands need, and works from an empty folder."""

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def python(*arguments, cwd, **environment):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    for tool in ("build", "hatchling"):
        assert importlib.util.find_spec(tool), f"{tool} is missing: pip install -e '.[dev]'"
    folder = tmp_path_factory.mktemp("wheel")
    python("-m", "build", "--wheel", "--no-isolation", "--outdir", folder, PROJECT, cwd=folder)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder that holds nothing but the wheel's contents."""
    folder = tmp_path_factory.mktemp("site")
    options = ("--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check", "--target", folder)
    python("-m", "pip", "install", *options, wheel, cwd=folder)
    return folder


@pytest.fixture
def from_wheel(installed, tmp_path):
    """Python in an empty folder, where the wheel comes before the checkout and the folder itself is not searched."""

    def call(*arguments):
        return python("-P", *arguments, cwd=tmp_path, PYTHONPATH=str(installed))

    return call


def test_the_wheel_holds_code_entries_and_data_and_no_tests(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    conf = {f"ot_gen/{path.relative_to(PROJECT).as_posix()}" for path in (PROJECT / "conf").rglob("*.yaml")}
    assert "ot_gen/conf/config.yaml" in conf
    assert conf - names == set()
    code = {path.relative_to(PROJECT).as_posix() for path in (PROJECT / "ot_gen").rglob("*.py")}
    assert code - names == set()
    assert {"ot_gen/py.typed", "ot_gen/data/mnist10k.npz", "ot_gen/data/mnist10k.LICENSE.md"} <= names
    assert "ot_gen/evaluation/digit_classifier.safetensors" in names
    templates = {
        path.relative_to(PROJECT).as_posix()
        for path in (PROJECT / "ot_gen/report/templates").rglob("*")
        if path.is_file()
    }
    assert templates and templates <= names
    licences = {name.split("/licenses/")[1] for name in names if "/licenses/" in name}
    assert {"LICENSE", "ot_gen/data/mnist10k.LICENSE.md"} <= licences
    assert {name.split("/")[0].split("-")[0] for name in names} == {"ot_gen"}
    assert not [name for name in names if "test" in name or name.endswith((".pyc", ".tmp"))]


def test_the_wheel_brings_both_commands(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (entry_points,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        text = archive.read(entry_points).decode()
    assert "ot-gen = ot_gen.cli:main" in text
    assert "ot-gen-compare = ot_gen.report.compare:main" in text


def test_the_installed_wheel_runs_and_compares_from_an_empty_folder(from_wheel, installed, tmp_path):
    where = from_wheel("-c", "import ot_gen, ot_gen.cli as cli; print(ot_gen.__file__, cli.conf_dir(), sep='\\n')")
    assert [Path(line).relative_to(installed).as_posix() for line in where.split()] == [
        "ot_gen/__init__.py",
        "ot_gen/conf",
    ]
    from_wheel("-m", "ot_gen", "trainer=smoke", "evaluation.samples=100")
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "run.json").is_file()
    from_wheel(installed / "bin" / "ot-gen-compare", "runs")
    page = (tmp_path / "runs" / "comparison.html").read_text(encoding="utf-8")
    assert "primal/vae" in page
    assert (tmp_path / "runs" / "comparison.csv").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}


def test_the_installed_wheel_has_the_embedded_digits(from_wheel):
    shape = from_wheel("-c", "from ot_gen.data import mnist; data = mnist(); print(len(data.train), len(data.test))")
    assert shape.split() == ["8000", "2000"]


def test_the_how_to_pages_do_what_they_show_from_an_empty_folder(from_wheel):
    """Each in a folder of its own, all in one process: most of a short run's time is the import."""
    pages = [*(PROJECT / "docs/howto").glob("*.md"), PROJECT / "docs/tutorial.md"]
    printed = from_wheel(PROJECT / "tests/pages.py", *pages).splitlines()
    assert len(pages) > 10 and {page.stem for page in pages} <= {*printed}
