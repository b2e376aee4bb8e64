"""What the site is made of: tables out of the entries, pages out of the docstrings, notebooks out of scripts."""

import re
from pathlib import Path

import pytest
from building import api, indices, methods, notebooks

import ot_gen
from ot_gen.cli import conf_dir

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "docs/notebooks").glob("*.py"))
NEW = """\
# @package solver.coupling.plan
# A method that nobody has heard of. It is best.
# Source: Nobody, 2030, https://example.org/paper
defaults:
  - /base/plan
_target_: ot_gen.exact_plan
"""


def entries(group):
    return {p.relative_to(conf_dir() / group).with_suffix("").as_posix() for p in (conf_dir() / group).rglob("*.yaml")}


@pytest.mark.slow
def test_the_tables_of_methods_have_every_entry_and_a_new_one_by_itself(tmp_path):
    (tmp_path / "solver/primal").mkdir(parents=True)
    (tmp_path / "solver/primal/unheard_of.yaml").write_text(NEW, encoding="utf-8")
    rows = [line for line in methods.tables(tmp_path) if line.startswith("| `") and "`solver=`" not in line]
    assert {re.match(r"\| `([\w/]+)` ", row)[1] for row in rows} == {*entries("solver"), "primal/unheard_of"}
    (row,) = (row for row in rows if "unheard_of" in row)
    assert "A method that nobody has heard of. It is best. | `PlanCoupling(exact_plan)`" in row
    assert "[Nobody, 2030](https://example.org/paper)" in row
    vae = next(row for row in rows if "`primal/vae`" in row)
    assert "`EncoderCoupling(KL)`" in vae and "arxiv.org" in vae


def test_the_table_of_data_has_every_entry():
    named = {re.match(r"\| `(\w+)`", line)[1] for line in methods.data() if line.startswith("| `") and "=" not in line}
    assert named == entries("data")


def test_the_pages_of_the_api_have_every_public_name_and_its_example(tmp_path):
    api.write(tmp_path)
    text = "".join(path.read_text(encoding="utf-8") for path in tmp_path.glob("*.md"))
    shown = set(re.findall(r"^`{5}\{py:\w+\} ot_gen\.(\w+)(?:\(|$)", text, re.MULTILINE))
    aliases = {name for name in ot_gen.__all__ if getattr(getattr(ot_gen, name), "__name__", name) != name}
    modules = {"data", "evaluation", "geometry"}
    assert shown == {*ot_gen.__all__} - modules - aliases
    assert {name for name in shown if "Example" not in (getattr(ot_gen, name).__doc__ or "")} == set()


def test_a_docstring_becomes_markdown_that_shows_what_it_says():
    text = """A cost of x_i and y_j, * P_ij.

        c(x, y) = ‖x − y‖²

    Args:
        x, y: points, (n, d),
            of one dtype.

    Prose goes on: with a colon.

    Source: Somebody, 2020, https://example.org/a_b

    Example:
        >>> 1 + 1
        2
    """
    lines = list(api.markdown(text))
    assert "A cost of x\\_i and y\\_j, \\* P\\_ij." in lines
    assert lines[lines.index("```text") + 1] == "    c(x, y) = ‖x − y‖²"[4:]
    assert "- **x, y**: points, (n, d)," in lines and "  of one dtype." in lines
    assert "Prose goes on: with a colon." in lines
    assert "**Source**: Somebody, 2020, <https://example.org/a_b>" in lines
    assert lines[lines.index("```pycon") + 1] == ">>> 1 + 1"


def test_indices_are_drawn_in_prose_and_in_the_api_and_not_in_code():
    assert indices.drawn("Σ_{k<l} w_kl and batch_size") == "Σ<sub>k&lt;l</sub> w<sub>kl</sub> and batch_size"
    assert indices.drawn("`````{py:function} f(x)\nμ\\_θ\n`````").splitlines()[1] == "μ<sub>θ</sub>"
    for kept in ("```python\nx_i\n```", "`x_i", "    x_i", "$W_c$", "[x](x_i.md)", "# W_c", "$$\nW_c\n$$"):
        assert indices.drawn(kept) == kept


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_notebook_runs_as_it_is(script, monkeypatch):
    import matplotlib

    monkeypatch.setattr(matplotlib, "rcParams", matplotlib.rcParams.copy())
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    source = script.read_text(encoding="utf-8")
    small = notebooks.small(source)
    assert small != source, "name the numbers of the tests: steps = 2000  # 20 in tests"
    assert source.startswith("# %% [markdown]\n# # ")
    try:
        exec(compile(small, script.name, "exec"), {})
        assert plt.get_fignums(), "a notebook draws what it says"
    finally:
        plt.close("all")


def test_there_are_six_notebooks_and_the_page_lists_them():
    page = (ROOT / "docs/notebooks/index.md").read_text(encoding="utf-8")
    assert len(SCRIPTS) == 6
    assert {path.stem for path in SCRIPTS} == set(re.findall(r"\(\.\./generated/notebooks/(\w+)\.ipynb\)", page))


def test_every_page_stands_in_the_contents():
    places = re.findall(r"(?m)^(?:.*<)?([a-z_]+)>?$", (ROOT / "docs/index.md").read_text())
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} - {"index"} <= set(places)
