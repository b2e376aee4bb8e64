"""What the pages under docs/ show runs as printed, and says what is there."""

import re
from pathlib import Path

import pytest
import torch

import ot_gen

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.glob("*.md"))
DONE = ("tutorial",)  # with its commands, from an empty folder: tests/test_wheel.py
SOLVERS = DOCS.parent / "conf/solver"
DUAL = (DOCS / "dual.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.slow if page.stem in ("certificate", "geometry", "dual") else ())
        for page in PAGES
        if page.stem not in DONE
    ],
    ids=lambda page: page.stem,
)
def test_the_blocks_of_a_page_run_in_sequence(page):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    names: dict[str, object] = {}
    with torch.random.fork_rng():
        for number, block in enumerate(blocks):
            exec(compile(block, f"{page.name}, block {number}", "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_names_only_files_that_exist(page):
    text = page.read_text(encoding="utf-8")
    linked = [DOCS / name for name in re.findall(r"\]\(([^)#:]+)\)", text)]
    named = [DOCS.parent / name for name in re.findall(r"\b(?:docs|benchmarks|ot_gen)/[\w/]+\.py", text)]
    assert linked and named
    for path in linked + named:
        assert path.is_file(), path


def test_the_bounds_of_the_critics_are_those_of_the_table():
    rows = re.findall(r"^\| `(\w+)\(.*\)` \| .* \| (lower|none)\b", DUAL, re.MULTILINE)
    mechanisms = {cls.__name__: cls for cls in ot_gen.networks.lipschitz.Lipschitz.__subclasses__()}
    assert {name for name, _ in rows} == set(mechanisms)
    for name, bound in rows:
        critic = ot_gen.Critic(ot_gen.MLP(2, 1), mechanisms[name]())
        assert critic.bound == (None if bound == "none" else "lower")


@pytest.mark.parametrize("page", [*PAGES, *sorted(DOCS.glob("*/*.md"))], ids=lambda page: page.stem)
def test_the_entries_that_a_page_names_exist(page):
    """A new entry needs no line here: the tables of methods and of data are made from the entries."""
    text = page.read_text(encoding="utf-8")
    own = set(re.findall(r"^# my_conf/(?:solver/)?([\w/]+)\.yaml$", text, re.MULTILINE))
    named = set(re.findall(r"\b((?:primal|dual)/\w+)\b", text)) - own
    entries = {path.relative_to(SOLVERS).with_suffix("").as_posix() for path in SOLVERS.rglob("*.yaml")}
    assert named <= entries


def test_the_divergences_of_the_primal_page_say_whether_they_are_unbiased():
    text = (DOCS / "primal.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*`) \| .* \| (yes|no)(?: .*)? \|$", text.split("## Divergences")[1], re.MULTILINE)
    told = {name: word == "yes" for names, word in rows for name in re.findall(r"`(\w+)`", names)}
    told = {name: unbiased for name, unbiased in told.items() if hasattr(getattr(ot_gen, name), "unbiased")}
    assert {"KL", "MMD", "SlicedWasserstein", "DebiasedTransport"} <= set(told)
    assert told == {name: getattr(ot_gen, name).unbiased for name in told}
