"""What came of a call: a right result, a refusal of ours, or a fault."""

from __future__ import annotations

import ast
import contextlib
import functools
import io
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import ot_gen
from ot_gen import Interrupted, NonFiniteLoss, NotConverged

PACKAGE = str(Path(ot_gen.__file__).parent)
REFUSALS = (ValueError, TypeError, NotImplementedError, OSError, NotConverged, NonFiniteLoss, Interrupted)
SECONDS = 20.0


class Outcome(NamedTuple):
    """`kind` is "right", "refused", "foreign", "NaN" or "hang"; the last three are faults, which `text` tells."""

    kind: str
    text: str = ""

    @property
    def is_fault(self) -> bool:
        return self.kind in ("foreign", "NaN", "hang")


class TooLong(BaseException):
    """A call took more than its time."""


def outcome(call: Callable[..., Any], arguments: Mapping[str, Any]) -> Outcome:
    """Make the call, and say what came of it."""
    try:
        with _silent(), _alarm(SECONDS):
            result = call(**arguments)
    except TooLong:
        return Outcome("hang", f"no end after {SECONDS:g} s")
    except Exception as error:  # all that can go wrong is what is looked for
        if isinstance(error, REFUSALS) and (_is_ours(error) or _is_binding(error)):
            return Outcome("refused", str(error))
        return Outcome("foreign", "".join(traceback.format_exception(error)[-6:]))
    if is_finite(arguments) and not is_finite(result, limits=True):
        return Outcome("NaN", f"NaN in {result}")
    return Outcome("right")


def is_finite(thing: Any, limits: bool = False) -> bool:
    """Whether no tensor or number in it is NaN, or infinite; `limits` allows the infinite."""
    if isinstance(thing, Tensor):
        if thing.layout is not torch.strided or thing.is_meta or not (thing.is_floating_point() or thing.is_complex()):
            return True
        return not bool(thing.isnan().any() if limits else (~thing.isfinite()).any())
    if isinstance(thing, np.ndarray):
        return thing.dtype.kind != "f" or is_finite(torch.from_numpy(thing.astype(float)), limits)
    if isinstance(thing, float | np.floating):
        return not np.isnan(thing) if limits else bool(np.isfinite(thing))
    if isinstance(thing, nn.Module):
        return all(is_finite(value, limits) for value in thing.state_dict().values())
    if isinstance(thing, Mapping):
        return all(is_finite(value, limits) for value in thing.values())
    return all(is_finite(value, limits) for value in thing) if isinstance(thing, list | tuple) else True


def _is_ours(error: BaseException) -> bool:
    """Whether a `raise` of the package made it."""
    frames = [
        frame for frame in traceback.walk_tb(error.__traceback__) if "contextlib" not in frame[0].f_code.co_filename
    ]
    frame, line = frames[-1]
    file = frame.f_code.co_filename
    return file.startswith(PACKAGE) and line in _raises(file)


@functools.cache
def _raises(file: str) -> frozenset[int]:
    """The lines of a file that belong to its `raise` statements."""
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Raise))
    return frozenset(line for node in nodes for line in range(node.lineno, (node.end_lineno or 0) + 1))


def _is_binding(error: BaseException) -> bool:
    """Whether Python found that the arguments do not fit the signature."""
    return isinstance(error, TypeError) and "argument" in str(error) and "()" in str(error)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(number: int, frame: Any) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
