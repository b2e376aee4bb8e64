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


def test_the_entries_that_the_readme_names_exist():
    """All of them stand in the site's tables, which are made from the entries: tests/test_site_sources.py."""
    for group, entry in re.findall(r"\b(solver|data|certificate)=((?:primal/|dual/)?\w+)", README):
        assert (ROOT / "conf" / group / f"{entry}.yaml").is_file(), f"{group}={entry}"


def test_the_files_that_the_readme_links_exist():
    linked = re.findall(r"\]\(([^)#:]+)\)", README)
    assert {"docs/tutorial.md", "docs/methods.md", "CONTRIBUTING.md"} <= {*linked}
    for name in linked:
        assert (ROOT / name).exists(), name


def test_the_readme_is_read_in_a_screen_and_a_half():
    assert len(README.splitlines()) <= 75


def test_every_target_that_the_readme_names_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
