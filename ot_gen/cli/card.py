"""`ot-gen card`: the model card of a finished run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ot_gen.cli.errors import answer
from ot_gen.cli.targets import check_folder
from ot_gen.execution import OneLineParser, write_text
from ot_gen.report.card import model_card

NAME = "card.md"


def card(arguments: Sequence[str]) -> int:
    """Run `ot-gen card` with these arguments; returns the exit code, 2 after one line on stderr for bad input."""
    return answer(_work, arguments)


def _work(arguments: Sequence[str]) -> str:
    given = _parser().parse_args(arguments)
    output: Path = given.output or given.run / NAME
    if output.is_dir():
        raise ValueError(f"--output {output} is a folder; give the name of the file")
    text = model_card(given.run, given.licence, given.data_licence)
    check_folder(output.parent, "--output")
    output.parent.mkdir(parents=True, exist_ok=True)
    write_text(output, text.encode("utf-8", "replace").decode("utf-8"))
    return str(output)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="ot-gen card",
        description=(
            "Write the model card of a finished run in Markdown: its data, its composition, its metrics beside those "
            "of real data, certificate, memorisation and licence."
        ),
        epilog="Example: ot-gen card --run runs/NAME --licence cc-by-4.0",
    )
    parser.add_argument("--run", type=Path, required=True, help="the folder of a finished run of ot-gen")
    parser.add_argument("--output", type=Path, help=f"the file to write; the default is {NAME} in the run's folder")
    parser.add_argument("--licence", help="of the model, as you choose it; without it the card says that it is missing")
    parser.add_argument("--data-licence", help="of the data; the default is what is known of the entry")
    return parser
