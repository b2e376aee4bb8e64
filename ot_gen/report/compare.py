"""The command `ot-gen-compare RUNS_DIR ...`: every run below folders on one self-contained page and in a CSV file.

With --export it writes what a paper takes of them instead.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ot_gen.execution import OneLineParser, exit_code, interruptible, on_one_line, plain_streams, reason, write_text
from ot_gen.report.export import write_export
from ot_gen.report.page import comparison_page
from ot_gen.report.runs import Run, find_runs
from ot_gen.report.standing import judged_once
from ot_gen.report.table import comparison_csv
from ot_gen.runs.record import RUN
from ot_gen.version import __version__

PAGE, TABLE = "comparison.html", "comparison.csv"


def write_comparison(runs_dir: Path | Sequence[Path], output: Path) -> Path:
    """Write comparison.html and comparison.csv about the runs below `runs_dir` into `output`; returns the page's path.

    Args:
        runs_dir: a folder, or several; a run that is below two of them stands on the page once.
        output: where the files go.

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
    folders = [runs_dir] if isinstance(runs_dir, Path) else list(runs_dir)
    runs, root = _compared(folders)
    page, table = comparison_page(runs, root), comparison_csv(runs, root)
    output.mkdir(parents=True, exist_ok=True)
    for name, text in ((TABLE, table), (PAGE, page)):
        # Names of folders may hold bytes that are no text, which no file in UTF-8 can hold.
        write_text(output / name, text.encode("utf-8", "replace").decode("utf-8"))
    return output / PAGE


def _compared(folders: Sequence[Path]) -> tuple[list[Run], Path]:
    """The runs below folders, each with its standing, and the folder by which they are named."""
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder} is not a folder; give the folder that your runs were written to")
    root = folders[0] if len(folders) == 1 else Path(os.path.commonpath([folder.resolve() for folder in folders]))
    runs = judged_once(find_runs(*(folders if len(folders) == 1 else [folder.resolve() for folder in folders])))
    if not runs:
        names = ", ".join(map(str, folders))
        raise ValueError(f"no run in {names} (no folder there holds {RUN}); start one with `ot-gen`")
    return runs, root


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
    words = "the folder that holds the runs, at any depth; or several folders"
    parser.add_argument("runs_dir", metavar="RUNS_DIR", type=Path, nargs="+", help=words)
    parser.add_argument("--output", metavar="FOLDER", type=Path, help="where the files go (default: RUNS_DIR)")
    words = "write tables, figures, sentences and references for a paper there; the page only with --output"
    parser.add_argument("--export", metavar="FOLDER", type=Path, help=words)
    parser.add_argument("--version", action="store_true", help="the version of ot_gen")
    try:
        if "--version" in (sys.argv[1:] if argv is None else argv):
            sys.stdout.write(f"ot-gen-compare {__version__}\n")
            return 0
        arguments = parser.parse_args(argv)
        folders, output, export = arguments.runs_dir, arguments.output, arguments.export
        if output is None and export is None:
            if len(folders) > 1:
                raise ValueError(f"{len(folders)} folders are compared; say where the page goes: --output FOLDER")
            output = folders[0]
        made = [] if output is None else [write_comparison(folders, output)]
        if export is not None:
            made.append(write_export(*_compared(folders), folders, export))
    except ValueError as error:
        sys.stderr.write(f"ot-gen-compare: error: {on_one_line(error)}\n")
    except OSError as error:
        what = f"{error.strerror or reason(error)}: {error.filename or export or output}"
        option = "--output" if export is None else "--export"
        sys.stderr.write(f"ot-gen-compare: error: {what}; try another {option}\n")
    else:
        sys.stdout.write("".join(f"{path}\n" for path in made))
        return 0
    return 2


if __name__ == "__main__":
    sys.exit(main())
