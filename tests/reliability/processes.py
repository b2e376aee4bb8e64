"""ot-gen in processes that can be killed, each a copy of this one, which has imported everything."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from ot_gen import cli
from ot_gen.report import compare

LONGEST = 60.0  # seconds that any command here may take


class Ended(NamedTuple):
    """How a process ended: its exit code, or less than 0 for the signal that killed it; what it wrote; its seconds."""

    code: int
    err: str
    seconds: float

    @property
    def is_one_line(self) -> bool:
        """Whether it refused as it should: exit code 2 and one line, which is no traceback."""
        return self.code == 2 and self.err.count("\n") == 1 and "Traceback" not in self.err


def command(*arguments: object) -> Callable[[], None]:
    """`ot-gen ARGUMENTS`."""

    def run() -> None:
        sys.argv = ["ot-gen", *map(str, arguments)]
        cli.main()

    return run


def page(folders: Sequence[Path], output: Path) -> Callable[[], None]:
    """`ot-gen-compare FOLDERS --output OUTPUT`."""

    def run() -> None:
        sys.argv = ["ot-gen-compare", *map(str, folders), "--output", str(output)]
        compare.main()

    return run


def ended(task: Callable[[], None], kill_after: float | None = None, largest_file: int | None = None) -> Ended:
    """Run a task in a process of its own.

    Args:
        task: what it does.
        kill_after: seconds until it gets SIGKILL; None leaves it alone.
        largest_file: bytes above which no file can be written, as on a full disk; None for no limit.
    """
    log = Path(f"err-{os.getpid()}")
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        _live(task, log, largest_file)
    end = start + (LONGEST if kill_after is None else kill_after)
    done, status = os.waitpid(child, os.WNOHANG)
    while not done and time.monotonic() < end:
        time.sleep(0.002)
        done, status = os.waitpid(child, os.WNOHANG)
    if not done:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    return Ended(os.waitstatus_to_exitcode(status), log.read_text(errors="replace"), time.monotonic() - start)


def _live(task: Callable[[], None], log: Path, largest_file: int | None) -> None:
    """The life of a child, which does not return."""
    code = 1
    try:
        with log.open("w") as err, Path(os.devnull).open("w") as out:
            os.dup2(err.fileno(), 2)
            os.dup2(out.fileno(), 1)
        if largest_file is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
        torch.set_num_threads(1)
        task()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:  # a child must not go on as its parent; what it raised is in its log
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
