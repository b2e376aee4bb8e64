"""The notebooks: scripts in Jupytext's form, executed when the site is built.

In a script a line such as `steps = 2000  # 20 in tests` names the number that the tests take in its place.
"""

from __future__ import annotations

import re
from pathlib import Path

SMALL = re.compile(r"^(\w+ = )\S+(  # (\S+) in tests)$", re.MULTILINE)


def small(script: str) -> str:
    """The script with the numbers of the tests.

    Example:
        >>> small("steps = 2000  # 20 in tests")
        'steps = 20  # 20 in tests'
    """
    return SMALL.sub(lambda line: f"{line[1]}{line[3]}{line[2]}", script)


def build(source: Path, target: Path) -> None:
    """Execute a script and write it as a notebook with what it prints and draws."""
    import jupytext
    import nbformat
    from nbclient import NotebookClient

    notebook = jupytext.read(source)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.source = re.sub(SMALL, lambda line: line[0].replace(line[2], ""), cell.source)
    target.parent.mkdir(parents=True, exist_ok=True)
    client = NotebookClient(
        notebook,
        timeout=900,
        resources={"metadata": {"path": str(target.parent)}},
        extra_arguments=["--log-level=40"],  # ipykernel warns that it talks to this very machine without encryption
    )
    client.execute()
    nbformat.write(notebook, target)


def write(sources: Path, folder: Path) -> None:
    """Build each notebook that is older than its script."""
    for source in sorted(sources.glob("*.py")):
        target = folder / f"{source.stem}.ipynb"
        if not target.is_file() or target.stat().st_mtime < source.stat().st_mtime:
            build(source, target)
