"""CPU threads of this process."""

from __future__ import annotations

import torch

from ot_gen.arguments import checked


@checked
def use_threads(threads: int | None) -> None:
    """Give this process so many CPU threads; None leaves torch's choice.

    Raises:
        ValueError: no whole number >= 1.

    Example:
        >>> use_threads(0)
        Traceback (most recent call last):
            ...
        ValueError: threads must be a whole number >= 1, or null for torch's choice, got 0
    """
    if threads is None:
        return
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
        raise ValueError(f"threads must be a whole number >= 1, or null for torch's choice, got {threads}")
    torch.set_num_threads(threads)
