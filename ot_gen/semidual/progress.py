"""What a semi-discrete solve reports while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import final

from torch import Tensor

from ot_gen.arguments import checked


@final
@dataclass(frozen=True)
@checked
class SolveProgress:
    """What `semidiscrete` reports to its callbacks after each step.

    Attributes:
        samples, iterations: samples of μ used for steps so far, and the steps.
        epsilon: the present softness, in the units of the cost.
        marginal_error: that of the last test on held-out samples, NaN before the first.
        seconds: wall time so far.
        table: makes `h_tilde`.
    """

    samples: int
    iterations: int
    epsilon: float
    marginal_error: float
    seconds: float
    table: Callable[[], Tensor] = field(repr=False)

    @property
    def h_tilde(self) -> Tensor:
        """The averaged table so far, (m,), a copy."""
        return self.table()


Callback = Callable[[SolveProgress], None]


@contextmanager
def progress_bar(shown: bool, total: int) -> Iterator[list[Callback]]:
    """Callbacks that show a bar of `total` samples on stderr; none if not `shown`."""
    if not shown:
        yield []
        return
    from tqdm import tqdm

    with tqdm(total=total, unit=" samples", unit_scale=True, desc="semidiscrete") as bar:

        def show(progress: SolveProgress) -> None:
            bar.set_postfix(error=f"{progress.marginal_error:.3g}", epsilon=f"{progress.epsilon:.2g}", refresh=False)
            bar.update(progress.samples - bar.n)

        yield [show]
