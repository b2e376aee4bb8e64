"""The seconds in which the commands import their libraries: a signal that stops ends them with one line.

Nothing has begun then that could be kept. A program that imports ot_gen keeps its own handlers.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from itertools import dropwhile
from pathlib import Path
from types import FrameType

COMMANDS = {"ot-gen": "ot-gen", "ot-gen-compare": "ot-gen-compare"}
MODULES = {"ot_gen": "ot-gen", "ot_gen.report.compare": "ot-gen-compare"}


def command_of(words: Sequence[str]) -> str | None:
    """The command of ot_gen that a process started by these words is, None for any other program.

    Example:
        >>> command_of(["python", "/bin/ot-gen", "seed=1"]), command_of(["python", "-u", "-m", "ot_gen"])
        ('ot-gen', 'ot-gen')
        >>> command_of(["python", "mine.py", "ot-gen"])
    """
    rest = list(dropwhile(lambda word: word.startswith("-") and word != "-m", words[1:]))
    if rest[:1] == ["-m"]:
        return MODULES.get("".join(rest[1:2]))
    return COMMANDS.get(Path("".join(rest[:1])).name)


def end_at_signals(command: str) -> None:
    """Let signals that stop end this process, with one line on stderr and the exit code 128 and the signal's number.

    A hang-up that the shell ignores (nohup) stays ignored.
    """

    def end(number: int, frame: FrameType | None) -> None:
        os.write(2, f"{command}: interrupted\n".encode())
        os._exit(128 + number)

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


if command := command_of(sys.orig_argv):
    end_at_signals(command)
