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
    """A value as a cell of a CSV file; a text that a spreadsheet would take for a formula gets an apostrophe.

    Source: OWASP, "CSV Injection", https://owasp.org/www-community/attacks/CSV_Injection

    Example:
        >>> cell("=HYPERLINK(1)"), cell("vae"), cell(-0.5)
        ("'=HYPERLINK(1)", 'vae', -0.5)
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else value
