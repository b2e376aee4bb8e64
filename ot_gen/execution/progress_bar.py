"""The progress of a training, for people."""

from __future__ import annotations

import logging
from multiprocessing import parent_process
from typing import final

from ot_gen.execution.progress import Progress

log = logging.getLogger("ot_gen")


@final
class ProgressBar:
    """A callback of `fit`: a bar with rate, remaining time and the current value on a terminal; elsewhere ten lines.

    In a worker process too there are lines: the bars of several would overwrite one another. In a notebook the bar is a
    widget, where its widgets are installed.

    Args:
        label: what the bar is called.
        shown: a bar, wherever the output goes.
    """

    def __init__(self, label: str, shown: bool = False) -> None:
        from tqdm.auto import tqdm  # it knows whether this is a notebook

        # None: hidden where stderr is no terminal.
        hidden = False if shown else True if parent_process() is not None else None
        self.bar = tqdm(desc=label, unit="step", disable=hidden, dynamic_ncols=True, mininterval=0.2)
        self.label = label

    def __call__(self, progress: Progress) -> None:
        row = progress.rows[-1]
        if not self.bar.disable:
            if self.bar.total is None:
                self.bar.total, self.bar.initial = progress.steps, progress.step - 1
            self.bar.set_postfix_str(f"value {row['value']:.4g}", refresh=False)
            self.bar.update(progress.step - self.bar.n)
        elif progress.step % max(1, progress.steps // 10) == 0 or progress.step == progress.steps:
            shown = "  ".join(f"{name} {value:.4g}" for name, value in row.items() if name not in ("step", "images"))
            log.info("%s: step %d of %d  %s", self.label, progress.step, progress.steps, shown)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()
