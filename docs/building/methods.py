"""The tables of methods, out of the entries of conf/solver: what each says of itself, and what it is composed of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ot_gen
from ot_gen.cli import composed, conf_dir

CELLS = {
    ("primal", "table"): "Primal, ξ is a table: plans",
    ("primal", "network"): "Primal, ξ is a network: encoders",
    ("primal", "flow"): "Dynamic: flows of a velocity",
    ("dual", "table"): "Dual, ξ is a table: semi-discrete",
    ("dual", "network"): "Dual, ξ is a network: critics and maps",
}
# Parts that say which method it is; sizes, networks and optimizers do not.
TOLD = ("coupling", "potential", "plan", "pairing", "divergence", "terms", "lipschitz", "kernel", "phi")


class Method(NamedTuple):
    """An entry of the group solver."""

    name: str  # primal/vae
    words: str
    source: str
    cell: tuple[str, str]  # side, kind of ξ
    composition: str  # EncoderCoupling(KL)


def target(node: Mapping[str, Any]) -> str:
    """The class that a node names."""
    return str(node["_target_"]).rpartition(".")[2]


def composition(node: Any) -> str:
    """The parts of a solver, in the words of the library: EncoderCoupling(MMD(InverseMultiquadric))."""
    if isinstance(node, list):
        return " + ".join(filter(None, map(composition, node)))
    if not isinstance(node, Mapping) or "_target_" not in node:
        return ""
    inner = [parts for name in TOLD if (parts := composition(node.get(name)))]
    return target(node) + (f"({', '.join(inner)})" if inner else "")


def comment(path: Path) -> tuple[str, str]:
    """What an entry says of itself in its first lines, and its source."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    words = " ".join(line for line in lines if not line.startswith(("@package", "Source:")))
    source = "; ".join(line.removeprefix("Source:").strip() for line in lines if line.startswith("Source:"))
    return words, source


def methods(config_dir: Path | None = None) -> list[Method]:
    """Every entry of the group solver, those of a folder of one's own too."""
    from omegaconf import OmegaConf

    rows = []
    for folder in filter(None, (conf_dir(), config_dir)):
        for path in sorted((folder / "solver").rglob("*.yaml")):
            name = path.relative_to(folder / "solver").with_suffix("").as_posix()
            solver = OmegaConf.to_container(composed([f"solver={name}"], config_dir)[0].solver, resolve=False)
            part = solver.get("coupling") or solver["potential"]
            side = "primal" if "coupling" in solver else "dual"
            kind = getattr(ot_gen, target(part)).kind
            rows.append(Method(name, *comment(path), (side, kind), composition(part)))
    return rows


def linked(source: str) -> str:
    """`Names, year, address; ...` with each address behind its words."""
    return re.sub(r"\s*([^;]+?),? (https?://[^\s;]+)", r"[\1](\2)", source).replace(";", ", ")


def tables(config_dir: Path | None = None) -> Iterator[str]:
    """A table for each cell, in Markdown."""
    rows = methods(config_dir)
    for cell, title in CELLS.items():
        yield from (f"## {title}", "", "| `solver=` | composition | source |", "|---|---|---|")
        for row in rows:
            if row.cell == cell:
                words = row.words.replace("|", "\\|")
                yield f"| `{row.name}` <br>{words} | `{row.composition}` | {linked(row.source)} |"
        yield ""


def data() -> Iterator[str]:
    """What there is to learn, from the entries of conf/data."""
    yield from ("| `data=` | what it is |", "|---|---|")
    for path in sorted((conf_dir() / "data").glob("*.yaml")):
        yield f"| `{path.stem}` | {comment(path)[0]} |"


MARKS = {"<!-- the tables of methods -->": tables, "<!-- the table of data -->": data}


def insert(text: str) -> str:
    """A page with each table where it has its mark."""
    for mark, lines in MARKS.items():
        if mark in text:
            text = text.replace(mark, "\n".join(lines()))
    return text
