"""What others say, fit for one line of a message or of a record."""

from __future__ import annotations


def on_one_line(words: object) -> str:
    r"""str(words), with every run of white space as one blank.

    Example:
        >>> on_one_line(ValueError("shapes differ:\n  (2,)\n  (3,)"))
        'shapes differ: (2,) (3,)'
    """
    return " ".join(str(words).split())


def kind_and_message(error: BaseException) -> str:
    r"""The class of an error and what it says, on one line.

    Example:
        >>> kind_and_message(KeyError("lr"))
        "KeyError: 'lr'"
    """
    return on_one_line(f"{type(error).__name__}: {error}")
