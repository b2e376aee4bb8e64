"""Pages of the API out of the docstrings: one for each room, each public name with its signature and its example."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ot_gen

SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Source", "Example")
TITLES = {"Args": "Arguments"}
ITEM = re.compile(r"^(\*{0,2}\w[\w, .*]*): (.*)$")
# Rooms from which nothing but what `ot_gen` itself exports is public.
INNER = ("arguments", "cli", "execution", "keeper", "report", "runs", "starting")
BAR = "`" * 5


def rooms() -> dict[str, dict[str, Any]]:
    """Room -> {public name, as one writes it: the thing}, what `ot_gen` exports first, in its order.

    Aliases are left out: `ot_gen.Precision` is `ot_gen.MixedPrecision`.
    """
    public: dict[str, dict[str, Any]] = {}
    fronts = {name.removesuffix(".py") for name in (path.name for path in Path(ot_gen.__file__).parent.iterdir())}
    for name in ot_gen.__all__:
        thing = getattr(ot_gen, name)
        if not inspect.ismodule(thing) and thing.__name__ == name:
            public.setdefault(thing.__module__.split(".")[1], {})[f"ot_gen.{name}"] = thing
    for room in sorted(fronts - {*INNER} & fronts):
        if room.startswith("_") or room.endswith((".typed",)):
            continue
        front = importlib.import_module(f"ot_gen.{room}")
        known = [id(thing) for things in public.values() for thing in things.values()]
        for name in getattr(front, "__all__", ()):
            thing = getattr(front, name)
            documented = inspect.isclass(thing) or inspect.isfunction(thing)
            if documented and id(thing) not in known and inspect.getdoc(thing):
                public.setdefault(room, {})[f"ot_gen.{room}.{name}"] = thing
    return public


def escaped(line: str) -> str:
    """Words of a docstring, in which mathematics is plain text, as Markdown: code and addresses stay what they are."""
    parts = re.split(r"(`[^`]+`|https?://[^\s,)]+)", line)
    for i, part in enumerate(parts):
        if part.startswith("http"):
            parts[i] = f"<{part.rstrip('.')}>" + "." * part.endswith(".")
        elif not part.startswith("`"):
            parts[i] = re.sub(r"([\\*_<>\[\]$|{}#])", r"\\\1", part)
    return "".join(parts)


def paragraphs(lines: list[str]) -> Iterator[str]:
    """Text as it is, and what is indented by four (an equation, a listing) as a block."""
    block: list[str] = []
    for line in [*lines, None]:
        if line is not None and (line.startswith("    ") or (block and not line.strip())):
            block.append(line[4:])
            continue
        if block:
            yield from ("", "```text", *"\n".join(block).rstrip().splitlines(), "```", "")
            block = []
        if line is not None:
            yield escaped(line)


def items(lines: list[str]) -> Iterator[str]:
    """`name: what it is` as a list."""
    for line in lines:
        if match := ITEM.match(line):
            yield f"- **{escaped(match[1])}**: {escaped(match[2])}"
        else:
            yield f"  {escaped(line.strip())}"


def markdown(docstring: str) -> Iterator[str]:
    """A docstring in Google's style as Markdown."""
    sections: list[tuple[str, list[str]]] = [("", [])]
    for line in inspect.cleandoc(docstring).splitlines():
        name, colon, rest = line.partition(":")
        of, so_far = sections[-1]
        if colon and name in SECTIONS:
            sections.append((name, [rest.strip()] if rest.strip() else []))
        elif of and line.strip() and not line.startswith(" ") and so_far and not so_far[-1].strip():
            sections.append(("", [line]))  # prose goes on behind a section
        else:
            sections[-1][1].append(line)
    for name, lines in sections:
        inner = inspect.cleandoc("\n" + "\n".join(lines)).splitlines() if name else lines
        yield ""
        if name == "Example":
            yield from ("```pycon", *inner, "```")
        elif name in ("Args", "Attributes", "Raises"):
            yield from (f"**{TITLES.get(name, name)}**", "", *items(inner))
        elif name:
            yield f"**{name}**: " + " ".join(escaped(line) for line in inner)
        else:
            yield from paragraphs(lines)
    yield ""


def signature(thing: Callable[..., Any], is_method: bool = False) -> str:
    """The signature on one line, with defaults that Python can read again."""
    parameters = list(inspect.signature(thing).parameters.values())[is_method:]
    written = []
    for parameter in parameters:
        default = parameter.default
        if default is inspect.Parameter.empty:
            pass
        elif inspect.isclass(default) or inspect.isroutine(default):
            parameter = parameter.replace(default=_Name(default.__name__))
        elif "<" in repr(default):
            parameter = parameter.replace(default=_Name("..."))
        written.append(parameter)
    result = inspect.Signature.empty if inspect.isclass(thing) else inspect.signature(thing).return_annotation
    text = str(inspect.Signature(written, return_annotation=result))
    return re.sub(r"(: |-> )(['\"])(.*?)\2(?=[,)= ]|$)", r"\1\3", text)


class _Name:
    """What repr shows of a default."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


def methods(thing: type) -> Iterator[tuple[str, str, Any]]:
    """(kind, name, method) of the public methods and properties that a class documents."""
    for name, member in vars(thing).items():
        function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if name.startswith("_") or not getattr(function, "__doc__", None):
            continue
        if isinstance(member, property):
            yield "property", name, member
        elif inspect.isfunction(function):
            yield "method", name, function


def entry(name: str, thing: Any) -> Iterator[str]:
    """A name with its signature, its docstring and, of a class, its methods."""
    is_class = inspect.isclass(thing)
    shown = "" if is_class and issubclass(thing, tuple | BaseException) else signature(thing)
    yield from (f"{BAR}{{py:{'class' if is_class else 'function'}}} {name}{shown.replace(' -> None', '')}", "")
    yield from markdown(thing.__doc__ or "")
    for kind, method, function in methods(thing) if is_class else ():
        call = "" if kind == "property" else signature(function, is_method=True)
        yield from (f"````{{py:{kind}}} {method}{call}", "", *markdown(function.__doc__), "````", "")
    yield from (BAR, "")


def write(folder: Path) -> None:
    """Write the pages: index.md and ROOM.md."""
    folder.mkdir(parents=True, exist_ok=True)
    order = list(rooms().items())
    for room, things in order:
        module = importlib.import_module(f"ot_gen.{room}")
        heading = [f"# {room}", "", *paragraphs((module.__doc__ or "").splitlines())]
        pages = [
            line
            for name, thing in things.items()
            for line in (f"## {name.removeprefix('ot_gen.')}", "", *entry(name, thing))
        ]
        (folder / f"{room}.md").write_text("\n".join([*heading, "", *pages]), encoding="utf-8")
    listing = ["| room | what is there |", "|---|---|"]
    for room, things in order:
        names = ", ".join(f"[`{name.removeprefix('ot_gen.')}`](#{name})" for name in things if name.count(".") == 1)
        listing.append(f"| [{room}]({room}.md) | {names or ', '.join(f'`{n}`' for n in things)} |")
    text = [
        "# API",
        "",
        "The public names, room by room, as the docstrings say. Points are rows: n samples, m atoms,",
        "d dimensions of the data, k of the codes.",
        "",
        *listing,
        "",
        "```{toctree}",
        ":hidden:",
        *(room for room, _ in order),
        "```",
    ]
    (folder / "index.md").write_text("\n".join(text), encoding="utf-8")
