"""What was given, in the words of an error."""

from __future__ import annotations

from numbers import Number

from torch import Tensor

LONGEST = 40  # characters of a value in a message


def described(thing: object) -> str:
    """What was given, in the words of an error: "a tensor (3, 2)", "the class MLP", "a list".

    Example:
        >>> import torch
        >>> described(torch.zeros(3, 2)), described([1.0]), described(torch.nn.Linear), described(None)
        ('a tensor (3, 2)', 'a list', 'the class Linear', 'None')
    """
    if thing is None:
        return "None"
    if isinstance(thing, type):
        return f"the class {thing.__name__}"
    if isinstance(thing, Tensor):
        return f"a tensor {tuple(thing.shape)}"
    return with_article(type(thing).__name__)


def with_article(name: str) -> str:
    """A noun with "a" or "an".

    Example:
        >>> with_article("Empirical"), with_article("Cost"), with_article("MLP")
        ('an Empirical', 'a Cost', 'an MLP')
    """
    vowels = "AEFHILMNORSX" if name[:2].isupper() else "AEIOaeiou"  # letters that are spelt, or a word
    is_open = name[:1] in vowels and not name.startswith("Eu")
    return f"{'an' if is_open else 'a'} {name}"


def shown(value: object) -> str:
    """A number or a short text by its value, everything else as `described`.

    Example:
        >>> shown(-1.5), shown("rbf"), shown([1]), shown(10**30)
        ('-1.5', "'rbf'", 'a list', '1e+30')
    """
    if isinstance(value, int) and abs(value) >= 10**15:
        return f"{value:.4g}" if abs(value) < 10**300 else "a number of more than 300 digits"
    if isinstance(value, str | Number) and len(text := repr(value)) <= LONGEST:
        return text
    return described(value)
