"""Tables of numbers as text: what a .csv file may be, and the line and column of what is wrong in it."""

from __future__ import annotations

import codecs
import csv
import re
import reprlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from ot_gen.execution import read_bytes

LARGEST_TABLE = 2**36  # bytes: a file without end is none
_QUOTED = re.compile(r'(?<![^,\n])"([^",\n]*)"(?![^,\n])')
_SEPARATORS = {";": "';'", "\t": "tabs ('\\t')", "|": "'|'", " ": "blanks (' ')"}


@final
class Table(NamedTuple):
    """What a .csv file holds.

    Attributes:
        numbers: float64, (n, d).
        names: of the columns; none where the file has no line of names.
        labels: the column of labels as texts, (n,), where one was asked for.
    """

    numbers: NDArray[Any]
    names: list[str]
    labels: NDArray[Any] | None


def read_table(file: Path, label: str | None = None) -> Table:
    r"""The numbers of a .csv file, (n, d): separated by commas, with decimal points, a line for each row.

    One line of names may come first. Numbers may stand in double quotes. Empty lines are left out. The text is UTF-8,
    UTF-16 with its mark, or Latin-1. A first column without a name that counts the rows is an index, as pandas writes
    it: it is left out, with a warning. Any other column that only counts the rows is kept, with a warning.

    Args:
        file: its path.
        label: the name of the column that holds classes, whole numbers or texts; the others are the numbers.

    Raises:
        ValueError: no text, no numbers, no column of the label's name, other separators, lines of different
            length, or a number that is not finite in float32. The message names the line of the file, counted from 1,
            and the column.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     written = (Path(folder) / "a.csv").write_text("x,y\n1,2\n3,?\n")
        ...     read_table(Path(folder) / "a.csv")
        Traceback (most recent call last):
        ValueError: line 3, column 2: could not convert string '?' to a number
    """
    text = _QUOTED.sub(r"\1", _decoded(read_bytes(file, LARGEST_TABLE)))
    numbered = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    names = _cells(numbered[0][1]) if numbered else []
    if _are_names(names):
        del numbered[:1]
    else:
        names = []
    if not numbered:
        raise ValueError("it holds no line of numbers")
    numbers, lines = [number for number, _ in numbered], [line for _, line in numbered]
    place = None if label is None else _place(label, names)
    labels = None if place is None else _column(place, numbers, lines)
    if place is not None:  # a 0 in its place keeps the others where they are
        lines = [",".join([*cells[:place], "0", *cells[place + 1 :]]) for cells in map(_cells, lines)]
    try:
        table: NDArray[Any] = np.loadtxt(lines, dtype=np.float64, delimiter=",", comments=None, ndmin=2)
    except ValueError as error:
        raise ValueError(_fault(numbers, lines, names) or str(error)) from error
    bad = ~(np.abs(table) <= np.finfo(np.float32).max).all(axis=1)
    if bad.any():
        what = "numbers beyond 3.4e38, too large for float32," if np.isfinite(table[bad]).all() else "NaN or Inf"
        raise ValueError(
            f"it holds {what} in {bad.sum()} of {len(table)} rows (first: line {numbers[int(bad.argmax())]} of the "
            "file)"
        )
    if len(names) not in (0, table.shape[1]):
        raise ValueError(f"it has {len(names)} names in its first line, and {table.shape[1]} columns of numbers")
    if place is not None:
        table, names = np.delete(table, place, axis=1), [*names[:place], *names[place + 1 :]]
        lines = [",".join(map(str, row)) for row in table[:2]]
    if not table.shape[1]:
        raise ValueError("it holds no column but that of the labels")
    if _is_index(table, names):
        warnings.warn(
            f"column 1 ({names[0]!r}) of {file} counts its rows ({table[0, 0]:g}, {table[0, 0] + 1:g}, ...) and has no "
            "name: it is taken for an index and left out; if it is a coordinate, give it a name in the first line",
            stacklevel=2,
        )
        table, names = table[:, 1:], names[1:]
    _warn_of_counters(file, table, names, lines)
    return Table(table, names, labels)


def _place(label: str, names: Sequence[str]) -> int:
    if not names:
        raise ValueError(f"it has no line of names, so no column {label!r} of labels; write the names into line 1")
    if names.count(label) != 1:
        raise ValueError(
            f"it has {names.count(label)} columns {label!r}; its columns are {', '.join(map(repr, names))}"
        )
    return names.index(label)


def _column(place: int, numbers: Sequence[int], lines: Sequence[str]) -> NDArray[Any]:
    """The labels in one column: numbers where all of them are, else texts."""
    labels = []
    for number, line in zip(numbers, lines, strict=True):
        cells = _cells(line)
        if not "".join(cells[place : place + 1]):
            raise ValueError(f"line {number}, column {place + 1}: there is no label; fill it in, or remove the line")
        labels.append(cells[place])
    return np.array([float(label) for label in labels] if all(map(_is_number, labels)) else labels)


