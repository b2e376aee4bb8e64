"""The door: what the arguments of every public callable are, read from its annotations."""

from ot_gen.arguments.door import checked
from ot_gen.arguments.numbers import Count, Fraction, Index, Interval, Nonnegative, Positive
from ot_gen.arguments.tensors import Cloud, Shape, Vector, default_dtype
from ot_gen.arguments.wording import described

__all__ = [
    "Cloud",
    "Count",
    "Fraction",
    "Index",
    "Interval",
    "Nonnegative",
    "Positive",
    "Shape",
    "Vector",
    "checked",
    "default_dtype",
    "described",
]
