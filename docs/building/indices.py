"""Indices that pages write as plain text, W_c, h̃^c or δ_{y_j}, drawn below and above the line."""

from __future__ import annotations

import html
import re

LETTER = r"[A-Za-zα-ωΑ-Ωℓ∇∂Σ∫]\u0303?"
INDEX = r"\\?\{[^{}`$]+?\\?\}|[A-Za-z0-9α-ω]{1,3}(?![A-Za-z0-9α-ω\\_])"
BOTH = re.compile(rf"(?<![A-Za-z0-9α-ωΑ-Ω_\\])({LETTER})(?:\\?_({INDEX}))?(?:\^({INDEX}))?")
KEPT = re.compile(r"(`+[^`]*`+|\$[^$]*\$|\]\([^)]*\)|<[^>]*>|https?://\S+|!\[[^\]]*\])")


def _bare(index: str) -> str:
    """The index without its braces, which the pages of the API escape."""
    return html.escape(index.lstrip("\\").lstrip("{").rstrip("}").rstrip("\\"))


def _drawn(found: re.Match[str]) -> str:
    letter, below, above = found.groups()
    for tag, index in (("sub", below), ("sup", above)):
        letter += f"<{tag}>{_bare(index)}</{tag}>" if index else ""
    return letter


def drawn(text: str) -> str:
    r"""A page in Markdown with its indices as HTML; code, equations, headings and links stay.

    Example:
        >>> drawn("W_c(g_θ#ζ, ν) and `W_c`, h_ξ^c, δ_{y_j}, batch_size")
        'W<sub>c</sub>(g<sub>θ</sub>#ζ, ν) and `W_c`, h<sub>ξ</sub><sup>c</sup>, δ<sub>y_j</sub>, batch_size'
    """
    lines, is_code, is_equation, is_span = [], False, False, False
    for line in text.splitlines():
        is_fence = re.match(r"\s*```(?!`)", line) is not None
        is_code ^= is_fence
        is_equation ^= line.startswith("$$")
        is_split = line.count("`") % 2 == 1 and not line.startswith("```")  # code goes on in the next line
        is_span ^= is_split
        if not (
            is_code or is_fence or is_equation or is_span or is_split or line.startswith(("#", "    ", "````", "$$"))
        ):
            parts = KEPT.split(line)
            parts[::2] = [BOTH.sub(_drawn, part) for part in parts[::2]]
            line = "".join(parts)
        lines.append(line)
    return "\n".join(lines)