def _is_index(table: NDArray[Any], names: Sequence[str]) -> bool:
    if table.shape[1] < 2 or len(table) < 3 or not names or not (not names[0] or names[0].startswith("Unnamed:")):
        return False
    start = table[0, 0]
    return bool(start in (0, 1) and np.array_equal(table[:, 0], start + np.arange(len(table))))


def _decoded(content: bytes) -> str:
    """The text with one sign, the line feed, at the end of each line."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = content.decode("utf-16")
    elif b"\0" in content:
        raise ValueError("it holds NUL bytes, so it is no text; of UTF-16 the mark at its beginning is missing")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("latin-1")  # of use in names only: numbers are ASCII
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _cells(line: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line]))] if '"' in line else _plain(line)
    except csv.Error:  # a quote without its other half, or a cell longer than any number
        return _plain(line)


def _plain(line: str) -> list[str]:
    return [cell.strip() for cell in line.split(",")]


def _are_names(cells: Sequence[str]) -> bool:
    """Whether the first line has the names: no number, or the numbers 0, 1, ... behind the empty name of an index."""
    if len(cells) > 1 and not cells[0] and list(cells[1:]) == [str(i) for i in range(len(cells) - 1)]:
        return True
    return not any(_is_number(cell) for cell in cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell and cell.isascii()


def _fault(numbers: Sequence[int], lines: Sequence[str], names: Sequence[str]) -> str | None:
    """What is wrong with the first bad line."""
    first = len(_cells(lines[0]))
    for number, line in zip(numbers, lines, strict=True):
        cells = _cells(line)
        bad = next(((i, cell) for i, cell in enumerate(cells, start=1) if not _is_number(cell)), None)
        if bad is not None and (separator := _other_separator(lines)):
            return (
                f"its entries are separated by {_SEPARATORS[separator]}, not by commas; rewrite it with commas and "
                f"decimal points, as pandas.read_csv(FILE, sep={separator!r}).to_csv(NEW, index=False) does"
            )
        if len(cells) != first:
            return (
                f"the number of columns changed: line {numbers[0]} has {first} entries, and line {number} {len(cells)}"
            )
        if bad is not None:
            place, cell = bad
            return (
                f"line {number}, column {place}: could not convert string {reprlib.repr(cell)} to a number"
                f"{_hint(cell, names[place - 1] if len(names) == first else '')}"
            )
    return None


def _hint(cell: str, name: str) -> str:
    if not cell:
        return "; fill in the value, or remove the line"
    if _is_number(cell.replace(",", ".", 1)):
        return "; write decimal points"
    return f"; if {name!r} holds classes, give its name as the label" if name and any(map(str.isalpha, cell)) else ""


def _other_separator(lines: Sequence[str]) -> str | None:
    """What stands equally often in each of the first lines, between numbers that may have decimal commas."""
    some = [line.strip() for line in lines[:20]]
    for separator in _SEPARATORS:
        counts = {line.count(separator) for line in some}
        cells = [cell.strip().replace(",", ".", 1) for line in some for cell in line.split(separator)]
        if len(counts) == 1 and counts != {0} and sum(map(_is_number, cells)) > len(cells) / 2:
            return separator
    return None


def _warn_of_counters(file: Path, table: NDArray[Any], names: Sequence[str], lines: Sequence[str]) -> None:
    """Warn of columns that are an index, and of a first row that is names."""
    n, d = table.shape
    if d < 2 or n < 3:
        return
    advice = "if that is no coordinate, save the file without it (pandas: to_csv(NEW, index=False))"
    for column in range(d):
        name = names[column] if names else ""
        title = f"column {column + 1}" + (f" ({name!r})" if names else "")
        start = table[0, column]
        if start in (0, 1) and np.array_equal(table[:, column], start + np.arange(n)):
            text = f"{title} of {file} counts its rows ({start:g}, {start + 1:g}, ...) and is kept; {advice}"
        elif names and (not name or name.startswith("Unnamed:")):
            text = f"{title} of {file} has no name, as an index has none, and is kept; {advice}"
        else:
            continue
        warnings.warn(text, stacklevel=2)
    if not names and _cells(lines[0]) == [str(i) for i in range(d)] and not all(map(str.isdigit, _cells(lines[1]))):
        warnings.warn(
            f"the first line of {file} reads {reprlib.repr(lines[0])} and is kept as a point; if these are the numbers "
            "of its columns, remove it",
            stacklevel=2,
        )
