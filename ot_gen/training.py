"""`fit`: the only training loop.

θ descends `value`; ξ descends `sense · value + penalty`. The loop sees no data, no latent point and no model's name.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from ot_gen.couplings import Estimate
from ot_gen.execution import (
    ALONE,
    Precision,
    Processes,
    at_the_doors,
    load_checkpoint,
    networks,
    row_maps,
    save_checkpoint,
    stop_signal,
)
from ot_gen.measures import Empirical, Measure
from ot_gen.potentials import OptimizerFactory
from ot_gen.schedules import Schedule
from ot_gen.solvers import Solver, check_kinds

CHECKPOINT_NAME = "checkpoint.safetensors"


def adam(parameters: Iterable[Any], lr: float = 1e-3, **options: Any) -> Adam:
    """torch's Adam in its fused form, one kernel for all parameters: the same step in about half the time.

    Example:
        >>> adam(nn.Linear(2, 1).parameters(), lr=1e-2, betas=(0.5, 0.9)).defaults["lr"]
        0.01
    """
    parameters = list(parameters)
    tensors = [p for entry in parameters for p in (entry["params"] if isinstance(entry, dict) else [entry])]
    fused = all(p.device.type in ("cpu", "cuda") for p in tensors)
    return Adam(parameters, lr=lr, fused=fused, **options)


@final
class NonFiniteLoss(ValueError):
    """The value or the penalty became NaN or Inf; training stopped before the step was taken."""


@final
class Interrupted(KeyboardInterrupt):
    """Training was stopped by a signal, between two steps and after writing a checkpoint."""


@final
@dataclass
class Progress:
    """What `fit` tells its callbacks after each step, and returns at the end.

    Attributes:
        step: outer steps done, of `steps`.
        images: model samples drawn so far, inner steps included.
        seconds: wall time of training so far, interruptions excluded.
        rows: for each step of this call {"step", "seconds", "images", "value", "penalty", diagnostics...}.
    """

    steps: int
    step: int = 0
    images: int = 0
    seconds: float = 0.0
    rows: list[dict[str, float]] = field(default_factory=list)


Callback = Callable[[Progress], None]


def fit(
    mu: Measure,
    nu: Measure,
    solver: Solver,
    *,
    steps: int = 2000,
    max_seconds: float | None = None,
    batch_size: int = 128,
    optimizer: OptimizerFactory = adam,
    inner_optimizer: OptimizerFactory | None = None,
    schedule: Schedule | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint: Path | None = None,
    checkpoint_every: int = 1000,
    resume: Path | None = None,
    processes: Processes = ALONE,
    precision: Precision | None = None,
) -> Progress:
    """Train μ_θ towards ν: min over θ of E(θ) = W_c(μ_θ, ν), E held by `solver`.

    A step moves ξ `solver.inner_steps` times and then θ once; with inner_steps = 0 both move together on one estimate.
    During `solver.warmup_steps`, and always where μ has no parameters, only ξ moves. Randomness comes from torch's
    global generator; `resume` restores it, so that on the CPU an interrupted run continues bit for bit.

    Args:
        mu: the model μ_θ, a `Pushforward`, or any `Measure` for ξ alone.
        nu: the data ν, an `Empirical`, or any `Measure` that is sampled afresh.
        solver: `PrimalSolver` or `DualSolver`.
        steps: outer steps in total, those before a resume included.
        max_seconds: ends the training after the step in which so much wall time has passed; schedules then follow
            whichever of steps and seconds is further on. Models are compared at equal time with it, and no run repeats
            another bit for bit. None: steps alone decide.
        batch_size: samples of μ and of ν for each estimate.
        optimizer: parameters -> torch optimizer for θ, e.g. `functools.partial(torch.optim.Adam, lr=1e-3)`.
        inner_optimizer: the same for ξ; None means the one that the solver asks for, else `optimizer`.
        schedule: fraction of the steps done -> factor on all learning rates, e.g. `linear_decay`; None keeps them.
        callbacks: called with the `Progress` after each step; they must leave the random state alone.
        checkpoint: file to write every `checkpoint_every` steps, at the end, and when a signal (Ctrl-C, SIGTERM)
            stops training, which then raises `Interrupted`.
        checkpoint_every: outer steps between checkpoints.
        resume: checkpoint file of the same composition to continue from. With the same `steps` the result equals that
            of no interruption; with more, a `schedule` goes on from where the new total puts it.
        processes: those that train together, each of which calls `fit` alike (`ot_gen.launch`). They start from the
            weights and the random state of process 0, share the rows of one batch where networks and c-transforms are
            evaluated, and take the same steps as one process would, to rounding. Process 0 alone writes.
        precision: of the networks, e.g. `Precision(torch.bfloat16)`; None leaves them as they are.

    Returns:
        The `Progress`, with one row of figures for each step.

    Raises:
        ValueError: measures, solver and sizes that do not fit together, or a checkpoint of another composition.
        NonFiniteLoss: the loss became NaN or Inf; the last checkpoint is left as it was.

    Example:
        >>> import torch
        >>> from ot_gen import Empirical, MLP, PlanCoupling, PrimalSolver, Pushforward, SquaredEuclidean
        >>> from ot_gen import exact_plan, standard_gaussian
        >>> mu = Pushforward(MLP(2, 2, hidden=(8,)), standard_gaussian(2))
        >>> nu = Empirical(torch.randn(64, 2))
        >>> progress = fit(mu, nu, PrimalSolver(SquaredEuclidean(), PlanCoupling(exact_plan)), steps=3, batch_size=16)
        >>> progress.step, progress.images
        (3, 48)
    """
    check_kinds(mu, nu, solver)
    _check_sizes(nu, steps, batch_size, checkpoint_every, processes)
    seconds = _checked_seconds(max_seconds, processes)
    precision = precision or Precision()
    solver.prepare(mu, nu)
    inner_optimizer = inner_optimizer or solver.optimizer()
    of_xi = list(solver.xi.parameters())
    held = {id(p) for p in of_xi}  # what both sides hold, a learned reference, is trained as ξ
    of_theta = [p for p in mu.parameters() if id(p) not in held]
    if solver.inner_steps == solver.warmup_steps == 0 and inner_optimizer is None:
        # Both move in every step and on one loss: one optimizer for both is a step's overhead less.
        theta, xi = _make(optimizer, of_theta + of_xi), None
    else:
        theta, xi = _make(optimizer, of_theta), _make(inner_optimizer or optimizer, of_xi)
    modules, optimizers = {"mu": mu, "solver": solver}, {"theta": theta, "xi": xi}
    rates = [group["lr"] for group in _groups(theta, xi)]
    progress = Progress(steps)
    scaler = precision.scaler(next((p.device for p in of_theta + of_xi), processes.device))
    if resume is not None:
        saved = load_checkpoint(resume, modules, optimizers)
        progress.step, progress.images, progress.seconds = saved["step"], saved["images"], saved["seconds"]
        if progress.step > steps:
            raise ValueError(f"{resume} is at step {progress.step}, beyond steps = {steps}; raise trainer.steps")
        scaler.load_state_dict(saved.get("scaler", {}))
    processes.align(mu, solver)
    lowered = networks(mu, solver) if precision.is_lower else []
    shared = row_maps(mu, solver) if processes.size > 1 else []
    mu.train()
    solver.train()

    def save() -> None:
        if checkpoint is not None and processes.rank == 0:
            told: dict[str, Any] = {"step": progress.step, "images": progress.images, "seconds": progress.seconds}
            told |= {"scaler": scaler.state_dict()} if scaler.is_enabled() else {}
            save_checkpoint(checkpoint, modules, optimizers, told)

    first = progress.step

    def evaluate() -> Estimate:
        try:
            with at_the_doors(lowered, precision.lower), at_the_doors(shared, processes.share):
                estimate: Estimate = solver(mu, nu, batch_size)
        except ValueError as error:
            if progress.step == first:
                raise
            # What the parts accepted in the first step they refuse now: the numbers ran away.
            raise _ran_away(str(error), progress.step, solver, checkpoint) from error
        loss = (estimate.value + estimate.penalty).item()
        if not math.isfinite(loss):
            raise _ran_away(f"the loss became {loss}", progress.step, solver, checkpoint)
        return estimate

    def descend(loss: Tensor, *optimizers: Optimizer | None) -> None:
        moving = [optimizer for optimizer in optimizers if optimizer is not None]
        if not moving:
            return
        for optimizer in moving:
            optimizer.zero_grad()
        scaler.scale(loss).backward()
        processes.average(p for group in _groups(*moving) for p in group["params"])
        for optimizer in moving:
            scaler.step(optimizer)
        scaler.update()

    began = time.perf_counter() - progress.seconds
    with stop_signal() as stopped:
        while progress.step < steps and progress.seconds < seconds:
            fraction = max(progress.step / steps, progress.seconds / seconds)
            solver.at(fraction)
            factor = 1.0 if schedule is None else schedule(fraction)
            for group, rate in zip(_groups(theta, xi), rates, strict=True):
                group["lr"] = rate * factor
            for _ in range(solver.inner_steps):
                with _frozen(mu):
                    estimate = evaluate()
                descend(solver.sense * estimate.value + estimate.penalty, xi)
                solver.project()
            theta_moves = theta is not None and progress.step >= solver.warmup_steps
            together = solver.inner_steps == 0
            if theta_moves or together:
                with nullcontext() if together else _frozen(solver.xi):
                    estimate = evaluate()
                loss = estimate.value + estimate.penalty
                descend(loss, theta if theta_moves else None, xi if together else None)
            progress.step += 1
            progress.images += batch_size * (solver.inner_steps + (theta_moves or together))
            progress.seconds = time.perf_counter() - began
            progress.rows.append(_row(progress, estimate, solver))
            for callback in callbacks:
                callback(progress)
            if processes.any(stopped()):
                save()
                raise Interrupted(f"stopped after step {progress.step} of {steps}")
            if progress.step % checkpoint_every == 0 and progress.step < steps:
                save()
    save()
    return progress


def _make(factory: OptimizerFactory, among: Iterable[nn.Parameter]) -> Optimizer | None:
    parameters = [p for p in among if p.requires_grad]
    try:
        return factory(parameters) if parameters else None
    except TypeError as error:
        raise ValueError(f"the optimizer cannot be built: {error}; check its arguments, e.g. lr") from error


def _groups(*optimizers: Optimizer | None) -> list[dict[str, Any]]:
    return [group for optimizer in optimizers if optimizer is not None for group in optimizer.param_groups]


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """Build no graph through the module's parameters: half of the work of a step that moves only the other side."""
    moving = [p for p in module.parameters() if p.requires_grad]
    for parameter in moving:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in moving:
            parameter.requires_grad_(True)


