"""Configurations of runs, which may be a stranger's, as plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ot_gen.execution import read_text, reason


def read_yaml(path: str | Path, most: int = 2**16) -> Any:
    """The plain values of a YAML file: numbers, texts, lists and dictionaries.

    Names for parts that are repeated (`&name`, `*name`) are refused: a small file of them unfolds without bound, and
    what is written here has none.

    Raises:
        ValueError: no regular file, a larger one, or no plain values.
        OSError: no such file, or one that must not be read.
    """
    try:
        return yaml.load(read_text(path, most), _Plain)  # a SafeLoader: it builds nothing but values
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"it is no plain YAML ({reason(error)})") from error


class _Plain(yaml.SafeLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it repeats a part by its name")
        return super().compose_node(parent, index)
