"""Starting the processes of one training, and ending them together."""

from __future__ import annotations

import atexit
import multiprocessing as mp
import os
import pickle
import signal
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import Any

import torch.distributed as dist

from ot_gen.arguments import Count, Positive, checked
from ot_gen.execution.processes import Processes, device_of, joined
from ot_gen.execution.signals import handled

GRACE = 30.0  # seconds for the others to end by themselves once one has failed


@checked
def launch(
    task: Callable[..., Any], *arguments: Any, size: Count = 2, device: str = "cpu", timeout: Positive = 600.0
) -> Any:
    """task(processes, *arguments) in `size` fresh processes of this machine; returns what process 0 returned.

    Where torchrun started this process (RANK is set), the task runs here, in as many processes as torchrun made, and
    `size` is ignored. With size = 1 it runs here alone.

    The first failure ends all: its exception is raised here, with its traceback as a note. Ctrl-C and SIGTERM go to
    the processes, and `fit` stops all of them after the same step. A second signal kills them. Nothing outlives this
    process.

    Args:
        task: a function that can be pickled, e.g. one of a module, as are its arguments and its result.
        arguments: what it gets after the `Processes`.
        size: the number of processes.
        device: "cuda" gives each a GPU of its own.
        timeout: seconds that a process waits for the others, e.g. while process 0 writes, before it gives up.

    Raises:
        ValueError: size < 1, or a device that is not there.
        BaseException: what the task raised.

    Example:
        >>> launch(repr, size=1)
        "Processes(rank=0, size=1, device='cpu')"
    """
    if "RANK" in os.environ:
        return task(_of_torchrun(device, timeout), *arguments)
    if size == 1:
        return task(Processes(), *arguments)
    device_of(0, device)
    context = mp.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as pipes:
        started: dict[Connection, Any] = {}
        for rank in range(size):
            ours, theirs = context.Pipe(duplex=False)
            pipes.enter_context(ours)
            place = (rank, size, device, timeout, (Path(folder) / "meeting").as_uri())
            process = context.Process(target=_work, args=(theirs, place, task, arguments), daemon=True)
            with _spawning():
                process.start()
            theirs.close()
            started[ours] = process
        with _passed_on(list(started.values())):
            return _outcome(started)


def _outcome(started: dict[Connection, Any]) -> Any:
    """What process 0 sent, once all have ended well; else the error of the first that failed is raised."""
    results, failure = {}, None
    waiting = list(started)
    while waiting and failure is None:
        for pipe in wait(waiting):
            assert isinstance(pipe, Connection)
            waiting.remove(pipe)
            try:
                result, failure = pickle.loads(pipe.recv_bytes())
                results[pipe] = result
            except EOFError:
                started[pipe].join()
                failure = RuntimeError(
                    f"a process ended with exit code {started[pipe].exitcode} and without a word; was it killed?"
                )
            if failure is not None:
                break
    for process in started.values():
        process.join(None if failure is None else GRACE)
        if process.is_alive():
            process.kill()
            process.join()
    if failure is not None:
        raise failure
    return results[next(iter(started))]


def _work(
    pipe: Connection, place: tuple[int, int, str, float, str], task: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    """One process: meet the others, do the task, send (result, None) or (None, exception)."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a word to the parent also outside of `fit`
    rank, size, *_ = place
    group = ExitStack()
    try:
        processes = group.enter_context(joined(*place))
        result = task(processes, *arguments)
        pipe.send_bytes(_pickled(result if rank == 0 else None))
    except BaseException as error:
        # Before the group is left: what the others make of that is no cause.
        error.add_note(f"in process {rank} of {size}:\n{traceback.format_exc()}")
        pipe.send_bytes(_pickled(None, error))
    else:
        group.close()


@contextmanager
def _spawning() -> Iterator[None]:
    """Make "spawn" the default meanwhile: new processes do not know the method that joblib sets in its workers."""
    before = mp.get_start_method(allow_none=True)
    mp.set_start_method("spawn", force=True)
    try:
        yield
    finally:
        mp.set_start_method(before, force=True)


def _pickled(result: Any, error: BaseException | None = None) -> bytes:
    try:
        message = pickle.dumps((result, error))
        pickle.loads(message)
    except Exception:
        if error is None:
            raise
        plain = RuntimeError(f"{type(error).__name__}: {error}")
        plain.__notes__ = list(getattr(error, "__notes__", []))
        return pickle.dumps((result, plain))
    return message


def _end_with_parent() -> None:
    parent = mp.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _passed_on(processes: list[Any]) -> Iterator[None]:
    """Send the first SIGINT or SIGTERM of this process to the others, and kill them at the second."""
    seen = threading.Event()

    def pass_on(number: int, frame: FrameType | None) -> None:
        for process in processes:
            if process.is_alive():
                process.kill() if seen.is_set() else process.terminate()
        seen.set()

    with handled(pass_on):
        yield


def _of_torchrun(device: str, timeout: float) -> Processes:
    """This process among torchrun's. The group is made once and kept: jobs that follow one another share it."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if not dist.is_initialized():
        group = ExitStack()
        group.enter_context(joined(rank, size, device, timeout))
        atexit.register(group.close)
    return Processes(rank, size, device_of(rank, device))
