"""Pages of the site that lie outside of docs/: the experiments, the changelog and the licence of the digits."""

from __future__ import annotations

import re
from pathlib import Path

OTHERS = {"CHANGELOG.md": "changelog.md", "ot_gen/data/mnist10k.LICENSE.md": "licence_of_digits.md"}
INDEX = """\
# Experiments

A claim, its script and the numbers to expect, `expected.json`; a script ends with exit code 1 when a figure misses its
tolerance. `make experiments` runs three of them in minutes, `make experiments-long` the others.

{rows}

```{{toctree}}
:hidden:
{names}
```
"""


def led(text: str) -> str:
    """A page of docs/ whose links to such pages lead to their copies.

    Example:
        >>> led("[flows](../experiments/flow_couplings/README.md)")
        '[flows](/generated/experiments/flow_couplings.md)'
    """
    text = re.sub(r"\]\((?:\.\./)+experiments/(\w+)/README\.md", r"](/generated/experiments/\1.md", text)
    for name, copy in OTHERS.items():
        text = re.sub(rf"\]\((?:\.\./)+{re.escape(name)}", f"](/generated/{copy}", text)
    return text


def write(root: Path, folder: Path) -> None:
    """Copy them into the folder of generated pages, with their links and pictures as seen from there."""
    claims = folder / "experiments"
    claims.mkdir(parents=True, exist_ok=True)
    rows = ["| experiment | claim |", "|---|---|"]
    pages = sorted(root.glob("experiments/*/README.md"))
    for page in pages:
        name, text = page.parent.name, page.read_text(encoding="utf-8")
        text = text.replace("](../../docs/", "](/")
        text = text.replace("](figure.png)", f"](../../../experiments/{name}/figure.png)")
        (claims / f"{name}.md").write_text(text, encoding="utf-8")
        rows.append(f"| [{name}]({name}.md) | {text.partition(chr(10))[0].lstrip('# ')} |")
    names = "\n".join(page.parent.name for page in pages)
    (claims / "index.md").write_text(INDEX.format(rows="\n".join(rows), names=names), encoding="utf-8")
    for name, copy in OTHERS.items():
        (folder / copy).write_text((root / name).read_text(encoding="utf-8"), encoding="utf-8")
