"""What others say, fit for one line of a message or of a record, or for a cell of a table."""

from __future__ import annotations

import re
import unicodedata
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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is that of an allocator: Python's, NumPy's, or torch's on any device.

    Example:
        >>> is_out_of_memory(MemoryError()), is_out_of_memory(ValueError("memory"))
        (True, False)
    """
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OF_ALLOCATORS)


# torch has no class of its own for the CPU's: https://github.com/pytorch/pytorch/blob/main/c10/core/impl/alloc_cpu.cpp
_OF_ALLOCATORS = ("DefaultCPUAllocator", "Storage size calculation overflowed", "out of memory")


def cell(value: Any) -> Any:
    r"""A value as a cell of a CSV file; where a spreadsheet would begin a formula, a text gets an apostrophe.

    Readers differ in what ends a cell or a row: a formula may begin after any line break, semicolon or tab, after
    blanks and letters that are not seen, and with the wide form of its sign. All line breaks become newlines, which
    writers of CSV quote.

    Source: OWASP, "CSV Injection", https://owasp.org/www-community/attacks/CSV_Injection

    Example:
        >>> cell("=HYPERLINK(1)"), cell("vae"), cell(-0.5), cell("a\r=1")
        ("'=HYPERLINK(1)", 'vae', -0.5, "a\n'=1")
    """
    if not isinstance(value, str):
        return value
    pieces = re.split("([;\t\n])", re.sub("\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]", "\n", value))
    text = "".join(f"'{piece}" if _is_formula(piece) else piece for piece in pieces)
    return f"'{text}" if text.startswith(("\t", "\n")) else text


def _is_formula(words: str) -> bool:
    """Whether the first letter that is seen is one that begins a formula, in any width."""
    seen = next((letter for letter in words if unicodedata.category(letter)[0] not in "CZ"), " ")
    return unicodedata.normalize("NFKC", seen).startswith(("=", "+", "-", "@"))
