"""Signals that ask a training to end: handled between two steps, or passed on to the processes that train."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ot_gen.arguments import checked

# Ctrl-C, a scheduler, and a terminal that is closed; the last is known to POSIX alone.
STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[dict[int, Any]]:
    """While the context lasts the signals that stop go to `handler`; yields the handlers of before.

    Signals reach the main thread only: elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield {}
        return
    previous: dict[int, Any] = {number: signal.signal(number, handler) for number in STOPPING}
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

    with handled(interrupt):
        yield
