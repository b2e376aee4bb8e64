"""What a latent geometry is made of, in words."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from ot_gen.display import card, facts, in_words, line
from ot_gen.geometry.metrics import RiemannianMetric
from ot_gen.geometry.starts import Start


class MadeOfParts(ABC):
    """A geometry that shows what its metric is made of, and where its searches start."""

    starts: Sequence[Start]
    parts: Mapping[str, str]

    def __repr__(self) -> str:
        words = " and from ".join(start.words for start in self.starts)
        parts = (f"{name}={value}" for name, value in self.parts.items())
        return line(type(self).__name__, *parts, f"searches from {words}")

    def _repr_html_(self) -> str:
        words = " and ".join(start.words for start in self.starts)
        crossing = "" if len(self.starts) > 1 else "; with codes=, where the data are, also along these, around holes"
        return card("Latent geometry", "", facts({**self.parts, "searches start from": words + crossing}))


def parts_of(map: Any, std: Any, features: Any, ridge: float) -> dict[str, str]:
    """The metric's formula and what is in it, by name, of the arguments of `LatentGeometry`.

    Example:
        >>> parts_of(abs, None, None, 0.1)
        {'M': 'JᵀJ', 'decoder': 'abs', 'ridge': '0.1'}
    """
    if isinstance(map, RiemannianMetric):
        return {"M": type(map).__name__}
    several = isinstance(map, Sequence | nn.ModuleList)
    formula = "JᵀJ" if std is None else "J_μᵀJ_μ + J_σᵀJ_σ"
    named = {"decoders" if several else "decoder": map, "std": std, "features": features, "ridge": ridge or None}
    parts = {name: _words(value) for name, value in named.items() if value is not None}
    return {"M": f"mean of {formula}" if several else formula, **parts}


def _words(value: Any) -> str:
    return ", ".join(in_words(part) for part in (value if isinstance(value, Sequence | nn.ModuleList) else [value]))
