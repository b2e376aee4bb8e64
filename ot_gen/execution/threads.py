"""CPU threads of this process."""

from __future__ import annotations

from typing import Annotated

import torch

from ot_gen.arguments import Interval, checked

MOST = 2**12  # of a process: more than any machine has cores


@checked
def use_threads(threads: Annotated[int, Interval(1, MOST)] | None) -> None:
    """Give this process so many CPU threads; None leaves torch's choice.

    Raises:
        ValueError: no whole number in [1, 4096].

    Example:
        >>> use_threads(0)
        Traceback (most recent call last):
            ...
        ValueError: threads must be a whole number in [1, 4096], got 0
    """
    if threads is None:
        return
    torch.set_num_threads(threads)
