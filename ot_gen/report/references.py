"""What a comparison cites: the works behind its solvers, its metrics, its data and its statistics."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from ot_gen.version import __version__

ALWAYS, VERDICTS = "always", "verdicts"


def bibliography(names: Iterable[str]) -> str:
    """The BibTeX entries of solvers, metrics and data by their names, "primal/vae", "frechet", "mnist", and of ot_gen.

    An entry of references.bib says in its keywords what it is cited for. Names without one, as those of your own
    solvers, add nothing.

    Example:
        >>> "author = {Kingma, Diederik P. and Welling, Max}" in bibliography(["primal/vae"])
        True
    """
    wanted = {ALWAYS, *names}
    return "\n\n".join(entry for entry, cited in _entries() if cited & wanted) + "\n"


def keys(text: str) -> list[str]:
    """The keys of the entries in a BibTeX file.

    Example:
        >>> keys(bibliography(["dual/wgan_gp"]))
        ['otgen', 'arjovsky2017', 'gulrajani2017']
    """
    return re.findall(r"(?m)^@\w+{(\w+),", text)


@cache
def _entries() -> list[tuple[str, set[str]]]:
    source = Path(__file__).with_name("references.bib").read_text(encoding="utf-8").replace("VERSION", __version__)
    entries = []
    for entry in source.strip().split("\n\n"):
        words = re.search(r"\n  keywords = {(.*)},", entry)
        if words is None:
            raise ValueError(f"an entry of references.bib names nothing that it is cited for: {entry:.60}")
        entries.append((entry.replace(words.group(), ""), set(words.group(1).split(", "))))
    return entries
