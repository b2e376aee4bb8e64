"""The command `ot-gen-compare RUNS_DIR`: every run below a folder on one self-contained page, and in one CSV file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ot_gen.execution import OneLineParser, exit_code, interruptible, on_one_line, plain_streams, reason, write_text
from ot_gen.report.page import comparison_page
from ot_gen.report.runs import find_runs
from ot_gen.report.table import comparison_csv
from ot_gen.runs.record import RUN

PAGE, TABLE = "comparison.html", "comparison.csv"


def write_comparison(runs_dir: Path, output: Path) -> Path:
    """Write comparison.html and comparison.csv about the runs below `runs_dir` into `output`; returns the page's path.

    Raises:
        ValueError: no folder `runs_dir`, or no run in it.
        OSError: a file that cannot be read or written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as name:
        ...     _ = (Path(name) / RUN).write_text('{"status": "finished", "data": "ring", "w1": 0.5}')
        ...     write_comparison(Path(name), Path(name)).name
        'comparison.html'
    """
    if not runs_dir.is_dir():
        raise ValueError(f"{runs_dir} is not a folder; give the folder that your runs were written to")
    runs = find_runs(runs_dir)
    if not runs:
        raise ValueError(f"no run in {runs_dir} (no folder there holds {RUN}); start one with `ot-gen`")
    page, table = comparison_page(runs, runs_dir), comparison_csv(runs, runs_dir)
    output.mkdir(parents=True, exist_ok=True)
    for name, text in ((TABLE, table), (PAGE, page)):
        # Names of folders may hold bytes that are no text, which no file in UTF-8 can hold.
        write_text(output / name, text.encode("utf-8", "replace").decode("utf-8"))
    return output / PAGE


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code, 2 for an error that the caller can mend.

    Example:
        >>> main(["no/such/folder"])
        2
    """
    try:
        with plain_streams(), interruptible():
            return _compare(argv)
    except KeyboardInterrupt as stop:
        sys.stderr.write("ot-gen-compare: interrupted\n")
        return exit_code(stop)
    except OSError as error:  # of the standard output
        sys.stderr.write(f"ot-gen-compare: error: cannot write what there is to say ({on_one_line(error)})\n")
        return 2


def _compare(argv: Sequence[str] | None) -> int:
    parser = OneLineParser("ot-gen-compare", description="Compare all runs below a folder on one page.")
    parser.add_argument("runs_dir", metavar="RUNS_DIR", type=Path, help="the folder that holds the runs, at any depth")
    parser.add_argument("--output", metavar="FOLDER", type=Path, help="where the files go (default: RUNS_DIR)")
    try:
        arguments = parser.parse_args(argv)
        page = write_comparison(arguments.runs_dir, arguments.output or arguments.runs_dir)
    except ValueError as error:
        sys.stderr.write(f"ot-gen-compare: error: {on_one_line(error)}\n")
    except OSError as error:
        what = f"{error.strerror or reason(error)}: {error.filename or arguments.output or arguments.runs_dir}"
        sys.stderr.write(f"ot-gen-compare: error: {what}; try another --output\n")
    else:
        sys.stdout.write(f"{page}\n")
        return 0
    return 2


if __name__ == "__main__":
    sys.exit(main())
