"""`ot-gen`: the entry point. `card`, `evaluate`, `explore`, `geometry`, `sample` are of finished runs; else it trains.

Bad input ends with one line on stderr and exit code 2; a stop by Ctrl-C, SIGTERM or SIGHUP with 130.
"""

from __future__ import annotations

import io
import logging
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.errors import CompactHydraException

from ot_gen.cli.again import from_record
from ot_gen.cli.card import card
from ot_gen.cli.compose import quoted, renamed
from ot_gen.cli.errors import BadInput, failures, one_line, say, usage, warn_in_one_line
from ot_gen.cli.evaluate import evaluate
from ot_gen.cli.explore import explore
from ot_gen.cli.geometry import geometry
from ot_gen.cli.job import job
from ot_gen.cli.sample import sample
from ot_gen.cli.sweep import failed_in
from ot_gen.execution import interruptible, on_one_line, plain_streams
from ot_gen.runs.claim import check_free, check_no_links
from ot_gen.training import Interrupted
from ot_gen.version import __version__

COMMANDS = {"card": card, "evaluate": evaluate, "explore": explore, "geometry": geometry, "sample": sample}


def main() -> None:
    """Entry point of `ot-gen` and `python -m ot_gen`."""
    failures.begin()
    logging.raiseExceptions = False  # a log that cannot be written (a full disk, a closed pipe) stops no run
    code = 0
    warn_in_one_line()
    try:
        with plain_streams(), interruptible():
            code = _code(sys.argv[1:])
    except OSError as error:  # of the standard output
        code = usage(f"cannot write what there is to say ({one_line(error)})")
    finally:
        failures.end()
    if code or "".join(sys.argv[1:2]) in COMMANDS:  # a training that ended well returns
        sys.exit(code)


def _code(arguments: Sequence[str]) -> int:
    """Do what the arguments say; returns the exit code."""
    try:
        if (command := COMMANDS.get("".join(arguments[:1]))) is not None:
            return command(arguments[1:])
        if "--version" in arguments:
            return say(f"ot-gen {__version__}")
        trusted = "--trust" in arguments
        words = renamed(_placed([word for word in arguments if word != "--trust"]))
        sys.argv[1:] = from_record(words, _parsed(words), trusted)
        if _check(sys.argv[1:]).package is None:
            job()
        else:
            _show()
    except BadInput as error:  # of a worker
        usage(error.line)
        failures.count, failures.sweep = 1, error.sweep
    except Interrupted as stop:
        sys.stderr.write(f"ot-gen: {stop}\n")
        return 130
    except KeyboardInterrupt:
        sys.stderr.write("ot-gen: interrupted\n")
        return 130
    except BrokenPipeError:  # of the standard output
        raise
    except Exception as error:
        # Hydra raises here what it or a worker meets; the errors of a job are dealt with in it.
        if failures.shows_tracebacks or failures.shows(error):
            raise
        if isinstance(error, OSError) and not isinstance(error, CompactHydraException):
            what = "the output folder" if error.filename else "the output folder or the standard output"
            return usage(f"cannot write {what} ({one_line(error)}); choose another: hydra.run.dir=FOLDER")
        return usage(one_line(error))
    if failures.sweep is not None and (failed := failed_in(failures.sweep)):
        again = f"the same command and hydra.sweep.dir={failures.sweep} retry=true"
        sys.stderr.write(f"ot-gen: {len(failed)} failed: {', '.join(failed)}; to try again: {again}\n")
    return 2 if failures.count else 0


def _show() -> None:
    """Show one part of the configuration; Hydra ends the process where there is none."""
    try:
        with redirect_stderr(io.StringIO()) as said:
            job()
    except SystemExit:
        raise ValueError(f"{on_one_line(said.getvalue())}; see ot-gen --cfg job") from None
    sys.stderr.write(said.getvalue())


def _placed(arguments: Sequence[str]) -> list[str]:
    """The arguments with Hydra's name for --output FOLDER, that of a run or of a sweep."""
    kept, words = [], iter(arguments)
    kind = "sweep" if {"-m", "--multirun"} & {*arguments} else "run"
    for word in words:
        name, equals, folder = word.partition("=")
        if name != "--output":
            kept.append(word)
        elif folder := folder if equals else next(words, ""):
            kept.append(f"hydra.{kind}.dir={quoted(folder)}")
        else:
            raise ValueError("--output names no folder; give one, or leave it out for a new one in runs/")
    return kept


def _parsed(arguments: Sequence[str]) -> Namespace:
    """The options of Hydra; refuses those that are none."""
    try:
        with redirect_stderr(io.StringIO()) as said:
            options = get_args_parser().parse_args(arguments)
    except SystemExit:
        raise ValueError(f"{said.getvalue().strip().rpartition('error: ')[2]}; see ot-gen --help") from None
    if options.experimental_rerun is not None:
        raise ValueError(
            "--experimental-rerun would unpickle a file, which can run any program; repeat a run by the overrides "
            "in its run.json"
        )
    return options


def _check(arguments: Sequence[str]) -> Namespace:
    """Refuse a folder with a result before Hydra comes to it; returns the options."""
    options = _parsed(arguments)
    if options.multirun:
        return options
    words = (item.lstrip("+").partition("=") for item in options.overrides)
    given = {name: value.strip("'\"") for name, _, value in words}
    folder = given.get("hydra.run.dir")
    if folder == "":
        raise ValueError("hydra.run.dir= names no folder; give one, or leave it out for a new one in runs/")
    if folder and "${" not in folder:
        check_no_links(Path(folder))
        if given.get("overwrite", "").casefold() != "true":
            check_free(Path(folder), given.get("resume"))
    return options