def _row(progress: Progress, estimate: Estimate, solver: Solver) -> dict[str, float]:
    return {
        "step": progress.step,
        "seconds": progress.seconds,
        "images": progress.images,
        "value": estimate.value.item(),
        "penalty": estimate.penalty.item(),
        **solver.diagnostics(),
    }


def _check_sizes(nu: Measure, steps: int, batch_size: int, checkpoint_every: int, processes: Processes) -> None:
    sizes = (steps, batch_size, checkpoint_every)
    if not all(isinstance(size, int) for size in sizes) or steps < 0 or batch_size < 2 or checkpoint_every < 1:
        raise ValueError(
            "fit needs whole numbers steps >= 0, batch_size >= 2 and checkpoint_every >= 1, "
            f"got {steps}, {batch_size} and {checkpoint_every}"
        )
    if isinstance(nu, Empirical) and batch_size > len(nu):
        raise ValueError(f"batch_size {batch_size} is larger than the data, {len(nu)} atoms; lower trainer.batch_size")
    if batch_size % processes.size:
        near = -(-batch_size // processes.size) * processes.size
        raise ValueError(
            f"{processes.size} processes share each batch in equal parts, and batch_size {batch_size} is no multiple "
            f"of {processes.size}; take trainer.batch_size={near}"
        )


def _checked_seconds(max_seconds: float | None, processes: Processes) -> float:
    if max_seconds is None:
        return math.inf
    if isinstance(max_seconds, bool) or not isinstance(max_seconds, int | float) or not max_seconds > 0:
        raise ValueError(f"fit needs max_seconds > 0, or None for no limit, got {max_seconds!r}")
    if processes.size > 1:
        raise ValueError("max_seconds is for one process: clocks differ, so several count steps (trainer.steps)")
    return max_seconds


def _ran_away(what: str, step: int, solver: Solver, checkpoint: Path | None) -> NonFiniteLoss:
    kept = checkpoint is not None and checkpoint.exists()
    return NonFiniteLoss(
        f"training stopped at step {step + 1} of {type(solver).__name__}({type(solver.xi).__name__}): {what}; "
        + (f"the last good checkpoint is {checkpoint}" if kept else "no checkpoint had been written")
        + "; lower the learning rates (trainer.optimizer.lr, trainer.inner_optimizer.lr) or check the data's scale"
    )
