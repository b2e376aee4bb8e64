"""Signals that ask a training to end: handled between two steps, or passed on to the processes that train."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ot_gen.arguments import checked

# Ctrl-C, a scheduler, and a terminal that is closed; the last is known to POSIX alone.
STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
SOON = 0.1  # seconds: a callback has ended then


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[dict[int, Any]]:
    """While the context lasts the signals that stop go to `handler`; yields the handlers of before.

    Signals reach the main thread only: elsewhere this does nothing. A hang-up that is ignored (nohup) stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield {}
        return
    hang_up = getattr(signal, "SIGHUP", None)
    ignored = hang_up is not None and signal.getsignal(hang_up) is signal.SIG_IGN
    numbers = [number for number in STOPPING if not (ignored and number == hang_up)]
    previous: dict[int, Any] = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield previous
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


@contextmanager
@checked
def stop_signal() -> Iterator[Callable[[], bool]]:
    """Turn the first signal that stops into a request to stop between two steps; the second acts as usual.

    Example:
        >>> with stop_signal() as stopped:
        ...     signal.raise_signal(signal.SIGINT)
        ...     stopped()
        True
    """
    requested = threading.Event()

    def request(number: int, frame: FrameType | None) -> None:
        requested.set()
        signal.signal(number, previous[number])

    with handled(request) as previous:
        yield requested.is_set


@contextmanager
def interruptible() -> Iterator[None]:
    """While the context lasts each signal that stops raises `KeyboardInterrupt`, as Ctrl-C does.

    Where that is lost, in a finaliser or in a callback from C, it comes once more.

    Example:
        >>> try:
        ...     with interruptible():
        ...         signal.raise_signal(signal.SIGTERM)
        ... except KeyboardInterrupt as stop:
        ...     print(stop)
        SIGTERM
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    def once_more(lost: Any) -> None:
        if isinstance(lost.exc_value, KeyboardInterrupt):
            number = exit_code(lost.exc_value) - 128
            threading.Timer(SOON, os.kill, (os.getpid(), number)).start()
        else:
            before(lost)

    before = sys.unraisablehook
    with handled(interrupt):
        sys.unraisablehook = once_more
        try:
            yield
        finally:
            sys.unraisablehook = before


def exit_code(stop: KeyboardInterrupt) -> int:
    """Of a command that a signal stopped before there was anything to record: 128 and the signal's number.

    Example:
        >>> exit_code(KeyboardInterrupt("SIGTERM")), exit_code(KeyboardInterrupt())
        (143, 130)
    """
    name = str(stop)
    return 128 + (signal.Signals[name] if name in signal.Signals.__members__ else signal.SIGINT)
