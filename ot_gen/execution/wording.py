"""What others say, fit for one line of a message or of a record, or for a cell of a table."""

from __future__ import annotations

from typing import Any


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


def reason(error: BaseException, most: int = 200) -> str:
    """What an error says, on one line of at most `most` characters; its class where it says nothing.

    Example:
        >>> reason(ValueError("a" * 300), 9), reason(MemoryError())
        ('aaaaaa...', 'MemoryError')
    """
    words = on_one_line(error) or type(error).__name__
    return words if len(words) <= most else f"{words[: most - 3]}..."


def cell(value: Any) -> Any:
    """A value as a cell of a CSV file; a text that a spreadsheet would take for a formula gets an apostrophe.

    Source: OWASP, "CSV Injection", https://owasp.org/www-community/attacks/CSV_Injection

    Example:
        >>> cell("=HYPERLINK(1)"), cell("vae"), cell(-0.5)
        ("'=HYPERLINK(1)", 'vae', -0.5)
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else value
