"""The door: what the arguments of every public callable are, read from its annotations."""

from ot_gen.arguments.door import checked
from ot_gen.arguments.numbers import Count, Finite, Fraction, Index, Interval, Nonnegative, Positive, Seed
from ot_gen.arguments.rounding import check_distinct, floating
from ot_gen.arguments.tensors import Cloud, Labels, Shape, Vector, default_dtype
from ot_gen.arguments.wording import described

__all__ = [
    "Cloud",
    "Count",
    "Finite",
    "Fraction",
    "Index",
    "Interval",
    "Labels",
    "Nonnegative",
    "Positive",
    "Seed",
    "Shape",
    "Vector",
    "check_distinct",
    "checked",
    "default_dtype",
    "described",
    "floating",
]
