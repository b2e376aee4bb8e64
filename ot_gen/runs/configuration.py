"""Configurations of runs, which may be a stranger's, as plain values."""

from __future__ import annotations

import re
from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml

from ot_gen.execution import read_text, reason

DEEPEST = 100


def read_yaml(path: str | Path, most: int = 2**16) -> Any:
    """The plain values of a YAML file: numbers, texts, lists and dictionaries.

    Names for parts that are repeated (`&name`, `*name`) are refused: a small file of them unfolds without bound, and
    what is written here has none.

    Raises:
        ValueError: no regular file, a larger one, or no plain values.
        OSError: no such file, or one that must not be read.
    """
    text = read_text(path, most)
    depth = accumulate(1 if bracket in "[{" else -1 for bracket in re.findall(r"[][{}]", text))
    if max(depth, default=0) > DEEPEST:  # at each of the first characters of many brackets PyYAML looks at all of them
        raise ValueError(f"it is no plain YAML (its brackets are more than {DEEPEST} deep)")
    try:
        return yaml.load(text, _Plain)  # a SafeLoader: it builds nothing but values
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"it is no plain YAML ({reason(error)})") from error


class _Plain(yaml.SafeLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it repeats a part by its name")
        return super().compose_node(parent, index)
