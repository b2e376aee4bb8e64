"""`ot-gen explore`: the page about a finished run."""

import json
import re
import shutil
from pathlib import Path

import pytest

RECORDS = Path(__file__).parents[1] / "records"
pytestmark = pytest.mark.usefixtures("clean_process")


def told(path):
    return json.loads(re.search(r'id="held">(.*?)</script>', path.read_text(encoding="utf-8"), re.DOTALL).group(1))


@pytest.mark.parametrize(("name", "has_table"), [("swae", False), ("semidiscrete", True)])
def test_a_run_is_explored_in_its_folder_or_where_it_is_told(name, has_table, command, tmp_path):
    folder = Path(shutil.copytree(RECORDS / name, tmp_path / name))
    before = {path.name for path in folder.iterdir()}
    assert command("explore", "--run", folder, "--grid", 5) == (0, f"{folder}/explorer.html\n", "")
    assert {path.name for path in folder.iterdir()} == before | {"explorer.html"}
    held = told(folder / "explorer.html")
    assert (held["atoms"] is not None) == has_table and not held["isImages"]
    assert len(held["views"]) == (1 if has_table else 4)  # of two latent dimensions, and of three
    assert held["codes"].startswith("draws" if has_table else "codes", 5 if has_table else 0)
    assert command("explore", "--run", folder, "--grid", 5, "--output", "new/show.html")[0] == 0
    assert Path("new/show.html").read_bytes() == (folder / "explorer.html").read_bytes()


BAD = {
    "": ("--run", "--help"),
    "--run nowhere": ("run.json", "give its folder"),
    "--run swae --output show.png": ("show.png", "ends with .html"),
    "--run swae --grid 4": ("grid", "[5, 41]"),
    "--run swae --plane 1": ("'1'", "--plane 1,3"),
    "--run swae --plane 1,4": ("different coordinates from 1 to 3", "1,4"),
    "--run swae --seed x": ("--seed", "--help"),
}


def test_bad_input_gets_one_line_that_says_what(command, tmp_path):
    shutil.copytree(RECORDS / "swae", tmp_path / "swae")
    for arguments, words in BAD.items():
        code, out, err = command("explore", *arguments.split())
        assert (code, out) == (2, ""), arguments
        assert err.startswith("ot-gen: error: ") and err.count("\n") == 1, err
        assert [word for word in words if word not in err] == [], err
    assert not list(tmp_path.rglob("*.html"))
