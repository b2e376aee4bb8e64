"""How objects show themselves: in one line, and as HTML at the end of a notebook's cell."""

from ot_gen.display.axes import Axis, LinearAxis, LogAxis, tick_words
from ot_gen.display.card import card, facts, table, with_error
from ot_gen.display.drawings import (
    COLOURS,
    DATA,
    MODEL,
    Span,
    curve,
    path_data,
    pictures,
    scatter,
    shading,
    spans,
    tiled,
)
from ot_gen.display.words import Network, Shown, cut, in_words, line, module_line, record_line, structure, subscript

__all__ = [
    "COLOURS",
    "DATA",
    "MODEL",
    "Axis",
    "LinearAxis",
    "LogAxis",
    "Network",
    "Shown",
    "Span",
    "card",
    "curve",
    "cut",
    "facts",
    "in_words",
    "line",
    "module_line",
    "path_data",
    "pictures",
    "record_line",
    "scatter",
    "shading",
    "spans",
    "structure",
    "subscript",
    "table",
    "tick_words",
    "tiled",
    "with_error",
]
