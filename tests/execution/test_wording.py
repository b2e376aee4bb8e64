"""Cells of a CSV file: whatever reads it begins no formula."""

import csv
import io
import unicodedata

import pytest

from ot_gen.execution import cell

SIGNS = "=+-@＝＋－＠﹦﹢﹣﹫"
BEFORE = [
    "",
    " ",
    "\u00a0",
    "\u200b",
    "\ufeff",
    "\t",
    "\r",
    "\n",
    "\r\n",
    "\x00",
    "\u2028",
    "\x0b",
    "\u202e",
    " \u200b\r",
]


def rows(text, delimiter):
    """As a reader that takes any line break for the end of a row where it is not quoted."""
    return csv.reader(io.StringIO(text, newline=None), delimiter=delimiter)


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("first", ["", "vae", "vae;", "vae\t", "a,b\r"])
def test_no_piece_of_a_cell_begins_a_formula(first, before):
    for sign in SIGNS:
        file = io.StringIO(newline="")
        csv.writer(file, lineterminator="\n").writerow(["x", cell(f"{first}{before}{sign}cmd|' /C calc'!A0"), "y"])
        shown = file.getvalue()
        assert "\r" not in shown
        cells = [piece for delimiter in ",;\t" for row in rows(shown, delimiter) for piece in row]
        pieces = [line for piece in cells for line in piece.splitlines()]
        seen = ["".join(letter for letter in piece if unicodedata.category(letter)[0] not in "CZ") for piece in pieces]
        begins = [piece[:1] for piece in seen if piece[:1] in SIGNS and piece]
        assert begins == [] or (first == "vae" and not before), sign  # vae=cmd begins nothing
        assert [len(row) for row in rows(shown, ",")] == [3], sign


def test_numbers_and_usual_texts_stay():
    assert [cell(value) for value in (-1.5, None, True, "primal/vae", "a - b", "x=1", "−1")] == [
        *(-1.5, None, True, "primal/vae", "a - b", "x=1", "−1")
    ]
