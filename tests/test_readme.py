"""What the README shows runs as printed, and says what is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_python_example_runs_as_printed_and_reaches_the_figure(capsys):
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    exec(compile(code, "README.md", "exec"), {})
    model, floor = (float(line.split()[-1]) for line in capsys.readouterr().out.splitlines())
    claimed = re.search(r"It prints ([\d.]+), next to ([\d.]+)", README)
    claimed_model, claimed_floor = float(claimed.group(1)), float(claimed.group(2))
    assert floor == pytest.approx(claimed_floor, abs=0.001)
    assert model == pytest.approx(claimed_model, rel=0.25)  # other machines round differently on the way


def test_the_table_of_methods_is_the_solver_group():
    named = set(re.findall(r"`((?:primal|dual)/\w+)`", README))
    entries = {str(p.relative_to(ROOT / "conf/solver").with_suffix("")) for p in (ROOT / "conf/solver").rglob("*.yaml")}
    assert named == entries


def test_every_target_that_the_readme_names_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_data_that_the_readme_names_are_the_data_group():
    entries = {p.stem for p in (ROOT / "conf/data").glob("*.yaml")}
    section = README.split("## Data")[1]
    for name in entries:
        assert f"`{name}`" in section or f"data={name}" in section, name
