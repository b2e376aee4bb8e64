"""What a release needs says the same everywhere: versions, requirements, authors, and the forms of issues."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import ot_gen

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RECIPE = yaml.safe_load((ROOT / "recipe/meta.yaml").read_text(encoding="utf-8"))
FORMS = sorted(path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")
CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base"}  # names that differ there


def test_the_recipe_of_conda_needs_what_the_wheel_needs():
    asked = {"python": PROJECT["requires-python"]}
    for requirement in PROJECT["dependencies"]:
        name, bounds = re.fullmatch(r"([\w-]+)(.*)", requirement).groups()
        asked[CONDA.get(name, name.lower())] = bounds
    assert dict(requirement.split(" ", 1) for requirement in RECIPE["requirements"]["run"]) == asked
    assert dict(command.split(" = ") for command in RECIPE["build"]["entry_points"]) == PROJECT["scripts"]


def test_the_pages_on_releases_and_citing_name_what_is_there():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    page = (ROOT / "docs/project/citing.md").read_text(encoding="utf-8")
    assert f"{{{ot_gen.__version__}}}" in page and cited["version"] == ot_gen.__version__
    assert [author["name"] for author in cited["authors"]] == [author["name"] for author in PROJECT["authors"]]
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    (command,) = re.findall(r"`make ([\w -]+)`", (ROOT / "docs/project/releasing.md").read_text(encoding="utf-8"))
    assert set(command.split()) <= {*targets}


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_a_form_asks_each_thing_once(form):
    content = yaml.safe_load(form.read_text(encoding="utf-8"))
    assert content["name"] and content["description"]
    names = [field["id"] for field in content["body"]]
    assert len(names) == len(set(names)) > 1
    assert all(field["type"] in ("input", "textarea") and field["attributes"]["label"] for field in content["body"])
