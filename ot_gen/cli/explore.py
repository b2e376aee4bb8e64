"""`ot-gen explore`: one HTML file in which the codes of a finished run can be walked through."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from ot_gen.arguments import Interval, Seed, checked
from ot_gen.cli.errors import answer
from ot_gen.cli.finished import load_run
from ot_gen.cli.targets import check_folder
from ot_gen.cli.trust import TRUST_HELP
from ot_gen.execution import OneLineParser, use_threads, write_text
from ot_gen.report.explorer import explorer_page

NAME = "explorer.html"


def explore(arguments: Sequence[str]) -> int:
    """Run `ot-gen explore` with these arguments; returns the exit code, 2 after one line on stderr for bad input."""
    return answer(_work, arguments)


def _work(arguments: Sequence[str]) -> str:
    given = _parser().parse_args(arguments)
    return _explored(given.grid, given.seed, given)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="ot-gen explore",
        description=(
            "Write one HTML file, which needs no network, to walk through the codes of a finished run: the decoded "
            "image under the pointer, straight lines and shortest paths, volume, cells, and the steps of a flow."
        ),
        epilog="Example: ot-gen explore --run runs/NAME --output explorer.html",
    )
    parser.add_argument("--run", type=Path, required=True, help="the folder of a finished run of ot-gen")
    parser.add_argument("--output", type=Path, help=f"the file to write; the default is {NAME} in the run's folder")
    parser.add_argument(
        "--plane",
        metavar="I,J",
        type=_pair,
        action="append",
        default=[],
        help="of more than two latent dimensions: the plane of two coordinates, counted from 1; may be given again",
    )
    parser.add_argument(
        "--grid",
        type=int,
        help="images along either side of a plane, 5 to 41; the default is 31 (of flows of images 15)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draws; the default is 0")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; the default is 1")
    parser.add_argument("--trust", action="store_true", help=TRUST_HELP)
    return parser


def _pair(text: str) -> tuple[int, int]:
    first, _, second = text.partition(",")
    try:
        return int(first), int(second)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r:.40} names no two coordinates; write --plane 1,3") from None


@checked
def _explored(grid: Annotated[int, Interval(5, 41)] | None, seed: Seed, given: argparse.Namespace) -> str:
    output = given.output or given.run / NAME
    if output.suffix != ".html":
        raise ValueError(f"--output {output} is no name of a page; give a file that ends with .html")
    check_folder(output.parent, "--output")
    use_threads(given.threads)
    run = load_run(given.run, given.trust)
    name = run.record.label if run.record.seed is None else f"{run.record.label}, seed {run.record.seed}"
    facts = {"title": name, "folder": given.run.resolve().name}
    page = explorer_page(run.mu, run.encoder, run.solver, run.data, run.units, facts, given.plane, grid, seed)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_text(output, page)
    return str(output)
