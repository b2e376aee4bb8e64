"""The parser of those commands that are not composed by Hydra."""

from __future__ import annotations

import argparse
from typing import NoReturn, final


@final
class OneLineParser(argparse.ArgumentParser):
    """A parser that reports bad arguments as the rest of `ot-gen` does: one line, as a `ValueError`.

    Example:
        >>> OneLineParser(prog="ot-gen evaluate").parse_args(["--smples"])
        Traceback (most recent call last):
        ValueError: unrecognized arguments: --smples; see ot-gen evaluate --help
    """

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see {self.prog} --help")
