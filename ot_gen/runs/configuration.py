"""Configurations of runs, which may be a stranger's, as plain values."""

from __future__ import annotations

import re
from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml

from ot_gen.execution import read_text, reason

LARGEST = 2**18  # bytes of a config.yaml, which takes long to read
DEEPEST = 100  # levels


def plain_yaml(path: str | Path, most: int = LARGEST) -> str:
    """The text of a YAML file of plain values, as ot_gen writes it.

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
    level = 0
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
                raise ValueError("it is no plain YAML (it names a part, to repeat it)")
            level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if level > DEEPEST:
                raise ValueError(f"it is no plain YAML (it is deeper than {DEEPEST} levels)")
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"it is no plain YAML ({reason(error)})") from error
    return text


def read_yaml(path: str | Path, most: int = LARGEST) -> Any:
    """The plain values of a YAML file: numbers, texts, lists and dictionaries.

    Raises:
        ValueError: as `plain_yaml`.
        OSError: no such file, or one that must not be read.
    """
    try:
        return yaml.safe_load(plain_yaml(path, most))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"it is no plain YAML ({reason(error)})") from error
