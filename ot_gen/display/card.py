"""What an object shows at the end of a notebook's cell: a heading, drawings, and facts in a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

_CARD = "font:13px/1.45 system-ui,sans-serif;max-width:44rem;overflow-x:auto"
_QUIET = "opacity:.7"
_CELL = "text-align:left;padding:1px 14px 1px 0;background:transparent;border:0"
_NUMBER = _CELL.replace("left", "right", 1) + ";font-variant-numeric:tabular-nums"


def card(heading: str, words: str, *parts: str, note: str = "") -> str:
    """An HTML fragment without scripts: texts are escaped, `parts` are drawings and tables of this room.

    Args:
        heading: what it is, in bold.
        words: what is to be known first.
        parts: HTML.
        note: what a reader must not miss, such as a doubt.

    Example:
        >>> "<script>" in card("a < b", "<script>")
        False
    """
    warning = f'<div role="note" style="border-left:3px solid #e08e0b;padding-left:8px">{escape(note)}</div>'
    head = f'<div><b>{escape(heading)}</b> <span style="{_QUIET}">{escape(words)}</span></div>'
    return f'<div style="{_CARD}">{head}{"".join(parts)}{warning if note else ""}</div>'


def facts(values: Mapping[str, str | None]) -> str:
    """A table of names and values; those that are None or empty are left out.

    Example:
        >>> facts({"points": "8", "labels": None}).count("<tr>")
        1
    """
    return _table(
        f'<tr><th scope="row" style="{_CELL};font-weight:normal;{_QUIET}">{escape(name)}</th>'
        f'<td style="{_CELL}">{escape(value)}</td></tr>'
        for name, value in values.items()
        if value
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under the names of their columns; the first column names the row, the others are numbers.

    Example:
        >>> table(["metric", "value"], [["W₁", "0.5"]]).count("<td")
        1
    """
    styles = [_CELL, *[_NUMBER] * (len(columns) - 1)]
    head = "".join(
        f'<th scope="col" style="{style};font-weight:normal;{_QUIET}">{escape(name)}</th>'
        for style, name in zip(styles, columns, strict=True)
    )
    body = (
        f'<tr><th scope="row" style="{_CELL};font-weight:normal">{escape(row[0])}</th>'
        + "".join(f'<td style="{_NUMBER}">{escape(value)}</td>' for value in row[1:])
        + "</tr>"
        for row in rows
    )
    return _table([f"<tr>{head}</tr>", *body])


def with_error(value: float, se: float | None) -> str:
    """A number with its standard error where there is one, and it is not 0.

    Example:
        >>> with_error(1.25, 0.01), with_error(1.25, None)
        ('1.25 ± 0.01', '1.25')
    """
    return f"{value:.4g}" if not se else f"{value:.4g} ± {se:.2g}"


def _table(rows: Iterable[str]) -> str:
    style = "border-collapse:collapse;margin:2px 0;font:inherit;color:inherit;background:transparent"
    return f'<table style="{style}">{"".join(rows)}</table>'
