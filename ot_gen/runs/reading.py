"""Files of a run's folder, read as those of a stranger: of bounded size, and nothing that grows when it is read."""

from __future__ import annotations

from pathlib import Path

import yaml

LARGEST = 4 * 2**20  # bytes of a run.json
LARGEST_YAML = 2**18  # bytes of a config.yaml, which takes longer to read
DEEPEST = 100  # levels of a config.yaml


def whole_text(path: Path, largest: int = LARGEST) -> str:
    """The text of a file.

    Raises:
        ValueError: it is no file, larger than `largest` bytes, or no UTF-8.

    Example:
        >>> whole_text(Path("/"))
        Traceback (most recent call last):
            ...
        ValueError: it is no file
    """
    if not path.is_file():  # a folder, a pipe that nobody writes to
        raise ValueError("it is no file")
    with path.open("rb") as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise ValueError(f"it holds more than {largest:,} bytes")
    return content.decode("utf-8")


def plain_yaml(path: Path) -> str:
    """The text of a YAML file that ot_gen wrote: one document, without anchors, which can stand for much more text.

    Raises:
        ValueError: it is none.
    """
    text = whole_text(path, LARGEST_YAML)
    depth = 0
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
                raise ValueError("it holds an anchor, which ot-gen never writes")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise ValueError(f"it is deeper than {DEEPEST} levels")
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"it is no YAML: {error}") from error
    return text
