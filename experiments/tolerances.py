"""Hold the numbers that an experiment found against those that it ships with.

expected.json is {name: {"value": ..., "within": ...}} or {name: {"at_least": ..., "at_most": ...}}; both kinds may be
mixed, and what is not listed is not checked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path


def misses(found: Mapping[str, float], expected: Path, parts: Sequence[str] = ("",)) -> list[str]:
    """What lies outside its tolerance, a sentence each; empty when all is as expected.

    Of an experiment that ran in part, only names that begin with one of `parts` are expected.
    """
    told = []
    for name, asked in json.loads(expected.read_text(encoding="utf-8")).items():
        if not name.startswith(tuple(parts)):
            continue
        if unknown := set(asked) - {"value", "within", "at_least", "at_most"}:
            raise ValueError(f"{expected}: {name} has unknown keys {sorted(unknown)}")
        value = found.get(name, math.nan)
        low = max(asked.get("at_least", -math.inf), asked.get("value", -math.inf) - asked.get("within", 0.0))
        high = min(asked.get("at_most", math.inf), asked.get("value", math.inf) + asked.get("within", 0.0))
        if not low <= value <= high:
            told.append(f"{name} = {value:.4g}, expected in [{low:.4g}, {high:.4g}]")
    return told


def report(found: Mapping[str, float], expected: Path, parts: Sequence[str] = ("",)) -> int:
    """Print all figures and what misses its tolerance; returns the exit code, 1 for a miss."""
    for name, value in found.items():
        print(f"{name:48s} {value:.5g}")
    missed = misses(found, expected, parts)
    print("\n".join(f"MISSED: {line}" for line in missed) or f"all figures of {expected.name} are within tolerance")
    return int(bool(missed))
