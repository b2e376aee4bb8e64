"""`fit`: the only training loop.

θ descends `value`; ξ descends `sense · value + penalty`. The loop sees no data, no latent point and no model's name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
from torch import nn

from ot_gen.arguments import Count, Index, Interval, checked
from ot_gen.couplings import Estimate
from ot_gen.display import structure
from ot_gen.execution import (
    ALONE,
    CHECKPOINT_NAME,
    BestWeights,
    Clock,
    Decay,
    Descent,
    Doors,
    MixedPrecision,
    Norm,
    OptimizerFactory,
    Processes,
    Progress,
    ProgressBar,
    WeightAverage,
    adam,
    checkpoint_in,
    fingerprint,
    frozen,
    networks,
    row_maps,
    stop_signal,
    target,
)
from ot_gen.keeper import Interrupted, Keeper, NonFiniteLoss
from ot_gen.measures import Empirical, Measure, undisturbed, warn_of_scale
from ot_gen.schedules import Rates, Schedule
from ot_gen.solvers import Solver, check_order
from ot_gen.validation import Validation, Watch

__all__ = ["CHECKPOINT_NAME", "Callback", "Interrupted", "NonFiniteLoss", "Progress", "adam", "fit"]


Callback = Callable[[Progress], None]
Seconds = Annotated[float, Interval(0, math.inf, "(")]


@torch.inference_mode(False)  # gradients are its own affair, under a caller's no_grad too
@checked
def fit(
    mu: Measure,
    nu: Measure,
    solver: Solver,
    *,
    steps: Index = 2000,
    max_seconds: Seconds | None = None,
    batch_size: Annotated[int, Interval(2, 10**9)] = 128,
    optimizer: OptimizerFactory = adam,
    inner_optimizer: OptimizerFactory | None = None,
    schedule: Schedule | None = None,
    clip_norm: Norm | None = None,
    inner_clip_norm: Norm | None = None,
    average: Decay | None = None,
    validation: Validation | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = False,
    checkpoint: str | Path | None = None,
    checkpoint_every: Count = 1000,
    resume: str | Path | None = None,
    processes: Processes = ALONE,
    precision: MixedPrecision | None = None,
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
        max_seconds: wall time after which the training ends, at the end of a step. Schedules then follow steps or
            seconds, whichever is further on. It serves to compare models at equal time; no run repeats another bit for
            bit. None: steps alone decide.
        batch_size: samples of μ and of ν for each estimate.
        optimizer: parameters -> torch optimizer for θ, e.g. `functools.partial(torch.optim.Adam, lr=1e-3)`.
        inner_optimizer: the same for ξ; None means the solver's choice, or `optimizer` where it has none.
        schedule: fraction of the steps done -> factor on all learning rates, e.g. `linear_decay`; None keeps them. Or a
            scheduler of torch without its optimizer, `partial(torch.optim.lr_scheduler.StepLR, step_size=100)`: each
            optimizer gets one, which counts outer steps. `ReduceLROnPlateau` follows the metric of `validation`.
        clip_norm: the largest norm of the gradient of θ in a step; a longer one is scaled down to it. None: any.
        inner_clip_norm: the same for ξ, by itself; None: `clip_norm`, and inf: any.
        average: β of an exponential moving average of the weights of θ (`WeightAverage`), e.g. 0.999. The model has it
            in the end, in its checkpoints and when callbacks see it; ξ meets the weights that move. None: the last.
        validation: judges the model every k steps, for `Progress.validations`. Where it names a metric, μ and ξ end
            with the weights for which that was best, and training may stop early. Checkpoints have the best weights
            too, and beside them what goes on to train. None: no judgement.
        callbacks: called with the `Progress` after each step; they must leave the random state alone. One that
            calls `progress.stop(reason)` ends the training after this step; one that raises a `KeyboardInterrupt` stops
            it as a signal does.
        progress: whether a progress bar is shown, on stderr or as a widget of a notebook.
        checkpoint: file to write every `checkpoint_every` steps, at the end, and when a signal (Ctrl-C, SIGTERM)
            stops training; `Interrupted` is then raised. Its folder is made before the first step. A solve that comes
            before that step keeps its state beside it, in NAME.inner.safetensors.
        checkpoint_every: outer steps between checkpoints.
        resume: checkpoint of the same composition and data to continue from, the file or a run's folder. With the same
            `steps` the result equals that of no interruption. With more, a `schedule` follows the new total.
        processes: those that train together; each of them calls `fit` alike (`ot_gen.launch`). They start from the
            weights and the random state of process 0. Networks and c-transforms are evaluated in shares of one batch's
            rows. The steps are those of one process, to rounding. Process 0 alone writes.
        precision: of the networks, e.g. `MixedPrecision(torch.bfloat16)`; None leaves them as they are.

    Callbacks see the networks as they are: whole in each process, and in full precision.

    Returns:
        The `Progress`, with one row of figures for each step.

    Raises:
        ValueError: measures, solver and sizes that do not fit together, tensors that were made under
            `torch.inference_mode`, or a checkpoint of another composition.
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
    _check(mu, nu, solver, batch_size, processes)
    checkpoint = None if checkpoint is None else target(checkpoint)
    resume = None if resume is None else checkpoint_in(resume)
    precision = precision or MixedPrecision()
    solver.prepare(mu, nu)
    theta = _theta(mu, solver)
    descent = _descent(theta, solver, (optimizer, inner_optimizer), precision, processes, (clip_norm, inner_clip_norm))
    metric = None if validation is None else validation.metric
    rates, done = Rates(schedule, descent, metric), Progress(steps)
    with undisturbed():  # to describe itself a normalising flow draws
        problem = None if checkpoint is resume is None else fingerprint(data=nu, solver=structure(solver))
    mean = WeightAverage([] if average is None else theta, average or 0.0)
    modules: dict[str, nn.Module] = {"mu": mu, "solver": solver} | ({} if average is None else {"average": mean})
    best = BestWeights([] if metric is None else [mu, solver])
    modules |= {} if metric is None else {"best": best}
    keeper = Keeper(done, modules, descent, checkpoint, problem)
    if resume is not None:
        keeper.load(resume)
    processes.align(*modules.values())
    keeper.settle(mu, nu, solver, resume)
    _to_training(mu, solver, descent)
    sampled = partial(solver, mu, nu, batch_size)
    together = solver.inner_steps == 0  # both sides move, on one estimate
    clock = Clock(done, max_seconds, processes)
    watch = None if validation is None else Watch(validation, done, best, clock, processes, (mu, solver))
    doors, bar = _doors(mu, solver, precision, processes), _bar(progress, processes)
    with stop_signal() as stopped, bar as shown, doors, best.moving(), mean.moving():
        while clock.runs:
            solver.at(clock.fraction)
            rates.set(done, clock.fraction)
            for _ in range(solver.inner_steps):
                with frozen(mu):
                    estimate = moved = keeper.checked(sampled)
                descent.step(solver.sense * estimate.value + estimate.penalty, xi=True)
                solver.project()
            theta_moves = descent.theta is not None and done.step >= solver.warmup_steps
            if theta_moves or together:
                with nullcontext() if together else frozen(solver.xi):
                    estimate = keeper.checked(sampled)
                descent.step(estimate.value + estimate.penalty, theta=theta_moves, xi=together)
                moved = estimate if together else moved  # where ξ moves; the penalty of θ's own estimate is 0
            if theta_moves:
                mean.update()
            done.images += batch_size * (solver.inner_steps + (theta_moves or together))
            clock.tick()
            done.rows.append(_row(done, estimate, moved, solver))
            with mean.shown():
                with doors.aside():
                    if watch is not None:
                        watch()
                    asked = _called((*callbacks, *shown), done) or stopped()
                if processes.any(asked or done.stopped is not None) and not (asked := processes.any(asked)):
                    done.stopped = done.stopped or "another process stopped it"
                if asked or (done.step % checkpoint_every == 0 and clock.runs):
                    with best.shown():
                        keeper.save()
                if asked:
                    raise Interrupted(f"stopped after step {done.step} of {steps}")
    keeper.save()
    return done


def _check(mu: Measure, nu: Measure, solver: Solver, batch_size: int, processes: Processes) -> None:
    check_order(mu, nu)
    for name, part in (("mu", mu), ("nu", nu), ("solver", solver)):
        if any(tensor.is_inference() for tensor in (*part.parameters(), *part.buffers())):
            raise ValueError(
                f"{name} holds tensors that were made under torch.inference_mode, and no gradient passes these; make "
                "it outside, or under torch.no_grad"
            )
    warn_of_scale(mu, nu)
    if isinstance(nu, Empirical) and batch_size > len(nu):
        raise ValueError(f"batch_size {batch_size} is larger than the data, {len(nu)} atoms; lower it")
    if batch_size % processes.size:
        near = -(-batch_size // processes.size) * processes.size
        raise ValueError(
            f"{processes.size} processes share each batch in equal parts, and batch_size {batch_size} is no multiple "
            f"of {processes.size}; take batch_size={near}"
        )


def _to_training(mu: Measure, solver: Solver, descent: Descent) -> None:
    if descent.theta is not None:
        mu.train()
    solver.xi.train()  # a model that is given and a cost keep their modes


def _doors(mu: Measure, solver: Solver, precision: MixedPrecision, processes: Processes) -> Doors:
    """What passes through the networks: in lower precision, and in shares of the rows."""
    lowered = networks(mu, solver) if precision.is_lower else []
    shared = row_maps(mu, solver) if processes.size > 1 else []
    return Doors((lowered, precision.lower), (shared, processes.share))


@contextmanager
def _bar(shown: bool, processes: Processes) -> Iterator[list[Callback]]:
    """The progress bar as a callback, or none."""
    if not shown or processes.rank > 0:
        yield []
        return
    with ProgressBar("fit", shown=True) as bar:
        yield [bar]


def _called(callbacks: Sequence[Callback], progress: Progress) -> bool:
    """Call them; whether one of them asked to stop, by a `KeyboardInterrupt`."""
    try:
        for callback in callbacks:
            callback(progress)
    except KeyboardInterrupt:
        return True
    return False


def _theta(mu: Measure, solver: Solver) -> list[nn.Parameter]:
    """The parameters of θ; those that ξ holds as well, of a learned reference, are trained as ξ."""
    held = {id(p) for p in solver.xi.parameters()}
    return [p for p in mu.parameters() if id(p) not in held]


def _descent(
    theta: list[nn.Parameter],
    solver: Solver,
    optimizers: tuple[OptimizerFactory, OptimizerFactory | None],
    precision: MixedPrecision,
    processes: Processes,
    norms: tuple[float | None, float | None],
) -> Descent:
    """The optimizers of both sides, and the largest norms of their gradients."""
    optimizer, inner_optimizer = optimizers
    of_xi = inner_optimizer or solver.optimizer()
    if of_xi is None and not solver.inner_steps == solver.warmup_steps == 0:
        of_xi = optimizer
    return Descent(theta, solver.xi.parameters(), optimizer, of_xi, precision, processes, *norms)


def _row(done: Progress, estimate: Estimate, moved: Estimate, solver: Solver) -> dict[str, float]:
    """The figures of a step: the value that θ descended, and the penalty and the loss that ξ did."""
    row = {"step": done.step, "seconds": done.seconds, "images": done.images, "value": estimate.value.item()}
    row["penalty"] = moved.penalty.item()
    if solver.inner_steps:
        row["inner_loss"] = (solver.sense * moved.value + moved.penalty).item()
    return row | solver.diagnostics()
