"""What a training keeps: its last good state on disk, and the refusal of a loss that is not finite."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

from torch import nn

from ot_gen.couplings import Estimate
from ot_gen.execution import Descent, Progress, inner_file, load_checkpoint, save_checkpoint
from ot_gen.measures import Measure
from ot_gen.solvers import Solver


@final
class NonFiniteLoss(ValueError):
    """The value or the penalty became NaN or Inf; training stopped before the step was taken.

    Example:
        >>> from ot_gen import NonFiniteLoss
        >>> try:  # around a call of fit
        ...     raise NonFiniteLoss("the value became nan in step 6; lower the learning rate")
        ... except NonFiniteLoss as stopped:
        ...     print(str(stopped).partition(";")[0])
        the value became nan in step 6
    """


@final
class Interrupted(KeyboardInterrupt):
    """Training was stopped by a signal, between two steps and after writing a checkpoint.

    Example:
        >>> from ot_gen import Interrupted
        >>> try:  # around a call of fit
        ...     raise Interrupted("step 3")
        ... except Interrupted as stopped:
        ...     print(f"stopped: {stopped}")
        stopped: step 3
    """


@final
class Keeper:
    """Keeps a training's last good state: writes and reads its checkpoint, and refuses a loss that is not finite."""

    def __init__(
        self,
        progress: Progress,
        modules: dict[str, nn.Module],
        descent: Descent,
        file: Path | None,
        problem: dict[str, Any] | None,
    ) -> None:
        self.progress = progress
        self.modules = modules
        self.descent = descent
        self.file = file
        self.problem = problem
        self.first = 0

    def save(self) -> None:
        if self.file is None or self.descent.processes.rank > 0:
            return
        progress, scaler = self.progress, self.descent.scaler
        state: dict[str, Any] = {"step": progress.step, "images": progress.images, "seconds": progress.seconds}
        state |= {"scaler": scaler.state_dict()} if scaler.is_enabled() else {}
        state |= {"validations": progress.validations} if progress.validations else {}
        save_checkpoint(self.file, self.modules, self.descent.optimizers, state, self.problem)

    def load(self, file: Path) -> None:
        progress = self.progress
        state = load_checkpoint(file, self.modules, self.descent.optimizers, self.problem)
        progress.step, progress.images, progress.seconds = state["step"], state["images"], state["seconds"]
        if progress.step > progress.steps:
            raise ValueError(f"{file} is at step {progress.step}, beyond steps = {progress.steps}; give more steps")
        self.descent.scaler.load_state_dict(state.get("scaler", {}))
        progress.validations[:] = state.get("validations", [])
        self.first = progress.step

    def settle(self, mu: Measure, nu: Measure, solver: Solver, resume: Path | None) -> None:
        """Let the solver settle, in every process alike; a training that is stopped meanwhile goes on from there."""
        processes, began = self.descent.processes, time.perf_counter()
        keep = None if self.file is None or processes.rank > 0 else inner_file(self.file)
        if keep is not None and (resume is None or solver.is_settled):
            keep.unlink(missing_ok=True)  # of another training
        if solver.is_settled:
            return
        self.save()
        stopped = False
        try:
            solver.settle(mu, nu, keep, None if resume is None else inner_file(resume))
        except KeyboardInterrupt:
            stopped = True
        stopped = processes.any(stopped)
        if not stopped:
            processes.align(solver)
        if solver.is_settled:
            self.progress.seconds += time.perf_counter() - began
            self.save()
            if keep is not None:
                keep.unlink(missing_ok=True)
        if stopped:
            raise Interrupted("stopped before step 1, while the solver settled")

    def checked(self, estimate: Callable[[], Estimate]) -> Estimate:
        """An estimate that is finite.

        Raises:
            NonFiniteLoss: it is not, or the parts refuse what they accepted in the first step.
        """
        try:
            value, penalty = made = estimate()
        except ValueError as error:
            if self.progress.step == self.first:
                raise
            raise self._ran_away(str(error)) from error
        loss = (value + penalty).item()
        if not math.isfinite(loss):
            raise self._ran_away(f"the loss became {loss}")
        return made

    def _ran_away(self, what: str) -> NonFiniteLoss:
        solver = self.modules["solver"]
        assert isinstance(solver, Solver)
        kept = self.file is not None and self.file.exists()
        return NonFiniteLoss(
            f"training stopped at step {self.progress.step + 1} of {type(solver).__name__}"
            f"({type(solver.xi).__name__}): {what}; "
            + (f"the last good checkpoint is {self.file}" if kept else "no checkpoint had been written")
            + "; lower the learning rates of optimizer and inner_optimizer, or check the data's scale"
        )
